"""GradientFlowExplorer: gradients and signal in every layer, with and without batch norm and shortcut."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from resnet_lib.arguments import require_bool
from resnet_lib.experiments.measured import DEPTHS, STEPS, flow_key, flow_net, load_grid, measure_flow
from resnet_lib.widgets.explorer import PIN, Control, Explorer
from resnet_lib.widgets.style import BLUE, PURPLE, SOFT, VERMILION
from resnet_lib.widgets.svg import Axes, key, picture, second, text

TITLE = "How large the gradient is in every layer"
HEIGHT = 470
SOURCES = ("recorded", "live")
INITS = {"He": "he", "torch's default": "torch"}
WAYS = ("with", "without")
# The axes, each wider than those before it: of the norms, of the variances, and powers of ten from tick to tick.
AXES = (((1e-3, 1e3), (1e-2, 1e2), 1), ((1e-8, 1e8), (1e-8, 1e13), 4), ((1e-28, 1e8), (1e-28, 1e13), 8))
LEAST = 1e-28  # what lies below is zero to a float or as good as zero, and is not drawn


@dataclass(frozen=True)
class Flow:
    """What was measured; None where a net had diverged."""

    depth: int
    batch_norm: bool
    shortcut: bool
    init: str
    step: int
    source: str
    norms: tuple[float | None, ...]  # of the gradient of every convolution's weight
    variances: tuple[float | None, ...]  # after every block
    correlation: float | None  # of input gradients at neighbouring inputs
    error: float | None  # of the last 20 training batches

    @property
    def lost(self) -> int:
        """How many gradients are zero, or too small for any axis."""
        return sum(norm is not None and norm < LEAST for norm in self.norms)

    @property
    def name(self) -> str:
        net = f"{'residual' if self.shortcut else 'plain'}-{self.depth}"
        return f"{net}, {'batch norm' if self.batch_norm else 'no batch norm'}, {self.init} init, step {self.step}"


@lru_cache(512)
def compute(
    depth: int, norm: str, shortcut: str, init: str, step: int, source: str = "recorded", seed: int = 0
) -> Flow:
    """Look the setting up, or, live, measure a new net of this seed."""
    setting = (depth, norm == "with", shortcut == "with", INITS[init])
    found: dict[str, Any]
    if source == "live":
        step, found = 0, measure_flow(flow_net(*setting, seed=seed))
    else:
        found = load_grid("gradient-grid")[flow_key(*setting)][str(step)]
    norms, variances = tuple(found["norms"]), tuple(found["variances"])
    return Flow(*setting[:3], init, step, source, norms, variances, found["correlation"], found.get("error"))


def power(value: float | None) -> str:
    """150.3 as 150, 3e-07 as 3e-7."""
    if value is None:
        return "no number"
    if 0.001 <= abs(value) < 1000 or value == 0:
        return f"{float(f'{value:.2g}'):g}"
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def one(result: Flow) -> str:
    first, middle, last = (power(result.norms[place]) for place in (0, len(result.norms) // 2, -1))
    words = f"{result.name} ({result.source}): gradient norm {first} in the first layer, {middle} in the middle, "
    words += f"{last} in the last"
    if result.correlation is not None:
        words += f"; input gradients at neighbouring inputs correlate {result.correlation:.2f}"
    if result.error is not None:
        words += f"; error {result.error:.0%}"
    if None in result.norms:
        words += "; the net has diverged"
    return words + f"; {result.lost} layers get no gradient" * bool(result.lost)


def describe(result: Flow, pinned: Flow | None = None) -> str:
    kept = f" Kept to compare: {one(pinned)}." if pinned and pinned != result else ""
    return f"{one(result)}.{kept}"


def level(result: Flow) -> int:
    """The first of the AXES that hold all values of a result."""
    for number, (norms, variances, _) in enumerate(AXES[:-1]):
        held = ((result.norms, norms), (result.variances, variances))
        if all(value is None or low <= value <= high for values, (low, high) in held for value in values):
            return number
    return len(AXES) - 1


def draw(result: Flow, pinned: Flow | None = None) -> str:
    """Gradient norms on the left, forward variance on the right; a pinned setting as a thin dashed line."""
    norms, variances, step = AXES[max(level(flow) for flow in (result, pinned) if flow)]
    left = Axes(80, 96, 400, 270, (0, 1), norms, log_y=True)
    right = Axes(590, 96, 280, 270, (0, 1), variances, log_y=True)
    ticks = {0.0: "first", 0.5: "middle", 1.0: "last"}
    parts = [left.frame(ticks, _ticks(norms, step), "convolution", "gradient norm of its weight (log axis)")]
    parts.append(right.frame(ticks, _ticks(variances, step), "block", "variance of its output (log axis)"))
    style = {"stroke": BLUE if result.shortcut else VERMILION, "stroke_dasharray": None if result.shortcut else "7 4"}
    parts += _flow(result, left, right, 424, stroke_width=3.5, **style)
    kept = []
    if pinned and pinned != result:
        kept = _flow(pinned, left, right, 448, stroke_width=2, stroke=PURPLE, stroke_dasharray="2 3")
    return picture(TITLE, describe(result, pinned), HEIGHT, *parts, second(*kept))


def _flow(flow: Flow, left: Axes, right: Axes, y: float, **style: Any) -> list[str]:
    """Both curves and the line that names them."""
    parts = [left.curve(_points(flow.norms), **style), right.curve(_points(flow.variances), **style)]
    parts.append(key(30, y, 64, f"{flow.name} ({flow.source})", gap=10, **style))
    if None in flow.norms:
        return [*parts, text(870, y + 5, "✗ the net has diverged", anchor="end")]
    if flow.lost:
        return [*parts, text(870, y + 5, f"✗ no gradient in {flow.lost} of {len(flow.norms)} layers", anchor="end")]
    said = "no number" if flow.correlation is None else f"{flow.correlation:.2f}"
    return [*parts, text(870, y + 5, f"neighbours' gradients: correlation {said}", anchor="end", fill=SOFT)]


def _ticks(limits: tuple[float, float], step: int) -> dict[float, str]:
    low, high = (round(math.log10(limit)) for limit in limits)
    return {10.0**power: f"1e{power}" for power in range(low, high + 1) if power % step == 0}


def _points(values: tuple[float | None, ...]) -> list[tuple[float, float]]:
    """What is no number, or nothing, is no point of the curve."""
    last = max(len(values) - 1, 1)
    return [(index / last, value) for index, value in enumerate(values) if value is not None and value >= LEAST]


class GradientFlowExplorer(Explorer):
    """Depth, batch norm, shortcut, initialisation and training step: 400 recorded measurements, or live at step 0.

    `shortcut_control=False` leaves the shortcut out: lesson 02 comes before it. Other arguments are the settings at the
    start: depth (8 … 110), norm and shortcut ("with", "without"), init ("He", "torch's default"), step (0 … 149).
    """

    title, height = TITLE, HEIGHT
    compute, draw, describe = staticmethod(compute), staticmethod(draw), staticmethod(describe)
    level = staticmethod(level)
    compare, asks, live = PIN, "source", ("source", "seed")

    def __init__(
        self,
        depth: int = 56,
        norm: str = "with",
        shortcut: str = "without",
        init: str = "He",
        step: int = 0,
        *,
        shortcut_control: bool = True,
    ):
        require_bool("shortcut_control", shortcut_control)
        super().__init__(
            Control("depth", "depth", "slider", DEPTHS, depth),
            Control("step", "training step", "slider", STEPS, step),
            Control("norm", "batch norm", "radio", WAYS, norm),
            Control("shortcut", "shortcut", "radio", WAYS, shortcut, hidden=not shortcut_control),
            Control("init", "initialisation", "menu", tuple(INITS), init),
            Control("source", "measured", "radio", SOURCES),
            Control("seed", "seed (live)", "menu", tuple(range(10))),
            Control(PIN, "keep this setting to compare", "tick"),
        )
