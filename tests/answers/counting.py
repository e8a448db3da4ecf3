"""Answers that are numbers: pixels, blocks_for_depth, needs_projection, shortcut_parameters, path_lengths."""

import itertools
import math
from collections import Counter
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


wrong("pixels", "forgets-a-size")(lambda images: len(images))
wrong("pixels", "forgets-a-size")(lambda images: images.shape[2] * images.shape[3])
wrong("pixels", "forgets-a-size")(lambda images: images[0].numel())
wrong("pixels", "forgets-a-size")(lambda x: x.size(0) * x.size(2) * x.size(3))
wrong("pixels", "adds-sizes")(lambda images: sum(images.shape))
wrong("pixels", "returns-sizes")(lambda images: images.shape)
wrong("pixels", "returns-sizes")(lambda images: list(images.size()))
wrong("pixels", "sums-values")(lambda images: images.sum())
wrong("pixels", "fixed-size")(lambda images: len(images) * 28 * 28)
wrong("pixels", "fixed-size")(lambda images: len(images) * 784 * images.shape[1])
wrong("pixels", "constant")(lambda images: 3136)
wrong("pixels", "counts-bytes")(lambda images: images.nbytes)
wrong("pixels", "a-float")(lambda images: float(images.numel()))
wrong("pixels", "not-callable")(torch.zeros(4, 1, 28, 28).numel())
wrong("pixels", "raises")(lambda images: images.pixels)
wrong("pixels", "signature")(lambda n, c, h, w: n * c * h * w)
wrong("pixels", "returns-callable")(lambda images: images.numel)


@wrong("pixels", "returns-none")
def prints_in_place_of_return(images):
    print(images.numel())


# blocks_for_depth(depth)

