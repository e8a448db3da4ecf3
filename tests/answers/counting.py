"""Answers that are numbers: pixels, blocks_for_depth, needs_projection, shortcut_parameters, path_lengths."""

import itertools
import math
from functools import cache

import numpy as np
import torch
from torch import nn

import resnet_lib as rl
from answers.bank import right, wrong

# pixels(images)

right("pixels")(lambda images: images.numel())
right("pixels")(lambda x: math.prod(x.shape))
right("pixels")(lambda x: np.prod(x.shape))
right("pixels")(lambda x: len(x.reshape(-1)))
right("pixels")(lambda batch: torch.tensor(batch.size()).prod())
right("pixels")(lambda x: int(np.asarray(x).size))


@right("pixels")
def product_in_a_loop(images):
    count = 1
    for size in images.shape:
        count *= size
    return count


@wrong("pixels", "prints")
def prints_in_place_of_return(images):
    print(images.numel())


# blocks_for_depth(depth)

right("blocks_for_depth")(lambda depth: (depth - 2) // 6)
right("blocks_for_depth")(lambda depth: int((depth - 2) / 6))
right("blocks_for_depth")(lambda d: divmod(d, 6)[0])  # 6n + 2 leaves 2, so this is right as well
right("blocks_for_depth")(lambda d: len(range(2, d, 6)))
right("blocks_for_depth")(lambda d: np.floor_divide(d - 2, 6))
right("blocks_for_depth")(lambda d: next(n for n in itertools.count() if 6 * n + 2 == d))


# needs_projection(in_channels, out_channels, stride)

right("needs_projection")(lambda i, o, s: i != o or s != 1)
right("needs_projection")(lambda i, o, s: (i, 1) != (o, s))
right("needs_projection")(lambda i, o, s: not (i == o and s == 1))
right("needs_projection")(lambda i, o, s: (i != o) | (s > 1))
right("needs_projection")(lambda i, o, s: np.any([i != o, s != 1]))
right("needs_projection")(lambda i, o, s: isinstance(rl.BasicBlock(i, o, stride=s).downsample, rl.ProjectionShortcut))


@right("needs_projection")
def compares_shapes(in_channels, out_channels, stride):
    x = torch.zeros(1, in_channels, 4, 4)
    return nn.Conv2d(in_channels, out_channels, 1, stride)(x).shape != x.shape


@right("needs_projection")
def nested_ifs(in_channels, out_channels, stride):
    if stride == 1:
        if in_channels == out_channels:
            return False
    return True


@wrong("needs_projection", "returns-none")  # noqa: RET503
def forgets_the_else(in_channels, out_channels, stride):
    if in_channels != out_channels or stride != 1:
        return True


# shortcut_parameters(in_channels, out_channels)

right("shortcut_parameters")(lambda i, o: i * o + 2 * o)
right("shortcut_parameters")(lambda i, o: o * (i + 2))
right("shortcut_parameters")(lambda i, o: sum(p.numel() for p in rl.ProjectionShortcut(i, o).parameters()))
right("shortcut_parameters")(lambda i, o: torch.zeros(o, i, 1, 1).numel() + 2 * len(torch.ones(o)))
right("shortcut_parameters")(lambda i, o: np.dot([i, 1, 1], [o, o, o]))


@right("shortcut_parameters")
def counts_real_layers(in_channels, out_channels):
    conv, norm = nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
    return conv.weight.numel() + norm.weight.numel() + norm.bias.numel()


# path_lengths(n)

right("path_lengths")(lambda n: [math.comb(n, k) for k in range(n + 1)])
right("path_lengths")(lambda n: torch.tensor([math.comb(n, k) for k in range(n + 1)]))


@right("path_lengths")
def convolved(n):
    row = np.array([1])
    for _ in range(n):
        row = np.convolve(row, [1, 1])
    return row


@right("path_lengths")
def by_factorials(n):
    f = math.factorial
    return tuple(f(n) // (f(k) * f(n - k)) for k in range(n + 1))


@right("path_lengths")
def by_recursion(n):
    @cache
    def paths(blocks, length):
        if blocks == 0:
            return int(length == 0)
        return paths(blocks - 1, length) + paths(blocks - 1, length - 1)

    return [paths(n, k) for k in range(n + 1)]


@wrong("path_lengths", "not-a-list")
def yields_them(n):
    for k in range(n + 1):
        yield math.comb(n, k)


@wrong("path_lengths", "sorted")
def sorts_the_row(n):
    row = [math.comb(n, k) for k in range(n + 1)]
    row.sort()
    return row


wrong("path_lengths", "sorted")(lambda n: sorted((math.comb(n, k) for k in range(n + 1)), reverse=True))
wrong("path_lengths", "returns-none")(lambda n: [math.comb(n, k) for k in range(n + 1)].sort())
wrong("path_lengths", "not-a-list")(lambda n: {k: math.comb(n, k) for k in range(n + 1)})
wrong("path_lengths", "each-wrapped")(lambda n: [(k, math.comb(n, k)) for k in range(n + 1)])
wrong("path_lengths", "a-string")(lambda n: str([math.comb(n, k) for k in range(n + 1)]))


@wrong("path_lengths", "same-object")
def one_list_for_all(n, found=[]):  # noqa: B006
    for k in range(n + 1):
        found.append(math.comb(n, k))
    return found


@wrong("path_lengths", "reads-what-it-changed")
def changes_the_row_from_the_left(n):
    row = [1]
    for _ in range(n):
        row.append(0)
        for k in range(1, len(row)):
            row[k] += row[k - 1]
    return row


@right("path_lengths")
def changes_the_row_from_the_right(n):
    row = [1]
    for _ in range(n):
        row.append(0)
        for k in range(len(row) - 1, 0, -1):
            row[k] += row[k - 1]
    return row


@wrong("path_lengths", "endless")
def never_ends(n):
    row, k = [], 0
    while k <= n:
        row.append(math.comb(n, k) if k < 20 else 0)
    return row
