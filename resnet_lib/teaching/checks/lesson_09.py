"""Lesson 09: schedules, augmentation, fine-tuning, the share of one process."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from math import log10, pi, sin, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.parameter import is_lazy

from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.teaching.checking import Exercise, Mistake, call, noise


def from_part(low: float, first: int, less: int) -> Callable[..., float]:
    """A slip that rises from a part of the peak."""
    return lambda t, w, peak: peak * (low + (1 - low) * min((t + first) / max(w - less, 1), 1))


def keeps_still(net: nn.Module) -> None:
    """Train mode, except for modules whose parameters are all frozen."""
    net.train()
    for module in net.modules():
        parameters = list(module.parameters())
        if parameters and not any(one.requires_grad for one in parameters):
            module.eval()


def partly_frozen() -> list[tuple[nn.Module]]:
    """Nets with a new classifier, with one frozen stage, with one frozen norm, and wholly open; in both modes."""
    cases = []
    for seed, frozen in enumerate((("conv1", "bn1", "layer1", "layer2", "layer3"), ("layer1",), ("bn1",), ())):
        torch.manual_seed(seed)
        net: nn.Module = cifar_resnet(8, in_channels=1, width=4).train(seed % 2 == 0)
        for name in frozen:
            net.get_submodule(name).requires_grad_(False)
        net.fc = nn.Sequential(nn.Dropout(0.1), nn.Linear(16, 3))
        cases.append((net,))
    return cases


def modes(net: nn.Module) -> dict[str, Any]:
    """Which modules are in train mode, which parameters learn? Modules without any parameter are nobody's business,
    except dropout."""
    counted = (nn.BatchNorm2d, nn.Dropout, nn.Conv2d, nn.Linear)
    found = {name: module.training for name, module in net.named_modules() if isinstance(module, counted)}
    return found | {"requires_grad": [p.requires_grad for p in net.parameters()]}


def changed_copy(net: nn.Module) -> nn.Module:
    twin = deepcopy(net)
    keeps_still(twin)
    return twin


def norms_in_eval(net: nn.Module) -> None:
    net.train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def if_any_is_frozen(net: nn.Module) -> None:
    net.train()
    for module in net.modules():
        if any(not one.requires_grad for one in module.parameters()):
            module.eval()


def if_open(net: nn.Module) -> None:
    net.train()
    for module in net.modules():
        if any(one.requires_grad for one in module.parameters(recurse=False)):
            module.eval()


def without_parameters_too(net: nn.Module) -> None:
    net.train()
    for module in net.modules():
        if not any(one.requires_grad for one in module.parameters()):
            module.eval()


def train_comes_last(net: nn.Module) -> None:
    keeps_still(net)
    net.train()


def thaws(net: nn.Module) -> None:
    net.requires_grad_(True)
    net.train()


def without_train(net: nn.Module) -> None:
    for module in net.modules():
        parameters = list(module.parameters())
        if parameters and not any(one.requires_grad for one in parameters):
            module.eval()


# fmt: off
warm_up = Exercise(
    "warm_up(step, warm_steps, peak)",
    praise="it rises in equal steps to the peak, which step warm_steps − 1 has reached, and stays there.",
    right=lambda t, w, peak: peak * min((t + 1) / w, 1.0),
    cases=[(step, 5, 0.1) for step in (0, 1, 3, 4, 5, 50)] + [(step, 400, 0.8) for step in (0, 100, 399, 4000)]
    + [(2, 7, 3.0), (9, 7, 3.0)],
    traps=[(0, 1, 0.1)],
)
warm_up.slip("first-step-zero", "The first step has a learning rate of 0, so it does nothing. Step 0 is the first of "
    "the stages: count (step + 1).",
    lambda t, w, peak: peak * min(t / w, 1), lambda t, w, peak: peak * min(t / (w - 1), 1))
warm_up.together("first-step-zero", "never-ends", wrong=[
    lambda t, w, peak: peak * t / w, lambda t, w, peak: peak * t / (w - 1)])
warm_up.slip("never-ends", "It goes on rising after the warm-up. Stop at the peak.",
    lambda t, w, peak: peak * (t + 1) / w)
warm_up.slip("stays-low", "It stays low forever: for {case} it gives {given}. That is the bug of a well-known "
    "repository: it divided the learning rate by ten before the first epoch and nothing ever multiplied it back.",
    lambda t, w, peak: 0.1 * peak, lambda t, w, peak: peak / w)
warm_up.slip("a-jump", "It waits at a low value and jumps to the peak. He et al. 2015 did that for 110 layers; here "
    "the rate should rise in equal stages.",
    lambda t, w, peak: (0.1 if t < w else 1) * peak, lambda t, w, peak: (1 / w if t < w else 1) * peak,
    *(lambda t, w, peak, low=low: low if t < w else peak for low in (0.01, 0.001)))
warm_up.slip("no-warm-up", "It is the peak from the first step on. The warm-up is what comes before.",
    lambda t, w, peak: peak)
warm_up.slip("ends-late", "The peak comes a step late: for {case} it gives {given}. Step warm_steps − 1 is the last of "
    "the warm-up.",
    lambda t, w, peak: peak * min((t + 1) / (w + 1), 1))
warm_up.slip("ends-early", "The peak comes a step early: for {case} it gives {given}.",
    lambda t, w, peak: peak * min((t + 1) / max(w - 1, 1), 1))
warm_up.slip("overshoots", "One step goes beyond the peak: for {case} it gives {given}. Steps 0 to warm_steps − 1 are "
    "the warm-up; with `<=`, step warm_steps counts as one as well.",
    lambda t, w, peak: peak * (t + 1) / w if t <= w else peak)
warm_up.slip("falls-after", "After the warm-up it falls: for {case} it gives {given}. It stays at the peak; lowering "
    "it is a different schedule's job.",
    lambda t, w, peak: peak * (t + 1) / w if t < w else 0.0,
    lambda t, w, peak: peak * (t + 1) / w if t < w else peak / 10,
    lambda t, w, peak: peak * min((t + 1) / w, sqrt(w / (t + 1))))
warm_up.slip("forgets-peak", "It ends at 1: for {case} it gives {given}. Multiply by the peak.",
    lambda t, w, peak: min((t + 1) / w, 1.0))
warm_up.slip("stops-at-one", "It stops at 1, not at the peak: for {case} it gives {given}. Either limit (step + 1) / "
    "warm_steps to 1 and then multiply, or limit the product to `peak`.",
    lambda t, w, peak: min(peak * (t + 1) / w, 1.0))
warm_up.slip("max-for-min", "It takes the larger of the two: for {case} it gives {given}. `max` starts at the peak and "
    "rises; the smaller of the two, `min`, stops there.",
    lambda t, w, peak: peak * max((t + 1) / w, 1))
warm_up.slip("whole-division", "It is 0 up to the peak: for {case} it gives {given}. Look for `//`: it drops the "
    "fraction, so divide with `/`.",
    lambda t, w, peak: peak * min((t + 1) // w, 1), lambda t, w, peak: peak * min(t // w, 1))
warm_up.slip("brackets-missing", "Brackets are missing: for {case} it gives {given}. `/` and `//` bind more strongly "
    "than + and −, so they divide only what is next to them.",
    lambda t, w, peak: peak * min(t + 1 / w, 1), lambda t, w, peak: min(t + 1 / w * peak, peak))
warm_up.slip("not-linear", "It rises in unequal stages: for {case} it gives {given}. Every step of the warm-up adds "
    "peak / warm_steps.",
    lambda t, w, peak: peak * min((t + 1) / w, 1) ** 2, lambda t, w, peak: peak * sqrt(min((t + 1) / w, 1)),
    lambda t, w, peak: peak * sin(pi / 2 * min((t + 1) / w, 1)),
    lambda t, w, peak: peak * sin(pi / 2 * min((t + 1) / w, 1)) ** 2)
warm_up.slip("starts-high", "It does not start at peak / warm_steps: for {case} it gives {given}. The first stage is "
    "as high as all others.",
    *[from_part(low, first, less) for low in (0.1, 1 / 3, 0.5, 0.01, 0.001)
    for first, less in ((0, 0), (0, 1), (1, 0))])
warm_up.slip("ignores-warm-steps", "The length of the warm-up is fixed: for {case} it gives {given}. Use the argument "
    "warm_steps.",
    *[lambda t, w, peak, n=n: peak * min((t + 1) / n, 1) for n in (5, 400, 100, 10, 1000)])
warm_up.slip("falls-to-zero", "It begins high and falls: for {case} it gives {given}. A warm-up begins low and rises.",
    lambda t, w, peak: peak * max(1 - t / w, 0), lambda t, w, peak: peak * max(w - t - 1, 0) / w)
warm_up.slip("all-steps-at-once", "It returns a whole schedule: {given}. The rate at one step is asked for.",
    lambda t, w, peak: [peak * (n + 1) / w for n in range(w)])


def framed_image(image: Tensor) -> Tensor:
    return pad(image, (4,) * 4)


def cut(image: Tensor, top: int, left: int) -> Tensor:
    return framed_image(image)[:, top : top + image.shape[1], left : left + image.shape[2]]


def then_flip(shift: Callable[[Tensor, int, int], Tensor], *axes: int) -> Callable[..., Tensor]:
    """A slip that flips as it should, or along `axes`, and shifts in another way."""
    return lambda x, top, left, flip: shift(x, top, left).flip(axes or (-1,)) if flip else shift(x, top, left)


def framed(*border: int, **options: Any) -> Callable[..., Tensor]:
    """A slip with another border."""

    def shift(x: Tensor, top: int, left: int) -> Tensor:
        return pad(x, border or (4,) * 4, **options)[..., top : top + x.shape[1], left : left + x.shape[2]]

    return then_flip(shift)


def sized(height: int, width: int) -> Callable[..., Tensor]:
    """A slip that cuts shape[height] × shape[width]."""
    return then_flip(lambda x, top, left: framed_image(x)[:, top : top + x.shape[height], left : left + x.shape[width]])


crop = then_flip(cut)
IMAGES = [noise(1, 9, 9), noise(3, 10, 12, seed=1)]
crop_and_flip = Exercise(
    "crop_and_flip(image, top, left, flip)",
    praise="shifted into all corners, mirrored and not, for square and other images.",
    right=crop,
    cases=[(IMAGES[0], 0, 7, False), (IMAGES[1], 3, 1, True), (IMAGES[1], 8, 8, False), (IMAGES[0], 4, 4, True)],
)
crop_and_flip.slip("never-flips", "It never mirrors the image.",
    lambda x, top, left, flip: cut(x, top, left))
crop_and_flip.slip("always-flips", "It always mirrors the image. Mirror it only where `flip` is True.",
    lambda x, top, left, flip: cut(x, top, left).flip(-1))
crop_and_flip.slip("flips-upside-down", "You turned the image upside down. Left and right are the last axis; the net "
    "will never meet a shoe standing on its head.",
    then_flip(cut, -2), then_flip(cut, -2, -1))
crop_and_flip.slip("flips-channels", "You reversed the channels. Left and right are the last axis of (C, H, W).",
    then_flip(cut, 0), then_flip(cut, 0, 1, 2))
crop_and_flip.slip("flips-first", "You mirror before you cut. Both are used; here the cut comes first, so that `left` "
    "counts from the left of the image as it was.",
    lambda x, top, left, flip: cut(x.flip(-1) if flip else x, top, left))
crop_and_flip.slip("swaps-axes", "`top` and `left` are swapped. In (C, H, W) the rows come before the columns.",
    lambda x, top, left, flip: crop(x, left, top, flip))
crop_and_flip.slip("not-moved", "The image stays where it is: `top` and `left` change nothing. (4, 4) is the middle of "
    "the padded image, (0, 0) its corner.",
    then_flip(lambda x, top, left: x))
crop_and_flip.slip("no-border", "You cut from the image itself: it is not padded. Four zeros on each side come first; "
    "then there is room to shift.",
    then_flip(lambda x, top, left: x[:, top : top + x.shape[1], left : left + x.shape[2]]))
crop_and_flip.slip("rolls", "What leaves on one side comes in on the other. The border should bring in zeros.",
    then_flip(lambda x, top, left: x.roll((4 - top, 4 - left), (1, 2))))
crop_and_flip.slip("pads-copies", "The border repeats the outermost pixels. It should hold zeros.",
    framed(mode="replicate"), framed(mode="reflect"))
crop_and_flip.slip("border-not-zero", "The border holds a number other than 0.",
    *[framed(value=value) for value in (1, -1, 0.5, 255)])
crop_and_flip.slip("border-width", "The border is not 4 pixels wide. Then (4, 4) would not be the place where nothing "
    "moves.",
    *[framed(*(width,) * 4) for width in (1, 2, 3, 5, 6, 8)])
crop_and_flip.slip("pads-width-only", "You pad only one axis of the image.",
    framed(4, 4), framed(0, 0, 4, 4))
crop_and_flip.slip("pads-channels-too", "You padded the channels as well: the result has shape {given_shape}. `pad` "
    "takes pairs from the *last* axis on, and two pairs are enough.",
    framed(*(4,) * 6))
crop_and_flip.slip("not-cut", "The padded image is returned whole. Cut H × W out of it.",
    then_flip(lambda x, top, left: framed_image(x)))
crop_and_flip.slip("cuts-to-the-end", "You cut from (top, left) to the end. The result should be H × W, as the image "
    "was.",
    then_flip(lambda x, top, left: framed_image(x)[:, top:, left:]))
crop_and_flip.slip("cuts-square", "You cut a square. The image may be wider than it is high.",
    sized(1, 1), sized(2, 2))
crop_and_flip.slip("height-and-width-swapped", "The height and the width of what you cut are swapped. In (C, H, W) the "
    "height is shape[1], the width shape[2].",
    sized(2, 1))
crop_and_flip.slip("cuts-by-channels", "You cut shape[0] × shape[1], that is channels × height. In (C, H, W) the "
    "height is shape[1], the width shape[2].",
    sized(0, 1))
crop_and_flip.slip("cuts-channels", "You cut the first two axes, channels and rows. Leave the channels alone: [:, "
    "rows, columns].",
    then_flip(lambda x, top, left: framed_image(x)[top : top + x.shape[0], left : left + x.shape[1]]),
    then_flip(lambda x, top, left: framed_image(x)[top : top + x.shape[1], left : left + x.shape[2]]))
crop_and_flip.slip("end-not-moved", "The end of the cut stays while its start moves: for {case} the result has shape "
    "{given_shape}. A slice takes start and end, so from `top` to `top + height`.",
    then_flip(lambda x, top, left: framed_image(x)[:, top : x.shape[1], left : x.shape[2]]))
crop_and_flip.slip("counts-from-the-image", "You count `top` and `left` from the corner of the image. They count from "
    "the corner of the border, which is on all four sides: (4, 4) is where nothing moves.",
    *[framed(0, n, 0, n) for n in (4, 8)])
crop_and_flip.slip("moves-the-other-way", "The image moves the other way. With `top` = 0 the cut begins at the upper "
    "border, so the image lies lower in it.",
    then_flip(lambda x, top, left: cut(x, 8 - top, 8 - left)))
crop_and_flip.slip("border-on-two-sides", "The border is only on the left and above. `pad` takes one number for "
    "each side: left, right, top, bottom.",
    framed(4, 0, 4, 0))
crop_and_flip.slip("flips-the-others", "It mirrors exactly where `flip` is False.",
    lambda x, top, left, flip: crop(x, top, left, not flip))


def trained_net(classes: int, seed: int) -> Sequence[Any]:
    torch.manual_seed(seed)
    return cifar_resnet(8, in_channels=1, width=4), classes


def head_problem(returned: Any, before: Sequence[Any], after: Sequence[Any]) -> Mistake | None:
    """Does the net have a new classifier, the only part that learns?"""
    (old, classes), model = before, after[0]
    kind = type(returned).__name__
    if returned is not None and not isinstance(returned, type(model)):
        if isinstance(returned, nn.Module) and {*returned.modules()} & {*model.modules()} - {model.fc}:
            return Mistake("wraps-the-net", got=kind)
        return Mistake("returns-the-head" if isinstance(returned, nn.Module) else "not-the-net", got=kind)
    model = model if returned is None else returned
    if any(map(is_lazy, model.parameters())):
        with torch.no_grad():
            call(deepcopy(model).eval(), noise(1, 1, 8, 8))
            call(model.eval(), noise(1, 1, 8, 8))
    head, names = getattr(model, "fc", None), dict(old.named_children())
    then, now = ({**dict(net.named_parameters()), **dict(net.named_buffers())} for net in (old, model))
    body = [name for name in then if not name.startswith("fc.")]
    if any(name not in now or not torch.equal(now[name].detach(), then[name].detach()) for name in body):
        return Mistake("body-changed")
    if new := [name for name in dict(model.named_children()) if name not in names]:
        return Mistake("another-name", name=", ".join(new))
    if head is None:
        return Mistake("no-head")
    if not isinstance(head, nn.Linear):
        return Mistake("head-not-linear", got=type(head).__name__)
    return _sizes_problem(model, old, classes) or _learning_problem(model)


def _sizes_problem(model: Any, old: Any, classes: int) -> Mistake | None:
    """Is it a new layer of the right sizes?"""
    given, wanted = tuple(model.fc.weight.shape), (classes, old.fc.weight.shape[1])
    if given == tuple(old.fc.weight.shape) and torch.equal(model.fc.weight.detach(), old.fc.weight.detach()):
        return Mistake("only-the-number" if model.fc.out_features == classes else "keeps-the-head")
    if given == wanted[::-1]:
        return Mistake("head-sizes-swapped")
    if given[1] != wanted[1]:
        return Mistake("head-width", got=given[1], wanted=wanted[1])
    if given[0] != classes:
        return Mistake("ignores-classes")
    return Mistake("head-without-bias") if model.fc.bias is None else None


def _learning_problem(model: Any) -> Mistake | None:
    """Does the classifier learn, and nothing else?"""
    names = [name for name, _ in model.named_parameters()]
    learns = {name for name, value in model.named_parameters() if value.requires_grad is True}
    head = {name for name in names if name.startswith("fc.")}
    body = {*names} - head
    written = [name for value in model.parameters() for name in vars(value) if "grad" in name]
    for key, wrong in (
        ("freezes-all", not learns),
        ("misspelt-requires-grad", bool(written) and bool(learns & body)),
        ("freezes-modules", any("requires_grad" in vars(part) for part in model.modules()) and learns >= body),
        ("freezes-the-head", not learns & head),
        ("freezes-nothing", learns >= body),
        ("forgets-head-bias", bool(head - learns)),
        ("freezes-some", bool(learns - head)),
    ):
        if wrong:
            return Mistake(key, left=", ".join(sorted(learns - head)[:3]), given="".join(written[:1]))
    return None


def with_head(change: Callable[[Any, int], object], freeze: bool = True) -> Callable[[Any, int], Any]:
    """Freeze, then change the net; it is returned."""

    def answer(model: Any, classes: int) -> Any:
        if freeze:
            model.requires_grad_(False)
        change(model, classes)
        return model

    return answer


def sets_head(model: Any, classes: int) -> None:
    model.fc = nn.Linear(model.fc.in_features, classes)


def in_turn(*steps: Callable[[Any, int], object]) -> Callable[[Any, int], None]:
    def change(model: Any, classes: int) -> None:
        for step in steps:
            step(model, classes)

    return change


def marks(what: str, name: str) -> Callable[[Any, int], None]:
    """Set an attribute of all `parameters` or `modules` to False."""

    def change(model: Any, classes: int) -> None:
        for one in getattr(model, what)():
            setattr(one, name, False)

    return change


new_head = Exercise(
    "new_head(model, num_classes)",
    praise="only the new classifier learns, everything else is as it was trained.",
    right=with_head(sets_head),
    cases=lambda: [trained_net(3, 0), trained_net(5, 1)],
    problem=head_problem,
)
new_head.slip("wraps-the-net", "It returns a {got} around parts of the net. Keep the net and replace its `fc`: then "
    "the names of its weights stay, and the new classifier reads the features, not the old classifier's answers.",
    lambda m, n: nn.Sequential(m.requires_grad_(False), nn.Linear(10, n)))
new_head.slip("returns-the-head", "It returns {got}, not the net. Return the net, or change it in place.",
    lambda m, n: nn.Linear(m.fc.in_features, n))
new_head.slip("not-the-net", "It returns a value of type {got}. Return the net, or change it in place and return "
    "nothing.",
    lambda m, n: [m], lambda m, n: n)
new_head.slip("another-name", "The new classifier is called `{name}`, and the net does not know it: its forward pass "
    "calls `fc`.",
    with_head(lambda m, n: setattr(m, "head", nn.Linear(m.fc.in_features, n))))
new_head.slip("no-head", "The net has no `fc` any more. Put a new nn.Linear in its place.",
    with_head(lambda m, n: delattr(m, "fc")))
new_head.slip("head-not-linear", "The new classifier is a {got}. It should be nn.Linear: logits are a linear map of "
    "the "
    "features.",
    with_head(lambda m, n: setattr(m, "fc", nn.Sequential(nn.Linear(m.fc.in_features, n), nn.Softmax(1)))))
new_head.slip("only-the-number", "You changed the number out_features, and the weights are still those of the old "
    "classes. Put a new nn.Linear in its place.",
    with_head(lambda m, n: setattr(m.fc, "out_features", n)))
new_head.slip("keeps-the-head", "`fc` is the old classifier, for the old classes. Put a new nn.Linear in its place.",
    with_head(lambda m, n: m.fc.requires_grad_(True)))
new_head.slip("body-changed", "Weights of the body are not what they were. A new net was built, or they were "
    "initialised again; the point of fine-tuning is to keep them.",
    with_head(in_turn(lambda m, n: nn.init.ones_(m.conv1.weight), sets_head)),
    with_head(in_turn(lambda m, n: setattr(m, "layer1", trained_net(n, 7)[0].layer1), sets_head)))
new_head.slip("head-sizes-swapped", "Inputs and outputs of the new classifier are swapped: nn.Linear(inputs, outputs).",
    with_head(lambda m, n: setattr(m, "fc", nn.Linear(n, m.fc.in_features))))
new_head.slip("head-width", "The new classifier has {got} inputs; the body has {wanted} outputs. Ask the old one: "
    "model.fc.in_features.",
    with_head(lambda m, n: setattr(m, "fc", nn.Linear(512, n))),
    with_head(lambda m, n: setattr(m, "fc", nn.Linear(m.fc.out_features, n))))
new_head.slip("ignores-classes", "The number of classes is fixed. Use the argument num_classes.",
    with_head(lambda m, n: setattr(m, "fc", nn.Linear(m.fc.in_features, 10))))
new_head.slip("head-without-bias", "The new classifier has no bias. The old one had: without it the logits of all "
    "classes "
    "pass through 0.",
    with_head(lambda m, n: setattr(m, "fc", nn.Linear(m.fc.in_features, n, bias=False))))
new_head.slip("freezes-all", "Nothing learns: the new classifier is frozen too. Freeze first, then make the "
    "classifier; new layers learn by default.",
    with_head(in_turn(sets_head, lambda m, n: m.requires_grad_(False))))
new_head.slip("misspelt-requires-grad", "You set `{given}`. Python lets you, but torch does not look there; the name "
    "is requires_grad.",
    with_head(in_turn(marks("parameters", "require_grad"), sets_head), freeze=False),
    with_head(in_turn(marks("parameters", "requires_grad_"), sets_head), freeze=False))
new_head.slip("freezes-modules", "You set requires_grad on modules, where it does nothing. It matters only on tensors: "
    "call `requires_grad_(False)` of the module, or go through its parameters().",
    with_head(in_turn(marks("modules", "requires_grad"), sets_head), freeze=False))
new_head.slip("freezes-the-head", "The body learns and the new classifier does not. It should be the other way round.",
    with_head(in_turn(sets_head, lambda m, n: m.fc.requires_grad_(False)), freeze=False))
new_head.slip("freezes-nothing", "Everything learns. Set requires_grad to False for the body's parameters. (If you "
    "froze "
    "model.fc: that was the old classifier, which is gone.)",
    with_head(sets_head, freeze=False),
    with_head(in_turn(lambda m, n: m.fc.requires_grad_(False), sets_head), freeze=False))
new_head.slip("forgets-head-bias", "Part of the new classifier is frozen. Both its weight and its bias should learn.",
    with_head(in_turn(sets_head, lambda m, n: m.fc.bias.requires_grad_(False))))
new_head.slip("freezes-some", "Some of the body still learns: {left}. Batch norm's γ and β are parameters too.",
    with_head(in_turn(lambda m, n: m.bn1.requires_grad_(True), sets_head)))


def chunk(order: list[int], rank: int, processes: int) -> list[int]:
    size = len(order) // processes
    return order[rank * size : (rank + 1) * size]


my_share = Exercise(
    "my_share(order, rank, processes)",
    praise="one, two and four processes, also where the batch does not divide.",
    right=lambda order, rank, n: order[rank::n],
    cases=[([5, 3, 8, 1, 9, 2], 0, 2), ([5, 3, 8, 1, 9, 2], 1, 2), ([7, 4, 6, 0, 3, 1, 2, 5], 2, 4), ([4, 1], 0, 1)],
    traps=[([6, 2, 9, 4, 1], 0, 2), ([6, 2, 9, 4, 1, 8, 7], 2, 3), ([3], 1, 2)],
)
my_share.slip("takes-everything", "Every process takes the whole batch. Then two processes do the same work twice.",
    lambda order, rank, n: order)
my_share.slip("takes-a-piece", "It takes one contiguous piece. That is a fair share, too; here images are dealt out in "
    "turn, as PyTorch's DistributedSampler does.",
    chunk)
my_share.slip("counts-from-one", "You count from 1. Index 0 is the first.",
    lambda order, rank, n: order[rank + 1 :: n], lambda order, rank, n: order[rank - 1 :: n])
my_share.slip("the-same-for-all", "Every process takes the same images. `rank` says which process this is.",
    lambda order, rank, n: order[::n], lambda order, rank, n: order[: len(order) // n])
my_share.slip("step-and-start-swapped", "Start and step are swapped: order[start::step].",
    lambda order, rank, n: order[n::rank], lambda order, rank, n: order[n :: max(rank, 1)])
my_share.slip("everything-from-rank", "It takes everything from `rank` on. Take every `processes`-th.",
    lambda order, rank, n: order[rank:])
my_share.slip("end-for-step", "There is one colon, so the second number is where the slice ends, not its step. A step "
    "follows a second colon: start:end:step.",
    lambda order, rank, n: order[rank:n], lambda order, rank, n: order[rank : rank + n])
my_share.slip("one-index", "It takes one image. A process goes on through the whole batch.",
    lambda order, rank, n: order[rank], lambda order, rank, n: [order[rank]])
my_share.slip("places-not-images", "Those are places in the list, not the images found there.",
    lambda order, rank, n: list(range(rank, len(order), n)))
my_share.slip("by-value", "You go by the images' numbers, not by their places in `order`. The order is "
    "shuffled, so the shares would differ in size.",
    lambda order, rank, n: [image for image in order if image % n == rank])
my_share.slip("sorts", "You sorted the images. Their order is shuffled on purpose.",
    lambda order, rank, n: sorted(order)[rank::n])
my_share.slip("step-one-more", "The step is one too large: {given} for {case}. There are `processes` of them, so every "
    "`processes`-th image is yours.",
    lambda order, rank, n: order[rank :: n + 1])
my_share.slip("shares-of-all", "It returns the shares of all processes. Only this process's share is asked for.",
    lambda order, rank, n: [order[one::n] for one in range(n)])
my_share.slip("takes-the-others", "It takes all images but its own.",
    lambda order, rank, n: [order[i] for i in range(len(order)) if i % n != rank])
my_share.slip("cuts-the-rest", "It is right where the batch divides evenly. For {case} it gives {given}: the images "
    "that are left "
    "over belong to someone too.",
    lambda order, rank, n: order[rank : len(order) // n * n : n])

rates = Exercise(
    "rates(low, high, count)",
    praise="four ranges: each rate is the same factor above the last, both ends included.",
    right=lambda low, high, count: [low * (high / low) ** (i / (count - 1)) for i in range(count)],
    cases=[(0.001, 10, 5), (0.01, 0.1, 3), (1e-4, 1, 9), (0.3, 0.6, 2)],
    floats=True,
)
rates.slip("equal-distances", "The *distances* are equal. Between 0.001 and 10 that leaves no rate below 1 except the "
    "first. The factors should be equal.",
    lambda low, high, n: [low + (high - low) * i / (n - 1) for i in range(n)])
rates.slip("never-arrives", "It stops short of `high`: `count` rates have `count - 1` steps between them.",
    lambda low, high, n: [low * (high / low) ** (i / n) for i in range(n)])
rates.slip("without-low", "`low` itself is missing. The first rate is `low`.",
    lambda low, high, n: [low * (high / low) ** (i / n) for i in range(1, n + 1)])
rates.slip("factor-ten", "You always multiply by 10. The factor follows from `high / low` and `count`.",
    lambda low, high, n: [low * 10**i for i in range(n)])
rates.slip("factors-not-powers", "Each rate is `low` times a multiple of the factor. Neighbours should differ *by* the "
    "factor: take its powers.",
    lambda low, high, n: [low * i * (high / low) ** (1 / (n - 1)) for i in range(n)],
    lambda low, high, n: [low * (i + 1) * (high / low) ** (1 / (n - 1)) for i in range(n)])
rates.slip("divides-by-steps", "You divide `high / low` by the number of steps. Take its root: multiplied by "
    "itself for every step, the factor must give `high / low`.",
    lambda low, high, n: [low * (high / low / (n - 1)) ** i for i in range(n)])
rates.slip("exponents", "Those are the exponents. Raise 10 to them.",
    lambda low, high, n: [log10(low) + (log10(high) - log10(low)) * i / (n - 1) for i in range(n)])
rates.slip("last-first", "The order is reversed: from `low` to `high`.",
    lambda low, high, n: [high * (low / high) ** (i / (n - 1)) for i in range(n)])

train_mode = Exercise(
    "train_mode(net)",
    praise="four nets: what is frozen is in eval mode, everything else in train mode, the dropout too.",
    right=keeps_still,
    cases=partly_frozen,
    changes=modes,
    ignores=("changes-mode",),
)
train_mode.slip("all-in-train-mode", "Everything is in train mode, so the frozen batch norms still move their running "
    "statistics. (If you call `net.train()` after the loop, it undoes the loop.)",
    lambda net: net.train(), train_comes_last)
train_mode.slip("all-in-eval-mode", "Everything is in eval mode. Then nothing that learns uses the statistics of its "
    "batch, and dropout is off. Call `net.train()` first. And if you ask whether *any* parameter is frozen, the whole "
    "net answers yes and takes everything inside it along.",
    lambda net: net.eval(), if_any_is_frozen, without_train)
train_mode.slip("open-norms-still", "Every batch norm is in eval mode, even those that learn. Ask each module whether "
    "its own parameters are frozen.",
    norms_in_eval)
train_mode.slip("turned-round", "It is the wrong way round: what learns is in eval mode, and what is frozen in train "
    "mode.",
    if_open)
train_mode.slip("nothing-is-not-frozen", "A module without any parameter, the dropout, is in eval mode. None at all is "
    "not \"all frozen\".",
    without_parameters_too)
train_mode.slip("freezes-or-thaws", "It changed `requires_grad`. Only the modes should change.",
    thaws)
train_mode.slip("changes-a-copy", "You changed a copy and returned it. The net that was handed over is as it was; "
    "change that one.",
    changed_copy)
train_mode.slip("other-modes", "Some modules are in the wrong mode. Go through `net.modules()` and look at the "
    "parameters of each.",
    lambda net: net.train() and net.get_submodule("bn1").train(not net.get_submodule("bn1").training))
