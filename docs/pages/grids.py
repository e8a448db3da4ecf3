"""Every drawing and sentence of an explorer in one small file: what a page looks up in place of asking a kernel.

A drawing is a list of elements, and most elements stand in many drawings. So a file holds each element once and, for
each setting, the numbers of its elements. A second result (`Explorer.compare`) is a layer: its elements go in at the
same place of every drawing, which is tested here while the file is made.
"""

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby
from math import prod
from typing import Any

from resnet_lib.widgets.explorer import PIN, Explorer, Settings, choices, undisturbed_learner
from resnet_lib.widgets.svg import escape

Elements = list[str]
Rendered = tuple[str, str]  # a drawing and its sentence
Layer = tuple[Elements, str]  # what a second result adds to a drawing and to its sentence


@dataclass(frozen=True)
class Cut:
    """The elements of a drawing before and after the place of a second result, its sentence, and one second result."""

    before: Elements
    after: Elements
    words: str
    layer: Layer


@dataclass(frozen=True)
class Grid:
    """A setting's place is counted from the places of its values, the last control fastest; some places are empty."""

    explorer: str
    controls: list[tuple[str, int]]  # the name of each control and how many values it has
    compare: str
    elements: Elements  # each once
    drawings: list[list[list[int]] | None]  # numbers of elements, before and after the second result
    said: list[str | None]
    layers: list[list[int]]  # the second results; which one is the place of a setting, or of a value of `compare`
    said_too: list[str]

    @cached_property
    def json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @property
    def name(self) -> str:
        """Grids of the same content share a file."""
        return f"{self.explorer}-{hashlib.sha256(self.json.encode()).hexdigest()[:8]}"

    def script(self) -> str:
        """JavaScript, because a page that was opened as a file may load a script but no other file."""
        deflate = zlib.compressobj(9, wbits=-15)
        packed = deflate.compress(self.json.encode()) + deflate.flush()
        return f'(window.resnetGrids ??= {{}})["{self.name}"] = "{base64.b64encode(packed).decode()}";\n'


def grid_of(explorer: Explorer) -> Grid:
    """Compute and draw every setting of an explorer. ValueError if a second result is no layer."""
    settings = list(explorer.grid())
    values = values_of(settings)
    with undisturbed_learner():
        renderer = Renderer(explorer, settings)
        cuts = [renderer.cut(setting, renderer.other(place)) for place, setting in enumerate(settings)]
        layers = [renderer.layer(second) for second in range(len(renderer.seconds))]
    for place, (setting, cut) in enumerate(zip(settings, cuts, strict=True)):
        if layers and layers[renderer.other(place)] != cut.layer:
            raise ValueError(f"the second result beside {setting} is no layer upon the drawing")
    every = dict.fromkeys(element for cut in cuts for element in cut.before + cut.after)
    every |= dict.fromkeys(element for elements, _ in layers for element in elements)
    number = {element: index for index, element in enumerate(every)}
    size = prod(map(len, values.values()))
    drawings: list[list[list[int]] | None] = [None] * size
    said: list[str | None] = [None] * size
    for setting, cut in zip(settings, cuts, strict=True):
        place = place_of(setting, values)
        drawings[place] = [[number[element] for element in half] for half in (cut.before, cut.after)]
        said[place] = cut.words
    return Grid(
        type(explorer).__name__,
        [(name, len(options)) for name, options in values.items()],
        explorer.compare,
        list(every),
        drawings,
        said,
        [[number[element] for element in elements] for elements, _ in layers],
        [words for _, words in layers],
    )


def values_of(settings: Sequence[Settings]) -> dict[str, list[Any]]:
    """All values of each control, those of the last one in the order of the choice that has most."""
    values = {name: list(dict.fromkeys(setting[name] for setting in settings)) for name in settings[0]}
    *before, last = values
    groups = groupby(settings, key=lambda setting: [setting[name] for name in before])
    longest = max(([setting[last] for setting in group] for _, group in groups), key=len)
    values[last] = list(dict.fromkeys(longest + values[last]))
    return values


def place_of(setting: Settings, values: dict[str, list[Any]]) -> int:
    place = 0
    for name, options in values.items():
        place = place * len(options) + options.index(setting[name])
    return place


def elements_of(rendered: Rendered) -> Elements:
    """A drawing in pieces that give it back when joined. Its description is the sentence: the page puts that in."""
    drawing, words = rendered
    description = f"<desc>{escape(words)}</desc>"
    if drawing.count(description) != 1:
        raise ValueError(f"the drawing is not described by its sentence: {words}")
    return re.split(r"(?<=>)(?=<)", drawing.replace(description, "<desc></desc>"))


def alike(first: Elements, second: Elements) -> int:
    """How many elements at the beginning of two lists are the same."""
    pairs = zip(first, second, strict=False)
    return next((index for index, (one, other) in enumerate(pairs) if one != other), min(len(first), len(second)))


class Renderer:
    """Draws the settings of an explorer, alone or beside a second result, and finds where the second goes in."""

    def __init__(self, explorer: Explorer, settings: Sequence[Settings]):
        self.explorer, self.settings = explorer, settings
        self.seconds: Sequence[Any] = ()
        self.none: Any = None  # the value of `compare` that stands for no second result
        if explorer.compare == PIN:
            self.seconds = settings
        elif explorer.compare:
            self.seconds = choices(explorer.controls[explorer.compare])
            self.none = self.seconds[0]

    def alone(self, setting: Settings) -> Rendered:
        """Drawing and sentence without a second result."""
        whole = {**self.explorer.settings, **setting}
        if self.explorer.compare == PIN:
            del whole[PIN]
        elif self.explorer.compare:
            whole[self.explorer.compare] = self.none
        return self.explorer.render(whole)

    def compared(self, setting: Settings, second: Any) -> Rendered:
        """The same beside the result of another setting, or beside a value of the control that brings a second in."""
        if self.explorer.compare != PIN:
            return self.explorer.render({**self.explorer.settings, **setting, self.explorer.compare: second})
        kind, fixed = type(self.explorer), {**self.explorer.settings}
        del fixed[PIN]
        results = [kind.compute(**{**fixed, **one}) for one in (setting, second)]
        return kind.draw(*results), kind.describe(*results)

    def cut(self, setting: Settings, second: int) -> Cut:
        """What a second result adds to the drawing of a setting, and where."""
        drawing, words = self.alone(setting)
        alone = elements_of((drawing, words))
        if not self.seconds:
            return Cut(alone, [], words, ([], ""))
        both = self.compared(setting, self.seconds[second])
        with_it, more = elements_of(both), both[1].removeprefix(words)
        if self.seconds[second] == self.none:  # the drawing says that there is no second, in a place of its own
            alone = elements_of(self.compared(setting, self.seconds[-1]))
        before = alike(with_it, alone)
        after = len(with_it) - alike(with_it[before:][::-1], alone[before:][::-1])
        return Cut(with_it[:before], with_it[after:], words, (with_it[before:after], more))

    def other(self, place: int) -> int:
        """A second result for the setting at a place: another one each time, and never the setting itself."""
        second = (7 * place + 3) % max(len(self.seconds), 1)
        return second - 1 if self.seconds and self.seconds[second] == self.settings[place] else second

    def layer(self, second: int) -> Layer:
        """What a second result adds to the first setting, or to the last one if it is the first itself."""
        under = self.settings[0] if self.seconds[second] != self.settings[0] else self.settings[-1]
        return self.cut(under, second).layer
