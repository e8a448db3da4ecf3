"""Edits: each makes one mistake in a right module, so that a learner's module can be compared with it."""

from collections.abc import Callable, Mapping
from functools import partial
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, dropout, max_pool2d, relu

Edit = Callable[[Any], Any]  # changes the module, or returns another
Edits = Mapping[str, Any]  # by the key of the mistake: an Edit, or several


class Rewrite:
    """The same layers, put together by another formula of (module, x): `forward` or the branch, `residual`."""

    def __init__(self, method: str, formula: Callable[[Any, Tensor], Tensor]):
        self.method, self.formula = method, formula

    def __call__(self, module: Any) -> None:
        setattr(module, self.method, partial(self.formula, module))


computes = partial(Rewrite, "forward")
inside = partial(Rewrite, "residual")


def adds(formula: Callable[[Tensor, Tensor], Tensor]) -> Edit:
    """A V1 block that ends in another formula of (F(x), shortcut)."""
    return computes(lambda b, x: formula(b.residual(x), b.downsample(x)))


def replaces(**layers: Callable[[Any], nn.Module]) -> Edit:
    """Other layers in the place of some: name=function of the layer that was there."""

    def edit(module: Any) -> None:
        for name, make in layers.items():
            setattr(module, name, make(getattr(module, name)))

    return edit


def drops(*names: str) -> Edit:
    return replaces(**{name: lambda _: nn.Identity() for name in names})


def both(*edits: Edit) -> Edit:
    """One mistake that takes several edits."""

    def edit(module: Any) -> None:
        for one in edits:
            one(module)

    return edit


def shares(first: str, second: str) -> Edit:
    """One layer does the work of two of the same shape."""

    def edit(module: Any) -> None:
        one, two = getattr(module, first), getattr(module, second)
        if [p.shape for p in one.parameters()] != [p.shape for p in two.parameters()]:
            raise ValueError("the shapes differ")
        setattr(module, second, one)

    return edit


def biased(*names: str) -> Edit:
    """Convolutions keep their bias: the named ones, or all."""

    def edit(module: Any) -> None:
        for name, part in module.named_modules():
            if isinstance(part, nn.Conv2d) and (not names or name.rpartition(".")[2] in names):
                part.bias = nn.Parameter(torch.zeros(part.out_channels))

    return edit


def unbiased(*names: str) -> Edit:
    def edit(module: Any) -> None:
        for name in names:
            module.get_submodule(name).bias = None

    return edit


def strides(*names: str) -> Edit:
    """The block's stride on these convolutions and on no other."""

    def edit(block: Any) -> None:
        for name, part in block.named_children():
            if isinstance(part, nn.Conv2d):
                part.stride = (block.stride if name in names else 1,) * 2

    return edit


def pooled(pool: Callable[..., Tensor]) -> Edit:
    """No convolution of the branch strides: a pool in front of it does."""

    def edit(block: Any) -> None:
        strides()(block)
        branch = block.residual
        block.residual = lambda x: branch(pool(x, block.stride, ceil_mode=True))

    return edit


def resized(kernel: int, padding: int = 0, **changes: Any) -> Callable[[nn.Conv2d], nn.Conv2d]:
    """A convolution like the one that was there, with another kernel."""
    return lambda c: nn.Conv2d(
        **{"in_channels": c.in_channels, "out_channels": c.out_channels, "stride": c.stride, "bias": False, **changes},
        kernel_size=kernel,
        padding=padding,
    )


def norms(**values: Any) -> Edit:
    """Other settings of every batch norm."""

    def edit(module: nn.Module) -> None:
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                for name, value in values.items():
                    setattr(part, name, value)

    return edit