right("blocks_for_depth")(lambda depth: (depth - 2) // 6)
right("blocks_for_depth")(lambda depth: int((depth - 2) / 6))
right("blocks_for_depth")(lambda d: divmod(d, 6)[0])  # 6n + 2 leaves 2, so this is right as well
right("blocks_for_depth")(lambda d: len(range(2, d, 6)))
right("blocks_for_depth")(lambda d: np.floor_divide(d - 2, 6))
right("blocks_for_depth")(lambda d: next(n for n in itertools.count() if 6 * n + 2 == d))

wrong("blocks_for_depth", "a-float")(lambda depth: (depth - 2) / 6)
wrong("blocks_for_depth", "a-float")(lambda depth: np.floor((depth - 2) / 6))
wrong("blocks_for_depth", "off-by-stem")(lambda depth: depth / 6)
wrong("blocks_for_depth", "off-by-stem")(lambda depth: depth // 6 + 1)
wrong("blocks_for_depth", "off-by-stem")(lambda depth: math.ceil(depth / 6))
wrong("blocks_for_depth", "blocks-not-convolutions")(lambda depth: (depth - 2) // 3)
wrong("blocks_for_depth", "blocks-not-convolutions")(lambda depth: (depth - 2) // 2)
wrong("blocks_for_depth", "blocks-not-convolutions")(lambda depth: (depth - 2) / 2)
wrong("blocks_for_depth", "blocks-not-convolutions")(lambda depth: (depth - 2) // 9)
wrong("blocks_for_depth", "blocks-not-convolutions")(lambda depth: depth - 2)
wrong("blocks_for_depth", "off-by-stem, blocks-not-convolutions")(lambda depth: depth // 2)
wrong("blocks_for_depth", "returns-stages")(lambda depth: [(depth - 2) // 6] * 3)
wrong("blocks_for_depth", "turned-round")(lambda n: 6 * n + 2)
wrong("blocks_for_depth", "constant")(lambda depth: 3)

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


wrong("needs_projection", "projection-by-stride")(lambda i, o, s: s != 1)
wrong("needs_projection", "projection-by-stride")(lambda i, o, s: s == 2)
wrong("needs_projection", "projection-by-channels")(lambda i, o, s: i != o)
wrong("needs_projection", "and-for-or")(lambda i, o, s: i != o and s > 1)
wrong("needs_projection", "turned-round")(lambda i, o, s: i == o and s == 1)
wrong("needs_projection", "turned-round")(lambda i, o, s: i == o or s == 1)
wrong("needs_projection", "only-more-channels")(lambda i, o, s: o > i or s == 2)
wrong("needs_projection", "only-more-channels")(lambda i, o, s: o > i)
wrong("needs_projection", "always")(lambda i, o, s: True)
wrong("needs_projection", "never")(lambda i, o, s: False)
wrong("needs_projection", "expansion-twice")(lambda i, o, s: s != 1 or i != o * 4)
wrong("needs_projection", "not-a-bool")(lambda i, o, s: int(i != o or s != 1))
wrong("needs_projection", "not-a-bool")(lambda i, o, s: i != o or s - 1)
wrong("needs_projection", "not-a-bool")(lambda i, o, s: "yes" if i != o or s != 1 else "")
wrong("needs_projection", "signature")(lambda i, o: i != o)


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


wrong("shortcut_parameters", "forgets-norm")(lambda i, o: i * o)
wrong("shortcut_parameters", "counts-bias")(lambda i, o: i * o + o + 2 * o)
wrong("shortcut_parameters", "half-a-norm")(lambda i, o: i * o + o)
wrong("shortcut_parameters", "half-a-norm")(
    lambda i, o: nn.Conv2d(i, o, 1).weight.numel() + nn.Conv2d(i, o, 1).bias.numel()
)
wrong("shortcut_parameters", "counts-3x3")(lambda i, o: 3 * 3 * i * o + 2 * o)
wrong("shortcut_parameters", "counts-3x3, forgets-norm")(lambda i, o: 9 * i * o)
wrong("shortcut_parameters", "counts-3x3, counts-bias")(lambda i, o: 9 * i * o + 3 * o)
wrong("shortcut_parameters", "counts-buffers")(lambda i, o: i * o + 4 * o)
wrong("shortcut_parameters", "counts-buffers")(
    lambda i, o: sum(v.numel() for v in rl.ProjectionShortcut(i, o).state_dict().values())
)
wrong("shortcut_parameters", "norm-of-input")(lambda i, o: i * o + 2 * i)
wrong("shortcut_parameters", "norm-of-input")(lambda i, o: i * o + 2)
wrong("shortcut_parameters", "adds-channels")(lambda i, o: i + o)
wrong("shortcut_parameters", "adds-channels")(lambda i, o: i + o + 2 * o)
wrong("shortcut_parameters", "counts-the-block")(
    lambda i, o: sum(p.numel() for p in rl.BasicBlock(i, o, stride=2, shortcut="C").parameters())
)
wrong("shortcut_parameters", "a-float")(lambda i, o: o * (i + 4 / 2))
wrong("shortcut_parameters", "constant")(lambda i, o: 16896)

# path_lengths(n)

right("path_lengths")(lambda n: [math.comb(n, k) for k in range(n + 1)])
right("path_lengths")(rl.path_lengths)
right("path_lengths")(lambda n: torch.tensor([math.comb(n, k) for k in range(n + 1)]))
right("path_lengths")(lambda n: dict(sorted(Counter(map(sum, itertools.product([0, 1], repeat=n))).items())))


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


wrong("path_lengths", "starts-at-one")(lambda n: [math.comb(n, k) for k in range(1, n + 1)])
wrong("path_lengths", "stops-early")(lambda n: [math.comb(n, k) for k in range(n)])
wrong("path_lengths", "all-paths-together")(lambda n: 2**n)
wrong("path_lengths", "all-paths-together")(lambda n: sum(math.comb(n, k) for k in range(n + 1)))
wrong("path_lengths", "powers-of-two")(lambda n: [2**k for k in range(n + 1)])
wrong("path_lengths", "counts-orders")(lambda n: [math.perm(n, k) for k in range(n + 1)])
wrong("path_lengths", "shares-for-counts")(lambda n: [math.comb(n, k) / 2**n for k in range(n + 1)])
wrong("path_lengths", "counts-one-more")(lambda n: [math.comb(n + 1, k) for k in range(n + 2)])
wrong("path_lengths", "counts-lengths")(lambda n: list(range(n + 1)))
wrong("path_lengths", "counts-lengths")(lambda n: range(n + 1))
wrong("path_lengths", "a-float")(
    lambda n: [math.factorial(n) / math.factorial(k) / math.factorial(n - k) for k in range(n + 1)]
)
wrong("path_lengths", "ones")(lambda n: [1] * (n + 1))
wrong("path_lengths", "adds-up")(lambda n: list(itertools.accumulate(math.comb(n, k) for k in range(n + 1))))


@wrong("path_lengths", "not-a-list")
def yields_them(n):
    for k in range(n + 1):
        yield math.comb(n, k)


@wrong("path_lengths", "endless")
def never_ends(n):
    row, k = [], 0
    while k <= n:
        row.append(math.comb(n, k) if k < 20 else 0)
    return row
