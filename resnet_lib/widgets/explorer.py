"""What every explorer shares: controls above, a drawing of fixed size, a sentence below.

An explorer declares its controls and is three pure functions: `compute(**setting)` measures, `draw(result)` makes an
SVG, `describe(result)` says the same in one sentence. The settings of its grid were drawn beforehand (grids.py); the
browser looks them up without asking the kernel, and only the others are computed here.
"""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import count, product
from typing import Any, ClassVar

import torch

from resnet_lib.arguments import require_choice
from resnet_lib.widgets.front import Front, bundle
from resnet_lib.widgets.grids import Grid, Packed, Rendered, Setting, load_packed
from resnet_lib.widgets.svg import SOFT, VERMILION, box, escape, paragraph, picture, resolved, text

PIN = "pin"  # the control that keeps a setting for comparison
CHARACTERS = 105  # of 15-pixel text in a line


@dataclass(frozen=True)
class Still:
    """A drawing without a kernel: what a page on GitHub shows. As the last line of a cell it shows itself."""

    drawing: str
    alt: str

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        data = base64.b64encode(resolved(self.drawing).encode()).decode()
        image = f'<img alt="{escape(self.alt)}" width="900" src="data:image/svg+xml;base64,{data}">'
        return {"text/html": image, "text/plain": self.alt}


def written(value: object) -> str:
    """A value as a control shows it, and as a click in a drawing names it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Control:
    """A choice among `values`. `kind` is "slider", "menu", "radio" or "tick"; `hidden` ones stay fixed."""

    name: str
    label: str
    kind: str
    values: tuple[Any, ...] = (False, True)
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

    def __init__(self, controls: Sequence[Control], **setting: Any):
        """`setting` is where the controls stand at the start; one that is not named stands at its first value."""
        self.controls = {control.name: control for control in controls}
        self._place = [0] * len(controls)
        self._kept: list[int] | None = None
        self._numbers = count()
        self.set(**setting)

    @staticmethod
    def level(result: Any) -> int:
        """Which axes a result needs, see grids.py."""
        return 0

    # Settings

    @property
    def setting(self) -> Setting:
        """The value of every control."""
        return self._values(self._place)

    def set(self, **changes: Any) -> None:
        """Move controls: `explorer.set(depth=56)`. ValueError for a control or a value that there is not."""
        place, names = list(self._place), list(self.controls)
        for name, value in changes.items():
            if name not in self.controls:
                allowed = ", ".join(name for name, control in self.controls.items() if not control.hidden)
                raise ValueError(f"{type(self).__name__} has no control {name!r}; it has {allowed}")
            place[names.index(name)] = self.controls[name].place(value)
        self._check_offered(place, changes)
        self._place = place
        if PIN in changes:
            self._kept = (self._kept or self._without_pin()) if self.setting[PIN] else None
        if "front" in vars(self):
            self.front.state = self.state
            self._answer()

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

    def _without_pin(self) -> list[int]:
        return [0 if name == PIN else index for name, index in zip(self.controls, self._place, strict=True)]

    @property
    def state(self) -> dict[str, Any]:
        return {"place": self._place, "kept": self._kept}

    def settings(self) -> Iterator[Setting]:
        """All settings of the grid: without the controls of `live`, and without the one that brings in a second result.

        The last control may have other values for each choice of those before it.
        """
        names = [name for name in self.controls if name not in (*self.live, self.compare)]
        for values in product(*(self.controls[name].values for name in names)):
            yield dict(zip(names, values, strict=True))

    # What is shown

    @property
    def grid_name(self) -> str:
        return type(self).__name__

    @cached_property
    def packed(self) -> Packed | None:
        return load_packed(self.grid_name)

    @property
    def grid(self) -> Grid | None:
        """The grid that was shipped, None where there is none."""
        return self.packed.grid if self.packed else None

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
        return self._shown()[:2]

    def _shown(self) -> tuple[str, str, bool]:
        """The same, and whether it is an error."""
        try:
            found = self._looked_up() or self.render(self.setting, self._values(self._kept) if self._kept else None)
            return *found, False
        except Exception as error:  # shown where the drawing would be: an observer's exception is easily missed
            said = f"{type(error).__name__}: {error}"
            return failure(self.title, said, self.height), said, True

    def _looked_up(self) -> Rendered | None:
        states = [self._place, *([self._kept] if self._kept else [])]
        named = [dict(zip(self.controls, place, strict=True)) for place in states]
        if self.grid is None or any(place.get(self.asks) for place in named):
            return None
        return self.grid.rendered(*named)

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
            asdict(control) | {"values": [written(value) for value in control.values]}
            for control in self.controls.values()
        ]
        longest = self.grid.longest if self.grid else ""
        names = {name: getattr(self, name) for name in ("title", "compare", "asks", "live", "plays", "interval")}
        return {**names, "controls": controls, "longest": longest or self.text}

    @cached_property
    def front(self) -> Front:
        grid = self.packed.packed if self.packed else b""
        front = Front(spec=self.spec(), state=self.state, answer=self._answered(), grid=grid)
        front.observe(self._moved, "state")
        return front

    def _moved(self, change: Mapping[str, Any]) -> None:
        """The browser moved a control; it knows itself what the grid holds."""
        self._place, self._kept = list(change["new"]["place"]), change["new"]["kept"]
        self._answer()

    def _answer(self) -> None:
        if self.grid is None or any(place and self._live(place) for place in (self._place, self._kept)):
            self.front.answer = self._answered()

    def _live(self, place: list[int]) -> bool:
        return bool(self.asks) and place[list(self.controls).index(self.asks)] > 0

    def _answered(self) -> dict[str, Any]:
        drawing, said, failed = self._shown()
        shown = {"drawing": drawing, "text": said, "failed": failed}
        return {"number": next(self._numbers), "state": self.state, **shown}  # the number makes each answer a new one

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
    parts = [
        box(30, 30, 840, height - 60, fill="none", stroke=VERMILION, stroke_width=2),
        text(50, 68, "✗ this setting does not work", size=18, font_weight=600),
        paragraph(50, 100, message, CHARACTERS, size=15),
        text(50, height - 48, "Choose another setting; the controls stay as they are.", fill=SOFT),
    ]
    return picture(title, message, height, *parts)
