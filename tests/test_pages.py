"""The web pages as a reader meets them: built once, opened as files in a real browser, with and without scripts.

Rules look at one page and return its faults, one sentence each; each is tried on a small page with one fault.
"""

import base64
import json
import random
import re
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser_lab import CHROMIUM, browser
from nbformat.v4 import new_code_cell, new_notebook, new_output
from pages import lessons
from pages.grids import Grid, grid_of, place_of, values_of
from test_browser import COLOURS, contrast

import lab
import resnet_lib as rl
from resnet_lib.teaching.quiz import Predict, question_bank
from resnet_lib.widgets import architecture, gradient_flow
from resnet_lib.widgets.explorer import PIN, Explorer, choices
from resnet_lib.widgets.panel import VIEW

pytestmark = pytest.mark.timeout(600)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium was found: apt-get install chromium")
ROOT = Path(__file__).parents[1]
SOURCES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("resnet_lib/training/*/README.md")]
LESSONS = sorted(ROOT.glob("notebooks/*.ipynb"))
PAGES = sorted(path.relative_to(ROOT).with_suffix(".html").as_posix() for path in SOURCES + LESSONS)
CODE = "notebooks/03_residual_blocks.html"
HEAVIEST = 1_500_000  # bytes that an explorer may take


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, built by the command of lab.py; a warning fails."""
    made, scratch = tmp_path_factory.mktemp("pages"), tmp_path_factory.mktemp("doctrees")
    ((command, _),) = lab.commands("pages", ["-W", "--keep-going", "-q", "-d", scratch])
    done = subprocess.run([sys.executable, *command[1:-1], made], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@dataclass
class Opened:
    """A page in the browser, and what happened since it was opened."""

    page: Any
    name: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def opened_page(chromium: Any, folder: Path, name: str, **options: Any) -> Opened:
    settings = {"viewport": {"width": 1300, "height": 1000}, "color_scheme": "light", **options}
    page = chromium.new_page(reduced_motion="reduce", **settings)  # colours change at once
    opened = Opened(page, name)
    page.on("request", lambda request: opened.requests.append(request.url))
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    page.on("console", lambda said: said.type in ("error", "warning") and opened.complaints.append(said.text))
    page.add_init_script(SHIFTS)
    page.goto((folder / name).as_uri())
    return opened


SHIFTS = """window.shifts = 0;
new PerformanceObserver(list => { for (const entry of list.getEntries()) window.shifts += entry.value; })
  .observe({type: 'layout-shift', buffered: true});"""


@pytest.fixture(scope="module", params=[*PAGES, "search.html"])
def opened(request: pytest.FixtureRequest, chromium: Any, folder: Path) -> Iterator[Opened]:
    found = opened_page(chromium, folder, request.param)
    yield found
    found.page.close()


# Rules for every page


def pictures(opened: Opened) -> list[str]:
    """All pictures load, and say in words what is seen."""
    return opened.page.evaluate(
        """async () => {
          const faults = [], words = node => node?.textContent.trim();
          for (const image of document.images) {
            await image.decode().catch(() => faults.push('it does not load: ' + image.outerHTML.slice(0, 80)));
            if (!image.alt.trim()) faults.push('it has no alt text: ' + image.outerHTML.slice(0, 80));
          }
          for (const svg of document.querySelectorAll('main svg:not([aria-hidden=true])'))
            if (svg.getAttribute('role') !== 'img' || !['title', 'desc'].every(name => words(svg.querySelector(name))))
              faults.push('a drawing has no words: ' + svg.outerHTML.slice(0, 80));
          return faults;
        }"""
    )


def headings(opened: Opened) -> list[str]:
    """One of level 1, before all others, and no level left out."""
    found = opened.page.locator("main :is(h1, h2, h3, h4, h5, h6)")
    levels = [int(name[1]) for name in found.evaluate_all("nodes => nodes.map(node => node.tagName)")]
    faults = [] if levels.count(1) == 1 and levels[0] == 1 else [f"the levels are {levels}"]
    return faults + [f"level {below} follows level {above}" for above, below in pairwise(levels) if below > above + 1]


def links(opened: Opened) -> list[str]:
    """Every link to a file leads to one, and every anchor to a place in it."""
    faults = []
    for address in opened.page.locator("a[href]").evaluate_all("nodes => nodes.map(node => node.href)"):
        parts = urlsplit(address)
        if parts.scheme != "file":
            continue
        path, anchor = Path(unquote(parts.path)), unquote(parts.fragment)
        if not path.is_file():
            faults.append(f"{address} is no file")
        elif anchor and path.suffix == ".html" and anchor not in anchors(path):
            faults.append(f"{address} is no place in the page")
    return faults


@cache
def anchors(path: Path) -> set[str]:
    return set(re.findall(r'\bid="([^"]+)"', path.read_text(encoding="utf-8")))


def barriers(opened: Opened, **options: Any) -> list[str]:
    """What axe-core finds; a minor matter, such as a table's empty corner, may stay.

    Code has hundreds of coloured words and is alike on all pages: one page stands for them.
    """
    places = {"exclude": [["pre"]]} if opened.name != CODE else None
    found = Axe().run(opened.page, places, options={"resultTypes": ["violations"], "preload": False, **options})
    return [
        f"{fault['id']} ({fault['impact']}): {node['html'][:120]}"
        for fault in found.response["violations"]
        if fault["impact"] != "minor"
        for node in fault["nodes"]
    ]


def too_wide(opened: Opened) -> list[str]:
    """On a telephone only drawings, tables and code may be scrolled sideways."""
    return opened.page.evaluate(
        """() => [...document.querySelectorAll('html, main, main *')]
          .filter(node => node.scrollWidth > node.clientWidth && node.clientWidth > 0)
          .filter(node => node === document.documentElement || /auto|scroll/.test(getComputedStyle(node).overflowX))
          .filter(node => !node.matches('pre, .output, .explorer-drawing, .formula, .pst-scrollable-table-container'))
          .map(node => `${node.scrollWidth - node.clientWidth} pixels too wide: ${node.outerHTML.slice(0, 80)}`)"""
    )


def shifts(opened: Opened) -> list[str]:
    """Nothing moves while the page is loaded: below 0.1 is what the Web Vitals call good."""
    opened.page.wait_for_timeout(300)
    opened.page.evaluate("new Promise(painted => requestAnimationFrame(() => requestAnimationFrame(painted)))")
    moved = opened.page.evaluate("window.shifts")
    return [f"the layout moved by {moved:.2f}"] if moved > 0.1 else []


def from_elsewhere(opened: Opened) -> list[str]:
    """Nothing is requested but what lies in the folder, and the browser has nothing to complain of."""
    opened.page.wait_for_timeout(300)
    return [url for url in opened.requests if not url.startswith(("file:", "data:", "blob:"))] + opened.complaints


@needs_browser
@pytest.mark.parametrize("rule", [pictures, headings, links, shifts, barriers], ids=lambda rule: rule.__name__)
def test_page(opened: Opened, rule: Callable) -> None:
    assert rule(opened) == []


@needs_browser
def test_page_in_the_dark_and_on_a_telephone(opened: Opened) -> None:
    opened.page.emulate_media(color_scheme="dark")
    opened.page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    assert barriers(opened, runOnly=["color-contrast"]) == []
    opened.page.set_viewport_size({"width": 400, "height": 800})
    assert too_wide(opened) == []


@needs_browser
def test_page_asks_for_nothing_from_elsewhere(opened: Opened) -> None:
    """After the other tests, which looked at everything."""
    assert from_elsewhere(opened) == []


PUSH = "document.querySelector('p').style.marginTop = (moved = 400 - moved) + 'px';"
FAULTS = [
    (pictures, "<main><img src='missing.png' alt='a curve'></main>"),
    (pictures, "<main><img src='data:image/gif;base64,R0lGODlhAQABAAAAACw=' alt=''></main>"),
    (pictures, "<main><svg role='img'><title>A curve</title></svg></main>"),
    (headings, "<main><h1>One</h1><h3>Three</h3></main>"),
    (headings, "<main><h1>One</h1><h1>Another</h1></main>"),
    (headings, "<main><h2>Two</h2></main>"),
    (links, "<a href='file:///nowhere.html'>there</a>"),
    (links, "<a href='#gone'>there</a>"),
    (barriers, "<main><h1>One</h1><p style='color: #999'>pale</p></main>"),
    (barriers, "<main><h1>One</h1><input type='range'></main>"),
    (too_wide, "<p style='width: 5000px'>wide</p>"),
    (too_wide, "<main style='overflow-x: auto'><p style='width: 5000px'>wide</p></main>"),
    (shifts, f"<p style='height: 600px'>low</p><script>let moved = 0; setInterval(() => {{ {PUSH} }}, 60)</script>"),
    (from_elsewhere, "<img src='http://127.0.0.1:9/x.png' alt='x'>"),
    (from_elsewhere, "<script>console.error('no')</script>"),
    (from_elsewhere, "<script>throw Error('no')</script>"),
]


@needs_browser
@pytest.mark.parametrize(("rule", "html"), FAULTS, ids=lambda part: getattr(part, "__name__", ""))
def test_every_rule_finds_its_fault(chromium: Any, tmp_path: Path, rule: Callable, html: str) -> None:
    file = tmp_path / "page.html"
    file.write_text(f"<!doctype html><html lang='en'><title>A page</title><body>{html}</body></html>")
    opened = opened_page(chromium, tmp_path, file.name)
    assert rule(opened)
    opened.page.close()


@needs_browser
def test_every_lesson_and_document_is_in_the_contents(chromium: Any, folder: Path) -> None:
    opened = opened_page(chromium, folder, "index.html")
    listed = opened.page.locator("nav[aria-label=Pages] a").evaluate_all("nodes => nodes.map(node => node.href)")
    assert {(folder / name).as_uri() for name in PAGES} - set(listed) == {(folder / "README.html").as_uri()}
    opened.page.close()


@needs_browser
def test_search_finds_a_word_of_a_lesson(chromium: Any, folder: Path) -> None:
    page = opened_page(chromium, folder, "notebooks/00_start_here.html").page
    page.keyboard.press("Control+k")
    page.keyboard.type("bottleneck")
    page.keyboard.press("Enter")
    page.locator("#search-results li a").first.wait_for()
    found = page.locator("#search-results li a").evaluate_all("nodes => nodes.map(node => node.href)")
    assert any("06_resnet_50_101_152" in address for address in found)
    page.close()


# Explorers


def explorers_of(path: Path) -> list[tuple[Explorer, str]]:
    """The explorers that a lesson shows and can be made again, and what the committed output says."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    found = []
    for cell, call in zip(cells, lessons.calls_shown(cell.source for cell in cells), strict=True):
        outputs = [output.data for output in cell.outputs if {VIEW, "image/svg+xml"} <= output.get("data", {}).keys()]
        shown = lessons.made_by(call) if outputs else None
        if isinstance(shown, Explorer):
            found.append((shown, outputs[0]["text/plain"]))
    return found


