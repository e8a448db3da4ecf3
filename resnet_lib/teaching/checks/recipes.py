"""Checks of lesson 09: schedules, augmentation, fine-tuning, the share of one process."""

from collections.abc import Callable
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

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
    slips = {
        "first-step-zero": lambda t, w, peak: peak * min(t / w, 1),
        "never-ends": lambda t, w, peak: peak * (t + 1) / w,
        "stays-low": [lambda t, w, peak: 0.1 * peak, lambda t, w, peak: peak / w],
        "a-jump": [lambda t, w, peak: (0.1 if t < w else 1) * peak, lambda t, w, peak: (1 / w if t < w else 1) * peak],
        "no-warm-up": lambda t, w, peak: peak,
        "ends-late": lambda t, w, peak: peak * min((t + 1) / (w + 1), 1),
        "ends-early": lambda t, w, peak: peak * min((t + 1) / max(w - 1, 1), 1),
        "falls-after": [lambda t, w, peak: peak * (t + 1) / w if t < w else 0.0,
                        lambda t, w, peak: peak * (t + 1) / w if t < w else peak / 10],
        "turned-round": lambda t, w, peak: peak * max(1 - t / w, 0),
        "forgets-peak": lambda t, w, peak: min((t + 1) / w, 1),
        "not-linear": [lambda t, w, peak: peak * min((t + 1) / w, 1) ** 2,
                       lambda t, w, peak: peak * sqrt(min((t + 1) / w, 1))],
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
        """A slip that flips as it should, along `axes`, and shifts in another way."""
        return lambda x, top, left, flip: shift(x, top, left).flip(axes or (-1,)) if flip else shift(x, top, left)

    right = then_flip(cut)
    slips = {
        "never-flips": lambda x, top, left, flip: cut(x, top, left),
        "always-flips": lambda x, top, left, flip: cut(x, top, left).flip(-1),
        "turned-round": lambda x, top, left, flip: right(x, top, left, not flip),
        "flips-upside-down": [then_flip(cut, -2), then_flip(cut, -2, -1)],
        "flips-channels": then_flip(cut, 0),
        "flips-first": lambda x, top, left, flip: cut(x.flip(-1) if flip else x, top, left),
        "swaps-axes": lambda x, top, left, flip: right(x, left, top, flip),
        "no-border": [then_flip(lambda x, top, left: x[:, top:, left:]), then_flip(lambda x, top, left: x)],
        "rolls": then_flip(lambda x, top, left: x.roll((4 - top, 4 - left), (1, 2))),
        "not-cut": then_flip(lambda x, top, left: padded(x)),
        "cuts-to-the-end": then_flip(lambda x, top, left: padded(x)[:, top:, left:]),
        "cuts-square": then_flip(lambda x, top, left: cut(x, top, left)[:, :, : x.shape[1]]),
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
        old, parts = model.fc, len(list(model.children()))
        returned = call(learners, model, classes)
        if not isinstance(returned, (ResNet, type(None))):
            wanted = "not-a-module" if not isinstance(returned, nn.Module) else "returns-the-head"
            raise Mistake(wanted, got=f"a value of type {kind(returned)}")
        model = borrow(model if returned is None else returned)
        if model.fc is old:
            raise Mistake("another-name" if len(list(model.children())) > parts else "keeps-the-head")
        _judge_head(model, before, classes)
    return "only the new classifier learns, everything else is as it was trained."


def _judge_head(model: Any, before: dict[str, Tensor], classes: int) -> None:
    if not isinstance(model.fc, nn.Linear):
        raise Mistake("head-not-linear", got=kind(model.fc))
    if model.fc.in_features != before["fc.weight"].shape[1]:
        raise Mistake("fc-width")
    if model.fc.out_features != classes:
        raise Mistake("ignores-classes")
    body = {name: value for name, value in model.named_parameters() if not name.startswith("fc.")}
    if any(not torch.equal(value.detach(), before[name]) for name, value in body.items() if name in before):
        raise Mistake("body-changed")
    learns = {name for name, value in model.named_parameters() if value.requires_grad}
    head = {name for name, _ in model.named_parameters() if name.startswith("fc.")}
    for key, wrong in (
        ("freezes-all", not learns),
        ("freezes-nothing", learns >= set(body)),
        ("freezes-the-head", bool(learns) and not learns & head),
        ("forgets-head-bias", bool(head - learns)),
        ("freezes-some", bool(learns - head)),
    ):
        if wrong:
            raise Mistake(key, left=", ".join(sorted(learns - head)[:3]))


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
        "step-and-start-swapped": lambda order, rank, n: order[n :: max(rank, 1)],
        "everything-from-rank": lambda order, rank, n: order[rank:],
        "one-index": [lambda order, rank, n: order[rank], lambda order, rank, n: [order[rank]]],
        "places-not-images": lambda order, rank, n: list(range(rank, len(order), n)),
        "sorts": lambda order, rank, n: sorted(order)[rank::n],
        "step-one-more": lambda order, rank, n: order[rank :: n + 1],
    }
    return compare(learners, cases, lambda order, rank, n: order[rank::n], slips)