def learned_scale(formula: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Edit:
    """A factor that learns, in a formula of (F(x), shortcut, factor)."""

    def edit(block: Any) -> None:
        block.factor = nn.Parameter(torch.ones(1))
        adds(lambda f, s: relu(formula(f, s, block.factor)))(block)

    return edit


FACTORS = (0.5, 2, 0.1, 0.9, 0.2, 0.25, 0.3, 1 / 3, 0.7, sqrt(0.5), 0.8)
RATES = (0.5, 0.2, 0.1, 0.3, 0.05, 0.15, 0.25, 0.4)


def weighted(residual: float, shortcut: float) -> Edit:
    return adds(lambda f, s: relu(residual * f + shortcut * s))


def drops_shortcut(p: float) -> Edit:
    return computes(lambda b, x: relu(b.residual(x) + dropout(b.downsample(x), p, b.training)))


ADDITION: Edits = {  # around the plus of a V1 block
    "relu-before-add": adds(lambda f, s: relu(relu(f) + s)),
    "relu-before-add, no-relu-after": adds(lambda f, s: relu(f) + s),
    "no-relu-after": adds(lambda f, s: f + s),
    "adds-itself": adds(lambda f, s: relu(2 * f)),
    "adds-itself, no-relu-after": [adds(lambda f, s: 2 * relu(f)), adds(lambda f, s: 2 * f)],
    "no-shortcut": adds(lambda f, s: relu(f)),
    "no-shortcut, no-relu-after": adds(lambda f, s: f),
    "relu-on-shortcut": adds(lambda f, s: relu(f + relu(s))),
    "subtracts": [adds(lambda f, s: relu(f - s)), adds(lambda f, s: relu(s - f))],
    "multiplies": adds(lambda f, s: relu(f * s)),
    "concatenates": [adds(lambda f, s: relu(torch.cat([f, s], 1))), adds(lambda f, s: relu(torch.cat([s, f], 1)))],
    "scaled-shortcut": [weighted(1, k) for k in FACTORS],
    "scaled-residual": [weighted(k, 1) for k in FACTORS],
    "scaled-sum": [weighted(k, k) for k in FACTORS],
    "learned-scale": [learned_scale(lambda f, s, k: k * f + s), learned_scale(lambda f, s, k: f + k * s)],
    "dropout-on-shortcut": [drops_shortcut(p) for p in RATES],
}
LAYERS: Edits = {  # in any block with conv1, bn1, conv2, bn2, …
    "conv-bias": [biased(*names) for names in ((), ("conv1", "conv2", "conv3"), ("conv1",), ("conv2",), ("conv3",))],
    "no-norm": [drops("bn1", "bn2", "bn3"), drops("bn1", "bn2")],
    "no-norm-first": drops("bn1"),
    "shared-convolution": shares("conv1", "conv2"),
    "shared-norm": shares("bn1", "bn2"),
    "wrong-eps": norms(eps=1e-3),
    "wrong-momentum": [norms(momentum=momentum) for momentum in (0.9, 0.99, 0.01, 0.999)],
    "no-running-statistics": norms(track_running_stats=False, running_mean=None, running_var=None),
    "norm-without-gamma": norms(weight=None, bias=None),
    "pools-for-stride": [pooled(max_pool2d), pooled(avg_pool2d)],
}
CONVS_3X3: Edits = {  # where conv1 and conv2 are 3×3
    "no-padding": [
        replaces(conv1=resized(3), conv2=resized(3)),
        replaces(conv2=resized(3)),
        replaces(conv1=resized(3)),
    ],
    "wrong-kernel": [
        replaces(conv2=resized(1)),
        replaces(conv1=resized(1)),
        replaces(conv1=resized(1), conv2=resized(1)),
        replaces(conv1=resized(5, 2), conv2=resized(5, 2)),
    ],
    "stride-on-both": strides("conv1", "conv2"),
    "stride-on-second": strides("conv2"),
    "no-stride": strides(),
}


def in_all_blocks(edit: Edit) -> Edit:
    """The same mistake in every block of a net or stage."""

    def edit_all(net: Any) -> None:
        for part in net.modules():
            if hasattr(part, "residual"):
                edit(part)

    return edit_all
