"""What stands on a page in place of a live view: a place for explorer.js, and in it what is seen without scripts."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from resnet_lib.teaching.quiz import Predict, Quiz
from resnet_lib.widgets.explorer import Explorer
from resnet_lib.widgets.front import HERE
from resnet_lib.widgets.grids import Packed, grid_of
from resnet_lib.widgets.svg import escape, resolved, tag


@dataclass(frozen=True)
class Script:
    """A grid as JavaScript, because a page that was opened as a file may load a script but no other file."""

    name: str
    packed: bytes

    @property
    def text(self) -> str:
        data = base64.b64encode(self.packed).decode()
        return f'(window.resnetGrids ??= {{}})["{self.name}"] = "{data}";\n'


def front_script() -> str:
    """explorer.js as a plain script: a page that was opened as a file may load no module."""
    source, mark = (HERE / "explorer.js").read_text(encoding="utf-8"), "export default"
    if source.count(mark) != 1:
        raise ValueError(f"explorer.js must have one {mark!r}")
    return f"(() => {{\n{source.replace(mark, 'const front =')}\nfront.page(window.resnetGrids ?? {{}});\n}})();\n"


def place_for(spec: dict[str, Any], state: dict[str, Any], identifier: str, inside: str, grid: str = "") -> str:
    values = json.dumps({"spec": spec, "state": state, "grid": grid}, ensure_ascii=False)
    return tag("div", inside, class_="resnet-front", id=identifier, data_front=values)


def script_of(explorer: Explorer) -> Script:
    """The grid that was shipped, or a new one."""
    packed = explorer.packed or Packed.of(grid_of(explorer))
    digest = hashlib.sha256(packed.packed).hexdigest()[:8]
    return Script(f"{type(explorer).__name__}-{digest}", packed.packed)


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
    data = base64.b64encode(resolved(drawing).encode()).decode()
    image = tag("img", src=f"data:image/svg+xml;base64,{data}", alt=words, width=900)
    return tag("figure", image, tag("figcaption", escape(words)))