WITH_EXPLORERS = [path for path in LESSONS if explorers_of(path)]
with_explorers = pytest.mark.parametrize("path", WITH_EXPLORERS, ids=lambda path: path.stem)


@needs_browser
@with_explorers
def test_explorers_show_what_the_library_computes(chromium: Any, folder: Path, path: Path) -> None:
    page = opened_page(chromium, folder, f"notebooks/{path.stem}.html").page
    places, expected = page.locator(".explorer"), explorers_of(path)
    assert places.count() == len(expected)
    for number, (explorer, said) in enumerate(expected):
        place = places.nth(number)
        page.wait_for_function("node => node.dataset.ready", arg=place.element_handle())
        assert explorer.text == said
        agree(place, explorer)
        use(page, place, explorer)
    page.close()


def use(page: Any, place: Any, explorer: Explorer) -> None:
    """Move each control twice from the keyboard, with and without what the others became; then click on blocks."""
    height = place.bounding_box()["height"]
    names = [name for name in explorer.controls if name not in explorer.live]
    for name in names + names:
        before = shown(place)
        move_by_keyboard(page, place.locator(f"[data-name='{name}']"))
        follow(place, explorer)
        agree(place, explorer)
        assert name == PIN or shown(place) != before, f"{name} changed nothing"
        assert place.bounding_box()["height"] == pytest.approx(height, abs=1), f"{name} moved the layout"
    for block in place.locator("[data-set]").all()[:3]:
        part = block.locator("title").text_content()
        block.click()
        follow(place, explorer)
        agree(place, explorer)
        assert values_shown(place)["part"] == part
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)
        assert contrast(*place.evaluate(COLOURS)) > 7


