"""PathExplorer: a residual net as a bundle of paths, most of them of middling length, few of which carry gradient."""

from dataclasses import dataclass

from resnet_lib.experiments.measured import load_grid
from resnet_lib.probes.lesions import path_lengths
from resnet_lib.widgets.explorer import Control, Explorer
from resnet_lib.widgets.style import BLUE, INK, ORANGE, SOFT
from resnet_lib.widgets.svg import Axes, box, picture, text

TITLE = "Paths through a residual net"
HEIGHT = 430
BLOCKS = (3, 9, 15, 27)
STATES = ("new", "trained")


@dataclass(frozen=True)
class Paths:
    """Entry k of a tuple is for the paths through exactly k residual branches."""

    blocks: int
    state: str
    counts: tuple[int, ...]
    shares: tuple[float, ...]  # of the gradient that reaches the input

    @property
    def of_all(self) -> tuple[float, ...]:
        return tuple(count / sum(self.counts) for count in self.counts)


def compute(blocks: int, state: str) -> Paths:
    """Count the paths; read how much gradient each length was measured to carry."""
    measured = load_grid("path-gradients")[f"{blocks}-{state}"]
    return Paths(blocks, state, tuple(path_lengths(blocks)), tuple(measured["shares"]))


def middle(shares: tuple[float, ...]) -> float:
    """The mean length, weighted."""
    return sum(length * share for length, share in enumerate(shares)) / sum(shares)


def describe(result: Paths) -> str:
    longest = next(k for k in range(len(result.shares)) if sum(result.shares[: k + 1]) > 0.95)
    return (
        f"{result.blocks} blocks make {sum(result.counts):,} paths, through {middle(result.of_all):.1f} branches on "
        f"average. In the {result.state} net, 95% of the gradient (recorded) arrives by paths of at most {longest} "
        f"branches; the mean length, weighted by gradient, is {middle(result.shares):.1f}."
    )


def draw(result: Paths) -> str:
    """Two histograms over one axis: how many paths, how much gradient."""
    top, every = max(*result.of_all, *result.shares), max(1, result.blocks // 9)
    axes = Axes(80, 80, 780, 270, (-0.6, result.blocks + 0.6), (0, 1.1 * top))
    x_ticks = {float(k): str(k) for k in range(0, result.blocks + 1, every)}
    y_ticks = {top * k / 4: f"{top * k / 4:.0%}" for k in range(5)}
    parts = [axes.frame(x_ticks, y_ticks, "residual branches on the path", "share")]
    width, floor = 0.36 * (axes.x(1) - axes.x(0)), axes.y(0)
    for length, shares in enumerate(zip(result.of_all, result.shares, strict=True)):
        for share, left, colour in zip(shares, (width, 0), (ORANGE, BLUE), strict=True):
            bar = axes.x(length) - left, axes.y(share), width, floor - axes.y(share)
            parts.append(box(*bar, fill=colour, stroke=INK))
    parts += [box(530, 46, 16, 16, fill=ORANGE, stroke=INK), text(552, 59, "paths")]
    parts += [box(620, 46, 16, 16, fill=BLUE, stroke=INK), text(642, 59, "gradient at the input (recorded)")]
    parts.append(text(870, 415, f"{result.state} net, width 8", anchor="end", fill=SOFT))
    return picture(TITLE, describe(result), HEIGHT, *parts, heading=(32, 18))


class PathExplorer(Explorer):
    """How many paths of each length a net of `blocks` residual blocks has, and what they carry (Veit et al. 2016)."""

    title, height = TITLE, HEIGHT
    compute, draw, describe = staticmethod(compute), staticmethod(draw), staticmethod(describe)

    def __init__(self, blocks: int = 27, state: str = "trained"):
        super().__init__(
            Control("blocks", "residual blocks", "slider", BLOCKS, blocks),
            Control("state", "net", "radio", STATES, state),
        )
