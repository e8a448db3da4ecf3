"""The five orders of He et al. 2016, figure 4, side by side: what stands on the branch, what after the addition."""

from resnet_lib.models.orders import ORDERS
from resnet_lib.widgets.explorer import Still
from resnet_lib.widgets.style import BLUE, INK, ORANGE, PAPER, SKY, SOFT
from resnet_lib.widgets.svg import arrow, labelled, path, picture, plus, text

TITLE = "Five orders of the same layers"
HEIGHT = 516
FILLS = {"conv": PAPER, "BN": SKY, "ReLU": ORANGE}
STEP, WIDE = 38, 172
# On the branch; after the addition.
PANELS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "original": (("conv", "BN", "ReLU", "conv", "BN"), ("ReLU",)),
    "BN after addition": (("conv", "BN", "ReLU", "conv"), ("BN", "ReLU")),
    "ReLU before addition": (("conv", "BN", "ReLU", "conv", "BN", "ReLU"), ()),
    "ReLU-only pre-activation": (("ReLU", "conv", "BN", "ReLU", "conv", "BN"), ()),
    "full pre-activation": (("BN", "ReLU", "conv", "BN", "ReLU", "conv"), ()),
}


def orders_figure() -> Still:
    """A drawing for lesson 07."""
    panels = {name: PANELS[name] for name in ORDERS}
    words = [
        f"{name}: branch {', '.join(branch)}; after the addition {', '.join(after) or 'nothing'}."
        for name, (branch, after) in panels.items()
    ]
    alt = f"{TITLE}. {' '.join(words)}"
    parts = [part for number, name in enumerate(panels) for part in _panel(number, name, *panels[name])]
    return Still(picture(TITLE, alt, HEIGHT, *parts), alt)


def _panel(number: int, name: str, branch: tuple[str, ...], after: tuple[str, ...]) -> list[str]:
    left, top = 24 + number * WIDE, 118.0
    line, middle = left + 38.0, left + 118.0
    first, _, rest = name.partition(" ")
    parts = [
        text(left, 62, f"({'abcde'[number]}) {first}", font_weight=600),
        text(left + 25, 80, rest, font_weight=600),
    ]
    parts += [text(line, 106, "x", size=16, anchor="middle")]
    sum_at = top + STEP * 6 + 30
    parts += [path([(line, 112), (line, sum_at - 14)], stroke=BLUE, stroke_width=4)]
    start = sum_at - 14 - STEP * len(branch)  # the boxes end where the addition is
    parts += [path([(line, 118), (middle, 118), (middle, sum_at), (line + 14, sum_at)], stroke=INK, stroke_width=2)]
    parts += [_layer(middle, start + STEP * place, label) for place, label in enumerate(branch)]
    parts += [plus(line, sum_at, 14, 20)]
    end = sum_at + 26 + STEP * max(len(after), 1)
    parts += [arrow([(line, sum_at + 14), (line, end + 16)], stroke=BLUE, stroke_width=4)]
    parts += [_layer(line, sum_at + 26 + STEP * place, label) for place, label in enumerate(after)]
    return [*parts, text(line + 14, sum_at + 46, "" if after else "nothing", fill=SOFT)]


def _layer(middle: float, top: float, label: str) -> str:
    return labelled(middle - 36, top, 72, 27, label, rx=4, fill=FILLS[label])
