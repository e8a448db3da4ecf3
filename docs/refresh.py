"""Bring the pages up to date: `python docs/refresh.py` fills their tables and draws the picture from what was measured.

A block of a page between <!-- NAME --> and <!-- /NAME --> is one of BLOCKS. A test holds the pages to them.
"""

import json
import re
from pathlib import Path

import nbformat

import resnet_lib as rl
from resnet_lib.training.tables import nets_table, runs_table
from resnet_lib.widgets.plots import Plot, strip

ROOT = Path(__file__).resolve().parents[1]
TIMES = ROOT / "docs" / "lesson-times.json"  # `python lab.py run --record` writes it
PICTURE = ROOT / "docs" / "images" / "degradation.png"


def lessons_table(folder: str = "notebooks") -> str:
    """The syllabus: reading and exercise times are the lessons' own estimates, running times are measured.

    `folder` is where the lessons are, seen from the page.
    """
    times = json.loads(TIMES.read_text(encoding="utf-8"))
    columns = ("#", "lesson", "what you do", "read, min", "exercises, min", "run, s", "memory, MB")
    rows = [f"| {' | '.join(columns)} |", "|---|---|---|---:|---:|---:|---:|"]
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        head = nbformat.read(path, as_version=4).cells[0].source
        number, title = re.search(r"^# (\d\d) · (.+)$", head, re.MULTILINE).groups()  # type: ignore[union-attr]
        promise = " ".join(re.search(r"^# [^\n]+\n\n(.+?)\n\n", head, re.DOTALL)[1].split())  # type: ignore[index]
        minutes = re.search(r"^\| (\d+) min \| [^|]+ \| (\d+) min \|", head, re.MULTILINE).groups()  # type: ignore[union-attr]
        seconds, megabytes = (f"{times[path.stem][key]:.0f}" for key in ("seconds", "megabytes"))
        link = f"[{title}]({folder}/{path.name})"
        rows.append(f"| {' | '.join([number, link, promise, *minutes, seconds, megabytes])} |")
    return "\n".join(rows)


def picture() -> Plot:
    """The first picture of lesson 01 and of the README."""
    errors = {(run.net, run.seed): run.history.final_error() for run in rl.load_records("live-degradation")}
    return strip(errors, title="Deeper plain nets learn worse, 20 seeds each")


BLOCKS = {
    "picture": lambda: f"![{picture().alt}](docs/images/degradation.png)",
    "lessons": lessons_table,
    "times": lambda: lessons_table("../notebooks"),
    "nets": nets_table,
    "runs": runs_table,
}
PAGES = {  # the blocks of each page
    ROOT / "README.md": ("picture", "lessons", "nets", "runs"),
    ROOT / "docs" / "teaching.md": ("times",),
}


def filled(page: Path, text: str | None = None) -> str:
    """The page's text with every block made anew; `text` in place of what the file says."""
    text = page.read_text(encoding="utf-8") if text is None else text
    for name in PAGES[page]:
        block = f"<!-- {name} -->\n{BLOCKS[name]()}\n<!-- /{name} -->"
        text, found = re.subn(rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _: block, text, flags=re.DOTALL)  # noqa: B023
        if not found:
            raise ValueError(f"{page.name} has no block <!-- {name} --> … <!-- /{name} -->")
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page), encoding="utf-8")
    PICTURE.write_bytes(picture().png())
