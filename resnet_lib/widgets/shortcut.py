"""ShortcutExplorer: what stands beside a residual branch, which channels it carries, and when the addition fails."""

import textwrap
from dataclasses import dataclass

import torch
from torch import nn

from resnet_lib.models.blocks import BasicBlock
from resnet_lib.models.shortcuts import IdentityShortcut, ProjectionShortcut, ZeroPadShortcut, fitting_shortcuts
from resnet_lib.probes.costs import count_macs, count_parameters
from resnet_lib.widgets.explorer import Control, Explorer
from resnet_lib.widgets.style import BLUE, INK, LINE, PAPER, SOFT, VERMILION
from resnet_lib.widgets.svg import arrow, box, labelled, paragraph, path, picture, plus, text, times

TITLE = "A block and its shortcut"
HEIGHT = 530
CHANNELS = (2, 4, 8, 16, 64, 128, 256)
SIZES = (7, 14, 28, 56)
OPTIONS = ("identity", "zero-pad", "projection")
MIXED = -1  # an output channel that mixes all input channels
MOST = 16  # channels that are drawn one by one


@dataclass(frozen=True)
class Shortcut:
    """What running the real modules showed; parameters and multiply-adds are of the shortcut and of the whole block."""

    in_channels: int
    out_channels: int
    stride: int
    size: int
    option: str
    branch: tuple[int, ...]  # (C, H, W) at the end of the residual branch
    arriving: tuple[int, ...]  # (C, H, W) at the end of the shortcut
    carries: tuple[int | None, ...]  # for each channel of the shortcut: its input channel, MIXED, or None for zeros
    parameters: tuple[int, int]
    macs: tuple[int, int]
    error: str | None
    fixes: tuple[str, ...]


def compute(in_channels: int, out_channels: int, stride: int, size: int, option: str) -> Shortcut:
    """Build the block and send an image through it; what fails is kept as the message that a learner would see."""
    error = None
    shortcut: nn.Module
    try:
        shortcut = make(in_channels, out_channels, stride, option)
    except ValueError as problem:
        error, shortcut = str(problem), IdentityShortcut()
    carries = _carries(shortcut, in_channels)
    with torch.device("meta"):  # shapes and counts need no numbers
        block = BasicBlock(in_channels, out_channels, stride=stride, shortcut=shortcut).eval().to("meta")
        x = torch.empty(1, in_channels, size, size)
    # The whole block can be counted only where it fits.
    layers = nn.Sequential(block.conv1, block.bn1, block.conv2, block.bn2)
    own, in_branch = (count_macs(module, (in_channels, size, size)) for module in (shortcut, layers))
    branch, arriving = block.residual(x), block.downsample(x)  # type: ignore[misc]
    try:
        block.add(branch, arriving)
    except ValueError as problem:
        error = error or str(problem)
    return Shortcut(
        in_channels, out_channels, stride, size, option,
        branch=tuple(branch.shape[1:]),
        arriving=tuple(arriving.shape[1:]),
        carries=carries,
        parameters=(count_parameters(shortcut), count_parameters(block)),
        macs=(own, own + in_branch),
        error=error,
        fixes=tuple(fitting_shortcuts(in_channels, out_channels, stride)) if error else (),
    )  # fmt: skip


def make(in_channels: int, out_channels: int, stride: int, option: str) -> nn.Module:
    if option == "identity":
        return IdentityShortcut()  # without arguments it promises nothing, so the addition has to find out
    kind = {"zero-pad": ZeroPadShortcut, "projection": ProjectionShortcut}[option]
    return kind(in_channels, out_channels, stride)


def _carries(shortcut: nn.Module, in_channels: int) -> tuple[int | None, ...]:
    """Send one channel at a time through the shortcut and look where it comes out."""
    with torch.no_grad():
        seen = shortcut(torch.eye(in_channels)[:, :, None, None]).flatten(1) != 0  # [input, output]
    sources = [column.nonzero().flatten().tolist() for column in seen.T]
    return tuple(None if not found else found[0] if len(found) == 1 else MIXED for found in sources)


