"""Checks of whole nets: lessons 01, 05 and 06."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import relu

from resnet_lib.models.blocks import BasicBlock, Bottleneck
from resnet_lib.models.cifar import cifar_plain
from resnet_lib.models.resnet import PRESETS, ResNet, build
from resnet_lib.models.shortcuts import IdentityShortcut
from resnet_lib.teaching.checks.edits import (
    Edit,
    Edits,
    biased,
    both,
    computes,
    drops,
    in_all_blocks,
    inside,
    replaces,
    resized,
)
from resnet_lib.teaching.checks.engine import Mistake, Verdict, exercise
from resnet_lib.teaching.checks.modules import compare_modules
from resnet_lib.teaching.checks.net_edits import (
    ARGUMENTS,
    HEADS,
    NETS,
    block_counts,
    every_block_strides,
    net_of,
    share_blocks,
    with_shortcut,
    wrong_strides,
)
from resnet_lib.teaching.checks.observe import Case, built, weightless


class ArticleBlock(Bottleneck):
    """The library's bottleneck under the article's signature, for learners who build a net of any block."""

    def __init__(self, in_channels: int, intermediate_channels: int, identity_downsample: Any = None, stride: int = 1):
        shortcut = IdentityShortcut() if identity_downsample is None else identity_downsample
        super().__init__(in_channels, intermediate_channels, stride=stride, shortcut=shortcut)


@exercise("MyResNet(block, layers, image_channels, num_classes)", seconds=30)
def check_make_layer(learners: Any) -> str:
    """MyResNet(block, layers, image_channels, num_classes): stem, four stages made by `_make_layer`, classifier.
    `block` is a class as in `check_bottleneck`, with an `expansion`."""
    cases = [
        Case((ArticleBlock, [2, 1, 1, 1], 3, 10), (2, 3, 64, 64)),
        Case((ArticleBlock, [1, 3, 1, 2], 1, 7), (2, 1, 40, 40)),
    ]

    def reference(block: Any, layers: Sequence[int], image_channels: int, num_classes: int) -> nn.Module:
        return ResNet(Bottleneck, layers, in_channels=image_channels, num_classes=num_classes)

    slips = {
        **ARGUMENTS,
        "ignores-layers": [lambda net, n=n: build(PRESETS[f"resnet{n}"], **kept(net)) for n in (50, 101, 152)],
        **NETS,
        "shares-blocks": share_blocks,
        "strides-other": wrong_strides(4)["strides-other"],
    }
    return compare_modules(learners, cases, reference, slips, net=True)


def check_deep_net(name: str) -> Callable[[Any], Verdict]:
    """A check of a builder (img_channel=3, num_classes=1000) of one of the deep nets."""
    other_nets = {
        f"is-{other}": lambda net, other=other: build(PRESETS[other], **kept(net))
        for other in ("resnet34", "resnet50", "resnet101", "resnet152", "resnet50v2")
        if other != name
    }
    first, second, third, fourth = counts = PRESETS[name].layers
    slips: Edits = {
        **other_nets,
        "swapped-middle": lambda net: build(PRESETS[name], layers=(first, third, second, fourth), **kept(net)),
        **ARGUMENTS,
        **NETS,
    }

    def check(learners: Any) -> str:
        case = Case((1, 10), (2, 1, 40, 40))
        reference = lambda in_channels, num_classes: build(  # noqa: E731
            PRESETS[name], in_channels=in_channels, num_classes=num_classes
        )
        try:
            return compare_modules(learners, [case], reference, slips, net=True)
        except Mistake as mistake:
            if mistake.keys != ("parameters",):
                raise
            with weightless():
                mine = built(learners, case)
            shapes = [tuple(p.shape) for p in mine.parameters()]
            given = [shapes.count((64 << stage, 64 << stage, 3, 3)) for stage in range(4)]
            if given == list(counts) or not all(given):
                raise
            places = [p for _, p in mine.named_parameters(remove_duplicate=False)]
            key = "stage-counts" if len(places) == len(shapes) else "shares-blocks"
            raise Mistake(key, given=given, wanted=list(counts), **mistake.evidence) from None

    check.__name__ = f"check_{name}"
    check.__doc__ = f"{name}(img_channel=3, num_classes=1000) by He et al. 2015, table 1: {PRESETS[name].layers}, V1.5."
    return exercise(f"{name}(img_channel=3, num_classes=1000)", seconds=60)(check)


def kept(net: ResNet) -> dict[str, Any]:
    return {"in_channels": net.config.in_channels, "num_classes": net.config.num_classes}


check_resnet50, check_resnet101, check_resnet152 = map(check_deep_net, ("resnet50", "resnet101", "resnet152"))


@exercise("plain_net(depth)", seconds=20)
def check_plain_net(learners: Any) -> str:
    """plain_net(depth, width=8, in_channels=1, num_classes=10): the plain CIFAR-style net of depth 6n + 2."""
    cases = [Case((8,), (4, 1, 14, 14)), Case((14,), (3, 1, 10, 10)), Case((20,), (3, 1, 9, 9))]

    def rebuilt(**changes: Any) -> Edit:
        return lambda net: build(net.config, **changes)

    def without_stem(first: Callable[[Tensor], Tensor]) -> Edit:
        def first_block(net: Any) -> None:
            replaces(conv1=resized(3, 1, in_channels=1))(net.layer1[0])

        return both(drops("conv1", "bn1"), first_block, net_of(stem=lambda net, x: first(x)))

    def same_width(net: ResNet) -> None:
        for stage in net.stages()[1:]:
            for n in range(len(stage)):
                stage[n] = BasicBlock(8, 8, stride=1 if n else 2, shortcut=None)
        net.fc = nn.Linear(8, 10)

    slips: Edits = {
        "has-shortcut": [with_shortcut(option) for option in "ABC"],
        "no-block-relu": in_all_blocks(computes(lambda block, x: block.residual(x))),
        "no-inner-relu": in_all_blocks(inside(lambda b, x: b.bn2(b.conv2(b.bn1(b.conv1(x)))))),
        "no-stem-relu": net_of(stem=lambda net, x: net.bn1(net.conv1(x))),
        "no-stem-norm": drops("bn1"),
        "no-stem": [without_stem(relu), without_stem(nn.Identity())],
        "stem-of-imagenet": rebuilt(stem="imagenet"),
        **wrong_strides(3),
        "every-block-strides": every_block_strides,
        "ignores-depth": [rebuilt(layers=(n, n, n)) for n in (1, 3, 9)],
        "convolutions-for-blocks": lambda net: rebuilt(layers=(2 * net.config.layers[0],) * 3)(net),
        **block_counts(3),
        "shares-blocks": share_blocks,
        "wrong-width": [rebuilt(width=width) for width in (16, 64, 4, 32)],
        "same-width": same_width,
        "ignores-channels": rebuilt(in_channels=3),
        "wrong-classes": [rebuilt(num_classes=number) for number in (1000, 100, 1)],
        "conv-bias": [biased(), in_all_blocks(biased()), biased("conv1")],
        "no-norm": both(drops("bn1"), in_all_blocks(drops("bn1", "bn2"))),
        **HEADS,
    }
    return compare_modules(
        learners, cases, lambda depth: cifar_plain(depth, width=8, in_channels=1), slips, pairs=False
    )
