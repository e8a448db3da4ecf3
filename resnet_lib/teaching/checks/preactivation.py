"""Checks of lesson 07 that are not about one block: what the shortcut keeps, Keras's pool, a whole V2 net."""

from collections.abc import Callable
from math import prod
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, pad, relu

from resnet_lib.models.blocks import BasicBlock, PreActBasicBlock
from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.models.resnet import build
from resnet_lib.models.shortcuts import ProjectionShortcut, make_shortcut
from resnet_lib.teaching.checks.edits import (
    Edit,
    Edits,
    biased,
    both,
    computes,
    drops,
    in_all_blocks,
    replaces,
    resized,
)
from resnet_lib.teaching.checks.engine import exercise
from resnet_lib.teaching.checks.functions import compare, each, random
from resnet_lib.teaching.checks.modules import compare_modules
from resnet_lib.teaching.checks.net_edits import block_counts, head_of, share_blocks
from resnet_lib.teaching.checks.observe import Case


@exercise("left_of_x(scales)")
def check_left_of_x(learners: Any) -> str:
    """left_of_x(scales): the factor with which the first block's x arrives behind blocks scale · x + F(x)."""
    cases = [[[0.5, 0.5, 0.5]], [[1.0, 1.0]], [[0.9] * 54], [[2.0, 0.5, 1.5, 1.0]], [[0.3]]]
    slips = {
        "adds-scales": lambda scales: sum(scales),
        "averages-scales": lambda scales: sum(scales) / len(scales),
        "first-scale": lambda scales: scales[0],
        "last-scale": lambda scales: scales[-1],
        "smallest-scale": lambda scales: min(scales),
        "with-the-branch": [lambda scales: prod(1 + s for s in scales), lambda scales: 1 + prod(scales)],
        "one-scale-less": [lambda scales: prod(scales[1:]), lambda scales: prod(scales[:-1])],
        "halves-instead": lambda scales: 0.5 ** len(scales),
        "one-scale-for-all": [lambda scales: scales[0] ** len(scales), lambda scales: scales[-1] ** len(scales),
                              lambda scales: (sum(scales) / len(scales)) ** len(scales)],
        "what-is-lost": [lambda scales: 1 - prod(scales), lambda scales: prod(1 - s for s in scales)],
        "times-blocks": [lambda scales: sum(scales) * len(scales), lambda scales: scales[0] * len(scales)],
        "product-from-zero": lambda scales: 0.0,
        "one-number": [lambda scales: [prod(scales[: n + 1]) for n in range(len(scales))],
                       lambda scales: [prod(scales[n:]) for n in range(len(scales))]],
    }  # fmt: skip
    return compare(learners, cases, lambda scales: float(prod(scales)), slips)


