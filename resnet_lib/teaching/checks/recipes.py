"""Checks of lesson 09: schedules, augmentation, fine-tuning, the share of one process."""

from collections.abc import Callable
from math import pi, sin, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.parameter import is_lazy

from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.models.resnet import ResNet
from resnet_lib.teaching.checks.engine import Mistake, call, exercise, kind
from resnet_lib.teaching.checks.functions import compare, random
from resnet_lib.teaching.checks.room import borrow


@exercise("warm_up(step, warm_steps, peak)")
def check_warm_up(learners: Any) -> str:
    """warm_up(step, warm_steps, peak): the learning rate at a step (0 is the first): it rises in equal stages to the
    peak, which step warm_steps - 1 has reached, and stays there."""
    cases = [[step, 5, 0.1] for step in (0, 1, 3, 4, 5, 50)] + [[step, 400, 0.8] for step in (0, 100, 399, 4000)]

    def from_part(low: float, first: int, less: int) -> Callable:
        """A slip that rises from a part of the peak."""
        return lambda t, w, peak: peak * (low + (1 - low) * min((t + first) / (w - less), 1))

    slips = {
        "first-step-zero": [lambda t, w, peak: peak * min(t / w, 1), lambda t, w, peak: peak * min(t / (w - 1), 1)],
        "first-step-zero, never-ends": [lambda t, w, peak: peak * t / w, lambda t, w, peak: peak * t / (w - 1)],
        "never-ends": lambda t, w, peak: peak * (t + 1) / w,
        "stays-low": [lambda t, w, peak: 0.1 * peak, lambda t, w, peak: peak / w],
        "a-jump": [lambda t, w, peak: (0.1 if t < w else 1) * peak, lambda t, w, peak: (1 / w if t < w else 1) * peak,
                   *(lambda t, w, peak, low=low: low if t < w else peak for low in (0.01, 0.001))],
        "no-warm-up": lambda t, w, peak: peak,
        "ends-late": lambda t, w, peak: peak * min((t + 1) / (w + 1), 1),
        "ends-early": lambda t, w, peak: peak * min((t + 1) / max(w - 1, 1), 1),
        "overshoots": lambda t, w, peak: peak * (t + 1) / w if t <= w else peak,
        "falls-after": [lambda t, w, peak: peak * (t + 1) / w if t < w else 0.0,
                        lambda t, w, peak: peak * (t + 1) / w if t < w else peak / 10,
                        lambda t, w, peak: peak * min((t + 1) / w, sqrt(w / (t + 1)))],
        "turned-round": [lambda t, w, peak: peak * max(1 - t / w, 0), lambda t, w, peak: peak * max(w - t - 1, 0) / w],
        "forgets-peak": lambda t, w, peak: min((t + 1) / w, 1.0),
        "stops-at-one": lambda t, w, peak: min(peak * (t + 1) / w, 1.0),
        "max-for-min": lambda t, w, peak: peak * max((t + 1) / w, 1),
        "whole-division": [lambda t, w, peak: peak * min((t + 1) // w, 1), lambda t, w, peak: peak * min(t // w, 1)],
        "brackets-missing": [lambda t, w, peak: peak * min(t + 1 / w, 1),
                             lambda t, w, peak: min(t + 1 / w * peak, peak)],
        "not-linear": [lambda t, w, peak: peak * min((t + 1) / w, 1) ** 2,
                       lambda t, w, peak: peak * sqrt(min((t + 1) / w, 1)),
                       lambda t, w, peak: peak * sin(pi / 2 * min((t + 1) / w, 1)),
                       lambda t, w, peak: peak * sin(pi / 2 * min((t + 1) / w, 1)) ** 2],
        "starts-high": [from_part(low, first, less) for low in (0.1, 1 / 3, 0.5, 0.01, 0.001)
                        for first, less in ((0, 0), (0, 1), (1, 0))],
        "ignores-warm-steps": [lambda t, w, peak, n=n: peak * min((t + 1) / n, 1) for n in (5, 400, 100, 10, 1000)],
        "one-number": lambda t, w, peak: [peak * (n + 1) / w for n in range(w)],
    }  # fmt: skip
    return compare(learners, cases, lambda t, w, peak: peak * min((t + 1) / w, 1.0), slips)


@exercise("crop_and_flip(image, top, left, flip)")
def check_crop_and_flip(learners: Any) -> str:
    """crop_and_flip(image, top, left, flip): pad (C, H, W) with 4 zeros on each side, cut out H × W from (top, left),
    then mirror left to right if flip."""

    def padded(image: Tensor) -> Tensor:
        return pad(image, (4,) * 4)

    def cut(image: Tensor, top: int, left: int) -> Tensor:
        return padded(image)[:, top : top + image.shape[1], left : left + image.shape[2]]

    def then_flip(shift: Callable[[Tensor, int, int], Tensor], *axes: int) -> Callable:
        """A slip that flips as it should, or along `axes`, and shifts in another way."""
        return lambda x, top, left, flip: shift(x, top, left).flip(axes or (-1,)) if flip else shift(x, top, left)

    def framed(*border: int, **options: Any) -> Callable:
        """A slip with another border."""

        def shift(x: Tensor, top: int, left: int) -> Tensor:
            return pad(x, border or (4,) * 4, **options)[..., top : top + x.shape[1], left : left + x.shape[2]]

        return then_flip(shift)

    def sized(height: int, width: int) -> Callable:
        """A slip that cuts shape[height] × shape[width]."""
        return then_flip(lambda x, top, left: padded(x)[:, top : top + x.shape[height], left : left + x.shape[width]])

    right = then_flip(cut)
    slips = {
        "never-flips": lambda x, top, left, flip: cut(x, top, left),
        "always-flips": lambda x, top, left, flip: cut(x, top, left).flip(-1),
        "turned-round": lambda x, top, left, flip: right(x, top, left, not flip),
        "flips-upside-down": [then_flip(cut, -2), then_flip(cut, -2, -1)],
        "flips-channels": [then_flip(cut, 0), then_flip(cut, 0, 1, 2)],
        "flips-first": lambda x, top, left, flip: cut(x.flip(-1) if flip else x, top, left),
        "swaps-axes": lambda x, top, left, flip: right(x, left, top, flip),
        "not-moved": then_flip(lambda x, top, left: x),
        "no-border": then_flip(lambda x, top, left: x[:, top : top + x.shape[1], left : left + x.shape[2]]),
        "rolls": then_flip(lambda x, top, left: x.roll((4 - top, 4 - left), (1, 2))),
        "pads-copies": [framed(mode="replicate"), framed(mode="reflect")],
        "border-not-zero": [framed(value=value) for value in (1, -1, 0.5, 255)],
        "border-width": [framed(*(width,) * 4) for width in (1, 2, 3, 5, 6, 8)],
        "border-on-two-sides": [framed(n, 0, n, 0) for n in (4, 8)],
        "pads-width-only": [framed(4, 4), framed(0, 0, 4, 4)],
        "pads-channels-too": framed(*(4,) * 6),
        "not-cut": then_flip(lambda x, top, left: padded(x)),
        "cuts-to-the-end": then_flip(lambda x, top, left: padded(x)[:, top:, left:]),
        "cuts-square": [sized(1, 1), sized(2, 2)],
        "height-and-width-swapped": sized(2, 1),
        "cuts-by-channels": sized(0, 1),
        "cuts-channels": [
            then_flip(lambda x, top, left: padded(x)[top : top + x.shape[0], left : left + x.shape[1]]),
            then_flip(lambda x, top, left: padded(x)[top : top + x.shape[1], left : left + x.shape[2]]),
        ],
        "end-not-moved": then_flip(lambda x, top, left: padded(x)[:, top : x.shape[1], left : x.shape[2]]),
        "counts-from-the-image": [framed(0, n, 0, n) for n in (4, 8)],
        "moves-the-other-way": then_flip(lambda x, top, left: cut(x, 8 - top, 8 - left)),
    }
    images = [random(1, 9, 9), random(3, 10, 12, seed=1)]
    cases = [[images[0], 0, 7, False], [images[1], 3, 1, True], [images[1], 8, 8, False], [images[0], 4, 4, True]]
    return compare(learners, cases, right, slips, gradients=False)


@exercise("new_head(model, num_classes)")
def check_new_head(learners: Any) -> str:
    """new_head(model, num_classes): freeze a ResNet and give it a new classifier `fc`, the only part that learns. The
    rest keeps its weights. In place or returned."""
    for seed, classes in enumerate((3, 5)):
        torch.manual_seed(seed)
        model: Any = cifar_resnet(8, in_channels=1, width=4)
        before = {name: value.detach().clone() for name, value in model.state_dict().items()}
        old, weight, parts = model.fc, model.fc.weight, dict(model.named_modules())
        returned = call(learners, model, classes)
        if isinstance(returned, ResNet) or returned is None:
            model = model if returned is None else returned
        elif isinstance(returned, nn.Module) and set(returned.modules()) & (set(parts.values()) - {old}):
            raise Mistake("wraps-the-net", got=kind(returned))
        else:
            key = "returns-the-head" if isinstance(returned, nn.Module) else "not-a-module"
            raise Mistake(key, got=f"a value of type {kind(returned)}")
        if any(map(is_lazy, model.parameters())):
            with torch.no_grad():
                call(model.eval(), random(1, 1, 8, 8))
        model, head = borrow(model), getattr(model, "fc", None)
        if dict(model.named_modules()).keys() - parts and (head is old or not isinstance(head, nn.Linear)):
            new = [name for name in dict(model.named_children()) if name not in parts]
            raise Mistake("another-name" if new else "head-not-linear", got=kind(head), name=", ".join(new))
        if head is None:
            raise Mistake("no-head")
        if head is old and head.weight is weight:
            raise Mistake("keeps-the-head" if head.out_features != classes else "only-the-number")
        _judge_head(model, before, classes)
        _judge_learning(model, old)
    return "only the new classifier learns, everything else is as it was trained."


def _judge_head(model: Any, before: dict[str, Tensor], classes: int) -> None:
    """Is it a linear layer of the right sizes, on the body as it was?"""
    body = {name: value for name, value in model.named_parameters() if not name.startswith("fc.")}
    if any(not torch.equal(value.detach(), before[name]) for name, value in body.items() if name in before):
        raise Mistake("body-changed")
    if not isinstance(model.fc, nn.Linear):
        raise Mistake("head-not-linear", got=kind(model.fc))
    given, wanted = tuple(model.fc.weight.shape), (classes, before["fc.weight"].shape[1])
    if given == wanted[::-1]:
        raise Mistake("head-sizes-swapped")
    if given[1] != wanted[1]:
        raise Mistake("head-width", got=given[1], wanted=wanted[1])
    if given[0] != classes:
        raise Mistake("ignores-classes")


def _judge_learning(model: Any, old: nn.Linear) -> None:
    """Does the classifier learn, and nothing else?"""
    learns = {name for name, value in model.named_parameters() if value.requires_grad}
    head = {name for name, _ in model.named_parameters() if name.startswith("fc.")}
    body = {name for name, _ in model.named_parameters()} - head
    slips = [name for value in model.parameters() for name in vars(value) if "grad" in name]
    for key, wrong in (
        ("freezes-all", not learns),
        ("misspelt-requires-grad", bool(slips) and bool(learns & body)),
        ("freezes-modules", any("requires_grad" in vars(part) for part in model.modules()) and learns >= body),
        ("freezes-the-head", not learns & head),
        ("freezes-the-old-head", learns >= body and not any(p.requires_grad for p in old.parameters())),
        ("freezes-nothing", learns >= body),
        ("forgets-head-bias", bool(head - learns)),
        ("freezes-some", bool(learns - head)),
    ):
        if wrong:
            raise Mistake(key, left=", ".join(sorted(learns - head)[:3]), given="".join(slips[:1]))


@exercise("my_share(order, rank, processes)")
def check_my_share(learners: Any) -> str:
    """my_share(order, rank, processes): which of a batch's images process `rank` takes: one from the start of `order`,
    then every `processes`-th. `order` is a list."""
    cases = [[[5, 3, 8, 1, 9, 2], 0, 2], [[5, 3, 8, 1, 9, 2], 1, 2], [[7, 4, 6, 0, 3, 1, 2, 5], 2, 4], [[4, 1], 0, 1]]

    def chunk(order: list[int], rank: int, processes: int) -> list[int]:
        size = len(order) // processes
        return order[rank * size : (rank + 1) * size]

    slips = {
        "takes-everything": lambda order, rank, n: order,
        "takes-a-piece": chunk,
        "counts-from-one": [lambda order, rank, n: order[rank + 1 :: n], lambda order, rank, n: order[rank - 1 :: n]],
        "the-same-for-all": [lambda order, rank, n: order[::n], lambda order, rank, n: order[: len(order) // n]],
        "step-and-start-swapped": [lambda order, rank, n: order[n::rank],
                                   lambda order, rank, n: order[n :: max(rank, 1)]],
        "everything-from-rank": lambda order, rank, n: order[rank:],
        "end-for-step": [lambda order, rank, n: order[rank:n], lambda order, rank, n: order[rank : rank + n]],
        "one-index": [lambda order, rank, n: order[rank], lambda order, rank, n: [order[rank]]],
        "places-not-images": lambda order, rank, n: list(range(rank, len(order), n)),
        "by-value": lambda order, rank, n: [image for image in order if image % n == rank],
        "sorts": lambda order, rank, n: sorted(order)[rank::n],
        "step-one-more": lambda order, rank, n: order[rank :: n + 1],
        "shares-of-all": lambda order, rank, n: [order[one::n] for one in range(n)],
        "takes-the-others": lambda order, rank, n: [order[i] for i in range(len(order)) if i % n != rank],
    }  # fmt: skip
    return compare(learners, cases, lambda order, rank, n: order[rank::n], slips)
