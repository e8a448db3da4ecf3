"""Lesson 07: what the shortcut keeps, pre-activation blocks, Keras's pool, a whole V2 net."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.functional import vjp
from torch.nn.functional import avg_pool2d, dropout, max_pool2d, pad, relu

from resnet_lib.models.shortcuts import ProjectionShortcut, ZeroPadShortcut
from resnet_lib.teaching import answers
from resnet_lib.teaching.checking import Case, Exercise, ModuleExercise, Slips, noise, slip, together
from resnet_lib.teaching.checks.lesson_01 import SMALL_NETS
from resnet_lib.teaching.checks.mutations import (
    CHANGES_OF_SHAPE,
    CONVS_3X3,
    FACTORS,
    LAYERS,
    RATES,
    Basic,
    Bottle,
    Mutation,
    Net,
    PreAct,
    PreActBottle,
    begins_with,
    biased,
    both,
    computes,
    conv,
    drops,
    ends_with,
    in_all_blocks,
    inside,
    remade,
    replaces,
    resized,
    share_blocks,
    strides,
)

# fmt: off
left_of_x = Exercise(
    "left_of_x(scales)",
    praise="the factors multiply, from one block to 54.",
    right=lambda scales: float(prod(scales)),
    cases=[([0.5, 0.5, 0.5],), ([1.0, 1.0],), ([0.9] * 54,), ([2.0, 0.5, 1.5, 1.0],), ([0.3],)],
)
left_of_x.slip("adds-scales", "You add the factors: for {case} it gives {given}. Each block multiplies what arrives, "
    "so the factors multiply.",
    lambda scales: sum(scales))
left_of_x.slip("averages-scales", "You take the mean: for {case} it gives {given}. The second block scales what the "
    "first has already scaled: multiply.",
    lambda scales: sum(scales) / len(scales))
left_of_x.slip("first-scale", "Only the first factor is there: for {case} it gives {given}. Every later block scales "
    "again.",
    lambda scales: scales[0])
left_of_x.slip("last-scale", "Only the last factor is there: for {case} it gives {given}. Every earlier block has "
    "already scaled.",
    lambda scales: scales[-1])
left_of_x.slip("smallest-scale", "You take the smallest factor: for {case} it gives {given}. The signal passes through "
    "all of them, so they multiply.",
    lambda scales: min(scales))
left_of_x.slip("with-the-branch", "You add the branches: for {case} it gives {given}. The task asks what is left of x "
    "itself when it takes the shortcut of every block.",
    lambda scales: prod(1 + s for s in scales), lambda scales: 1 + prod(scales))
left_of_x.slip("one-scale-less", "One block is missing: for {case} it gives {given}.",
    lambda scales: prod(scales[1:]), lambda scales: prod(scales[:-1]))
left_of_x.slip("halves-instead", "You use 0.5 whatever the factors are: for {case} it gives {given}.",
    lambda scales: 0.5 ** len(scales))
left_of_x.slip("one-scale-for-all", "You raise one factor to the number of blocks: for {case} it gives {given}. Every "
    "block has its own factor.",
    lambda scales: scales[0] ** len(scales), lambda scales: scales[-1] ** len(scales),
    lambda scales: (sum(scales) / len(scales)) ** len(scales))
left_of_x.slip("what-is-lost", "You compute what is lost, 1 − …: for {case} it gives {given}. The task asks what is "
    "left.",
    lambda scales: 1 - prod(scales), lambda scales: prod(1 - s for s in scales))
left_of_x.slip("times-blocks", "You multiply by the number of blocks: for {case} it gives {given}. The factors "
    "multiply one another.",
    lambda scales: sum(scales) * len(scales), lambda scales: scales[0] * len(scales))
left_of_x.slip("product-from-zero", "It is always 0. A sum starts at 0; a product that starts at 0 stays there, so "
    "start at 1.",
    lambda scales: 0.0)
left_of_x.slip("one-for-each-block", "It returns {given}: a factor after each block. The one after the last block is "
    "asked for.",
    lambda scales: [prod(scales[: n + 1]) for n in range(len(scales))],
    lambda scales: [prod(scales[n:]) for n in range(len(scales))])


def zeros(x: Tensor, *sides: int) -> Tensor:
    return pad(x, sides)


keras_pool = Exercise(
    "keras_pool(x)",
    praise="even and odd sizes, positive and negative values: a zero at the border can be the largest.",
    right=lambda x: max_pool2d(zeros(x, 1, 1, 1, 1), 3, 2),
    cases=[(-noise(2, 2, 6, 6, seed=2).abs() - 0.1,), (noise(2, 3, 8, 6),), (noise(1, 2, 7, 9, seed=1),)],
    gradients=True,
)
keras_pool.slip("pads-minus-infinity", "That is what torch's own padding does: it pads with −∞, so a border pixel "
    "never wins, just as copies of the outermost pixels would change nothing. Keras pads with zeros, and before any "
    "ReLU a zero can be the largest: {share} of the outputs differ.",
    lambda x: max_pool2d(x, 3, 2, 1))
keras_pool.slip("pads-one-corner", "You pad only two sides; padding on the right and below is what Keras's "
    "\"same\" does at stride 2. Keras's ResNets pad all four sides first.",
    lambda x: max_pool2d(zeros(x, 0, 1, 0, 1), 3, 2), lambda x: max_pool2d(zeros(x, 1, 0, 1, 0), 3, 2))
keras_pool.slip("pads-nothing", "There is no padding. A border of zeros, one pixel wide on all four sides, comes "
    "first.",
    lambda x: max_pool2d(x, 3, 2), lambda x: max_pool2d(x, 3, 2, ceil_mode=True))
keras_pool.slip("pads-twice", "There is padding twice. Pad once, with zeros, and give the pool no padding.",
    lambda x: max_pool2d(zeros(x, 1, 1, 1, 1), 3, 2, 1), lambda x: max_pool2d(zeros(x, 2, 2, 2, 2), 3, 2))
keras_pool.slip("border-not-zero", "The border holds a number other than 0.",
    *[lambda x, value=value: max_pool2d(pad(x, (1,) * 4, value=value), 3, 2) for value in (1, 0.5, -0.5)])
keras_pool.slip("pads-batch", "You padded the batch: it now holds more images. `pad` takes pairs from the *last* axis "
    "on: width, height, then channels.",
    lambda x: max_pool2d(zeros(x, 0, 0, 0, 0, 1, 1, 1, 1), 3, 2),
    lambda x: max_pool2d(zeros(x, 0, 0, 0, 0, 0, 0, 1, 1), 3, 2))
keras_pool.slip("pools-first", "You pool first and then pad. The zeros must be there when the pool compares.",
    lambda x: zeros(max_pool2d(x, 3, 2), 1, 1, 1, 1))
keras_pool.slip("averages-pool", "You average. The pool takes the largest value of each 3×3 window.",
    lambda x: avg_pool2d(zeros(x, 1, 1, 1, 1), 3, 2), lambda x: avg_pool2d(x, 3, 2, 1))
keras_pool.slip("pools-at-stride-1", "The pool does not stride: the image keeps its size. Keras's moves by 2 pixels.",
    lambda x: max_pool2d(zeros(x, 1, 1, 1, 1), 3, 1))
keras_pool.slip("stride-of-three", "The pool moves by 3 pixels: its stride is the size of its window if you do not say "
    "stride=2.",
    lambda x: max_pool2d(zeros(x, 1, 1, 1, 1), 3))
keras_pool.together("stride-of-three", "pads-minus-infinity", wrong=[
    lambda x: max_pool2d(x, 3, padding=1)])
keras_pool.slip("rounds-up", "You round up: for {case} it gives {given}. A last step that does not fit is not taken: "
    "PyTorch rounds down.",
    lambda x: max_pool2d(zeros(x, 1, 1, 1, 1), 3, 2, ceil_mode=True))
keras_pool.slip("window-of-two", "The window is 2×2. It should be 3×3 at stride 2: windows overlap.",
    lambda x: max_pool2d(x, 2), lambda x: max_pool2d(zeros(x, 1, 1, 1, 1), 2, 2))
keras_pool.slip("relu-in-pool", "You apply ReLU. That is equal only at the border; inside, a window of negative values "
    "keeps its largest, which is negative.",
    lambda x: relu(max_pool2d(x, 3, 2, 1)))
keras_pool.slip("pads-width-only", "You pad only one axis of the image.",
    lambda x: max_pool2d(zeros(x, 1, 1), 3, 2), lambda x: max_pool2d(zeros(x, 0, 0, 1, 1), 3, 2))


def begins(first: Callable[[Any, Tensor], Tensor]) -> Mutation:
    """A block that does something else of (block, x) before the branch, and before a projection."""

    def formula(b: Any, x: Tensor) -> Tensor:
        a = first(b, x)
        return b.residual(a) + b.shortcut(a if b.activated else x)

    return computes(formula)


def ends(formula: Callable[[Any, Tensor, Tensor], Tensor]) -> Mutation:
    """A block that ends in another formula of (block, F(x), shortcut)."""

    def whole(b: Any, x: Tensor) -> Tensor:
        a = relu(b.bn1(x))
        return formula(b, b.residual(a), b.shortcut(a if b.activated else x))

    return computes(whole)


def scaled_shortcut(factor: float) -> Mutation:
    return ends(lambda b, f, s: f + factor * s)


def drops_v2_shortcut(p: float) -> Mutation:
    return ends(lambda b, f, s: f + dropout(s, p, b.training))


def norm_at_the_end(with_bias: bool) -> Mutation:
    def mutate(block: Any) -> None:
        branch, last = block.residual, getattr(block, "conv3", block.conv2)
        block.last = nn.BatchNorm2d(last.out_channels)
        last.bias = last.bias if with_bias else None
        block.residual = lambda x: block.last(branch(x))

    return mutate


def activates(on: bool) -> Mutation:
    return lambda block: setattr(block, "activated", on)


def projects_anyway(**options: Any) -> Mutation:
    """A projection where the identity would do, of x or of the activated x."""

    def mutate(b: Any) -> None:
        if not isinstance(b.downsample, ProjectionShortcut):
            b.downsample = ProjectionShortcut(b.in_channels, b.out_channels, b.stride, **{"norm": False, **options})

    return mutate


def in_turn(b: Any, x: Tensor, start: Callable[[Tensor], Tensor]) -> Tensor:
    """V1's order in V2's layers, where the shapes allow it."""
    return b.bn2(b.conv2(relu(b.bn1(b.conv1(start(x))))))


def norm_of_outputs(block: Any) -> None:
    if block.in_channels == block.out_channels:
        raise ValueError("no difference")
    block.bn1 = nn.BatchNorm2d(block.channels)


PREACT = Slips(
    slip("relu-after-add", "There is a ReLU after the addition. Pre-activation leaves the sum alone, so that x passes "
         "unchanged from the first block to the last.",
         ends(lambda b, f, s: relu(f + s))),
    slip("no-first-activation", "The norm and ReLU before the first convolution are missing. In pre-activation each "
         "convolution is preceded by both.",
         both(drops("bn1"), begins(lambda b, x: x)), begins(lambda b, x: x)),
    slip("no-first-relu", "The first ReLU is missing: only the norm comes before the first convolution.",
         begins(lambda b, x: b.bn1(x))),
    slip("no-first-norm", "The first norm is missing: only the ReLU comes before the first convolution.",
         drops("bn1"), begins(lambda b, x: relu(x))),
    slip("relu-on-shortcut", "The shortcut passes through a ReLU before the addition. Then negative values are lost on "
         "the path that should carry everything.",
         ends(lambda b, f, s: f + relu(s))),
    slip("subtracts", "You subtract where the block adds. H(x) − x is what F has to *learn*; what the block *computes* "
         "is F(x) + x.",
         ends(lambda b, f, s: f - s), ends(lambda b, f, s: s - f)),
    slip("shortcut-after-norm", "The shortcut carries norm(x). Here it should carry x itself: use another name for the "
         "normalised signal.",
         computes(lambda b, x: b.residual(relu(n := b.bn1(x))) + b.shortcut(n))),
    slip("dropout-on-shortcut", "There is dropout on the shortcut. It blocks the one path that should always be open; "
         "He et al. 2016 (table 1) could not train with it.",
         *[drops_v2_shortcut(p) for p in RATES]),
    slip("norm-at-the-end", "There is a norm after the last convolution. In pre-activation none follows: the next "
         "block begins with one.",
         norm_at_the_end(True), norm_at_the_end(False)),
    slip("relu-before-norm", "ReLU and batch norm are in the wrong order. In V2 the norm comes first, then ReLU, "
         "then the "
         "convolution.",
         begins(lambda b, x: b.bn1(relu(x))),
         both(begins(lambda b, x: b.bn1(relu(x))), inside(lambda b, x: b.conv2(b.bn2(relu(b.conv1(x))))))),
    slip("no-shortcut", "Nothing is added: this is a plain block. Where is the `+ x`?", ends(lambda b, f, s: f)),
    slip("adds-itself", "The residual is added to itself, and x is lost. Keep x under its own name until the addition.",
         ends(lambda b, f, s: 2 * f)),
    slip("adds-x-twice", "x is added twice. Once is enough: with 2x the signal doubles in every block.",
         scaled_shortcut(2)),
    slip("scaled-shortcut", "The shortcut is scaled. Through L blocks the factor becomes its L-th power: it dies out "
         "or "
         "explodes. He et al. 2016 (table 1): 6.61 % → 12.35 % with 0.5.",
         *[scaled_shortcut(k) for k in FACTORS]),
    slip("norm-of-outputs", "The first norm is made for the wrong number of channels. In V2 it comes before the "
         "convolution, so it gets in_channels.",
         norm_of_outputs),
    *LAYERS.without("no-norm", "no-norm-first", "shared-convolution"),
    slip("no-norm", "The batch norms are missing. In V2 one comes before each convolution.",
         drops("bn1", "bn2", "bn3"), drops("bn1", "bn2")),
)
preact_block = ModuleExercise(
    "PreActBlock(in_channels, channels)",
    reference=lambda i, c: PreAct(i, c, downsample=nn.Identity()),
    cases=[Case((6, 6), (4, 6, 7, 6)), Case((5, 5), (1, 5, 5, 8)), Case((4, 4), (2, 4, 6, 6), scale=8)],
    slips=[
        *PREACT.without(*CHANGES_OF_SHAPE, "norm-of-outputs"),
        *CONVS_3X3.without(*CHANGES_OF_SHAPE),
        *LAYERS.only("shared-convolution"),
        slip("shortcut-after-activation", "The shortcut carries the activated input, relu(norm(x)). Here it should "
             "carry x itself.",
             activates(True)),
        slip("post-activation", "This is the V1 order: convolution, norm, ReLU. Pre-activation puts norm and ReLU "
             "before each convolution.",
             computes(lambda b, x: relu(in_turn(b, x, lambda x: x) + x)), computes(lambda b, x: in_turn(b, x,
             lambda x: x) + x)),
        slip("relu-only", "Only ReLUs moved before the convolutions; the norms stayed where they were. That is "
             "\"ReLU-only pre-activation\" (He et al. 2016, figure 4d).",
             computes(lambda b, x: x + in_turn(b, x, relu))),
        slip("no-inner-activation", "Norm or ReLU before the second convolution is missing.",
             inside(lambda b, x: b.conv2(b.bn2(b.conv1(x)))),
             drops("bn2"), both(drops("bn2"), inside(lambda b, x: b.conv2(b.conv1(x))))),
        slip("projects-without-need", "There is a projection where the shape does not change: {off} parameters. The "
             "identity "
             "does that without parameters.",
             projects_anyway(), both(projects_anyway(), activates(True)), projects_anyway(norm=True)),
    ],
)


def keras_bottleneck(i: int, c: int, stride: int = 1, project: bool = False) -> nn.Module:
    other = ProjectionShortcut(i, 4 * c, stride, norm=False, bias=True)
    block = PreActBottle(i, c, stride, other if project else ZeroPadShortcut(i, 4 * c, stride))
    block.activated = project
    return block


def v1(b: Any) -> nn.Module:
    other = ProjectionShortcut(b.in_channels, b.out_channels, b.stride)
    return Bottle(b.in_channels, b.channels, b.stride, other if projecting(b) else b.downsample)


def projecting(block: Any) -> bool:
    return isinstance(block.downsample, ProjectionShortcut)


def projections_of(make: Callable[[Any], nn.Module]) -> Mutation:
    """Another projection, by a function of its convolution, where there is one."""

    def mutate(block: Any) -> None:
        if projecting(block):
            block.downsample = make(block.downsample[0])

    return mutate


def identities(make: Callable[[Any], nn.Module]) -> Mutation:
    """Another shortcut of the block, where there is no projection."""

    def mutate(block: Any) -> None:
        if not projecting(block):
            block.downsample = make(block)

    return mutate


def never_projects(block: Any) -> None:
    block.downsample = ZeroPadShortcut(block.in_channels, block.out_channels, block.stride)
    block.activated = False


def unbiased(*names: str) -> Mutation:
    def mutate(module: Any) -> None:
        for name in names:
            module.get_submodule(name).bias = None

    return mutate


def inner_relus(first: bool, second: bool) -> Mutation:
    """A branch with or without each of its inner ReLUs."""

    def formula(b: Any, x: Tensor) -> Tensor:
        x = b.bn2(b.conv1(x))
        x = b.bn3(b.conv2(relu(x) if first else x))
        return b.conv3(relu(x) if second else x)

    return inside(formula)


v2_bottleneck = ModuleExercise(
    "V2Bottleneck(in_channels, channels, stride=1, project=False)",
    reference=keras_bottleneck,
    cases=[Case((6, 4, 2, True), (4, 6, 7, 8)), Case((16, 4), (1, 16, 6, 5)), Case((5, 4, 1, True), (4, 5, 5, 6)),
           Case((20, 5, 2, False), (4, 20, 8, 6))],
    slips=[
        slip("projects-raw-input", "The projection works on x. In V2 it works on the activated input, relu(norm(x)), "
             "as the "
             "branch does.",
             activates(False)),
        slip("shortcut-after-activation", "Without a projection the shortcut carries relu(norm(x)). It should carry "
             "x itself.",
             activates(True)),
        slip("projection-has-norm", "The projection is followed by a norm. In V2 it is a bare convolution: the next "
             "block's norm does that work.",
             projections_of(lambda c: nn.Sequential(c, nn.BatchNorm2d(c.out_channels))),
             projections_of(lambda c: ProjectionShortcut(c.in_channels, c.out_channels, c.stride[0]))),
        slip("no-last-bias", "A bias is missing. No norm follows the last convolution or the projection, so in "
             "Keras's V2 both keep theirs.",
             unbiased("conv3"), projections_of(resized(1)), both(unbiased("conv3"), projections_of(resized(1)))),
        slip("bias-before-norm", "A convolution that a norm follows keeps its bias. The norm cancels it; only "
             "the last convolution needs one.",
             biased("conv1", "conv2"), biased("conv1"), biased("conv2")),
        slip("pools-shortcut", "The shortcut averages pixels or takes the largest. It should take every stride-th one, "
             "x[:, :, ::stride, ::stride]; a convolution of kernel 1 with a stride does the same.",
             identities(lambda b: nn.AvgPool2d(b.stride, ceil_mode=True)),
             identities(lambda b: nn.MaxPool2d(b.stride, ceil_mode=True))),
        slip("no-shortcut-stride", "The shortcut does not stride, so the two branches have different sizes.",
             identities(lambda b: nn.Identity()), projections_of(lambda c: resized(1, bias=True, stride=1)(c))),
        slip("never-projects", "`project` is not used. Where it is True, the shortcut is a 1×1 convolution of "
             "relu(norm(x)).",
             never_projects),
        slip("projects-without-need", "There is a projection although `project` is False. The shortcut is then x "
             "itself.",
             projects_anyway(bias=True), both(projects_anyway(bias=True), activates(True))),
        slip("stride-on-1x1", "The stride sits on the first 1×1. Here the 3×3 strides.", strides("conv1")),
        slip("stride-on-last", "The stride sits on the last 1×1. Both 3×3 and last 1×1 then work on the large image, "
             "and the shapes still fit.",
             strides("conv3")),
        slip("stride-on-both", "The stride sits on more than one convolution, so the image is shrunk twice.",
             strides("conv1", "conv2"), strides("conv2", "conv3"), strides("conv1", "conv2", "conv3")),
        slip("no-stride", "The stride is not used in the branch: F(x) keeps the image's size.", strides()),
        slip("no-expansion", "The last 1×1 does not widen to 4 × channels.",
             lambda b: setattr(b, "conv3", conv(1, b.channels, b.channels, bias=True))),
        slip("no-inner-relu", "A ReLU between the convolutions is missing. Two convolutions in a row are one linear "
             "map.",
             inner_relus(False, False), inner_relus(False, True), inner_relus(True, False)),
        slip("post-activation", "This is the V1 order: convolution, norm, ReLU. Pre-activation puts norm and ReLU "
             "before each "
             "convolution.",
             v1),
        *PREACT.without("conv-bias", "shared-norm", "pools-for-stride"),
    ],
)


def stem_norm(net: Any) -> None:
    """V1's norm and ReLU after the first convolution."""
    net.bn0 = nn.BatchNorm2d(net.conv1.out_channels)
    begins_with(lambda net, x: relu(net.bn0(net.conv1(x))))(net)


