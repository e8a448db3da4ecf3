"""TrainingReplay: runs that are over, played again step by step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from resnet_lib.arguments import require_choice
from resnet_lib.experiments.records import load_records
from resnet_lib.training.history import History
from resnet_lib.widgets.explorer import Control, Explorer, Setting
from resnet_lib.widgets.style import SOFT, net_style
from resnet_lib.widgets.svg import Axes, key, path, picture, spread, text

TITLE = "Training, played again"
HEIGHT = 460
PART = "part of the run (of 50)"
FRAMES = 50  # of a run without epochs
FEW = ("plain-8", "plain-56", "plain-110", "residual-56", "residual-110")  # of many nets, those that are shown
LAST = 20  # batches that a point is the mean of
BATCHES = "error of the last 20 training batches"
MEASURES = {"training error": "train_error", "test error": "test_error"}


@dataclass(frozen=True)
class Replay:
    """Some runs up to a moment."""

    curves: dict[str, tuple[float, ...]]  # whole runs: the error at each moment
    moment: int  # 1 is the first
    unit: str  # "epoch" or PART
    measure: str
    source: str

    @property
    def now(self) -> list[float]:
        """The error of each run at the moment, or at its end."""
        return [curve[min(self.moment, len(curve)) - 1] for curve in self.curves.values()]


def compute(runs: Mapping[str, History], source: str, measure: str, moment: int) -> Replay:
    """The error of each run at every epoch (eval mode), or, without epochs, of its batches in 50 parts."""
    if not by_epoch(runs):
        return Replay({name: _in_parts(run.error) for name, run in runs.items()}, moment, PART, measure, source)
    curves = {name: tuple(getattr(e, MEASURES[measure]) for e in run.epochs) for name, run in runs.items()}
    return Replay(curves, moment, "epoch", measure, source)


def by_epoch(runs: Mapping[str, History]) -> bool:
    return all(run.epochs for run in runs.values())


def _in_parts(error: list[float]) -> tuple[float, ...]:
    """The mean of the last batches at each fiftieth of a run; a run of fewer steps repeats some."""
    ends = [max(1, len(error) * part // FRAMES) for part in range(1, FRAMES + 1)]
    return tuple(mean(error[max(0, end - LAST) : end]) for end in ends)


def describe(result: Replay) -> str:
    values = "; ".join(f"{name} {value:.1%}" for name, value in zip(result.curves, result.now, strict=True))
    return f"{result.measure} ({result.source}), {result.unit} {result.moment}: {values}."


def draw(result: Replay) -> str:
    """All curves in a fixed frame, drawn up to the marker; what is still to come is faint."""
    last = max(map(len, result.curves.values()))
    errors = [error for curve in result.curves.values() for error in curve]
    y_range, y_ticks, wide = _scale(min(errors), max(errors))
    axes = Axes(80, 84, 560, 310, (1, max(last, 2)), y_range, log_y=wide)
    x_ticks = {float(k): str(k) for k in range(1, last + 1, max(1, last // 10))}
    parts = [axes.frame(x_ticks, y_ticks, result.unit, result.measure + " (log axis)" * wide)]
    marker = axes.x(result.moment)
    parts.append(path([(marker, 84), (marker, 394)], stroke=SOFT, stroke_dasharray="2 4", stroke_width=2))
    heights = spread([axes.y(value) for value in result.now], gap=19)
    for (name, curve), value, height in zip(result.curves.items(), result.now, heights, strict=True):
        style = net_style(name).stroke()
        points = [(float(index), error) for index, error in enumerate(curve, start=1)]
        parts.append(axes.curve(points, **{**style, "stroke_width": 1, "opacity": "0.35"}))
        parts.append(axes.curve(points[: result.moment], **style))
        parts.append(path([(640, axes.y(value)), (656, height), (662, height)], stroke=SOFT, stroke_width=0.8))
        parts.append(key(668, height, 698, f"{name} {value:.1%}", **style))
    parts.append(text(870, 30, result.source, anchor="end", fill=SOFT, font_style="italic"))
    return picture(TITLE, describe(result), HEIGHT, *parts)


def _scale(low: float, high: float) -> tuple[tuple[float, float], dict[float, str], bool]:
    """Range and ticks of the errors; a log axis where one net is many times worse than another."""
    if low > 0 and high > 8 * low:
        ticks = [tick for tick in (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if low / 1.5 < tick]
        return (min(low, ticks[0]), 1.0), {tick: f"{tick:.1%}".replace(".0%", "%") for tick in ticks}, True
    top = next((top for top in (0.1, 0.2, 0.4, 0.6, 0.8) if high <= top), 1.0)
    return (0, top), {top * k / 4: f"{top * k / 4:.0%}" for k in range(5)}, False


class TrainingReplay(Explorer):
    """Scrub or play runs that are over.

    `runs` is the name of a recorded experiment, or {"plain-56": history, …} of runs that have just finished. `nets` are
    those that are shown: names, or "plain" or "residual" for all of a kind; by default all, or five of many. Runs with
    epochs show training and test error in eval mode, others the error of their training batches.
    """

    title, height = TITLE, HEIGHT
    draw, describe = staticmethod(draw), staticmethod(describe)
    plays = "moment"

    def __init__(
        self,
        runs: str | Mapping[str, History] = "degradation-sweep",
        *,
        nets: str | Sequence[str] | None = None,
        moment: int | None = None,
    ):
        self._source, self.grid_name = "live", ""
        if isinstance(runs, str):
            kind = f"-{nets}" if isinstance(nets, str) else ""
            self._source, self.grid_name = "recorded", "" if kind == "" and nets else f"TrainingReplay-{runs}{kind}"
            recorded: dict[str, History] = {}
            for record in load_records(runs):
                recorded.setdefault(record.net, record.history)
            if nets is None and len(recorded) > len(FEW):
                nets = [name for name in FEW if name in recorded]
            runs = recorded
        if nets is not None:
            chosen = [name for name in runs if name.startswith(f"{nets}-")] if isinstance(nets, str) else nets
            for name in chosen or [str(nets)]:
                require_choice("nets", name, tuple(runs))
            runs = {name: runs[name] for name in chosen}
        if not runs or not all(len(run) for run in runs.values()):
            raise ValueError("there is nothing to replay: pass {'plain-56': history} of runs that have been trained")
        self._runs = dict(runs)
        if epochs := by_epoch(runs):
            last, unit, self.interval = max(len(run.epochs) for run in runs.values()), "epoch", 300
        else:
            last, unit, self.interval = FRAMES, PART, 120
        start = last if moment is None else moment
        measures = [Control("measure", "show", "radio", tuple(MEASURES))] if epochs else []
        super().__init__(Control("moment", unit, "slider", tuple(range(1, last + 1)), start), *measures)

    def measured(self, setting: Setting) -> Replay:
        return compute(self._runs, self._source, setting.get("measure", BATCHES), setting["moment"])
