"""Drawings for the lessons that take no setting: blocks, whole nets, paths, a gradient along a line of inputs.

Plain nets are dashed and vermilion, residual nets solid and blue; a title says what the drawing shows.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from math import ceil, log10
from statistics import fmean, pstdev

import torch

from resnet_lib.arguments import require_choice
from resnet_lib.models.blocks import BasicBlock, Bottleneck
from resnet_lib.probes.costs import count_macs, count_parameters
from resnet_lib.widgets.explorer import Still
from resnet_lib.widgets.style import BLUE, GREEN, GREY, INK, LINE, ORANGE, PAPER, SKY, SOFT, VERMILION, net_style
from resnet_lib.widgets.svg import Axes, arrow, box, labelled, path, picture, plus, text

SIZE = 16  # pixels of the text: 12 points


def _still(title: str, alt: str, height: int, *parts: str) -> Still:
    said = f"{title}. {alt}"
    return Still(picture(title, said, height, *parts, heading=(34, 20)), said)


# Blocks


def blocks_figure() -> Still:
    """A plain and a residual block side by side: the same layers, and one addition."""
    layers = ("3×3 conv", "batch norm", "ReLU", "3×3 conv", "batch norm")
    plain = _block(240, "plain block", "output = relu(F(x))", layers, ())
    residual = _block(640, "residual block", "output = relu(F(x) + x)", layers, ("the shortcut:", "x, unchanged"))
    alt = (
        f"Both blocks hold {', '.join(layers)}, together F(x), and end in a ReLU. The plain block outputs relu(F(x)). "
        "In the residual block a shortcut leads from the input past all five layers to an addition before the last "
        "ReLU: it outputs relu(F(x) + x)."
    )
    return _still("A residual block adds its input to what its layers compute", alt, 540, *plain, *residual)


def bottleneck_figure() -> Still:
    """A basic block of 64 channels beside a bottleneck of 256, with what they cost at 56 × 56 pixels."""
    with torch.device("meta"):
        blocks = {64: BasicBlock(64, 64), 256: Bottleneck(256, 64)}
    costs = {
        c: f"{count_parameters(block):,} parameters, {count_macs(block, (c, 56, 56)) / 1e6:.0f} M multiply-adds"
        for c, block in blocks.items()
    }
    basic = ("3×3 conv, 64", "BN, ReLU", "3×3 conv, 64", "BN")
    narrow = ("1×1 conv, 64", "BN, ReLU", "3×3 conv, 64", "BN, ReLU", "1×1 conv, 256", "BN")
    left = _block(240, "basic block, 64 channels", costs[64], basic, ("identity:", "64 channels"))
    right = _block(660, "bottleneck, 256 channels", costs[256], narrow, ("identity:", "256 channels"))
    alt = (
        f"The basic block has two 3×3 convolutions of 64 channels: {costs[64]}. The bottleneck takes 256 channels down "
        "to 64 with a 1×1 convolution, has one 3×3 convolution there, and goes back up to 256 with another: "
        f"{costs[256]} (at 56 × 56 pixels). Around each goes an identity shortcut to the addition."
    )
    return _still("A bottleneck has four times the channels at the cost of a basic block", alt, 590, *left, *right)


def _block(middle: float, title: str, below: str, layers: Sequence[str], shortcut: Sequence[str]) -> list[str]:
    """Layers in a column; a residual block has words for its shortcut, a plain one none."""
    style = net_style("residual-56" if shortcut else "plain-56").stroke()
    top, gap = 112.0, 50.0
    end, half = top + 34 + gap * len(layers), top + gap * len(layers) / 2
    parts = [
        text(middle, 78, title, size=18, anchor="middle", font_weight=600),
        text(middle - 16, top + 6, "x", size=18, anchor="end"),
        arrow([(middle, top - 16), (middle, end - 14 if shortcut else end + 94)], **style),
        *(_layer(middle, top + 28 + gap * place, words) for place, words in enumerate(layers)),
    ]
    if shortcut:
        right = middle + 112
        parts += [arrow([(middle, top + 6), (right, top + 6), (right, end), (middle + 16, end)], **style)]
        parts += [text(right + 12, half + 22 * row, words, fill=SOFT, size=SIZE) for row, words in enumerate(shortcut)]
        parts += [plus(middle, end, 15, 22), arrow([(middle, end + 15), (middle, end + 94)], **style)]
    brace = middle - 84
    parts += [path([(brace, top + 30), (brace - 8, top + 30), (brace - 8, end - 22), (brace, end - 22)], stroke=SOFT)]
    parts += [text(brace - 18, half + 16, "F(x)", size=18, anchor="end"), _layer(middle, end + 28, "ReLU")]
    return [*parts, text(middle, end + 122, below, size=SIZE, anchor="middle")]


def _layer(middle: float, top: float, words: str) -> str:
    fill = PAPER if "conv" in words else ORANGE if "ReLU" in words else SKY
    return labelled(middle - 72, top, 144, 34, words, SIZE, fill=fill)


# Whole nets

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # channels and blocks of the 34-layer nets


def columns_figure() -> Still:
    """VGG-19, plain-34 and ResNet-34, layer by layer, aligned where their feature maps have the same size."""
    deep = {c: [f"3×3, {c}" + ", /2" * (c > 64), *[f"3×3, {c}"] * (2 * blocks - 1)] for c, blocks in STAGES}
    bands: tuple[tuple[str, list[str], list[str]], ...] = (
        ("224", ["3×3, 64"] * 2, []),
        ("112", ["pool, /2", *["3×3, 128"] * 2], ["7×7, 64, /2"]),
        ("56", ["pool, /2", *["3×3, 256"] * 4], ["pool, /2", *deep[64]]),
        ("28", ["pool, /2", *["3×3, 512"] * 4], deep[128]),
        ("14", ["pool, /2", *["3×3, 512"] * 4], deep[256]),
        ("7", ["pool, /2"], deep[512]),
        ("1", ["fc, 4096", "fc, 4096", "fc, 1000"], ["average pool", "fc, 1000"]),
    )
    nets = ((220.0, "VGG-19", GREEN, None), (480.0, "plain-34", VERMILION, "7 4"), (730.0, "ResNet-34", BLUE, None))
    parts = [text(x, 78, name, size=18, anchor="middle", font_weight=600) for x, name, _, _ in nets]
    parts += [text(30, 98, "pixels", size=SIZE, fill=SOFT)]
    y, row = 112.0, 24.0
    convolutions: list[float] = []  # where the 3×3 layers of the deep nets are
    for size, vgg, thin in bands:
        parts += [path([(30, y - 6), (870, y - 6)], stroke=LINE), text(30, y + 15, size, size=SIZE, fill=SOFT)]
        for (x, _, colour, dash), layers in zip(nets, (vgg, thin, thin), strict=True):
            for place, words in enumerate(layers):
                top, pool = y + row * place, words.startswith(("pool", "average"))
                edge = {"stroke": GREY if pool else colour, "stroke_dasharray": None if pool else dash}
                parts.append(box(x - 75, top, 150, row - 4, rx=4, fill=PAPER, stroke_width=1 if pool else 2, **edge))
                parts.append(text(x, top + 15.5, words, size=SIZE, anchor="middle", fill=SOFT if pool else INK))
        convolutions += [y + row * place for place, words in enumerate(thin) if words.startswith("3×3")]
        y += row * max(len(vgg), len(thin)) + 12
    for number, top in enumerate(convolutions[::2]):
        start, end, side = top + 3, top + 2 * row - 8, 807.0
        arch = [(side, start), (side + 24, start), (side + 24, end), (side, end)]
        parts.append(arrow(arch, stroke=BLUE, stroke_width=2, stroke_dasharray="2 3" if number in (3, 7, 13) else None))
    legend = "solid arch: identity; dotted: the shape changes"
    alt = (
        "Three columns of layers, aligned by the width of the feature maps: 224, 112, 56, 28, 14, 7 and 1 pixels. "
        "VGG-19 has 16 3×3 convolutions of 64 to 512 channels with max-pools between, and three fully connected "
        "layers. Plain-34 and ResNet-34 have the same layers: a 7×7 convolution, a max-pool, 32 3×3 convolutions (6 of "
        "64 channels, 8 of 128, 12 of 256, 6 of 512), an average pool and one fully connected layer. ResNet-34 also "
        "has 16 shortcuts, one around each pair of convolutions; three of them change the shape."
    )
    parts.append(text(870, y + 22, legend, size=SIZE, anchor="end", fill=SOFT))
    return _still("ResNet-34 is plain-34 with shortcuts", alt, ceil(y) + 36, *parts)


# Paths


def paths_figure(blocks: int = 3) -> Still:
    """Residual blocks, and all paths through them, sorted by how many branches they take (Veit et al. 2016)."""
    require_choice("blocks", blocks, (2, 3, 4))
    xs = [290.0 + (180 if blocks < 4 else 130) * block for block in range(blocks)]
    parts = [*_chain(xs, 96, [True] * blocks, shortcuts=True), text(30, 102, "the net", size=SIZE, font_weight=600)]
    y = 178.0
    parts.append(text(30, y - 18, "its paths", size=SIZE, font_weight=600))
    said = []
    for length in range(blocks + 1):
        chosen = list(combinations(range(blocks), length))
        words = f"{len(chosen)} of {length} branch{'es' * (length != 1)}"
        said.append(words)
        parts.append(text(30, y + 20 + 20 * (len(chosen) - 1), words, size=SIZE))
        for taken in chosen:
            parts += _chain(xs, y + 14, [block in taken for block in range(blocks)])
            y += 40
        y += 10
    total = 2**blocks
    alt = (
        f"Each of the {blocks} blocks adds its branch f to what comes by the shortcut. Multiplied out there "
        f"are {total} paths: {', '.join(said)}. Without one block {total // 2} paths remain."
    )
    many = {2: "Two", 3: "Three", 4: "Four"}[blocks]
    title = f"{many} residual blocks make {total} paths: each block is taken or passed by"
    return _still(title, alt, ceil(y) + 16, *parts)


def _chain(xs: Sequence[float], y: float, taken: Sequence[bool], shortcuts: bool = False) -> list[str]:
    """A line through the blocks that are taken and past the others; with `shortcuts` both ways at every block."""
    style = {"stroke": BLUE, "stroke_width": 3}
    left, right = xs[0] - 70, xs[-1] + 150
    parts = [text(left - 8, y + 6, "x", size=SIZE, anchor="end")]
    parts.append(arrow([(left, y), (right, y)], **style))
    for number, (x, takes) in enumerate(zip(xs, taken, strict=True), start=1):
        if shortcuts:
            parts.append(path([(x - 24, y), (x - 24, y - 36), (x + 86, y - 36), (x + 86, y - 12)], **style))
            parts.append(plus(x + 86, y, 12, 18))
        if takes:
            parts.append(labelled(x, y - 15, 62, 30, f"f{number}", SIZE, fill=ORANGE))
    return parts


# Gradients along a line


def line_figure(gradients: Mapping[str, Sequence[float]], *, title: str = "", source: str = "live") -> Still:
    """The gradient at inputs along a line, a panel for each net: {"plain-8": [0.2, …], "plain-56": […], …}.

    Each is drawn on its own scale, from -3 to 3 standard deviations, as the shape counts and not the size; what is
    written beside it is the correlation of neighbours.
    """
    if not gradients or any(len(values) < 3 or pstdev(values) == 0 for values in gradients.values()):
        raise ValueError("gradients must hold, for each net, at least three values that differ, along a line of inputs")
    title = title or "Along a line of inputs, the gradient of a deep plain net jumps"
    height, parts, said = 128.0, [], []
    for number, (name, values) in enumerate(gradients.items()):
        middle, spread, alike = fmean(values), pstdev(values), neighbours(values)
        scaled = [(value - middle) / spread for value in values]
        top, reach = 62 + (height + 18) * number, max(3.0, ceil(max(map(abs, scaled))))
        axes, style = Axes(190, top, 520, height, (0, len(values) - 1), (-reach, reach)), net_style(name)
        parts.append(box(190, top, 520, height, fill="none", stroke=LINE))
        if abs(middle / spread) <= reach:
            zero = axes.y(-middle / spread)
            parts.append(path([(190, zero), (710, zero)], stroke=SOFT, stroke_dasharray="2 4"))
            parts.append(text(182, zero + 6, "0", anchor="end", size=SIZE, fill=SOFT))
        dash = " ".join(f"{part * 0.7:.1f}" for part in style.dash) or None
        parts.append(axes.curve([*enumerate(scaled)], stroke=style.colour, stroke_width=2.2, stroke_dasharray=dash))
        parts.append(text(30, top + height / 2 + 6, name, size=18, font_weight=600))
        parts.append(text(724, top + height / 2 - 4, "neighbours correlate", size=SIZE, fill=SOFT))
        parts.append(text(724, top + height / 2 + 22, f"{alike:.2f}", size=18))
        size = 10.0 ** round(log10(spread))
        said.append(f"{name}: neighbours correlate {alike:.2f}, spread about {size:g}")
    bottom = 62 + (height + 18) * len(gradients)
    parts.append(text(450, bottom + 10, "inputs along a line, one end to the other", size=SIZE, anchor="middle"))
    parts.append(text(870, bottom + 10, source, size=SIZE, anchor="end", fill=SOFT, font_style="italic"))
    places = len(next(iter(gradients.values())))
    alt = f"The gradient at {places} inputs along a line ({source}), each net on its own scale. {'; '.join(said)}."
    return _still(title, alt, ceil(bottom) + 26, *parts)


def neighbours(values: Sequence[float]) -> float:
    """The correlation of each value with the next."""
    middle = fmean(values)
    apart = [value - middle for value in values]
    return sum(one * other for one, other in pairwise(apart)) / sum(one * one for one in apart)
