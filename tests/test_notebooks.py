"""The lessons as documents. Each rule looks at one notebook and returns its faults, one sentence each; each is tried
on a small lesson without faults and on copies with one fault."""

import copy
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_environment import DATA_SET

LESSONS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
NAME = re.compile(r"\d\d_[a-z0-9]+(_[a-z0-9]+)*")
CODE_LINES, CODE_MEDIAN, TEXT_WORDS = 15, 9, 90

RULES: list[Callable] = []


def rule(check: Callable) -> Callable:
    RULES.append(check)
    return check


def code_cells(lesson) -> list:
    return [cell for cell in lesson.cells if cell.cell_type == "code"]


def text_cells(lesson) -> list:
    return [cell for cell in lesson.cells if cell.cell_type == "markdown"]


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def without_code(text: str) -> str:
    """Markdown without fenced and inline code and comments."""
    text = re.sub(r"^(```|~~~).*?^\1\s*$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"<!--.*?-->|`[^`\n]*`", "", text, flags=re.DOTALL)


def texts_of_outputs(cell) -> Iterator[str]:
    """What a reader can see as text in a cell's outputs; pictures in base64 are left out."""
    for output in cell.outputs:
        if output.output_type == "stream":
            yield output.text
        elif output.output_type == "error":
            yield "\n".join([output.evalue, *output.traceback])
        else:
            for kind, data in output.data.items():
                if isinstance(data, str) and (kind == "image/svg+xml" or not kind.startswith("image/")):
                    yield re.sub(r"data:[\w/+.-]+;base64,[\w+/=\s]+", "", str(data))


# The file


@rule
def valid_format(lesson, name):
    if (lesson.nbformat, lesson.nbformat_minor) != (4, 5):
        yield f"the format is {lesson.nbformat}.{lesson.nbformat_minor}, not 4.5"
    try:
        nbformat.validate(lesson, relax_add_props=False)
    except nbformat.ValidationError as error:
        yield f"the notebook is not valid: {error.message}"


@rule
def unique_ids(lesson, name):
    for cell_id, count in Counter(cell.get("id") for cell in lesson.cells).items():
        if count > 1 or not cell_id:
            yield f"{count} cells have the id {cell_id!r}"


@rule
def plain_name(lesson, name):
    if not NAME.fullmatch(name):
        yield f"{name} is not of the form 03_residual_blocks"


@rule
def kernel(lesson, name):
    found = lesson.metadata.get("kernelspec", {}).get("name")
    if found != "python3":
        yield f"the kernel is {found}, not python3, which every installation has"


@rule
def no_widget_state(lesson, name):
    if "widgets" in lesson.metadata:
        yield "widget state is stored: clear metadata.widgets"


@rule
def slides(lesson, name):
    allowed = {"slide", "subslide", "fragment", "skip", "notes", "-"}
    for number, cell in enumerate(lesson.cells):
        if cell.metadata.get("slideshow", {}).get("slide_type") not in allowed:
            yield f"cell {number} has no slideshow.slide_type"


# Text


@rule
def headings(lesson, name):
    marks = [re.findall(r"^(#{1,6})\s+\S", without_code(cell.source), re.MULTILINE) for cell in text_cells(lesson)]
    levels = [len(mark) for cell_marks in marks for mark in cell_marks]
    if levels.count(1) != 1 or levels[:1] != [1]:
        yield f"there are {levels.count(1)} headings of level 1; one is wanted, before all others"
    for above, below in pairwise(levels):
        if below > above + 1:
            yield f"a heading of level {below} follows one of level {above}"


@rule
def short_texts(lesson, name):
    """Folds and tables count; tags, addresses and code are not words, a formula is one."""
    for cell in text_cells(lesson):
        text = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$", " formula ", without_code(cell.source), flags=re.DOTALL)
        text = re.sub(r"\]\([^)]*\)|<[^>]+>|https?://\S+", " ", text)
        words = re.findall(r"\w[\w'’.,-]*", text)
        if len(words) > TEXT_WORDS:
            yield f"{len(words)} words in one text ({' '.join(words[:6])} …); {TEXT_WORDS} is the limit"


@rule
def alt_texts(lesson, name):
    sources = [without_code(cell.source) for cell in text_cells(lesson)]
    outputs = [text for cell in code_cells(lesson) for text in texts_of_outputs(cell)]
    for text in sources + outputs:
        images = re.findall(r"<img\b[^>]*>", text, re.IGNORECASE)
        for image in (image for image in images if not re.search(r"\balt=(['\"])\s*[^'\"\s].*?\1", image)):
            yield f"no alt text: {image[:80]}"
    for source in sources:
        for image in re.findall(r"!\[\s*\]\([^)]*\)", source):
            yield f"no alt text: {image[:80]}"


# Code


@rule
def executed_in_order(lesson, name):
    counts = [cell.execution_count for cell in code_cells(lesson)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"the execution counts are {counts}: restart the kernel, run all, save"


@rule
def short_code(lesson, name):
    lengths = [len(cell.source.splitlines()) for cell in code_cells(lesson)]
    for cell, length in zip(code_cells(lesson), lengths, strict=True):
        if length > CODE_LINES:
            yield f"{length} lines of code in the cell that begins {cell.source[:50]!r}; {CODE_LINES} is the limit"
    if lengths and statistics.median(lengths) > CODE_MEDIAN:
        yield f"the median code cell has {statistics.median(lengths)} lines; {CODE_MEDIAN} is the limit"


@rule
def exercises(lesson, name):
    """Task, stub, … solution: each exercise has its own solution, folded, in one cell or more, before the next."""
    waiting = solved = None
    for number, cell in enumerate(lesson.cells):
        if "exercise" in tags(cell):
            if waiting is not None:
                yield f"the exercise in cell {waiting} has no solution before the next one in cell {number}"
            waiting = number
        if "solution" in tags(cell):
            if waiting is None and solved != number - 1:
                yield f"the solution in cell {number} has no exercise before it"
            waiting, solved = None, number
            if cell.metadata.get("jupyter", {}).get("source_hidden") is not True:
                yield f"the solution in cell {number} is not folded (jupyter.source_hidden)"
        if {"exercise", "solution"} & set(tags(cell)) and cell.cell_type != "code":
            yield f"cell {number} is tagged as exercise or solution and is no code"
    if waiting is not None:
        yield f"the exercise in cell {waiting} has no solution"


@rule
def lessons_stand_alone(lesson, name):
    for cell in code_cells(lesson):
        if re.search(r"^\s*%(run|load)\b|import_ipynb|\.ipynb\b|\bnotebooks[./]\w", cell.source, re.MULTILINE):
            yield f"a lesson uses another: {cell.source[:60]!r}"
        if re.search(r"\b(?:import_module|__import__)\(\s*['\"]\d\d_", cell.source):
            yield f"a lesson imports another: {cell.source[:60]!r}"


# Outputs


@rule
def no_errors(lesson, name):
    for cell in code_cells(lesson):
        if "raises-exception" not in tags(cell):
            for output in cell.outputs:
                if output.output_type == "error":
                    yield f"{output.ename} is stored: {output.evalue[:80]}"


@rule
def no_warnings(lesson, name):
    for cell in code_cells(lesson):
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                yield f"a cell wrote to stderr: {output.text[:80]!r}"


ABSOLUTE = re.compile(
    r"(?<![\w/.:+~$}\])<-])/(?:work|root|home|tmp|Users|opt|mnt|usr|var|etc|private|content)/[\w.]|\b[A-Za-z]:\\+\w"
)


@rule
def no_absolute_paths(lesson, name):
    texts = [cell.source for cell in lesson.cells]
    texts += [text for cell in code_cells(lesson) for text in texts_of_outputs(cell)]
    for text in texts:
        found = ABSOLUTE.search(text.replace(DATA_SET, ""))
        if found:
            yield f"an absolute path: {text[max(found.start() - 20, 0) : found.end() + 30]!r}"


# The rules on the lessons


def test_there_are_lessons() -> None:
    assert LESSONS, "notebooks/ holds no lesson"


def test_numbers_are_unique() -> None:
    assert len({path.stem[:2] for path in LESSONS}) == len(LESSONS)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__)
def test_lesson(check: Callable, path: Path) -> None:
    lesson = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    assert list(check(lesson, path.stem)) == []


# The rules on a lesson without faults, and with one


def faultless():
    def meta(*cell_tags, **more):
        return {"slideshow": {"slide_type": "slide"}, "tags": list(cell_tags), **more}

    def code(source, count, *cell_tags, outputs=(), **more):
        metadata = meta(*cell_tags, **more)
        return new_code_cell(source, execution_count=count, outputs=list(outputs), metadata=metadata)

    said = new_output("stream", name="stdout", text=f"found in {DATA_SET}\n")
    error = new_output("error", ename="ValueError", evalue="64 and 256 channels", traceback=["ValueError"])
    picture = "data:image/png;base64,/" + "tmp/A"  # base64 may look like a path
    shown = new_output("display_data", data={"text/html": f"<img alt='a curve' src='{picture}'>"})
    cells = [
        new_markdown_cell("# Title\n\n![A block](figure.png)\n\n```python\n# no heading\n```", metadata=meta()),
        new_markdown_cell("## Part\n\nThree words here.\n\n<details>" + "word " * 70 + "</details>", metadata=meta()),
        code("print(1)", 1, outputs=[said]),
        code("net(x)", 2, "raises-exception", outputs=[error]),
        code("plot()", 3, outputs=[shown]),
        new_markdown_cell("### Exercise\n\n" + "word " * 80, metadata=meta()),
        code("def block(x):\n    ...", 4, "exercise"),
        code("def block(x):\n    return x", 5, "solution", jupyter={"source_hidden": True}),
    ]
    return new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})


