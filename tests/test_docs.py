"""The pages: links lead somewhere, commands are known, glossary and lessons agree, every lesson has its half page."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from resnet_lib.__main__ import parse

ROOT = Path(__file__).parents[1]
CARDS = sorted((ROOT / "resnet_lib").rglob("README.md"))
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md")), *CARDS]
LESSONS = {path.name: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
TEACHING = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
TERMS = re.findall(r"^### (.+)$", GLOSSARY, re.MULTILINE)


def slug(heading: str) -> str:
    """The anchor that GitHub and MyST give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def anchors(text: str) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def markdown(path: Path) -> str:
    """A page's text, or that of a lesson's text cells."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    return "\n".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown")


def broken_links(text: str, folder: Path) -> list[str]:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        path = folder / name
        if name and not path.exists():
            broken.append(target)
        elif anchor and path.suffix in (".md", ".ipynb") and anchor not in anchors(markdown(path)):
            broken.append(target)
    return broken


@pytest.mark.parametrize("path", [*PAGES, *LESSONS.values()], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    assert broken_links(markdown(path), path.parent) == []


def test_a_broken_link_is_found() -> None:
    text = "[a](README.md) [b](docs/glossary.md#shortcut) [c](nowhere.md) [d](docs/glossary.md#no-such-term)"
    assert broken_links(text, ROOT) == ["nowhere.md", "docs/glossary.md#no-such-term"]


STANDS_FOR = {"NN": "00", "NAME": "live-degradation", "GRID": "lesions", "URL": "https://git.example/course"}
TOOLS = ("ruff", "mypy", "pytest", "pip", "venv", "sphinx")


def commands(text: str) -> list[str]:
    """Every `python …` in the text and in blocks of code, without what follows a #."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    found = re.findall(r"`(python [^`]+)`", prose) + re.findall(r"^(python [^#\n]+)", text, re.MULTILINE)
    return [" ".join(command.split()) for line in found for command in line.split("&&")]


def problem(command: str) -> str:
    """Why a command of a page could not be run; "" if it could."""
    words = [STANDS_FOR.get(word, word) for word in command.split()[1:]]
    if words[0] == "lab.py":
        done = subprocess.run([sys.executable, *words, "--dry-run"], cwd=ROOT, capture_output=True, text=True)
        missing = [word for word in words if word.endswith(".py") and not (ROOT / word).exists()]
        return done.stderr or f"there is no {missing[0]}" if done.returncode or missing else ""
    if words[:2] == ["-m", "resnet_lib"]:
        return "" if words[2] == "…" or parse(words[2:]).command == words[2] else f"{words[2]} is not known"
    if words[:2] == ["-m", "benchmarks"]:
        return "" if (ROOT / "benchmarks" / f"{words[2]}.py").exists() else f"there is no benchmark {words[2]}"
    if words[0] == "-m" and words[1].startswith("resnet_lib."):
        runs = ROOT / words[1].replace(".", "/") / "__main__.py"
        return "" if runs.exists() else f"{words[1]} is no command"
    if words[0] == "-m":
        return "" if words[1] in TOOLS else f"{words[1]} is no tool of the project"
    return "" if (ROOT / words[0]).exists() else f"there is no {words[0]}"


@pytest.mark.parametrize("command", sorted({command for page in PAGES for command in commands(markdown(page))}))
def test_commands_are_known(command: str) -> None:
    assert problem(command) == ""


@pytest.mark.parametrize(
    "command",
    [
        "lab.py tset",
        "lab.py test tests/no.py",
        "-m benchmarks cooking",
        "-m cooking",
        "-m resnet_lib.cooking",
        "docs/cook.py",
    ],
)
def test_an_unknown_command_is_found(command: str) -> None:
    assert problem(f"python {command}")


def test_an_unknown_experiment_is_found() -> None:
    with pytest.raises(SystemExit):
        problem("python -m resnet_lib experiment cooking")


def test_commands_of_a_page_are_found() -> None:
    page = "`python a.py`\n```\npython b.py  # not c.py\npython d.py && python e.py\n```\n"
    assert commands(page) == ["python a.py", "python b.py", "python d.py", "python e.py"]


def test_glossary_is_in_order_and_says_each_thing_once() -> None:
    assert len(TERMS) > 50 and TERMS == sorted(TERMS, key=str.lower) and len({slug(t) for t in TERMS}) == len(TERMS)


@pytest.mark.parametrize("term", TERMS)
def test_term_and_lesson_point_at_each_other(term: str) -> None:
    entry = GLOSSARY.partition(f"### {term}\n")[2].partition("\n#")[0]
    (number, lesson), *more = re.findall(r"Lesson \[(\d\d)\]\(\.\./notebooks/([^)]+)\)", entry)
    assert not more and lesson.startswith(number) and lesson in LESSONS
    assert f"](../docs/glossary.md#{slug(term)})" in markdown(LESSONS[lesson]), f"{lesson} does not link the term"


@pytest.mark.parametrize("name", LESSONS)
def test_every_lesson_has_its_half_page(name: str) -> None:
    title = re.search(r"^# (.+)$", markdown(LESSONS[name]), re.MULTILINE)[1]  # type: ignore[index]
    section = TEACHING.partition(f"### {title}\n")[2].partition("\n##")[0]
    parts = re.findall(r"^- \*\*([^*]+?):?\*\*", section, re.MULTILINE)
    assert [part.rstrip("s:") for part in parts] == ["For", "Stop at", "Ask", "Misconception", "If a cell is slow"]
    assert 70 < len(section.split()) < 250


@pytest.mark.parametrize("name", LESSONS)
def test_quoted_cells_exist(name: str) -> None:
    """What the guide puts in italics stands in the lesson, in its text or its outputs."""
    title = re.search(r"^# (.+)$", markdown(LESSONS[name]), re.MULTILINE)[1]  # type: ignore[index]
    section = TEACHING.partition(f"### {title}\n")[2].partition("\n##")[0]
    cells = nbformat.read(LESSONS[name], as_version=4).cells
    said = [out.get("text", "") for cell in cells for out in cell.get("outputs", []) if out.output_type == "stream"]
    lesson = " ".join(" ".join([markdown(LESSONS[name]), *said]).split())
    quotes = [" ".join(quote.split()) for quote in re.findall(r"(?<!\*)\*([^*]{12,}?)\*(?!\*)", section)]
    assert [quote for quote in quotes if quote.rstrip(".") not in lesson] == []
