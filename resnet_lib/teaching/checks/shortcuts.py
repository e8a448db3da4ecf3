"""Checks of lesson 04: the three shortcuts, and when a block needs which."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, max_pool2d, pad, relu

from resnet_lib.models.shortcuts import ProjectionShortcut, ZeroPadShortcut
from resnet_lib.teaching.checks.edits import LAYERS, Edit, Edits, biased, resized
from resnet_lib.teaching.checks.engine import exercise
from resnet_lib.teaching.checks.functions import compare, random
from resnet_lib.teaching.checks.modules import compare_modules
from resnet_lib.teaching.checks.observe import Case


@exercise("zero_pad(x, out_channels, stride)")
def check_zero_pad(learners: Any) -> str:
    """zero_pad(x, out_channels, stride): every stride-th pixel of x, then zeros as the new channels, at the end."""
    cases = [
        [random(2, 3, 6, 4), 5, 2],
        [random(2, 4, 5, 7, seed=1), 8, 2],
        [random(1, 2, 4, 4, seed=2), 3, 1],
        [random(2, 3, 7, 7, seed=3), 3, 3],
    ]

    def append(x: torch.Tensor, out: int, value: float = 0.0) -> torch.Tensor:
        return pad(x, (0, 0, 0, 0, 0, out - x.shape[1]), value=value)

    def right(x: torch.Tensor, out: int, s: int) -> torch.Tensor:
        return ZeroPadShortcut(x.shape[1], out, s)(x)

    def both_sides(x: torch.Tensor, out: int, s: int, more: int) -> torch.Tensor:
        new = out - x.shape[1]
        front = (new + more) // 2
        return pad(x[:, :, ::s, ::s], (0, 0, 0, 0, front, new - front))

    slips = {
        "pads-in-front": lambda x, out, s: pad(x[:, :, ::s, ::s], (0, 0, 0, 0, out - x.shape[1], 0)),
        "pads-both-sides": [lambda x, out, s, more=more: both_sides(x, out, s, more) for more in (0, 1)],
        "averages": [
            *(lambda x, out, s, up=up: append(avg_pool2d(x, s, ceil_mode=up), out) for up in (True, False)),
            lambda x, out, s: append(adaptive_avg_pool2d(x, (-(-x.shape[2] // s), -(-x.shape[3] // s))), out),
        ],
        "pools-max": [lambda x, out, s, up=up: append(max_pool2d(x, s, ceil_mode=up), out) for up in (True, False)],
        "no-stride": lambda x, out, s: append(x, out),
        "no-new-channels": lambda x, out, s: x[:, :, ::s, ::s],
        "pads-image": [
            lambda x, out, s: pad(x[:, :, ::s, ::s], (0, out - x.shape[1])),
            lambda x, out, s: pad(x[:, :, ::s, ::s], (0, 0, 0, out - x.shape[1])),
        ],
        "pads-batch": lambda x, out, s: pad(x[:, :, ::s, ::s], (0, 0, 0, 0, 0, 0, 0, out - x.shape[1])),
        "pads-all-channels": lambda x, out, s: pad(x[:, :, ::s, ::s], (0, 0, 0, 0, 0, out)),
        "pads-ones": lambda x, out, s: append(x[:, :, ::s, ::s], out, 1.0),
        "repeats-channels": lambda x, out, s: torch.cat([x] * out, 1)[:, :out, ::s, ::s],
        "cuts-image": [
            lambda x, out, s: append(x[:, :, : -(-x.shape[2] // s), : -(-x.shape[3] // s)], out),
            lambda x, out, s: append(x[:, :, :s, :s], out),
        ],
        "subsamples-channels": lambda x, out, s: append(x[:, ::s, ::s], out),
        "subsamples-one-axis": [
            lambda x, out, s: append(x[:, :, ::s], out),
            lambda x, out, s: append(x[:, :, :, ::s], out),
        ],
        "relu-on-shortcut": lambda x, out, s: relu(right(x, out, s)),
        "starts-late": lambda x, out, s: append(x[:, :, s - 1 :: s, s - 1 :: s], out),
    }
    return compare(learners, cases, right, slips)


@exercise("needs_projection(in_channels, out_channels, stride)")
def check_needs_projection(learners: Any) -> str:
    """needs_projection(in_channels, out_channels, stride): True where x and F(x) have different shapes (option B)."""
    cases = [[64, 64, 1], [64, 256, 1], [256, 512, 2], [64, 64, 2], [256, 64, 1], [512, 512, 1]]
    slips = {
        "projection-by-stride": lambda i, o, s: s != 1,
        "projection-by-channels": lambda i, o, s: i != o,
        "and-for-or": lambda i, o, s: i != o and s != 1,
        "turned-round": [lambda i, o, s: i == o and s == 1, lambda i, o, s: i == o or s == 1],
        "only-more-channels": [lambda i, o, s: o > i or s != 1, lambda i, o, s: o > i],
        "expansion-twice": lambda i, o, s: i != 4 * o or s != 1,
        "always": lambda i, o, s: True,
        "never": lambda i, o, s: False,
    }
    return compare(learners, cases, lambda i, o, s: i != o or s != 1, slips)


@exercise("shortcut_parameters(in_channels, out_channels)")
def check_shortcut_parameters(learners: Any) -> str:
    """shortcut_parameters(in_channels, out_channels): of a projection, a 1×1 convolution without bias and its norm."""
    slips = {
        "forgets-norm": lambda i, o: i * o,
        "counts-bias": lambda i, o: i * o + 3 * o,
        "half-a-norm": lambda i, o: i * o + o,
        "counts-3x3": lambda i, o: 9 * i * o + 2 * o,
        "counts-3x3, forgets-norm": lambda i, o: 9 * i * o,
        "counts-3x3, counts-bias": lambda i, o: 9 * i * o + 3 * o,
        "counts-buffers": [lambda i, o: i * o + 4 * o, lambda i, o: i * o + 4 * o + 1],
        "norm-of-input": [lambda i, o: i * o + 2 * i, lambda i, o: i * o + 2],
        "adds-channels": [lambda i, o: i + o, lambda i, o: i + o + 2 * o],
        "counts-the-block": lambda i, o: 10 * i * o + 9 * o * o + 6 * o,
    }
    return compare(learners, [[64, 256], [256, 512], [3, 5], [1, 1]], lambda i, o: i * o + 2 * o, slips)


@exercise("Projection(in_channels, out_channels, stride)")
def check_projection(learners: Any) -> str:
    """Projection(in_channels, out_channels, stride): a 1×1 convolution without bias that strides, then batch norm."""

    def conv(kernel: int, padding: int, **changes: Any) -> Edit:
        return lambda m: m.__setitem__(0, resized(kernel, padding, **changes)(m[0]))

    def around(*before: nn.Module, between: Sequence[nn.Module] = (), after: Sequence[nn.Module] = ()) -> Edit:
        return lambda m: nn.Sequential(*before, m[0], *between, m[1], *after)

    def pool_first(pool: Callable[..., nn.Module]) -> Edit:
        return lambda m: nn.Sequential(pool(m[0].stride, ceil_mode=True), resized(1, stride=1)(m[0]), m[1])

    slips: Edits = {
        "projection-no-norm": lambda m: m.pop(1) and None,
        "projection-3x3": [conv(3, 1), conv(3, 0)],
        "conv-bias": biased(),
        "no-stride": conv(1, 0, stride=1),
        "relu-on-shortcut": [around(nn.ReLU()), around(between=[nn.ReLU()]), around(after=[nn.ReLU()])],
        "norm-first": lambda m: nn.Sequential(nn.BatchNorm2d(m[0].in_channels), m[0]),
        "pools-shortcut": [pool_first(nn.AvgPool2d), pool_first(nn.MaxPool2d)],
        "two-projections": lambda m: m.extend(ProjectionShortcut(m[1].num_features, m[1].num_features)) and None,
        **{key: LAYERS[key] for key in ("wrong-eps", "wrong-momentum", "no-running-statistics", "norm-without-gamma")},
    }
    cases = [Case((4, 6, 2), (3, 4, 6, 8)), Case((3, 8, 1), (2, 3, 5, 5)), Case((6, 5, 2), (4, 6, 7, 5))]
    return compare_modules(learners, cases, ProjectionShortcut, slips)
