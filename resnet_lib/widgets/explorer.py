"""What every explorer shares: controls above, a drawing of fixed size, a sentence below.

An explorer declares its controls and is three pure functions: `compute(**setting)` measures, `draw(result)` makes an
SVG, `describe(result)` says the same in one sentence. The settings of its grid were drawn beforehand (grids.py); the
browser looks them up without asking the kernel, and only the others are computed here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count, product
from typing import Any, ClassVar

import torch

from resnet_lib.arguments import require_choice
from resnet_lib.widgets.front import Front, bundle
from resnet_lib.widgets.grids import Grid, Rendered, Setting, load_packed, unpacked
from resnet_lib.widgets.style import VERMILION
from resnet_lib.widgets.svg import box, image, paragraph, picture, resolved, text

PIN = "pin"  # the control that keeps a setting for comparison
CHARACTERS = 105  # of 15-pixel text in a line


@dataclass(frozen=True)
class Still:
    """A drawing without a kernel: what a page on GitHub shows. As the last line of a cell it shows itself."""

    drawing: str
    alt: str

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return image("svg+xml", resolved(self.drawing).encode(), self.alt)


def written(value: object) -> str:
    """A value as a control shows it, and as a click in a drawing names it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Control:
    """A choice among `values`, the first one at the `start` unless another is named. `kind` is "slider", "menu",
    "radio" or "tick"; `hidden` ones stay fixed."""

    name: str
    label: str
    kind: str
    values: tuple[Any, ...] = (False, True)
    start: Any = None
    hidden: bool = False

    def place(self, value: object) -> int:
        """Where a value stands among the values. ValueError if it is none of them; "56" and 56 are the same."""
        if value not in self.values:
            value = next((one for one in self.values if written(one) == str(value)), value)
        require_choice(self.name, value, self.values)
        return self.values.index(value)


