"""GradientFlowExplorer: gradients and signal in every layer, with and without batch norm and shortcut."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from resnet_lib.experiments.measured import DEPTHS, STEPS, flow_key, flow_net, load_grid, measure_flow
from resnet_lib.widgets.explorer import PIN, Explorer, Settings, checkbox, select, steps
from resnet_lib.widgets.panel import radio
from resnet_lib.widgets.svg import BLUE, PURPLE, SOFT, VERMILION, Axes, box, path, picture, text

TITLE = "How large the gradient is in every layer"
HEIGHT = 470
SOURCES = ("recorded", "live")
INITS = {"He": "he", "torch's default": "torch"}
NORMS, VARIANCES = (1e-12, 1e8), (1e-12, 1e12)  # the same for all settings, so that pictures can be compared
LIVE_DEPTH = 20  # deeper nets take longer than a tenth of a second


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
        step = 0
        found = measure_flow(flow_net(*setting, seed=seed))
    else:
        found = load_grid("gradient-grid")[flow_key(*setting)][str(step)]
    norms, variances = tuple(found["norms"]), tuple(found["variances"])
    return Flow(*setting[:3], init, step, source, norms, variances, found["correlation"], found.get("error"))


def power(value: float | None) -> str:
    """1.5e+02 as 150, 3e-07 as 3e-7."""
    if value is None:
        return "no number"
    if 0.001 <= abs(value) < 1000 or value == 0:
        return f"{value:.2g}"
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def one(result: Flow) -> str:
    norms = result.norms
    first, middle, last = norms[0], norms[len(norms) // 2], norms[-1]
    words = f"{result.name} ({result.source}): gradient norm {power(first)} in the first layer, "
    words += f"{power(middle)} in the middle, {power(last)} in the last"
    if result.correlation is not None:
        words += f"; input gradients of neighbours are {result.correlation:.2f} alike"
    if result.error is not None:
        words += f"; error {result.error:.0%}"
    if any(value is None for value in norms):
        words += "; the net has diverged"
    elif any(not NORMS[0] <= (value or 0) <= NORMS[1] for value in norms):
        words += "; values beyond the axis are drawn at its edge"
    return words


def describe(result: Flow, pinned: Flow | None = None) -> str:
    kept = f" Kept to compare: {one(pinned)}." if pinned and pinned != result else ""
    return f"{one(result)}.{kept}"


def draw(result: Flow, pinned: Flow | None = None) -> str:
    """Gradient norms on the left, forward variance on the right; a pinned setting as a thin dashed line."""
    left = Axes(80, 96, 400, 270, (0, 1), NORMS, log_y=True)
    right = Axes(590, 96, 280, 270, (0, 1), VARIANCES, log_y=True)
    ticks = {0.0: "first", 0.5: "middle", 1.0: "last"}
    parts = [text(30, 30, TITLE, size=18, font_weight=600)]
    parts.append(left.frame(ticks, _powers(-12, 8), "convolution", "gradient norm of its weight"))
    parts.append(right.frame(ticks, _powers(-12, 12), "block", "variance of its output"))
    shown = [(result, VERMILION if not result.shortcut else BLUE, 3.5, None if result.shortcut else "7 4")]
    if pinned and pinned != result:
        shown.append((pinned, PURPLE, 2, "2 3"))
    for number, (flow, colour, width, dash) in enumerate(shown):
        style = {"stroke": colour, "stroke_width": width, "stroke_dasharray": dash}
        parts += [left.curve(_points(flow.norms), **style), right.curve(_points(flow.variances), **style)]
        y = 424 + 24 * number
        parts += [path([(30, y), (64, y)], **style), text(74, y + 5, f"{flow.name} ({flow.source})")]
        alike = "no number" if flow.correlation is None else f"{flow.correlation:.2f}"
        parts.append(text(870, y + 5, f"neighbours' gradients {alike} alike", anchor="end", fill=SOFT))
    if None in result.norms:
        parts.append(box(150, 200, 260, 40, fill="none", stroke=VERMILION))
        parts.append(text(280, 226, "✗ the net has diverged", anchor="middle"))
    return picture(TITLE, describe(result, pinned), HEIGHT, *parts)


def _powers(low: int, high: int) -> dict[float, str]:
    return {10.0**power: f"1e{power}" for power in range(low, high + 1, 4)}


def _points(values: tuple[float | None, ...]) -> list[tuple[float, float]]:
    """Zero has no logarithm: it is drawn at the lower edge."""
    last = max(len(values) - 1, 1)
    return [(index / last, max(value, 1e-300)) for index, value in enumerate(values) if value is not None]


class GradientFlowExplorer(Explorer):
    """Depth, batch norm, shortcut, initialisation and training step: 400 recorded measurements, or live at step 0.

    `shortcut_control=False` leaves the shortcut out: lesson 02 comes before it. Other arguments are the settings at the
    start: depth (8 … 110), norm and shortcut ("with", "without"), init ("He", "torch's default"), step (0 … 149).
    """

    title, height = TITLE, HEIGHT
    compute, draw, describe = staticmethod(compute), staticmethod(draw), staticmethod(describe)
    compare, live = PIN, ("source", "seed")

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
        self._shortcut = shortcut
        controls = {
            "depth": steps("depth", DEPTHS, depth, 260),
            "step": steps("training step", STEPS, step, 280),
            "norm": radio(("with", "without"), "batch norm", value=norm, horizontal=True),
            "shortcut": radio(("with", "without"), "shortcut", value=shortcut, horizontal=True),
            "init": select("initialisation", tuple(INITS), init),
            "source": radio(SOURCES, "measured", value="recorded", horizontal=True),
            "seed": select("seed (live)", tuple(range(10)), 0),
            PIN: checkbox("keep this setting to compare"),
        }
        if not shortcut_control:
            del controls["shortcut"]
        super().__init__(controls)

    @property
    def settings(self) -> Settings:
        return {"shortcut": self._shortcut, **super().settings}

    def is_slow(self, settings: Settings) -> bool:
        return settings["source"] == "live" and settings["depth"] > LIVE_DEPTH
