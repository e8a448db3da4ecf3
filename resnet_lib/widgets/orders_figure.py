"""The five orders of He et al. 2016, figure 4, side by side: what stands on the branch, what after the addition."""

from resnet_lib.models.orders import ORDERS
from resnet_lib.widgets.explorer import Still
from resnet_lib.widgets.svg import BLUE, INK, ORANGE, PAPER, SKY, SOFT, arrow, box, path, picture, tag, text

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
    words = [_sentence(name) for name in ORDERS]
    parts = [text(30, 30, TITLE, size=18, font_weight=600)]
    for number, name in enumerate(ORDERS):
        parts += _panel(number, name)
    alt = f"{TITLE}. {' '.join(words)}"
    return Still(picture(TITLE, alt, HEIGHT, *parts), alt)


def _sentence(name: str) -> str:
    branch, after = PANELS[name]
    return f"{name}: branch {', '.join(branch)}; after the addition {', '.join(after) or 'nothing'}."


def _panel(number: int, name: str) -> list[str]:
    branch, after = PANELS[name]
    left = 24 + number * WIDE
    line, middle, top = left + 38.0, left + 118.0, 118.0
    first, _, rest = name.partition(" ")
    letter = "abcde"[number]
    parts = [text(left, 62, f"({letter}) {first}", font_weight=600), text(left + 25, 80, rest, font_weight=600)]
    parts += [text(line, 106, "x", size=16, anchor="middle")]
    plus = top + STEP * 6 + 30
    parts += [path([(line, 112), (line, plus - 14)], stroke=BLUE, stroke_width=4)]
    start = plus - 14 - STEP * len(branch)  # the boxes end where the addition is
    parts += [path([(line, 118), (middle, 118), (middle, plus), (line + 14, plus)], stroke=INK, stroke_width=2)]
    parts += [_box(middle, start + STEP * place, label) for place, label in enumerate(branch)]
    parts += [tag("circle", cx=line, cy=plus, r=14, fill=PAPER, stroke=INK, stroke_width=2)]
    parts += [text(line, plus + 6, "+", size=20, anchor="middle")]
    end = plus + 26 + STEP * max(len(after), 1)
    parts += [arrow([(line, plus + 14), (line, end + 16)], stroke=BLUE, stroke_width=4)]
    parts += [_box(line, plus + 26 + STEP * place, label) for place, label in enumerate(after)]
    return [*parts, text(line + 14, plus + 46, "" if after else "nothing", fill=SOFT)]


def _box(middle: float, top: float, label: str) -> str:
    drawn = box(middle - 36, top, 72, 27, rx=4, fill=FILLS[label], stroke=INK, stroke_width=1.5)
    ink = INK if label == "conv" else "#1b1b1b"  # the coloured boxes are light in both themes
    return drawn + text(middle, top + 19, label, anchor="middle", fill=ink)
