"""Error curves that grow while nets train."""

import time
from collections.abc import Callable
from typing import Any

from resnet_lib.training.history import History
from resnet_lib.widgets.front import Front, bundle
from resnet_lib.widgets.style import net_style
from resnet_lib.widgets.svg import Axes, key, picture, resolved, spread

HEIGHT = 330
SECONDS_BETWEEN = 0.25  # four drawings a second are smooth, and cost less than a hundredth of the training
POINTS = 120  # per curve
LAST = 20  # batches that a point is the mean of, as in History.final_error

STATE: dict[str, Any] = {"place": [], "kept": None}  # there are no controls


class LiveCurve:
    """Shows the error of nets while they train.

    curve = LiveCurve("Error while training")
    curve                                                       # in a cell of its own: the view
    train(net, data, progress=curve.add("plain-56"))            # in a later cell
    """

    def __init__(self, title: str = "Error while training", *, steps: int = 150):
        """`steps` is how long the runs will be, for the empty picture."""
        self.title, self.steps = title, steps
        self._runs: dict[str, tuple[list[tuple[int, float]], int]] = {}  # name -> (step, error) pairs, steps in all
        self._drawn = 0.0
        spec = {"title": title, "controls": [], "grows": True, "live": [], "longest": ""}
        self._front = Front(spec=spec, state=STATE)
        self._show(self.text)

    @property
    def text(self) -> str:
        ends = [f"{name} {p[-1][1]:.0%} after {p[-1][0]} of {steps} steps" for name, (p, steps) in self._runs.items()]
        return f"{self.title} (mean of the last {LAST} batches): {'; '.join(ends) or 'nothing has been trained yet'}."

    def add(self, name: str) -> Callable[[History, int], None]:
        """A callback for `train(progress=…)`. A name that was there before is drawn anew."""
        points: list[tuple[int, float]] = []

        def callback(history: History, total_steps: int) -> None:
            step, now = len(history), time.monotonic()
            finished = step == total_steps
            if finished or step % max(total_steps // POINTS, 1) == 0:
                points.append((step, history.final_error(LAST)))
            if points and (finished or now - self._drawn > SECONDS_BETWEEN):
                self._runs[name], self._drawn = (points, total_steps), now
                said = self._front.answer["text"]
                self._show(self.text if finished else said)  # a screen reader hears results, not every step

        return callback

    def _show(self, said: str) -> None:
        self._front.answer = {"state": STATE, "drawing": self._drawing(), "text": said}

    def _drawing(self) -> str:
        """All curves in one frame, each named at its end."""
        steps = max([total for _, total in self._runs.values()], default=self.steps)
        axes = Axes(70, 50, 650, 220, (0, steps), (0, 1))
        x_ticks = {steps * share / 3: f"{steps * share / 3:.0f}" for share in range(4)}
        parts = [axes.frame(x_ticks, {share / 4: f"{share / 4:.0%}" for share in range(5)}, "training step", "")]
        heights = spread([axes.y(points[-1][1]) for points, _ in self._runs.values()], gap=17)
        for (name, (points, _)), height in zip(self._runs.items(), heights, strict=True):
            style = net_style(name).stroke()
            parts += [axes.curve(points, **style), key(728, height, 752, f"{name} {points[-1][1]:.0%}", gap=6, **style)]
        return picture(self.title, self.text, HEIGHT, *parts, heading=(24, 17))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Any:
        said = f"{self.title}: the curves grow here while the nets train."
        return bundle(self._front, said, resolved(self._drawing()))
