"""The explorers as a person meets them, in JupyterLab and in Notebook 7: moved by keyboard and mouse, read by name.

Screenshots for a person to look at go to the folder in RESNET_LAB_SHOTS, if that is set.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser_lab import CHROMIUM, NOTEBOOK, chromium, jupyter, open_and_run, run_cell, use_theme
from nbformat.v4 import new_code_cell, new_notebook

import resnet_lib.widgets as widgets
from resnet_lib.widgets.front import VIEW

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium was found: apt-get install chromium"),
    pytest.mark.timeout(600),
]
LESSONS = Path(__file__).parents[1] / "notebooks"
EXPLORER, SAID = ".resnet-front:has(.resnet-controls)", ".resnet-said [role=status]"
NAMES = sorted({type(explorer).__name__ for explorer in widgets.shipped()})
SHOTS = os.environ.get("RESNET_LAB_SHOTS")

# An explorer whose settings all come from the kernel, slowly; the one at 19 fails.
SLOW = """
import time
from resnet_lib.widgets.explorer import Control, Explorer
from resnet_lib.widgets.svg import picture, text

class Slow(Explorer):
    title, height = "Slow", 120
    compute = staticmethod(lambda wait: time.sleep(0.3) or (1 / (wait - 19) and wait))
    draw = staticmethod(lambda result: picture("Slow", f"answer {result}", 120, text(30, 60, f"answer {result}")))
    describe = staticmethod(lambda result: f"answer {result}")

slow = Slow(Control("wait", "wait", "slider", tuple(range(20))))
slow"""
CELLS = [
    "import resnet_lib as rl\nfrom resnet_lib.teaching import Predict, Quiz\nfrom resnet_lib.widgets import LiveCurve",
    *(f"{name[:4].lower()} = rl.{name}()\n{name[:4].lower()}" for name in NAMES),
    "rl.PathExplorer(9)",
    'guess = Predict("Higher or lower?", ["higher", "lower"])\nguess',
    'Quiz("01-end").show()',
    SLOW,
    "guess.compare('lower')",
]


def write(path: Path, *sources: str) -> None:
    book = new_notebook(cells=[new_code_cell(source) for source in sources])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, path)


@pytest.fixture(scope="module", params=["lab", pytest.param("notebooks", marks=pytest.mark.thorough)])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of JupyterLab or Notebook 7, and the folder that it serves."""
    folder = tmp_path_factory.mktemp("served")
    write(folder / "all.ipynb", *CELLS)
    with jupyter(folder, tmp_path_factory.mktemp("scratch"), request.param) as address:
        yield address, folder


@pytest.fixture(scope="module")
def page(served: tuple[str, Path]) -> Iterator[Any]:
    """The notebook with everything in it, after all its cells have run."""
    with chromium() as page:
        open_and_run(page, served[0].format("all.ipynb"))
        page.wait_for_function(f"document.querySelectorAll('.resnet-front').length === {len(NAMES) + 4}")
        page.wait_for_function(f"document.querySelectorAll('{EXPLORER}[data-ready]').length === {len(NAMES) + 2}")
        yield page


def shown(place: Any) -> str:
    return place.locator("svg[role=img]").evaluate("node => node.outerHTML")


def values_shown(place: Any) -> dict[str, str]:
    """What the controls show, by their names; a slider's value has to be spoken as it is written."""
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


def move_by_keyboard(page: Any, control: Any) -> None:
    """Focus the control and press the key that a person would press."""
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


def move_by_mouse(page: Any, control: Any) -> None:
    """Click where a person would click to get another value."""
    kind = control.evaluate("node => node.querySelector('select, input').type")
    if kind == "range":
        bar = control.locator("input")
        place, share = bar.bounding_box(), bar.evaluate("node => (node.value - node.min) / (node.max - node.min)")
        page.mouse.click(
            place["x"] + place["width"] * (0.95 if share < 0.5 else 0.05), place["y"] + place["height"] / 2
        )
    elif kind == "select-one":
        options = control.locator("option:enabled")
        last, now = options.last.inner_text(), control.locator("select").input_value()
        control.locator("select").select_option(last if now != last else options.first.inner_text())
    else:
        control.locator("input:not(:checked)" if kind == "radio" else "input").first.click()


