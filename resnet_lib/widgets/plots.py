"""Plots of record: runs as pictures with a sentence beside them. Drawn with matplotlib, without its global state.

A plot is 900 pixels wide in a notebook, with text of 12 points or more, and says whether its runs were recorded or
live.
"""

import base64
import io
import re
from collections.abc import Mapping, Sequence
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
from resnet_lib.widgets.svg import (
    GREEN,
    GREY,
    KINDS,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    WIDTH,
    escape,
    net_style,
    spread,
)

INCHES, SHARPNESS = WIDTH / 100, 150  # 1,350 pixels shown as 900 stay sharp on a projector
SOURCES = ("live", "recorded", "live and recorded", None)
FONT = 12
OTHERS = (GREEN, PURPLE, GREY, "#A66300")  # for curves that are no nets: colours that mean none of them
SHADES = ("#FFFFFF", "#F0E442", SKY, ORANGE, GREEN, "#999999", PURPLE)  # light enough for black text


Errors = Mapping[tuple[str, int], float]  # (net, seed) -> error as a fraction


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
        data = base64.b64encode(self.png()).decode()
        image = f'<img alt="{escape(self.alt)}" width="{WIDTH}" src="data:image/png;base64,{data}">'
        return {"text/html": image, "text/plain": self.alt}


def plot_curves(
    runs: Mapping[str, History],
    *,
    title: str,
    source: str | None = "live",
    measure: str = "error",
    last: int = 20,
) -> Plot:
    """The error of each run while it trained, named at the curve's end.

    `measure` is "error" (of the training batches, the mean of the `last` ones) or, for runs with epochs, "train_error"
    or "test_error" (eval mode, whole sets). A title is a sentence; `source` says where the runs come from.
    """
    if not runs:
        raise ValueError("there are no runs to plot: pass a dict such as {'plain-8': history}")
    curves = {name: _curve(history, measure, last) for name, history in runs.items()}
    longest = max(15, *(len(f"{name}: 100%") for name in curves))
    figure, axes = _figure(title, source, right=0.95 - 0.0095 * longest)
    ends = [values[-1] for _, values in curves.values()]
    top = min(1.0, 1.08 * max(max(values) for _, values in curves.values()))
    for name, (steps, values) in curves.items():
        axes.plot(steps, values, **_line(name))
    per_epoch = measure != "error"
    axes.set(xlim=(1 if per_epoch else 0, max(steps[-1] for steps, _ in curves.values())), ylim=(0, top))
    _name_ends(axes, {name: (values[-1], f"{name}: {values[-1]:.0%}") for name, (_, values) in curves.items()})
    axes.set_xlabel("epoch" if per_epoch else "training step", fontsize=FONT)
    names = {
        "error": f"error, mean of the last {last} batches",
        "train_error": "training error",
        "test_error": "test error",
    }
    _y_label(axes, names[measure])
    said = "; ".join(f"{name} ends at {end:.0%}" for name, end in zip(curves, ends, strict=True))
    return Plot(figure, f"{sentence(title)} {said_source(source)}{names[measure].capitalize()}: {said}.")


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
    written as percentages.
    `steps`: values that jump. `first`: what the first place is called, 1 for epochs.
    """
    figure, axes = _figure(title, source, right=0.95 - 0.0095 * max(15, *map(len, series)))
    unequal = len({len(values) for values in series.values()}) > 1
    axes.set_yscale("log" if log_y else "linear")
    for number, (name, values) in enumerate(series.items()):
        own = {"color": OTHERS[number], "linestyle": ("-", (0, (4, 2)), (0, (1, 1.5)))[number % 3], "linewidth": 3}
        style = _line(name) if name.startswith(tuple(KINDS)) else own
        x = [place / (len(values) - 1) if unequal else first + place for place in range(len(values))]
        axes.plot(x, values, drawstyle="steps-post" if steps else "default", **style)
    if unequal:
        axes.set_xticks([0, 0.5, 1], places, fontsize=FONT)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0)
    _name_ends(axes, {name: (values[-1], name) for name, values in series.items()})
    axes.set_xlabel(x_label, fontsize=FONT)
    _y_label(axes, y_label + " (log axis)" * log_y, percent=percent)
    written = ".1%" if percent else ".3g"
    said = "; ".join(f"{n} begins at {v[0]:{written}} and ends at {v[-1]:{written}}" for n, v in series.items())
    heading = f"{sentence(title)} {said_source(source)}{y_label[0].upper()}{y_label[1:]}"
    return Plot(figure, f"{heading} by {x_label}: {said}.")


def _name_ends(axes: Axes, ends: Mapping[str, tuple[float, str]]) -> None:
    """A label behind every curve's end, moved apart where they would overlap, with a thin grey leader."""
    axes.get_xlim(), axes.get_ylim()  # so that the limits are settled
    to_share = axes.transData + axes.transAxes.inverted()
    at = [to_share.transform((0, max(value, 1e-300)))[1] for value, _ in ends.values()]
    for (_, label), end, height in zip(ends.values(), at, spread(at, gap=0.066), strict=True):
        axes.annotate(label, (1.05, height), xycoords="axes fraction", va="center", fontsize=FONT)
        leader = ([1.005, 1.02, 1.045], [end, height, height])
        axes.plot(*leader, transform=axes.transAxes, clip_on=False, color="#8a8a8a", linewidth=0.8)


