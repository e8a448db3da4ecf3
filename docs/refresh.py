"""Bring the pages up to date: `python docs/refresh.py` fills their tables and draws the README's picture.

What stands in a page between <!-- NAME --> and <!-- /NAME --> is one of its blocks in PAGES, made from what was
measured or from the code itself. A test holds the pages to them.
"""

import ast
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path

import nbformat

import resnet_lib as rl
from resnet_lib.training.tables import nets_table, runs_table
from resnet_lib.widgets.plots import Plot, strip

ROOT = Path(__file__).resolve().parents[1]
TIMES = ROOT / "docs" / "lesson-times.json"  # `python lab.py run --record` writes it
PICTURE = ROOT / "docs" / "images" / "degradation.png"


def lessons_table() -> str:
    """The syllabus: reading and exercise times are the lessons' own estimates, running times are measured."""
    times = json.loads(TIMES.read_text(encoding="utf-8"))
    columns = ("#", "lesson", "what you do", "read, min", "exercises, min", "run, s", "memory, MB")
    rows = [f"| {' | '.join(columns)} |", "|---|---|---|---:|---:|---:|---:|"]
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        head = nbformat.read(path, as_version=4).cells[0].source
        number, title = re.search(r"^# (\d\d) · (.+)$", head, re.MULTILINE).groups()  # type: ignore[union-attr]
        promise = " ".join(re.search(r"^# [^\n]+\n\n(.+?)\n\n", head, re.DOTALL)[1].split())  # type: ignore[index]
        minutes = re.search(r"^\| (\d+) min \| [^|]+ \| (\d+) min \|", head, re.MULTILINE).groups()  # type: ignore[union-attr]
        seconds, megabytes = (f"{times[path.stem][key]:.0f}" for key in ("seconds", "megabytes"))
        link = f"[{title}](notebooks/{path.name})"
        rows.append(f"| {' | '.join([number, link, promise, *minutes, seconds, megabytes])} |")
    return "\n".join(rows)


def picture() -> Plot:
    """The first picture of lesson 01 and of the README."""
    errors = {(run.net, run.seed): run.history.final_error() for run in rl.load_records("live-degradation")}
    return strip(errors, title="Deeper plain nets learn worse, 20 seeds each")


def names_table(floor: str) -> Callable[[], str]:
    """The public names that live on one floor of the library, in the order of resnet_lib/__init__.py."""

    def table() -> str:
        rows = ["| name | what it is | defined in |", "|---|---|---|"]
        for module, names in rl._HOME.items():
            if module.startswith(f"{floor}."):
                path = f"resnet_lib/{module.replace('.', '/')}.py"
                rows += [f"| `{name}` | {first_sentence(name)} | [{module}](../{path}) |" for name in names]
        return "\n".join(rows)

    return table


def first_sentence(name: str) -> str:
    """What a public name is, from its docstring or, for data, from the comment above it."""
    thing = getattr(rl, name)
    documented = inspect.isclass(thing) or inspect.isfunction(thing)
    paragraph = (inspect.getdoc(thing) or "" if documented else comment_above(name)).partition("\n\n")[0]
    sentence = re.split(r"(?<!et al)(?<!fig)\. (?=[A-Z`])", " ".join(paragraph.split()))[0]
    return sentence.rstrip(".").replace("|", r"\|") + "."


def comment_above(name: str) -> str:
    """The comment above the line in which a public name that is data gets its value; "" where there is none."""
    module = rl._MODULE_OF.get(name, "__init__")
    source = (ROOT / "resnet_lib" / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == name:
            above = source.splitlines()[node.lineno - 2]
            return above.removeprefix("# ") if above.startswith("# ") else ""
    return ""


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {
        "picture": lambda: f"![{picture().alt}](docs/images/degradation.png)",
        "lessons": lessons_table,
        "nets": nets_table,
        "runs": runs_table,
    },
    "docs/api.md": {floor: names_table(floor) for floor in ("models", "training", "probes", "widgets")},
}


def filled(text: str, page: str = "README.md") -> str:
    """`text` with every block of the page made anew."""
    for name, make in PAGES[page].items():
        block = f"<!-- {name} -->\n{make()}\n<!-- /{name} -->"
        text, found = re.subn(rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _: block, text, flags=re.DOTALL)  # noqa: B023
        if not found:
            raise ValueError(f"{page} has no block <!-- {name} --> … <!-- /{name} -->")
    return text


if __name__ == "__main__":
    for page in PAGES:
        path = ROOT / page
        path.write_text(filled(path.read_text(encoding="utf-8"), page), encoding="utf-8")
    PICTURE.write_bytes(picture().png())
