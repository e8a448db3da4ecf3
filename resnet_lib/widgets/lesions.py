"""LesionExplorer: take blocks out of trained nets, and see what they still can do."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from resnet_lib.arguments import require_choice
from resnet_lib.experiments.measured import load_grid
from resnet_lib.widgets.explorer import Control, Explorer
from resnet_lib.widgets.svg import BLUE, INK, LINE, PAPER, SOFT, VERMILION, box, path, picture, text

TITLE = "Blocks taken out of trained nets"
HEIGHT = 520
BLOCKS = tuple(f"layer{stage}.{block}" for stage in (1, 2, 3) for block in range(3))


@dataclass(frozen=True)
class Lesion:
    """Test errors (recorded, eval mode). None: this plain net cannot do without a block that changes the shape."""

    deleted: tuple[str, ...]
    residual: float
    plain: float | None
    residual_whole: float
    plain_whole: float
    deep_residual: tuple[float | None, ...]  # 56 layers, each block alone; the whole net first
    deep_plain: tuple[float | None, ...]


@lru_cache(1024)
def compute(**out: bool) -> Lesion:
    """`out` says for each block of the 20-layer nets, as `layer1_0=True`, whether it is taken out."""
    grid = load_grid("lesions")
    residual, plain = grid["residual-20"], grid["plain-20"]
    deleted = tuple(block for block in BLOCKS if out.get(block.replace(".", "_")))
    key = " ".join(deleted)
    return Lesion(
        deleted,
        residual["errors"][key],
        plain["errors"].get(key),
        residual["errors"][""],
        plain["errors"][""],
        tuple(grid["residual-56"]["errors"].values()),
        tuple(grid["plain-56"]["errors"].values()),
    )


def describe(result: Lesion) -> str:
    if not result.deleted:
        whole = f"residual-20 {result.residual_whole:.1%}, plain-20 {result.plain_whole:.1%}"
        return f"Nothing is taken out: test error (recorded) {whole}."
    plain = "cannot: one of them changes the shape" if result.plain is None else f"{result.plain:.1%}"
    out = ", ".join(result.deleted)
    return (
        f"Without {out}: residual-20 {result.residual:.1%} (whole {result.residual_whole:.1%}), "
        f"plain-20 {plain} (whole {result.plain_whole:.1%}). Test error, recorded."
    )


def draw(result: Lesion) -> str:
    parts = [text(30, 30, TITLE, size=18, font_weight=600)]
    for index, block in enumerate(BLOCKS):
        x, gone = 30 + 94 * index, block in result.deleted
        dash = "5 4" if gone else None
        edge, words = (VERMILION, f"✗ {block[5:]}") if gone else (INK, block[5:])
        click = f"{block.replace('.', '_')}:{not gone}"
        outline = {"stroke": edge, "stroke_width": 2, "stroke_dasharray": dash}
        parts.append(box(x, 50, 82, 44, rx=5, fill=PAPER, data_set=click, **outline))
        ink = SOFT if gone else INK
        parts.append(text(x + 41, 77, words, anchor="middle", fill=ink, pointer_events="none"))
    parts += _bars(result)
    parts.append(text(30, 282, "56-layer nets, one block taken out at a time: test error", size=15, font_weight=600))
    parts.append(text(870, 282, "– cannot be taken out", anchor="end", fill=SOFT))
    parts += _deep(result.deep_residual, 384, BLUE, "residual-56")
    parts += _deep(result.deep_plain, 490, VERMILION, "plain-56")
    parts.append(text(870, 514, "recorded", anchor="end", fill=SOFT, font_style="italic"))
    return picture(TITLE, describe(result), HEIGHT, *parts)


def _bars(result: Lesion) -> list[str]:
    parts = []
    rows = (
        ("residual-20", result.residual, result.residual_whole, BLUE),
        ("plain-20", result.plain, result.plain_whole, VERMILION),
    )
    for number, (name, error, whole, colour) in enumerate(rows):
        y = 132 + 56 * number
        parts.append(text(30, y + 20, name, size=15, font_weight=600))
        parts.append(box(150, y, 600, 30, fill="none", stroke=LINE))
        if error is None:
            parts.append(text(162, y + 20, "cannot: nothing stands in for a plain block that changes the shape"))
            continue
        parts.append(box(150, y, max(600 * error, 1), 30, fill=colour, stroke=INK))
        parts.append(path([(150 + 600 * whole, y - 5), (150 + 600 * whole, y + 35)], stroke=INK, stroke_width=3))
        parts.append(text(870, y + 21, f"{error:.1%} error", size=16, anchor="end"))
    parts.append(text(150, 248, "0%  (the thick line: the whole net)", fill=SOFT))
    return [*parts, text(750, 248, "100%", anchor="end", fill=SOFT)]


def _deep(errors: tuple[float | None, ...], bottom: float, colour: str, name: str) -> list[str]:
    """A bar for each of 27 blocks; a dash where a block cannot go."""
    whole, *single = errors
    parts = [text(30, bottom - 46, name), text(30, bottom - 26, f"whole {whole:.1%}", fill=SOFT)]
    for share, label in ((0, "0%"), (1, "100%")):
        parts.append(path([(150, bottom - 80 * share), (870, bottom - 80 * share)], stroke=SOFT if not share else LINE))
        parts.append(text(144, bottom - 80 * share + 5, label, size=13, anchor="end", fill=SOFT))
    worst = max(error for error in single if error is not None)
    for index, error in enumerate(single):
        x = 156 + 26.4 * index
        if index % 9 == 0:
            parts.append(text(x + 9, bottom + 15, f"{index // 9 + 1}.0", size=13, anchor="middle", fill=SOFT))
        if error is None:
            parts.append(text(x + 9, bottom - 4, "–", anchor="middle", fill=SOFT))
            continue
        parts.append(box(x, bottom - 80 * error, 18, max(80 * error, 1), fill=colour, stroke=INK))
        if error == worst and worst < 0.9:
            parts.append(text(x + 22, bottom - 80 * error + 10, f"{error:.0%}", size=13))
    return parts


class LesionExplorer(Explorer):
    """Tick blocks out of residual-20 and plain-20: all 512 subsets were measured on 2,000 test images.

    After Veit et al. 2016. A click on a block takes it out or puts it back. `deleted` are the blocks that are out at
    the start.
    """

    title, height = TITLE, HEIGHT
    compute, draw, describe = staticmethod(compute), staticmethod(draw), staticmethod(describe)

    def __init__(self, deleted: Sequence[str] = ("layer1.1",)):
        for block in deleted:
            require_choice("deleted", block, BLOCKS)
        names = {block: block.replace(".", "_") for block in BLOCKS}
        controls = [Control(name, f"out: {block}", "tick") for block, name in names.items()]
        super().__init__(controls, **{names[block]: True for block in deleted})
