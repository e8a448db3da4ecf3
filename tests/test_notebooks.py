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
CODE_LINES, CODE_MEDIAN = 15, 8
CLASS_LINES = 35  # of a class that a learner completes, and of its solution: it stands whole
TEXT_WORDS, CELL_WORDS = 90, 200  # of one cell: what is read at once; that and its folds
LESSON_WORDS, COURSE_WORDS = 1_100, 13_000  # of prose that is not folded
FIRST_TASK, BETWEEN = 10, 6  # cells
TO_DO = {"predict", "exercise", "try", "explore", "quiz"}  # what the learner does
TAGS = TO_DO | {"check", "solution", "live", "nbval-ignore-output", "raises-exception"}

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


def folded(cell) -> bool:
    return cell.cell_type == "markdown" and cell.source.startswith("<details")


def words(text: str) -> list[str]:
    """A formula and a name in code are one word each; tags, addresses and blocks of code are none."""
    text = re.sub(r"`[^`\n]+`", " code ", re.sub(r"^(```|~~~).*?^\1\s*$", "", text, flags=re.MULTILINE | re.DOTALL))
    text = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$", " formula ", without_code(text), flags=re.DOTALL)
    return re.findall(r"\w[\w'’.,-]*", re.sub(r"\]\([^)]*\)|<[^>]+>|https?://\S+", " ", text))


def unfolded(text: str) -> str:
    return re.sub(r"<details.*?</details>", "", text, flags=re.DOTALL)


def prose(lesson) -> int:
    """Words that a reader sees who opens no fold."""
    return sum(len(words(unfolded(cell.source))) for cell in text_cells(lesson))


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
    for cell in text_cells(lesson):
        for text, limit in ((unfolded(cell.source), TEXT_WORDS), (cell.source, CELL_WORDS)):
            if len(words(text)) > limit:
                yield f"{len(words(text))} words in one text ({' '.join(words(text)[:6])} …); {limit} is the limit"
    if prose(lesson) > LESSON_WORDS:
        yield f"{prose(lesson)} words of prose; {LESSON_WORDS} is the limit"


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
        whole_class = cell.source.startswith("class ") and {"exercise", "solution"} & set(tags(cell))
        limit = CLASS_LINES if whole_class else CODE_LINES
        if length > limit:
            yield f"{length} lines of code in the cell that begins {cell.source[:50]!r}; {limit} is the limit"
    if lengths and statistics.median(lengths) > CODE_MEDIAN:
        yield f"the median code cell has {statistics.median(lengths)} lines; {CODE_MEDIAN} is the limit"


# What the learner does


@rule
def known_tags(lesson, name):
    for number, cell in enumerate(lesson.cells):
        if set(tags(cell)) - TAGS:
            yield f"cell {number} has the tag {sorted(set(tags(cell)) - TAGS)}; known are {sorted(TAGS)}"
        if cell.cell_type != "code":
            if tags(cell):
                yield f"cell {number} has tags and is no code"
            continue
        for tag, sign in SIGNS.items():
            if re.search(sign, cell.source) and tag not in tags(cell) and "solution" not in tags(cell):
                yield f"cell {number} needs the tag {tag}: {cell.source[:50]!r}"


SIGNS = {
    "predict": r"\bPredict\(",
    "quiz": r"\bQuiz\(",
    "check": r"\bchecks\.check_\w+\(|\.compare\(",
    "explore": r"(?m)^(?:\w+ = )?(?:rl\.)?(?:\w+Explorer|TrainingReplay)\((?!.*\.(?:still|text|set)\b)",
}


@rule
def first_task_comes_early(lesson, name):
    tasks = [number for number, cell in enumerate(lesson.cells, start=1) if "exercise" in tags(cell)]
    if not tasks or tasks[0] > FIRST_TASK:
        yield f"the first exercise is cell {tasks[0] if tasks else 'none'}; it belongs among the first {FIRST_TASK}"


