"""LesionExplorer: take blocks out of trained nets, and see what they still can do."""

from collections.abc import Sequence
from dataclasses import dataclass

from resnet_lib.arguments import require_choice
from resnet_lib.experiments.measured import load_grid
from resnet_lib.widgets.explorer import Control, Explorer
from resnet_lib.widgets.style import BLUE, INK, LINE, PAPER, SOFT, VERMILION
from resnet_lib.widgets.svg import box, path, picture, text

TITLE = "Blocks taken out of trained nets"
HEIGHT = 520
BLOCKS = tuple(f"layer{stage}.{block}" for stage in (1, 2, 3) for block in range(3))


@dataclass(frozen=True)
class Lesion:
    """Test errors (recorded, eval mode). None: a plain net cannot do without a block that changes the shape."""

    deleted: tuple[str, ...]
    errors: tuple[float, float | None]  # of residual-20 and plain-20 without these blocks
    whole: tuple[float, float]
    deep: tuple[tuple[float | None, ...], ...]  # of residual-56 and plain-56: the whole net, then without each block


def compute(**out: bool) -> Lesion:
    """`out` says for each block of the 20-layer nets, as `layer1_0=True`, whether it is taken out."""
    errors = {name: net["errors"] for name, net in load_grid("lesions").items()}
    residual, plain = errors["residual-20"], errors["plain-20"]
    deleted = tuple(block for block in BLOCKS if out.get(block.replace(".", "_")))
    left = residual[" ".join(deleted)], plain.get(" ".join(deleted))
    deep = tuple(tuple(errors[name].values()) for name in ("residual-56", "plain-56"))
    return Lesion(deleted, left, (residual[""], plain[""]), deep)


def describe(result: Lesion) -> str:
    (residual, plain), (whole, plain_whole) = result.errors, result.whole
    if not result.deleted:
        return f"Nothing is taken out: test error (recorded) residual-20 {residual:.1%}, plain-20 {plain:.1%}."
    left = "cannot: one of them changes the shape" if plain is None else f"{plain:.1%}"
    return (
        f"Without {', '.join(result.deleted)}: residual-20 {residual:.1%} (whole {whole:.1%}), "
        f"plain-20 {left} (whole {plain_whole:.1%}). Test error, recorded."
    )


def draw(result: Lesion) -> str:
    parts = []
    for index, block in enumerate(BLOCKS):
        x, gone = 30 + 94 * index, block in result.deleted
        edge, ink, words = (VERMILION, SOFT, f"✗ {block[5:]}") if gone else (INK, INK, block[5:])
        outline = {"stroke": edge, "stroke_width": 2, "stroke_dasharray": "5 4" if gone else None}
        click = f"{block.replace('.', '_')}:{not gone}"
        parts.append(box(x, 50, 82, 44, rx=5, fill=PAPER, data_set=click, **outline))
        parts.append(text(x + 41, 77, words, anchor="middle", fill=ink, pointer_events="none"))
    parts += _bars(result)
    parts.append(text(30, 282, "56-layer nets, one block taken out at a time: test error", size=15, font_weight=600))
    parts.append(text(870, 282, "– cannot be taken out", anchor="end", fill=SOFT))
    parts += _deep(result.deep[0], 384, BLUE, "residual-56")
    parts += _deep(result.deep[1], 490, VERMILION, "plain-56")
    parts.append(text(870, 514, "recorded", anchor="end", fill=SOFT, font_style="italic"))
    return picture(TITLE, describe(result), HEIGHT, *parts)


def _bars(result: Lesion) -> list[str]:
    parts = []
    nets = zip(("residual-20", "plain-20"), result.errors, result.whole, (BLUE, VERMILION), strict=True)
    for number, (name, error, whole, colour) in enumerate(nets):
        y = 132 + 56 * number
        parts += [text(30, y + 20, name, size=15, font_weight=600), box(150, y, 600, 30, fill="none", stroke=LINE)]
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
    for share, line in ((0, SOFT), (1, LINE)):
        y = bottom - 80 * share
        parts += [path([(150, y), (870, y)], stroke=line)]
        parts += [text(144, y + 5, f"{share:.0%}", size=13, anchor="end", fill=SOFT)]
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
        super().__init__(*(Control(b.replace(".", "_"), f"out: {b}", "tick", start=b in deleted) for b in BLOCKS))
