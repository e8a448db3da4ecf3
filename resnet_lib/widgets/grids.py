"""Every drawing and sentence of an explorer in one small file, which the browser looks up in place of asking a kernel.

    python -m resnet_lib.widgets     draws all settings of all explorers anew, into drawn/

A drawing is a list of elements, and most elements stand in many drawings. So a file holds each element once and, for
each setting, the numbers of its elements. A second result (`Explorer.compare`) is a layer: its elements go in at the
same place of every drawing, which is tested here while the file is made. Where a second result may need wider axes than
the first, a drawing and a layer are kept for each level of axes that can occur (`Explorer.level`).
"""

import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from itertools import groupby
from math import prod
from pathlib import Path
from typing import Any

from resnet_lib.widgets.svg import escape

DRAWN = Path(__file__).parent / "drawn"
PLACE = "<desc></desc>"  # where the sentence goes in a drawing
SECOND = '<g class="second">'  # where a second result begins, see svg.second

Setting = dict[str, Any]  # the value of each control
Elements = list[str]
Rendered = tuple[str, str]  # a drawing and its sentence
Layer = tuple[Elements, str]  # what a second result adds to a drawing and to its sentence
Halves = list[list[int]]  # numbers of elements, before and after the second result


@dataclass(frozen=True)
class Grid:
    """A setting's number is counted from the places of its values, the last control fastest; some numbers are empty."""

    controls: list[tuple[str, int]]  # the name of each control and how many values it has
    compare: str
    elements: Elements  # each once
    levels: list[int]  # the axes that a setting needs
    drawings: list[list[Halves] | None]  # at its own level and at those above
    said: list[str | None]
    layers: list[list[list[int] | None]]  # by level; the second results: a setting's number or a value of `compare`
    said_too: list[str]

    def number(self, places: dict[str, int]) -> int:
        """The number of a setting, given as the place of each control's value."""
        number = 0
        for name, count in self.controls:
            number = number * count + places[name]
        return number

    def offered(self, places: dict[str, int]) -> tuple[str, list[int]]:
        """The name of the last control, and those of its values for which there is a drawing."""
        name, count = self.controls[-1]
        first = self.number({**places, name: 0})
        return name, [index for index in range(count) if self.drawings[first + index]]

    def rendered(self, places: dict[str, int], kept: dict[str, int] | None = None) -> Rendered:
        """Drawing and sentence of a setting, beside one that was kept."""
        number = self.number(places)
        level, second = self.levels[number], places.get(self.compare)
        if self.compare == "pin":
            second = self.number(kept) if kept else number
            second, level = (None, level) if second == number else (second, max(level, self.levels[second]))
        drawing, words = self.drawings[number], self.said[number]
        assert drawing is not None and words is not None
        before, after = drawing[level - self.levels[number]]
        between = [] if second is None else self.layers[level][second] or []
        words += "" if second is None else self.said_too[second]
        written = "".join(self.elements[element] for element in (*before, *between, *after))
        return written.replace(PLACE, f"<desc>{escape(words)}</desc>"), words

    @property
    def longest(self) -> str:
        return max(filter(None, self.said), key=len) + max(self.said_too, key=len, default="")


@dataclass(frozen=True)
class Packed:
    """A grid as it is shipped and sent to the browser: JSON, deflated."""

    packed: bytes

    @cached_property
    def grid(self) -> Grid:
        return Grid(**json.loads(zlib.decompress(self.packed, -15)))

    @classmethod
    def of(cls, grid: Grid) -> "Packed":
        written = json.dumps(asdict(grid), ensure_ascii=False, separators=(",", ":"))
        deflate = zlib.compressobj(9, wbits=-15)
        return cls(deflate.compress(written.encode()) + deflate.flush())


@cache
def load_packed(name: str) -> Packed | None:
    """The grid of that name, None where none was shipped."""
    path = DRAWN / f"{name}.bin"
    return Packed(path.read_bytes()) if path.is_file() else None


# Making them


