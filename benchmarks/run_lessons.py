"""Run every lesson without a browser and print how long it took, and the CPU time and memory that its kernel needed.

    python lab.py run               all lessons
    python lab.py run 01 06         lessons 01 and 06, by number or by a word of the name
    python lab.py run --save 01     make notebooks/01_….ipynb from notebooks/text/01_….md; it runs only if code changed
    python lab.py run --save --again 01    the same, and run it in any case: the library gives other outputs now
    python lab.py run --to-text 01  write the text from the notebook, after an edit in JupyterLab
    python lab.py run --record      store the figures in docs/lesson-times.json, which the tables of the pages read

The exit status is 1 if a lesson failed; such a lesson is not stored. `python benchmarks/run_lessons.py` takes the same
words and uses the Python that runs it.
"""

import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import NamedTuple

import nbformat
from lesson_text import METADATA, NOTEBOOKS, TEXTS, formatted, notebook_of, same_code, text_of, with_outputs, written
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
TIMES = ROOT / "docs" / "lesson-times.json"
FLAGS = ("--save", "--again", "--to-text", "--record")
CELL_SECONDS = 600

# A last cell that runs in the kernel, so that the numbers are its own: bytes at the peak, and the CPU seconds of all
# its threads and of the processes that it started and that have ended.
NEEDS = """
import os, sys
if sys.platform == "linux":
    peak = next(int(row.split()[1]) * 1024 for row in open("/proc/self/status") if row.startswith("VmHWM"))
elif os.name == "nt":
    import psutil  # comes with IPython
    peak = psutil.Process().memory_info().peak_wset
else:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
print(f"{peak} {sum(os.times()[:4])}")  # one string: what print writes in pieces may arrive in pieces
"""


class Needs(NamedTuple):
    """What one run of a lesson took."""

    seconds: float  # with the kernel's start
    megabytes: float  # of the kernel, at its peak
    cpu_seconds: float  # of the kernel, on all cores together


def run(notebook: NotebookNode) -> Needs:
    """Execute a lesson in place; RuntimeError says what went wrong."""
    notebook.cells.append(nbformat.v4.new_code_cell(NEEDS))
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,  # what a cell prints in pieces is one output
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(NOTEBOOKS)}},
    )
    start = time.perf_counter()
    try:
        client.execute()
    except CellExecutionError as error:
        raise RuntimeError(f"{error.ename}: {error.evalue}") from None
    except (CellTimeoutError, DeadKernelError) as error:
        raise RuntimeError(str(error).strip().splitlines()[0]) from None
    seconds = time.perf_counter() - start
    peak, cpu_seconds = map(float, notebook.cells.pop().outputs[0].text.split())
    notebook.metadata.language_info.pop("version", None)
    return Needs(seconds, peak / 1e6, cpu_seconds)


def save(name: str, *, again: bool) -> Needs | None:
    """Make a lesson's notebook from its text. None: no code changed, so its outputs were kept and nothing ran."""
    path = NOTEBOOKS / f"{name}.ipynb"
    text = formatted((TEXTS / f"{name}.md").read_text(encoding="utf-8"))
    (TEXTS / f"{name}.md").write_text(text, encoding="utf-8")
    made = notebook_of(text)
    stored = nbformat.read(path, as_version=4) if path.exists() else None
    needs = None
    if stored is not None and same_code(made, stored) and not again:
        with_outputs(made, stored)
    else:
        needs = run(made)
        made.metadata = METADATA
    path.write_text(written(made), encoding="utf-8")
    return needs


def record(lesson: str, needs: Needs) -> None:
    """Note what a lesson took, and on what kind of machine."""
    times = json.loads(TIMES.read_text(encoding="utf-8")) if TIMES.exists() else {}
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    if "OMP_NUM_THREADS" in os.environ:
        machine += f", OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}"
    times[lesson] = {**{name: round(value) for name, value in needs._asdict().items()}, "machine": machine}
    TIMES.write_text(json.dumps(dict(sorted(times.items())), indent=1) + "\n", encoding="utf-8")


def chosen(word: str, name: str) -> bool:
    """Numbers are compared with the lesson's own, so that 10 is not lesson 06 (resnet_50_101_152)."""
    return name.startswith(word) if word.isdigit() else word in name


def main(arguments: list[str]) -> int:
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
    )  # for the kernels
    words = [word for word in arguments if word not in FLAGS]
    names = sorted({path.stem for path in (*NOTEBOOKS.glob("*.ipynb"), *TEXTS.glob("*.md"))})
    lessons = [name for name in names if not words or any(chosen(word, name) for word in words)]
    if not lessons:
        print(f"no lesson is called {' or '.join(words)}" if words else "there are no lessons yet")
        return 1
    print(f"{'lesson':<32} {'seconds':>8} {'peak MB':>8} {'CPU s':>8}")
    failed = 0
    for name in lessons:
        path = NOTEBOOKS / f"{name}.ipynb"
        try:
            if "--to-text" in arguments:
                TEXTS.mkdir(exist_ok=True)
                (TEXTS / f"{name}.md").write_text(text_of(nbformat.read(path, as_version=4)), encoding="utf-8")
                print(f"{name:<32} the text was written from the notebook")
                continue
            if "--save" in arguments:
                needs = save(name, again="--again" in arguments or "--record" in arguments)
            else:
                needs = run(nbformat.read(path, as_version=4))
        except (RuntimeError, ValueError, FileNotFoundError) as problem:
            print(f"{name:<32} {problem}", flush=True)
            failed += 1
            continue
        if needs is None:
            print(f"{name:<32} no code changed: its outputs were kept", flush=True)
            continue
        print(f"{name:<32} {' '.join(f'{value:>8.0f}' for value in needs)}", flush=True)
        if "--record" in arguments:
            record(name, needs)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