def move_by_keyboard(page: Any, control: Any) -> None:
    kind = control.evaluate("node => node.querySelector('select, input').type")
    if kind == "radio":
        control.locator("input:checked").focus()
        page.keyboard.press("ArrowRight")
        return
    handle = control.locator("select, input")
    handle.focus()
    before = handle.input_value()
    page.keyboard.press({"checkbox": "Space", "select-one": "ArrowDown", "range": "ArrowRight"}[kind])
    if kind != "checkbox" and handle.input_value() == before:  # it stood at its end
        page.keyboard.press("ArrowUp" if kind == "select-one" else "ArrowLeft")


def follow(place: Any, explorer: Explorer) -> None:
    """Bring the library's explorer to the values that the page's controls show."""
    for name, words in values_shown(place).items():
        control = explorer.controls[name]
        if str(control.value) != words:
            control.value = next(value for value in choices(control) if str(value) == words)


def values_shown(place: Any) -> dict[str, str]:
    return place.evaluate(
        """node => Object.fromEntries([...node.querySelectorAll('[data-name]')].map(control => {
          const input = control.querySelector('select, input'), chosen = control.querySelector('input:checked + label');
          const value = input.type === 'range' ? control.querySelector('output').textContent
            : input.type === 'checkbox' ? (input.checked ? 'True' : 'False')
            : input.type === 'radio' ? chosen.textContent : input.selectedOptions[0].textContent;
          const spoken = input.type === 'range' ? input.getAttribute('aria-valuetext') : value;
          return [control.dataset.name, spoken === value ? value : `${value}, spoken as ${spoken}`];
        }))"""
    )