@exercise("keras_pool(x)")
def check_keras_pool(learners: Any) -> str:
    """keras_pool(x): a border of zeros one pixel wide, then a 3×3 max-pool at stride 2 without padding of its own."""
    cases = [[-random(2, 2, 6, 6, seed=2).abs() - 0.1], [random(2, 3, 8, 6)], [random(1, 2, 7, 9, seed=1)]]

    def zeros(x: Tensor, *sides: int) -> Tensor:
        return pad(x, sides)

    slips = {
        "pads-minus-infinity": lambda x: max_pool2d(x, 3, 2, 1),
        "pads-one-corner": [lambda x: max_pool2d(zeros(x, 0, 1, 0, 1), 3, 2),
                            lambda x: max_pool2d(zeros(x, 1, 0, 1, 0), 3, 2)],
        "pads-nothing": [lambda x: max_pool2d(x, 3, 2), lambda x: max_pool2d(x, 3, 2, ceil_mode=True)],
        "pads-twice": [lambda x: max_pool2d(zeros(x, 1, 1, 1, 1), 3, 2, 1),
                       lambda x: max_pool2d(zeros(x, 2, 2, 2, 2), 3, 2)],
        "border-not-zero": [lambda x, value=value: max_pool2d(pad(x, (1,) * 4, value=value), 3, 2)
                            for value in (1, -1, 0.5, -0.5)],
        "pads-batch": [lambda x: max_pool2d(zeros(x, 0, 0, 0, 0, 1, 1, 1, 1), 3, 2),
                       lambda x: max_pool2d(zeros(x, 0, 0, 0, 0, 0, 0, 1, 1), 3, 2)],
        "pools-first": lambda x: zeros(max_pool2d(x, 3, 2), 1, 1, 1, 1),
        "averages-pool": [lambda x: avg_pool2d(zeros(x, 1, 1, 1, 1), 3, 2), lambda x: avg_pool2d(x, 3, 2, 1)],
        "pools-at-stride-1": lambda x: max_pool2d(zeros(x, 1, 1, 1, 1), 3, 1),
        "stride-of-three": lambda x: max_pool2d(zeros(x, 1, 1, 1, 1), 3),
        "stride-of-three, pads-minus-infinity": lambda x: max_pool2d(x, 3, padding=1),
        "rounds-up": lambda x: max_pool2d(zeros(x, 1, 1, 1, 1), 3, 2, ceil_mode=True),
        "window-of-two": [lambda x: max_pool2d(x, 2), lambda x: max_pool2d(zeros(x, 1, 1, 1, 1), 2, 2)],
        "relu-in-pool": lambda x: relu(max_pool2d(x, 3, 2, 1)),
        "pads-width-only": [lambda x: max_pool2d(zeros(x, 1, 1), 3, 2),
                            lambda x: max_pool2d(zeros(x, 0, 0, 1, 1), 3, 2)],
    }  # fmt: skip
    return compare(learners, cases, lambda x: max_pool2d(zeros(x, 1, 1, 1, 1), 3, 2), slips)


def ending(finish: Callable[[Any, Tensor], Tensor], stem: Callable[[Any, Tensor], Tensor] | None = None) -> Edit:
    """The same net with another end: `finish` takes what the last block puts out; `stem` is another beginning."""

    def formula(net: Any, x: Tensor) -> Tensor:
        return finish(net, nn.Sequential(*net.stages())((stem or (lambda net, x: net.conv1(x)))(net, x)))

    return computes(formula)


def activated(net: Any, x: Tensor) -> Tensor:
    return head_of(net, relu(net.norm(x)))


def stem_norm(net: Any) -> None:
    """V1's norm and ReLU behind the first convolution."""
    net.bn1 = nn.BatchNorm2d(net.conv1.out_channels)
    ending(activated, lambda net, x: relu(net.bn1(net.conv1(x))))(net)


def stem_norm_alone(net: Any) -> None:
    stem_norm(net)
    ending(activated, lambda net, x: net.bn1(net.conv1(x)))(net)


def set_stride(block: Any, stride: int) -> None:
    block.conv1.stride = (stride, stride)
    block.downsample = make_shortcut("A", block.in_channels, block.out_channels, stride)


def restrided(*strides: int) -> Edit:
    """Other strides of the stages, shortcuts and all."""

    def edit(net: Any) -> None:
        for stage, stride in zip(net.stages(), strides, strict=True):
            set_stride(stage[0], stride)

    return edit


def every_block_strides(net: Any) -> None:
    for stage in net.stages()[1:]:
        for block in stage:
            set_stride(block, 2)


def same_width(net: Any) -> None:
    for number, stage in enumerate(net.stages()):
        for n in range(len(stage)):
            first = None if number or n else True
            stride = 2 if number and n == 0 else 1
            stage[n] = PreActBasicBlock(8, 8, stride=stride, shortcut="A", activate_shortcut=first)
    net.norm, net.fc = nn.BatchNorm2d(8), nn.Linear(8, 10)


def shares_from_the_first(net: Any) -> None:
    """One block is the whole first stage, where all have one shape."""
    stage = net.stages()[0]
    for n in range(1, len(stage)):
        stage[n] = stage[0]


def first_raw(net: Any) -> None:
    net.stages()[0][0].activate_shortcut = False


def widening_raw(net: Any) -> None:
    for stage in net.stages()[1:]:
        stage[0].activate_shortcut = False


def projected(block: Any) -> None:
    if block.in_channels != block.out_channels:
        block.downsample = ProjectionShortcut(block.in_channels, block.out_channels, block.stride, norm=False)


