"""The shell of every explorer: controls above, a drawing of fixed size, a sentence below.

An explorer is three pure functions: `compute(**settings)` measures, `draw(result)` makes an SVG, `describe(result)`
says the same in one sentence. The shell turns controls into settings and shows what comes back, errors included.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import ipywidgets
import torch

from resnet_lib.widgets.panel import bundle, panel, said
from resnet_lib.widgets.svg import SOFT, VERMILION, box, escape, paragraph, picture, resolved, text

Settings = dict[str, Any]
PIN = "pin"  # the name of the control that keeps a result for comparison
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


class Explorer:
    """Show it as the last line of a cell; `explorer.controls["depth"].value = 56` moves a control from code.

    Subclasses name the three functions, the size, and make the controls. `text` is what is shown, in words.
    """

    title: ClassVar[str]
    height: ClassVar[int] = 400
    compute: ClassVar[Callable[..., Any]]
    draw: ClassVar[Callable[..., str]]
    describe: ClassVar[Callable[..., str]]
    compare: ClassVar[str] = ""  # the control that brings in a second result
    live: ClassVar[tuple[str, ...]] = ()  # the controls that matter only where there is a kernel
    plays: ClassVar[str] = ""  # the slider that can move by itself

    def __init__(self, controls: Mapping[str, ipywidgets.Widget]):
        self.controls = dict(controls)
        self._pinned: Any = None  # the result that a later one is compared with
        for name, control in self.controls.items():
            control.add_class(f"control-{name}")
            control.observe(self._moved, "value")
        self._view = ipywidgets.HTML(layout={"min_height": f"{self.height}px", "margin": "4px 0"})
        self._said = said()
        self._said.layout.min_height = "66px"  # three lines, so that nothing below moves
        self._box = panel([*self.rows(), self._view, self._said])
        self.text = ""
        self._drawing = ""
        self._show()

    def rows(self) -> list[ipywidgets.Widget]:
        """How the controls stand: beside each other, in as many lines as it takes."""
        return [ipywidgets.Box(list(self.controls.values()), layout={"flex_flow": "row wrap", "grid_gap": "2px 18px"})]

    @property
    def settings(self) -> Settings:
        return {name: control.value for name, control in self.controls.items()}

    def still(self) -> Still:
        """The drawing at the present settings, for pages without a kernel."""
        return Still(self._drawing, self.text)

    def grid(self) -> Iterator[Settings]:
        """What a page without a kernel can show: all settings, but without those of `live` and `compare`.

        The last one may have other values for each choice of those before it.
        """
        names = [name for name in self.controls if name not in (*self.live, self.compare)]
        for values in product(*(choices(self.controls[name]) for name in names)):
            yield dict(zip(names, values, strict=True))

    def is_slow(self, settings: Settings) -> bool:
        """Does this setting take longer than a tenth of a second? Then the explorer says that it computes."""
        return False

    def render(self, settings: Settings) -> tuple[str, str]:
        """Drawing and sentence of these settings, beside those that `pin` keeps."""
        kind = type(self)
        pinned = settings.pop(PIN, None)
        result = kind.compute(**settings)
        if pinned is None:
            return kind.draw(result), kind.describe(result)
        self._pinned = (self._pinned or result) if pinned else None
        return kind.draw(result, self._pinned), kind.describe(result, self._pinned)

    def _moved(self, change: object) -> None:
        self._show()

    def _show(self) -> None:
        settings = self.settings
        try:
            if self.is_slow(settings):
                self._view.value = waiting(self.title, self.height)
            with undisturbed_learner():
                self._drawing, self.text = self.render(settings)
        except Exception as error:  # shown where the drawing would be: an observer's exception is easily missed
            self.text = f"{type(error).__name__}: {error}"
            self._drawing = failure(self.title, self.text, self.height)
        self._view.value = self._drawing
        self._said.value = escape(self.text)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return bundle(self._box, self.text, resolved(self._drawing))


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


def waiting(title: str, height: int) -> str:
    return picture(title, "computing", height, text(450, height / 2, "computing …", size=20, anchor="middle"))


def failure(title: str, message: str, height: int) -> str:
    """An error as a drawing: a sign, its words, nothing hidden."""
    parts = [
        box(30, 30, 840, height - 60, fill="none", stroke=VERMILION, stroke_width=2),
        text(50, 68, "✗ this setting does not work", size=18, font_weight=600),
        paragraph(50, 100, message, CHARACTERS, size=15),
        text(50, height - 48, "Choose another setting; the controls stay as they are.", fill=SOFT),
    ]
    return picture(title, message, height, *parts)


def choices(control: ipywidgets.Widget) -> tuple[Any, ...]:
    """All values of a control, in its order."""
    if isinstance(control, ipywidgets.Checkbox):
        return (False, True)
    if isinstance(control, ipywidgets.IntSlider):
        return tuple(range(control.min, control.max + 1, control.step))
    return tuple(control.options)


def checkbox(label: str, value: bool = False) -> ipywidgets.Checkbox:
    return ipywidgets.Checkbox(value=value, description=label, indent=False, layout={"width": "auto"})


def select(label: str, options: Any, value: Any) -> ipywidgets.Dropdown:
    """A choice among a few values, with its label beside it."""
    return ipywidgets.Dropdown(
        options=options, value=value, description=label, layout={"width": "auto"}, style={"description_width": "auto"}
    )


def steps(label: str, options: Any, value: Any, width: int = 330) -> ipywidgets.SelectionSlider:
    """A slider over listed values; the browser's accessibility tree says the value (see panel.py)."""
    return ipywidgets.SelectionSlider(
        options=options,
        value=value,
        description=label,
        layout={"width": f"{width}px"},
        style={"description_width": "auto"},
    )