def grid_of(explorer: Any) -> Grid:
    """Compute and draw every setting of an explorer. ValueError if a second result is no layer."""
    maker = _Maker(explorer)
    values = values_of(maker.settings)
    pieces = [maker.pieces(index) for index in range(len(maker.settings))]
    layers = [[maker.layer(level, second) for second in range(len(maker.seconds))] for level in range(maker.top + 1)]
    every = dict.fromkeys(element for levels in pieces for halves in levels for half in halves for element in half)
    every |= dict.fromkeys(element for level in layers for layer in level if layer for element in layer[0])
    number = {element: index for index, element in enumerate(every)}
    size = prod(map(len, values.values()))
    drawings: list[list[Halves] | None] = [None] * size
    said: list[str | None] = [None] * size
    levels = [0] * size
    for index, setting in enumerate(maker.settings):
        at = number_of(setting, values)
        drawings[at] = [[[number[element] for element in half] for half in halves] for halves in pieces[index]]
        said[at], levels[at] = maker.words[index], maker.levels[index]
    return Grid(
        [(name, len(options)) for name, options in values.items()],
        explorer.compare,
        list(every),
        levels,
        drawings,
        said,
        [[layer and [number[element] for element in layer[0]] for layer in level] for level in layers],
        [layer[1] for layer in layers[-1] if layer],
    )


def values_of(settings: Sequence[Setting]) -> dict[str, list[Any]]:
    """All values of each control, those of the last one in the order of the choice that has most."""
    values = {name: list(dict.fromkeys(setting[name] for setting in settings)) for name in settings[0]}
    *before, last = values
    groups = groupby(settings, key=lambda setting: [setting[name] for name in before])
    longest = max(([setting[last] for setting in group] for _, group in groups), key=len)
    values[last] = list(dict.fromkeys(longest + values[last]))
    return values


def number_of(setting: Setting, values: dict[str, list[Any]]) -> int:
    number = 0
    for name, options in values.items():
        number = number * len(options) + options.index(setting[name])
    return number


def elements_of(drawing: str, words: str) -> tuple[Elements, Elements, Elements]:
    """A drawing in pieces that give it back when joined: before the second result, of it, and after it."""
    description = f"<desc>{escape(words)}</desc>"
    if drawing.count(description) != 1:
        raise ValueError(f"the drawing is not described by its sentence: {words}")
    elements = re.split(r"(?<=>)(?=<)", drawing.replace(description, PLACE))
    if SECOND not in elements:
        return elements, [], []
    start = elements.index(SECOND) + 1
    end = elements.index("</g>", start)
    return elements[:start], elements[start:end], elements[end:]


class _Maker:
    """Draws the settings of an explorer, alone and beside second results."""

    def __init__(self, explorer: Any):
        self.explorer, self.kind = explorer, type(explorer)
        self.settings = list(explorer.settings())
        self.pins = explorer.compare == "pin"
        other = () if self.pins or not explorer.compare else explorer.controls[explorer.compare].values
        self.seconds: Sequence[Any] = self.settings if self.pins else other
        self.results = [self._measured(setting) for setting in self.settings]
        self.words = [self.kind.describe(result) for result in self.results]
        self.levels = [self.kind.level(result) for result in self.results]
        self.top = max(self.levels)

    def _measured(self, setting: Setting, second: int = 0) -> Any:
        compare = {self.explorer.compare: self.seconds[second]} if self.seconds and not self.pins else {}
        return self.explorer.measured({**self.explorer.setting, **setting, **compare})

    def pieces(self, index: int) -> list[tuple[Elements, Elements]]:
        """What stands in a setting's drawing before and after a second result, at its level of axes and those above."""
        drawn = []
        for level in range(self.levels[index], self.top + 1 if self.pins else 1):
            result = self.results[index]
            beside = [self.results[self.levels.index(level)]] if level > self.levels[index] else []
            words = self.kind.describe(result, *beside)
            before, _, after = elements_of(self.kind.draw(result, *beside), words)
            drawn.append((before, after))
        return drawn

    def layer(self, level: int, second: int) -> Layer | None:
        """What a second result adds at a level of axes; the same to two settings, or it is no layer."""
        if self.pins and self.levels[second] > level:
            return None
        under = [index for index in range(len(self.settings)) if not self.pins or index != second]
        under = [index for index in under if not self.pins or self.levels[index] == level] or under
        found = []
        for index in (under[0], under[-1]):
            results = [self.results[index], self.results[second]] if self.pins else []
            results = results or [self._measured(self.settings[index], second)]
            drawing, words = self.kind.draw(*results), self.kind.describe(*results)
            found.append((elements_of(drawing, words)[1], words.removeprefix(self.words[index])))
        if found[0] != found[1]:
            raise ValueError(f"the second result {self.seconds[second]} is no layer upon the drawing")
        return found[0]
