"""Lessons as text: each text leads to its notebook, to the byte, and back; only changed code runs again."""

from pathlib import Path

import lesson_text
import nbformat
import pytest
import run_lessons
from lesson_text import NOTEBOOKS, TEXTS, formatted, notebook_of, text_of, with_outputs, written

LESSONS = sorted({path.stem for path in (*NOTEBOOKS.glob("*.ipynb"), *TEXTS.glob("*.md"))})
TEXT = """# 01 · Title

Prose with `code` and $x$.

+++

A second cell.

```{code-cell}
import math
```

```{code-cell}
:tags: [predict]

guess = Predict("?", ["a", "b"])
```

```{code-cell}
:tags: [exercise]

def double(x):
    ...
```

```{code-cell}
:tags: [check, nbval-ignore-output]

print(math.pi)
```

<details><summary>Hint 1</summary>

Look.

</details>

```{code-cell}
:tags: [solution]

def double(x):
    return 2 * x
```

### Closer

```{code-cell}
import math
```

```{code-cell}
:tags: [check]

guess.compare("a" if math.pi > 3 else "b")
```

```{code-cell}
print(math.e)
```
"""


@pytest.mark.parametrize("name", LESSONS)
def test_text_and_notebook_are_equal(name: str) -> None:
    """What makes them equal: `python lab.py run --save NN` after an edit of the text, `--to-text NN` the other way."""
    text = (TEXTS / f"{name}.md").read_text(encoding="utf-8")
    stored = (NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
    notebook = nbformat.reads(stored, as_version=4)
    assert text_of(notebook) == text
    assert written(with_outputs(notebook_of(text), notebook)) == stored


def test_metadata_follow_from_tags_and_headings() -> None:
    cells = notebook_of(TEXT).cells
    assert [cell.metadata.slideshow.slide_type for cell in cells] == [
        "slide", "fragment", "skip", "fragment", "fragment", "skip", "skip", "skip", "subslide", "skip",
        "skip", "fragment",
    ]  # fmt: skip
    folded, solution = {"outputs_hidden": True}, {"source_hidden": True, "outputs_hidden": True}
    # A check is folded, and so is all code between a prediction and its comparison that may tell the answer.
    assert [cell.metadata.get("jupyter") for cell in cells] == [
        *[None] * 5, folded, None, solution, None, folded, folded, None,
    ]  # fmt: skip
    assert cells[5].metadata.tags == ["check", "nbval-ignore-output"]
    assert cells[2].source == cells[9].source == "import math"
    assert cells[9].id == f"{cells[2].id}-2"


def test_back_to_the_same_text() -> None:
    notebook = notebook_of(TEXT)
    assert notebook_of(text_of(notebook)) == notebook
    assert text_of(notebook).partition("\n# ")[2] == TEXT.partition("# ")[2]


def test_ids_stay_where_the_source_does() -> None:
    before, after = (notebook_of(text).cells for text in (TEXT, TEXT.replace("A second cell", "Another cell")))
    assert [one.id == other.id for one, other in zip(before, after, strict=True)].count(False) == 1


def test_a_text_has_only_tags() -> None:
    with pytest.raises(ValueError, match="a text has only tags"):
        notebook_of(TEXT.replace(":tags: [predict]", ":tags: [predict]\n:name: guess"))


def test_code_is_laid_out() -> None:
    loose = TEXT.replace("return 2 * x", "return 2*x")
    assert "return 2 * x" in formatted(loose) and "return 2*x" not in formatted(loose)
    assert formatted(formatted(loose)) == formatted(loose)
    with pytest.raises(ValueError, match="error: Failed to parse"):
        formatted(TEXT.replace("return 2 * x", "return ("))


def test_outputs_of_other_code_are_refused() -> None:
    with pytest.raises(ValueError, match="run the lesson"):
        with_outputs(notebook_of(TEXT.replace("math.pi", "math.e")), notebook_of(TEXT))


# The command


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course with one lesson that has a text and no notebook yet; the number that it prints differs in each run."""
    (tmp_path / "text").mkdir()
    for module in (run_lessons, lesson_text):
        monkeypatch.setattr(module, "NOTEBOOKS", tmp_path)
        monkeypatch.setattr(module, "TEXTS", tmp_path / "text")
    monkeypatch.setenv("PYTHONPATH", "")
    write(tmp_path, "Before.", "uuid.uuid4().hex")
    return tmp_path


def write(course: Path, prose: str, code: str) -> None:
    source = f"# 07 · New\n\n{prose}\n\n```{{code-cell}}\nimport uuid\n\nprint({code})\n```\n"
    (course / "text" / "07_new.md").write_text(source, encoding="utf-8")


def printed(course: Path) -> str:
    notebook = nbformat.read(course / "07_new.ipynb", as_version=4)
    assert notebook.cells[-1].execution_count == 1
    return notebook.cells[-1].outputs[0].text


def test_only_what_changed_is_run(course: Path, capsys: pytest.CaptureFixture) -> None:
    assert run_lessons.main(["--save", "07"]) == 0  # a new lesson
    first = printed(course)
    write(course, "After.", "uuid.uuid4().hex")
    assert run_lessons.main(["--save", "07"]) == 0
    assert "its outputs were kept" in capsys.readouterr().out
    assert printed(course) == first and "After." in (course / "07_new.ipynb").read_text(encoding="utf-8")
    assert run_lessons.main(["--save", "--again", "07"]) == 0
    assert printed(course) != first
    write(course, "After.", "1 / 0")
    before = (course / "07_new.ipynb").read_bytes()
    assert run_lessons.main(["--save", "07"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out
    assert (course / "07_new.ipynb").read_bytes() == before  # a lesson that fails is not stored


def test_from_the_notebook_to_the_text(course: Path) -> None:
    run_lessons.main(["--save", "07"])
    text = course / "text" / "07_new.md"
    text.unlink()
    assert run_lessons.main(["--to-text", "07"]) == 0
    assert "uuid4" in text.read_text(encoding="utf-8")


def test_the_kernel_has_this_course(course: Path) -> None:
    write(course, "Where?", "__import__('resnet_lib').__file__")
    assert run_lessons.main(["--save", "07"]) == 0
    assert Path(printed(course).strip()) == run_lessons.ROOT / "resnet_lib" / "__init__.py"


def test_a_number_chooses_one_lesson() -> None:
    names = ("06_resnet_50_101_152", "10_port_a_net")
    assert [name for name in names if run_lessons.chosen("10", name)] == ["10_port_a_net"]
    assert [name for name in names if run_lessons.chosen("port", name)] == ["10_port_a_net"]
