"""Checks of lesson 05: what stands in an architecture table, worked out by hand."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from math import prod
from operator import floordiv, truediv
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import relu

from resnet_lib.models.blocks import BasicBlock, Block, Bottleneck, PreActBasicBlock
from resnet_lib.models.shortcuts import IdentityShortcut, ProjectionShortcut
from resnet_lib.teaching.checks.edits import (
    ADDITION,
    CONVS_3X3,
    LAYERS,
    Edit,
    Edits,
    biased,
    both,
    computes,
    in_all_blocks,
    inside,
    resized,
)
from resnet_lib.teaching.checks.engine import exercise
from resnet_lib.teaching.checks.functions import Slips, compare, each
from resnet_lib.teaching.checks.modules import compare_modules
from resnet_lib.teaching.checks.net_edits import conv_and_norm, share_in
from resnet_lib.teaching.checks.observe import Case


@exercise("map_size(size, kernel, stride, padding)")
def check_map_size(learners: Any) -> str:
    """map_size(size, kernel, stride, padding): pixels along one side of a convolution's or pool's output."""
    cases = [[224, 7, 2, 3], [112, 3, 2, 1], [56, 3, 1, 1], [56, 1, 2, 0], [28, 3, 2, 0], [7, 7, 1, 0], [11, 5, 3, 2]]
    ways: Slips = {  # (what is divided, by what, added afterwards)
        "": lambda n, k, s, p: (n + 2 * p - k, s, 1),
        "forgets-padding": lambda n, k, s, p: (n - k, s, 1),
        "pads-one-side": lambda n, k, s, p: (n + p - k, s, 1),
        "fence-posts": lambda n, k, s, p: (n + 2 * p - k, s, 0),
        "ignores-kernel": [lambda n, k, s, p: (n, s, 0), lambda n, k, s, p: (n + 2 * p, s, 0)],
        "ignores-stride": lambda n, k, s, p: (n + 2 * p - k, 1, 1),
        "plus-inside": lambda n, k, s, p: (n + 2 * p - k + 1, s, 0),
        "forgets-padding, fence-posts": lambda n, k, s, p: (n - k, s, 0),
    }
    divisions: Slips = {
        "": floordiv,
        "rounds-up": lambda a, b: -(-a // b),
        "rounds-to-nearest": [lambda a, b, up=up: round(a / b + up) - up for up in (0, 1)],
        "a-float": truediv,
    }

    def formula(way: Callable, divide: Callable, *case: int) -> Any:
        dividend, divisor, more = way(*case)
        return divide(dividend, divisor) + more

    right = partial(formula, ways[""], floordiv)
    slips: dict[str, Any] = {
        "brackets-missing": [lambda n, k, s, p: n + 2 * p - k // s + 1, lambda n, k, s, p: n + 2 * p - k / s + 1,
                             lambda n, k, s, p: n - k + 2 * p // s + 1, lambda n, k, s, p: n - k + 2 * p / s + 1],
        "turned-round": lambda n, k, s, p: (n - 1) * s + k - 2 * p,
        "one-number": [lambda *case: [right(*case)] * 2, lambda *case: [1, 1, right(*case), right(*case)],
                       lambda *case: right(*case) ** 2],
    }  # fmt: skip
    for (part, way), (rounding, divide) in product(each(ways), each(divisions)):
        if key := ", ".join(filter(None, (part, rounding))):
            slips[key] = [*slips.get(key, []), partial(formula, way, divide)]
    return compare(learners, cases, right, slips)


@exercise("conv_macs(in_channels, out_channels, kernel, size)")
def check_conv_macs(learners: Any) -> str:
    """conv_macs(in_channels, out_channels, kernel, size): multiply-adds of a convolution with size × size outputs."""
    cases = [[64, 64, 3, 56], [3, 64, 7, 112], [256, 64, 1, 56], [512, 512, 3, 7]]

    def right(i: int, o: int, k: int, n: int) -> int:
        return i * o * k * k * n * n

    slips = {
        "counts-parameters": lambda i, o, k, n: i * o * k * k,
        "kernel-not-squared": lambda i, o, k, n: i * o * k * n * n,
        "size-not-squared": lambda i, o, k, n: i * o * k * k * n,
        "kernel-not-squared, size-not-squared": lambda i, o, k, n: i * o * k * n,
        "doubled-for-squared": [lambda i, o, k, n: i * o * 2 * k * 2 * n, lambda i, o, k, n: i * o * 2 * k * n * n,
                                lambda i, o, k, n: i * o * k * k * 2 * n],
        "caret": [lambda i, o, k, n: i * o * (k ^ 2) * (n ^ 2), lambda i, o, k, n: i * o * k ^ 2 * n ^ 2],
        "adds-channels": lambda i, o, k, n: (i + o) * k * k * n * n,
        "forgets-channels": [lambda i, o, k, n: o * k * k * n * n, lambda i, o, k, n: i * k * k * n * n,
                             lambda i, o, k, n: k * k * n * n],
        "counts-flops": [lambda i, o, k, n: 2 * i * o * k * k * n * n,
                         lambda i, o, k, n: (2 * i * k * k - 1) * o * n * n],
        "counts-additions-of-bias": lambda i, o, k, n: (i * k * k + 1) * o * n * n,
        "forgets-kernel": lambda i, o, k, n: i * o * n * n,
        "in-billions": [lambda *case, unit=unit: right(*case) / unit for unit in (10**9, 10**6, 10**3)],
        "input-size": lambda i, o, k, n: i * o * k * k * (n - k + 1) ** 2,
    }  # fmt: skip
    return compare(learners, cases, right, slips)


@exercise("sees(layers)")
def check_sees(learners: Any) -> str:
    """sees(layers): the receptive field, in pixels, of a stack of (kernel, stride) pairs, first layer first."""

    def walk(step: Callable[[int, int, int, int], tuple[int, int]], field: int = 1) -> Callable[[Sequence], int]:
        """step(field, jump, kernel, stride) -> the next field and jump."""

        def run(layers: Sequence[tuple[int, int]]) -> int:
            seen, jump = field, 1
            for kernel, stride in layers:
                seen, jump = step(seen, jump, kernel, stride)
            return seen

        return run

    right = walk(lambda field, jump, k, s: (field + (k - 1) * jump, jump * s))
    slips = {
        "ignores-stride": walk(lambda field, jump, k, s: (field + k - 1, 1)),
        "stride-too-early": walk(lambda field, jump, k, s: (field + (k - 1) * jump * s, jump * s)),
        "adds-kernels": [lambda layers: sum(k for k, _ in layers),
                         walk(lambda field, jump, k, s: (field + k * jump, jump * s)),
                         walk(lambda field, jump, k, s: (field + k * jump, jump * s), field=0)],
        "multiplies-kernels": [lambda layers: prod(k for k, _ in layers),
                               lambda layers: prod(k * s for k, s in layers)],
        "starts-at-zero": walk(lambda field, jump, k, s: (field + (k - 1) * jump, jump * s), field=0),
        "last-first": lambda layers: right(layers[::-1]),
        "last-stride-only": walk(lambda field, jump, k, s: (field + (k - 1) * jump, s)),
        "adds-strides": walk(lambda field, jump, k, s: (field + (k - 1) * jump, jump + s)),
        "counts-only-strides": lambda layers: prod(s for _, s in layers),
        "stride-on-field": [walk(lambda field, jump, k, s: ((field + k - 1) * s, 1)),
                            walk(lambda field, jump, k, s: (field * s + k - 1, 1))],
        "own-stride": walk(lambda field, jump, k, s: (field + (k - 1) * s, 1)),
        "one-side-only": walk(lambda field, jump, k, s: (field + k // 2 * jump, jump * s)),
        "kernel-and-stride-swapped": lambda layers: right([(k, s) for s, k in layers]),
        "returns-too-early": lambda layers: right(layers[:1]),
        "one-number": [lambda layers: [right(layers), prod(s for _, s in layers)],
                       lambda layers: [right(layers[: n + 1]) for n in range(len(layers))]],
    }  # fmt: skip
    stem = [(7, 2), (3, 2)]
    cases = [
        [[(3, 1)]],
        [[(3, 1), (3, 1)]],
        [stem],
        [[*stem, (3, 1), (3, 1)]],
        [[(3, 2), (3, 1), (1, 2), (5, 1), (3, 3)]],
    ]
    return compare(learners, cases, right, slips)


class Stage(nn.Sequential):
    """Blocks with projections where the shape changes (option B)."""

    def __init__(self, in_channels: int, channels: int, blocks: int, stride: int, block: type[Block] = BasicBlock):
        self.arguments = {"in_channels": in_channels, "channels": channels, "blocks": blocks, "stride": stride}
        made: Any = block  # each kind takes these arguments
        first, out = made(in_channels, channels, stride=stride), channels * block.expansion
        super().__init__(first, *(made(out, channels) for _ in range(blocks - 1)))


def rebuilt(**changes: Any) -> Edit:
    """Another stage, from other arguments."""
    return lambda stage: Stage(**{**stage.arguments, **changes})


def longer(more: int) -> Edit:
    return lambda stage: rebuilt(blocks=len(stage) + more)(stage)


def restrided(every: bool) -> Edit:
    """Every block of the stage strides, or the last in place of the first."""

    def edit(stage: Any) -> None:
        stride = stage[0].stride
        for block in stage if every else (stage[0], stage[-1]):
            block.stride = stride if every or block is stage[-1] else 1
            block.conv1.stride = (block.stride, block.stride)
            block.use_shortcut("B")

    return edit


def first_shortcut(make: Callable[[Any], Any]) -> Edit:
    """Another shortcut of the first block, by a function of the block; where that returns None, the right one."""

    def edit(stage: Any) -> None:
        stage[0].downsample = make(stage[0]) or stage[0].downsample

    return edit


def first_projection(make: Callable[[Any], nn.Module]) -> Edit:
    """Another projection, by a function of its convolution."""
    return first_shortcut(lambda b: make(b.downsample[0]) if isinstance(b.downsample, ProjectionShortcut) else None)


def overwrites_x(block: Any, x: Tensor) -> Tensor:
    """The shortcut starts behind the branch."""
    x = block.residual(x)
    return relu(x + block.downsample(x))


def inputs_again(stage: Any) -> None:
    """Every block is made for the channels that the first one gets."""
    for place in range(1, len(stage)):
        stage[place] = BasicBlock(stage[0].in_channels, stage[0].out_channels)


@exercise("basic_stage(in_channels, channels, blocks, stride)")
def check_basic_stage(learners: Any) -> str:
    """basic_stage(in_channels, channels, blocks, stride): an nn.Sequential of basic blocks; the first strides and
    changes the channels, with a projection (1×1 and batch norm) where the shape changes."""
    identity = IdentityShortcut()
    in_blocks: Edits = {
        **{key: edits for key, edits in ADDITION.items() if key.split("-")[0] not in ("scaled", "learned", "dropout")},
        "no-shortcut": lambda block: block.use_shortcut(None),
        "adds-itself": [computes(lambda b, x: relu(2 * b.residual(x))), computes(overwrites_x)],
        "no-inner-relu": inside(lambda b, x: b.bn2(b.conv2(b.bn1(b.conv1(x))))),
        **{key: CONVS_3X3[key] for key in ("stride-on-both", "stride-on-second", "no-padding")},
        **LAYERS,
    }
    slips: Edits = {
        "every-block-strides": restrided(every=True),
        "last-block-strides": restrided(every=False),
        "one-block-more": longer(1),
        "one-block-less": longer(-1),
        "ignores-blocks": [rebuilt(blocks=number) for number in (1, 2, 3)],
        "no-stride": rebuilt(stride=1),
        "fixed-stride": rebuilt(stride=2),
        "in-channels-again": inputs_again,
        "shares-blocks": share_in,
        "projection-everywhere": in_all_blocks(lambda block: block.use_shortcut("C")),
        "projects-without-need": first_shortcut(lambda block: block.use_shortcut("C")),
        "projection-by-stride": first_shortcut(lambda block: identity if block.stride == 1 else None),
        "projection-by-channels": first_shortcut(lambda b: identity if b.in_channels == b.out_channels else None),
        "projection-no-norm": first_projection(lambda conv: conv),
        "projection-no-norm, conv-bias": [first_projection(resized(1, bias=True)),
                                          both(first_projection(resized(1, bias=True)), biased())],
        "projection-3x3": first_projection(lambda conv: conv_and_norm(resized(3, 1)(conv))),
        "zero-pads": in_all_blocks(lambda block: block.use_shortcut("A")),
        "bottlenecks": rebuilt(block=Bottleneck),
        "pre-activation": rebuilt(block=PreActBasicBlock),
        **{key: [in_all_blocks(one) for one in (edits if isinstance(edits, list) else [edits])]
           for key, edits in in_blocks.items()},
    }  # fmt: skip
    cases = [
        Case((4, 6, 2, 2), (3, 4, 8, 6)),
        Case((4, 4, 3, 1), (3, 4, 6, 5)),
        Case((3, 5, 2, 1), (2, 3, 5, 6)),
        Case((5, 5, 1, 2), (2, 5, 6, 7)),
    ]
    return compare_modules(learners, cases, Stage, slips, pairs=False)
