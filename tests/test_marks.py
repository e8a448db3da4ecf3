"""Marks of a class: one folder with every kind of notebook that is handed in, run once."""

import csv
import hashlib
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from resnet_lib.__main__ import main
from resnet_lib.teaching import marks

START = "from resnet_lib.teaching import checks"
STUB = "def pixels(images):\n    ..."
RIGHT = "def pixels(images):\n    return images.numel()"
CHECK = "checks.check_pixels(pixels)"
NETWORK = """
import socket
try:
    socket.create_connection(("192.0.2.1", 80), 1)
except OSError as error:
    assert "offline" in str(error)
"""
CELLS = {
    "ada/00": [START, RIGHT, CHECK],
    "ben/00": [START, STUB, CHECK],
    "cem/00": [START, "def pixels(images):\n    return sum(images.shape)", CHECK],
    "dia/00": [START, "def pixels(images):\n    return sum(images.shape)", CHECK],
    "eva/00": [START, "this is no Python", CHECK],
    "fay/00": [START, RIGHT, CHECK, "import time; time.sleep(1000)"],
    "gus/00": [START, RIGHT, CHECK, "import os; os._exit(3)"],
    "hal/00": [START, RIGHT, "held = bytearray(20 * 10**9)", CHECK],
    "ida/00": [START, RIGHT, CHECK, NETWORK, "open('mine.txt', 'w').write('x')", "%timeit -n1 -r1 1"],
    "=jo<b>/00": [START, STUB, "pixels = lambda images: 7", CHECK],
    "kim/other": ["print('my own notebook')"],
    "lea/00": [
        START,
        "def pixels(images):\n    return sum(images.shape)",
        CHECK,
        "def pixels(images):\n    return images.numel()",
        CHECK,
    ],
}


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")


def store(folder: Path, name: str, sources: list[str], **cell: object) -> Path:
    path = folder / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[new_code_cell(source, **cell) for source in sources]), path)
    return path


def fingerprints(folder: Path) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, str]], str]:
    """The rows of the table, and the page."""
    folder, out = tmp_path_factory.mktemp("class"), tmp_path_factory.mktemp("out")
    for name, sources in CELLS.items():
        store(folder, name, sources)
    solved = store(folder, "max/00", [START, STUB, CHECK])
    with_solution = nbformat.read(solved, as_version=4)
    with_solution.cells += [new_code_cell(f"{RIGHT}\n{CHECK}", metadata={"tags": ["solution"]})]
    nbformat.write(with_solution, solved)
    whole = solved.read_bytes()
    (folder / "truncated.ipynb").write_bytes(whole[: len(whole) // 2])
    (folder / "list.ipynb").write_text("[1, 2]")
    (folder / "bytes.ipynb").write_bytes(bytes(range(256)))
    with (folder / "huge.ipynb").open("wb") as huge:
        huge.truncate(marks.LARGEST + 1)
    before = fingerprints(folder)
    assert main(["marks", str(folder), "--to", str(out), "--seconds", "90", "--memory", "8"]) == 0
    assert fingerprints(folder) == before, "a notebook was changed, or a file was added"
    with (out / "marks.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    return rows, (out / "marks.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("student", "mark", "note"),
    [
        ("ada/00", "right", ""),
        ("ben/00", "untouched", ""),
        ("cem/00", "adds-sizes", ""),
        ("eva/00", "did not run", "cell 2 raised SyntaxError"),
        ("fay/00", "right", "ended after 90 s"),
        ("gus/00", "right", "the process ended with status 3"),
        pytest.param("hal/00", "right", "cell 3 raised MemoryError", marks=LINUX),
        ("ida/00", "right", ""),
        ("'=jo<b>/00", "constant", ""),
        ("kim/other", "no check", "no exercise of the course in it"),
        ("lea/00", "right", ""),
        ("max/00", "untouched", ""),  # a solution that the course put there is not the learner's
        ("truncated", "no check", "not a notebook, or only a part of one (JSONDecodeError)"),
        ("list", "no check", "not a notebook, or only a part of one (TypeError)"),
        ("bytes", "no check", "not a notebook, or only a part of one (UnicodeDecodeError)"),
        ("huge", "no check", "too large: 50 MB"),
    ],
)
def test_a_row(marked: tuple, student: str, mark: str, note: str) -> None:
    (row,) = [row for row in marked[0] if row["student"] == student]
    assert (row["pixels"], row["note"]) == (mark, note)


def test_the_page_shows_the_commonest_mistake_first_and_hides_the_names(marked: tuple) -> None:
    rows, page = marked
    assert len(rows) == 17 and f"<h2><code>pixels</code>: 6 of {len(rows)} right</h2>" in page
    mistakes = re.findall(r"<b>(\d+) × ([\w-]+)</b><br>(.+)</li>", page)
    assert [mistake[:2] for mistake in mistakes] == [("2", "adds-sizes"), ("1", "constant")]
    assert "You add the sizes" in mistakes[0][2]
    assert ".name, body:has(#names:checked) .number { display: none }" in page
    assert "=jo&lt;b&gt;/00" in page and "<b>/00" not in page
    assert not re.search(r"<script|https?://", page)


def test_an_empty_folder_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["marks", str(tmp_path)]) == 1
    assert "has none: unpack what was handed in first" in capsys.readouterr().err
