"""The explorers as a person meets them: every lesson that has one, run in JupyterLab, moved by keyboard and mouse.

Screenshots for a person to look at go to the folder in RESNET_LAB_SHOTS, if that is set.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from browser_lab import CHROMIUM, chromium, jupyter_lab, open_and_run, use_theme

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium was found: apt-get install chromium"),
    pytest.mark.timeout(600),
]
LESSONS = Path(__file__).parents[1] / "notebooks"
EXPLORER = re.compile(r"Explorer\(|TrainingReplay\(")
WITH_EXPLORERS = sorted(path for path in LESSONS.glob("*.ipynb") if EXPLORER.search(path.read_text(encoding="utf-8")))
PANEL = ".resnet-panel:has(svg[role=img]):has(.resnet-said)"
VIEW = "application/vnd.jupyter.widget-view+json"
SHOTS = os.environ.get("RESNET_LAB_SHOTS")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, scratch = tmp_path_factory.mktemp("lessons"), tmp_path_factory.mktemp("scratch")
    for path in WITH_EXPLORERS:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":  # what is on the page was made on the page
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, folder / path.name)
    with jupyter_lab(folder, scratch) as address:
        yield address
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with chromium() as page:
        yield page


def said(panel: Any) -> str:
    return panel.locator(".resnet-said .widget-html-content").inner_text().strip()


def described(panel: Any) -> str:
    return panel.locator("svg[role=img] desc").text_content().strip()


def settled(page: Any, panel: Any, before: str) -> str:
    """What the panel says once it says something new; a move that changes nothing gives what it said before."""
    for _ in range(100):
        page.wait_for_timeout(30)
        now = said(panel)
        if now != before and now == described(panel):
            return now
    return said(panel)


def controls(panel: Any) -> dict[str, Any]:
    """The controls by name, in the order of the page."""
    classes = panel.locator("[class*='control-']").evaluate_all("nodes => nodes.map(node => node.className)")
    names = [re.search(r"control-([\w.]+)", text)[1] for text in classes]  # type: ignore[index]
    return {name: panel.locator(f".control-{name}") for name in names}


def move_by_keyboard(page: Any, control: Any) -> None:
    """Focus the control and press the key that a person would press."""
    handle = control.locator(".noUi-handle")
    if handle.count():
        handle.focus()
        before = handle.get_attribute("aria-valuetext")
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(60)
        if handle.get_attribute("aria-valuetext") == before:  # it stood at its end
            page.keyboard.press("ArrowLeft")
    elif control.locator("select").count():
        control.locator("select").focus()
        before = control.locator("select").evaluate("node => node.selectedIndex")
        page.keyboard.press("ArrowDown")
        if control.locator("select").evaluate("node => node.selectedIndex") == before:
            page.keyboard.press("ArrowUp")
    elif control.locator("input[type=radio]").count():
        control.locator("input[type=radio]:checked").focus()
        page.keyboard.press("ArrowRight")
    else:
        control.locator("input[type=checkbox]").focus()
        page.keyboard.press("Space")


def move_by_mouse(page: Any, control: Any) -> None:
    """Click where a person would click to get another value."""
    if control.locator(".noUi-handle").count():
        place = control.locator(".noUi-base").bounding_box()
        handle = control.locator(".noUi-handle").bounding_box()
        left = handle["x"] + handle["width"] / 2 > place["x"] + place["width"] / 2
        page.mouse.click(place["x"] + place["width"] * (0.05 if left else 0.95), place["y"] + place["height"] / 2)
    elif control.locator("select").count():
        last = control.locator("option").count() - 1
        now = control.locator("select").evaluate("node => node.selectedIndex")
        control.locator("select").select_option(index=0 if now == last else last)
    elif control.locator("input[type=radio]").count():
        control.locator("input[type=radio]:not(:checked)").first.click()
    else:
        control.locator("input[type=checkbox]").click()


LONG = [pytest.param(path, marks=pytest.mark.thorough) for path in WITH_EXPLORERS[1:]]


@pytest.mark.parametrize("path", [*WITH_EXPLORERS[:1], *LONG], ids=lambda path: path.stem)
def test_explorers_of_a_lesson(lab: str, page: Any, path: Path) -> None:
    open_and_run(page, lab.format(path.name))
    page.locator(PANEL).first.wait_for(timeout=30_000)
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    panels = page.locator(PANEL)
    outputs = [out for cell in nbformat.read(path, as_version=4).cells for out in cell.get("outputs", [])]
    live = sum({VIEW, "image/svg+xml"} <= out.get("data", {}).keys() for out in outputs)
    assert live and panels.count() == live, "an explorer of this lesson is not on the page"
    for number in range(panels.count()):
        panel = panels.nth(number)
        if panel.locator("[class*='control-']").count():
            use(page, panel, f"{path.stem}-{number}")


def use(page: Any, panel: Any, name: str) -> None:
    panel.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    assert said(panel) == described(panel)
    top = panel.evaluate("node => { const r = node.getBoundingClientRect(); return [r.width, r.height]; }")
    panel.evaluate(WATCH)
    for key, control in controls(panel).items():
        named(page, control, key)
        for move in (move_by_keyboard, move_by_mouse):
            before = said(panel), value_of(control)
            move(page, control)
            after = settled(page, panel, before[0])
            assert value_of(control) != before[1], f"{name}, {key}: {move.__name__} moved nothing"
            assert after == described(panel), f"{name}, {key}: picture and text disagree"
            assert not re.match(r"\w*Error", after), f"{name}, {key}: {after}"
    seen = panel.evaluate("node => node.seen")
    assert seen["blank"] == 0, f"{name}: {seen['blank']} blank frames"
    assert seen["texts"] > 3, f"{name}: the drawing hardly changed"
    size = panel.evaluate("node => { const r = node.getBoundingClientRect(); return [r.width, r.height]; }")
    assert size == pytest.approx(top, abs=1), f"{name}: the layout moved"
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        use_theme(page, theme)
        page.wait_for_timeout(200)
        ink, paper = panel.evaluate(COLOURS)
        assert contrast(ink, paper) > 7, f"{name}, {theme}: {ink} on {paper}"
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            panel.screenshot(path=f"{SHOTS}/{name}-{theme.split()[1].lower()}.png")


# Counts from now on: frames that were painted while the view was empty, and different pictures.
WATCH = """panel => {
  panel.seen = {blank: 0, texts: 0};
  let last = '';
  const look = () => {
    const svg = panel.querySelector('svg[role=img]');
    if (!svg || svg.getBoundingClientRect().height < 100) panel.seen.blank++;
    else if (svg.outerHTML !== last) { last = svg.outerHTML; panel.seen.texts++; }
    requestAnimationFrame(look);
  };
  look();
}"""

COLOURS = """panel => {
  const svg = panel.querySelector('svg[role=img]');
  return [getComputedStyle(svg.querySelector('text')).fill, getComputedStyle(svg.querySelector('rect')).fill];
}"""


def value_of(control: Any) -> str:
    """The control's value as the page has it."""
    return control.evaluate(
        """node => {
          const handle = node.querySelector('.noUi-handle'), select = node.querySelector('select');
          if (handle) return node.querySelector('.widget-readout')?.textContent;
          if (select) return select.options[select.selectedIndex].text;
          return [...node.querySelectorAll('input')].map(input => input.checked).join();
        }"""
    )


def named(page: Any, control: Any, key: str) -> None:
    """The browser's accessibility tree has a name for the control, and its value."""
    handle = control.locator(".noUi-handle")
    if handle.count():
        assert handle.get_attribute("aria-label"), f"{key} has no name"
        assert handle.get_attribute("aria-valuetext") == control.locator(".widget-readout").text_content(), key
        return
    snapshot = control.aria_snapshot()
    assert re.search(r'(combobox|radiogroup|checkbox) "[^"]+"', snapshot), f"{key} has no name: {snapshot}"


def contrast(first: str, second: str) -> float:
    """The contrast ratio of WCAG 2 between two CSS colours."""

    def luminance(colour: str) -> float:
        channels = [float(value) / 255 for value in re.findall(r"[\d.]+", colour)[:3]]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_tells_black_from_grey() -> None:
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
    assert contrast("rgb(150, 150, 150)", "rgb(255, 255, 255)") < 4
