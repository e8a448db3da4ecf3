"""Mistakes in whole nets: in the stem, the strides, the numbers of blocks, the shortcuts and the head."""

from collections.abc import Callable
from itertools import product
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d, relu

from resnet_lib.models.blocks import Bottleneck
from resnet_lib.models.resnet import ResNet
from resnet_lib.models.shortcuts import IdentityShortcut, ProjectionShortcut, ZeroPadShortcut
from resnet_lib.teaching.checks.edits import (
    ADDITION,
    Edit,
    Edits,
    biased,
    both,
    computes,
    drops,
    in_all_blocks,
    replaces,
    resized,
    strides,
)


def stem_of(net: Any, x: Tensor) -> Tensor:
    return net.maxpool(relu(net.bn1(net.conv1(x))))


def head_of(net: Any, x: Tensor) -> Tensor:
    return net.fc(net.avgpool(x).flatten(1))


def net_of(*, stem: Callable[[Any, Tensor], Tensor] = stem_of, head: Callable[[Any, Tensor], Tensor] = head_of) -> Edit:
    """The same net with another formula in front of its stages or behind them."""
    return computes(lambda net, x: head(net, nn.Sequential(*net.stages())(stem(net, x))))


def set_stride(block: Any, stride: int) -> None:
    (block.conv2 if isinstance(block, Bottleneck) else block.conv1).stride = (stride, stride)
    if isinstance(block.downsample, ProjectionShortcut):
        projection: Any = block.downsample[0]
        projection.stride = (stride, stride)


def stage_strides(*strides: int) -> Edit:
    """Other strides of the stages; the first block of a stage carries it."""

    def edit(net: ResNet) -> None:
        for stage, stride in zip(net.stages(), strides, strict=True):
            set_stride(stage[0], stride)

    return edit


def wrong_strides(stages: int) -> Edits:
    """All wrong strides of so many stages, under their names."""
    named = {(1,) * stages: "strides-1111", (2,) * stages: "strides-2222", (2, *(1,) * (stages - 1)): "strides-2111"}
    others = [s for s in product((1, 2), repeat=stages) if s not in named and s != (1, *(2,) * (stages - 1))]
    return {key: stage_strides(*s) for s, key in named.items()} | {"strides-other": [stage_strides(*s) for s in others]}


def every_block_strides(net: ResNet) -> None:
    for stage in net.stages()[1:]:
        block: Any
        for block in stage:
            if block.downsample is not None:
                block.downsample = ProjectionShortcut(block.in_channels, block.out_channels, 2)
            set_stride(block, 2)


def another_block(more: int, *stages: int) -> Edit:
    """More blocks in some stages, or fewer, but one stays."""

    def edit(net: ResNet) -> None:
        for stage in stages:
            blocks: Any = net.stages()[stage]
            for _ in range(more):
                shortcut = {"shortcut": None} if blocks[-1].downsample is None else {}
                blocks.append(type(blocks[-1])(blocks[-1].out_channels, blocks[-1].conv1.out_channels, **shortcut))
            if more < 0 and len(blocks) > 1:
                del blocks[-1]

    return edit


def block_counts(stages: int) -> Edits:
    every = range(stages)
    return {
        "one-block-more": [another_block(1, *every), *(another_block(1, stage) for stage in every)],
        "one-block-less": [another_block(-1, *every), *(another_block(-1, stage) for stage in every)],
    }


def share_in(stage: Any) -> None:
    """All blocks of the stage but the first are one block."""
    for place in range(2, len(stage)):
        stage[place] = stage[1]


def share_blocks(net: ResNet) -> None:
    for stage in net.stages():
        share_in(stage)


def projections(make: Callable[[Any, Any], nn.Module]) -> Edit:
    """Other projections, by a function of (convolution, block), where there are some."""

    def edit(block: Any) -> None:
        if isinstance(block.downsample, ProjectionShortcut):
            block.downsample = make(block.downsample[0], block)

    return in_all_blocks(edit)


