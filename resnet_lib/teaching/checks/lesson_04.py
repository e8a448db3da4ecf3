"""Lesson 04: the three shortcuts, and when a block needs which."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, max_pool2d, pad, relu

from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.models.shortcuts import ProjectionShortcut, ZeroPadShortcut
from resnet_lib.teaching.checking import Case, Exercise, ModuleExercise, noise, slip
from resnet_lib.teaching.checks.lesson_03 import starts_as
from resnet_lib.teaching.checks.mutations import LAYERS, Mutation, biased, resized, swapped


def append(x: Tensor, out: int, value: float = 0.0) -> Tensor:
    return pad(x, (0, 0, 0, 0, 0, out - x.shape[1]), value=value)


def padded(x: Tensor, out: int, s: int) -> Tensor:
    return ZeroPadShortcut(x.shape[1], out, s)(x)


def both_sides(x: Tensor, out: int, s: int, more: int) -> Tensor:
    new = out - x.shape[1]
    front = (new + more) // 2
    return pad(x[:, :, ::s, ::s], (0, 0, 0, 0, front, new - front))


# fmt: off
zero_pad = Exercise(
    "zero_pad(x, out_channels, stride)",
    praise="strides 1, 2 and 3, even and odd sizes: every stride-th pixel, zeros at the end, and gradients pass.",
    right=padded,
    cases=[(noise(2, 3, 6, 4), 5, 2), (noise(2, 4, 5, 7, seed=1), 8, 2), (noise(1, 2, 4, 4, seed=2), 3, 1),
           (noise(2, 3, 7, 7, seed=3), 3, 3)],
    traps=[(noise(2, 3, 4, 5, seed=4), 3, 1)],
    gradients=True,
)
zero_pad.slip("pads-in-front", "The zeros come before x's channels. Then channel 0 of F(x) meets zeros instead of "
    "x's channel 0. They go at the end.",
    lambda x, out, s: pad(x[:, :, ::s, ::s], (0, 0, 0, 0, out - x.shape[1], 0)))
zero_pad.slip("pads-both-sides", "The zeros stand on both sides, as in some popular code for CIFAR. It trains, but the "
    "channels are shifted, so weights do not fit other nets. Here they go at the end.",
    *[lambda x, out, s, more=more: both_sides(x, out, s, more) for more in (0, 1)])
zero_pad.slip("averages", "You average pixels. Option A takes every stride-th pixel, `x[:, :, ::stride, ::stride]`; an "
    "average is a different filter.",
    *(lambda x, out, s, up=up: append(avg_pool2d(x, s, ceil_mode=up), out) for up in (True, False)),
    lambda x, out, s: append(adaptive_avg_pool2d(x, (-(-x.shape[2] // s), -(-x.shape[3] // s))), out))
zero_pad.slip("pools-max", "You take the largest of neighbouring pixels. Option A takes every stride-th pixel, `x[:, "
    ":, ::stride, ::stride]`.",
    *[lambda x, out, s, up=up: append(max_pool2d(x, s, ceil_mode=up), out) for up in (True, False)])
zero_pad.slip("no-new-channels", "The new channels are missing: the result has as many as x. Which call of "
    "`torch.nn.functional.pad` adds to axis 1?",
    lambda x, out, s: x[:, :, ::s, ::s])
zero_pad.slip("pads-image", "You padded the image, not the channels. `pad` begins with the *last* axis: width, height, "
    "then channels.",
    lambda x, out, s: pad(x[:, :, ::s, ::s], (0, out - x.shape[1])),
    lambda x, out, s: pad(x[:, :, ::s, ::s], (0, 0, 0, out - x.shape[1])))
zero_pad.slip("pads-batch", "You padded the batch: it now holds more images. `pad` takes pairs from the *last* axis "
    "on: width, height, then channels.",
    lambda x, out, s: pad(x[:, :, ::s, ::s], (0, 0, 0, 0, 0, 0, 0, out - x.shape[1])))
zero_pad.slip("pads-all-channels", "You added `out_channels` zeros. That many channels are wanted in all, so add the "
    "difference.",
    lambda x, out, s: pad(x[:, :, ::s, ::s], (0, 0, 0, 0, 0, out)))
zero_pad.slip("pads-ones", "The new channels hold ones. The shortcut must add nothing there: zeros.",
    lambda x, out, s: append(x[:, :, ::s, ::s], out, 1.0))
zero_pad.slip("repeats-channels", "The new channels repeat those of x. The shortcut must add nothing there: zeros.",
    lambda x, out, s: torch.cat([x] * out, 1)[:, :out, ::s, ::s])
zero_pad.slip("cuts-image", "You cut out a corner of the image. Take every stride-th pixel: `::stride`, not `:stride`.",
    lambda x, out, s: append(x[:, :, : -(-x.shape[2] // s), : -(-x.shape[3] // s)], out),
    lambda x, out, s: append(x[:, :, :s, :s], out))
zero_pad.slip("subsamples-channels", "The stride is applied to the channels. In (N, C, H, W) the image is the last two "
    "axes: x[:, :, ::stride, ::stride].",
    lambda x, out, s: append(x[:, ::s, ::s], out))
zero_pad.slip("subsamples-one-axis", "Only one axis of the image is subsampled. Height and width both shrink.",
    lambda x, out, s: append(x[:, :, ::s], out), lambda x, out, s: append(x[:, :, :, ::s], out))
zero_pad.slip("starts-late", "You start at the last pixel of each group. A strided convolution without padding starts "
    "at the first: `::stride`.",
    lambda x, out, s: append(x[:, :, s - 1 :: s, s - 1 :: s], out))
zero_pad.slip("no-stride", "The stride is not used: the image keeps its size.",
    lambda x, out, s: append(x, out))
zero_pad.slip("relu-on-shortcut", "Negative values are cut off, by a ReLU or a clamp. The shortcut should carry "
    "everything.",
    lambda x, out, s: relu(padded(x, out, s)))
zero_pad.slip("pads-channels-by-stride", "You add as many channels as x has, or `stride` times as many, whatever "
    "out_channels is.",
    lambda x, out, s: append(x[:, :, ::s, ::s], 2 * x.shape[1]),
    lambda x, out, s: append(x[:, :, ::s, ::s], s * x.shape[1]))

needs_projection = Exercise(
    "needs_projection(in_channels, out_channels, stride)",
    praise="True exactly where x and F(x) have different shapes.",
    right=lambda i, o, s: i != o or s != 1,
    cases=[(64, 64, 1), (64, 256, 1), (256, 512, 2), (64, 64, 2), (256, 64, 1), (512, 512, 1)],
    traps=[(128, 128, 3)],
)
needs_projection.slip("projection-by-stride", "The projection is decided by the stride alone. Stage 1 of a bottleneck "
    "net has stride 1 and still goes from 64 to 256 channels.",
    lambda i, o, s: s != 1)
needs_projection.slip("projection-by-channels", "You look at the channels alone. A stride changes the shape too: with "
    "64 → 64 channels at stride 2, x is twice as wide as F(x).",
    lambda i, o, s: i != o)
needs_projection.slip("and-for-or", "You ask for both. One is enough: stage 1 of ResNet-50 goes from 64 to 256 "
    "channels at stride 1.",
    lambda i, o, s: i != o and s != 1)
needs_projection.slip("only-more-channels", "You look for *more* channels. Having fewer changes the shape as well.",
    lambda i, o, s: o > i or s != 1, lambda i, o, s: o > i)
needs_projection.slip("expansion-twice", "You multiply by 4 once more. `out_channels` is the block's number of output "
    "channels, so it already includes the expansion.",
    lambda i, o, s: i != 4 * o or s != 1)
needs_projection.slip("always", "A projection everywhere is option C. Here the question is where option B has one.",
    lambda i, o, s: True)
needs_projection.slip("never", "Somewhere the shapes differ, and then x cannot be added. When?",
    lambda i, o, s: False)
needs_projection.slip("says-where-not", "You say where x fits. The question is where it does not, and a projection is "
    "needed.",
    lambda i, o, s: i == o and s == 1)
needs_projection.slip("channels-equal", "You test whether the channels are equal. A projection is needed where they "
    "differ.",
    lambda i, o, s: i == o or s == 1, lambda i, o, s: i == o or s != 1)
needs_projection.slip("stride-of-two-only", "You ask for a stride of exactly 2. Every stride but 1 changes the shape.",
    lambda i, o, s: i != o or s == 2)

shortcut_parameters = Exercise(
    "shortcut_parameters(in_channels, out_channels)",
    praise="the kernel's weights, and a γ and a β for each output channel.",
    right=lambda i, o: i * o + 2 * o,
    cases=[(64, 256), (256, 512), (3, 5), (1, 1)],
)
shortcut_parameters.slip("forgets-norm", "The batch norm is missing: a γ and a β for each output channel.",
    lambda i, o: i * o)
shortcut_parameters.slip("counts-bias", "You counted a bias. The convolution has none, since a batch norm follows.",
    lambda i, o: i * o + 3 * o)
shortcut_parameters.slip("half-a-norm", "You added one number for each output channel. A bias is one, but the "
    "convolution has none; a batch norm is two, a γ and a β.",
    lambda i, o: i * o + o)
shortcut_parameters.slip("counts-3x3", "You counted a 3×3 kernel. The projection is 1×1: it mixes channels and looks "
    "at one pixel.",
    lambda i, o: 9 * i * o + 2 * o)
shortcut_parameters.together("counts-3x3", "forgets-norm", wrong=[
    lambda i, o: 9 * i * o])
shortcut_parameters.together("counts-3x3", "counts-bias", wrong=[
    lambda i, o: 9 * i * o + 3 * o])
shortcut_parameters.slip("counts-buffers", "The running mean and variance are buffers. They are not learned, so they "
    "are not parameters.",
    lambda i, o: i * o + 4 * o, lambda i, o: i * o + 4 * o + 1)
shortcut_parameters.slip("norm-of-input", "The batch norm follows the convolution, so it has a γ and a β for each "
    "*output* channel.",
    lambda i, o: i * o + 2 * i, lambda i, o: i * o + 2)
shortcut_parameters.slip("adds-channels", "A 1×1 convolution has a weight for each pair of input and output channel: a "
    "product.",
    lambda i, o: i + o, lambda i, o: i + o + 2 * o)
shortcut_parameters.slip("counts-the-block", "You counted the whole block. Only the projection is asked for.",
    lambda i, o: 10 * i * o + 9 * o * o + 6 * o)


def convolution(kernel: int, padding: int, **changes: Any) -> Mutation:
    return lambda m: m.__setitem__(0, resized(kernel, padding, **changes)(m[0]))


def around(*before: nn.Module, between: Sequence[nn.Module] = (), after: Sequence[nn.Module] = ()) -> Mutation:
    return lambda m: nn.Sequential(*before, m[0], *between, m[1], *after)


def pool_first(pool: Callable[..., nn.Module]) -> Mutation:
    return lambda m: nn.Sequential(pool(m[0].stride, ceil_mode=True), resized(1, stride=1)(m[0]), m[1])


def swaps_channels(m: Any) -> None:
    m[0] = swapped(m[0])


projection = ModuleExercise(
    "Projection(in_channels, out_channels, stride)",
    reference=ProjectionShortcut,
    cases=[Case((4, 6, 2), (3, 4, 6, 8)), Case((3, 8, 1), (2, 3, 5, 5)), Case((6, 5, 2), (1, 6, 7, 5)),
           Case((5, 6, 3), (2, 5, 8, 7)), Case((4, 4, 1), (2, 4, 5, 6))],
    slips=[
        slip("projection-no-norm", "The projection has no batch norm: {off} parameters.",
             lambda m: m.pop(1) and None),
        slip("projection-3x3", "The convolution is 3×3. 1×1 is enough to map channels, at a ninth of the weights.",
             convolution(3, 1), convolution(3, 0)),
        slip("conv-bias", "A convolution keeps its bias: {off} parameters. The batch norm after it subtracts the mean "
             "and the bias with it, so it learns nothing. Use bias=False.",
             biased()),
        slip("no-stride", "The stride is not used: the image keeps its size.", convolution(1, 0, stride=1)),
        slip("relu-on-shortcut", "There is a ReLU on the shortcut. Then negative values are lost on the path that "
             "should "
             "carry everything.",
             around(nn.ReLU()), around(between=[nn.ReLU()]), around(after=[nn.ReLU()])),
        slip("norm-first", "The batch norm comes before the convolution. In V1 it follows.",
             lambda m: nn.Sequential(nn.BatchNorm2d(m[0].in_channels), m[0])),
        slip("pools-shortcut", "The shortcut averages pixels or takes the largest. It should take every stride-th one, "
             "x[:, :, ::stride, ::stride]; a convolution of kernel 1 with a stride does the same.",
             pool_first(nn.AvgPool2d), pool_first(nn.MaxPool2d)),
        slip("two-projections", "There is a second convolution. A projection is one linear map of the channels, then a "
             "norm.",
             lambda m: m.extend(ProjectionShortcut(m[1].num_features, m[1].num_features)) and None),
        slip("swapped-channels", "The convolution's numbers of channels are swapped: nn.Conv2d(in, out, …).",
             swaps_channels),
        *LAYERS.only("norm-without-gamma"),
    ],
)


def projections(fill: Callable[[Tensor], object]) -> Callable[[Any], None]:
    """Change the 1×1 convolution of every shortcut."""

    def change(net: Any) -> None:
        with torch.no_grad():
            for block in net.blocks().values():
                fill(block.downsample[0].weight)

    return change


start_as_identity: Exercise = Exercise(
    "start_as_identity(net)",
    praise="every projection copies its input channels, and new channels start at zero.",
    right=projections(nn.init.dirac_),
    cases=lambda: [(cifar_resnet(depth, shortcut="C", width=3, in_channels=1),) for depth in (8, 14)],
    problem=lambda returned, before, after: starts_as(start_as_identity, before, after, returned),
)
start_as_identity.slip("nothing-changed", "The net came out as it went in. Change the values of its weights in "
    "place; what you return is ignored.",
    lambda net: None)
start_as_identity.slip("changes-a-copy", "You changed a copy and returned it. The net that was handed over is as it "
    "was; change that one.",
    lambda net: projections(nn.init.dirac_)(twin := deepcopy(net)) or twin)
start_as_identity.slip("ones-everywhere", "All weights are 1, so each output channel is the sum of all input "
    "channels. A copy has a 1 only where both are the same.",
    projections(nn.init.ones_))
start_as_identity.slip("zeros", "The projections start at zero, so nothing passes the shortcuts at all.",
    projections(nn.init.zeros_))
start_as_identity.slip("adds-the-identity", "The identity is added to the random weight. Replace the weight.",
    projections(lambda weight: weight.add_(nn.init.dirac_(torch.empty_like(weight)))))
start_as_identity.slip("square-only", "Only projections that keep the number of channels have changed. The others "
    "can copy the channels that exist.",
    projections(lambda weight: weight.shape[0] == weight.shape[1] and nn.init.dirac_(weight)))
start_as_identity.slip("branches-too", "Convolutions of the branches have changed too. Only the shortcuts' 1×1 "
    "should.",
    lambda net: projections(nn.init.dirac_)(net) or [nn.init.dirac_(b.conv1.weight) for b in net.blocks().values()])
start_as_identity.slip("other-start", "{count} weights are not what they should be, `{name}` is the first. Wanted: "
    "each 1×1 convolution of a shortcut copies its input channels, and nothing else changed.",
    projections(lambda weight: nn.init.eye_(weight.flip(1)[:, :, 0, 0]) is None or weight.mul_(2)))
