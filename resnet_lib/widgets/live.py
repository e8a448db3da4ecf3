"""Error curves that grow while nets train."""

import time
from collections.abc import Callable
from typing import Any

from resnet_lib.training.history import History
from resnet_lib.widgets.front import Front, bundle
from resnet_lib.widgets.svg import Axes, net_style, path, picture, resolved, spread, text

HEIGHT = 330
SECONDS_BETWEEN = 0.25  # four drawings a second are smooth, and cost less than a hundredth of the training
POINTS = 120  # per curve
LAST = 20  # batches that a point is the mean of, as in History.final_error

STATE: dict[str, Any] = {"place": [], "kept": None}  # there are no controls

Run = tuple[str, tuple[tuple[int, float], ...], int]  # name, (step, error) pairs, steps in all


class LiveCurve:
    """Shows the error of nets while they train.

    curve = LiveCurve("Error while training")
    curve                                                       # in a cell of its own: the view
    train(net, data, progress=curve.add("plain-56"))            # in a later cell
    """

    def __init__(self, title: str = "Error while training", *, steps: int = 150):
        """`steps` is how long the runs will be, for the empty picture."""
        self.title, self.steps = title, steps
        self._runs: dict[str, Run] = {}
        self._drawn = 0.0
        self._said = self.text
        spec = {"title": title, "controls": [], "grows": True, "live": [], "longest": ""}
        self._front = Front(spec=spec, state=STATE, answer=self._answer())

    @property
    def text(self) -> str:
        return describe(self.title, tuple(self._runs.values()))

    def add(self, name: str) -> Callable[[History, int], None]:
        """A callback for `train(progress=…)`. A name that was there before is drawn anew."""
        points: list[tuple[int, float]] = []

        def callback(history: History, total_steps: int) -> None:
            step, now = len(history), time.monotonic()
            every = max(total_steps // POINTS, 1)
            finished = step == total_steps
            if step % every == 0 or finished:
                points.append((step, history.final_error(LAST)))
            if finished or now - self._drawn > SECONDS_BETWEEN:
                self._runs[name] = (name, tuple(points), total_steps)
                self._drawn = now
                self._said = self.text if finished else self._said  # a screen reader hears results, not every step
                self._front.answer = self._answer()

        return callback

    def _drawing(self) -> str:
        return draw(self.title, tuple(self._runs.values()), self.steps)

    def _answer(self) -> dict[str, Any]:
        return {"state": STATE, "drawing": self._drawing(), "text": self._said}

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Any:
        drawing = resolved(self._drawing())
        return bundle(self._front, f"{self.title}: the curves grow here while the nets train.", drawing)


def draw(title: str, runs: tuple[Run, ...], steps: int = 150) -> str:
    """All curves in one frame, each named at its end."""
    steps = max([total for _, _, total in runs], default=steps)
    axes = Axes(70, 50, 650, 220, (0, steps), (0, 1))
    x_ticks = {steps * share / 3: f"{steps * share / 3:.0f}" for share in range(4)}
    parts = [text(30, 24, title, size=17, font_weight=600)]
    parts.append(axes.frame(x_ticks, {share / 4: f"{share / 4:.0%}" for share in range(5)}, "training step", ""))
    shown = [(name, points) for name, points, _ in runs if points]
    heights = spread([axes.y(points[-1][1]) for _, points in shown], gap=17)
    for (name, points), height in zip(shown, heights, strict=True):
        style = net_style(name)
        parts.append(axes.curve(points, **style.stroke()))
        parts.append(path([(728, height), (752, height)], **style.stroke()))
        parts.append(text(758, height + 5, f"{name} {points[-1][1]:.0%}"))
    return picture(title, describe(title, runs), HEIGHT, *parts)


def describe(title: str, runs: tuple[Run, ...]) -> str:
    """What the curves say, in words."""
    ends = [
        f"{name} {points[-1][1]:.0%} after {points[-1][0]} of {total} steps" for name, points, total in runs if points
    ]
    return f"{title} (mean of the last {LAST} batches): {'; '.join(ends) if ends else 'nothing has been trained yet'}."