def wait_until_answered(page: Any, place: Any) -> None:
    page.wait_for_function("node => !node.classList.contains('computing')", arg=place.element_handle(), timeout=60_000)


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_explorer_by_keyboard_and_mouse(page: Any, number: int) -> None:
    place = page.locator(EXPLORER).nth(number)
    place.scroll_into_view_if_needed()
    place.evaluate(WATCH)
    for name in values_shown(place):
        control = place.locator(f"[data-name='{name}']")
        for move in (move_by_keyboard, move_by_mouse):
            value = values_shown(place)[name]
            move(page, control)
            assert values_shown(place)[name] != value, f"{name}: {move.__name__} moved nothing"
            assert spoken(page, control) == values_shown(place)[name]
            wait_until_answered(page, place)
            said = place.locator(SAID).inner_text()
            assert said == place.locator("svg[role=img] desc").text_content(), f"{name}: picture and text disagree"
            assert not re.match(r"\w*Error", said), f"{name}: {said}"
    seen = place.evaluate("node => node.seen")
    assert seen["blank"] == seen["moved"] == 0 and seen["drawings"] > 3, seen


# Counts from now on: frames that were painted while the view was empty or of another size, and different pictures.
WATCH = """place => {
  place.seen = {blank: 0, moved: 0, drawings: 0};
  let last = '';
  const {width, height} = place.getBoundingClientRect();
  const look = () => {
    const svg = place.querySelector('svg[role=img]'), now = place.getBoundingClientRect();
    if (Math.abs(now.width - width) > 1 || Math.abs(now.height - height) > 1) place.seen.moved++;
    if (!svg || svg.getBoundingClientRect().height < 100) place.seen.blank++;
    else if (svg.outerHTML !== last) { last = svg.outerHTML; place.seen.drawings++; }
    requestAnimationFrame(look);
  };
  look();
}"""


def spoken(page: Any, control: Any) -> str:
    """The value of a control in the browser's accessibility tree, where it has to have a role and a name.

    Of a slider Chromium's tool gives the plain number only; what a screen reader says stands in its attribute.
    """
    kind = control.evaluate("node => node.querySelector('select, input').type")
    handle = control.locator("input:checked" if kind == "radio" else "select, input")
    if kind == "radio":
        assert re.search('radiogroup "[^"]+"', control.aria_snapshot())
    handle.evaluate("node => { window.looked = node; }")
    session = page.context.new_cdp_session(page)
    looked = session.send("Runtime.evaluate", {"expression": "window.looked"})["result"]["objectId"]
    tree = session.send("Accessibility.getPartialAXTree", {"objectId": looked, "fetchRelatives": False})
    session.detach()
    (node,) = tree["nodes"]
    state = {one["name"]: one["value"].get("value") for one in node["properties"]}
    role, name = node["role"]["value"], node["name"]["value"]
    assert role == {"range": "slider", "select-one": "combobox"}.get(kind, kind) and name, f"{role} has no name"
    if kind == "checkbox":
        return str(state["checked"] == "true")
    if kind == "range":
        return handle.get_attribute("aria-valuetext")
    return name if kind == "radio" else node["value"]["value"]


def test_explorers_do_not_disturb_each_other(page: Any) -> None:
    one, two = page.locator(EXPLORER).nth(NAMES.index("PathExplorer")), page.locator(EXPLORER).nth(len(NAMES))
    before = shown(two), values_shown(two)
    for name in ("blocks", "state", "blocks"):
        move_by_keyboard(page, one.locator(f"[data-name='{name}']"))
    assert (shown(two), values_shown(two)) == before and shown(one) != before[0]