def describe(result: Shortcut) -> str:
    """One sentence: what met at the addition, what it cost."""
    start = f"{result.option} shortcut, {result.in_channels} → {result.out_channels} channels at stride {result.stride}"
    if result.error:
        return f"{start}: ✗ does not fit: {result.error.removesuffix('.')}."
    (own, whole), (work, all_work) = result.parameters, result.macs
    cost = f"{own:,} of the block's {whole:,} parameters and {work / all_work:.1%} of its multiply-adds"
    return f"{start}: ✓ both branches give {times(result.branch)}. The shortcut has {cost}; {carried(result)}."


def carried(result: Shortcut) -> str:
    copies = sum(source not in (None, MIXED) for source in result.carries)
    zeros, mixed = result.carries.count(None), result.carries.count(MIXED)
    parts = [(copies, "copied"), (mixed, "mixed from all inputs"), (zeros, "all zero")]
    return "of its output channels " + ", ".join(f"{count} are {what}" for count, what in parts if count)


def draw(result: Shortcut) -> str:
    """The block above; below it what the shortcut carries, and what it costs or why it fails."""
    below = _failure(result, result.error) if result.error else _costs(result)
    return picture(TITLE, describe(result), HEIGHT, *_block(result), *_wires(result), *below)


def _block(result: Shortcut) -> list[str]:
    x = (result.in_channels, result.size, result.size)
    main, side, fails = 180.0, 92.0, result.error is not None
    parts = [text(96, main - 22, times(x), anchor="middle"), text(30, main + 5, "x", size=18, font_weight=600)]
    parts += [path([(50, main), (170, main)], stroke_width=3)]
    layers = ((186, 128, f"3×3, stride {result.stride}"), (334, 88, "BN, ReLU"), (442, 88, "3×3, BN"))
    parts += [labelled(left, main - 22, width, 44, words) for left, width, words in layers]
    parts += [path([(x, main), (end, main)], stroke_width=3) for x, end in ((170, 186), (314, 334), (422, 442))]
    parts += [arrow([(530, main), (668, main)], stroke_width=3)]
    parts += [text(598, main + 28, times(result.branch), anchor="middle")]
    parts += [text(186, main + 44, "residual branch F(x)", fill=SOFT)]
    # The shortcut goes above the branch; where it does not fit, its wire ends before the addition.
    colour = VERMILION if fails else BLUE
    style = {"stroke": colour, "stroke_width": 4, "stroke_dasharray": "8 5" if fails else None}
    parts += [path([(170, main), (170, side), (300, side)], **style), path([(410, side), (560, side)], **style)]
    parts += [box(290, side - 20, 120, 40, rx=20, fill=PAPER, stroke=colour, stroke_width=2.5)]
    parts += [text(350, side + 5, result.option, anchor="middle", font_weight=600)]
    parts += [text(520, side - 14, times(result.arriving), anchor="middle")]
    if fails:
        parts += [path([(560, side), (640, side)], **style), text(652, side + 9, "✗", size=30, fill=VERMILION)]
    else:
        parts += [path([(560, side), (684, side), (684, main - 24)], **style)]
        parts += [arrow([(684, main - 30), (684, main - 18)], stroke=colour, stroke_width=4)]
    parts += [plus(684, main, 16, 22)]
    output = "no output" if fails else times(result.branch)
    parts += [path([(700, main), (722, main)], stroke_width=3), arrow([(786, main), (830, main)], stroke_width=3)]
    return [*parts, labelled(722, main - 22, 64, 44, "ReLU"), text(872, main - 22, output, anchor="end")]


