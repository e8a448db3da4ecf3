"""LandscapeExplorer: two slices of the loss around trained nets, side by side."""

import math
from dataclasses import dataclass
from functools import lru_cache

from resnet_lib.experiments.measured import load_grid
from resnet_lib.widgets.explorer import Control, Explorer
from resnet_lib.widgets.svg import BLUE, INK, SOFT, VERMILION, Axes, box, path, picture, text

TITLE = "The loss around a trained net: a slice"
HEIGHT = 560
SHADES = ("#f7fbff", "#d6e6f4", "#abd0e6", "#6aaed6", "#3787c0", "#105ba4", "#08306b")  # light: low loss
LOSSES = (0.2, 1000.0)  # of the shades and of the profile, the same for all nets


@dataclass(frozen=True)
class Landscape:
    """Loss at each place; `row` and `column` are the cursor."""

    depth: int
    axis: tuple[float, ...]
    residual: tuple[tuple[float | None, ...], ...]
    plain: tuple[tuple[float | None, ...], ...]
    row: float
    column: float


@lru_cache(512)
def compute(depth: int, row: float, column: float) -> Landscape:
    grid = load_grid("landscapes")
    residual, plain = grid[f"residual-{depth}"], grid[f"plain-{depth}"]
    first, second = (tuple(tuple(line) for line in net["loss"]) for net in (residual, plain))
    return Landscape(depth, tuple(residual["axis"]), first, second, row, column)


def at(result: Landscape, surface: tuple[tuple[float | None, ...], ...]) -> str:
    value = surface[result.axis.index(result.row)][result.axis.index(result.column)]
    return "no number" if value is None else f"{value:.3g}"


def describe(result: Landscape) -> str:
    return (
        f"Loss at ({result.row:g}, {result.column:g}) of the way along two random directions (recorded): "
        f"residual-{result.depth} {at(result, result.residual)}, plain-{result.depth} {at(result, result.plain)}. "
        "The nets themselves are at (0, 0). These are two of many thousand directions: other slices look different."
    )


def draw(result: Landscape) -> str:
    parts = [text(30, 30, TITLE, size=18, font_weight=600)]
    nets = (
        (f"residual-{result.depth}", result.residual, BLUE, None),
        (f"plain-{result.depth}", result.plain, VERMILION, "7 4"),
    )
    profile = Axes(640, 110, 230, 290, (result.axis[0], result.axis[-1]), LOSSES, log_y=True)
    ticks = {result.axis[0]: f"{result.axis[0]:g}", 0.0: "0", result.axis[-1]: f"{result.axis[-1]:g}"}
    losses = {value: f"{value:g}" for value in (0.2, 1.0, 10.0, 100.0, 1000.0)}
    parts.append(profile.frame(ticks, losses, "first direction", "loss along the cursor (log)"))
    column = result.axis.index(result.column)
    for number, (name, surface, colour, dash) in enumerate(nets):
        parts += _map(result, name, surface, 30 + 290 * number)
        line = [(x, row[column]) for x, row in zip(result.axis, surface, strict=True)]
        points = [(x, loss) for x, loss in line if loss is not None and loss <= LOSSES[1]]  # beyond, the curve ends
        parts.append(profile.curve(points, stroke=colour, stroke_width=3, stroke_dasharray=dash))
        y = 468 + 24 * number
        parts += [
            path([(640, y), (670, y)], stroke=colour, stroke_width=3, stroke_dasharray=dash),
            text(678, y + 5, name),
        ]
    x = profile.x(result.row)
    parts.append(path([(x, 110), (x, 400)], stroke=SOFT, stroke_dasharray="2 4", stroke_width=2))
    return picture(TITLE, describe(result), HEIGHT, *parts, *_key())


def _map(result: Landscape, name: str, surface: tuple[tuple[float | None, ...], ...], left: float) -> list[str]:
    """A square for each measured place, darker where the loss is higher; what is no number is darkest."""
    side, top = 270 / len(result.axis), 110.0
    parts = [
        text(left, 76, name, size=16, font_weight=600),
        text(left, 98, f"loss at the cursor: {at(result, surface)}"),
    ]
    for row, losses in enumerate(surface):
        for column, loss in enumerate(losses):
            x, y = left + side * row, top + side * (len(losses) - 1 - column)
            cursor = f"row:{result.axis[row]:g};column:{result.axis[column]:g}"
            parts.append(box(x, y, side + 0.3, side + 0.3, fill=SHADES[shade(loss)], data_set=cursor))
    middle = (len(result.axis) - 0.5 - result.axis.index(result.column)) * side + top
    x = left + (result.axis.index(result.row) + 0.5) * side
    for colour, width in (("#ffffff", 5), ("#000000", 2)):
        style = {"stroke": colour, "stroke_width": width, "pointer_events": "none"}
        parts += [path([(x - 10, middle), (x + 10, middle)], **style)]
        parts += [path([(x, middle - 10), (x, middle + 10)], **style)]
    return [*parts, text(left + 135, 402, "first direction →, second ↑", anchor="middle", fill=SOFT)]


def shade(loss: float | None) -> int:
    """0 (low) to 6 (high, and whatever is no number)."""
    if loss is None:
        return len(SHADES) - 1
    low, high = map(math.log, LOSSES)
    share = (math.log(min(max(loss, LOSSES[0]), LOSSES[1])) - low) / (high - low)
    return min(int(share * len(SHADES)), len(SHADES) - 1)


def _key() -> list[str]:
    low, high = map(math.log, LOSSES)
    parts = [text(30, 458, "loss (log steps, the same for all nets)", fill=SOFT)]
    for index, colour in enumerate(SHADES):
        parts.append(box(30 + 74 * index, 470, 74, 24, fill=colour, stroke=INK))
        start = math.exp(low + (high - low) * index / len(SHADES))
        parts.append(text(30 + 74 * index, 514, f"{float(f'{start:.2g}'):g}"))
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
        controls = (
            Control("depth", "depth", "radio", (20, 56)),
            Control("row", "first direction", "slider", axis),
            Control("column", "second direction", "slider", axis),
        )
        super().__init__(controls, depth=depth, row=row, column=column)
