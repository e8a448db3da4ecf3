"""The web pages as a reader meets them: built once, opened as files in a real browser, with and without scripts.

Rules look at one page and return its faults, one sentence each; each is tried on a small page with one fault.
"""

import base64
import re
import subprocess
import sys
import time
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
from pages import forms, lessons
from pages.forms import front_script, script_of
from test_browser import COLOURS, EXPLORER, SAID, contrast, move_by_keyboard, shown, values_shown

import lab
import resnet_lib as rl
from resnet_lib.teaching.quiz import Predict, question_bank
from resnet_lib.widgets import architecture
from resnet_lib.widgets.explorer import Explorer, written
from resnet_lib.widgets.front import HERE as FRONT
from resnet_lib.widgets.front import VIEW
from resnet_lib.widgets.grids import DRAWN

pytestmark = pytest.mark.timeout(600)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium was found: apt-get install chromium")
ROOT = Path(__file__).parents[1]
SOURCES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("resnet_lib/data/*/README.md")]
LESSONS = sorted(ROOT.glob("notebooks/*.ipynb"))
PAGES = sorted(path.relative_to(ROOT).with_suffix(".html").as_posix() for path in SOURCES + LESSONS)
CODE = "notebooks/03_residual_blocks.html"


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


def opened_page(chromium: Any, folder: Path, name: str, late: str = "", **options: Any) -> Opened:
    """`late` is a pattern of files that take a second."""
    settings = {"viewport": {"width": 1300, "height": 1000}, "color_scheme": "light", **options}
    page = chromium.new_page(reduced_motion="reduce", **settings)  # colours change at once
    opened = Opened(page, name)
    page.on("request", lambda request: opened.requests.append(request.url))
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    page.on("console", lambda said: said.type in ("error", "warning") and opened.complaints.append(said.text))
    page.add_init_script(SHIFTS)
    if late:
        page.route(late, lambda route: (time.sleep(1), route.continue_()))
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
          .filter(node => !node.matches('pre, .output, .resnet-drawing, .formula, .pst-scrollable-table-container'))
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
@pytest.mark.parametrize("name", ["docs/editions.html", "notebooks/00_start_here.html"])
def test_nothing_moves_when_scripts_come_late(chromium: Any, folder: Path, name: str) -> None:
    """As on a slow machine, which paints the page before the theme's script has run."""
    for scheme in ("light", "dark"):
        opened = opened_page(chromium, folder, name, late="**/*theme.js*", color_scheme=scheme)
        assert shifts(opened) == []
        opened.page.close()


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
    places, expected = page.locator(EXPLORER), explorers_of(path)
    assert places.count() == len(expected)
    for number, (explorer, said) in enumerate(expected):
        place = places.nth(number)
        page.wait_for_function("node => node.dataset.ready", arg=place.element_handle())
        lessons.move(explorer, said)
        agree(place, explorer)
        use(page, place, explorer)
    page.close()


def use(page: Any, place: Any, explorer: Explorer) -> None:
    """Move each control twice from the keyboard, with and without what the others became; then click in the drawing."""
    height = place.bounding_box()["height"]
    names = list(values_shown(place))
    for name in names + names:
        before = shown(place)
        move_by_keyboard(page, place.locator(f"[data-name='{name}']"))
        follow(place, explorer)
        agree(place, explorer)
        assert name == "pin" or shown(place) != before, f"{name} changed nothing"
        assert place.bounding_box()["height"] == pytest.approx(height, abs=1), f"{name} moved the layout"
    for number in range(min(3, place.locator("[data-set]").count())):
        mark = place.locator("[data-set]").nth(number)
        orders = dict(order.split(":") for order in mark.get_attribute("data-set").split(";"))
        mark.click()
        assert {name: values_shown(place)[name] for name in orders} == orders
        follow(place, explorer)
        agree(place, explorer)
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)
        assert contrast(*place.evaluate(COLOURS)) > 7


def follow(place: Any, explorer: Explorer) -> None:
    """Bring the library's explorer to the values that the page's controls show."""
    explorer.set(**{n: {"True": True, "False": False}.get(v, v) for n, v in values_shown(place).items()})