def _wires(result: Shortcut) -> list[str]:
    """Input channels above, the shortcut's output channels below, a line for what is carried."""
    top, bottom, left, width = 306.0, 416.0, 60.0, 440.0
    inputs, outputs = shown(result.in_channels), shown(len(result.carries))
    gap = width / max(len(inputs), len(outputs), 8)
    above = {channel: left + (place + 0.5) * gap for place, channel in enumerate(inputs)}
    below = {channel: left + (place + 0.5) * gap for place, channel in enumerate(outputs)}
    many = " (the first and the last 8)" if max(result.in_channels, len(result.carries)) > MOST else ""
    parts = [text(30, top - 32, f"What the shortcut carries{many}", size=15, font_weight=600)]
    lines = []
    cells = [box(place - 8, top - 8, 16, 16, fill=BLUE, stroke=INK) for place in above.values()]
    for channel, place in below.items():
        source = result.carries[channel]
        cells.append(box(place - 8, bottom - 8, 16, 16, fill=PAPER if source is None else BLUE, stroke=INK))
        if source is None:
            cells.append(text(place, bottom + 5, "0", anchor="middle"))
        elif source == MIXED:
            lines += [path([(x, top), (place, bottom)], stroke=SOFT, stroke_width=0.8) for x in above.values()]
        elif source in above:
            lines.append(path([(above[source], top), (place, bottom)], stroke=BLUE, stroke_width=2.5))
    parts += [*lines, *cells, text(left, top - 14, "input channels", fill=SOFT, size=13)]
    return [*parts, text(left, bottom + 28, f"output channels of the shortcut: {times(result.arriving)}", fill=SOFT)]


def shown(channels: int) -> list[int]:
    """The channels that are drawn: all, or the first and the last ones."""
    return [c for c in range(channels) if channels <= MOST or c < MOST // 2 or c >= channels - MOST // 2]


def _costs(result: Shortcut) -> list[str]:
    pixels = f"1 of {result.stride**2}" if result.stride > 1 else "all"
    rows = [
        ("", "shortcut", "whole block"),
        ("parameters", *(f"{count:,}" for count in result.parameters)),
        ("multiply-adds", *(f"{count:,}" for count in result.macs)),
        ("pixels used", pixels, "all"),
    ]
    parts = [text(540, 274, "✓ the shapes agree", size=15, font_weight=600)]
    parts += [path([(540, 312), (870, 312)], stroke=LINE)]
    for row, (name, first, second) in enumerate(rows):
        y = 303 + 30 * row
        parts += [text(540, y, name), text(750, y, first, anchor="end"), text(870, y, second, anchor="end")]
    return parts


def _failure(result: Shortcut, error: str) -> list[str]:
    y = 312 + 20 * len(textwrap.wrap(error, 43))
    parts = [text(540, 274, "✗ ValueError", size=15, font_weight=600), paragraph(540, 300, error, 43)]
    parts += [text(540, y, "What fits:", font_weight=600)]
    return parts + [text(540, y + 22 * row, fix, font_family="monospace") for row, fix in enumerate(result.fixes, 1)]


class ShortcutExplorer(Explorer):
    """Channels, stride, image size and kind of shortcut; every value comes from running the real modules.

    Arguments are the settings at the start: in_channels, out_channels (2 … 256), stride (1, 2), size (pixels),
    option ("identity", "zero-pad", "projection").
    """

    title, height = TITLE, HEIGHT
    compute, draw, describe = staticmethod(compute), staticmethod(draw), staticmethod(describe)

    def __init__(
        self, in_channels: int = 4, out_channels: int = 8, stride: int = 2, size: int = 56, option: str = "zero-pad"
    ):
        super().__init__(
            Control("in_channels", "channels in", "slider", CHANNELS, in_channels),
            Control("out_channels", "channels out", "slider", CHANNELS, out_channels),
            Control("stride", "stride", "radio", (1, 2), stride),
            Control("size", "image size", "menu", SIZES, size),
            Control("option", "shortcut", "radio", OPTIONS, option),
        )