def shown(place: Any) -> str:
    return place.locator("svg[role=img]").evaluate("node => node.outerHTML")


# A drawing as the browser writes it.
BROWSERS = """(node, text) => {
  const template = document.createElement('template');
  template.innerHTML = text;
  return template.innerHTML;
}"""


def agree(place: Any, explorer: Explorer) -> None:
    """Controls, sentence and drawing are the library's."""
    assert values_shown(place) == {name: str(explorer.controls[name].value) for name in values_shown(place)}
    assert place.locator("[role=status]").inner_text() == explorer.text
    assert shown(place) == place.evaluate(BROWSERS, explorer.still().drawing)
    for name in set(explorer.controls) & {"part"}:  # what it offers depends on the net
        offered = place.locator(f"[data-name='{name}'] option:enabled").all_text_contents()
        assert tuple(offered) == explorer.controls[name].options


@needs_browser
def test_a_part_that_the_next_net_has_not_is_closed(chromium: Any, folder: Path) -> None:
    page = opened_page(chromium, folder, "notebooks/06_resnet_50_101_152.html").page
    place = page.locator(".explorer[data-ready]")
    place.get_by_label("net", exact=True).select_option("152")
    place.get_by_label("part").select_option("layer3.35")
    assert "layer3.35 puts out" in place.locator("[role=status]").inner_text()
    place.get_by_label("net", exact=True).select_option("18")
    assert values_shown(place)["part"] == architecture.WHOLE
    agree(place, rl.ArchitectureExplorer("18", beside="50 V2"))
    page.close()


@needs_browser
def test_a_replay_plays_and_stops(chromium: Any, folder: Path) -> None:
    page = opened_page(chromium, folder, "notebooks/01_deeper_is_not_better.html").page
    button, output = page.locator(".explorer-play"), page.locator(".explorer output")
    page.locator(".explorer[data-ready]").wait_for()
    last = output.inner_text()
    button.click()
    page.wait_for_function("document.querySelector('.explorer output').textContent === '3'")
    assert button.inner_text() == "Stop" and "epoch 3:" in page.locator(".explorer [role=status]").inner_text()
    button.click()
    page.wait_for_timeout(400)
    assert output.inner_text() == "3" != last and button.inner_text() == "Play"
    page.close()


