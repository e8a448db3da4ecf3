"""Lessons for Colab and Kaggle, where no course is installed: `python docs/colab.py URL` writes them to build/colab.

URL is the address of the course's git repository, such as https://git.example/course. Each copy gets a cell before its
first code that installs the course and what it needs and is missing there; the site's own torch stays, and anywhere
else the cell does nothing. Links lead to the repository. The committed lessons stay without all this.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import nbformat
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
EDITION = ROOT / "build" / "colab"
LACKING = ("torchinfo", "safetensors", "anywidget")  # what we need beyond what such sites bring
OF_THESE = ("psygnal",)  # and what that needs, for pip is not asked to find out

CELL = """\
import os, subprocess, sys  # on Colab and Kaggle this installs the course; elsewhere it does nothing
from importlib.util import find_spec
needs = {needs}
missing = [needs[name] for name in needs if find_spec(name) is None]
if missing and ("google.colab" in sys.modules or "KAGGLE_KERNEL_RUN_TYPE" in os.environ):
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", *missing], check=True)
"""


def cell(url: str) -> nbformat.NotebookNode:
    """The cell that installs. --no-deps: pip can neither replace nor add a package that is not named here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["course"]
    ours = {Requirement(line).name: line for line in lines}
    needs = {"resnet_lib": f"git+{url}", **{name: ours.get(name, name) for name in (*LACKING, *OF_THESE)}}
    written = "{" + ", ".join(f'"{name}": "{line}"' for name, line in needs.items()) + "}"
    metadata = {"tags": ["colab"], "slideshow": {"slide_type": "skip"}}
    return nbformat.v4.new_code_cell(CELL.format(needs=written).strip(), id="colab", metadata=metadata)


def edition(lesson: nbformat.NotebookNode, url: str) -> nbformat.NotebookNode:
    """`lesson`, changed in place, with the cell and with links that lead to the repository."""
    first = next(number for number, part in enumerate(lesson.cells) if part.cell_type == "code")
    for part in lesson.cells:
        if part.cell_type == "markdown":
            part.source = re.sub(r"\]\(\.\./", f"]({url}/blob/HEAD/", part.source)
            part.source = re.sub(r"\]\((?=\d\d_\w+\.ipynb)", f"]({url}/blob/HEAD/notebooks/", part.source)
    lesson.cells.insert(first, cell(url))
    return lesson


def write(url: str, folder: Path = EDITION) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        nbformat.write(edition(nbformat.read(path, as_version=4), url), folder / path.name)
        yield folder / path.name


def main(words: list[str]) -> int:
    if len(words) != 1 or not words[0].startswith("https://") or re.search(r"[\s\"'\\{}]", words[0]):
        print("python docs/colab.py URL, where URL is the https address of the course's git repository")
        return 2
    for path in write(words[0].rstrip("/")):
        print(path.relative_to(ROOT).as_posix())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
