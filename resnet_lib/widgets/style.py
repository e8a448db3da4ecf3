"""Colours, and how a net looks in every figure: plain ones dashed vermilion, residual ones solid blue."""

import math
import re
from dataclasses import dataclass
from typing import Any

# Okabe and Ito's palette. These four stand out from white and from JupyterLab's dark grey (contrast above 3 : 1);
# the other two only fill areas that have an outline.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, ORANGE = "#56B4E9", "#E69F00"
GREY, BROWN = "#6B6B6B", "#A66300"
DARK = "#1b1b1b"  # ink on coloured boxes, which are light in both themes

INK = "var(--jp-ui-font-color0, #1b1b1b)"
SOFT = "var(--jp-ui-font-color2, #595959)"
PAPER = "var(--jp-layout-color0, #ffffff)"
LINE = "var(--jp-border-color1, #bdbdbd)"


@dataclass(frozen=True)
class NetStyle:
    """How a net is drawn in every figure of the course."""

    colour: str
    dash: tuple[float, ...]  # pixels drawn and left out; () is a solid line
    width: float

    def stroke(self) -> dict[str, Any]:
        dashes = " ".join(f"{part:g}" for part in self.dash) or None
        return {"stroke": self.colour, "stroke_width": self.width, "stroke_dasharray": dashes}


KINDS: dict[str, tuple[str, tuple[float, ...]]] = {  # how a name begins -> colour, dash
    "plain": (VERMILION, (7, 4)),
    "res": (BLUE, ()),
    "(a)": (BLUE, ()),  # the orders of He et al. 2016, figure 4
    "(b)": (GREY, (7, 4)),
    "(c)": (PURPLE, (2, 3)),
    "(d)": (GREEN, ()),
    "(e)": (BROWN, (10, 3)),
}
ENDINGS: dict[str, tuple[float, ...]] = {"-B": (7, 3), "-C": (2, 3)}  # shortcut options; A is solid


def net_style(name: str) -> NetStyle:
    """From a name such as "plain-56": the kind gives colour and dash, the depth the weight."""
    depth = re.search(r"\d+", name)
    width = 1 + math.sqrt(int(depth[0]) if depth else 20) / 2.5
    colour, dash = next((KINDS[kind] for kind in KINDS if name.lower().startswith(kind)), (GREEN, ()))
    return NetStyle(colour, ENDINGS.get(name[-2:], dash), width)