def agree(place: Any, explorer: Explorer) -> None:
    """Controls, sentence and drawing are the library's."""
    assert values_shown(place) == {name: written(explorer.setting[name]) for name in values_shown(place)}
    assert place.locator(SAID).inner_text() == explorer.text
    assert shown(place) == place.evaluate(BROWSERS, explorer.still().drawing)


# A drawing as the browser writes it.
BROWSERS = """(node, text) => {
  const template = document.createElement('template');
  template.innerHTML = text;
  return template.innerHTML;
}"""


@needs_browser
def test_a_part_that_the_next_net_has_not_is_closed(chromium: Any, folder: Path) -> None:
    page, place = shown_alone(chromium, folder, rl.ArchitectureExplorer("50"))
    place.get_by_label("net", exact=True).select_option("152")
    place.get_by_label("part").select_option("layer3.35")
    assert "layer3.35 outputs" in place.locator(SAID).inner_text()
    place.get_by_label("net", exact=True).select_option("18")
    assert values_shown(place)["part"] == architecture.WHOLE
    explorer = rl.ArchitectureExplorer("18")
    agree(place, explorer)
    offered = place.locator("[data-name='part'] option:enabled").all_text_contents()
    assert tuple(offered) == architecture.parts_of(architecture.config_of("18", "V1").layers)
    page.close()


def shown_alone(chromium: Any, folder: Path, explorer: Explorer) -> tuple[Any, Any]:
    """A page with this explorer and nothing else, made from what the pages are made from."""
    script = script_of(explorer)
    style = (folder / "_static" / "explorer.css").read_text(encoding="utf-8")
    place = forms.explorer_html(explorer, script.name, "alone")
    html = f"<!doctype html><style>{style}</style>{place}<script>{script.text}{front_script()}</script>"
    (folder / "alone.html").write_text(html, encoding="utf-8")
    page = opened_page(chromium, folder, "alone.html").page
    page.locator(f"{EXPLORER}[data-ready]").wait_for()
    return page, page.locator(EXPLORER)


@needs_browser
def test_what_needs_a_kernel_is_left_out_and_said(chromium: Any, folder: Path) -> None:
    page, place = shown_alone(chromium, folder, rl.GradientFlowExplorer())
    assert "Needs a kernel, so it is only in the notebook: measured, seed (live)." in place.inner_text()
    assert place.get_by_label("live", exact=True).count() == 0
    page.close()


@needs_browser
def test_a_replay_plays_and_stops(chromium: Any, folder: Path) -> None:
    page, place = shown_alone(chromium, folder, rl.TrainingReplay())
    button, output = place.get_by_role("button"), place.locator("output")
    last = output.inner_text()
    button.click()
    page.wait_for_function("document.querySelector('output').textContent === '3'")
    assert button.inner_text() == "Stop" and "epoch 3:" in place.locator(SAID).inner_text()
    button.click()
    page.wait_for_timeout(400)
    assert output.inner_text() == "3" != last and button.inner_text() == "Play"
    page.close()


@needs_browser
@with_explorers
def test_without_scripts_the_picture_and_its_sentence_remain(chromium: Any, folder: Path, path: Path) -> None:
    page = opened_page(chromium, folder, f"notebooks/{path.stem}.html", java_script_enabled=False).page
    for number, (_, said) in enumerate(explorers_of(path)):
        place = page.locator(".resnet-front:has(svg)").nth(number)
        assert place.locator("svg[role=img]").is_visible() and place.locator(SAID).inner_text() == said
        assert place.locator("input, select").count() == 0
    page.close()


# Questions


@needs_browser
def test_a_quiz_gives_the_reason_of_each_answer(chromium: Any, folder: Path) -> None:
    page = opened_page(chromium, folder, "notebooks/03_residual_blocks.html").page
    groups = page.get_by_role("form", name="Quiz 03-end").get_by_role("radiogroup")
    assert groups.count() == len(question_bank()["03-end"])
    for number, question in enumerate(question_bank()["03-end"]):
        group = groups.nth(number)
        assert group.locator("input:checked").count() == 0 and group.get_by_role("status").inner_text() == ""
        group.locator("input").first.focus()
        for option in question["options"]:
            page.keyboard.press("Space")
            said = group.get_by_role("status").inner_text()
            assert said.endswith(option["reason"]) and said.startswith("✓" if option["correct"] else "✗")
            page.keyboard.press("ArrowDown")
    page.close()


