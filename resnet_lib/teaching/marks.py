"""What a class has solved: every student's notebook of a folder runs in a Python of its own, and the checks are noted.

`python -m resnet_lib marks FOLDER` writes marks.csv and marks.html. The notebooks are only read. Each process is cut
off from the network, works in a folder that is thrown away, and is ended when it takes too long or too much memory.
That protects from accidents, not from malice: docs/teaching.md.
"""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

LARGEST = 50_000_000  # bytes of a notebook; with all its pictures a lesson has half a million
ROOT = Path(__file__).parents[2]
RIGHT, UNTOUCHED, NOT_RUN, MISSING = "right", "untouched", "did not run", "no check"
CHECK = re.compile(r"\bchecks\.check_(\w+)\(")
NAMED = f"({RIGHT}|{UNTOUCHED}|{NOT_RUN}|{MISSING})"


@dataclass
class Row:
    """One notebook: what became of each exercise, and of the notebook itself."""

    student: str
    marks: dict[str, str] = field(default_factory=dict)  # exercise: "right", the keys of the mistakes, …
    texts: dict[tuple[str, str], str] = field(default_factory=dict)  # (exercise, keys): what the check said
    note: str = ""  # why it could not be run to its end


def mark(folder: Path, *, seconds: float = 300, memory_gb: float = 4, workers: int = 2) -> list[Row]:
    """Run every notebook below `folder`, `workers` at a time, each with its own limits. One row each, by name."""
    paths = [path for path in sorted(folder.rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
    if not paths:
        raise ValueError(f"folder must hold notebooks (*.ipynb), {folder} has none: unpack what was handed in first")
    names = [path.relative_to(folder).with_suffix("").as_posix() for path in paths]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda name, path: _mark_one(name, path, seconds, memory_gb), names, paths))


def _mark_one(name: str, path: Path, seconds: float, memory_gb: float) -> Row:
    row = Row(name)
    try:
        cells = read_cells(path)
    except ValueError as problem:
        row.note = str(problem)
        return row
    row.marks = {exercise: NOT_RUN for source in cells for exercise in CHECK.findall(source)}
    if not row.marks:
        row.note = "no exercise of the course in it"
        return row
    with tempfile.TemporaryDirectory() as scratch:
        verdicts, row.note = _run(cells, Path(scratch), seconds, memory_gb)
    for exercise, keys, text in verdicts:
        row.marks[exercise] = ", ".join(keys)
        row.texts[exercise, row.marks[exercise]] = text
    return row


def read_cells(path: Path) -> list[str]:
    """The code of a notebook, cell by cell, without the folded solutions. ValueError says why it cannot be read."""
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"too large: {size / 1e6:,.0f} MB")
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        tags = [cell.get("metadata", {}).get("tags", []) for cell in code]
        sources = ["".join(cell["source"]) for cell in code]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a notebook, or only a part of one ({type(error).__name__})") from None
    return [source for source, tagged in zip(sources, tags, strict=True) if "solution" not in tagged]