def projects(block: Any) -> None:
    if not isinstance(block.downsample, ProjectionShortcut):
        block.downsample = ProjectionShortcut(block.in_channels, block.out_channels, block.stride)


def with_shortcut(option: str | None) -> Edit:
    return in_all_blocks(lambda block: block.use_shortcut(option))


def by_stride_alone(net: ResNet) -> None:
    first: Any = net.stages()[0][0]
    first.downsample = IdentityShortcut()


def forgets_expansion(net: ResNet) -> None:
    """After each stage's first block the channels are taken for the width, a quarter of what they are."""
    inputs = 64
    for stage in net.stages():
        block: Any
        for n, block in enumerate(stage):
            block.conv1 = nn.Conv2d(inputs, block.conv1.out_channels, 1, bias=False)
            if n == 0:
                conv = nn.Conv2d(inputs, block.out_channels, 1, block.stride, bias=False)
                block.downsample = nn.Sequential(conv, nn.BatchNorm2d(block.out_channels))
            inputs = block.conv1.out_channels


def conv_and_norm(conv: nn.Conv2d) -> nn.Module:
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels))


HEADS: Edits = {
    "ends-in-softmax": net_of(head=lambda net, x: head_of(net, x).softmax(1)),
    "max-pool-at-the-end": net_of(head=lambda net, x: net.fc(adaptive_max_pool2d(x, 1).flatten(1))),
    "relu-at-the-end": net_of(head=lambda net, x: relu(head_of(net, x))),
    "no-avgpool": net_of(head=lambda net, x: net.fc(x.flatten(1))),
    "no-flatten": net_of(head=lambda net, x: net.fc(net.avgpool(x))),
}
NETS: Edits = {
    "no-maxpool": replaces(maxpool=lambda _: nn.Identity()),
    "no-stem-relu": net_of(stem=lambda net, x: net.maxpool(net.bn1(net.conv1(x)))),
    "stride-on-1x1": in_all_blocks(strides("conv1")),
    "stem-7x7-stride-1": lambda net: setattr(net.conv1, "stride", (1, 1)),
    **{key: edit for key, edit in wrong_strides(4).items() if key != "strides-other"},
    "every-block-strides": every_block_strides,
    "no-shortcut": with_shortcut(None),
    "projection-by-stride": by_stride_alone,
    "projection-everywhere": in_all_blocks(projects),
    "projection-zero-pad": projections(lambda conv, b: ZeroPadShortcut(b.in_channels, b.out_channels, b.stride)),
    "projection-no-norm": projections(lambda conv, b: conv),
    "projection-no-norm, conv-bias": projections(lambda conv, b: resized(1, bias=True)(conv)),
    "projection-3x3": projections(lambda conv, b: conv_and_norm(resized(3, 1)(conv))),
    **block_counts(4),
    "expansion-forgotten": forgets_expansion,
    "fc-width": replaces(fc=lambda fc: nn.Linear(512, fc.out_features)),
    "conv-bias": [
        biased(),
        lambda net: biased("conv1")(nn.ModuleDict({"stem": nn.ModuleDict({"conv1": net.conv1})})),
        projections(lambda conv, b: conv_and_norm(resized(1, bias=True)(conv))),
        in_all_blocks(biased("conv1", "conv2", "conv3")),
    ],
    "no-stem-norm": replaces(bn1=lambda _: nn.Identity()),
    "stem-3x3": [
        both(replaces(conv1=resized(3, 1, stride=stride)), drops(*pool))
        for stride, pool in product((1, 2), ([], ["maxpool"]))
    ],
    **HEADS,
    **{key: in_all_blocks(ADDITION[key]) for key in list(ADDITION)[:3]},  # what a ReLU too many or too few does
}  # fmt: skip
ARGUMENTS: Edits = {
    "ignores-classes": replaces(fc=lambda fc: nn.Linear(fc.in_features, 1000)),
    "ignores-channels": replaces(conv1=lambda conv: resized(7, 3, in_channels=3)(conv)),
}
