"""Checks of whole nets: lessons 01, 05 and 06."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from resnet_lib.models.blocks import Bottleneck
from resnet_lib.models.cifar import cifar_plain
from resnet_lib.models.resnet import PRESETS, ResNet, build
from resnet_lib.models.shortcuts import IdentityShortcut, ProjectionShortcut
from resnet_lib.teaching.checks.edits import Edit, Edits, biased, computes, in_all_blocks, replaces, resized
from resnet_lib.teaching.checks.engine import Verdict, exercise
from resnet_lib.teaching.checks.modules import compare_modules
from resnet_lib.teaching.checks.observe import Case


class ArticleBlock(Bottleneck):
    """The library's bottleneck under the article's signature, for learners who build a net of any block."""

    def __init__(self, in_channels: int, intermediate_channels: int, identity_downsample: Any = None, stride: int = 1):
        shortcut = IdentityShortcut() if identity_downsample is None else identity_downsample
        super().__init__(in_channels, intermediate_channels, stride=stride, shortcut=shortcut)


def stage_strides(*strides: int) -> Edit:
    """Other strides of the stages; the first block of a stage carries it."""

    def edit(net: ResNet) -> None:
        for stage, stride in zip(net.stages(), strides, strict=True):
            first: Any = stage[0]
            (first.conv2 if isinstance(first, Bottleneck) else first.conv1).stride = (stride, stride)
            if isinstance(first.downsample, ProjectionShortcut):
                projection: Any = first.downsample[0]
                projection.stride = (stride, stride)

    return edit


def every_block_strides(net: ResNet) -> None:
    for stage in net.stages()[1:]:
        block: Any
        for block in stage:
            (block.conv2 if isinstance(block, Bottleneck) else block.conv1).stride = (2, 2)
            block.downsample = ProjectionShortcut(block.in_channels, block.out_channels, 2)


def another_block(stage: int, more: bool) -> Edit:
    def edit(net: ResNet) -> None:
        blocks: Any = net.stages()[stage]
        if more:
            blocks.append(type(blocks[-1])(blocks[-1].out_channels, blocks[-1].conv1.out_channels))
        elif len(blocks) > 1:
            del blocks[-1]
        else:
            raise ValueError("nothing would be left")

    return edit


def one_more_everywhere(net: ResNet) -> None:
    for stage in range(len(net.stages())):
        another_block(stage, True)(net)


def projections(make: Callable[[Any], nn.Module]) -> Edit:
    """Other projections, where there are some."""

    def edit(block: Any) -> None:
        if isinstance(block.downsample, ProjectionShortcut):
            block.downsample = make(next(block.downsample.children()))

    return in_all_blocks(edit)


def project_all(block: Any) -> None:
    if not isinstance(block.downsample, ProjectionShortcut):
        block.downsample = ProjectionShortcut(block.in_channels, block.out_channels, block.stride)


def by_stride_alone(net: ResNet) -> None:
    first: Any = net.stages()[0][0]
    first.downsample = IdentityShortcut()


NETS: Edits = {
    "no-maxpool": replaces(maxpool=lambda _: nn.Identity()),
    "no-stem-relu": computes(
        lambda net, x: net.fc(
            net.avgpool(nn.Sequential(*net.stages())(net.maxpool(net.bn1(net.conv1(x))))).flatten(1)
        )
    ),
    "stem-7x7-stride-1": lambda net: setattr(net.conv1, "stride", (1, 1)),
    "strides-2111": stage_strides(2, 1, 1, 1),
    "strides-2222": stage_strides(2, 2, 2, 2),
    "strides-1111": stage_strides(1, 1, 1, 1),
    "every-block-strides": every_block_strides,
    "projection-by-stride": by_stride_alone,
    "projection-everywhere": in_all_blocks(project_all),
    "projection-no-norm": projections(lambda conv: conv),
    "projection-3x3": projections(lambda conv: nn.Sequential(resized(3, 1)(conv), nn.BatchNorm2d(conv.out_channels))),
    "one-block-more": [one_more_everywhere, *(another_block(stage, True) for stage in range(4))],
    "one-block-less": [another_block(stage, False) for stage in range(4)],
    "fc-width": replaces(fc=lambda fc: nn.Linear(512, fc.out_features)),
    "conv-bias": [biased(), lambda net: biased("conv1")(nn.ModuleDict({"stem": nn.ModuleDict({"conv1": net.conv1})}))],
}  # fmt: skip


@exercise("MyResNet(block, layers, image_channels, num_classes)", seconds=30)
def check_make_layer(learners: Any) -> str:
    """MyResNet(block, layers, image_channels, num_classes): stem, four stages made by `_make_layer`, classifier.
    `block` is a class as in `check_bottleneck`, with an `expansion`."""
    cases = [
        Case((ArticleBlock, [2, 1, 1, 1], 3, 10), (2, 3, 64, 64)),
        Case((ArticleBlock, [1, 2, 1, 1], 1, 7), (2, 1, 40, 40)),
    ]

    def reference(block: Any, layers: Sequence[int], image_channels: int, num_classes: int) -> nn.Module:
        return ResNet(Bottleneck, layers, in_channels=image_channels, num_classes=num_classes)

    return compare_modules(learners, cases, reference, NETS, net=True)


def check_deep_net(name: str) -> Callable[[Any], Verdict]:
    """A check of a builder (img_channel=3, num_classes=1000) of one of the deep nets."""
    other_nets = {
        f"is-{other}": lambda net, other=other: build(PRESETS[other], **kept(net))
        for other in ("resnet34", "resnet50", "resnet101", "resnet152")
        if other != name
    }
    first, second, third, fourth = PRESETS[name].layers
    slips: Edits = {
        **other_nets,
        "swapped-middle": lambda net: build(PRESETS[name], layers=(first, third, second, fourth), **kept(net)),
        "ignores-classes": lambda net: build(PRESETS[name], **{**kept(net), "num_classes": 1000}),
        "ignores-channels": lambda net: build(PRESETS[name], **{**kept(net), "in_channels": 3}),
        **NETS,
    }

    def check(learners: Any) -> str:
        case = Case((1, 10), (1, 1, 48, 48))
        reference = lambda in_channels, num_classes: build(  # noqa: E731
            PRESETS[name], in_channels=in_channels, num_classes=num_classes
        )
        return compare_modules(learners, [case], reference, slips, net=True)

    check.__name__ = f"check_{name}"
    check.__doc__ = f"{name}(img_channel=3, num_classes=1000) by He et al. 2015, table 1: {PRESETS[name].layers}, V1.5."
    return exercise(f"{name}(img_channel=3, num_classes=1000)", seconds=60)(check)


def kept(net: ResNet) -> dict[str, Any]:
    return {"in_channels": net.config.in_channels, "num_classes": net.config.num_classes}


check_resnet50, check_resnet101, check_resnet152 = map(check_deep_net, ("resnet50", "resnet101", "resnet152"))


@exercise("plain_net(depth)", seconds=20)
def check_plain_net(learners: Any) -> str:
    """plain_net(depth, width=8, in_channels=1, num_classes=10): the plain CIFAR-style net of depth 6n + 2."""
    cases = [Case((8,), (4, 1, 14, 14)), Case((14,), (3, 1, 10, 10))]
    slips: Edits = {
        "has-shortcut": in_all_blocks(lambda block: block.use_shortcut("B")),
        "one-block-more": [another_block(stage, True) for stage in range(3)],
        "one-block-less": [another_block(stage, False) for stage in range(3)],
        "no-last-relu": in_all_blocks(computes(lambda block, x: block.residual(x))),
        "no-stem-relu": computes(
            lambda net, x: net.fc(net.avgpool(nn.Sequential(*net.stages())(net.bn1(net.conv1(x)))).flatten(1))
        ),
        "strides-1111": stage_strides(1, 1, 1),
        "conv-bias": biased(),
        "no-norm": lambda net: replaces(bn1=lambda _: nn.Identity())(net),
    }
    return compare_modules(
        learners, cases, lambda depth: cifar_plain(depth, width=8, in_channels=1), slips, pairs=False
    )
