"""The pages in docs/: links lead somewhere, glossary and lessons agree, every lesson has its half page."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md"))]
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


@pytest.mark.parametrize("path", [*PAGES, *LESSONS.values()], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    assert broken_links(markdown(path), path.parent) == []


def test_a_broken_link_is_found() -> None:
    text = "[a](README.md) [b](docs/glossary.md#shortcut) [c](nowhere.md) [d](docs/glossary.md#no-such-term)"
    assert broken_links(text, ROOT) == ["nowhere.md", "docs/glossary.md#no-such-term"]


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
