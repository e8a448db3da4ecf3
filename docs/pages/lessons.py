"""A lesson as a page: what a cell shows with a kernel is made again, as HTML that works without one.

The notebook says what to make. A cell whose last line shows an explorer, a quiz or a prediction leads to the call that
made it, such as `flow = rl.GradientFlowExplorer(56)`. The call is made again if its arguments are written out, and has
to say what the committed output says, so that a page shows what the lesson shows.
"""

import ast
from collections.abc import Iterable, Iterator
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_output

import resnet_lib as rl
from pages.forms import Script, comparison_html, explorer_html, questions_html, script_of, still_html
from resnet_lib import widgets
from resnet_lib.teaching.quiz import Predict, Quiz
from resnet_lib.widgets.explorer import Explorer
from resnet_lib.widgets.front import VIEW

KINDS = {name: getattr(widgets, name) for name in widgets.__all__} | {"rl": rl, "Quiz": Quiz, "Predict": Predict}


def page_of(lesson: NotebookNode) -> list[Script]:
    """Change a lesson in place into what its page shows; gives the grids that its explorers look up.

    ValueError if an explorer shows something else than the committed output.
    """
    lesson.metadata.pop("widgets", None)
    cells = [cell for cell in lesson.cells if cell.cell_type == "code"]
    grids: list[Script] = []
    predictions: dict[str, Predict] = {}
    for number, (cell, call) in enumerate(zip(cells, calls_shown(cell.source for cell in cells), strict=True), 1):
        if cell.metadata.get("jupyter", {}).get("source_hidden"):  # what is folded in JupyterLab is folded on the page
            cell.metadata.tags = [*cell.metadata.get("tags", []), "hide-input"]
        for output in cell.outputs:
            if VIEW in output.get("data", {}):
                shown = made_by(call)
                html = html_of(shown, output.data, f"cell-{number}", grids)
                output.data = NotebookNode({"text/html": html, "text/plain": output.data["text/plain"]})
                if isinstance(shown, Predict):
                    predictions[f"cell-{number}"] = shown
        follow_predictions(cell, predictions)
    return grids


def calls_shown(sources: Iterable[str]) -> Iterator[ast.expr | None]:
    """For each cell, the call that made what its last line shows."""
    named: dict[str, ast.expr] = {}
    for source in sources:
        body = [] if source.startswith("%") else ast.parse(source).body  # a magic command
        named |= {ast.unparse(node.targets[0]): node.value for node in body if isinstance(node, ast.Assign)}
        shown = body[-1].value if body and isinstance(body[-1], ast.Expr) else None
        if isinstance(shown, ast.Call) and isinstance(shown.func, ast.Attribute) and shown.func.attr == "show":
            shown = shown.func.value
        yield named.get(shown.id) if isinstance(shown, ast.Name) else shown


def made_by(call: ast.expr | None) -> Any:
    """What a call makes: None if its arguments are results of other cells."""
    try:
        return call and eval(ast.unparse(call), dict(KINDS))
    except NameError:
        return None


def html_of(shown: Any, data: dict[str, str], identifier: str, grids: list[Script]) -> str:
    """What stands on the page in place of a live view."""
    if isinstance(shown, Explorer):
        move(shown, data["text/plain"])
        grids.append(script_of(shown))
        return explorer_html(shown, grids[-1].name, identifier)
    if isinstance(shown, Quiz | Predict):
        return questions_html(shown, identifier)
    empty = isinstance(shown, widgets.LiveCurve)  # the frame of curves that grow while nets train
    return still_html(None if empty else data.get("image/svg+xml"), data["text/plain"])


def move(explorer: Explorer, said: str) -> None:
    """Bring the explorer to the setting of which it says so: it may have been moved before it was shown."""
    for setting in explorer.settings():
        if explorer.text == said:
            return
        explorer.set(**setting)
    if explorer.text != said:
        raise ValueError(f"no setting of {type(explorer).__name__} says what the lesson shows; run it again: {said}")


def follow_predictions(cell: NotebookNode, predictions: dict[str, Predict]) -> None:
    """`guess.compare(…)` ran unattended, without a prediction; on the page it says what the reader chose."""
    printed = "".join(output.text for output in cell.outputs if output.get("name") == "stdout")
    for identifier, guess in predictions.items():
        for measured in guess.options:
            texts = [guess.comparison(answer, measured) for answer in (None, *guess.options)]
            if texts[0] in printed:
                data = {"text/html": comparison_html(printed, texts, identifier)}
                others = [output for output in cell.outputs if output.get("name") != "stdout"]
                cell.outputs = [new_output("display_data", data), *others]
