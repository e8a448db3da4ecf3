"""Editions of the lessons: the student's, slides, one with every solution typed in and every cell run twice.

That the lessons run when nothing is typed in is tested where they are compared: `--without-solutions` in conftest.py.
"""

import copy
import re
import shlex
import subprocess
import sys
from itertools import dropwhile, takewhile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
COMMANDS = re.findall(r"^jupyter .+$", (ROOT / "docs" / "editions.md").read_text(encoding="utf-8"), re.MULTILINE)
SHORT = """
from resnet_lib.training.loop import Recipe
declared = Recipe.total_steps
Recipe.total_steps = lambda self, images: min(declared(self, images), 5)
"""  # a cell before all others: every training ends after five steps
every_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def made(to: str, folder: Path) -> list[Path]:
    """Run the command of docs/editions.md that makes `to`, into another folder."""
    (command,) = [command for command in COMMANDS if f"--to {to}" in command]
    words = [folder if word.startswith("build/") else word for word in shlex.split(command)[1:]]
    words = [path for word in words for path in (LESSONS if word == "notebooks/*.ipynb" else [word])]
    done = subprocess.run([sys.executable, "-m", "jupyter", *map(str, words)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def student_edition(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return made("notebook", tmp_path_factory.mktemp("student"))


def test_student_edition_has_no_solution_and_no_output(student_edition: list[Path]) -> None:
    assert [path.name for path in student_edition] == [path.name for path in LESSONS]
    for path, lesson in zip(student_edition, LESSONS, strict=True):
        student, whole = (nbformat.read(file, as_version=4).cells for file in (path, lesson))
        assert [cell.source for cell in student] == [cell.source for cell in whole if "solution" not in tags(cell)]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in student)
        assert sum("solution" in tags(cell) for cell in whole) >= sum("exercise" in tags(cell) for cell in student) >= 1


def test_slides_build(tmp_path: Path) -> None:
    decks = made("slides", tmp_path)
    assert [deck.name for deck in decks] == [f"{path.stem}.slides.html" for path in LESSONS]
    for deck, lesson in zip(decks, LESSONS, strict=True):
        page = deck.read_text(encoding="utf-8")
        shown = [cell for cell in nbformat.read(lesson, as_version=4).cells if "exercise" not in tags(cell)]
        assert page.count("<section") >= sum(cell.metadata.slideshow.slide_type == "slide" for cell in shown)
        assert "<summary>Hint" not in page


def solved_and_doubled(lesson):
    """Every solution stands in its stub's place; every code cell stands there twice."""
    lesson = copy.deepcopy(lesson)
    code = [cell for cell in lesson.cells if cell.cell_type == "code"]
    for stub in (cell for cell in code if "exercise" in tags(cell)):
        rest = dropwhile(lambda cell: "solution" not in tags(cell), code[code.index(stub) + 1 :])
        stub.source = "\n\n\n".join(cell.source for cell in takewhile(lambda cell: "solution" in tags(cell), rest))
    cells = []
    for cell in lesson.cells:
        cells.append(cell)
        if cell.cell_type == "code":
            cells.append(nbformat.v4.new_code_cell(cell.source, metadata=cell.metadata))
    lesson.cells = cells
    return lesson


CHECK = re.compile(r"\bchecks\.check_")


def said(cell) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def verdicts(cell) -> list[str]:
    """The first lines of what checks printed in this cell."""
    return re.findall(r"^[✓✗] .*$", said(cell), re.MULTILINE)


@pytest.mark.thorough
@every_lesson
def test_every_solution_passes_its_check_and_every_cell_runs_twice(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A learner who solves every task: each check says so, and the cells after it go on with the learner's own."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    lesson = solved_and_doubled(nbformat.read(path, as_version=4))
    lesson.cells.insert(0, nbformat.v4.new_code_cell(SHORT))
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(lesson, timeout=300, store_widget_state=False, resources=resources).execute()
    code = [cell for cell in lesson.cells if cell.cell_type == "code"]
    stubs = [number for number, cell in enumerate(code) if "exercise" in tags(cell)]
    assert stubs
    for number in stubs:
        check = next(cell for cell in code[number + 1 :] if CHECK.search(cell.source) and "exercise" not in tags(cell))
        assert verdicts(check) and all(line.startswith("✓") for line in verdicts(check)), code[number].source[-200:]
        if ".use(" in check.source:
            assert "the next cells use yours" in said(check).lower(), check.source


def test_a_wrong_solution_would_be_seen() -> None:
    """The control: the committed lessons, whose stubs are blank, have a ✗ after each stub."""
    for path in LESSONS:
        code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        for number, cell in enumerate(code):
            if "exercise" in tags(cell) and "exercise" not in tags(code[number + 1]):
                assert [line[0] for line in verdicts(code[number + 1])] == ["✗"], path.stem
