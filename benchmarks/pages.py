"""What the web pages weigh, how long they take to build, and how long a key press takes to change an explorer.

    python -m benchmarks pages

Needs Chromium. The pages are opened as files. A move is timed from the browser's key event to the end of the frame in
which the new drawing was painted; the time in which an explorer becomes ready begins when its page is opened.
"""

import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from browser_lab import CHROMIUM, chromium

import lab

MOVES = 60

# From now on the time of each key press until after the frame that painted what it changed.
WATCH = """place => {
  const drawing = place.querySelector('.explorer-drawing');
  let pressed = null;
  place.times = [];
  place.addEventListener('keydown', event => { pressed = event.timeStamp; }, true);
  new MutationObserver(() => {
    const start = pressed;
    pressed = null;
    if (start) requestAnimationFrame(() => setTimeout(() => place.times.push(performance.now() - start)));
  }).observe(drawing, {childList: true});
}"""


def main(argv: list[str]) -> None:
    if CHROMIUM is None:
        raise SystemExit("no Chromium was found: apt-get install chromium")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "pages"
        seconds = build(folder, Path(name) / "doctrees")
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        print(f"built in {seconds:.0f} s: {len(list(folder.rglob('*.html')))} pages, {size / 1e6:.1f} MB\n")
        print(f"{'explorer':22} {'lesson':8} {'settings':>8} {'kB':>6} {'ready ms':>9} {'median ms':>10} {'p95 ms':>7}")
        with chromium() as page:
            for path in sorted((folder / "notebooks").glob("*.html")):
                measure(page, path)


def build(folder: Path, scratch: Path) -> float:
    ((command, variables),) = lab.commands("pages", ["-q", "-d", scratch])
    start = perf_counter()
    if lab.run([sys.executable, *command[1:-1], folder], variables, dry_run=False):
        raise SystemExit("the pages were not built")
    return perf_counter() - start


def measure(page: Any, path: Path) -> None:
    """Every explorer of a page: what it looks up, and moves of all its controls in turn."""
    page.goto(path.as_uri())
    for place in page.locator(".explorer").all():
        page.wait_for_function("node => node.dataset.ready", arg=place.element_handle())
        ready = int(place.get_attribute("data-ready"))
        place.evaluate(WATCH)
        controls = place.locator("[data-name]")
        for move in range(MOVES):
            press(page, controls.nth(move % controls.count()))
            page.wait_for_timeout(40)
        times = place.evaluate("place => place.times")
        name = place.get_attribute("data-grid")
        weight = (path.parents[1] / "_static" / "explorers" / f"{name}.js").stat().st_size / 1000
        settings = page.evaluate(COUNT, name)
        p95 = quantiles(times, n=20)[-1]
        title = f"{name.partition('-')[0]:22} {path.stem[:2]:8} {settings:8}"
        print(f"{title} {weight:6.0f} {ready:9} {median(times):10.0f} {p95:7.0f}", flush=True)


COUNT = """async name => {
  const bytes = Uint8Array.from(atob(window.resnetGrids[name]), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  return (await new Response(stream).json()).drawings.filter(drawing => drawing).length;
}"""


def press(page: Any, control: Any) -> None:
    """One key press that moves the control forth, or back where it stands at its end."""
    handle = control.locator("select, input:checked, [type=range], [type=checkbox]").first
    kind = handle.evaluate("node => node.type")
    handle.focus()
    ends = "node => node.type === 'range' ? node.value === node.max : node.selectedIndex === node.options?.length - 1"
    back = kind in ("range", "select-one") and handle.evaluate(ends)
    forth = {"checkbox": "Space", "select-one": "ArrowDown", "range": "ArrowRight", "radio": "ArrowRight"}
    page.keyboard.press({"select-one": "Home", "range": "Home"}[kind] if back else forth[kind])


if __name__ == "__main__":
    main(sys.argv[1:])
