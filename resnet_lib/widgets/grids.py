"""Every drawing and sentence of an explorer in one small file, which the browser looks up in place of asking a kernel.

`python -m resnet_lib.widgets` makes the files. A drawing is a list of elements, and most elements stand in many
drawings. So a file holds each element once and, for each setting, the numbers of its elements. A second result
(`Explorer.compare`) is a layer: its elements go in at the same place of every drawing, which is tested here while the
file is made. Where a second result may need wider axes than the first, a drawing and a layer are kept for each level of
axes that can occur (`Explorer.level`).
"""

import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
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


def packed(grid: Grid) -> bytes:
    """A grid as it is shipped and sent to the browser: JSON, deflated."""
    written = json.dumps(asdict(grid), ensure_ascii=False, separators=(",", ":"))
    deflate = zlib.compressobj(9, wbits=-15)
    return deflate.compress(written.encode()) + deflate.flush()


@cache
def unpacked(packed: bytes) -> Grid:
    return Grid(**json.loads(zlib.decompress(packed, -15)))


@cache
def load_packed(name: str) -> bytes:
    """The grid of that name, packed; nothing where none was shipped."""
    path = DRAWN / f"{name}.bin"
    return path.read_bytes() if path.is_file() else b""


# Making them


def grid_of(explorer: Any) -> Grid:
    """Compute and draw every setting of an explorer. ValueError if a second result is no layer."""
    maker = _Maker(explorer)
    values = values_of(maker.settings)
    size = prod(map(len, values.values()))
    counts = [(name, len(options)) for name, options in values.items()]
    grid = Grid(counts, explorer.compare, [], [0] * size, [None] * size, [None] * size, [], [])
    numbers: dict[str, int] = {}

    def numbered(elements: Elements) -> list[int]:
        return [numbers.setdefault(element, len(numbers)) for element in elements]

    for index, setting in enumerate(maker.settings):
        at = grid.number({name: options.index(setting[name]) for name, options in values.items()})
        grid.levels[at], grid.said[at] = maker.levels[index], maker.words[index]
        grid.drawings[at] = [[numbered(before), numbered(after)] for before, after in maker.pieces(index)]
    for level in range(maker.top + 1):
        layers = [maker.layer(level, second) for second in range(len(maker.seconds))]
        grid.layers.append([layer and numbered(layer[0]) for layer in layers])
    grid.said_too.extend(layer[1] for layer in layers if layer)
    grid.elements.extend(numbers)
    return grid


def values_of(settings: Sequence[Setting]) -> dict[str, list[Any]]:
    """All values of each control, those of the last one in the order of the choice that has most."""
    values = {name: list(dict.fromkeys(setting[name] for setting in settings)) for name in settings[0]}
    *before, last = values
    groups = groupby(settings, key=lambda setting: [setting[name] for name in before])
    longest = max(([setting[last] for setting in group] for _, group in groups), key=len)
    values[last] = list(dict.fromkeys(longest + values[last]))
    return values


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

    def _drawn(self, *results: Any) -> tuple[Elements, Elements, Elements]:
        return elements_of(self.kind.draw(*results), self.kind.describe(*results))

    def pieces(self, index: int) -> Iterator[tuple[Elements, Elements]]:
        """What stands in a setting's drawing before and after a second result, at its level of axes and those above."""
        for level in range(self.levels[index], self.top + 1):
            wider = [self.results[self.levels.index(level)]] if level > self.levels[index] else []
            before, _, after = self._drawn(self.results[index], *wider)
            yield before, after

    def layer(self, level: int, second: int) -> tuple[Elements, str] | None:
        """What a second result adds at a level of axes; the same to two settings, or it is no layer."""
        if self.pins and self.levels[second] > level:
            return None
        others = [index for index in range(len(self.settings)) if index != second]
        under = [index for index in others if self.levels[index] == level] or others
        found = []
        for index in (under[0], under[-1]):
            both = [self.results[index], self.results[second]] if self.pins else []
            results = both or [self._measured(self.settings[index], second)]
            added = self.kind.describe(*results).removeprefix(self.words[index])
            found.append((self._drawn(*results)[1], added))
        if found[0] != found[1]:
            raise ValueError(f"the second result {self.seconds[second]} is no layer upon the drawing")
        return found[0]