@needs_browser
@with_explorers
def test_without_scripts_the_picture_and_its_sentence_remain(chromium: Any, folder: Path, path: Path) -> None:
    page = opened_page(chromium, folder, f"notebooks/{path.stem}.html", java_script_enabled=False).page
    for number, (explorer, said) in enumerate(explorers_of(path)):
        place = page.locator(".explorer").nth(number)
        assert place.locator("svg[role=img]").is_visible() and place.locator("[role=status]").is_visible()
        assert place.locator("[role=status]").inner_text() == said == explorer.text
        assert not place.locator(".explorer-controls").is_visible()
    page.close()


# Questions


@needs_browser
@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_quiz_gives_the_reason_of_each_answer(chromium: Any, folder: Path, scripts: bool) -> None:
    page = opened_page(chromium, folder, "notebooks/03_residual_blocks.html", java_script_enabled=scripts).page
    groups = page.get_by_role("form", name="Quiz 03-end").locator("fieldset")
    assert groups.count() == len(question_bank()["03-end"])
    for number, question in enumerate(question_bank()["03-end"]):
        group = groups.nth(number)
        assert group.locator(".reason:visible").count() == 0
        group.locator("input").first.focus()
        for option in question["options"]:
            page.keyboard.press("Space")
            (reason,) = group.locator(".reason:visible").all_inner_texts()
            assert reason.endswith(option["reason"]) and reason.startswith("✓" if option["correct"] else "✗")
            page.keyboard.press("ArrowDown")
    page.close()


@needs_browser
def test_a_prediction_is_followed_where_it_is_compared(chromium: Any, folder: Path) -> None:
    page = opened_page(chromium, folder, "notebooks/03_residual_blocks.html").page
    lines = page.locator("[data-prediction]")
    before = lines.inner_text()
    assert "A surprise" in before
    group = page.get_by_role("group", name="Before training: the gradient in the first layer of residual-56")
    group.get_by_label("below 10", exact=True).check()
    assert "You predicted: below 10." in lines.inner_text() and "As predicted." in lines.inner_text()
    page.close()


# Grids


def unpacked(folder: Path, name: str) -> dict[str, Any]:
    (packed,) = re.findall(r'"([\w+/=]+)";', (folder / "_static" / "explorers" / f"{name}.js").read_text())
    return json.loads(zlib.decompress(base64.b64decode(packed), -15))


def test_explorers_are_light(folder: Path) -> None:
    files = {path.stem: path.stat().st_size for path in (folder / "_static" / "explorers").iterdir()}
    assert {name.partition("-")[0] for name in files} == {
        type(explorer).__name__ for path in WITH_EXPLORERS for explorer, _ in explorers_of(path)
    }
    assert max(files.values()) <= HEAVIEST, files


@with_explorers
def test_files_hold_what_the_library_computes(folder: Path, path: Path) -> None:
    """Thirty settings of each explorer, put together as the page does it."""
    html = (folder / f"notebooks/{path.stem}.html").read_text(encoding="utf-8")
    names = re.findall(r'data-grid="([^"]+)"', html)
    for name, (explorer, _) in zip(names, explorers_of(path), strict=True):
        grid, settings = unpacked(folder, name), list(explorer.grid())
        if explorer.compare and explorer.compare != PIN:
            explorer.controls[explorer.compare].value = choices(explorer.controls[explorer.compare])[0]
        values = values_of(settings)
        for setting in random.Random(0).sample(settings, min(30, len(settings))):
            drawing, words = explorer.render({**explorer.settings, PIN: None, **setting})
            place = place_of(setting, values)
            before, after = grid["drawings"][place]
            between = grid["layers"][0] if explorer.compare not in ("", PIN) else []
            elements = "".join(grid["elements"][number] for number in before + between + after)
            assert grid["said"][place] == words
            assert elements == re.sub(r"<desc>.*?</desc>", "<desc></desc>", drawing)


def test_the_same_explorer_gives_the_same_file(folder: Path) -> None:
    """The file was written by another process."""
    grid = grid_of(rl.PathExplorer())
    assert (folder / "_static" / "explorers" / f"{grid.name}.js").read_text(encoding="utf-8") == grid.script()
    assert grid_of(rl.PathExplorer(3, "new")).name == grid.name  # wherever it starts


