"""LandscapeExplorer: two slices of the loss around trained nets, side by side."""

import math
from dataclasses import dataclass
from typing import Any

from resnet_lib.experiments.measured import load_grid
from resnet_lib.widgets.explorer import Control, Explorer
from resnet_lib.widgets.style import BLUE, INK, SOFT, VERMILION
from resnet_lib.widgets.svg import Axes, box, key, path, picture, share, text

TITLE = "The loss around a trained net: a slice"
HEIGHT = 560
SHADES = ("#f7fbff", "#d6e6f4", "#abd0e6", "#6aaed6", "#3787c0", "#105ba4", "#08306b")  # light: low loss
LOSSES = (0.2, 1000.0)  # of the shades and of the profile, the same for all nets


Surface = tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Landscape:
    """Loss at each place; `row` and `column` are the cursor."""

    depth: int
    axis: tuple[float, ...]
    residual: Surface
    plain: Surface
    row: float
    column: float


def compute(depth: int, row: float, column: float) -> Landscape:
    nets = [load_grid("landscapes")[f"{kind}-{depth}"] for kind in ("residual", "plain")]
    residual, plain = (tuple(map(tuple, net["loss"])) for net in nets)
    return Landscape(depth, tuple(nets[0]["axis"]), residual, plain, row, column)


def at(result: Landscape, surface: Surface) -> str:
    value = surface[result.axis.index(result.row)][result.axis.index(result.column)]
    return "no number" if value is None else f"{value:.3g}"


def describe(result: Landscape) -> str:
    return (
        f"Loss at ({result.row:g}, {result.column:g}) of the way along two random directions (recorded): "
        f"residual-{result.depth} {at(result, result.residual)}, plain-{result.depth} {at(result, result.plain)}. "
        "The nets themselves are at (0, 0). These are two of many thousand directions: other slices look different."
    )


def draw(result: Landscape) -> str:
    axis, column = result.axis, result.axis.index(result.column)
    profile = Axes(640, 110, 230, 290, (axis[0], axis[-1]), LOSSES, log_y=True)
    ticks = {place: f"{place:g}" for place in (axis[0], 0.0, axis[-1])}
    losses = {value: f"{value:g}" for value in (0.2, 1.0, 10.0, 100.0, 1000.0)}
    parts = [profile.frame(ticks, losses, "first direction", "loss along the cursor (log)")]
    nets = (("residual", result.residual, BLUE, None), ("plain", result.plain, VERMILION, "7 4"))
    for number, (kind, surface, colour, dash) in enumerate(nets):
        name = f"{kind}-{result.depth}"
        style: dict[str, Any] = {"stroke": colour, "stroke_width": 3, "stroke_dasharray": dash}
        parts += _map(result, name, surface, 30 + 290 * number)
        line = [(x, row[column]) for x, row in zip(axis, surface, strict=True)]
        points = [(x, loss) for x, loss in line if loss is not None and loss <= LOSSES[1]]  # beyond, the curve ends
        parts += [profile.curve(points, **style), key(640, 468 + 24 * number, 670, name, **style)]
    x = profile.x(result.row)
    parts.append(path([(x, 110), (x, 400)], stroke=SOFT, stroke_dasharray="2 4", stroke_width=2))
    return picture(TITLE, describe(result), HEIGHT, *parts, *_shades())


def _map(result: Landscape, name: str, surface: Surface, left: float) -> list[str]:
    """A square for each measured place, darker where the loss is higher; what is no number is darkest."""
    side, top = 270 / len(result.axis), 110.0
    parts = [text(left, 76, name, size=16, font_weight=600)]
    parts += [text(left, 98, f"loss at the cursor: {at(result, surface)}")]
    for row, losses in enumerate(surface):
        for column, loss in enumerate(losses):
            x, y = left + side * row, top + side * (len(losses) - 1 - column)
            cursor = f"row:{result.axis[row]:g};column:{result.axis[column]:g}"
            parts.append(box(x, y, side + 0.3, side + 0.3, fill=SHADES[shade(loss)], data_set=cursor))
    x = left + (result.axis.index(result.row) + 0.5) * side
    y = top + (len(result.axis) - 0.5 - result.axis.index(result.column)) * side
    for colour, width in (("#ffffff", 5), ("#000000", 2)):
        style = {"stroke": colour, "stroke_width": width, "pointer_events": "none"}
        parts += [path([(x - 10, y), (x + 10, y)], **style), path([(x, y - 10), (x, y + 10)], **style)]
    return [*parts, text(left + 135, 402, "first direction →, second ↑", anchor="middle", fill=SOFT)]


def shade(loss: float | None) -> int:
    """0 (low) to 6 (high, and whatever is no number)."""
    return len(SHADES) - 1 if loss is None else min(int(share(loss, LOSSES, math.log) * len(SHADES)), len(SHADES) - 1)


def _shades() -> list[str]:
    parts = [text(30, 458, "loss (log steps, the same for all nets)", fill=SOFT)]
    low, high = map(math.log, LOSSES)
    for index, colour in enumerate(SHADES):
        x, start = 30 + 74 * index, math.exp(low + (high - low) * index / len(SHADES))
        parts += [box(x, 470, 74, 24, fill=colour, stroke=INK), text(x, 514, f"{float(f'{start:.2g}'):g}")]
    parts.append(text(30 + 74 * len(SHADES), 514, f"{LOSSES[1]:g} and more", fill=SOFT))
    return [*parts, text(30, 542, "eval mode, 500 test images, recorded", fill=SOFT)]


class LandscapeExplorer(Explorer):
    """Move a cursor over the loss around residual and plain nets (filter-normalised directions, Li et al. 2018).

    A click on a map moves the cursor there. Arguments are the settings at the start: depth (20, 56), row and column.
    """

    title, height = TITLE, HEIGHT
    compute, draw, describe = staticmethod(compute), staticmethod(draw), staticmethod(describe)

    def __init__(self, depth: int = 56, row: float = 0.0, column: float = 0.0):
        axis = tuple(load_grid("landscapes")["residual-20"]["axis"])
        super().__init__(
            Control("depth", "depth", "radio", (20, 56), depth),
            Control("row", "first direction", "slider", axis, row),
            Control("column", "second direction", "slider", axis, column),
        )
