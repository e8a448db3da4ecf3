"""Plots of record: runs as pictures with a sentence beside them. Drawn with matplotlib, without its global state.

A plot is 900 pixels wide in a notebook, with text of 12 points or more, and says whether its runs were recorded or
live.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from resnet_lib.arguments import require_choice
from resnet_lib.data.images import ImageSet
from resnet_lib.training.history import History
from resnet_lib.widgets.style import BROWN, GREEN, GREY, KINDS, ORANGE, PURPLE, SKY, VERMILION, net_style
from resnet_lib.widgets.svg import WIDTH, image, spread

INCHES, SHARPNESS = WIDTH / 100, 150  # 1,350 pixels shown as 900 stay sharp on a projector
SOURCES = ("live", "recorded", "live and recorded", None)
FONT = 12
OTHERS = (GREEN, PURPLE, GREY, BROWN)  # for curves that are no nets: colours that mean none of them
SHADES = ("#FFFFFF", "#F0E442", SKY, ORANGE, GREEN, "#999999", PURPLE)  # light enough for black text

Errors = Mapping[tuple[str, int], float]  # (net, seed) -> error as a fraction
Curve = tuple[Sequence[float], Sequence[float]]  # x, y


@dataclass(frozen=True)
class Plot:
    """A figure and what it shows, in words. As the last line of a cell it shows itself."""

    figure: Figure
    alt: str

    def png(self) -> bytes:
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=SHARPNESS)
        return buffer.getvalue()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return image("png", self.png(), self.alt)


# Curves


def plot_curves(runs: Mapping[str, History], *, title: str, source: str | None = "live") -> Plot:
    """The error of each run while it trained, the mean of the last 20 batches, named at the curve's end.

    A title is a sentence; `source` says where the runs come from.
    """
    if not runs or not all(run.error for run in runs.values()):
        raise ValueError("there are no runs to plot: pass a dict such as {'plain-8': history} of trained nets")
    label = "error, mean of the last 20 batches"
    curves = {name: _smooth(history) for name, history in runs.items()}
    ends = {name: errors[-1] for name, (_, errors) in curves.items()}
    figure, axes = _figure(title, source, [f"{name}: 100%" for name in curves])
    top = min(1.0, 1.08 * max(max(errors) for _, errors in curves.values()))
    axes.set(xlim=(0, max(steps[-1] for steps, _ in curves.values())), ylim=(0, top))
    _draw(axes, curves, [f"{name}: {end:.0%}" for name, end in ends.items()])
    _labels(axes, "training step", label)
    said = "; ".join(f"{name} ends at {end:.0%}" for name, end in ends.items())
    return Plot(figure, f"{_words(title, source)}{label.capitalize()}: {said}.")


def _smooth(history: History) -> Curve:
    total = history.epochs[-1].step if history.epochs else len(history)  # a recorded curve was thinned
    values = [mean(history.error[max(0, end - 20) : end]) for end in range(1, len(history) + 1)]
    return [total * (index + 1) / len(values) for index in range(len(values))], values


def lines(
    series: Mapping[str, Sequence[float]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log_y: bool = False,
    percent: bool = False,
    steps: bool = False,
    first: int = 0,
    places: Sequence[str] = ("first", "middle", "last"),
    source: str | None = None,
) -> Plot:
    """Numbers in a row as curves, each named at its end: {"broken": [0.01, 0.01, …], …}.

    Rows of unequal length are drawn from the first to the last of each, with `places` for names. `percent`: fractions,
    written as percentages. `steps`: values that jump. `first`: what the first place is called, 1 for epochs.
    """
    figure, axes = _figure(title, source, series)
    axes.set_yscale("log" if log_y else "linear")
    axes.margins(x=0)
    if len({len(values) for values in series.values()}) > 1:
        curves: dict[str, Curve] = {
            n: ([place / (len(v) - 1) for place in range(len(v))], v) for n, v in series.items()
        }
        axes.set_xticks([0, 0.5, 1], places, fontsize=FONT)
    else:
        curves = {n: ([*range(first, first + len(v))], v) for n, v in series.items()}
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _draw(axes, curves, list(series), drawstyle="steps-post" if steps else "default")
    _labels(axes, x_label, y_label + " (log axis)" * log_y, percent=percent)
    written = ".1%" if percent else ".3g"
    said = "; ".join(f"{n} begins at {v[0]:{written}} and ends at {v[-1]:{written}}" for n, v in series.items())
    return Plot(figure, f"{_words(title, source)}{y_label[0].upper()}{y_label[1:]} by {x_label}: {said}.")


def _draw(axes: Axes, curves: Mapping[str, Curve], labels: Sequence[str], **more: Any) -> None:
    """Curves with labels behind their ends, moved apart where they would overlap, with thin grey leaders."""
    for number, (name, (x, y)) in enumerate(curves.items()):
        dash = ("-", (0, (4, 2)), (0, (1, 1.5)))[number % 3]
        other = {"color": OTHERS[number % len(OTHERS)], "linestyle": dash, "linewidth": 3}
        axes.plot(x, y, **(_line(name) if name.startswith(tuple(KINDS)) else other), **more)
    axes.get_xlim(), axes.get_ylim()  # so that the limits are settled
    to_share = axes.transData + axes.transAxes.inverted()
    ends = [to_share.transform((0, max(y[-1], 1e-300)))[1] for _, y in curves.values()]
    for label, end, height in zip(labels, ends, spread(ends, gap=0.066), strict=True):
        axes.annotate(label, (1.05, height), xycoords="axes fraction", va="center", fontsize=FONT)
        leader = ([1.005, 1.02, 1.045], [end, height, height])
        axes.plot(*leader, transform=axes.transAxes, clip_on=False, color="#8a8a8a", linewidth=0.8)


def _line(name: str) -> dict[str, Any]:
    style = net_style(name)
    dash = (0, tuple(part / style.width for part in style.dash)) if style.dash else "-"  # matplotlib counts in widths
    return {"color": style.colour, "linestyle": dash, "linewidth": 0.75 * style.width}


# Errors of several runs


def strip(errors: Errors, *, title: str, source: str | None = "recorded") -> Plot:
    """One dot per run in a column per net, with the mean as a bar. `errors` is {(net, seed): error}."""
    groups = by_net(errors)
    figure, axes = _figure(title, source)
    figure.subplots_adjust(right=0.97)
    for column, (name, values) in enumerate(groups.items()):
        style, middle = net_style(name), mean(values)
        places = [column + 0.32 * ((7 * index) % len(values) / len(values) - 0.5) for index in range(len(values))]
        marker = {"marker": "x"} if style.dash else {"marker": "o", "edgecolors": "white", "linewidths": 0.5}
        axes.scatter(places, values, s=52, color=style.colour, zorder=3, **marker)
        axes.plot([column - 0.28, column + 0.28], [middle] * 2, color="black", lw=2, zorder=4)
        axes.annotate(f"{middle:.0%}", (column + 0.3, middle), va="center", fontsize=FONT)
    axes.set_xticks(range(len(groups)), list(groups), fontsize=FONT)
    axes.set(xlim=(-0.5, len(groups) - 0.3), ylim=(0, min(1.0, 1.1 * max(errors.values()))))
    _labels(axes, "", "error over the last batches; a bar is the mean")
    return Plot(figure, _words(title, source) + ranges(groups))


def by_depth(errors: Errors, *, title: str, source: str | None = "recorded", label: str = "training error") -> Plot:
    """Mean error against depth, one line for each kind of net; the bars reach from the best to the worst seed."""
    groups = by_net(errors)
    figure, axes = _figure(title, source)
    low, high = min(errors.values()), max(errors.values())
    kinds: dict[str, dict[int, list[float]]] = {}
    for name, values in groups.items():
        kind, _, depth = name.rpartition("-")
        kinds.setdefault(kind, {})[int(depth)] = values
    for shift, (kind, unsorted) in enumerate(kinds.items()):
        points = dict(sorted(unsorted.items()))
        middles = [mean(values) for values in points.values()]
        reach = [[m - min(v), max(v) - m] for m, v in zip(middles, points.values(), strict=True)]
        beside = [depth * 1.02**shift for depth in points]  # so that bars of two kinds stay apart
        line = _line(f"{kind}-20")
        axes.errorbar(beside, middles, [*zip(*reach, strict=True)], marker="o", capsize=4, elinewidth=1.2, **line)
        once = [(x, m) for x, m, v in zip(beside, middles, points.values(), strict=True) if len(v) == 1]
        hollow = {"markerfacecolor": "white", "markeredgecolor": line["color"], "markersize": 7, "zorder": 5}
        axes.plot([x for x, _ in once], [m for _, m in once], "o", **hollow)
        end, where = middles[-1], ("axes fraction", "data")
        axes.annotate(f"{kind}: {end:.0%}", (1.02, end), xycoords=where, fontsize=FONT, va="center")
    depths = sorted({depth for points in kinds.values() for depth in points})
    axes.set_xscale("log")
    axes.set_xticks(depths, [str(depth) for depth in depths], fontsize=FONT)
    axes.set_xticks([], minor=True)
    if wide := high > 8 * low:
        axes.set_yscale("log")
        axes.set_yticks([tick for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1) if 0.7 * low < tick])
        axes.set_yticks([], minor=True)
    else:
        axes.set_ylim(0, min(1.0, 1.1 * high))
    single = any(len(values) == 1 for values in groups.values())
    _labels(
        axes, "layers with weights (log axis)", label + " (log axis)" * wide + "; a hollow mark is one run" * single
    )
    return Plot(figure, _words(title, source) + ranges(groups))


def by_net(errors: Errors) -> dict[str, list[float]]:
    """The errors of all seeds of each net."""
    if not errors:
        raise ValueError("there are no errors to plot: pass a dict such as {('plain-8', 0): 0.23}")
    groups: dict[str, list[float]] = {}
    for (name, _), value in errors.items():
        groups.setdefault(name, []).append(value)
    return groups


def ranges(groups: Mapping[str, Sequence[float]]) -> str:
    """Mean and range of each net, in words."""
    reach = {n: f"{min(v):.0%} to {max(v):.0%}, {len(v)} runs" if len(v) > 1 else "one run" for n, v in groups.items()}
    return f"Mean error: {'; '.join(f'{name} {mean(v):.0%} ({reach[name]})' for name, v in groups.items())}."


# Bars and pictures


def stacked(parts: Mapping[str, Mapping[str, float]], *, title: str, label: str) -> Plot:
    """One bar for each net, made of named parts: {"VGG-19": {"224": 1.9, …}, …}. Parts of one name look the same.

    `label` says what the numbers and the names are.
    """
    figure, axes = _figure(title, None)
    figure.subplots_adjust(left=0.12, right=0.97)
    names = list(dict.fromkeys(name for of_net in parts.values() for name in of_net))
    shades = dict(zip(names, (*SHADES, *SHADES), strict=False))
    widest = max(sum(of_net.values()) for of_net in parts.values())
    for row, of_net in enumerate(parts.values()):
        left = 0.0
        for name, value in of_net.items():
            axes.barh(row, value, left=left, height=0.55, color=shades[name], edgecolor="black", linewidth=0.8)
            if value > 0.01 * len(name) * widest:
                axes.text(left + value / 2, row, name, ha="center", va="center", fontsize=FONT)
            left += value
        axes.annotate(f" {left:.1f}", (left, row), va="center", fontsize=FONT)
    axes.set_yticks(range(len(parts)), list(parts), fontsize=FONT)
    axes.set(xlim=(0, 1.08 * widest))
    axes.invert_yaxis()
    axes.grid(False)
    _labels(axes, "", label, percent=False)
    inside = {net: ", ".join(f"{name}: {value:.1f}" for name, value in of_net.items()) for net, of_net in parts.items()}
    said = "; ".join(f"{net} {sum(of_net.values()):.1f} ({inside[net]})" for net, of_net in parts.items())
    return Plot(figure, f"{_words(title)}{label}: {said}.")


def pictures(maps: Sequence[Any], *, title: str, labels: Sequence[str], over: Sequence[Any] | None = None) -> Plot:
    """Arrays (H, W) side by side, dark where they are large; `over` are pictures (H, W) that maps in [0, 1] colour."""
    columns = max(len(maps), 3)
    figure, tiles = _tiles(title, labels, columns, 0.9 + 0.95 * INCHES / columns, bottom=0.03, wspace=0.08)
    for number, (axes, values) in enumerate(zip(tiles, maps, strict=True)):
        if over is None:
            axes.imshow(values, cmap="magma_r")
        else:  # the picture in grey, and colour where the map is large
            axes.imshow(over[number], cmap="gray_r")
            axes.imshow([[(*to_rgb(VERMILION), 0.75 * float(value)) for value in row] for row in values])
    return Plot(figure, f"{_words(title)}From left to right: {'; '.join(labels)}.".replace("\n", ", "))


def image_grid(images: ImageSet, *, title: str, count: int = 20, labels: Sequence[str] | None = None) -> Plot:
    """The first images, ten in a row, each under its label (or under `labels`)."""
    names = [images.classes[int(label)] for label in images.labels[:count]] if labels is None else labels
    columns = min(count, 10)
    figure, tiles = _tiles(
        title, names, columns, 0.6 + 1.35 * -(-count // columns), bottom=0.01, wspace=0.16, hspace=0.36
    )
    for axes, picture in zip(tiles, images.images, strict=False):
        low, high = float(picture.min()), float(picture.max())
        axes.imshow((picture.permute(1, 2, 0).numpy() - low) / max(high - low, 1e-9), cmap="gray")
        axes.axis("off")
    return Plot(figure, f"{_words(title)}In reading order: {', '.join(names)}.")


# Figures


def _figure(title: str, source: str | None, labels: Iterable[str] | None = None) -> tuple[Figure, Axes]:
    """Axes under a title, with room on the right for the `labels` of curves."""
    require_choice("source", source, SOURCES)
    figure = _titled(title, 4.4, 0.93)
    axes = figure.subplots()
    right = 0.78 if labels is None else 0.95 - 0.0095 * max(15, *map(len, labels))
    figure.subplots_adjust(left=0.085, right=right, top=0.80, bottom=0.14)
    if source:
        figure.text(0.988, 0.025, source, fontsize=FONT, ha="right", color="#595959", style="italic")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd")
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=FONT)
    return figure, axes


def _tiles(
    title: str, labels: Sequence[str], columns: int, height: float, **margins: float
) -> tuple[Figure, list[Axes]]:
    """A frame without ticks for each label, in rows."""
    figure, rows = _titled(title, height, 1 - 0.35 / height), -(-len(labels) // columns)
    figure.subplots_adjust(left=0.012, right=0.988, top=1 - 0.85 / height, **margins)
    tiles = [figure.add_subplot(rows, columns, place) for place in range(1, len(labels) + 1)]
    for axes, label in zip(tiles, labels, strict=True):
        axes.set_title(label, fontsize=FONT, pad=4)
        axes.set(xticks=[], yticks=[])
    return figure, tiles


def _titled(title: str, height: float, y: float) -> Figure:
    figure = Figure(figsize=(INCHES, height), facecolor="white")
    figure.text(0.012, y, title, fontsize=15, fontweight="bold")
    return figure


def _labels(axes: Axes, x_label: str, y_label: str, percent: bool = True) -> None:
    """The y axis has its label above it, where it is read first and upright; `percent` writes fractions so."""
    axes.set_xlabel(x_label, fontsize=FONT)
    axes.figure.text(0.012, 0.845, y_label, fontsize=FONT)
    if percent:
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")


def _words(title: str, source: str | None = None) -> str:
    """How the sentence of a plot begins: its title, and where its runs come from."""
    came_from = f"{source.capitalize()} runs. " if source else ""
    return f"{title}{'' if title.endswith(('.', '?')) else '.'} {came_from}"
