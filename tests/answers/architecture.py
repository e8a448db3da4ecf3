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


wrong("map_size", "forgets-padding")(lambda n, k, s, p: (n - k) // s + 1)
wrong("map_size", "forgets-padding, a-float")(lambda n, k, s, p: (n - k) / s + 1)
wrong("map_size", "forgets-padding, fence-posts")(lambda n, k, s, p: (n - k) // s)
wrong("map_size", "pads-one-side")(lambda n, k, s, p: (n + p - k) // s + 1)
wrong("map_size", "fence-posts")(lambda n, k, s, p: (n + 2 * p - k) // s)
wrong("map_size", "fence-posts, rounds-up")(lambda n, k, s, p: math.ceil((n + 2 * p - k) / s))
wrong("map_size", "rounds-up")(lambda n, k, s, p: math.ceil((n + 2 * p - k) / s + 1))
wrong("map_size", "rounds-to-nearest")(lambda n, k, s, p: round((n + 2 * p - k) / s + 1))
wrong("map_size", "a-float")(lambda n, k, s, p: (n + 2 * p - k) / s + 1)
wrong("map_size", "a-float")(lambda n, k, s, p: np.floor((n + 2 * p - k) / s + 1))
wrong("map_size", "plus-inside")(lambda n, k, s, p: (n + 2 * p - k + 1) // s)
wrong("map_size", "plus-inside, a-float")(lambda n, k, s, p: (n + 2 * p - k + 1) / s)
wrong("map_size", "brackets-missing")(lambda n, k, s, p: n + 2 * p - k // s + 1)
wrong("map_size", "brackets-missing")(lambda n, k, s, p: n + 2 * p - k / s + 1)
wrong("map_size", "brackets-missing")(lambda n, k, s, p: n - k + 2 * p // s + 1)
wrong("map_size", "ignores-kernel")(lambda n, k, s, p: n // s)
wrong("map_size", "ignores-kernel")(lambda n, k, s, p: (n + 2 * p) // s)
wrong("map_size", "ignores-kernel, rounds-up")(lambda n, k, s, p: math.ceil(n / s))
wrong("map_size", "ignores-stride")(lambda n, k, s, p: n + 2 * p - k + 1)
wrong("map_size", "turned-round")(lambda n, k, s, p: (n - 1) * s + k - 2 * p)
wrong("map_size", "one-number")(lambda n, k, s, p: ((n + 2 * p - k) // s + 1, (n + 2 * p - k) // s + 1))
wrong("map_size", "one-number")(lambda n, k, s, p: nn.Conv2d(1, 1, k, s, p)(torch.zeros(1, 1, n, n)).shape)
wrong("map_size", "one-number")(lambda n, k, s, p: ((n + 2 * p - k) // s + 1) ** 2)
wrong("map_size", "constant")(lambda size, kernel, stride, padding: 56)
wrong("map_size", "signature")(lambda size, kernel: size - kernel + 1)
wrong("map_size", "returns-none")(lambda n, k, s, p: print((n + 2 * p - k) // s + 1))

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


wrong("conv_macs", "counts-parameters")(lambda i, o, k, n: i * o * k * k)
wrong("conv_macs", "counts-parameters")(lambda i, o, k, n: nn.Conv2d(i, o, k, bias=False).weight.numel())
wrong("conv_macs", "kernel-not-squared")(lambda i, o, k, n: i * o * k * n**2)
wrong("conv_macs", "size-not-squared")(lambda i, o, k, n: i * o * k**2 * n)
wrong("conv_macs", "kernel-not-squared, size-not-squared")(lambda i, o, k, n: i * o * k * n)
wrong("conv_macs", "doubled-for-squared")(lambda i, o, k, n: i * o * (k * 2) * (n * 2))
wrong("conv_macs", "doubled-for-squared")(lambda i, o, k, n: i * o * k * 2 * n**2)
wrong("conv_macs", "caret")(lambda i, o, k, n: i * o * (k ^ 2) * (n ^ 2))
wrong("conv_macs", "caret")(lambda i, o, k, n: i * o * k ^ 2 * n ^ 2)
wrong("conv_macs", "adds-channels")(lambda i, o, k, n: (i + o) * k**2 * n**2)
wrong("conv_macs", "forgets-channels")(lambda i, o, k, n: o * k**2 * n**2)
wrong("conv_macs", "forgets-channels")(lambda i, o, k, n: (k * n) ** 2)
wrong("conv_macs", "forgets-kernel")(lambda i, o, k, n: i * o * n**2)
wrong("conv_macs", "counts-flops")(lambda i, o, k, n: 2 * i * o * k**2 * n**2)
wrong("conv_macs", "counts-flops")(lambda i, o, k, n: (i * k**2 + i * k**2 - 1) * o * n**2)
wrong("conv_macs", "counts-additions-of-bias")(lambda i, o, k, n: (i * k**2 + 1) * o * n**2)
wrong("conv_macs", "counts-additions-of-bias")(
    lambda i, o, k, n: sum(p.numel() for p in nn.Conv2d(i, o, k).parameters()) * n**2
)
wrong("conv_macs", "in-billions")(lambda i, o, k, n: i * o * k**2 * n**2 / 1e9)
wrong("conv_macs", "in-billions")(lambda i, o, k, n: i * o * k * k * n * n / 10**6)
wrong("conv_macs", "input-size")(lambda i, o, k, n: i * o * k**2 * (n - k + 1) ** 2)
wrong("conv_macs", "a-float")(lambda i, o, k, n: i * o * k**2.0 * n**2)
wrong("conv_macs", "signature")(lambda layer, size: layer.weight.numel() * size**2)

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


wrong("sees", "ignores-stride")(lambda layers: 1 + sum(k - 1 for k, s in layers))
wrong("sees", "stride-too-early")(walk(lambda field, jump, k, s: (field + (k - 1) * jump * s, jump * s)))
wrong("sees", "adds-kernels")(lambda layers: sum(k for k, s in layers))
wrong("sees", "adds-kernels")(walk(lambda field, jump, k, s: (field + k * jump, jump * s)))
wrong("sees", "adds-kernels")(walk(lambda field, jump, k, s: (field + k * jump, jump * s), field=0))
wrong("sees", "multiplies-kernels")(lambda layers: math.prod(k for k, s in layers))
wrong("sees", "starts-at-zero")(lambda layers: field_and_jump(layers) - 1)
wrong("sees", "last-first")(lambda layers: field_and_jump(layers[::-1]))
wrong("sees", "last-first")(walk(lambda field, jump, k, s: ((field - 1) * s + k, 1)))
wrong("sees", "last-stride-only")(walk(lambda field, jump, k, s: (field + (k - 1) * jump, s)))
wrong("sees", "adds-strides")(walk(lambda field, jump, k, s: (field + (k - 1) * jump, jump + s)))
wrong("sees", "counts-only-strides")(lambda layers: math.prod(s for k, s in layers))
wrong("sees", "stride-on-field")(walk(lambda field, jump, k, s: ((field + k - 1) * s, 1)))
wrong("sees", "stride-on-field")(walk(lambda field, jump, k, s: (field * s + k - 1, 1)))
wrong("sees", "own-stride")(walk(lambda field, jump, k, s: (field + (k - 1) * s, 1)))
wrong("sees", "one-side-only")(walk(lambda field, jump, k, s: (field + k // 2 * jump, jump * s)))
wrong("sees", "kernel-and-stride-swapped")(lambda layers: field_and_jump([(k, s) for s, k in layers]))
wrong("sees", "one-number")(lambda layers: (field_and_jump(layers), math.prod(s for k, s in layers)))
wrong("sees", "one-number")(lambda layers: [field_and_jump(layers[: n + 1]) for n in range(len(layers))])
wrong("sees", "raises")(lambda layers: 1 + sum(layer - 1 for layer in layers))
wrong("sees", "raises")(lambda layers: max(layer.kernel_size for layer in layers))
wrong("sees", "a-float")(lambda layers: float(field_and_jump(layers)))


@wrong("sees", "returns-too-early")  # noqa: RET503
def returns_in_the_loop(layers):
    field, jump = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * jump
        jump *= stride
        return field


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