def rebuilt(**changes: Any) -> Edit:
    return lambda net: build(net.config, **changes)


@exercise("preact_net(depth)", seconds=20)
def check_preact_net(learners: Any) -> str:
    """preact_net(depth): He et al. 2016's net for small images, depth 6n + 2, of rl.PreActBasicBlock with zero-padding:
    conv 3×3 from 1 to 8 channels; stages of 8, 16, 32 channels and strides 1, 2, 2; the first block of the net with
    activate_shortcut=True; norm, ReLU, global average pool, linear layer to 10 classes."""

    ends: Edits = {
        "no-final-norm": both(drops("norm"), ending(lambda net, x: head_of(net, relu(x)))),
        "no-final-norm, no-final-relu": both(drops("norm"), ending(head_of)),
        "no-final-relu": ending(lambda net, x: head_of(net, net.norm(x))),
        "norm-after-pool": [
            ending(lambda net, x: net.fc(relu(net.norm(net.avgpool(x))).flatten(1))),
            ending(lambda net, x: net.fc(relu(net.avgpool(net.norm(x))).flatten(1))),
        ],
        "relu-before-norm": ending(lambda net, x: head_of(net, net.norm(relu(x)))),
        "stem-norm": [stem_norm, stem_norm_alone, ending(activated, lambda net, x: relu(net.conv1(x)))],
        "widening-shortcuts-raw": widening_raw,
    }
    slips: Edits = {
        **ends,
        "first-shortcut-raw": first_raw,
        **{f"{key}, first-shortcut-raw": [both(one, first_raw) for _, one in each({key: edits})]
           for key, edits in ends.items()},
        "every-shortcut-activated": in_all_blocks(lambda block: setattr(block, "activate_shortcut", True)),
        "ends-in-softmax": ending(lambda net, x: activated(net, x).softmax(1)),
        "relu-at-the-end": ending(lambda net, x: relu(activated(net, x))),
        "max-pool-at-the-end": ending(lambda net, x: net.fc(relu(net.norm(x)).amax((2, 3)))),
        "no-avgpool": ending(lambda net, x: net.fc(relu(net.norm(x)).flatten(1))),
        "no-flatten": ending(lambda net, x: net.fc(net.avgpool(relu(net.norm(x))))),
        "ignores-depth": [rebuilt(layers=(n, n, n)) for n in (1, 2, 3, 9)],
        "convolutions-for-blocks": lambda net: rebuilt(layers=(2 * net.config.layers[0],) * 3)(net),
        **block_counts(3),
        "shares-blocks": [share_blocks, shares_from_the_first, both(share_blocks, shares_from_the_first)],
        "wrong-width": [rebuilt(width=width) for width in (16, 64, 4, 32)],
        "same-width": same_width,
        "wrong-image-channels": replaces(conv1=resized(3, 1, in_channels=3)),
        "wrong-classes": [rebuilt(num_classes=number) for number in (1000, 100, 1)],
        "stem-of-imagenet": rebuilt(stem="imagenet"),
        "strides-1111": restrided(1, 1, 1),
        "strides-2222": restrided(2, 2, 2),
        "strides-2111": restrided(2, 1, 1),
        "strides-other": [restrided(1, 1, 2), restrided(1, 2, 1), restrided(2, 2, 1), restrided(2, 1, 2)],
        "every-block-strides": every_block_strides,
        "no-shortcut": in_all_blocks(lambda block: block.use_shortcut(None)),
        "projects-option-b": in_all_blocks(projected),
        "relu-after-add": in_all_blocks(computes(lambda block, x: relu(type(block).forward(block, x)))),
        "post-activation-net": rebuilt(block=BasicBlock),
        "conv-bias": [biased(), in_all_blocks(biased()), replaces(conv1=resized(3, 1, bias=True))],
    }  # fmt: skip
    cases = [Case((8,), (4, 1, 14, 14)), Case((14,), (3, 1, 10, 10)), Case((20,), (3, 1, 9, 9))]

    def reference(depth: int) -> nn.Module:
        return cifar_resnet(depth, preact=True, in_channels=1, width=8)

    return compare_modules(learners, cases, reference, slips, pairs=False)
