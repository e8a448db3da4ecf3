"""Lesson 04: the three shortcuts, and when a block needs which."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, max_pool2d, pad

from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.models.shortcuts import ProjectionShortcut, ZeroPadShortcut
from resnet_lib.teaching.checking import Case, Exercise, ModuleExercise, noise, slip
from resnet_lib.teaching.checks.mutations import Mutation, biased, drops, replaces, resized, swapped


def append(x: Tensor, out: int, value: float = 0.0) -> Tensor:
    return pad(x, (0, 0, 0, 0, 0, out - x.shape[1]), value=value)


# fmt: off
zero_pad = Exercise(
    "zero_pad(x, out_channels, stride)",
    praise="strides 1, 2 and 3, even and odd sizes: every stride-th pixel, zeros at the end, and gradients pass.",
    right=lambda x, out, s: ZeroPadShortcut(x.shape[1], out, s)(x),
    cases=[(noise(2, 3, 6, 4), 5, 2), (noise(2, 4, 5, 7, seed=1), 8, 2), (noise(1, 2, 4, 4, seed=2), 3, 1),
           (noise(2, 3, 7, 7, seed=3), 3, 3)],
    traps=[(noise(2, 3, 4, 5, seed=4), 3, 1)],
    gradients=True,
)
zero_pad.slip("pads-in-front", "The zeros come before x's channels. They go at the end.",
    lambda x, out, s: pad(x[:, :, ::s, ::s], (0, 0, 0, 0, out - x.shape[1], 0)))
zero_pad.slip("pads-both-sides", "The zeros stand on both sides, as in some code for CIFAR. They go at the end.",
    *[lambda x, out, s, n=n: append(pad(x[:, :, ::s, ::s], (0, 0, 0, 0, (out - x.shape[1] + n) // 2, 0)), out)
      for n in (0, 1)])
zero_pad.slip("pools", "You pool neighbouring pixels. Take every stride-th one: `x[:, :, ::stride, ::stride]`.",
    *[lambda x, out, s, pool=pool, up=up: append(pool(x, s, ceil_mode=up), out)
      for pool in (avg_pool2d, max_pool2d) for up in (True, False)],
    lambda x, out, s: append(adaptive_avg_pool2d(x, (-(-x.shape[2] // s), -(-x.shape[3] // s))), out))
zero_pad.slip("no-new-channels", "The result has as many channels as x. Append zeros up to out_channels.",
    lambda x, out, s: x[:, :, ::s, ::s])
zero_pad.slip("pads-another-axis", "You padded another axis than that of the channels. `pad` takes pairs from the "
    "*last* axis on: width, height, channels, images.",
    *[lambda x, out, s, axis=axis: pad(x[:, :, ::s, ::s], (*(0, 0) * axis, 0, out - x.shape[1])) for axis in (0, 1, 3)])
zero_pad.slip("other-number-of-channels", "The number of channels is wrong. Append as many as are missing: "
    "out_channels - x.shape[1].",
    *[lambda x, out, s, n=n: append(x[:, :, ::s, ::s], n(x.shape[1], out, s))
      for n in (lambda c, out, s: c + out, lambda c, out, s: 2 * c, lambda c, out, s: s * c)])
zero_pad.slip("no-zeros", "The new channels hold other values than zeros, so F(x) would not be alone there.",
    lambda x, out, s: append(x[:, :, ::s, ::s], out, 1.0), lambda x, out, s: torch.cat([x] * out, 1)[:, :out, ::s, ::s],
    lambda x, out, s: x[:, :, ::s, ::s].repeat(1, out // x.shape[1], 1, 1))
zero_pad.slip("cuts-image", "You cut out a corner of the image. Take every stride-th pixel: `::stride`, not `:stride`.",
    lambda x, out, s: append(x[:, :, : -(-x.shape[2] // s), : -(-x.shape[3] // s)], out),
    lambda x, out, s: append(x[:, :, : x.shape[2] // s, : x.shape[3] // s], out),
    lambda x, out, s: append(x[:, :, :s, :s], out))
zero_pad.slip("subsamples-channels", "The stride is applied to the channels. The image is the last two axes.",
    lambda x, out, s: append(x[:, ::s, ::s], out), lambda x, out, s: append(x[:, ::s, ::s, ::s], out))
zero_pad.slip("subsamples-one-axis", "Only one axis of the image is subsampled. Height and width both shrink.",
    lambda x, out, s: append(x[:, :, ::s], out), lambda x, out, s: append(x[:, :, :, ::s], out))
zero_pad.slip("starts-late", "You start at the last pixel of each group. Start at the first, as a convolution does.",
    lambda x, out, s: append(x[:, :, s - 1 :: s, s - 1 :: s], out))
zero_pad.slip("no-stride", "The stride is not used: the image keeps its size.",
    lambda x, out, s: append(x, out))
zero_pad.slip("fixed-stride", "You take every second pixel, whatever the stride is. Use the argument.",
    lambda x, out, s: append(x[:, :, ::2, ::2], out))

needs_projection = Exercise(
    "needs_projection(in_channels, out_channels, stride)",
    praise="True exactly where x and F(x) have different shapes.",
    right=lambda i, o, s: i != o or s != 1,
    cases=[(64, 64, 1), (64, 256, 1), (256, 512, 2), (64, 64, 2), (256, 64, 1), (512, 512, 1), (64, 128, 1)],
    traps=[(128, 128, 3)],
)
needs_projection.slip("projection-by-stride", "You look at the stride alone. Channels that change do not fit either.",
    lambda i, o, s: s != 1)
needs_projection.slip("projection-by-channels", "You look at the channels alone. A stride changes the shape too.",
    lambda i, o, s: i != o)
needs_projection.slip("and-for-or", "You ask for both. One is enough: join the comparisons by `or`.",
    lambda i, o, s: i != o and s != 1)
needs_projection.slip("only-more-channels", "You miss some changes of the channels. Where they differ, x does not fit.",
    lambda i, o, s: o > i or s != 1, lambda i, o, s: o > i, lambda i, o, s: o == 2 * i or s != 1)
needs_projection.slip("always", "It is always true: that is option C. Where x fits, nothing is needed.",
    lambda i, o, s: True)
needs_projection.slip("never", "It is never true. Where shapes differ, x cannot be added.",
    lambda i, o, s: False)
needs_projection.slip("says-where-not", "You say where x fits. Say where it does not.",
    lambda i, o, s: i == o and s == 1)
needs_projection.slip("channels-equal", "You test whether the channels are equal. They must differ.",
    lambda i, o, s: i == o or s == 1, lambda i, o, s: i == o or s != 1)
needs_projection.slip("stride-of-two-only", "One stride is missing. Every stride but 1 changes the shape.",
    lambda i, o, s: i != o or s == 2, lambda i, o, s: i != o or s > 2)

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
shortcut_parameters.slip("half-a-norm", "You added one number for each output channel. A norm has two, γ and β.",
    lambda i, o: i * o + o)
shortcut_parameters.slip("counts-3x3", "You counted a 3×3 kernel. The projection's is 1×1.",
    lambda i, o: 9 * i * o + 2 * o)
shortcut_parameters.together("counts-3x3", "forgets-norm", wrong=[lambda i, o: 9 * i * o])
shortcut_parameters.slip("counts-buffers", "You counted running means and variances. They do not learn.",
    lambda i, o: i * o + 4 * o, lambda i, o: i * o + 4 * o + 1)
shortcut_parameters.slip("norm-of-input", "The batch norm has a γ and a β for each *output* channel, and no others.",
    lambda i, o: i * o + 2 * i, lambda i, o: i * o + 2, lambda i, o: i * o + 2 * (i + o))
shortcut_parameters.slip("adds-channels", "A 1×1 convolution has a weight for each pair of channels, in and out.",
    lambda i, o: i + o, lambda i, o: i + o + 2 * o, lambda i, o: o * o + 2 * o)


def convolution(*make: Callable[[nn.Conv2d], nn.Module]) -> list[Mutation]:
    """Other convolutions of a projection."""
    return [replaces(**{"0": one}) for one in make]


def pools(pool: Callable[..., nn.Module], up: bool) -> Mutation:
    return lambda m: nn.Sequential(pool(m[0].stride, ceil_mode=up), resized(1, stride=1)(m[0]), m[1])


projection = ModuleExercise(
    "Projection(in_channels, out_channels, stride)",
    reference=ProjectionShortcut,
    cases=[Case((4, 6, 2), (3, 4, 6, 8)), Case((3, 8, 1), (2, 3, 5, 5)), Case((6, 5, 2), (1, 6, 7, 5)),
           Case((5, 6, 3), (2, 5, 8, 7)), Case((4, 4, 1), (2, 4, 5, 6))],
    slips=[
        slip("projection-no-norm", "The projection has no batch norm: {off} parameters.",
             drops("1")),
        slip("projection-3x3", "The convolution is larger than 1×1, which is enough to map channels.",
             *convolution(resized(3, 1), resized(3, 0), lambda c: resized(c.stride)(c))),
        slip("conv-bias", "The convolution keeps its bias, which the norm subtracts: {off} parameters. Use bias=False.",
             biased()),
        slip("no-stride", "The stride is not used: the image keeps its size.", *convolution(resized(1, stride=1))),
        slip("pads-1x1", "The 1×1 convolution is padded, which adds a border.", *convolution(resized(1, 1))),
        slip("relu-on-shortcut", "There is a ReLU on the shortcut. Then negative values are lost on it.",
             lambda m: nn.Sequential(nn.ReLU(), *m), lambda m: nn.Sequential(m[0], nn.ReLU(), m[1]),
             lambda m: nn.Sequential(*m, nn.ReLU())),
        slip("norm-first", "The batch norm comes before the convolution. In V1 it follows.",
             lambda m: nn.Sequential(nn.BatchNorm2d(m[0].in_channels), m[0])),
        slip("pools-shortcut", "A pool shrinks the image. Here the convolution does, by its stride.",
             *[pools(pool, up) for pool in (nn.AvgPool2d, nn.MaxPool2d) for up in (True, False)]),
        slip("swapped-channels", "The convolution's numbers of channels are swapped: nn.Conv2d(in, out, …).",
             *convolution(swapped)),
    ],
)


def weights_of(net: nn.Module) -> dict[str, Any]:
    return {name: parameter.detach() for name, parameter in net.named_parameters()}


def projections(fill: Callable[[Tensor], object], at: slice = slice(None)) -> Callable[[Any], None]:
    """Change the 1×1 convolution of every shortcut, or of some."""

    def change(net: Any) -> None:
        with torch.no_grad():
            for block in list(net.blocks().values())[at]:
                fill(block.downsample[0].weight)

    return change


def branches(net: Any) -> None:
    for block in net.blocks().values():
        nn.init.dirac_(block.conv1.weight)


def every_convolution(net: Any) -> None:
    for part in net.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.dirac_(part.weight)


start_as_identity = Exercise(
    "start_as_identity(net)",
    praise="every projection copies its input channels, and new channels start at zero.",
    right=projections(nn.init.dirac_),
    cases=lambda: [(cifar_resnet(depth, shortcut="C", width=3, in_channels=1),) for depth in (8, 14)],
    changes=weights_of,
)
start_as_identity.slip("ones-everywhere", "All weights are 1, so each output channel is the sum of all input channels.",
    projections(nn.init.ones_))
start_as_identity.slip("zeros", "The projections start at zero, so nothing passes the shortcuts.",
    projections(nn.init.zeros_))
start_as_identity.slip("rest-stays", "Random weights are left in the projections. Beside the diagonal all should be 0.",
    projections(lambda w: w.add_(nn.init.dirac_(torch.empty_like(w)))),
    projections(lambda w: [w[i, i].fill_(1) for i in range(w.shape[1])]))
start_as_identity.slip("some-only", "Only some projections have changed. Wider ones can copy the channels that exist.",
    projections(lambda w: w.shape[0] == w.shape[1] and nn.init.dirac_(w)),
    projections(nn.init.dirac_, slice(1)), projections(nn.init.dirac_, slice(-1, None)))
start_as_identity.slip("other-convolutions", "Other convolutions have changed. Only the shortcuts' 1×1 should.",
    branches, lambda net: projections(nn.init.dirac_)(net) or branches(net), every_convolution)
start_as_identity.slip("repeats-channels", "New output channels repeat the old ones. They should start at zero.",
    projections(lambda w: w.copy_(torch.eye(w.shape[1]).repeat(2, 1)[: len(w), :, None, None])))
# fmt: on