def _run(cells: list[str], scratch: Path, seconds: float, memory_gb: float) -> tuple[list[Any], str]:
    """Execute cells in a new Python; the verdicts that it wrote, and what went wrong."""
    (scratch / "cells.json").write_text(json.dumps(cells), encoding="utf-8")
    (scratch / "work").mkdir()
    paths = [str(ROOT / "resnet_lib" / "teaching" / "offline"), str(ROOT)]
    variables = {"PYTHONPATH": os.pathsep.join(paths), "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    variables["IPYTHONDIR"] = str(scratch)
    command = [sys.executable, "-m", "resnet_lib.teaching.marks", str(scratch), str(memory_gb)]
    nowhere = subprocess.DEVNULL
    child = subprocess.Popen(  # in a session of its own, so that what it started ends with it
        command, cwd=scratch / "work", env={**os.environ, **variables}, stdin=nowhere, stdout=nowhere, stderr=nowhere,
        start_new_session=True,
    )  # fmt: skip
    try:
        child.wait(seconds)
        note = "" if child.returncode == 0 else f"the process ended with status {child.returncode}"
    except subprocess.TimeoutExpired:
        note = f"ended after {seconds:.0f} s"
    finally:
        _end(child)
    found = [json.loads(line) for line in _lines(scratch / "verdicts.jsonl")]
    problems = [json.loads(line) for line in _lines(scratch / "problems.jsonl")]
    if problems and not note:
        note = f"cell {problems[0][0]} raised {problems[0][1]}"
    return found, note


def _end(child: subprocess.Popen) -> None:
    if hasattr(os, "killpg"):
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    child.kill()
    child.wait()


def _lines(path: Path) -> list[str]:
    """Whole lines only: the process may have been ended in the middle of one."""
    return path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []


# In the new Python


def execute(scratch: Path, memory_gb: float) -> None:
    """Run the cells one after the other, as a kernel does: an error ends its cell, not the notebook."""
    set_limits(memory_gb)
    from IPython.core.interactiveshell import InteractiveShell

    from resnet_lib.teaching import checks
    from resnet_lib.training.loop import Recipe

    declared = Recipe.total_steps  # a mark is about what was written, not about how far it trains
    Recipe.total_steps = lambda self, images: min(declared(self, images), 5)  # type: ignore[method-assign]
    verdicts, problems = scratch / "verdicts.jsonl", scratch / "problems.jsonl"
    for name in [name for name in vars(checks) if name.startswith("check_")]:
        setattr(checks, name, _noted(name.removeprefix("check_"), getattr(checks, name), verdicts))
    shell = InteractiveShell.instance()
    for number, source in enumerate(json.loads((scratch / "cells.json").read_text(encoding="utf-8")), start=1):
        result = shell.run_cell(source)
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            _append(problems, [number, type(error).__name__])


def set_limits(memory_gb: float) -> None:
    """Where the system can: private memory beyond that is a MemoryError, and no file grows beyond a gigabyte."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (int(memory_gb * 1e9),) * 2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10**9,) * 2)


def _noted(exercise: str, check: Any, file: Path) -> Any:
    def noted(answer: Any) -> Any:
        verdict = check(answer)
        _append(file, [exercise, list(verdict.keys), verdict.text])
        return verdict

    return noted


def _append(file: Path, entry: Any) -> None:
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(entry) + "\n")


# What is written


def exercises(rows: Sequence[Row]) -> list[str]:
    """All exercises, in the order in which the notebooks have them."""
    return list(dict.fromkeys(exercise for row in rows for exercise in row.marks))


def write(rows: Sequence[Row], folder: Path) -> Iterator[Path]:
    """marks.csv, for a spreadsheet, and marks.html, to be shown to the class."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "marks.csv").open("w", encoding="utf-8-sig", newline="") as file:
        table = csv.writer(file)
        columns = exercises(rows)
        table.writerow(["student", *columns, "note"])
        for row in rows:
            table.writerow(map(_plain, [row.student, *(row.marks.get(name, MISSING) for name in columns), row.note]))
    (folder / "marks.html").write_text(page(rows), encoding="utf-8")
    yield folder / "marks.csv"
    yield folder / "marks.html"


def _plain(value: str) -> str:
    """A spreadsheet would run what begins like a formula."""
    return "'" + value if value[:1] in ("=", "+", "-", "@", "\t") else value


def page(rows: Sequence[Row]) -> str:
    """The commonest mistakes first, then student × exercise, with numbers in place of names until one asks for them."""
    parts = [HEAD, f"<h1>{len(rows)} notebooks</h1>"]
    for name in exercises(rows):
        marks = Counter(row.marks.get(name, MISSING) for row in rows)
        parts.append(f"<h2><code>{escape(name)}</code>: {marks[RIGHT]} of {len(rows)} right</h2>")
        rest = ", ".join(f"{marks[state]} {state}" for state in (UNTOUCHED, NOT_RUN, MISSING) if marks[state])
        parts.append(f"<p>{escape(rest)}</p><ul>" if rest else "<ul>")
        for mistake, count in marks.most_common():
            if not re.fullmatch(NAMED, mistake):
                said = next(row.texts[name, mistake] for row in rows if (name, mistake) in row.texts)
                told = " ".join(said.partition("\n")[2].split())
                parts.append(f"<li><b>{count} × {escape(mistake)}</b><br>{escape(told)}</li>")
        parts.append("</ul>")
    columns = exercises(rows)
    heads = "".join(f"<th>{escape(name)}</th>" for name in columns)
    parts.append("<h2>All</h2><label><input type='checkbox' id='names'> show names</label>")
    parts.append(f"<table><tr><th>student</th>{heads}<th>note</th></tr>")
    for number, row in enumerate(rows, start=1):
        cells = (row.marks.get(name, MISSING) for name in columns)
        marked = "".join(f"<td class='{'right' if mark == RIGHT else 'other'}'>{escape(mark)}</td>" for mark in cells)
        who = f"<span class='number'>{number}</span><span class='name'>{escape(row.student)}</span>"
        parts.append(f"<tr><td>{who}</td>{marked}<td>{escape(row.note)}</td></tr>")
    return "\n".join([*parts, "</table></body></html>\n"])


HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Marks</title><style>
body { font: 18px/1.5 system-ui, sans-serif; margin: 2rem; max-width: 70rem; color: #222; background: #fff }
td, th { border: 1px solid #999; padding: .3rem .6rem; text-align: left }
table { border-collapse: collapse }
.right { background: #d8efe4 }
.name, body:has(#names:checked) .number { display: none }
body:has(#names:checked) .name { display: inline }
</style></head><body>"""


if __name__ == "__main__":
    execute(Path(sys.argv[1]), float(sys.argv[2]))