@needs_browser
def test_a_quiz_without_scripts_is_its_text(chromium: Any, folder: Path) -> None:
    page = opened_page(chromium, folder, "notebooks/03_residual_blocks.html", java_script_enabled=False).page
    for question in question_bank()["03-end"]:
        assert page.get_by_text(question["question"]).first.is_visible()
    page.close()


@needs_browser
def test_a_prediction_is_followed_where_it_is_compared(chromium: Any, folder: Path) -> None:
    path = next(path for path in LESSONS if ".compare(" in path.read_text(encoding="utf-8"))
    page = opened_page(chromium, folder, f"notebooks/{path.stem}.html").page
    lines = page.locator("[data-follows]").first
    assert "You made no prediction." in lines.inner_text()
    group = page.locator(f"#{lines.get_attribute('data-follows')}").get_by_role("radiogroup")
    for option in group.locator("label").all():
        option.click()
        assert f"You predicted: {option.inner_text()}." in lines.inner_text()
        assert "As predicted." in lines.inner_text() or "A surprise" in lines.inner_text()
    page.close()


# Scripts


def test_explorers_are_the_grids_that_are_shipped(folder: Path) -> None:
    files = [path.read_text(encoding="utf-8") for path in (folder / "_static" / "explorers").iterdir()]
    shipped = {path.read_bytes() for path in DRAWN.iterdir()}
    packed = {base64.b64decode(re.search(r'"([\w+/=]+)";', text)[1]) for text in files}  # type: ignore[index]
    assert packed and packed <= shipped


def test_the_pages_have_the_notebooks_front_end_and_no_script_of_their_own(folder: Path) -> None:
    source = (FRONT / "explorer.js").read_text(encoding="utf-8")
    assert source.split("export default")[0] in (folder / "_static" / "explorer.js").read_text(encoding="utf-8")
    assert (FRONT / "explorer.css").read_bytes() == (folder / "_static" / "explorer.css").read_bytes()
    assert not list((ROOT / "docs").rglob("*.js"))


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
    source = "paths = rl.PathExplorer()", "paths.set(blocks=9)", "%matplotlib inline", "paths"
    shown = html(lesson(*source, output={"text/plain": moved.text}))
    assert moved.still().drawing in shown and "&quot;grid&quot;: &quot;PathExplorer-" in shown


def test_an_explorer_of_live_runs_becomes_a_still() -> None:
    shown = html(lesson("rl.TrainingReplay(live)", output={"text/plain": "plain-8 20%", "image/svg+xml": "<svg/>"}))
    assert shown.startswith("<figure><img") and 'alt="plain-8 20%"' in shown and "data-front" not in shown


def test_curves_that_grow_are_only_words() -> None:
    output = {"text/plain": "The curves grow here.", "image/svg+xml": "<svg/>"}
    assert html(lesson("LiveCurve('Error')", output=output)) == '<p class="resnet-said">The curves grow here.</p>'


def test_a_hidden_solution_is_folded_and_state_is_dropped() -> None:
    book = new_notebook(cells=[new_code_cell("x", metadata={"jupyter": {"source_hidden": True}, "tags": ["solution"]})])
    book.metadata.widgets = {"state": 1}
    lessons.page_of(book)
    assert book.cells[0].metadata.tags == ["solution", "hide-input"] and "widgets" not in book.metadata


def test_what_a_cell_printed_in_pieces_is_compared_as_one() -> None:
    said = Predict("Lower or higher?", ["lower", "higher"]).comparison(None, "higher")
    source = "guess = Predict('Lower or higher?', ['lower', 'higher'])\nguess"
    book = lesson(source, output={"text/plain": "Lower or higher?"})
    pieces = ("error 3 < 4\n", said[:20], said[20:])
    outputs = [new_output("stream", name="stdout", text=piece) for piece in pieces]
    book.cells.append(new_code_cell("guess.compare('higher')", outputs=outputs))
    shown = html(book)
    assert "error 3 &lt; 4\n" in shown and "You made no prediction." in shown and 'data-follows="cell-1"' in shown
    assert "You predicted: lower." in shown and "You predicted: higher." in shown
