"""ArchitectureExplorer: the nets of the papers block by block, each open to view, two nets above one another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import groupby, product

import torch

from resnet_lib.models.blocks import PreActBasicBlock
from resnet_lib.models.resnet import PRESETS, Config, build
from resnet_lib.probes.costs import Cost, CostTable, cost_table
from resnet_lib.widgets.explorer import Control, Explorer, Setting
from resnet_lib.widgets.style import BLUE, GREEN, INK, LINE, ORANGE, PURPLE, SKY, SOFT
from resnet_lib.widgets.svg import path, picture, second, tag, text, times

TITLE = "Architectures, block by block: the taller, the larger the image"
HEIGHT = 660
NETS = ("18", "34", "50", "101", "152", "plain-18", "plain-34")
VERSIONS = ("V1", "V1.5", "V2")
NONE = "none"
WHOLE = "whole net"
FILLS = {"layer1": SKY, "layer2": ORANGE, "layer3": GREEN, "layer4": PURPLE}
COLUMNS: tuple[tuple[str, int, str], ...] = (
    ("layer", 30, "start"),
    ("kind", 170, "start"),
    ("output", 400, "end"),
    ("parameters", 520, "end"),
    ("multiply-adds", 660, "end"),
    ("memory, MB", 770, "end"),
    ("sees, px", 870, "end"),
)
HEIGHTS = {112: 96, 56: 84, 28: 66, 14: 50, 7: 36}  # pixels drawn for the side of a feature map


@dataclass(frozen=True)
class NetView:
    """A net, its layers in order, and what its parts cost."""

    name: str
    table: CostTable

    @cached_property
    def blocks(self) -> dict[str, tuple[Cost, ...]]:
        """The layers of each block: "layer1.0" first."""
        groups = groupby((row for row in self.table.rows if block_of(row)), key=block_of)
        return {name: tuple(rows) for name, rows in groups}

    def rows(self, part: str) -> tuple[Cost, ...]:
        """What is inside a part: stages of the net, blocks of a stage, layers of a block."""
        if part == WHOLE:
            return self.table.stages
        if part in self.blocks:
            return self.blocks[part]
        if part.startswith("layer"):
            blocks = ((name, CostTable(rows)) for name, rows in self.blocks.items() if name.startswith(f"{part}."))
            return tuple(replace(table.total, name=name) for name, table in blocks)
        outside = tuple(row for row in self.table.rows if not block_of(row))
        stem = self.table.rows.index(self.blocks["layer1.0"][0])
        return outside[:stem] if part == "stem" else outside[stem:]


def parts_of(layers: Sequence[int]) -> tuple[str, ...]:
    """What can be opened in a net with so many blocks in each stage."""
    names = [WHOLE, "stem"]
    for stage, blocks in enumerate(layers, start=1):
        names += [f"layer{stage}", *(f"layer{stage}.{block}" for block in range(blocks))]
    return (*names, "head")


def field(view: NetView) -> int:
    """The receptive field of the last feature map."""
    return max(row.receptive_field for rows in view.blocks.values() for row in rows)


def config_of(net: str, version: str) -> Config:
    """The architecture by depth and version. Basic blocks do not know V1 from V1.5; plain nets have one version."""
    if net.startswith("plain"):
        return PRESETS[net.replace("-", "")]
    if version == "V2" and f"resnet{net}v2" in PRESETS:
        return PRESETS[f"resnet{net}v2"]
    preset = PRESETS[f"resnet{net}"]
    if version == "V2":
        return replace(preset, block=PreActBasicBlock)
    return replace(preset, stride_on="1x1" if version == "V1" else "3x3")


@cache
def view(net: str, version: str) -> NetView:
    """Run the net on a tensor without numbers."""
    with torch.device("meta"):
        table = cost_table(build(config_of(net, version)))
    return NetView(net if net.startswith("plain") else f"ResNet-{net} {version}", table)


def block_of(row: Cost) -> str:
    """ "layer1.0" for "layer1.0.conv1", "" for layers outside the stages."""
    return ".".join(row.name.split(".")[:2]) if row.name.startswith("layer") else ""


@dataclass(frozen=True)
class Architectures:
    """One net or two, and the part that is open."""

    net: NetView
    beside: NetView | None
    part: str


def compute(net: str, version: str, beside: str, part: str) -> Architectures:
    """`beside` is the name of a second net with its version, such as "50 V2", or "none"."""
    other, _, its_version = beside.partition(" ")
    return Architectures(view(net, version), None if beside == NONE else view(other, its_version), part)


def total(view: NetView) -> str:
    cost = view.table.total
    return (
        f"{view.name}: {cost.parameters:,} parameters, {cost.macs / 1e9:.2f} G multiply-adds, "
        f"{cost.activation_bytes / 1e6:.0f} MB of activations per image, sees {field(view)} pixels"
    )


def describe(result: Architectures) -> str:
    words = total(result.net)
    if result.part != WHOLE:
        cost = CostTable(result.net.rows(result.part)).total
        work = f"{cost.parameters:,} parameters, {cost.macs / 1e6:,.0f} M multiply-adds"
        words += f". {result.part} outputs {times(cost.shape)}, {work}"
    return f"{words}. Beside it {total(result.beside)}." if result.beside else f"{words}."


def draw(result: Architectures) -> str:
    beside = [text(30, 290, "Choose a net beside it to compare.", fill=SOFT)]
    if result.beside:
        beside = _net(result.beside, 222, WHOLE, clickable=False)
    parts = [*_net(result.net, 52, result.part, clickable=True), second(*beside), *_inside(result)]
    return picture(TITLE, describe(result), HEIGHT, *parts)


def _net(net: NetView, top: float, part: str, *, clickable: bool) -> list[str]:
    """One net: a block is as tall as its image is large, and as wide as there is room."""
    cost = net.table.total
    parts = [text(30, top + 14, net.name, size=16, font_weight=600)]
    figures = f"{cost.parameters / 1e6:.1f} M parameters, {cost.macs / 1e9:.2f} G multiply-adds, sees {field(net)} px"
    parts.append(text(870, top + 14, figures, anchor="end"))
    middle, x, free = top + 74, 100.0, 0.0
    block = min(46.0, 640 / len(net.blocks) - 2)

    def cell(name: str, x: float, width: float, height: float, fill: str) -> None:
        chosen = part != WHOLE and (name == part or name.startswith(f"{part}."))
        look = {"rx": 2, "fill": fill, "stroke": INK, "stroke_width": 4 if chosen else 1}
        click = {"data_set": f"part:{name}"} if clickable else {}
        place = {"x": x, "y": middle - height / 2, "width": width, "height": height}
        parts.append(tag("rect", tag("title", name), **place, **look, **click))
        if name in ("stem", "head"):
            parts.append(text(x + width / 2, middle + 5, name, anchor="middle", pointer_events="none"))

    cell("stem", 30, 58, HEIGHTS[112], LINE)
    for name, rows in net.blocks.items():
        stage = name.split(".")[0]
        if name.endswith(".0"):
            x += 8
            lower = x < free  # the label before it is still going on
            end = net.rows(stage)[-1].shape  # in Keras's V2 only the last block of a stage halves the image
            label = f"{stage}: {end[0]} × {end[-1]}²"
            parts.append(text(x, middle + (82 if lower else 64), label, size=13, fill=SOFT))
            free = max(free, x + 7.5 * len(label)) if not lower else free
        height = HEIGHTS[rows[-1].shape[-1]]
        cell(name, x, block, height, FILLS[stage])
        parts += _shortcut(rows, x, middle - height / 2, block)
        x += block + 2
    cell("head", x + 10, 58, 30, LINE)
    return parts


def _shortcut(rows: Sequence[Cost], x: float, top: float, width: float) -> list[str]:
    """An arch over a residual block: solid for the identity, dotted where the shortcut changes the shape."""
    kinds = [row.kind for row in rows if ".downsample" in row.name]
    if not kinds:
        return []
    left, right, peak = x + width * 0.12, x + width * 0.88, top - 7
    arch = [(left, top), (left, peak + 2), (left + 2, peak), (right - 2, peak), (right, peak + 2), (right, top)]
    return [path(arch, stroke=BLUE, stroke_width=2, stroke_dasharray=None if kinds == ["IdentityShortcut"] else "2 2")]


def _inside(result: Architectures) -> list[str]:
    """A table of what the open part holds."""
    top, rows = 412.0, result.net.rows(result.part)
    many = len(rows) > 8
    shown = (*rows[:4], *rows[-3:]) if many else rows
    parts = [text(30, top, f"Inside {result.net.name}: {result.part}", size=16, font_weight=600)]
    parts += [text(x, top + 28, words, anchor=anchor, fill=SOFT) for words, x, anchor in COLUMNS]
    parts.append(path([(30, top + 36), (870, top + 36)], stroke=LINE))
    for number, row in enumerate(shown):
        y = top + 58 + 24 * (number + (many and number > 3))
        parts += [text(x, y, words, anchor=a) for words, (_, x, a) in zip(_figures(row), COLUMNS, strict=True)]
    if many:
        parts.append(text(30, top + 58 + 24 * 4, f"… {len(rows) - 7} more …", fill=SOFT))
    return parts


def _figures(row: Cost) -> tuple[str, ...]:
    name = row.name.split(".", 2)[-1] if row.name.count(".") > 1 else row.name
    kind = {"sum": "", "Sequential": "", "ZeroPadShortcut": "every 2nd pixel", "IdentityShortcut": "identity"}
    work = (f"{row.parameters:,}", f"{row.macs:,}", f"{row.activation_bytes / 1e6:.2f}", f"{row.receptive_field:,}")
    return (name, kind.get(row.kind, row.kind), times(row.shape), *work)


class ArchitectureExplorer(Explorer):
    """18 to 152 layers, V1, V1.5 and V2, and the plain nets. A click on a block, or the control `part`, opens it.

    Arguments are the settings at the start: net ("18" … "152", "plain-34"), version ("V1", "V1.5", "V2"), beside (a
    second net such as "50 V2", or "none"), part ("whole net", "stem", "layer1", "layer1.0", …, "head").
    """

    title, height = TITLE, HEIGHT
    compute, draw, describe = staticmethod(compute), staticmethod(draw), staticmethod(describe)
    compare = "beside"

    def __init__(self, net: str = "50", version: str = "V1.5", beside: str = NONE, part: str = WHOLE):
        plain = tuple(name for name in NETS if name.startswith("plain"))
        pairs = tuple(f"{name} {v}" for name in NETS if name not in plain for v in VERSIONS)
        super().__init__(
            Control("net", "net", "menu", NETS, net),
            Control("version", "version", "radio", VERSIONS, version),
            Control("beside", "beside it", "menu", (NONE, *pairs, *plain), beside),
            Control("part", "part", "menu", parts_of(PRESETS["resnet152"].layers), part),  # no other net has more
        )

    def settings(self) -> Iterator[Setting]:
        for net, version in product(NETS, VERSIONS):
            for part in parts_of(config_of(net, version).layers):
                yield {"net": net, "version": version, "part": part}
