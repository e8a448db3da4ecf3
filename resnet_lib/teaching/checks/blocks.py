"""Checks of single blocks: lessons 01, 03, 06 and 07."""

from collections.abc import Callable
from inspect import isclass
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

from resnet_lib.models.blocks import BasicBlock, Bottleneck, PreActBasicBlock, PreActBottleneck
from resnet_lib.models.resnet import ResNet
from resnet_lib.models.shortcuts import IdentityShortcut, ProjectionShortcut, ZeroPadShortcut
from resnet_lib.teaching.checks.edits import (
    ADDITION,
    CONVS_3X3,
    LAYERS,
    Edit,
    Edits,
    adds,
    biased,
    computes,
    drops,
    in_all_blocks,
    replaces,
    resized,
    strides,
    unbiased,
)
from resnet_lib.teaching.checks.engine import Mistake, borrow, call, exercise
from resnet_lib.teaching.checks.functions import close, random
from resnet_lib.teaching.checks.modules import compare_modules
from resnet_lib.teaching.checks.observe import Case


class Basic(BasicBlock):
    """A basic block that also works as a plain one, so that the same edits fit both."""

    def end(self, residual: Tensor, x: Tensor) -> Tensor:
        return relu(residual if self.downsample is None else residual + self.downsample(x))


def one_convolution(relu_before_end: bool) -> Edit:
    def edit(block: Any) -> None:
        drops("conv2", "bn2")(block)
        inner = (lambda x: relu(block.bn1(block.conv1(x)))) if relu_before_end else lambda x: block.bn1(block.conv1(x))
        block.forward = lambda x: block.end(inner(x), x)

    return edit


BASIC: Edits = {
    **LAYERS,
    **CONVS_3X3,
    "no-inner-relu": computes(lambda b, x: b.end(b.bn2(b.conv2(b.bn1(b.conv1(x)))), x)),
    "relu-before-norm": computes(lambda b, x: b.end(b.bn2(b.conv2(b.bn1(relu(b.conv1(x))))), x)),
    "no-norm-last": drops("bn2"),
    "one-convolution": [one_convolution(True), one_convolution(False)],
}


@exercise("PlainBlock(in_channels, channels, stride=1)")
def check_plain_block(learners: Any) -> str:
    """PlainBlock(in_channels, channels, stride=1): an nn.Module, conv 3×3, batch norm, ReLU, twice. The first conv
    strides, padding 1, no conv bias. (N, in_channels, H, W) -> (N, channels, ceil(H / stride), ceil(W / stride))."""
    cases = [Case((4, 6, 2), (4, 4, 9, 8)), Case((5, 5, 1), (4, 5, 7, 6)), Case((6, 3), (3, 6, 6, 5))]
    slips: Edits = {
        **BASIC,
        "no-last-relu": computes(lambda b, x: b.residual(x)),
        "has-shortcut": [
            computes(lambda b, x: relu(b.residual(x) + x)),
            computes(lambda b, x: relu(b.residual(x)) + x),
            lambda b: setattr(b, "downsample", IdentityShortcut()),
            lambda b: b.use_shortcut("B"),
        ],
    }
    return compare_modules(learners, cases, lambda i, c, s=1: Basic(i, c, stride=s, shortcut=None), slips)


@exercise("BasicBlock(in_channels, channels)")
def check_basic_block(learners: Any) -> str:
    """BasicBlock(in_channels, channels): the V1 block of He et al. 2015, figure 5 left, for an unchanged shape, so
    in_channels == channels: relu(F(x) + x), F two 3×3 convolutions without bias, each with its batch norm."""
    slips: Edits = {
        **ADDITION,
        **BASIC,
        "norm-after-add": computes(lambda b, x: relu(b.bn2(b.conv2(relu(b.bn1(b.conv1(x)))) + x))),
        "projects-without-need": lambda b: b.use_shortcut("C"),
        "pre-activation": computes(lambda b, x: x + b.conv2(relu(b.bn2(b.conv1(relu(b.bn1(x))))))),
    }
    cases = [Case((6, 6), (4, 6, 7, 6)), Case((5, 5), (3, 5, 5, 8))]
    return compare_modules(learners, cases, Basic, slips)


