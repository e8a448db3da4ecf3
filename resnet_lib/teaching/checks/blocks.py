"""Checks of single blocks: lessons 01, 03 and 06."""

from collections.abc import Callable
from copy import deepcopy
from inspect import isclass, signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from resnet_lib.models.blocks import BasicBlock, Bottleneck
from resnet_lib.models.resnet import ResNet
from resnet_lib.models.shortcuts import IdentityShortcut, ProjectionShortcut
from resnet_lib.teaching.checks.edits import (
    ADDITION,
    CONVS_3X3,
    LAYERS,
    Edit,
    Edits,
    both,
    computes,
    drops,
    inside,
    replaces,
    resized,
    strides,
)
from resnet_lib.teaching.checks.engine import Mistake, call, exercise, kind
from resnet_lib.teaching.checks.functions import close, random
from resnet_lib.teaching.checks.modules import compare_modules
from resnet_lib.teaching.checks.observe import Case
from resnet_lib.teaching.checks.room import borrow


def dropped(*names: str, branch: Callable[[Any, Tensor], Tensor]) -> Edit:
    """Layers that are gone, and the branch that is left."""
    return both(drops(*names), inside(branch))


def extra_convolution(block: Any) -> None:
    width, branch = block.conv2.out_channels, block.residual
    block.conv3, block.bn3 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
    block.residual = lambda x: block.bn3(block.conv3(relu(branch(x))))


BASIC: Edits = {
    **LAYERS,
    **CONVS_3X3,
    "no-inner-relu": inside(lambda b, x: b.bn2(b.conv2(b.bn1(b.conv1(x))))),
    "relu-before-norm": [
        inside(lambda b, x: b.bn2(b.conv2(b.bn1(relu(b.conv1(x)))))),
        inside(lambda b, x: b.bn2(relu(b.conv2(b.bn1(relu(b.conv1(x))))))),
    ],
    "no-norm-last": drops("bn2"),
    "one-convolution": [
        dropped("conv2", "bn2", branch=lambda b, x: b.bn1(b.conv1(x))),
        dropped("conv2", "bn2", branch=lambda b, x: relu(b.bn1(b.conv1(x)))),
    ],
    "extra-convolution": extra_convolution,
}


@exercise("PlainBlock(in_channels, channels, stride=1)")
def check_plain_block(learners: Any) -> str:
    """PlainBlock(in_channels, channels, stride=1): an nn.Module, conv 3×3, batch norm, ReLU, twice. The first conv
    strides, padding 1, no conv bias. (N, in_channels, H, W) -> (N, channels, ceil(H / stride), ceil(W / stride))."""
    cases = [Case((4, 6, 2), (4, 4, 9, 8)), Case((5, 5, 1), (4, 5, 7, 6)), Case((6, 3), (3, 6, 6, 5))]
    slips: Edits = {
        **BASIC,
        "no-last-relu": computes(lambda b, x: b.residual(x)),
        "relu-before-norm": [
            *BASIC["relu-before-norm"],
            computes(lambda b, x: b.bn2(relu(b.conv2(b.bn1(relu(b.conv1(x))))))),
        ],
        "has-shortcut": [
            computes(lambda b, x: relu(b.residual(x) + x)),
            computes(lambda b, x: relu(b.residual(x)) + x),
            computes(lambda b, x: relu(r + x if (r := b.residual(x)).shape == x.shape else r)),
            lambda b: setattr(b, "downsample", IdentityShortcut()),
            lambda b: b.use_shortcut("B"),
            lambda b: b.use_shortcut("A"),
        ],
    }
    return compare_modules(learners, cases, lambda i, c, s=1: BasicBlock(i, c, stride=s, shortcut=None), slips)