def stem_norm_alone(net: Any) -> None:
    stem_norm(net)
    begins_with(lambda net, x: net.bn0(net.conv1(x)))(net)


def same_width(net: Any) -> None:
    for number, stage in enumerate(net.stages()):
        for n in range(len(stage)):
            stride = 2 if number and n == 0 else 1
            stage[n] = PreAct(8, 8, stride, nn.Identity() if stride == 1 else ZeroPadShortcut(8, 8, 2))
            stage[n].activated = number == n == 0
    net.norm, net.fc = nn.BatchNorm2d(8), nn.Linear(8, 10)


def shares_from_the_first(net: Any) -> None:
    """One block is the whole first stage, where all have one shape."""
    stage = net.stages()[0]
    for n in range(1, len(stage)):
        stage[n] = stage[0]


def first_raw(net: Any) -> None:
    net.blocks()[0].activated = False


def widening_raw(net: Any) -> None:
    for stage in net.stages()[1:]:
        stage[0].activated = False


def projected(block: Any) -> None:
    if block.in_channels != block.out_channels:
        block.downsample = ProjectionShortcut(block.in_channels, block.out_channels, block.stride, norm=False)


def v1_net(net: Any) -> Net:
    return net.remade(block=Basic)


def plain_head(net: Any, x: Tensor) -> Tensor:
    return net.fc(net.avgpool(x).flatten(1))