@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__)
def test_no_rule_objects_to_a_good_lesson(check: Callable) -> None:
    assert list(check(faultless(), "03_residual_blocks")) == []


def put(path: str, value) -> Callable:
    """A change of one entry of a lesson, named as in "cells.2.execution_count"."""

    def change(lesson) -> None:
        *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        for step in way:
            lesson = lesson[step]
        lesson[last] = value

    return change


def drop(number: int) -> Callable:
    return lambda lesson: lesson.cells.pop(number)


STDERR = new_output("stream", name="stderr", text="UserWarning")
PATH_SHOWN = new_output("stream", name="stdout", text="saved to /" + "home/ann/net.pt")
TRACEBACK = new_output("error", ename="E", evalue="", traceback=["in /" + "root/x.py"])
IMAGE = new_output("display_data", data={"text/html": "<img src='x.png'>"})
PATH_RESULT = new_output("execute_result", data={"text/plain": "PosixPath('/" + "tmp/x')"}, execution_count=1)
LONG = "\n".join(f"x = {n}" for n in range(16))

FAULTS = [
    (valid_format, put("nbformat_minor", 4)),
    (valid_format, put("cells.2.outputs", [{"output_type": "stream"}])),
    (unique_ids, lambda lesson: lesson.cells[1].update(id=lesson.cells[0]["id"])),
    (kernel, put("metadata.kernelspec.name", "my-env")),
    (kernel, put("metadata", {})),
    (no_widget_state, put("metadata.widgets", {})),
    (slides, put("cells.3.metadata.slideshow", {})),
    (slides, put("cells.3.metadata.slideshow.slide_type", "page")),
    (headings, put("cells.1.source", "# A second title")),
    (headings, put("cells.0.source", "No title")),
    (headings, put("cells.1.source", "### A level is missing")),
    (headings, lambda lesson: lesson.cells.insert(0, new_markdown_cell("## Before the title"))),
    (short_texts, put("cells.1.source", "word " * 91)),
    (short_texts, put("cells.1.source", "word " * 50 + "<details>" + "word " * 50 + "</details>")),
    (alt_texts, put("cells.0.source", "# Title\n![](figure.png)")),
    (alt_texts, put("cells.0.source", "# Title\n<img src='figure.png' alt=''>")),
    (alt_texts, put("cells.4.outputs", [IMAGE])),
    (executed_in_order, put("cells.2.execution_count", None)),
    (executed_in_order, put("cells.2.execution_count", 7)),
    (short_code, put("cells.2.source", LONG)),
    (short_code, lambda lesson: [cell.update(source="x = 1\n" * 10) for cell in lesson.cells]),
    (exercises, drop(7)),
    (exercises, drop(6)),
    (exercises, put("cells.7.metadata.jupyter", {})),
    (exercises, put("cells.4.metadata.tags", ["exercise"])),
    (exercises, put("cells.5.metadata.tags", ["exercise"])),
    (lessons_stand_alone, put("cells.2.source", "%run 01_deeper.ipynb")),
    (lessons_stand_alone, put("cells.2.source", "importlib.import_module('01_deeper')")),
    (no_errors, put("cells.3.metadata.tags", [])),
    (no_warnings, put("cells.2.outputs", [STDERR])),
    (no_absolute_paths, put("cells.2.outputs", [PATH_SHOWN])),
    (no_absolute_paths, put("cells.2.outputs", [PATH_RESULT])),
    (no_absolute_paths, put("cells.3.outputs", [TRACEBACK])),
    (no_absolute_paths, put("cells.2.source", "open('/" + "usr/share/words')")),
    (no_absolute_paths, put("cells.1.source", "See C:\\" + "data")),
]


@pytest.mark.parametrize(("check", "fault"), FAULTS, ids=lambda part: part.__name__)
def test_every_rule_finds_its_fault(check: Callable, fault: Callable) -> None:
    lesson = copy.deepcopy(faultless())
    fault(lesson)
    assert list(check(lesson, "03_residual_blocks")), check.__name__


@pytest.mark.parametrize("name", ["3_blocks", "03_Blocks", "03-blocks", "03_residual blocks", "residual_blocks"])
def test_bad_names_are_found(name: str) -> None:
    assert list(plain_name(faultless(), name))


def test_every_rule_has_a_fault_to_find() -> None:
    assert {check for check, _ in FAULTS} | {plain_name} == set(RULES)
