"""Checks of pre-activation blocks: lesson 07."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import dropout, relu

from resnet_lib.models.blocks import Bottleneck, PreActBasicBlock, PreActBottleneck
from resnet_lib.models.shortcuts import ProjectionShortcut, ZeroPadShortcut
from resnet_lib.teaching.checks.edits import (
    CONVS_3X3,
    FACTORS,
    LAYERS,
    RATES,
    Edit,
    Edits,
    biased,
    both,
    computes,
    drops,
    inside,
    resized,
    strides,
    unbiased,
)
from resnet_lib.teaching.checks.engine import exercise
from resnet_lib.teaching.checks.modules import compare_modules
from resnet_lib.teaching.checks.observe import Case


def begins(first: Callable[[Any, Tensor], Tensor]) -> Edit:
    """A block that does something else of (block, x) before the branch, and before a projection."""

    def formula(b: Any, x: Tensor) -> Tensor:
        activated = first(b, x)
        return b.residual(activated) + b.downsample(activated if b.activate_shortcut else x)

    return computes(formula)


def ends(formula: Callable[[Any, Tensor, Tensor], Tensor]) -> Edit:
    """A block that ends in another formula of (block, F(x), shortcut)."""

    def whole(b: Any, x: Tensor) -> Tensor:
        activated = relu(b.bn1(x))
        return formula(b, b.residual(activated), b.downsample(activated if b.activate_shortcut else x))

    return computes(whole)


def scaled_shortcut(factor: float) -> Edit:
    return ends(lambda b, f, s: f + factor * s)


def drops_shortcut(p: float) -> Edit:
    return ends(lambda b, f, s: f + dropout(s, p, b.training))


def norm_at_the_end(with_bias: bool) -> Edit:
    def edit(block: Any) -> None:
        branch, last = block.residual, getattr(block, "conv3", block.conv2)
        block.last = nn.BatchNorm2d(last.out_channels)
        last.bias = last.bias if with_bias else None
        block.residual = lambda x: block.last(branch(x))

    return edit


def projects_anyway(**options: Any) -> Edit:
    """A projection where the identity would do, of x or of the activated x."""

    def edit(block: Any) -> None:
        if not isinstance(block.downsample, ProjectionShortcut):
            block.use_shortcut("C", **{"norm": False, **options})

    return edit


PREACT: Edits = {
    "relu-after-add": ends(lambda b, f, s: relu(f + s)),
    "no-first-activation": [
        both(drops("bn1"), begins(lambda b, x: x)),
        begins(lambda b, x: x),
    ],
    "no-first-relu": begins(lambda b, x: b.bn1(x)),
    "no-first-norm": [drops("bn1"), begins(lambda b, x: relu(x))],
    "relu-before-norm": [
        begins(lambda b, x: b.bn1(relu(x))),
        both(begins(lambda b, x: b.bn1(relu(x))), inside(lambda b, x: b.conv2(b.bn2(relu(b.conv1(x)))))),
    ],
    "no-shortcut": ends(lambda b, f, s: f),
    "adds-itself": ends(lambda b, f, s: 2 * f),
    "relu-on-shortcut": ends(lambda b, f, s: f + relu(s)),
    "subtracts": [ends(lambda b, f, s: f - s), ends(lambda b, f, s: s - f)],
    "shortcut-after-norm": computes(lambda b, x: b.residual(relu(n := b.bn1(x))) + b.downsample(n)),
    "scaled-shortcut": [scaled_shortcut(k) for k in FACTORS],
    "dropout-on-shortcut": [drops_shortcut(p) for p in RATES],
    "norm-at-the-end": [norm_at_the_end(True), norm_at_the_end(False)],
    **LAYERS,
}


@exercise("PreActBlock(in_channels, channels)")
def check_preact_block(learners: Any) -> str:
    """PreActBlock(in_channels, channels): the pre-activation basic block of He et al. 2016, figure 4e, in_channels ==
    channels: x + F(x), F = norm, ReLU, conv 3×3, norm, ReLU, conv 3×3, no conv bias, nothing after the addition."""
    slips: Edits = {
        **PREACT,
        **CONVS_3X3,
        "shortcut-after-activation": lambda b: setattr(b, "activate_shortcut", True),
        "post-activation": [
            computes(lambda b, x: relu(b.bn2(b.conv2(relu(b.bn1(b.conv1(x))))) + x)),
            computes(lambda b, x: b.bn2(b.conv2(relu(b.bn1(b.conv1(x))))) + x),
        ],
        "relu-only": computes(lambda b, x: x + b.bn2(b.conv2(relu(b.bn1(b.conv1(relu(x))))))),
        "no-inner-activation": [
            inside(lambda b, x: b.conv2(b.bn2(b.conv1(x)))),
            drops("bn2"),
            both(drops("bn2"), inside(lambda b, x: b.conv2(b.conv1(x)))),
        ],
        "projects-without-need": [
            projects_anyway(),
            both(projects_anyway(), lambda b: setattr(b, "activate_shortcut", True)),
            projects_anyway(norm=True),
        ],
    }
    cases = [Case((6, 6), (4, 6, 7, 6)), Case((5, 5), (3, 5, 5, 8))]
    return compare_modules(learners, cases, PreActBasicBlock, slips)


def projections(make: Callable[[Any], nn.Module]) -> Edit:
    """Another projection, where there is one."""

    def edit(block: Any) -> None:
        if isinstance(block.downsample, ProjectionShortcut):
            block.downsample = make(block.downsample[0])

    return edit


def identities(make: Callable[[Any], nn.Module]) -> Edit:
    """Another shortcut of the block, where there is no projection."""

    def edit(block: Any) -> None:
        if not isinstance(block.downsample, ProjectionShortcut):
            block.downsample = make(block)

    return edit


def never_projects(block: Any) -> None:
    block.downsample = ZeroPadShortcut(block.in_channels, block.out_channels, block.stride)
    block.activate_shortcut = False


def inner_relus(first: bool, second: bool) -> Edit:
    """A branch with or without each of its inner ReLUs."""

    def formula(b: Any, x: Tensor) -> Tensor:
        x = b.bn2(b.conv1(x))
        x = b.bn3(b.conv2(relu(x) if first else x))
        return b.conv3(relu(x) if second else x)

    return inside(formula)


@exercise("V2Bottleneck(in_channels, channels, stride=1, project=False)")
def check_v2_bottleneck(learners: Any) -> str:
    """V2Bottleneck(in_channels, channels, stride=1, project=False), Keras's layout. a = relu(norm(x)); F = conv 1×1,
    norm, ReLU, conv 3×3 (strides), norm, ReLU, conv 1×1 to 4 × channels, of a; only the last conv has a bias.
    project=True: F + conv 1×1 of a, with bias and stride, no norm. project=False (in_channels = 4 × channels): F + x,
    or, where it strides, every stride-th pixel of x. Nothing after the addition."""

    def reference(i: int, c: int, stride: int = 1, project: bool = False) -> nn.Module:
        other = ProjectionShortcut(i, 4 * c, stride, norm=False, bias=True)
        shortcut = other if project else ZeroPadShortcut(i, 4 * c, stride)
        return PreActBottleneck(i, c, stride=stride, shortcut=shortcut, conv_bias=True, activate_shortcut=project)

    def v1(b: Any) -> nn.Module:
        other = ProjectionShortcut(b.in_channels, b.out_channels, b.stride)
        shortcut = other if isinstance(b.downsample, ProjectionShortcut) else b.downsample
        return Bottleneck(b.in_channels, b.conv1.out_channels, stride=b.stride, shortcut=shortcut)

    slips: Edits = {
        "projects-raw-input": lambda b: setattr(b, "activate_shortcut", False),
        "shortcut-after-activation": lambda b: setattr(b, "activate_shortcut", True),
        "projection-has-norm": [
            projections(lambda c: nn.Sequential(c, nn.BatchNorm2d(c.out_channels))),
            projections(lambda c: ProjectionShortcut(c.in_channels, c.out_channels, c.stride[0])),
        ],
        "no-last-bias": [
            unbiased("conv3"),
            projections(resized(1)),
            both(unbiased("conv3"), projections(resized(1))),
        ],
        "bias-before-norm": [biased("conv1", "conv2"), biased("conv1"), biased("conv2")],
        "pools-shortcut": [
            identities(lambda b: nn.AvgPool2d(b.stride, ceil_mode=True)),
            identities(lambda b: nn.MaxPool2d(b.stride, ceil_mode=True)),
        ],
        "no-shortcut-stride": [
            identities(lambda b: nn.Identity()),
            projections(lambda c: resized(1, bias=True, stride=1)(c)),
        ],
        "never-projects": never_projects,
        "projects-without-need": [
            projects_anyway(bias=True),
            both(projects_anyway(bias=True), lambda b: setattr(b, "activate_shortcut", True)),
        ],
        "stride-on-1x1": strides("conv1"),
        "stride-on-last": strides("conv3"),
        "stride-on-both": [strides("conv1", "conv2"), strides("conv2", "conv3"), strides("conv1", "conv2", "conv3")],
        "no-stride": strides(),
        "no-expansion": lambda b: setattr(b, "conv3", nn.Conv2d(b.conv1.out_channels, b.conv1.out_channels, 1)),
        "no-inner-relu": [inner_relus(False, False), inner_relus(False, True), inner_relus(True, False)],
        "post-activation": v1,
        **PREACT,
    }
    cases = [
        Case((8, 2), (4, 8, 6, 5)),
        Case((5, 2, 1, True), (4, 5, 5, 6)),
        Case((12, 3, 2, False), (4, 12, 8, 6)),
        Case((6, 3, 2, True), (4, 6, 7, 8)),
    ]
    return compare_modules(learners, cases, reference, slips)
