"""One front end for explorers, predictions and quizzes: explorer.js, which notebooks load through anywidget."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anywidget
import traitlets

HERE = Path(__file__).parent
VIEW = "application/vnd.jupyter.widget-view+json"


class Front(anywidget.AnyWidget):
    """What Python and the browser share; explorer.js says what is in it."""

    _esm = HERE / "explorer.js"
    _css = HERE / "explorer.css"
    spec = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)
    grid = traitlets.Bytes(b"").tag(sync=True)

    def __init__(self, **values: Any):
        switch_on_colab()
        super().__init__(**values)


def switch_on_colab() -> None:
    """Colab shows widgets of other packages only when it is told to; anywidget tells it where this module is loaded."""
    try:
        if find_spec("google.colab"):
            import_module("google.colab.output")
    except ModuleNotFoundError:  # there is no package `google` at all
        pass


def bundle(front: Front, text: str, drawing: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """One output: the live view, a picture for GitHub, a sentence that nbval compares."""
    data, metadata = front._repr_mimebundle_()  # type: ignore[misc]
    picture = {} if drawing is None else {"image/svg+xml": drawing}
    return {VIEW: data[VIEW], "text/plain": text, **picture}, metadata
