"""How long from a key press to new pixels: every explorer in JupyterLab, beside `interact` with inline matplotlib.

    python -m benchmarks widgets

Needs Chromium. Milliseconds depend on the machine; the ratio to `interact`, measured in the same run, does not much.
"""

import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import nbformat

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from browser_lab import CHROMIUM, chromium, jupyter_lab, open_and_run

MOVES = 50
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
# name: (how it is made, the control that is moved)
EXPLORERS = {
    "ShortcutExplorer": ("ShortcutExplorer()", "in_channels"),
    "GradientFlowExplorer": ("GradientFlowExplorer()", "step"),
    "ArchitectureExplorer": ("ArchitectureExplorer()", "net"),
    "TrainingReplay": ("TrainingReplay()", "moment"),
    "LesionExplorer": ("LesionExplorer()", "layer1_1"),
    "PathExplorer": ("PathExplorer()", "blocks"),
    "LandscapeExplorer": ("LandscapeExplorer()", "row"),
}

# Presses a key on `selector` and resolves, after the frame in which the picture has changed, with the milliseconds.
TIMED = """([root, selector, picture, key]) => new Promise(done => {
  const place = document.querySelectorAll(root)[0];
  const shown = () => { const node = place.querySelector(picture); return node ? (node.outerHTML || '') : ''; };
  const before = shown(), start = performance.now();
  const look = () => {
    const now = shown();
    if ((now && now !== before) || performance.now() - start > 6000)
      requestAnimationFrame(() => done(performance.now() - start));
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
  const node = place.querySelector(selector);
  if (node.tagName === 'SELECT') {
    node.selectedIndex = (node.selectedIndex + 1) % node.options.length;
    node.dispatchEvent(new Event('change', {bubbles: true}));
  } else if (node.type === 'checkbox') node.click();
  else {
    node.focus();
    node.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
  }
})"""


def main(argv: list[str]) -> None:
    if CHROMIUM is None:
        raise SystemExit("no Chromium was found: apt-get install chromium")
    with tempfile.TemporaryDirectory() as name:
        folder, scratch = Path(name) / "lessons", Path(name) / "scratch"
        folder.mkdir()
        scratch.mkdir()
        for explorer, (call, _) in EXPLORERS.items():
            write(folder, explorer, f"import resnet_lib as rl\nexplorer = rl.{call}\nexplorer")
        write(folder, "interact", INTERACT)
        with jupyter_lab(folder, scratch) as address, chromium() as page:
            theirs = measure(page, address.format("interact.ipynb"), ".jp-OutputArea", ".noUi-handle", "img")
            print(f"{'':22} {'median ms':>10} {'p95 ms':>8} {'behind ms':>10} {'kernel p95':>11} {'× interact':>11}")
            row("interact + matplotlib", theirs, None, theirs)
            for explorer, (call, control) in EXPLORERS.items():
                selector = f".control-{control} :is(.noUi-handle, select, input)"
                ours = measure(page, address.format(f"{explorer}.ipynb"), ".resnet-panel", selector, "svg[role=img]")
                row(explorer, ours, kernel_side(call, control), theirs)


def row(name: str, ours: dict[str, Any], kernel: float | None, theirs: dict[str, Any]) -> None:
    faster = median(theirs["moves"]) / median(ours["moves"])
    inside = "–" if kernel is None else f"{kernel:.1f}"
    times = f"{median(ours['moves']):10.0f} {p95(ours['moves']):8.0f} {ours['behind']:10.0f}"
    print(f"{name:22} {times} {inside:>11} {faster:11.1f}", flush=True)


def write(folder: Path, name: str, source: str) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / f"{name}.ipynb")


def measure(page: Any, url: str, root: str, selector: str, picture: str) -> dict[str, Any]:
    """Key presses one at a time, then a burst: how long after its end the picture still changes."""
    open_and_run(page, url)
    page.locator(f"{root} {picture}").first.wait_for(timeout=60_000)
    page.wait_for_timeout(500)
    moves = []
    for move in range(MOVES):
        key = "ArrowRight" if (move // 4) % 2 == 0 else "ArrowLeft"  # forth and back, so that it never stands at an end
        milliseconds = page.evaluate(TIMED, [root, selector, picture, key])
        if milliseconds < 6000:
            moves.append(milliseconds)
        page.wait_for_timeout(40)
    return {"moves": moves, "behind": page.evaluate(BURST, [root, selector, picture])}


# A fast drag: a move every 16 ms for half a second, then the time until the picture stays as it is for half a second.
BURST = """([root, selector, picture]) => new Promise(done => {
  const place = document.querySelectorAll(root)[0], node = place.querySelector(selector);
  const shown = () => place.querySelector(picture)?.outerHTML;
  let moves = 0, last = shown(), changed = 0, end = 0;
  const look = () => {
    const now = performance.now(), is = shown();
    if (is !== last) { last = is; changed = now; }
    if (end && now - Math.max(end, changed) > 1500) done(Math.max(0, changed - end));
    else requestAnimationFrame(look);
  };
  const move = () => {
    if (moves++ >= 30) { end = performance.now(); return; }
    if (node.tagName === 'SELECT') {
      node.selectedIndex = (node.selectedIndex + 1) % node.options.length;
      node.dispatchEvent(new Event('change', {bubbles: true}));
    } else if (node.type === 'checkbox') node.click();
    else node.dispatchEvent(new KeyboardEvent('keydown',
      {key: moves % 8 < 4 ? 'ArrowRight' : 'ArrowLeft', bubbles: true, cancelable: true}));
    setTimeout(move, 16);
  };
  look();
  move();
})"""


def kernel_side(call: str, control: str) -> float:
    """p95 of the milliseconds that one move takes in the kernel."""
    import resnet_lib as rl

    explorer = eval(f"rl.{call}", {"rl": rl})
    widget = explorer.controls[control]
    if hasattr(widget, "options"):
        values = [value[1] if isinstance(value, tuple) else value for value in widget.options]
    else:
        values = [False, True] if isinstance(widget.value, bool) else list(range(widget.min, widget.max + 1))
    times = []
    for move in range(MOVES + 1):
        start = perf_counter()
        widget.value = values[move % len(values)]
        times.append(1000 * (perf_counter() - start))
    return p95(times[1:])


def p95(values: list[float]) -> float:
    return quantiles(values, n=20)[-1]
