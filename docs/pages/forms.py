"""What stands on a page in place of a live view: a place for explorer.js, and in it what is seen without scripts."""

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from resnet_lib.teaching.quiz import Predict, Quiz
from resnet_lib.widgets.explorer import Explorer, Still
from resnet_lib.widgets.front import HERE
from resnet_lib.widgets.grids import grid_of, packed
from resnet_lib.widgets.svg import escape, tag


class Script(NamedTuple):
    """A grid as JavaScript, because a page that was opened as a file may load a script but no other file."""

    name: str
    text: str


def script_of(explorer: Explorer) -> Script:
    """The grid that was shipped, or a new one."""
    grid = explorer.packed or packed(grid_of(explorer))
    name = f"{type(explorer).__name__}-{hashlib.sha256(grid).hexdigest()[:8]}"
    return Script(name, f'(window.resnetGrids ??= {{}})["{name}"] = "{base64.b64encode(grid).decode()}";\n')


def front_script() -> str:
    """explorer.js as a plain script: a page that was opened as a file may load no module."""
    source, mark = (HERE / "explorer.js").read_text(encoding="utf-8"), "export default"
    if source.count(mark) != 1:
        raise ValueError(f"explorer.js must have one {mark!r}")
    return f"(() => {{\n{source.replace(mark, 'const front =')}\nfront.page(window.resnetGrids ?? {{}});\n}})();\n"


def place_for(spec: dict[str, Any], state: dict[str, Any], identifier: str, inside: str, grid: str = "") -> str:
    values = json.dumps({"spec": spec, "state": state, "grid": grid}, ensure_ascii=False)
    return tag("div", inside, class_="resnet-front", id=identifier, data_front=values)


def explorer_html(explorer: Explorer, grid: str, identifier: str) -> str:
    drawing, words = explorer.shown()
    said = tag("p", tag("span", escape(words), role="status"), class_="resnet-said")
    inside = tag("div", drawing, class_="resnet-drawing") + said
    return place_for(explorer.spec(), explorer.state, identifier, inside, grid)


def questions_html(asked: Quiz | Predict, identifier: str) -> str:
    return place_for(asked.front.spec, {}, identifier, tag("p", escape(asked.text), class_="resnet-text"))


def comparison_html(printed: str, texts: Sequence[str], identifier: str) -> str:
    """What a cell printed; the lines about a prediction follow the reader's (`texts`: of none and of each option)."""
    written = json.dumps(texts, ensure_ascii=False)
    lines = tag("span", escape(texts[0]), data_follows=identifier, data_texts=written)
    pre = tag("pre", escape(printed).replace(escape(texts[0]), lines), tabindex=0)
    return tag("div", pre, class_="highlight")


def still_html(drawing: str | None, words: str) -> str:
    """A picture with its sentence, for what can't work without a kernel."""
    if drawing is None:
        return tag("p", escape(words), class_="resnet-said")
    shown = Still(drawing, words)._repr_mimebundle_()["text/html"]
    return tag("figure", shown, tag("figcaption", escape(words)))