def test_a_second_result_that_is_no_layer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = gradient_flow.draw

    def fading(result: Any, pinned: Any = None) -> str:  # the first curve changes with the second
        return draw(result, pinned).replace("3.5", "3.5" if pinned is None or pinned == result else "1")

    monkeypatch.setattr(rl.GradientFlowExplorer, "draw", staticmethod(fading))
    monkeypatch.setattr(rl.GradientFlowExplorer, "grid", lambda self: iter(four_flows()))
    with pytest.raises(ValueError, match="no layer"):
        grid_of(rl.GradientFlowExplorer())


def four_flows() -> list[dict[str, Any]]:
    return [
        {"depth": depth, "step": 0, "norm": norm, "shortcut": "with", "init": "He"}
        for depth in (8, 20)
        for norm in ("with", "without")
    ]


def test_the_last_control_may_depend_on_the_others() -> None:
    values = values_of(list(rl.ArchitectureExplorer().grid()))
    assert tuple(values["part"]) == architecture.view("152", "V1").parts  # the others have some of these
    assert Grid("X", [], "", [], [], [], [], []).name.startswith("X-")


# Lessons on their way to a page


def lesson(*sources: str, output: dict[str, Any]) -> nbformat.NotebookNode:
    """Cells, the last of which shows something."""
    cells = [new_code_cell(source) for source in sources]
    cells[-1].outputs = [new_output("display_data", data={VIEW: {}, **output})]
    return new_notebook(cells=cells)


def html(book: nbformat.NotebookNode) -> str:
    lessons.page_of(book)
    return book.cells[-1].outputs[0].data["text/html"]


def test_an_explorer_that_says_something_else_stops_the_build() -> None:
    stale = lesson("rl.PathExplorer(3)", output={"text/plain": "3 blocks make 9 paths"})
    with pytest.raises(ValueError, match="no setting of PathExplorer says what the lesson shows"):
        lessons.page_of(stale)


def test_an_explorer_that_was_moved_before_it_was_shown_is_found() -> None:
    moved = rl.PathExplorer(9, "new")
    source = "paths = rl.PathExplorer()", "paths.controls['blocks'].value = 9", "%matplotlib inline", "paths"
    shown = html(lesson(*source, output={"text/plain": moved.text}))
    assert moved.still().drawing in shown and 'data-grid="PathExplorer-' in shown


def test_an_explorer_of_live_runs_becomes_a_still() -> None:
    shown = html(lesson("rl.TrainingReplay(live)", output={"text/plain": "plain-8 20%", "image/svg+xml": "<svg/>"}))
    assert shown.startswith("<figure><img") and 'alt="plain-8 20%"' in shown and "data-grid" not in shown


def test_curves_that_grow_are_only_words() -> None:
    output = {"text/plain": "The curves grow here.", "image/svg+xml": "<svg/>"}
    assert html(lesson("LiveCurve('Error')", output=output)) == '<p class="explorer-said">The curves grow here.</p>'


def test_a_hidden_solution_is_folded_and_state_is_dropped() -> None:
    book = new_notebook(cells=[new_code_cell("x", metadata={"jupyter": {"source_hidden": True}, "tags": ["solution"]})])
    book.metadata.widgets = {"state": 1}
    lessons.page_of(book)
    assert book.cells[0].metadata.tags == ["solution", "hide-input"] and "widgets" not in book.metadata


def test_what_a_cell_printed_in_pieces_is_compared_as_one() -> None:
    guess = Predict("Lower or higher?", ["lower", "higher"], "lower")
    texts = lessons.compared(guess, "higher")
    source = "guess = Predict('Lower or higher?', ['lower', 'higher'], 'lower')\nguess"
    book = lesson(source, output={"text/plain": "Lower or higher?"})
    pieces = ("error 3 < 4\n", texts[0][:20], texts[0][20:])
    outputs = [new_output("stream", name="stdout", text=piece) for piece in pieces]
    book.cells.append(new_code_cell("guess.compare('higher')", outputs=outputs))
    shown = html(book)
    assert "error 3 &lt; 4\n" in shown and "You predicted: lower." in shown and 'data-prediction="cell-1"' in shown