class Explorer:
    """Show it as the last line of a cell. `explorer.set(depth=56)` moves a control from code, `explorer.setting` says
    where all of them stand, `explorer.text` says what is shown, `explorer.still()` is a picture that needs no kernel.
    """

    title: ClassVar[str]
    height: ClassVar[int]
    compute: Callable[..., Any]
    draw: ClassVar[Callable[..., str]]
    describe: ClassVar[Callable[..., str]]
    compare: ClassVar[str] = ""  # the control that brings in a second result
    asks: ClassVar[str] = ""  # the control whose first value is recorded; the others are measured live
    live: ClassVar[tuple[str, ...]] = ()  # the controls that matter only where there is a kernel
    plays: ClassVar[str] = ""  # the slider that can move by itself
    interval: int = 300  # milliseconds between its steps
    grid_name: str  # of the file that holds its drawings: the name of the class, unless there are several

    def __init_subclass__(cls) -> None:
        cls.grid_name = cls.__name__

    def __init__(self, *controls: Control):
        self.controls = {control.name: control for control in controls}
        # What the browser shares: the place of each control's value, and the places of a setting that was kept.
        self.state: dict[str, Any] = {"place": [0] * len(controls), "kept": None}
        self._numbers = count()
        self.set(**{control.name: control.start for control in controls if control.start is not None})

    @staticmethod
    def level(result: Any) -> int:
        """Which axes a result needs, see grids.py."""
        return 0

    # Settings

    @property
    def setting(self) -> Setting:
        """The value of every control."""
        return self._values(self.state["place"])

    def set(self, **changes: Any) -> None:
        """Move controls: `explorer.set(depth=56)`. ValueError for a control or a value that there is not."""
        place, kept, names = list(self.state["place"]), self.state["kept"], list(self.controls)
        for name, value in changes.items():
            if name not in self.controls:
                allowed = ", ".join(name for name, control in self.controls.items() if not control.hidden)
                raise ValueError(f"{type(self).__name__} has no control {name!r}; it has {allowed}")
            place[names.index(name)] = self.controls[name].place(value)
        self._check_offered(place, changes)
        if PIN in changes:
            pin = names.index(PIN)
            kept = (kept or [*place[:pin], 0, *place[pin + 1 :]]) if place[pin] else None
        self.state = {"place": place, "kept": kept}
        if "front" in vars(self):
            self.front.state = self.state

    def _check_offered(self, place: list[int], changes: Mapping[str, Any]) -> None:
        """What the last control of a grid offers depends on the others: each net has other blocks. A value that was
        asked for has to be there; one that was chosen for another net falls back on the first."""
        if self.grid is None:
            return
        name, offered = self.grid.offered(dict(zip(self.controls, place, strict=True)))
        last, values = list(self.controls).index(name), self.controls[name].values
        if place[last] not in offered:
            if name in changes:
                require_choice(name, changes[name], tuple(values[index] for index in offered))
            place[last] = offered[0]

    def _values(self, place: Sequence[int]) -> Setting:
        pairs = zip(self.controls.values(), place, strict=True)
        return {control.name: control.values[index] for control, index in pairs}

    def settings(self) -> Iterator[Setting]:
        """All settings of the grid: without the controls of `live`, and without the one that brings in a second result.

        The last control may have other values for each choice of those before it.
        """
        names = [name for name in self.controls if name not in (*self.live, self.compare)]
        for values in product(*(self.controls[name].values for name in names)):
            yield dict(zip(names, values, strict=True))

    # What is shown

    @property
    def packed(self) -> bytes:
        return load_packed(self.grid_name)

    @property
    def grid(self) -> Grid | None:
        """The grid that was shipped, None where there is none."""
        return unpacked(self.packed) if self.packed else None

    def measured(self, setting: Setting) -> Any:
        """The result of a setting; controls that bring in a second one do not count."""
        return type(self).compute(**{name: value for name, value in setting.items() if name != PIN})

    def render(self, setting: Setting, kept: Setting | None = None) -> Rendered:
        """Drawing and sentence of a setting, beside one that was kept: computed anew."""
        kind = type(self)
        with undisturbed_learner():
            results = [self.measured(one) for one in (setting, kept) if one is not None]
            return kind.draw(*results), kind.describe(*results)

    def shown(self) -> Rendered:
        """Drawing and sentence at the present setting, from the grid if they are there. An error is a drawing too."""
        shown = self._shown()
        return shown["drawing"], shown["text"]

    def _shown(self) -> dict[str, Any]:
        try:
            drawing, said = self._looked_up() or self.render(*map(self._values, self._places))
            return {"drawing": drawing, "text": said, "failed": False}
        except Exception as error:  # shown where the drawing would be: an observer's exception is easily missed
            said = f"{type(error).__name__}: {error}"
            return {"drawing": failure(self.title, said, self.height), "text": said, "failed": True}

    def _looked_up(self) -> Rendered | None:
        """What the grid holds: nothing that is measured live."""
        named = [dict(zip(self.controls, place, strict=True)) for place in self._places]
        if self.grid is None or any(place.get(self.asks) for place in named):
            return None
        return self.grid.rendered(*named)

    @property
    def _places(self) -> list[list[int]]:
        return [place for place in (self.state["place"], self.state["kept"]) if place]

    @property
    def text(self) -> str:
        """What is shown, in one sentence."""
        return self.shown()[1]

    def still(self) -> Still:
        """The drawing at the present setting, for pages without a kernel."""
        return Still(*self.shown())

    def spec(self) -> dict[str, Any]:
        """What the front end needs to know."""
        controls = [
            {"name": c.name, "label": c.label, "kind": c.kind, "hidden": c.hidden, "values": [*map(written, c.values)]}
            for c in self.controls.values()
        ]
        longest = self.grid.longest if self.grid else ""
        names = {name: getattr(self, name) for name in ("title", "compare", "asks", "live", "plays", "interval")}
        return {**names, "controls": controls, "longest": longest or self.text}

    @cached_property
    def front(self) -> Front:
        front = Front(spec=self.spec(), state=self.state, grid=self.packed)
        front.answer = self._answered()
        front.observe(self._moved, "state")
        return front

    def _moved(self, change: Mapping[str, Any]) -> None:
        """The browser moved a control, or `set` did: answer what it cannot look up itself."""
        self.state = change["new"]
        if self._looked_up() is None:
            self.front.answer = self._answered()

    def _answered(self) -> dict[str, Any]:
        return {"number": next(self._numbers), "state": self.state, **self._shown()}  # the number makes it a new one

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Any:
        drawing, said = self.shown()
        return bundle(self.front, said, resolved(drawing))


@contextmanager
def undisturbed_learner() -> Iterator[None]:
    """Measure on one thread in float32, as tiny nets are fastest, and leave the learner's settings as they were."""
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
            torch.set_num_threads(1)
            torch.set_default_dtype(torch.float32)
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)


def failure(title: str, message: str, height: int) -> str:
    """An error as a drawing: a sign, its words, nothing hidden."""
    sign = text(50, 84, "✗ this setting does not work", size=18, font_weight=600)
    edge = box(30, 46, 840, height - 76, fill="none", stroke=VERMILION, stroke_width=2)
    return picture(title, message, height, edge, sign, paragraph(50, 116, message, CHARACTERS, size=15))