@exercise("BasicBlock(in_channels, channels)")
def check_basic_block(learners: Any) -> str:
    """BasicBlock(in_channels, channels): the V1 block of He et al. 2015, figure 5 left, for an unchanged shape, so
    in_channels == channels: relu(F(x) + x), F two 3×3 convolutions without bias, each with its batch norm."""
    slips: Edits = {
        **ADDITION,
        **BASIC,
        "adds-middle": computes(lambda b, x: relu(b.bn2(b.conv2(m := relu(b.bn1(b.conv1(x))))) + m)),
        "norm-after-add": computes(lambda b, x: relu(b.bn2(b.conv2(relu(b.bn1(b.conv1(x)))) + x))),
        "projects-without-need": [lambda b: b.use_shortcut("C"), lambda b: b.use_shortcut("C", norm=False)],
        "pre-activation": computes(lambda b, x: x + b.conv2(relu(b.bn2(b.conv1(relu(b.bn1(x))))))),
    }
    cases = [Case((6, 6), (4, 6, 7, 6)), Case((5, 5), (3, 5, 5, 8))]
    return compare_modules(learners, cases, BasicBlock, slips)


def widens(factor: int) -> Edit:
    """The last 1×1 of a bottleneck goes to factor × the width."""

    def edit(block: Any) -> None:
        width = block.conv1.out_channels
        block.conv3 = nn.Conv2d(width, factor * width, 1, bias=False)
        block.bn3 = nn.BatchNorm2d(factor * width)

    return edit


def widens_too_early(block: Any) -> None:
    wide = block.out_channels
    block.conv2 = nn.Conv2d(block.conv1.out_channels, wide, 3, block.stride, padding=1, bias=False)
    block.bn2, block.conv3 = nn.BatchNorm2d(wide), nn.Conv2d(wide, wide, 1, bias=False)


def own_projection(keeps_given: bool) -> Edit:
    """The block makes its own projection, and may hold the given one beside it."""

    def edit(block: Any) -> None:
        block.given = block.downsample if keeps_given else None
        block.use_shortcut("C")

    return edit


def inner(first: bool, second: bool) -> Edit:
    """A bottleneck with or without each of its inner ReLUs."""

    def formula(b: Any, x: Tensor) -> Tensor:
        x1 = b.bn1(b.conv1(x))
        x2 = b.bn2(b.conv2(relu(x1) if first else x1))
        return b.bn3(b.conv3(relu(x2) if second else x2))

    return inside(formula)


BOTTLENECK: Edits = {
    **ADDITION,
    **LAYERS,
    "no-norm-last": drops("bn3"),
    "no-inner-relu": [inner(False, False), inner(False, True), inner(True, False)],
    "relu-before-norm": inside(lambda b, x: b.bn3(b.conv3(b.bn2(relu(b.conv2(b.bn1(relu(b.conv1(x))))))))),
    "norm-after-add": computes(
        lambda b, x: relu(b.bn3(b.conv3(relu(b.bn2(b.conv2(relu(b.bn1(b.conv1(x))))))) + b.downsample(x)))
    ),
    "ignores-downsample": [drops("downsample"), computes(lambda b, x: relu(b.residual(x) + x))],
    "projects-residual": [
        computes(lambda b, x: relu(b.downsample(f := b.residual(x)) + f)),
        computes(lambda b, x: relu(b.downsample(b.residual(x)) + x)),
    ],
    "own-projection": [own_projection(True), own_projection(False)],
    "no-expansion": [widens(1), widens(2)],
    "widens-too-early": widens_too_early,
    "basic-block": lambda b: BasicBlock(b.in_channels, b.out_channels, stride=b.stride, shortcut=b.downsample),
    "wrong-kernel": [replaces(conv2=resized(1)), replaces(conv1=resized(3, 1)), replaces(conv3=resized(3, 1))],
    "no-padding": replaces(conv2=resized(3)),
    "stride-on-both": [strides("conv1", "conv2"), strides("conv1", "conv2", "conv3")],
    "stride-on-last": strides("conv3"),
    "no-stride": strides(),
}


