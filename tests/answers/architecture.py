"""Answers of lesson 05 that are numbers: map_size, conv_macs and sees."""

import math
from functools import reduce
from itertools import accumulate
from operator import mul

import numpy as np
import torch
from torch import nn

import resnet_lib as rl
from answers.bank import right, wrong

# map_size(size, kernel, stride, padding)

right("map_size")(lambda size, kernel, stride, padding: (size + 2 * padding - kernel) // stride + 1)
right("map_size")(lambda n, k, s, p: int((n + 2 * p - k) / s + 1))
right("map_size")(lambda n, k, s, p: math.floor((n - k + p + p + s) / s))
right("map_size")(lambda n, k, s, p: len(range(-p, n + p - k + 1, s)))
right("map_size")(lambda n, k, s, p: nn.Conv2d(1, 1, k, s, p)(torch.zeros(1, 1, n, n)).shape[-1])
right("map_size")(lambda n, k, s, p: nn.MaxPool2d(k, s, p)(torch.zeros(1, n, n)).size(1))
right("map_size")(lambda n, k, s, p: torch.zeros(n + 2 * p).unfold(0, k, s).shape[0])
right("map_size")(lambda n, k, s, p: -((k - 2 * p - n - 1) // s))


@right("map_size")
def moves_the_kernel(size, kernel, stride, padding):
    places, left = 0, -padding
    while left + kernel <= size + padding:
        places += 1
        left += stride
    return places


# conv_macs(in_channels, out_channels, kernel, size)

right("conv_macs")(lambda i, o, k, n: i * o * k**2 * n**2)
right("conv_macs")(lambda i, o, k, n: math.prod([i, o, k, k, n, n]))
right("conv_macs")(lambda i, o, k, n: nn.Conv2d(i, o, k).weight.numel() * n * n)
right("conv_macs")(lambda i, o, k, n: rl.count_macs(nn.Conv2d(i, o, k), (i, n + k - 1, n + k - 1)))
right("conv_macs")(lambda i, o, k, n: np.prod([i * k**2, o * n**2]))
right("conv_macs")(lambda i, o, k, n: torch.empty(n * n, o, i, k, k, device="meta").numel())


@right("conv_macs")
def one_output_at_a_time(in_channels, out_channels, kernel, size):
    total = 0
    for _ in range(out_channels):
        for _ in range(size):
            total += size * in_channels * pow(kernel, 2)
    return total


# sees(layers)


@right("sees")
def field_and_jump(layers):
    field, jump = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * jump
        jump *= stride
    return field


@right("sees")
def backwards(layers):
    """Which inputs does one output need? From the last layer to the first."""
    field = 1
    for kernel, stride in reversed(layers):
        field = (field - 1) * stride + kernel
    return field


@right("sees")
def by_recursion(layers):
    if not layers:
        return 1
    (kernel, stride), *rest = layers
    return kernel + (by_recursion(rest) - 1) * stride


@right("sees")
def jumps_first(layers):
    jumps = accumulate((stride for _, stride in layers), mul, initial=1)
    return 1 + sum((kernel - 1) * jump for (kernel, _), jump in zip(layers, jumps, strict=False))


right("sees")(lambda layers: reduce(lambda field, layer: (field - 1) * layer[1] + layer[0], layers[::-1], 1))
right("sees")(
    lambda layers: 1 + sum((layers[i][0] - 1) * math.prod(s for _, s in layers[:i]) for i in range(len(layers)))
)
right("sees")(
    lambda layers: rl.receptive_field(nn.Sequential(*(nn.Conv2d(1, 1, *layer) for layer in layers)), (1, 99, 99))
)


@right("sees")
def where_a_gradient_arrives(layers):
    x = torch.ones(1, 1, 200, requires_grad=True)
    y = x
    for kernel, stride in layers:
        y = nn.functional.conv1d(y, torch.ones(1, 1, kernel), stride=stride)
    y[0, 0, 0].backward()
    return int(x.grad.count_nonzero())


def walk(step, field=1):
    """A wrong way of going on: step(field, jump, kernel, stride) -> (field, jump)."""

    def sees(layers):
        seen, jump = field, 1
        for kernel, stride in layers:
            seen, jump = step(seen, jump, kernel, stride)
        return seen

    return sees


@wrong("sees", "changes-list")
def takes_layers_away(layers):
    field = 1
    while layers:
        kernel, stride = layers.pop()
        field = (field - 1) * stride + kernel
    return field


@wrong("sees", "changes-list")
def turns_the_list_round(layers):
    layers.reverse()
    field = 1
    for kernel, stride in layers:
        field = (field - 1) * stride + kernel
    return field