@rule
def always_something_to_do(lesson, name):
    """Between two things to do stand at most BETWEEN cells. A task's check, hints and solution belong to the task."""
    watched = [cell for cell in lesson.cells if not folded(cell) and not {"check", "solution"} & set(tags(cell))]
    done = [number for number, cell in enumerate(watched) if TO_DO & set(tags(cell))]
    for one, other in pairwise(done):
        if other - one - 1 > BETWEEN:
            after = watched[one].source[:60]
            yield f"{other - one - 1} cells with nothing to do after {after!r}; {BETWEEN} is the limit"


@rule
def exercises(lesson, name):
    """Stub, check, hints in three steps and the solution stand together, in this order."""
    letters = {"solution": "S", "exercise": "E", "check": "C"}
    kinds = ""
    for cell in lesson.cells:
        kinds += next((letters[tag] for tag in letters if tag in tags(cell)), "H" if folded(cell) else ".")
    for found in re.finditer("E|S+", kinds):
        whole = re.match(r"E(C+)(H+)(S+)", kinds[found.start() :])
        if found[0] == "E" and not whole:
            seen = kinds[found.start() : found.start() + 6]
            yield f"cell {found.start()}: stub, check, hints, solution (ECHS) are wanted in a row, found was {seen}"
        if found[0] == "E" and whole:
            start, end = (found.start() + place for place in whole.span(2))
            hints = re.findall(r"<summary>(.*?)</summary>", "".join(cell.source for cell in lesson.cells[start:end]))
            if [re.sub(r"\W.*", "", hint.removeprefix("Hint ")) for hint in hints] != ["1", "2", "3"]:
                yield f"cell {found.start()}: the folds are Hint 1, Hint 2 and Hint 3, found were {hints}"
        if found[0] != "E" and not re.search(r"EC+H+$", kinds[: found.start()]):
            yield f"the solution in cell {found.start()} does not stand under its stub, check and hints"


@rule
def no_answer_above_its_task(lesson, name):
    """Most lines of a solution stand nowhere above its stub, in code or in prose."""
    above: list[str] = []
    for number, cell in enumerate(lesson.cells):
        if "exercise" in tags(cell):
            stub = number
        if "solution" in tags(cell):
            given = {line for text in above[:stub] for line in significant(text)}
            asked = significant(cell.source) - significant(lesson.cells[stub].source)
            if len(asked & given) > max(1, len(asked) / 2):
                yield f"the solution in cell {number} stands above its stub: {sorted(asked & given)[:2]}"
            above.append("")  # folded
        else:
            above.append(unfolded(cell.source))


def significant(source: str) -> set[str]:
    """The lines that say something."""
    lines = {line.strip() for line in source.splitlines()}
    return {line for line in lines if len(line) >= 12 and not line.startswith(("#", "import ", "from ", "super()"))}


@rule
def predictions_are_compared(lesson, name):
    """Each prediction is compared below it, and with what was measured: not with a text that stands there."""
    asked: set[str] = set()
    for number, cell in enumerate(code_cells(lesson)):
        asked |= set(re.findall(r"(\w+) = Predict\(", cell.source))
        asked -= set(re.findall(r"(\w+)\.compare\(", cell.source))
        for fixed in re.findall(r"\.compare\((?:\"[^\"]*\"|'[^']*'|\w+\.options\[\d+\])\)", cell.source):
            yield f"code cell {number} compares with a fixed text: {fixed}"
    for guess in sorted(asked):
        yield f"the prediction {guess} is never compared"


@rule
def no_picture_twice(lesson, name):
    texts = [
        output.data.get("text/plain")
        for cell in code_cells(lesson)
        for output in cell.outputs
        if "data" in output and ("image/svg+xml" in output.data or "<img" in output.data.get("text/html", ""))
    ]
    for text, count in Counter(texts).items():
        if count > 1:
            yield f"a picture is shown {count} times: {str(text)[:80]!r}"


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


def test_the_course_is_short() -> None:
    lessons = [nbformat.read(path, as_version=4) for path in LESSONS]
    assert sum(map(prose, lessons)) <= COURSE_WORDS


def test_numbers_are_unique() -> None:
    assert len({path.stem[:2] for path in LESSONS}) == len(LESSONS)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__)
def test_lesson(check: Callable, path: Path) -> None:
    lesson = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    assert list(check(lesson, path.stem)) == []


