"""Drawings as SVG text: small pure helpers, no state. The same values give the same characters on every machine.

Colours of text and paper follow JupyterLab's theme where there is one and are dark on white elsewhere (`resolved`).
"""

import base64
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape as escape_html
from itertools import pairwise
from typing import Any

from resnet_lib.widgets.style import DARK, INK, LINE, PAPER, SOFT

FONT = "var(--jp-ui-font-family, system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif)"
WIDTH = 900


def number(value: float) -> str:
    """At most one decimal: a tenth of a pixel is invisible, and all machines agree on it."""
    written = f"{value:.1f}".removesuffix(".0")
    return "0" if written == "-0" else written


def times(numbers: Iterable[int]) -> str:
    """(64, 56, 56) as 64 × 56 × 56."""
    return " × ".join(map(str, numbers))


def escape(words: object) -> str:
    """Text that XML accepts: marks escaped, control characters left out."""
    return escape_html(re.sub(r"[^\t\n\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]", "", str(words)))


def tag(name: str, *children: str, **attributes: object) -> str:
    """An element. stroke_width=2 becomes stroke-width="2"; None leaves an attribute out. Children are SVG, not text."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{number(value) if isinstance(value, float) else escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{''.join(children)}</{name}>" if children else f"<{name}{written}/>"


def picture(title: str, description: str, height: int, *children: str, heading: tuple[int, int] = (30, 18)) -> str:
    """A whole drawing, 900 wide, on its own panel, with `description` in words. The title stands at its head: the
    baseline and the size of the letters are `heading`."""
    y, size = heading
    return tag(
        "svg",
        tag("title", escape(title)),
        tag("desc", escape(description)),
        tag("rect", width=WIDTH, height=height, fill=PAPER),
        text(30, y, title, size=size, font_weight=600),
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {height}",
        width=WIDTH,
        height=height,
        role="img",
        font_family=FONT,
        style="max-width:100%;height:auto;display:block",
    )


def resolved(drawing: str) -> str:
    """The same drawing without CSS variables, for viewers that have no theme: dark on white."""
    return re.sub(r"var\(--[\w-]+, ([^()]*)\)", r"\1", drawing)


def image(kind: str, data: bytes, alt: str) -> dict[str, str]:
    """An output of a cell: a picture ("png", "svg+xml") with what it shows in words."""
    address = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return {"text/html": f'<img alt="{escape(alt)}" width="{WIDTH}" src="{address}">', "text/plain": alt}


def text(x: float, y: float, words: object, *, size: int = 14, anchor: str = "start", **more: object) -> str:
    """One line of text; y is its baseline."""
    placed = {"x": float(x), "y": float(y), "font_size": size, "text_anchor": anchor, "fill": INK}
    return tag("text", escape(words), **{**placed, **more})


def paragraph(x: float, y: float, words: str, characters: int, *, size: int = 14, **more: Any) -> str:
    """Text broken into lines of at most so many characters."""
    lines = textwrap.wrap(words, characters)
    return "".join(text(x, y + index * size * 1.4, line, size=size, **more) for index, line in enumerate(lines))


def second(*parts: str) -> str:
    """What a second result adds to a drawing; without one it stands there empty, so that grids.py finds the place."""
    return f'<g class="second">{"".join(parts)}</g>'


def box(x: float, y: float, width: float, height: float, **more: object) -> str:
    return tag("rect", x=float(x), y=float(y), width=float(width), height=float(height), **more)


def labelled(left: float, top: float, width: float, height: float, words: str, size: int = 14, **more: object) -> str:
    """A box with words in its middle."""
    look = {"rx": 5, "fill": PAPER, "stroke": INK, "stroke_width": 1.5, **more}
    ink, baseline = INK if look["fill"] == PAPER else DARK, top + round(height / 2 + 0.36 * size)
    inside = text(left + width / 2, baseline, words, size=size, anchor="middle", fill=ink)
    return box(left, top, width, height, **look) + inside


def plus(x: float, y: float, radius: int, size: int) -> str:
    """The addition of a residual block."""
    circle = tag("circle", cx=x, cy=y, r=radius, fill=PAPER, stroke=INK, stroke_width=2)
    return circle + text(x, y + size // 3, "+", size=size, anchor="middle")


def key(x: float, y: float, end: float, words: str, gap: int = 8, **style: object) -> str:
    """A piece of a curve from x to `end`, and the name of the curve."""
    return path([(x, y), (end, y)], **style) + text(end + gap, y + 5, words)


def path(points: Iterable[tuple[float, float]], **more: object) -> str:
    """A line through points."""
    written = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    return tag("polyline", points=written, **{"fill": "none", "stroke": INK, "stroke_linejoin": "round", **more})


def arrow(points: Sequence[tuple[float, float]], **more: object) -> str:
    """A line through points that ends in a head."""
    (x0, y0), (x, y) = points[-2:]
    length = math.hypot(x - x0, y - y0) or 1.0
    dx, dy = 9 * (x - x0) / length, 9 * (y - y0) / length
    head = [(x, y), (x - dx - dy / 2, y - dy + dx / 2), (x - dx + dy / 2, y - dy - dx / 2)]
    written = " ".join(f"{number(a)},{number(b)}" for a, b in head)
    colour = more.get("stroke", INK)
    return path([*points[:-1], (x - dx / 2, y - dy / 2)], **more) + tag("polygon", points=written, fill=colour)


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """The positions moved apart, as little as it takes, so that labels of height `gap` do not overlap."""
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    moved = list(positions)
    for _ in range(4 * len(positions)):
        for below, above in pairwise(order):
            overlap = gap - (moved[above] - moved[below])
            if overlap > 1e-9:
                moved[below] -= overlap / 2
                moved[above] += overlap / 2
    return moved


@dataclass(frozen=True)
class Axes:
    """A frame that turns numbers into pixels. Values beyond its range are drawn at its edge."""

    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    log_y: bool = False

    def x(self, value: float) -> float:
        return self.left + self.width * share(value, self.x_range)

    def y(self, value: float) -> float:
        return self.top + self.height * (1 - share(value, self.y_range, math.log if self.log_y else float))

    def frame(self, x_ticks: Mapping[float, str], y_ticks: Mapping[float, str], x_label: str, y_label: str) -> str:
        """Grid lines, tick labels, axis labels. The label of the y axis stands above it, where it is read first."""
        bottom, right = self.top + self.height, self.left + self.width
        parts = [path([(self.left, self.y(y)), (right, self.y(y))], stroke=LINE) for y in y_ticks]
        parts += [text(self.left - 8, self.y(y) + 5, label, anchor="end", fill=SOFT) for y, label in y_ticks.items()]
        parts += [text(self.x(x), bottom + 20, label, anchor="middle", fill=SOFT) for x, label in x_ticks.items()]
        parts += [path([(self.left, self.top), (self.left, bottom), (right, bottom)], stroke=SOFT)]
        parts += [text(self.left + self.width / 2, bottom + 40, x_label, anchor="middle")]
        return "".join(parts) + text(self.left - 40, self.top - 10, y_label)

    def curve(self, points: Iterable[tuple[float, float]], **more: object) -> str:
        return path([(self.x(x), self.y(y)) for x, y in points], **more)


def share(value: float, limits: tuple[float, float], scale: Callable[[float], float] = float) -> float:
    """Where a value lies between the limits: 0 at the first, 1 at the second."""
    low, high = limits
    low, value, high = scale(low), scale(min(max(value, low), high)), scale(high)
    return (value - low) / (high - low)