def strip(errors: Errors, *, title: str, source: str | None = "recorded") -> Plot:
    """One dot per run in a column per net, with the mean as a bar. `errors` is {(net, seed): error}."""
    figure, axes = _figure(title, source, right=0.97)
    groups = by_net(errors)
    for column, (name, values) in enumerate(groups.items()):
        style = net_style(name)
        offsets = [0.32 * ((7 * index) % len(values) / len(values) - 0.5) for index in range(len(values))]
        marker = {"marker": "x"} if style.dash else {"marker": "o", "edgecolors": "white", "linewidths": 0.5}
        axes.scatter([column + offset for offset in offsets], values, s=52, color=style.colour, zorder=3, **marker)
        axes.plot([column - 0.28, column + 0.28], [mean(values)] * 2, color="black", lw=2, zorder=4)
        axes.annotate(f"{mean(values):.0%}", (column + 0.3, mean(values)), va="center", fontsize=FONT)
    axes.set_xticks(range(len(groups)), list(groups), fontsize=FONT)
    axes.set(xlim=(-0.5, len(groups) - 0.3), ylim=(0, min(1.0, 1.1 * max(errors.values()))))
    _y_label(axes, "error over the last batches; a bar is the mean")
    return Plot(figure, f"{sentence(title)} {said_source(source)}{ranges(groups)}")


def by_depth(errors: Errors, *, title: str, source: str | None = "recorded", label: str = "training error") -> Plot:
    """Mean error against depth, one line for each kind of net; the bars reach from the best to the worst seed."""
    figure, axes = _figure(title, source)
    groups = by_net(errors)
    kinds: dict[str, dict[int, list[float]]] = {}
    wide = max(errors.values()) > 8 * min(errors.values())
    for name, values in groups.items():
        kind, depth = re.fullmatch(r"(.*?)-(\d+)", name).groups()  # type: ignore[union-attr]
        kinds.setdefault(kind, {})[int(depth)] = values
    for shift, (kind, points) in enumerate(kinds.items()):
        depths, middle = sorted(points), [mean(points[depth]) for depth in sorted(points)]
        reach = [
            [m - min(points[d]) for d, m in zip(depths, middle, strict=True)],
            [max(points[d]) - m for d, m in zip(depths, middle, strict=True)],
        ]
        beside = [depth * 1.02**shift for depth in depths]  # so that bars of two kinds stay apart
        line = _line(f"{kind}-20")
        axes.errorbar(beside, middle, reach, marker="o", capsize=4, elinewidth=1.2, **line)
        once = [place for place, depth in enumerate(depths) if len(points[depth]) == 1]
        at = [beside[place] for place in once], [middle[place] for place in once]
        axes.plot(*at, "o", markerfacecolor="white", markeredgecolor=line["color"], markersize=7, zorder=5)
        label_at = (1.02, middle[-1])
        axes.annotate(
            f"{kind}: {middle[-1]:.0%}", label_at, xycoords=("axes fraction", "data"), fontsize=FONT, va="center"
        )
    every = sorted({depth for points in kinds.values() for depth in points})
    axes.set_xscale("log")
    axes.set_xticks(every, [str(depth) for depth in every], fontsize=FONT)
    axes.set_xticks([], minor=True)
    if wide:
        axes.set_yscale("log")
        ticks = [tick for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1) if 0.7 * min(errors.values()) < tick]
        axes.set_yticks(ticks)
        axes.set_yticks([], minor=True)
    else:
        axes.set_ylim(0, min(1.0, 1.1 * max(errors.values())))
    axes.set_xlabel("layers with weights (log axis)", fontsize=FONT)
    single = any(len(values) == 1 for values in groups.values())
    _y_label(axes, label + " (log axis)" * wide + "; a hollow mark is one run" * single)
    return Plot(figure, f"{sentence(title)} {said_source(source)}{ranges(groups)}")


def stacked(parts: Mapping[str, Mapping[str, float]], *, title: str, label: str) -> Plot:
    """One bar for each net, made of named parts: {"VGG-19": {"224": 1.9, …}, …}. Parts of one name look the same.

    `label` says what the numbers and the names are.
    """
    figure, axes = _figure(title, None, right=0.97)
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
    figure.subplots_adjust(left=0.12)
    figure.text(0.012, 0.845, label, fontsize=FONT)
    said = "; ".join(
        f"{net} {sum(of_net.values()):.1f} ({', '.join(f'{n}: {v:.1f}' for n, v in of_net.items())})"
        for net, of_net in parts.items()
    )
    return Plot(figure, f"{sentence(title)} {label}: {said}.")