ENDS = Slips(
    slip("no-final-norm", "The norm before the pool is missing. Nothing follows the last addition in a V2 block, so "
         "the sum of "
         "all branches would reach the classifier at whatever size it has.",
         both(drops("norm"), ends_with(lambda net, x: plain_head(net, relu(x))))),
    together("no-final-norm", "no-final-relu", wrong=[both(drops("norm"), ends_with(plain_head))]),
    slip("no-final-relu", "The ReLU before the pool is missing. In V2 each sum is activated by the block that follows; "
         "after the last block there is none.",
         ends_with(lambda net, x: plain_head(net, net.norm(x)))),
    slip("norm-after-pool", "The last norm or ReLU comes after the pool. Both come before it: first activate each "
         "pixel, then average.",
         ends_with(lambda net, x: net.fc(relu(net.norm(net.avgpool(x))).flatten(1))),
         ends_with(lambda net, x: net.fc(relu(net.avgpool(net.norm(x))).flatten(1)))),
    slip("relu-before-norm", "At the end of the net the ReLU comes before the norm. The norm comes first.",
         ends_with(lambda net, x: plain_head(net, net.norm(relu(x))))),
    slip("stem-norm", "There is a norm or a ReLU right after the first convolution. In V2 the first block begins with "
         "them.",
         stem_norm, stem_norm_alone, begins_with(lambda net, x: relu(net.conv1(x)))),
    slip("widening-shortcuts-raw", "Where the channels change, the shortcut starts before the activation: "
         "activate_shortcut=False. Leave the argument out there: the block then takes the activated x, as the "
         "authors' code does. Only the first block of the net needs it.",
         widening_raw),
)
preact_net = ModuleExercise(
    "preact_net(depth)",
    reference=lambda depth: Net(PreAct, [(depth - 2) // 6] * 3, 1, 10, width=8, stem="cifar", option="A"),
    cases=[Case((8,), (4, 1, 14, 14)), Case((14,), (1, 1, 12, 12)), Case((20,), (3, 1, 9, 9))],
    pairs=False,
    seconds=20,
    slips=[
        *ENDS,
        slip("first-shortcut-raw", "The first block's shortcut carries the raw output of the first convolution. He et "
             "al. 2016 (appendix) activate it before the split: activate_shortcut=True in that block.",
             first_raw),
        *[together(*end.keys, "first-shortcut-raw", wrong=[both(one, first_raw) for one in end.wrong]) for end in ENDS],
        slip("every-shortcut-activated", "Every shortcut starts after the activation. Then x is changed in every "
             "block. Only the first block of the net and those that change the channels do that.",
             in_all_blocks(lambda block: setattr(block, "activated", True))),
        *SMALL_NETS.without("no-stem-norm", "max-pool-at-the-end", "no-avgpool", "no-flatten",
                            "shares-blocks", "ignores-depth"),
        slip("max-pool-at-the-end", "The classifier gets the maximum of each channel. It should get the mean: global "
             "*average* "
             "pooling.",
             ends_with(lambda net, x: net.fc(relu(net.norm(x)).amax((2, 3))))),
        slip("no-avgpool", "The average pool before the classifier is missing.",
             ends_with(lambda net, x: net.fc(relu(net.norm(x)).flatten(1)))),
        slip("no-flatten", "The classifier gets maps of 1×1 pixels, (N, C, 1, 1). Flatten them to (N, C) first.",
             ends_with(lambda net, x: net.fc(net.avgpool(relu(net.norm(x)))))),
        slip("ignores-depth", "The depth is fixed. Compute the number of blocks from it.",
             *[remade(layers=(n, n, n)) for n in (1, 2, 3, 9)]),
        slip("shares-blocks", "One block appears several times in a stage: {off} parameters. Call the class anew for "
             "each block, so that each has its own weights.",
             share_blocks, shares_from_the_first, both(share_blocks, shares_from_the_first)),
        slip("same-width", "Every stage has 8 channels: {off} parameters. Each stage doubles them: 8, 16, 32.",
             same_width),
        slip("no-shortcut", "Nothing is added: these are plain blocks. Where is the `+ x`?",
             in_all_blocks(computes(lambda b, x: b.residual(relu(b.bn1(x)))))),
        slip("projects-option-b", "Where the channels change there is a projection. Here zero-padding is asked for: "
             "shortcut=\"A\".",
             in_all_blocks(projected)),
        slip("relu-after-add", "There is a ReLU after the addition. Pre-activation leaves the sum alone, so that x "
             "passes unchanged from the first block to the last.",
             in_all_blocks(computes(lambda block, x: relu(type(block).forward(block, x))))),
        slip("post-activation-net", "This is the V1 net: convolution, norm, ReLU, and a ReLU after each addition.",
             v1_net),
        slip("conv-bias", "A convolution keeps its bias: {off} parameters. A norm follows each of them, at the "
             "latest in the next block, and cancels the bias. Use bias=False.",
             biased(), in_all_blocks(biased()), replaces(conv1=resized(3, 1, bias=True))),
    ],
)
# fmt: on


Branch = Callable[[Tensor], Tensor]


def _mixes(seed: int) -> Branch:
    weight = noise(4, 4, seed=seed) / 2
    return lambda x: torch.tanh(x @ weight)


_BRANCHES = [_mixes(1), lambda x: torch.sin(x) * x.roll(1, -1), _mixes(2), lambda x: x.square() / 3]

first_gradient = Exercise(
    "first_gradient(branches, x, upstream)",
    praise="The end's gradient arrives unchanged, plus one term per branch.",
    right=answers.first_gradient,
    cases=[
        (_BRANCHES[:1], noise(3, 4), noise(3, 4, seed=5)),
        (_BRANCHES[:2], noise(2, 4, seed=1), noise(2, 4, seed=6)),
        (_BRANCHES, noise(3, 4, seed=2), noise(3, 4, seed=7)),
    ],
)


def _signals(branches: Sequence[Branch], x: Tensor) -> list[Tensor]:
    signals = [x]
    for branch in branches:
        signals.append(signals[-1] + branch(signals[-1]))
    return signals


def _plain_product(branches: Sequence[Branch], x: Tensor, upstream: Tensor) -> Tensor:
    for branch, signal in zip(reversed(branches), reversed(_signals(branches, x)[:-1]), strict=True):
        upstream = vjp(branch, signal, upstream)[1]
    return upstream


def _terms(branches: Sequence[Branch], signals: Sequence[Tensor], upstream: Tensor) -> Tensor:
    return sum((vjp(b, s, upstream)[1] for b, s in zip(branches, signals, strict=True)), torch.zeros_like(upstream))


def _backward(branches: Sequence[Branch], signals: Sequence[Tensor], upstream: Tensor) -> Tensor:
    for branch, signal in zip(reversed(branches), reversed(signals), strict=True):
        upstream = upstream + vjp(branch, signal, upstream)[1]
    return upstream


first_gradient.slip(
    "upstream-alone",
    "You return what came in. That is the first term; each branch adds one.",
    lambda branches, x, upstream: upstream,
)
first_gradient.slip(
    "no-first-term",
    "The first term is missing: ∂L/∂x_L itself, which the free line passes on.",
    lambda branches, x, upstream: answers.first_gradient(branches, x, upstream) - upstream,
)
first_gradient.slip(
    "product",
    "You multiply only through the branches: that is a net without shortcuts. In a residual net each step keeps the "
    "gradient and adds the branch's term.",
    _plain_product,
)
first_gradient.slip(
    "end-gradient-everywhere",
    "Every term uses ∂L/∂x_L. The term of block i needs the gradient after that block, ∂L/∂x_(i+1): go from the last "
    "block to the first.",
    lambda branches, x, upstream: upstream + _terms(branches, _signals(branches, x)[:-1], upstream),
)
first_gradient.slip(
    "first-signal-everywhere",
    "Every branch is differentiated at x. Branch i works on the signal before it: go forward once and keep them all.",
    lambda branches, x, upstream: _backward(branches, [x] * len(branches), upstream),
)
first_gradient.slip(
    "signal-after-the-block",
    "Each branch is differentiated at the signal after its block. It works on the one before.",
    lambda branches, x, upstream: _backward(branches, _signals(branches, x)[1:], upstream),
)
first_gradient.slip(
    "signals-without-shortcut",
    "Going forward, the signals are branch(signal). In a residual net they are signal + branch(signal).",
    lambda branches, x, upstream: _backward(branches, _plain_signals(branches, x)[:-1], upstream),
)
first_gradient.slip(
    "first-block-first",
    "You go through the blocks from the first to the last. Gradients come from the end: begin with the last block.",
    lambda branches, x, upstream: _backward(branches[::-1], _signals(branches, x)[:-1][::-1], upstream),
)
first_gradient.slip(
    "forward",
    "That is the last signal, the forward sum. The gradient is wanted.",
    lambda branches, x, upstream: _signals(branches, x)[-1],
)


def _plain_signals(branches: Sequence[Branch], x: Tensor) -> list[Tensor]:
    signals = [x]
    for branch in branches:
        signals.append(branch(signals[-1]))
    return signals
