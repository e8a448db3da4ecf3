"""Drawings of the lessons that take no setting: valid, large enough to read, and right about what they count."""

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest
import torch

import resnet_lib as rl
from resnet_lib.widgets import blocks_figure, bottleneck_figure, columns_figure, line_figure, paths_figure
from resnet_lib.widgets.explorer import Still
from resnet_lib.widgets.figures import neighbours
from resnet_lib.widgets.plots import lines
from resnet_lib.widgets.style import BLUE, VERMILION

SVG = "{http://www.w3.org/2000/svg}"
WAVE = [math.sin(place / 20) for place in range(100)]
NOISE = [math.sin(1000 * place**2) for place in range(100)]
FIGURES: dict[str, Callable[[], Still]] = {
    "blocks": blocks_figure,
    "bottleneck": bottleneck_figure,
    "columns": columns_figure,
    "paths": paths_figure,
    "line": lambda: line_figure({"plain-8": WAVE, "plain-56": NOISE, "residual-56": WAVE}),
}


@pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)
def test_figure_is_valid_and_readable(make: Callable[[], Still]) -> None:
    still = make()
    drawing = ET.fromstring(still.drawing)
    _, _, width, height = map(float, drawing.get("viewBox", "").split())
    assert width == 900 and drawing.find(f"{SVG}desc").text == still.alt  # type: ignore[union-attr]
    assert still.alt.startswith(drawing.find(f"{SVG}title").text or "?")  # type: ignore[union-attr]
    texts = list(drawing.iter(f"{SVG}text"))
    assert min(float(node.get("font-size", 0)) for node in texts) >= 16  # 12 points
    for node in texts:
        assert 0 < float(node.get("x", -1)) < width and 0 < float(node.get("y", -1)) < height
    assert make().drawing == still.drawing


def words(still: Still) -> list[str]:
    return [node.text or "" for node in ET.fromstring(still.drawing).iter(f"{SVG}text")]


def test_columns_are_the_library_s_layers() -> None:
    found = words(columns_figure())
    with torch.device("meta"):
        net = rl.resnet34()
    convolutions = [m for name, m in net.named_modules() if isinstance(m, torch.nn.Conv2d) and "downsample" not in name]
    for channels in (64, 128, 256, 512):
        layers = [c for c in convolutions if c.out_channels == channels and c.kernel_size == (3, 3)]
        vgg = {64: 2, 128: 2, 256: 4, 512: 8}[channels]
        written = [word for word in found if re.match(rf"3×3, {channels}\b", word)]
        assert len(written) == 2 * len(layers) + vgg
    assert columns_figure().drawing.count('stroke-dasharray="2 3"') == 3  # shortcuts that change the shape


def test_bottleneck_figure_counts_the_library_s_blocks() -> None:
    for block in (rl.BasicBlock(64, 64), rl.Bottleneck(256, 64)):
        assert f"{rl.count_parameters(block):,} parameters" in bottleneck_figure().alt


def test_paths_are_all_paths() -> None:
    for blocks in (2, 3, 4):
        drawn = words(paths_figure(blocks))
        assert drawn.count("x") == 2**blocks + 1  # the net itself too
        assert drawn.count("f1") == 2 ** (blocks - 1) + 1
    with pytest.raises(ValueError, match="blocks must be one of 2, 3, 4, got 27"):
        paths_figure(27)


def test_a_line_of_gradients_says_how_neighbours_correlate() -> None:
    still = line_figure({"plain-56": NOISE, "residual-56": WAVE}, source="recorded")
    assert neighbours(WAVE) > 0.9 and abs(neighbours(NOISE)) < 0.4
    assert (
        f"{neighbours(WAVE):.2f}" in words(still)
        and f"residual-56: neighbours correlate {neighbours(WAVE):.2f}" in still.alt
    )
    assert "recorded" in words(still) and VERMILION in still.drawing and BLUE in still.drawing
    with pytest.raises(ValueError, match="three values that differ"):
        line_figure({"plain-8": [1.0, 1.0, 1.0]})


def test_curves_of_unequal_length_have_places_with_names() -> None:
    rows = {"plain-8": [1.0, 2.0], "plain-20": [1.0, 3.0, 2.0]}
    places = ("last", "middle", "first")
    plot = lines(rows, title="It grows", x_label="block", y_label="gradient", places=places)
    assert [label.get_text() for label in plot.figure.axes[0].get_xticklabels()] == list(places)