def no_expansion(block: Any) -> None:
    width = block.conv1.out_channels
    block.conv3, block.bn3 = nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width)


def inner(first: bool, second: bool) -> Edit:
    """A bottleneck with or without each of its inner ReLUs."""

    def formula(b: Any, x: Tensor) -> Tensor:
        x1 = b.bn1(b.conv1(x))
        x2 = b.bn2(b.conv2(relu(x1) if first else x1))
        return relu(b.bn3(b.conv3(relu(x2) if second else x2)) + b.downsample(x))

    return computes(formula)


BOTTLENECK: Edits = {
    **ADDITION,
    **LAYERS,
    "no-norm-last": drops("bn3"),
    "no-inner-relu": [inner(False, False), inner(False, True), inner(True, False)],
    "ignores-downsample": [drops("downsample"), computes(lambda b, x: relu(b.residual(x) + x))],
    "projects-residual": adds(lambda f, s: relu(f)),
    "no-expansion": no_expansion,
    "wrong-kernel": [replaces(conv2=resized(1)), replaces(conv1=resized(3, 1)), replaces(conv3=resized(3, 1))],
    "stride-on-both": [strides("conv1", "conv2"), strides("conv1", "conv2", "conv3")],
    "stride-on-last": strides("conv3"),
    "no-stride": strides(),
}
BOTTLENECK = {
    **BOTTLENECK,
    "projects-residual": computes(lambda b, x: relu(b.residual(x) + b.downsample(b.residual(x)))),
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
    if isclass(learners) or getattr(getattr(learners, "__code__", None), "co_argcount", 0) > 1:
        return compare_bottlenecks(learners, "1x1", {"stride-on-3x3": strides("conv2")})

    def net(stride_on: str) -> ResNet:
        return ResNet(Bottleneck, [1, 2, 2], width=4, num_classes=5, stem="cifar", stride_on=stride_on)

    model, right, x = net("3x3"), net("1x1"), random(4, 3, 20, 20)
    right.load_state_dict(model.state_dict())
    moved = call(learners, model)
    moved = borrow(model if moved is None else moved) if isinstance(moved, (nn.Module, type(None))) else None
    if moved is None:
        raise Mistake("not-a-module", got=type(moved).__name__)
    given = call(moved.eval(), x)
    if isinstance(given, Tensor) and close(given, right.eval()(x)):
        return "the net computes what V1 computes with the same weights."
    for key, names in (("stride-on-3x3", ("conv2",)), ("stride-on-both", ("conv1", "conv2")), ("no-stride", ())):
        in_all_blocks(strides(*names))(right)
        try:
            if close(given, right(x)):
                raise Mistake(key)
        except ValueError:
            continue  # these strides do not fit the shortcut
    raise Mistake("wrong-values", case="the net", share="many")


# V2


def v2(formula: Callable[[Any, Tensor, Callable[[Tensor], Tensor]], Tensor]) -> Edit:
    """A pre-activation block by a formula of (block, x, rest): `rest` is the branch after its first activation."""
    return computes(lambda b, x: formula(b, x, b.residual))


def scaled_shortcut(k: float) -> Edit:
    return computes(lambda b, x: b.residual(relu(b.bn1(x))) + k * b.downsample(x))


PREACT: Edits = {
    "relu-after-add": computes(lambda b, x: relu(type(b).forward(b, x))),
    "no-first-activation": [
        lambda b: drops("bn1")(b) or computes(lambda b, x: b.residual(x) + b.downsample(x))(b),
        computes(lambda b, x: b.residual(x) + b.downsample(x)),
    ],
    "no-first-relu": computes(lambda b, x: b.residual(b.bn1(x)) + b.downsample(b.bn1(x) if b.activate_shortcut else x)),
    "no-first-norm": [drops("bn1"), computes(lambda b, x: b.residual(relu(x)) + b.downsample(x))],
    "relu-before-norm": computes(lambda b, x: b.residual(b.bn1(relu(x))) + b.downsample(x)),
    "no-shortcut": computes(lambda b, x: b.residual(relu(b.bn1(x)))),
    "scaled-shortcut": [scaled_shortcut(k) for k in (0.5, 0.1, 0.9, 2)],
    "subtracts": computes(lambda b, x: b.residual(relu(b.bn1(x))) - b.downsample(x)),
    "relu-on-shortcut": computes(lambda b, x: b.residual(relu(b.bn1(x))) + relu(b.downsample(x))),
    **LAYERS,
}


@exercise("PreActBlock(in_channels, channels)")
def check_preact_block(learners: Any) -> str:
    """PreActBlock(in_channels, channels): the pre-activation basic block of He et al. 2016, figure 4e, in_channels ==
    channels: x + F(x), F = norm, ReLU, conv 3×3, norm, ReLU, conv 3×3, no conv bias, nothing after the addition."""
    slips: Edits = {
        **PREACT,
        **CONVS_3X3,
        "shortcut-after-activation": computes(lambda b, x: (lambda a: b.residual(a) + a)(relu(b.bn1(x)))),
        "post-activation": [
            computes(lambda b, x: relu(b.bn2(b.conv2(relu(b.bn1(b.conv1(x))))) + x)),
            computes(lambda b, x: b.bn2(b.conv2(relu(b.bn1(b.conv1(x))))) + x),
        ],
        "relu-only": computes(lambda b, x: x + b.bn2(b.conv2(relu(b.bn1(b.conv1(relu(x))))))),
        "no-inner-activation": [
            computes(lambda b, x: x + b.conv2(b.bn2(b.conv1(relu(b.bn1(x)))))),
            drops("bn2"),
            lambda b: drops("bn2")(b) or computes(lambda b, x: x + b.conv2(b.conv1(relu(b.bn1(x)))))(b),
        ],
    }
    cases = [Case((6, 6), (4, 6, 7, 6)), Case((5, 5), (3, 5, 5, 8))]
    return compare_modules(learners, cases, PreActBasicBlock, slips)


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

    def projects(make: Callable[[Any], nn.Module]) -> Edit:
        """Another projection, where there is one."""

        def edit(b: Any) -> None:
            if isinstance(b.downsample, ProjectionShortcut):
                b.downsample = make(next(b.downsample.children()))

        return edit

    slips: Edits = {
        "projects-raw-input": lambda b: setattr(b, "activate_shortcut", False),
        "shortcut-after-activation": lambda b: setattr(b, "activate_shortcut", True),
        "projection-has-norm": [
            projects(lambda c: nn.Sequential(c, nn.BatchNorm2d(c.out_channels))),
            projects(lambda c: ProjectionShortcut(c.in_channels, c.out_channels, c.stride[0])),
        ],
        "no-last-bias": [
            unbiased("conv3"),
            projects(lambda c: resized(1)(c)),
            lambda b: unbiased("conv3")(b) or projects(lambda c: resized(1)(c))(b),
        ],
        "bias-before-norm": [biased("conv1", "conv2"), biased("conv1"), biased("conv2")],
        "pools-shortcut": lambda b: (
            projects(lambda c: c)(b)
            or computes(
                lambda b, x: (
                    type(b).forward(b, x)
                    if isinstance(b.downsample, ProjectionShortcut)
                    else b.residual(relu(b.bn1(x))) + avg_pool2d(x, b.stride, ceil_mode=True)
                )
            )(b)
        ),
        "stride-on-1x1": strides("conv1"),
        "stride-on-last": strides("conv3"),
        "no-expansion": lambda b: setattr(b, "conv3", nn.Conv2d(b.conv1.out_channels, b.conv1.out_channels, 1)),
        **PREACT,
    }
    cases = [
        Case((8, 2), (4, 8, 6, 5)),
        Case((5, 2, 1, True), (4, 5, 5, 6)),
        Case((12, 3, 2, False), (4, 12, 8, 6)),
        Case((6, 3, 2, True), (4, 6, 7, 8)),
    ]
    return compare_modules(learners, cases, reference, slips)
