"""Lesson 07: what the shortcut keeps, pre-activation blocks, the end of a V2 net; Keras's pool of lesson 10."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.functional import vjp
from torch.nn.functional import avg_pool2d, dropout, max_pool2d, pad, relu

from resnet_lib.models.shortcuts import ProjectionShortcut
from resnet_lib.teaching import answers
from resnet_lib.teaching.checking import Case, Exercise, ModuleExercise, noise, slip, together
from resnet_lib.teaching.checks.mutations import (
    CHANGES_OF_SHAPE,
    CONVS_3X3,
    FACTORS,
    HEADS,
    LAYERS,
    RATES,
    Mutation,
    Net,
    PreAct,
    begins_with,
    both,
    computes,
    drops,
    ends_with,
    inside,
    remade,
    replaces,
)

# fmt: off
left_of_x = Exercise(
    "left_of_x(scales)",
    praise="the factors multiply, from one block to 54.",
    right=answers.left_of_x,
    cases=[([0.5, 0.5, 0.5],), ([1.0, 1.0],), ([0.9] * 54,), ([2.0, 0.5, 1.5, 1.0],), ([0.3],)],
    slips=[
        slip("adds-scales", "You add or average the factors. Each block scales what arrives, so they multiply.",
             sum, lambda s: sum(s) * len(s), lambda s: s[0] * len(s), lambda s: sum(s) / len(s)),
        slip("one-scale-only", "Only one of the factors is there. Every block scales again, so they all multiply.",
             lambda s: s[0], lambda s: s[-1], min),
        slip("with-the-branch", "You add the branches. What is left of x itself takes every shortcut.",
             lambda s: prod(1 + k for k in s), lambda s: 1 + prod(s)),
        slip("one-scale-less", "The factor of one block is missing.", lambda s: prod(s[1:]), lambda s: prod(s[:-1])),
        slip("one-scale-for-all", "You raise one factor to the number of blocks. Every block has its own factor.",
             lambda s: s[0] ** len(s), lambda s: s[-1] ** len(s), lambda s: (sum(s) / len(s)) ** len(s),
             lambda s: 0.5 ** len(s)),
        slip("product-from-zero", "It is always 0: a product that starts at 0 stays there. Start at 1.", lambda s: 0.0),
    ],
)


def pooled(*sides: int, stride: int = 2, kernel: int = 3, value: float = 0, **options: Any) -> Callable[..., Tensor]:
    """Pad some sides, then take maxima."""
    return lambda x: max_pool2d(pad(x, sides, value=value), kernel, stride, **options)


FRAME = (1, 1, 1, 1)
keras_pool = Exercise(
    "keras_pool(x)",
    praise="even and odd sizes, positive and negative values: a zero at the border can be the largest.",
    right=answers.keras_pool,
    cases=[(-noise(2, 2, 6, 6, seed=2).abs() - 0.1,), (noise(2, 3, 8, 6),), (noise(1, 2, 7, 9, seed=1),)],
    gradients=True,
    slips=[
        slip("pads-minus-infinity", "PyTorch's own padding is −∞, which never wins. Keras pads with zeros.",
             lambda x: max_pool2d(x, 3, 2, 1)),
        slip("not-all-sides", "The zeros are not on all four sides. `pad` takes left, right, top, bottom: 1, 1, 1, 1.",
             *[pooled(*sides) for sides in ((0, 1, 0, 1), (1, 0, 1, 0), (1, 1), (0, 0, 1, 1), (0, 0))],
             pooled(0, 0, ceil_mode=True)),
        slip("pads-twice", "There is padding twice. Pad once, with zeros, and give the pool no padding.",
             pooled(*FRAME, padding=1), pooled(2, 2, 2, 2)),
        slip("border-not-zero", "The border holds a number other than 0.",
             *[pooled(*FRAME, value=value) for value in (1, 0.5, -0.5)]),
        slip("pads-batch", "You padded the batch or the channels. `pad` takes pairs from the *last* axis on.",
             pooled(0, 0, 0, 0, 1, 1, 1, 1), pooled(0, 0, 0, 0, 0, 0, 1, 1)),
        slip("pools-first", "You pool first and then pad. The zeros must be there when the pool compares.",
             lambda x: pad(max_pool2d(x, 3, 2), FRAME)),
        slip("averages-pool", "You average. The pool takes the largest value of each 3×3 window.",
             lambda x: avg_pool2d(pad(x, FRAME), 3, 2), lambda x: avg_pool2d(x, 3, 2, 1)),
        slip("wrong-stride", "The pool does not move by 2 pixels. Its stride is the size of its window by default.",
             pooled(*FRAME, stride=3), pooled(*FRAME, stride=1)),
        together("wrong-stride", "pads-minus-infinity", wrong=[lambda x: max_pool2d(x, 3, padding=1)]),
        slip("rounds-up", "You round up. A last step that does not fit is not taken: leave out ceil_mode.",
             pooled(*FRAME, ceil_mode=True)),
        slip("window-of-two", "The window is 2×2. It should be 3×3 at stride 2: windows overlap.",
             pooled(kernel=2), pooled(*FRAME, kernel=2)),
        slip("relu-in-pool", "You apply ReLU. Inside the image a window of negative values keeps its largest.",
             lambda x: relu(max_pool2d(x, 3, 2, 1))),
    ],
)


def begins(first: Callable[[Any, Tensor], Tensor]) -> Mutation:
    """A block whose branch begins with something else of (block, x)."""
    return computes(lambda b, x: b.residual(a := first(b, x)) + b.shortcut(a if b.activate_shortcut else x))


def ends(formula: Callable[[Any, Tensor, Tensor], Tensor]) -> Mutation:
    """A block that ends in another formula of (block, F(x), shortcut)."""

    def whole(b: Any, x: Tensor) -> Tensor:
        a = relu(b.bn1(x))
        return formula(b, b.residual(a), b.shortcut(a if b.activate_shortcut else x))

    return computes(whole)


def norm_at_the_end(block: Any) -> None:
    branch, block.last = block.residual, nn.BatchNorm2d(block.channels)
    block.residual = lambda x: block.last(branch(x))


def activates(block: Any) -> None:
    block.activate_shortcut = True


def projects(norm: bool) -> Mutation:
    return lambda b: setattr(b, "downsample", ProjectionShortcut(b.in_channels, b.channels, 1, norm=norm))


def in_turn(b: Any, x: Tensor) -> Tensor:
    """V1's branch in V2's layers."""
    return b.bn2(b.conv2(relu(b.bn1(b.conv1(x)))))


preact_block = ModuleExercise(
    "PreActBlock(in_channels, channels)",
    reference=lambda i, c: PreAct(i, c, shortcut=nn.Identity()),
    cases=[Case((6, 6), (4, 6, 7, 6)), Case((5, 5), (1, 5, 5, 8)), Case((4, 4), (2, 4, 6, 6), scale=8)],
    slips=[
        slip("relu-after-add", "There is a ReLU after the addition. V2 leaves the sum alone: x passes unchanged.",
             ends(lambda b, f, s: relu(f + s))),
        slip("no-first-activation", "The norm or the ReLU before the first convolution is missing, or both.",
             begins(lambda b, x: b.bn1(x)), drops("bn1"), begins(lambda b, x: relu(x)), begins(lambda b, x: x),
             both(drops("bn1"), begins(lambda b, x: x))),
        slip("shortcut-after-activation", "The shortcut carries the activated input, relu(norm(x)). It should carry x "
             "itself.",
             activates),
        slip("shortcut-after-norm", "The shortcut carries norm(x). It should carry x itself: use another name.",
             computes(lambda b, x: b.residual(relu(n := b.bn1(x))) + n)),
        slip("relu-on-shortcut", "The shortcut passes through a ReLU, which loses what is negative. Add x itself.",
             ends(lambda b, f, s: f + relu(s))),
        slip("subtracts", "You subtract where the block adds: it computes F(x) + x.",
             ends(lambda b, f, s: f - s), ends(lambda b, f, s: s - f)),
        slip("dropout-on-shortcut", "There is dropout on the shortcut, the one path that should always be open.",
             *[ends(lambda b, f, s, p=p: f + dropout(s, p, b.training)) for p in RATES]),
        slip("norm-at-the-end", "A norm follows the last convolution. In V2 none does: the next block begins with one.",
             norm_at_the_end),
        slip("relu-before-norm", "ReLU and batch norm are in the wrong order. Here: norm, ReLU, convolution.",
             begins(lambda b, x: b.bn1(relu(x))), inside(lambda b, a: b.conv2(b.bn2(relu(b.conv1(a))))),
             both(begins(lambda b, x: b.bn1(relu(x))), inside(lambda b, a: b.conv2(b.bn2(relu(b.conv1(a))))))),
        slip("post-activation", "Norm and ReLU follow the convolutions, as in V1. In V2 they come *before* each.",
             computes(lambda b, x: relu(in_turn(b, x) + x)), computes(lambda b, x: in_turn(b, x) + x),
             computes(lambda b, x: relu(in_turn(b, x)) + x),
             computes(lambda b, x: relu(b.bn2(b.conv2(relu(b.bn1(b.conv1(x)))) + x)))),
        slip("relu-only", "Only the ReLUs moved before the convolutions, the norms did not: this is order (d).",
             computes(lambda b, x: in_turn(b, relu(x)) + x)),
        slip("no-inner-activation", "The norm or the ReLU before the second convolution is missing.",
             inside(lambda b, a: b.conv2(b.bn2(b.conv1(a)))), drops("bn2"),
             both(drops("bn2"), inside(lambda b, a: b.conv2(b.conv1(a))))),
        slip("no-shortcut", "Nothing is added: this is a plain block. Where is the `x +`?", ends(lambda b, f, s: f)),
        slip("adds-itself", "The branch is added to itself, and x is lost. Keep x under its own name.",
             ends(lambda b, f, s: 2 * f),
             computes(lambda b, x: b.conv2(relu(b.bn2(y := b.conv1(relu(b.bn1(x)))))) + y)),
        slip("scaled-shortcut", "The shortcut is scaled. Through many blocks x dies out or explodes: exercise 7.1.",
             *[ends(lambda b, f, s, k=k: f + k * s) for k in (2, *FACTORS)]),
        slip("scaled-branch", "The branch is scaled. V2 adds F(x) as it is.",
             *[ends(lambda b, f, s, k=k: k * f + s) for k in (2, *FACTORS)]),
        slip("projects-without-need", "There is a projection: {off} parameters. The shape stays, so add x itself.",
             projects(norm=False), both(projects(norm=False), activates), projects(norm=True)),
        slip("no-norm", "The batch norms are missing. In V2 one comes before each convolution.", drops("bn1", "bn2")),
        *LAYERS.without("no-norm", "no-norm-first", *CHANGES_OF_SHAPE).saying(
            conv_bias="A convolution keeps its bias: {off} parameters. Use bias=False in both."),
        *CONVS_3X3.without(*CHANGES_OF_SHAPE).saying(wrong_kernel="A convolution is not 3×3. Both are."),
    ],
)


def norm_in_stem(net: Any, after: Callable[[Tensor], Tensor]) -> None:
    net.bn0 = nn.BatchNorm2d(net.conv1.out_channels)
    begins_with(lambda net, x: after(net.bn0(net.conv1(x))))(net)


def v2_of(depth: int) -> Net:
    return Net(PreAct, [(depth - 2) // 6] * 3, in_channels=1, num_classes=10, width=8, stem="cifar", shortcut="A")


def logits(net: Any, x: Tensor) -> Tensor:
    return net.fc(net.avgpool(x).flatten(1))


flattens = ends_with(lambda net, x: net.fc(relu(net.norm(x)).flatten(1)))
preact_net = ModuleExercise(
    "MyV2Net(depth)",
    reference=v2_of,
    cases=[Case((8,), (4, 1, 14, 14)), Case((14,), (1, 1, 12, 12)), Case((20,), (3, 1, 9, 9))],
    pairs=False,
    seconds=20,
    slips=[
        slip("stops-at-the-blocks", "It returns the last block's maps. A norm, a ReLU, the mean over all pixels and a "
             "linear layer follow.",
             both(drops("norm", "fc"), ends_with(lambda net, x: x)), ends_with(lambda net, x: x)),
        slip("no-final-norm", "The norm before the pool is missing: nothing else limits the sum of all branches.",
             both(drops("norm"), ends_with(lambda net, x: logits(net, relu(x))))),
        together("no-final-norm", "no-final-relu", wrong=[both(drops("norm"), ends_with(logits))]),
        slip("no-final-relu", "The ReLU before the pool is missing: no block follows that would activate the last sum.",
             ends_with(lambda net, x: logits(net, net.norm(x)))),
        slip("norm-after-pool", "The last norm or ReLU comes after the pool. First activate each pixel, then average.",
             ends_with(lambda net, x: net.fc(relu(net.norm(net.avgpool(x))).flatten(1))),
             ends_with(lambda net, x: net.fc(relu(net.avgpool(net.norm(x))).flatten(1))),
             both(replaces(norm=lambda _: nn.BatchNorm1d(32)),
                  ends_with(lambda net, x: net.fc(relu(net.norm(x.mean((2, 3)))))))),
        slip("relu-before-norm", "At the end of the net the ReLU comes before the norm. The norm comes first.",
             ends_with(lambda net, x: logits(net, net.norm(relu(x))))),
        slip("not-the-mean", "The classifier does not get the mean over each image's pixels, `x.mean((2, 3))`.",
             *[ends_with(lambda net, x, pool=pool: net.fc(pool(relu(net.norm(x))))) for pool in (
                 lambda x: x.amax((2, 3)), lambda x: x.sum((2, 3)), lambda x: x.mean((0, 2, 3)))]),
        slip("stem-norm", "There is a norm or a ReLU right after the stem. In V2 the first block begins with them.",
             lambda net: norm_in_stem(net, relu), lambda net: norm_in_stem(net, lambda x: x),
             begins_with(lambda net, x: relu(net.conv1(x)))),
        slip("ignores-depth", "The depth is fixed. Hand `depth` to v2_blocks.",
             *[remade(layers=(n, n, n)) for n in (1, 2, 3, 9)]),
        *HEADS.without("max-pool-at-the-end", "no-avgpool", "no-flatten"),
        slip("no-avgpool", "The average over the pixels is missing before the classifier.",
             flattens, both(replaces(fc=lambda _: nn.Linear(512, 10)), flattens)),
        slip("no-flatten", "The classifier gets maps of 1×1 pixels, (N, C, 1, 1). Flatten them to (N, C) first.",
             ends_with(lambda net, x: net.fc(net.avgpool(relu(net.norm(x)))))),
    ],
)


def signals(branches: Sequence[Any], x: Tensor, shortcut: float = 1) -> list[Tensor]:
    """x and what each block returns."""
    found = [x]
    for branch in branches:
        found.append(shortcut * found[-1] + branch(found[-1]))
    return found


def backward(branches: Sequence[Any], at: Sequence[Tensor], gradient: Tensor, shortcut: float = 1) -> Tensor:
    """The gradient before the first block, each branch differentiated at its place in `at`."""
    for branch, signal in reversed(list(zip(branches, at, strict=False))):
        gradient = shortcut * gradient + vjp(branch, signal, gradient)[1]
    return gradient


def mixes(seed: int) -> Callable[[Tensor], Tensor]:
    weight = noise(4, 4, seed=seed) / 2
    return lambda x: torch.tanh(x @ weight)


BRANCHES = [mixes(1), lambda x: torch.sin(x) * x.roll(1, -1), mixes(2), lambda x: x.square() / 3]
first_gradient = Exercise(
    "first_gradient(branches, x, upstream)",
    praise="The end's gradient arrives unchanged, plus one term per branch.",
    right=answers.first_gradient,
    cases=[(BRANCHES[:1], noise(3, 4), noise(3, 4, seed=5)), (BRANCHES[:2], noise(2, 4, seed=1), noise(2, 4, seed=6)),
           (BRANCHES, noise(3, 4, seed=2), noise(3, 4, seed=7))],
    slips=[
        slip("upstream-alone", "You return what came in. That is the first term; each branch adds one.",
             lambda b, x, up: up),
        slip("no-first-term", "The first term is missing: ∂L/∂x_L itself, which the free line passes on.",
             lambda b, x, up: backward(b, signals(b, x), up) - up),
        slip("first-term-twice", "∂L/∂x_L is counted twice. Autograd through the whole chain has it already.",
             lambda b, x, up: backward(b, signals(b, x), up) + up),
        slip("product", "You multiply only through the branches. Each step keeps the gradient and adds its term.",
             lambda b, x, up: backward(b, signals(b, x), up, shortcut=0)),
        slip("end-gradient-everywhere", "Every term uses ∂L/∂x_L. That of block i needs the gradient *after* block i.",
             lambda b, x, up: up + sum(vjp(f, s, up)[1] for f, s in zip(b, signals(b, x), strict=False))),
        slip("wrong-signal", "A branch is differentiated at the wrong signal. It works on the one before its block.",
             lambda b, x, up: backward(b, [x] * len(b), up), lambda b, x, up: backward(b, signals(b, x)[1:], up)),
        slip("signals-without-shortcut", "Your signals are branch(signal). Here they are signal + branch(signal).",
             lambda b, x, up: backward(b, signals(b, x, shortcut=0), up)),
        slip("first-block-first", "You go from the first block to the last. Gradients come from the end: begin there.",
             lambda b, x, up: backward(b[::-1], signals(b, x)[-2::-1], up)),
        slip("branches-for-derivatives", "You add what branches return. Add gradient · ∂branch/∂signal: vjp(…)[1].",
             lambda b, x, up: signals(b[::-1], up)[-1], lambda b, x, up: up + signals(b, x)[-1] - x),
        slip("one-branch-less", "The term of one branch is missing. Does the loop reach both the first and the last?",
             lambda b, x, up: backward(b[1:], signals(b, x)[1:], up),
             lambda b, x, up: backward(b[:-1], signals(b, x), up)),
        slip("ignores-upstream", "`upstream` is not used. The gradient at the last signal is that, not 1.",
             lambda b, x, up: backward(b, signals(b, x), torch.ones_like(up))),
        slip("forward", "That is the last signal, the forward sum. The gradient is wanted.",
             lambda b, x, up: signals(b, x)[-1]),
    ],
)
# fmt: on