def test_a_cell_moves_an_explorer_and_reads_it(page: Any) -> None:
    place = page.locator(EXPLORER).nth(NAMES.index("PathExplorer"))
    run_cell(page, "path.set(blocks=3, state='new')")
    page.wait_for_function("node => node.innerText.includes('3 blocks make 8 paths')", arg=place.element_handle())
    assert values_shown(place) == {"blocks": "3", "state": "new"}
    move_by_keyboard(page, place.locator("[data-name='blocks']"))
    assert "'blocks': 9" in run_cell(page, "print(path.setting)")


def test_an_old_answer_never_covers_a_newer_question(page: Any) -> None:
    """Fast drags over settings that take 0.3 s each: whatever is said belongs to where the slider stands, and that an
    answer is on its way is painted within 0.1 s."""
    place = page.locator(EXPLORER).last
    assert place.locator(SAID).inner_text() == "answer 0"
    place.scroll_into_view_if_needed()
    place.evaluate(FOLLOW)
    place.locator("input").focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
        assert place.locator(SAID).inner_text() == "computing …"  # at once
        page.wait_for_timeout(70)
    bar = place.locator("input").bounding_box()
    page.mouse.move(bar["x"] + 0.35 * bar["width"], bar["y"] + bar["height"] / 2)
    page.mouse.down()
    for step in range(30):
        page.mouse.move(bar["x"] + (0.35 + step / 60) * bar["width"], bar["y"] + bar["height"] / 2)
        page.wait_for_timeout(16)
    page.mouse.up()
    stands = values_shown(place)["wait"]
    assert int(stands) > 12
    wait_until_answered(page, place)
    page.wait_for_timeout(1500)  # for answers that come too late
    assert place.locator(SAID).inner_text() == f"answer {stands}"
    seen = place.evaluate("node => node.seen")
    assert len(seen["said"]) > 12 and len(seen["painted"]) > 12
    assert all(said in ("computing …", f"answer {value}") for value, said in seen["said"])
    assert {said for _, said in seen["painted"]} == {"computing …"}
    assert median(waited for waited, _ in seen["painted"]) < 100
    for key, said in (("End", "ZeroDivisionError: division by zero"), ("ArrowLeft", "answer 18")):
        page.keyboard.press(key)
        wait_until_answered(page, place)
        assert place.locator(SAID).inner_text() == said
        assert ("✗ this setting does not work" in place.locator("svg").text_content()) == (key == "End")


# Everything that is said, with where the slider then stands; and what is painted after a move, with its milliseconds.
FOLLOW = """place => {
  const said = place.querySelector('[role=status]'), input = place.querySelector('input');
  place.seen = {said: [], painted: []};
  new MutationObserver(() => place.seen.said.push([Number(input.value), said.textContent]))
    .observe(said, {childList: true, characterData: true, subtree: true});
  input.addEventListener('input', event => requestAnimationFrame(() => setTimeout(() =>
    place.seen.painted.push([performance.now() - event.timeStamp, said.textContent]))));
}"""


def test_predictions_and_quizzes_begin_without_a_choice(page: Any) -> None:
    guess, quiz = (page.locator(".resnet-front:has(.resnet-questions)").nth(number) for number in (0, 1))
    assert page.locator(".resnet-questions input:checked").count() == 0
    assert "You made no prediction." in page.locator(".jp-OutputArea-output", has_text="Measured").last.inner_text()
    guess.get_by_label("higher", exact=True).focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(500)  # a person is slower
    assert "You predicted: lower." in run_cell(page, "guess.compare('lower')")
    group = quiz.get_by_role("radiogroup").first
    group.locator("label").first.click()
    assert re.match("[✓✗] ", group.get_by_role("status").inner_text())