# The rules on a lesson without faults, and with one


HINTS = "".join(f"<details><summary>Hint {level}</summary>\n\nLook.\n\n</details>\n\n" for level in "123")


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
        new_markdown_cell("## Part\n\nThree words here.\n\n<details>" + "word " * 170 + "</details>", metadata=meta()),
        code("print(1)", 1, outputs=[said]),
        code("net(x)", 2, "raises-exception", outputs=[error]),
        code("plot()", 3, outputs=[shown]),
        new_markdown_cell("### Exercise\n\n" + "word " * 80, metadata=meta()),
        code("def block(x):\n    ...", 4, "exercise"),
        code("checks.check_block(block)", 5, "check"),
        new_markdown_cell(HINTS, metadata=meta()),
        code("def block(x):\n    twice = 2 * x\n    return relu(twice)", 6, "solution"),
        *(new_markdown_cell(f"Step {step}", metadata=meta()) for step in range(6)),
        code("guess = Predict('?', ['a', 'b'])", 7, "predict"),
        code("guess.compare('a' if y > 0 else 'b')", 8, "check"),
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
SHOWN = new_output("display_data", data={"image/svg+xml": "<svg/>", "text/plain": "a curve"})
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
    (alt_texts, put("cells.0.source", "# Title\n![](figure.png)")),
    (alt_texts, put("cells.0.source", "# Title\n<img src='figure.png' alt=''>")),
    (alt_texts, put("cells.4.outputs", [IMAGE])),
    (executed_in_order, put("cells.2.execution_count", None)),
    (executed_in_order, put("cells.2.execution_count", 7)),
    (short_code, put("cells.2.source", LONG)),
    (short_code, put("cells.2.source", "class Net:\n" + LONG)),
    (short_code, put("cells.6.source", "class Net:\n" + "\n".join(f"    x = {n}" for n in range(35)))),
    (short_code, lambda lesson: [cell.update(source="x = 1\n" * 10) for cell in lesson.cells]),
    (short_texts, put("cells.1.source", "<details>" + "word " * 201 + "</details>")),
    (short_texts, lambda lesson: lesson.cells.extend(new_markdown_cell("word " * 80) for _ in range(14))),
    (known_tags, put("cells.2.metadata.tags", ["excercise"])),
    (known_tags, put("cells.1.metadata.tags", ["exercise"])),
    (known_tags, put("cells.16.metadata.tags", [])),
    (known_tags, put("cells.17.metadata.tags", [])),
    (known_tags, put("cells.7.metadata.tags", [])),
    (known_tags, put("cells.2.source", "rl.ShortcutExplorer(channels=16)")),
    (known_tags, put("cells.2.source", "Quiz('03-end').show()")),
    (first_task_comes_early, put("cells.6.metadata.tags", [])),
    (first_task_comes_early, lambda lesson: lesson.cells.__setitem__(slice(0, 0), [new_markdown_cell("Read")] * 5)),
    (always_something_to_do, lambda lesson: lesson.cells.insert(11, new_markdown_cell("One more"))),
    (exercises, drop(6)),
    (exercises, drop(7)),
    (exercises, drop(8)),
    (exercises, drop(9)),
    (exercises, lambda lesson: lesson.cells.insert(7, new_markdown_cell("A word between"))),
    (exercises, put("cells.8.source", HINTS.replace("Hint 2", "Hint 3"))),
    (exercises, put("cells.8.source", HINTS.partition("</details>")[0] + "</details>")),
    (no_answer_above_its_task, put("cells.2.source", "twice = 2 * x\nreturn relu(twice)")),
    (no_answer_above_its_task, put("cells.1.source", "```python\ntwice = 2 * x\nreturn relu(twice)\n```")),
    (predictions_are_compared, put("cells.17.source", "print(y)")),
    (predictions_are_compared, put("cells.17.source", "guess.compare('a')")),
    (predictions_are_compared, put("cells.17.source", "guess.compare(guess.options[1])")),
    (no_picture_twice, lambda lesson: lesson.cells[2].update(outputs=[SHOWN, SHOWN])),
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
