"""From a key press to new pixels: every explorer in JupyterLab and on a web page, beside `interact`, in one run.

    python -m benchmarks widgets

Needs Chromium. A move is timed from the browser's key event to the end of the frame in which the new picture was
painted; every move counts. Milliseconds depend on the machine; the ratio to `interact` does not much.
"""

import os
import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any, NamedTuple

import nbformat

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "tests", "docs")]
from browser_lab import CHROMIUM, chromium, jupyter, open_and_run  # noqa: E402

MOVES = 60
LATE = 20_000  # milliseconds: a move that is not answered by then counts with this time
INTERACT = """
from ipywidgets import interact
import matplotlib.pyplot as plt
@interact(depth=(1, 60))
def show(depth=20):
    plt.figure(figsize=(9, 3.6))
    plt.bar(range(60), [(k * depth) % 17 for k in range(60)])
    plt.title(f"depth {depth}")
    plt.show()
"""


class Times(NamedTuple):
    """Milliseconds of every move, and how long after a fast drag the picture still changed."""

    moves: list[float]
    behind: float

    @property
    def p95(self) -> float:
        return quantiles(self.moves, n=20)[-1]


def main(argv: list[str]) -> None:
    from pages import forms

    from resnet_lib import widgets

    if CHROMIUM is None:
        raise SystemExit("no Chromium was found: apt-get install chromium")
    kinds = list(dict.fromkeys(type(explorer) for explorer in widgets.shipped()))
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as scratch, chromium() as page:
        folder = Path(name)
        write(folder / "interact.ipynb", INTERACT)
        for kind in kinds:
            write(folder / f"{kind.__name__}.ipynb", f"from resnet_lib import widgets\nwidgets.{kind.__name__}()")
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; milliseconds; {MOVES} moves each\n")
        print(f"{'':22} {'in JupyterLab':>26} {'on a page':>17} {'opened':>8} {'times as fast':>14}")
        print(f"{'':22} {'median':>8} {'p95':>8} {'behind':>8} {'median':>8} {'p95':>8} {'':>8} {'as interact':>14}")
        with jupyter(folder, Path(scratch)) as address:
            open_and_run(page, address.format("interact.ipynb"))
            theirs = measure(page, ".widget-interact", "img", ".noUi-handle")
            print(f"{'interact':22} {median(theirs.moves):8.0f} {theirs.p95:8.0f} {theirs.behind:8.0f}", flush=True)
            for kind in kinds:
                opened = milliseconds_to_open(kind)
                open_and_run(page, address.format(f"{kind.__name__}.ipynb"))
                ours = measure(page, ".resnet-front[data-ready]", "svg")
                script = forms.script_of(explorer := kind())
                html = forms.explorer_html(explorer, script.name, "alone")
                alone = f"<!doctype html>{html}<script>{script.text}{forms.front_script()}</script>"
                (folder / "page.html").write_text(alone, encoding="utf-8")
                page.goto((folder / "page.html").as_uri())
                there = measure(page, ".resnet-front[data-ready]", "svg")
                times = f"{median(ours.moves):8.0f} {ours.p95:8.0f} {ours.behind:8.0f} {median(there.moves):8.0f}"
                faster = median(theirs.moves) / median(ours.moves)
                print(f"{kind.__name__:22} {times} {there.p95:8.0f} {opened:8.0f} {faster:14.1f}", flush=True)


def write(path: Path, source: str) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


def milliseconds_to_open(kind: type) -> float:
    """The first time in this process, with what its output holds."""
    start = perf_counter()
    kind()._repr_mimebundle_()
    return 1000 * (perf_counter() - start)


def measure(page: Any, root: str, picture: str, handle: str = "") -> Times:
    """Key presses one at a time, on all controls in turn, then a fast drag of the first one."""
    place = page.locator(root).first
    place.locator(picture).first.wait_for(timeout=60_000)
    page.wait_for_timeout(500)
    place.evaluate(WATCH, picture)
    kept = "[data-name]:not([data-name=pin]):not([data-name=source]):not([data-name=seed])"
    handles = [place.locator(handle)] if handle else place.locator(kept).all()
    for move in range(MOVES):
        press(page, handles[move % len(handles)], back=bool(handle) and move % 8 > 3)
        try:
            page.wait_for_function("([place, count]) => place.times.length > count", arg=[place.element_handle(), move],
                                   timeout=LATE)  # fmt: skip
        except Exception:  # Playwright's time-out
            place.evaluate("(place, late) => { place.times.push(late); }", LATE)
        page.wait_for_timeout(40)
    return Times(place.evaluate("place => place.times"), place.evaluate(DRAG, [picture, handle]))


# From now on the time of each key press until after the frame that painted another picture.
WATCH = """(place, picture) => {
  let pressed = null, last = place.querySelector(picture);
  place.times = [];
  place.addEventListener('keydown', event => { pressed = event.timeStamp; }, true);
  new MutationObserver(() => {
    const now = place.querySelector(picture), start = pressed;
    if (start === null || !now || now === last) return;
    [pressed, last] = [null, now];
    requestAnimationFrame(() => setTimeout(() => place.times.push(performance.now() - start)));
  }).observe(place, {childList: true, subtree: true});
}"""

# A move every 16 ms for half a second, then the time until the picture stays as it is for 1.5 s.
DRAG = """(place, [picture, handle]) => new Promise(done => {
  const node = place.querySelector(handle || '[type=range], select, [type=checkbox]');
  const shown = () => place.querySelector(picture);
  let moves = 0, last = shown(), changed = 0, end = 0;
  const look = () => {
    const now = performance.now();
    if (shown() !== last) { last = shown(); changed = now; }
    if (end && now - Math.max(end, changed) > 1500) done(Math.max(0, changed - end));
    else requestAnimationFrame(look);
  };
  const move = () => {
    if (moves++ >= 30) { end = performance.now(); return; }
    const key = moves % 8 < 4 ? 'ArrowRight' : 'ArrowLeft';
    if (node.type === 'checkbox') node.click();
    else if (handle) node.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
    else {
      if (node.type === 'range') node.value = Number(node.value) + (moves % 8 < 4 ? 1 : -1);
      else node.selectedIndex = (node.selectedIndex + 1) % node.options.length;
      node.dispatchEvent(new Event('input', {bubbles: true}));
    }
    setTimeout(move, 16);
  };
  look();
  move();
})"""


def press(page: Any, control: Any, back: bool) -> None:
    """One key press that moves the control; where it stands at its end it goes to its beginning."""
    if control.locator("input, select").count() == 0:
        control.focus()
        page.keyboard.press("ArrowLeft" if back else "ArrowRight")
        return
    handle = control.locator("select, input:checked, [type=range], [type=checkbox]").first
    handle.focus()
    kind, end = handle.evaluate(
        """node => [node.type, node.type === 'range' ? node.value === node.max
          : node.value === [...node.options ?? []].filter(option => !option.disabled).at(-1)?.value]"""
    )
    forth = {"checkbox": "Space", "select-one": "ArrowDown", "range": "ArrowRight", "radio": "ArrowRight"}
    page.keyboard.press("Home" if end and kind in ("range", "select-one") else forth[kind])


if __name__ == "__main__":
    main(sys.argv[1:])
