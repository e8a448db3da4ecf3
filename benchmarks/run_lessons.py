"""Run every lesson without a browser and print how long it took and how much memory its kernel needed at most.

    python lab.py run            all lessons
    python lab.py run 01 06      the lessons whose names contain 01 or 06
    python lab.py run --save 01  store the outputs in the lesson, as they are committed: no widget state, no timestamps
    python lab.py run --record   store seconds and memory in docs/lesson-times.json, which the README's table reads

The exit status is 1 if a lesson failed; such a lesson is not stored.
"""

import json
import os
import platform
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

LESSONS = Path(__file__).resolve().parents[1] / "notebooks"
TIMES = LESSONS.parent / "docs" / "lesson-times.json"
CELL_SECONDS = 600

# A last cell that runs in the kernel, so that the number is the kernel's own peak, not a sample of it.
PEAK = """
import os, sys
if sys.platform == "linux":
    peak = next(int(row.split()[1]) * 1024 for row in open("/proc/self/status") if row.startswith("VmHWM"))
elif os.name == "nt":
    import psutil  # comes with IPython
    peak = psutil.Process().memory_info().peak_wset
else:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
print(peak)
"""


def run(path: Path, *, save: bool = False) -> tuple[float, float | None, str]:
    """Execute one lesson: (seconds with the kernel's start, peak memory in MB, what went wrong)."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(PEAK))
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        store_widget_state=False,
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
    )
    start = time.perf_counter()
    problem = ""
    try:
        client.execute()
    except CellExecutionError as error:
        problem = f"{error.ename}: {error.evalue}"
    except (CellTimeoutError, DeadKernelError) as error:
        problem = str(error).strip().splitlines()[0]
    seconds = time.perf_counter() - start
    if problem:
        return seconds, None, problem
    peak = int(notebook.cells.pop().outputs[0].text) / 1e6
    if save:
        nbformat.write(notebook, path)
    return seconds, peak, problem


def record(lesson: str, seconds: float, megabytes: float) -> None:
    """Note what a lesson took, and on what kind of machine."""
    times = json.loads(TIMES.read_text(encoding="utf-8")) if TIMES.exists() else {}
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    times[lesson] = {"seconds": round(seconds), "megabytes": round(megabytes), "machine": machine}
    TIMES.write_text(json.dumps(dict(sorted(times.items())), indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> int:
    words = [word for word in arguments if word not in ("--save", "--record")]
    lessons = sorted(path for path in LESSONS.glob("*.ipynb") if not words or any(word in path.stem for word in words))
    if not lessons:
        print(f"no lesson's name contains {' or '.join(words)}" if words else "there are no lessons yet")
        return 1
    print(f"{'lesson':<32} {'seconds':>8} {'peak MB':>8}")
    failed = 0
    for path in lessons:
        seconds, peak, problem = run(path, save="--save" in arguments)
        memory = "-" if peak is None else f"{peak:.0f}"
        print(f"{path.stem:<32} {seconds:>8.1f} {memory:>8}  {problem}".rstrip(), flush=True)
        failed += bool(problem)
        if peak is not None and "--record" in arguments:
            record(path.stem, seconds, peak)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
