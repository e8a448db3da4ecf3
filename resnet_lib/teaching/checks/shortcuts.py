"""Checks of lesson 04: the three shortcuts, and when a block needs which."""

from typing import Any

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, max_pool2d, pad, relu

from resnet_lib.models.shortcuts import ProjectionShortcut, ZeroPadShortcut
from resnet_lib.teaching.checks.edits import Edits
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

    def both_sides(x: torch.Tensor, out: int, s: int) -> torch.Tensor:
        new = out - x.shape[1]
        return pad(x[:, :, ::s, ::s], (0, 0, 0, 0, new // 2, new - new // 2))

    slips = {
        "pads-in-front": lambda x, out, s: pad(x[:, :, ::s, ::s], (0, 0, 0, 0, out - x.shape[1], 0)),
        "pads-both-sides": both_sides,
        "averages": lambda x, out, s: append(avg_pool2d(x, s, ceil_mode=True), out),
        "pools-max": lambda x, out, s: append(max_pool2d(x, s, ceil_mode=True), out),
        "no-stride": lambda x, out, s: append(x, out),
        "no-new-channels": lambda x, out, s: x[:, :, ::s, ::s],
        "pads-image": lambda x, out, s: pad(x[:, :, ::s, ::s], (0, out - x.shape[1])),
        "pads-all-channels": lambda x, out, s: pad(x[:, :, ::s, ::s], (0, 0, 0, 0, 0, out)),
        "pads-ones": lambda x, out, s: append(x[:, :, ::s, ::s], out, 1.0),
        "cuts-image": lambda x, out, s: append(x[:, :, : -(-x.shape[2] // s), : -(-x.shape[3] // s)], out),
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
        "only-more-channels": lambda i, o, s: o > i or s != 1,
        "always": lambda i, o, s: True,
        "never": lambda i, o, s: False,
    }
    return compare(learners, cases, lambda i, o, s: i != o or s != 1, slips)


@exercise("shortcut_parameters(in_channels, out_channels)")
def check_shortcut_parameters(learners: Any) -> str:
    """shortcut_parameters(in_channels, out_channels): of a projection, a 1×1 convolution without bias and its norm."""
    slips = {
        "forgets-norm": lambda i, o: i * o,
        "counts-bias": [lambda i, o: i * o + 3 * o, lambda i, o: i * o + o],
        "counts-3x3": [lambda i, o: 9 * i * o + 2 * o, lambda i, o: 9 * i * o],
        "counts-buffers": [lambda i, o: i * o + 4 * o, lambda i, o: i * o + 4 * o + 1],
        "norm-of-input": lambda i, o: i * o + 2 * i,
        "adds-channels": [lambda i, o: i + o, lambda i, o: i + o + 2 * o],
    }
    return compare(learners, [[64, 256], [256, 512], [3, 5], [1, 1]], lambda i, o: i * o + 2 * o, slips)


@exercise("Projection(in_channels, out_channels, stride)")
def check_projection(learners: Any) -> str:
    """Projection(in_channels, out_channels, stride): a 1×1 convolution without bias that strides, then batch norm."""

    def conv(kernel: int, padding: int, **changes: Any) -> Any:
        def edit(module: Any) -> None:
            old = module[0]
            module[0] = nn.Conv2d(
                old.in_channels, old.out_channels, kernel, old.stride, padding, **{"bias": False, **changes}
            )

        return edit

    def without_norm(module: Any) -> None:
        module[1] = nn.Identity()

    def without_stride(module: Any) -> None:
        module[0].stride = (1, 1)

    def norm_first(module: Any) -> Any:
        old = module[0]
        return nn.Sequential(nn.BatchNorm2d(old.in_channels), old)

    def pool_first(module: Any) -> Any:
        old = module[0]
        conv = nn.Conv2d(old.in_channels, old.out_channels, 1, bias=False)
        return nn.Sequential(nn.AvgPool2d(old.stride, ceil_mode=True), conv, module[1])

    slips: Edits = {
        "projection-no-norm": without_norm,
        "projection-3x3": [conv(3, 1), conv(3, 0)],
        "conv-bias": conv(1, 0, bias=True),
        "no-stride": without_stride,
        "relu-on-shortcut": [
            lambda m: m.append(nn.ReLU()) and None,
            lambda m: nn.Sequential(nn.ReLU(), *m),
            lambda m: m.insert(1, nn.ReLU()) and None,
        ],
        "norm-first": norm_first,
        "pools-shortcut": lambda m: nn.Sequential(
            nn.AvgPool2d(m[0].stride, ceil_mode=True),
            nn.Conv2d(m[0].in_channels, m[0].out_channels, 1, bias=False),
            m[1],
        ),
        "wrong-eps": lambda m: setattr(m[1], "eps", 1e-3),
    }
    cases = [Case((4, 6, 2), (3, 4, 6, 8)), Case((3, 8, 1), (2, 3, 5, 5)), Case((6, 5, 2), (4, 6, 7, 5))]
    return compare_modules(learners, cases, ProjectionShortcut, slips)
