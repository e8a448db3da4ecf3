"""Answers of lesson 07 that are functions: left_of_x and keras_pool."""

import math
from functools import reduce
from itertools import accumulate
from operator import mul

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from answers.bank import right, wrong

# left_of_x(scales)

right("left_of_x")(math.prod)
right("left_of_x")(lambda scales: reduce(mul, scales, 1))
right("left_of_x")(lambda scales: np.prod(scales))
right("left_of_x")(lambda scales: torch.tensor(scales).prod())
right("left_of_x")(lambda scales: math.exp(sum(map(math.log, scales))))
right("left_of_x")(lambda scales: list(accumulate(scales, mul))[-1])


@right("left_of_x")
def in_a_loop(scales):
    factor = 1
    for scale in scales:
        factor = factor * scale
    return factor


@right("left_of_x")
def by_recursion(scales):
    return scales[0] * by_recursion(scales[1:]) if scales else 1.0


@right("left_of_x")
def by_derivative(scales):
    """What a small change of x changes behind blocks whose F is constant."""
    x = torch.tensor(1.0, requires_grad=True)
    y = x
    for scale in scales:
        y = scale * y + 3
    return torch.autograd.grad(y, x)[0].item()


@wrong("left_of_x", "changes-list")
def takes_scales_away(scales):
    factor = 1.0
    while scales:
        factor *= scales.pop()
    return factor


# keras_pool(x)

right("keras_pool")(lambda x: F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, stride=2))
right("keras_pool")(nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(3, 2)).forward)
right("keras_pool")(lambda x: F.pad(x, [1] * 4).unfold(2, 3, 2).unfold(3, 3, 2).amax((-1, -2)))


@right("keras_pool")
def into_zeros(x):
    n, c, height, width = x.shape
    framed = torch.zeros(n, c, height + 2, width + 2)
    framed[:, :, 1:-1, 1:-1] = x
    return nn.MaxPool2d(kernel_size=3, stride=2)(framed)


@right("keras_pool")
def largest_of_nine(x):
    x = F.pad(x, (1, 1, 1, 1), value=0)
    rows, columns = ((size - 1) // 2 for size in x.shape[2:])
    parts = [x[:, :, i : i + 2 * rows : 2, j : j + 2 * columns : 2] for i in range(3) for j in range(3)]
    return torch.stack(parts).max(dim=0).values


@right("keras_pool")
def rows_then_columns(x):
    for axis in (2, 3):
        border = torch.zeros_like(x.narrow(axis, 0, 1))
        x = torch.cat([border, x, border], axis).unfold(axis, 3, 2).amax(-1)
    return x


@wrong("keras_pool", "changes-input")
def zeroes_the_border(x):
    x[:, :, [0, -1]] = 0
    x[:, :, :, [0, -1]] = 0
    return F.max_pool2d(x, 3, 2, 1)
