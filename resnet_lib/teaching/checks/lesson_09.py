"""Lesson 09: schedules, augmentation, fine-tuning, the share of one process."""

from collections.abc import Callable, Iterable, Sequence
from math import exp, log, log10, pi, sin, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.parameter import is_lazy

from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.teaching.checking import Exercise, Mistake, call, noise, slip, together
from resnet_lib.teaching.checking.words import kind


def spaced(
    exponent: Callable[[int, int], float] = lambda i, n: i / (n - 1),
    base: Callable[[float, float, int], float] = lambda low, high, n: high / low,
) -> Callable[[float, float, int], list[float]]:
    """`low` times powers of another base, or with another exponent, a function of (place, count)."""
    return lambda low, high, n: [low * base(low, high, n) ** exponent(i, n) for i in range(n)]


# fmt: off
rates = Exercise(
    "rates(low, high, count)",
    praise="four ranges: each rate is the same factor above the last, both ends included.",
    right=lambda low, high, count: [low * (high / low) ** (i / (count - 1)) for i in range(count)],
    cases=[(0.001, 10, 5), (0.01, 0.1, 3), (1e-4, 1, 9), (0.3, 0.6, 2)],
    floats=True,
    slips=[
        slip("equal-distances", "The *distances* are equal. The factors should be.",
             lambda low, high, n: [low + (high - low) * i / (n - 1) for i in range(n)]),
        slip("never-arrives", "It does not end at `high`: `count` rates have `count - 1` steps between them.",
             spaced(lambda i, n: i / n), spaced(lambda i, n: i / (n + 1)), spaced(lambda i, n: i / (n - 2))),
        slip("exponent-inverted", "The exponent is upside down: one step is a *root* of `high / low`, not a power.",
             *map(spaced, (lambda i, n: i * (n - 1), lambda i, n: i * n, lambda i, n: (n - 1) / i if i else 0))),
        slip("exponent-whole", "`//` makes the exponent a whole number, here mostly 0. Use `/`.",
             spaced(lambda i, n: 1 // (n - 1) * i), spaced(lambda i, n: i // (n - 1))),
        slip("without-low", "It does not begin with `low`. The powers of the factor begin with 0, times `low`.",
             spaced(lambda i, n: (i - 1) / (n - 1)), *[spaced(lambda i, n, k=k: (i + 1) / (n + k)) for k in (0, -1, 1)],
             lambda low, high, n: [(high / low) ** (i / (n - 1)) for i in range(n)]),
        slip("fixed-factor", "The factor, or which root it is, is fixed. It follows from `high / low` and `count`.",
             *[spaced(lambda i, n, k=k: i / k) for k in (4, 2)],
             *[spaced(lambda i, n: i, lambda low, high, n, k=k: k) for k in (10, 2)]),
        slip("factors-not-powers", "You take multiples of the factor. Neighbours differ *by* the factor: take powers.",
             *[lambda low, high, n, first=first: [low * (i + first) * (high / low) ** (1 / (n - 1)) for i in range(n)]
               for first in (0, 1)],
             lambda low, high, n: [low + i * (high / low) ** (1 / (n - 1)) for i in range(n)]),
        slip("difference-for-ratio", "The factor is a root of `high - low`. Make it from `high / low`.",
             spaced(base=lambda low, high, n: high - low)),
        slip("divides-by-steps", "You divide `high / low` by the number of steps. Take that root of it.",
             *[spaced(lambda i, n: i, lambda low, high, n, k=k: high / low / (n - k)) for k in (0, 1)]),
        slip("brackets-missing", "Brackets are missing: `**` comes before `/`, and `/` before `-`.",
             spaced(lambda i, n: i / n - i), spaced(lambda i, n: i, lambda low, high, n: high / low ** (1 / (n - 1)))),
        slip("upside-down", "The rates fall: the factor is upside down. It is made from `high / low`.",
             spaced(base=lambda low, high, n: low / high),
             lambda low, high, n: [high * (low / high) ** (i / n) for i in range(n)]),
        slip("exponents", "Those are exponents, or powers of another number. Raise 10 to the logarithms to base 10.",
             lambda low, high, n: [log10(low) + log10(high / low) * i / (n - 1) for i in range(n)],
             lambda low, high, n: [exp(log10(low) + log10(high / low) * i / (n - 1)) for i in range(n)],
             lambda low, high, n: [10 ** (log(low) + log(high / low) * i / (n - 1)) for i in range(n)],
             lambda low, high, n: [10 ** (low + (high - low) * i / (n - 1)) for i in range(n)]),
    ],
)


def rising(fraction: Callable[[float], float]) -> Callable[[int, int, float], float]:
    """A slip that reaches another part of the peak after part t of the warm-up."""
    return lambda t, w, peak: peak * fraction(min((t + 1) / w, 1))


def rising_over(first: int, stages: Callable[[int], float]) -> Callable[[int, int, float], float]:
    """A slip that begins with another stage, or has another number of them."""
    return lambda t, w, peak: peak * min((t + first) / stages(w), 1)


warm_up = Exercise(
    "warm_up(step, warm_steps, peak)",
    praise="it rises in equal steps to the peak, which step warm_steps − 1 has reached, and stays there.",
    right=lambda t, w, peak: peak * min((t + 1) / w, 1.0),
    cases=[(step, 5, 0.1) for step in (0, 1, 3, 4, 5, 50)] + [(step, 400, 0.8) for step in (0, 100, 399, 4000)]
    + [(2, 7, 3.0), (9, 7, 3.0)],
    traps=[(0, 1, 0.1)],
    slips=[
        slip("first-step-zero", "Step 0 has a rate of 0, so it does nothing. It is the first stage: use (step + 1).",
             rising_over(0, lambda w: w), rising_over(0, lambda w: w - 1)),
        together("first-step-zero", "never-ends", wrong=[
             lambda t, w, peak: peak * t / w, lambda t, w, peak: peak * t / (w - 1)]),
        slip("never-ends", "It goes on rising after the warm-up. Stop at the peak.",
             lambda t, w, peak: peak * (t + 1) / w),
        slip("stays-low", "It waits at a low value. The rate rises in equal stages from step 0 on.",
             lambda t, w, peak: 0.1 * peak, lambda t, w, peak: peak / w,
             lambda t, w, peak: (0.1 if t < w else 1) * peak, lambda t, w, peak: (1 / w if t < w else 1) * peak,
             *(lambda t, w, peak, low=low: low if t < w else peak for low in (0.01, 0.001))),
        slip("no-warm-up", "It is the peak from the first step on. The warm-up is what comes before.",
             lambda t, w, peak: peak),
        slip("peak-misplaced", "The peak comes too early or too late. Step warm_steps − 1 has it.",
             rising_over(1, lambda w: w + 1), rising_over(1, lambda w: max(w - 1, 1)), rising_over(2, lambda w: w)),
        slip("overshoots", "One step goes beyond the peak. With `<=`, step warm_steps still counts as warm-up.",
             lambda t, w, peak: peak * (t + 1) / w if t <= w else peak),
        slip("falls", "It falls. The rate rises to the peak and stays there.",
             lambda t, w, peak: peak * (t + 1) / w if t < w else 0.0,
             lambda t, w, peak: peak * (t + 1) / w if t < w else peak / 10,
             *[lambda t, w, peak, power=power: peak * min((t + 1) / w, (w / (t + 1)) ** power) for power in (0.5, 1)],
             rising(lambda part: 1 - part), lambda t, w, peak: peak * max(1 - t / w, 0)),
        slip("stops-at-one", "It goes to 1, not to the peak. Limit the fraction to 1, then multiply it by the peak.",
             lambda t, w, peak: min((t + 1) / w, 1.0), lambda t, w, peak: min(peak * (t + 1) / w, 1.0)),
        slip("max-for-min", "It takes the larger of the two. The smaller, `min`, rises and then stops.",
             lambda t, w, peak: peak * max((t + 1) / w, 1)),
        slip("whole-division", "It is 0 up to the peak. `//` drops the fraction: divide with `/`.",
             lambda t, w, peak: peak * min((t + 1) // w, 1), lambda t, w, peak: peak * min(t // w, 1)),
        slip("brackets-missing", "Brackets are missing: `/` divides only what stands next to it.",
             lambda t, w, peak: peak * min(t + 1 / w, 1), lambda t, w, peak: min(t + 1 / w * peak, peak)),
        slip("unequal-stages", "The stages are not equal. Each, the first as well, adds peak / warm_steps.",
             rising(lambda part: part**2), rising(sqrt), rising(lambda part: sin(pi / 2 * part)),
             rising(lambda part: sin(pi / 2 * part) ** 2), rising(lambda part: 10 ** (part - 1)),
             *[lambda t, w, peak, low=low, n=n: peak * (low + (1 - low) * min((t + n) / w, 1))
               for low in (0.1, 0.5, 0.01) for n in (0, 1)]),
        slip("ignores-warm-steps", "The length of the warm-up is fixed. Use the argument warm_steps.",
             *[rising_over(1, lambda w, n=n: n) for n in (5, 400, 100, 10, 1000)]),
    ],
)


def cut(x: Tensor, top: int, left: int, size: tuple[int, int] = (1, 2), border: Sequence[int] = (4,) * 4,
        **options: Any) -> Tensor:
    """H × W from (top, left) of the padded image; a slip changes the border, or takes its size from other axes."""
    return pad(x, border, **options)[..., top : top + x.shape[size[0]], left : left + x.shape[size[1]]]


def then_flip(shift: Callable[[Tensor, int, int], Tensor], *axes: int) -> Callable[..., Tensor]:
    """Shift in some way, then flip as it should be, or along `axes`."""
    return lambda x, top, left, flip: shift(x, top, left).flip(axes or (-1,)) if flip else shift(x, top, left)


def cutting(**options: Any) -> Callable[..., Tensor]:
    return then_flip(lambda x, top, left: cut(x, top, left, **options))


def slicing(slices: Callable[..., tuple[slice, ...]]) -> Callable[..., Tensor]:
    """A slip that cuts with other slices, a function of (top, left, *shape of the image)."""
    return then_flip(lambda x, top, left: pad(x, (4,) * 4)[slices(top, left, *x.shape)])


crop, ALL = then_flip(cut), slice(None)
IMAGES = [noise(1, 9, 9), noise(3, 10, 12, seed=1)]
crop_and_flip = Exercise(
    "crop_and_flip(image, top, left, flip)",
    praise="shifted into all corners, mirrored and not, for square and other images.",
    right=crop,
    cases=[(IMAGES[0], 0, 7, False), (IMAGES[1], 3, 1, True), (IMAGES[1], 8, 8, False), (IMAGES[0], 4, 4, True)],
    slips=[
        slip("never-flips", "It never mirrors the image. `.flip` returns a new tensor: keep what it returns.",
             lambda x, top, left, flip: cut(x, top, left)),
        slip("always-flips", "It always mirrors the image. Mirror it only where `flip` is True.",
             lambda x, top, left, flip: cut(x, top, left).flip(-1)),
        slip("flips-the-others", "It mirrors exactly where `flip` is False.",
             lambda x, top, left, flip: crop(x, top, left, not flip)),
        slip("flips-another-axis", "You reverse another axis. Left and right are the last axis of (C, H, W), no other.",
             then_flip(cut, -2), then_flip(cut, -2, -1), then_flip(cut, 0), then_flip(cut, 0, 1, 2)),
        slip("flips-first", "You mirror before you cut. Cut first, so that `left` counts in the image as it was.",
             lambda x, top, left, flip: cut(x.flip(-1) if flip else x, top, left)),
        slip("swaps-axes", "`top` and `left` are swapped. In (C, H, W) the rows come before the columns.",
             lambda x, top, left, flip: crop(x, left, top, flip)),
        slip("not-moved", "The image stays where it is: `top` and `left` change nothing.",
             then_flip(lambda x, top, left: x)),
        slip("no-border", "You cut from the image itself. Four zeros on each side come first.", cutting(border=(0, 0))),
        slip("border-not-zero", "What comes in at the border is not 0.",
             then_flip(lambda x, top, left: x.roll((4 - top, 4 - left), (1, 2))),
             *[cutting(mode=mode) for mode in ("replicate", "reflect")],
             *[cutting(value=value) for value in (1, -1, 0.5, 255)]),
        slip("border-width", "The border is not 4 pixels wide on all four sides.",
             *[cutting(border=(width,) * 4) for width in (1, 2, 3, 5, 6, 8)],
             cutting(border=(4, 4)), cutting(border=(0, 0, 4, 4)), cutting(border=(4, 0, 4, 0))),
        slip("channels-too", "The channels are padded or cut as well. Leave them alone: [:, rows, columns].",
             cutting(border=(4,) * 6), slicing(lambda top, left, c, h, w: (slice(top, top + h), slice(left, left + w))),
             slicing(lambda top, left, c, h, w: (slice(top, top + c), slice(left, left + h)))),
        slip("wrong-end", "The cut ends in the wrong place. It goes from `top` to `top + height`.",
             slicing(lambda top, left, c, h, w: (ALL,)),
             slicing(lambda top, left, c, h, w: (ALL, slice(top, None), slice(left, None))),
             slicing(lambda top, left, c, h, w: (ALL, slice(top, h), slice(left, w))),
             slicing(lambda top, left, c, h, w: (ALL, slice(top, top + h + 1), slice(left, left + w + 1)))),
        slip("wrong-size", "What you cut has another size. In (C, H, W) the height is shape[1], the width shape[2].",
             cutting(size=(1, 1)), cutting(size=(2, 2)), cutting(size=(2, 1)), cutting(size=(0, 1))),
        slip("counts-from-the-image", "`top` and `left` count from the border's corner: (4, 4) moves nothing.",
             cutting(border=(0, 4, 0, 4)), cutting(border=(0, 8, 0, 8))),
        slip("moves-the-other-way", "The image moves the other way. With `top` = 0 the cut begins at the upper border.",
             then_flip(lambda x, top, left: cut(x, 8 - top, 8 - left))),
    ],
)
# fmt: on


def trained_net(classes: int) -> Sequence[Any]:
    torch.manual_seed(classes)
    return cifar_resnet(8, in_channels=1, width=4), classes


def head_problem(returned: Any, before: Sequence[Any], after: Sequence[Any]) -> Mistake | None:
    """Does the net have a new classifier, the only part that learns?"""
    (old, classes), model = before, after[0]
    if returned is not None and returned is not model:
        return Mistake("changes-a-copy" if isinstance(returned, type(model)) else "not-the-net", got=kind(returned))
    if any(map(is_lazy, model.parameters())):
        with torch.no_grad():
            call(model.eval(), noise(1, 1, 8, 8))
    head, width, now = getattr(model, "fc", None), old.fc.in_features, model.state_dict()
    body = {name: was for name, was in old.state_dict().items() if not name.startswith("fc.")}
    if any(name not in now or not torch.equal(now[name], was) for name, was in body.items()):
        return Mistake("body-changed")
    if new := dict(model.named_children()).keys() - dict(old.named_children()).keys():
        return Mistake("another-name", name=", ".join(new))
    if not isinstance(head, nn.Linear):
        return Mistake("head-not-linear", got="missing" if head is None else f"a {kind(head)}")
    learns = {name for name, weight in model.named_parameters() if weight.requires_grad is True}
    written = [name for one in (*model.parameters(), *model.modules()) for name in vars(one) if "grad" in name]
    given, learning = tuple(head.weight.shape), learns & {*body}
    opened = len(learning) == len(list(old.parameters())) - 2
    for key, wrong in {
        "keeps-the-head": given == (old.fc.out_features, width) and torch.equal(head.weight, old.fc.weight),
        "head-sizes-swapped": given == (width, classes),
        "head-width": given[1] != width,
        "ignores-classes": given[0] != classes,
        "head-without-bias": head.bias is None,
        "freezes-all": not learns,
        "freezes-modules": opened and "requires_grad" in written,
        "misspelt-requires-grad": written and learning,
        "freezes-the-head": learns <= {*body},
        "freezes-nothing": opened,
        "forgets-head-bias": not learns >= {"fc.weight", "fc.bias"},
        "freezes-some": learning,
    }.items():
        if wrong:
            left = ", ".join(sorted(learning)[:3])
            return Mistake(key, left=left, given="".join(written[:1]), got=given[1], wanted=width)
    return None


def with_head(*steps: Callable[[Any, int], object], freeze: bool = True) -> Callable[[Any, int], Any]:
    """Freeze, then change the net in some steps; it is returned."""

    def answer(model: Any, classes: int) -> Any:
        model.requires_grad_(not freeze)
        for step in steps:
            step(model, classes)
        return model

    return answer


def sets_head(model: Any, classes: int) -> None:
    model.fc = nn.Linear(model.fc.in_features, classes)


def heads(make: Callable[[nn.Linear, int], nn.Module]) -> Callable[[Any, int], Any]:
    """Another classifier, a function of (the old one, number of classes)."""
    return with_head(lambda m, n: setattr(m, "fc", make(m.fc, n)))


def marks(what: str, name: str) -> Callable[[Any, int], Any]:
    """Set an attribute of all `parameters` or `modules` to False."""
    return with_head(lambda m, n: [setattr(one, name, False) for one in getattr(m, what)()], sets_head, freeze=False)


# fmt: off
new_head = Exercise(
    "new_head(model, num_classes)",
    praise="only the new classifier learns, everything else is as it was trained.",
    right=with_head(sets_head),
    cases=lambda: [trained_net(3), trained_net(5)],
    problem=head_problem,
    slips=[
        slip("not-the-net", "It returns {got}, not the net. Put a new `fc` into the net and return it.",
             lambda m, n: nn.Sequential(m.requires_grad_(False), nn.Linear(10, n)),
             lambda m, n: nn.Linear(m.fc.in_features, n), lambda m, n: [m], lambda m, n: n),
        slip("another-name", "The new classifier is called `{name}`, but the net's forward pass calls `fc`.",
             with_head(lambda m, n: setattr(m, "head", nn.Linear(m.fc.in_features, n)))),
        slip("head-not-linear", "The net's `fc` is {got}. Put one nn.Linear there.",
             with_head(lambda m, n: delattr(m, "fc")), heads(lambda fc, n: nn.Sequential(fc, nn.Softmax(1)))),
        slip("keeps-the-head", "`fc` still has the weights for the old classes. Put a new nn.Linear in its place.",
             with_head(lambda m, n: m.fc.requires_grad_(True)),
             with_head(lambda m, n: setattr(m.fc, "out_features", n))),
        slip("body-changed", "Weights of the body are not what they were. Fine-tuning keeps them.",
             with_head(lambda m, n: nn.init.ones_(m.conv1.weight), sets_head),
             with_head(lambda m, n: setattr(m, "layer1", trained_net(7)[0].layer1), sets_head)),
        slip("head-sizes-swapped", "Inputs and outputs of the new classifier are swapped: nn.Linear(inputs, outputs).",
             heads(lambda fc, n: nn.Linear(n, fc.in_features))),
        slip("head-width", "The new classifier has {got} inputs; the body has {wanted} outputs: model.fc.in_features.",
             heads(lambda fc, n: nn.Linear(512, n)), heads(lambda fc, n: nn.Linear(fc.out_features, n))),
        slip("ignores-classes", "The new classifier has the wrong number of outputs. It is num_classes.",
             heads(lambda fc, n: nn.Linear(fc.in_features, 10))),
        slip("head-without-bias", "The new classifier has no bias. The old one had.",
             heads(lambda fc, n: nn.Linear(fc.in_features, n, bias=False))),
        slip("freezes-all", "Nothing learns: the new classifier is frozen too. Freeze first, then make it.",
             with_head(sets_head, lambda m, n: m.requires_grad_(False))),
        slip("misspelt-requires-grad", "You set `{given}`, where torch does not look. The name is requires_grad.",
             marks("parameters", "require_grad"), marks("parameters", "requires_grad_")),
        slip("freezes-modules", "requires_grad of a *module* does nothing. Call its `requires_grad_(False)`.",
             marks("modules", "requires_grad")),
        slip("freezes-the-head", "The body learns and the new classifier does not. It should be the other way round.",
             with_head(sets_head, lambda m, n: m.fc.requires_grad_(False), freeze=False)),
        slip("freezes-nothing", "Everything learns. Freeze the body: requires_grad_(False) before the new `fc`.",
             with_head(sets_head, freeze=False),
             with_head(lambda m, n: m.fc.requires_grad_(False), sets_head, freeze=False)),
        slip("forgets-head-bias", "Part of the new classifier is frozen. Both its weight and its bias should learn.",
             with_head(sets_head, lambda m, n: m.fc.bias.requires_grad_(False))),
        slip("freezes-some", "Some of the body still learns, {left} for example.",
             with_head(sets_head, lambda m, n: m.bn1.requires_grad_(True))),
    ],
)


def frozen(module: nn.Module) -> bool:
    learning = [parameter.requires_grad for parameter in module.parameters()]
    return bool(learning) and not any(learning)


def sets_modes(where: Callable[[nn.Module], bool], start: bool | None = True, then: bool = False,
               among: Callable[[nn.Module], Iterable[nn.Module]] = nn.Module.modules) -> Callable[[nn.Module], None]:
    """Train mode, then eval mode where a rule is true. Slips begin or go on with the other mode, or among others."""

    def train_mode(net: nn.Module) -> None:
        if start is not None:
            net.train(start)
        for module in among(net):
            if where(module):
                module.train(then)

    return train_mode


def partly_frozen() -> list[tuple[nn.Module]]:
    """Nets with a new classifier, with one frozen stage, with single frozen layers, and wholly open; in both modes."""
    cases = []
    for seed, names in enumerate(("conv1 bn1 layer1 layer2 layer3", "layer1", "bn1 layer2.0.conv1", "")):
        torch.manual_seed(seed)
        net: nn.Module = cifar_resnet(8, in_channels=1, width=4).train(seed % 2 == 0)
        for name in names.split():
            net.get_submodule(name).requires_grad_(False)
        net.fc = nn.Sequential(nn.Dropout(0.1), nn.Linear(16, 3))
        cases.append((net,))
    return cases


def modes(net: nn.Module) -> dict[str, bool]:
    """Which layers are in train mode? Containers are nobody's business."""
    counted = (nn.BatchNorm2d, nn.Dropout, nn.Conv2d, nn.Linear)
    return {name: module.training for name, module in net.named_modules() if isinstance(module, counted)}


train_mode = Exercise(
    "train_mode(net)",
    praise="four nets: what is frozen is in eval mode, everything else in train mode, the dropout too.",
    right=sets_modes(frozen),
    cases=partly_frozen,
    changes=modes,
    ignores=("changes-mode",),
    slips=[
        slip("all-in-train-mode", "Everything is in train mode. (A `net.train()` after the loop undoes the loop.)",
             lambda net: net.train()),
        slip("all-in-eval-mode", "Everything is in eval mode. Begin with `net.train()`.", lambda net: net.eval()),
        slip("partly-frozen-still", "Modules of which a part is frozen are in eval mode. *All* of it must be frozen.",
             sets_modes(lambda m: not all(p.requires_grad for p in m.parameters())),
             sets_modes(lambda m: not next((p.requires_grad for p in m.parameters()), True))),
        slip("no-train-first", "What was in eval mode stays there. Begin with `net.train()`.",
             sets_modes(frozen, start=None)),
        slip("open-norms-still", "Every batch norm is in eval mode, even those that learn.",
             sets_modes(lambda m: isinstance(m, nn.BatchNorm2d))),
        slip("only-the-norms", "Only frozen batch norms are in eval mode. All modules that are frozen should be.",
             sets_modes(lambda m: isinstance(m, nn.BatchNorm2d) and frozen(m))),
        slip("turned-round", "It is the wrong way round: what learns is in eval mode.",
             sets_modes(lambda m: any(p.requires_grad for p in m.parameters(recurse=False))),
             sets_modes(frozen, start=False, then=True)),
        slip("only-the-children", "You go through `net.children()`, the first floor only. Take `net.modules()`.",
             sets_modes(frozen, among=nn.Module.children)),
        slip("only-the-head", "You go by names. Ask every module whether its parameters are frozen.",
             lambda net: net.eval().fc.train()),
        slip("nothing-is-not-frozen", "The dropout is in eval mode. A module without parameters is not frozen.",
             sets_modes(lambda m: not any(p.requires_grad for p in m.parameters()))),
    ],
)


my_share = Exercise(
    "my_share(order, rank, processes)",
    praise="one, two and four processes, also where the batch does not divide.",
    right=lambda order, rank, n: order[rank::n],
    cases=[([5, 3, 8, 1, 9, 2], 0, 2), ([5, 3, 8, 1, 9, 2], 1, 2), ([7, 4, 6, 0, 3, 1, 2, 5], 2, 4), ([4, 1], 0, 1)],
    traps=[([6, 2, 9, 4, 1], 0, 2), ([6, 2, 9, 4, 1, 8, 7], 2, 3), ([3], 1, 2)],
    slips=[
        slip("takes-a-piece", "It takes one contiguous piece. Here the images are dealt out in turn.",
             lambda order, rank, n: order[rank * (len(order) // n) : (rank + 1) * (len(order) // n)]),
        slip("counts-from-one", "You count from 1. Index 0 is the first.",
             lambda order, rank, n: order[rank + 1 :: n], lambda order, rank, n: order[rank - 1 :: n],
             lambda order, rank, n: order[(rank - 1) % n :: n]),
        slip("the-same-for-all", "Every process takes the same images. `rank` says which process this is.",
             lambda order, rank, n: order, lambda order, rank, n: order[::n],
             lambda order, rank, n: order[: len(order) // n]),
        slip("step-and-start-swapped", "Start and step are swapped: order[start::step].",
             lambda order, rank, n: order[n::rank], lambda order, rank, n: order[n :: max(rank, 1)]),
        slip("no-step", "The slice has no step. It follows a second colon: start:end:step.",
             lambda order, rank, n: order[rank:n], lambda order, rank, n: order[rank : rank + n],
             lambda order, rank, n: order[rank:]),
        slip("one-index", "It takes one image. A process goes on through the whole batch.",
             lambda order, rank, n: order[rank], lambda order, rank, n: [order[rank]]),
        slip("places-not-images", "Those are places in the list, not the images found there.",
             lambda order, rank, n: list(range(rank, len(order), n))),
        slip("by-value", "You go by the images' numbers. Go by their places in `order`.",
             lambda order, rank, n: [image for image in order if image % n == rank]),
        slip("wrong-step", "The step is wrong. Every `processes`-th image is yours.",
             lambda order, rank, n: order[rank :: n + 1], lambda order, rank, n: order[rank::2]),
        slip("shares-of-all", "It returns the shares of all processes. Only this process's is asked for.",
             lambda order, rank, n: [order[one::n] for one in range(n)]),
        slip("cuts-the-rest", "The images that are left over where the batch does not divide belong to someone too.",
             lambda order, rank, n: order[rank : len(order) // n * n : n]),
        slip("fills-up", "The shares are filled up to the same length, so some images are there twice.",
             lambda order, rank, n: (order + order[: -len(order) % n])[rank::n]),
    ],
)
# fmt: on