def compare_bottlenecks(learners: Any, stride_on: str, slips: Edits) -> str:
    def reference(i: int, c: int, downsample: nn.Module | None, stride: int) -> nn.Module:
        shortcut = IdentityShortcut() if downsample is None else downsample
        return Bottleneck(i, c, stride=stride, shortcut=shortcut, stride_on=stride_on)

    cases = [
        Case((8, 2, None, 1), (4, 8, 6, 5)),
        Case((6, 3, ProjectionShortcut(6, 12, 2), 2), (4, 6, 9, 8)),
        Case((5, 2, ProjectionShortcut(5, 8), 1), (4, 5, 5, 6)),
    ]
    return compare_modules(learners, cases, reference, {**slips, **BOTTLENECK})


@exercise("Bottleneck(in_channels, intermediate_channels, identity_downsample=None, stride=1)")
def check_bottleneck(learners: Any) -> str:
    """Bottleneck(in_channels, intermediate_channels, identity_downsample=None, stride=1), the article's signature,
    V1.5: 1×1, 3×3 (this one strides), 1×1 to 4 × intermediate_channels, a batch norm after each, no conv bias;
    relu(F(x) + shortcut), where the shortcut is identity_downsample(x), or x when that is None."""
    return compare_bottlenecks(learners, "3x3", {"stride-on-1x1": strides("conv1")})


@exercise("V1Bottleneck(in_channels, intermediate_channels, identity_downsample=None, stride=1)")
def check_stride_position(learners: Any) -> str:
    """Either a class as in `check_bottleneck` with the stride on the first 1×1 (V1, the paper's), or a function of one
    argument that turns a ResNet of this library from V1.5 into V1: same weights, in place or returned."""
    if isclass(learners) or _arguments(learners) > 1:
        return compare_bottlenecks(learners, "1x1", {"stride-on-3x3": strides("conv2")})

    def net(stride_on: str) -> ResNet:
        return ResNet(Bottleneck, [1, 2, 2], width=4, num_classes=5, stem="cifar", stride_on=stride_on)

    model, right, x = net("3x3"), net("1x1").eval(), random(4, 3, 20, 20)
    weights = deepcopy(model.state_dict())
    right.load_state_dict(weights)
    returned = call(learners, model)
    moved = model if returned is None else returned
    if not isinstance(moved, nn.Module):
        raise Mistake("not-a-module", got=f"a value of type {kind(moved)}")
    try:
        given = call(borrow(moved).eval(), x)
    except Mistake as mistake:
        raise Mistake(_where_it_strides(moved) or "raises", **mistake.evidence) from None
    if isinstance(given, Tensor) and close(given, right(x)):
        return "the net computes what V1 computes with the same weights."
    if any(not torch.equal(p, weights.get(name, p + 1)) for name, p in moved.named_parameters()):
        raise Mistake("other-weights")
    raise Mistake(_where_it_strides(moved) or "wrong-values", case="the net", share="many")


def _arguments(function: Any) -> int:
    """How many arguments it must have."""
    try:
        return sum(p.default is p.empty and p.kind < 2 for p in signature(function).parameters.values())
    except (TypeError, ValueError):
        return 1


def _where_it_strides(net: nn.Module) -> str | None:
    """Which mistake the strides of a net's bottlenecks are."""
    names: dict[Any, str | None] = {
        (1, 2, 1): "stride-on-3x3",
        (1, 1, 2): "stride-on-last",
        (1, 1, 1): "no-stride",
        (2, 1, 1): None,
    }
    found = set()
    for block in (module for module in net.modules() if isinstance(module, Bottleneck)):
        pattern = tuple(conv.stride[0] for conv in (block.conv1, block.conv2, block.conv3))
        if block.stride == 1 and max(pattern) > 1:
            return "strides-everywhere"
        if block.stride > 1:
            found.add(pattern)
    if len(found) > 1:
        return "one-block-only"
    return names.get(found.pop(), "stride-on-both") if found else None