def pictures(maps: Sequence[Any], *, title: str, labels: Sequence[str], over: Sequence[Any] | None = None) -> Plot:
    """Arrays (H, W) side by side, dark where they are large; `over` are pictures (H, W) that maps in [0, 1] colour."""
    height = 0.9 + 0.95 * INCHES / max(len(maps), 3)
    figure = Figure(figsize=(INCHES, height), facecolor="white")
    figure.text(0.012, 1 - 0.35 / height, title, fontsize=15, fontweight="bold")
    for number, (values, label) in enumerate(zip(maps, labels, strict=True)):
        axes = figure.add_subplot(1, max(len(maps), 3), number + 1)
        if over is None:
            axes.imshow(values, cmap="magma_r")
        else:  # the picture in grey, and colour where the map is large
            axes.imshow(over[number], cmap="gray_r")
            axes.imshow([[(*to_rgb(VERMILION), 0.75 * float(value)) for value in row] for row in values])
        axes.set_title(label, fontsize=FONT, pad=4)
        axes.set(xticks=[], yticks=[])
    figure.subplots_adjust(0.012, 0.03, 0.988, 1 - 0.85 / height, wspace=0.08)
    return Plot(figure, f"{sentence(title)} From left to right: {'; '.join(labels)}.".replace("\n", ", "))


def image_grid(images: ImageSet, *, title: str, count: int = 20, labels: Sequence[str] | None = None) -> Plot:
    """The first images, ten in a row, each under its label (or under `labels`)."""
    columns = min(count, 10)
    rows = -(-count // columns)
    height = 0.6 + 1.35 * rows
    figure = Figure(figsize=(INCHES, height), facecolor="white")
    figure.text(0.012, 1 - 0.35 / height, title, fontsize=15, fontweight="bold")
    names = list(labels) if labels is not None else [images.classes[int(label)] for label in images.labels[:count]]
    for index in range(count):
        axes = figure.add_subplot(rows, columns, index + 1)
        picture = images.images[index].permute(1, 2, 0).numpy()
        low, high = float(picture.min()), float(picture.max())
        axes.imshow((picture - low) / max(high - low, 1e-9), cmap="gray")
        axes.set_title(names[index], fontsize=FONT, pad=4)
        axes.axis("off")
    figure.subplots_adjust(0.012, 0.01, 0.988, 1 - 0.85 / height, wspace=0.16, hspace=0.36)
    return Plot(figure, f"{sentence(title)} In reading order: {', '.join(names)}.")


# The numbers and the words of runs


def _curve(history: History, measure: str, last: int) -> tuple[list[float], list[float]]:
    """Steps (or epochs) and values of one run."""
    require_choice("measure", measure, ("error", "train_error", "test_error"))
    if measure != "error":
        if not history.epochs:
            raise ValueError(f"measure={measure!r} needs a run with epochs: train with test_data, or plot 'error'")
        return [float(record.epoch) for record in history.epochs], [getattr(r, measure) for r in history.epochs]
    if not history.error:
        raise ValueError("the history is empty: train first")
    total = history.epochs[-1].step if history.epochs else len(history)  # a recorded curve was thinned
    values = [mean(history.error[max(0, end - last) : end]) for end in range(1, len(history) + 1)]
    return [total * (index + 1) / len(values) for index in range(len(values))], values


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
    parts = [f"{name} {mean(v):.0%}{_reach(v)}" for name, v in groups.items()]
    return f"Mean error: {'; '.join(parts)}."


def _reach(values: Sequence[float]) -> str:
    return f" ({min(values):.0%} to {max(values):.0%}, {len(values)} runs)" if len(values) > 1 else " (one run)"


def sentence(title: str) -> str:
    """A title with its full stop."""
    return title if title.endswith((".", "?")) else f"{title}."


def said_source(source: str | None) -> str:
    """Where the runs of a plot come from, in words."""
    return {"live": "Live runs. ", "recorded": "Recorded runs. ", None: ""}.get(source, "Live and recorded runs. ")


# Figures


def _figure(title: str, source: str | None, right: float = 0.78) -> tuple[Figure, Axes]:
    require_choice("source", source, SOURCES)
    figure = Figure(figsize=(INCHES, 4.4), facecolor="white")
    axes = figure.subplots()
    figure.subplots_adjust(left=0.085, right=right, top=0.80, bottom=0.14)
    figure.text(0.012, 0.93, title, fontsize=15, fontweight="bold")
    if source:
        figure.text(0.988, 0.025, source, fontsize=FONT, ha="right", color="#595959", style="italic")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd")
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=FONT)
    return figure, axes


def _y_label(axes: Axes, label: str, percent: bool = True) -> None:
    """The label stands above the axis, where it is read first and upright; `percent` writes fractions so."""
    if percent:
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
    axes.figure.text(0.012, 0.845, label, fontsize=FONT)


def _line(name: str) -> dict[str, Any]:
    style = net_style(name)
    dash = (0, tuple(part / style.width for part in style.dash)) if style.dash else "-"  # matplotlib counts in widths
    return {"color": style.colour, "linestyle": dash, "linewidth": 0.75 * style.width}
