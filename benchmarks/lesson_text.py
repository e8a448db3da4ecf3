"""A lesson's text and its notebook: the text in notebooks/text/ is what people edit, the notebook is made from it.

The text is MyST: Markdown with ```{code-cell} for code and `+++` between two cells of prose, and only tags as metadata.
Everything else about a cell follows from its source and its tags, so a text leads to one notebook and back.
"""

import hashlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
TEXTS = NOTEBOOKS / "text"
FORMAT = "md:myst"
HEAD = """---
jupytext:
  text_representation:
    format_name: myst
kernelspec:
  display_name: Python 3 (ipykernel)
  name: python3
---

"""
SHOWN = {"predict", "exercise", "explore", "quiz"}  # cells whose output tells no answer
METADATA = {  # the same whoever ran it
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}


def text_of(notebook: NotebookNode) -> str:
    """The notebook as text, without outputs."""
    cells = []
    for cell in notebook.cells:
        tags = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
        make = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
        cells.append(make(cell.source, metadata=tags))
    text = jupytext.writes(nbformat.v4.new_notebook(cells=cells), fmt=FORMAT)
    return HEAD + text.split("---\n", 2)[2].lstrip("\n")


def notebook_of(text: str) -> NotebookNode:
    """The notebook that a text describes, not executed."""
    notebook = jupytext.reads(text, fmt=FORMAT)
    cells, seen, asked = [], Counter[str](), set[str]()
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        unknown = cell.metadata.keys() - {"tags"}
        if unknown:
            raise ValueError(f"the cell that begins {cell.source[:40]!r} has {sorted(unknown)}: a text has only tags")
        make = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
        cells.append(make(cell.source, id=_id(cell, seen), metadata=_metadata(cell, tags, awaited=bool(asked))))
        asked |= set(re.findall(r"(\w+) = Predict\(", cell.source))
        asked -= set(re.findall(r"(\w+)\.compare\(", cell.source))
    return nbformat.v4.new_notebook(cells=cells, metadata=METADATA)


def _id(cell: NotebookNode, seen: Counter[str]) -> str:
    """A name that stays as long as the cell's source does; a second cell with the same source has another."""
    digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:10]
    seen[digest] += 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def _metadata(cell: NotebookNode, tags: list[str], awaited: bool) -> dict[str, Any]:
    """`awaited`: the cell stands between a prediction and its comparison, so its output may tell the answer."""
    metadata: dict[str, Any] = {"slideshow": {"slide_type": _slide(cell, tags)}}
    if tags:
        metadata["tags"] = tags
    if "solution" in tags:
        metadata["jupyter"] = {"source_hidden": True, "outputs_hidden": True}
    elif "check" in tags or (awaited and cell.cell_type == "code" and not SHOWN & set(tags)):
        metadata["jupyter"] = {"outputs_hidden": True}  # nobody reads an answer before running the cell
    return metadata


def _slide(cell: NotebookNode, tags: list[str]) -> str:
    """A heading begins a slide; folds, set-up, checks and solutions are left out; the rest appears step by step."""
    if cell.cell_type == "code":
        first = cell.source.partition("\n")[0]
        return "skip" if {"check", "solution"} & set(tags) or first.startswith(("import ", "from ")) else "fragment"
    if cell.source.startswith(("# ", "## ")):
        return "slide"
    if cell.source.startswith("###"):
        return "subslide"
    return "skip" if cell.source.startswith("<details") else "fragment"


def formatted(text: str) -> str:
    """The text with its code laid out by ruff, as everywhere in the project. ValueError for code that is no Python."""
    command = [
        sys.executable,
        "-m",
        "ruff",
        "format",
        "--stdin-filename",
        str(NOTEBOOKS / "lesson.ipynb"),
        "-",
    ]
    notebook = nbformat.writes(notebook_of(text))
    done = subprocess.run(command, input=notebook, capture_output=True, encoding="utf-8", cwd=NOTEBOOKS)
    if done.returncode:
        raise ValueError(done.stderr.strip())
    return text_of(nbformat.reads(done.stdout, as_version=4))


def code_of(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def same_code(one: NotebookNode, other: NotebookNode) -> bool:
    """Would both print the same? Then outputs of the one may stand in the other."""
    return code_of(one) == code_of(other)


def with_outputs(made: NotebookNode, stored: NotebookNode) -> NotebookNode:
    """`made` with the outputs that `stored` keeps of the same code."""
    if not same_code(made, stored):
        raise ValueError("the code differs, so the stored outputs do not belong to it: run the lesson")
    old = (cell for cell in stored.cells if cell.cell_type == "code")
    for cell in made.cells:
        if cell.cell_type == "code":
            kept = next(old)
            cell.outputs, cell.execution_count = kept.outputs, kept.execution_count
    return made


def written(notebook: NotebookNode) -> str:
    """What the notebook's file holds."""
    return nbformat.writes(notebook).rstrip("\n") + "\n"
