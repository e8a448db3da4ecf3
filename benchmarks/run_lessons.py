"""Run every lesson without a browser and print how long it took, and the CPU time and memory that its kernel needed.

    python lab.py run            all lessons
    python lab.py run 01 06      the lessons whose names contain 01 or 06
    python lab.py run --save 01  store the outputs in the lesson, as they are committed: no widget state, no timestamps
    python lab.py run --record   store the figures in docs/lesson-times.json, which the tables of the pages read

The exit status is 1 if a lesson failed; such a lesson is not stored.
"""

import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

LESSONS = Path(__file__).resolve().parents[1] / "notebooks"
TIMES = LESSONS.parent / "docs" / "lesson-times.json"
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


def run(path: Path, *, save: bool = False) -> Needs:
    """Execute one lesson; RuntimeError says what went wrong."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(NEEDS))
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        store_widget_state=False,
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
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
    if save:
        nbformat.write(notebook, path)
    return Needs(seconds, peak / 1e6, cpu_seconds)


def record(lesson: str, needs: Needs) -> None:
    """Note what a lesson took, and on what kind of machine."""
    times = json.loads(TIMES.read_text(encoding="utf-8")) if TIMES.exists() else {}
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    if "OMP_NUM_THREADS" in os.environ:
        machine += f", OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}"
    times[lesson] = {**{name: round(value) for name, value in needs._asdict().items()}, "machine": machine}
    TIMES.write_text(json.dumps(dict(sorted(times.items())), indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> int:
    words = [word for word in arguments if word not in ("--save", "--record")]
    lessons = sorted(path for path in LESSONS.glob("*.ipynb") if not words or any(word in path.stem for word in words))
    if not lessons:
        print(f"no lesson's name contains {' or '.join(words)}" if words else "there are no lessons yet")
        return 1
    print(f"{'lesson':<32} {'seconds':>8} {'peak MB':>8} {'CPU s':>8}")
    failed = 0
    for path in lessons:
        try:
            needs = run(path, save="--save" in arguments)
        except RuntimeError as problem:
            print(f"{path.stem:<32} {problem}", flush=True)
            failed += 1
            continue
        print(f"{path.stem:<32} {' '.join(f'{value:>8.0f}' for value in needs)}", flush=True)
        if "--record" in arguments:
            record(path.stem, needs)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