def test_themes_and_barriers(page: Any, served: tuple[str, Path]) -> None:
    """Contrast above 7 : 1 in both themes of JupyterLab, and nothing that axe-core calls more than minor."""
    lab = "/lab" in served[0]
    for theme in ("JupyterLab Dark", "JupyterLab Light") if lab else ("",):
        if theme:
            use_theme(page, theme)
            page.wait_for_timeout(300)
        for place in page.locator(EXPLORER).all():
            ink, paper = place.evaluate(COLOURS)
            assert contrast(ink, paper) > 7, f"{theme}: {ink} on {paper}"
        faults = Axe().run(page, ".resnet-front", options={"resultTypes": ["violations"], "preload": False})
        found = [fault for fault in faults.response["violations"] if fault["impact"] != "minor"]
        assert [(fault["id"], node["html"][:150]) for fault in found for node in fault["nodes"]] == []
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            for number, place in enumerate(page.locator(".resnet-front").all()):
                place.screenshot(path=f"{SHOTS}/{number}-{(theme or 'notebook').split()[-1].lower()}.png")


def test_restart_and_run_all(page: Any) -> None:
    page.evaluate(
        """async () => {
          document.querySelectorAll('.resnet-front').forEach(node => node.classList.add('old'));
          await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart();
          await window.jupyterapp.commands.execute('notebook:run-all-cells');
        }"""
    )
    page.wait_for_function(f"document.querySelectorAll('{EXPLORER}:not(.old)[data-ready]').length === {len(NAMES) + 2}")
    place = page.locator(EXPLORER).nth(NAMES.index("PathExplorer"))
    assert "27 blocks make" in place.locator(SAID).inner_text()
    move_by_keyboard(page, place.locator("[data-name='blocks']"))
    assert "15 blocks make" in place.locator(SAID).inner_text()


def test_a_saved_notebook_opens_again(page: Any, served: tuple[str, Path]) -> None:
    """Picture and sentence are on disk; in a new kernel, before anything has run, explorers answer from the file, and
    what only a kernel knows is not awaited for ever; a stranger, who has not trusted the file, reads the sentence."""
    address, folder = served
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_timeout(1500)
    page.evaluate(f"{NOTEBOOK}.sessionContext.shutdown()")
    page.wait_for_timeout(1000)
    page.goto(address.format("all.ipynb"))
    page.wait_for_function(f"document.querySelectorAll('{EXPLORER}[data-ready]').length === {len(NAMES) + 2}")
    assert "model not found" not in page.locator(".jp-Notebook").inner_text()
    place, slow = page.locator(EXPLORER).nth(NAMES.index("PathExplorer")), page.locator(EXPLORER).last
    before = place.locator(SAID).inner_text()
    move_by_keyboard(page, place.locator("[data-name='blocks']"))
    assert "blocks make" in place.locator(SAID).inner_text() != before
    move_by_keyboard(page, slow.locator("[data-name='wait']"))
    assert slow.locator(SAID).inner_text() == "computing …"
    slow.get_by_text("No answer yet. Has this cell been run").wait_for()
    book = nbformat.read(folder / "all.ipynb", as_version=4)
    outputs = [output.data for cell in book.cells for output in cell.outputs if VIEW in output.get("data", {})]
    drawn = [data for data in outputs if "image/svg+xml" in data]
    assert len(drawn) == len(NAMES) + 2 and all(data["text/plain"] in data["image/svg+xml"] for data in drawn[:1])
    book.cells.append(new_code_cell("# so that its signature is another one"))
    nbformat.write(book, folder / "copy.ipynb")
    page.goto(address.format("copy.ipynb"))
    page.locator(".jp-OutputArea-output").nth(2).wait_for()
    assert drawn[0]["text/plain"][:60] in page.locator(".jp-OutputArea-output").first.inner_text()


COLOURS = """panel => {
  const svg = panel.querySelector('svg[role=img]');
  return [getComputedStyle(svg.querySelector('text')).fill, getComputedStyle(svg.querySelector('rect')).fill];
}"""


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
