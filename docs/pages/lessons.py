"""A lesson as a page: what a cell shows with a kernel is made again, as HTML that works without one.

The notebook says what to make. A cell whose last line shows an explorer, a quiz or a prediction leads to the call that
made it, such as `flow = rl.GradientFlowExplorer(56)`. The call is made again if its arguments are written out, and has
to say what the committed output says, so that a page shows what the lesson shows.
"""

import ast
from collections.abc import Iterable, Iterator
from typing import Any

from nbformat import NotebookNode

from pages.forms import Script, comparison_html, explorer_html, questions_html, script_of, still_html
from resnet_lib import widgets
from resnet_lib.teaching.quiz import Predict, Quiz
from resnet_lib.widgets.explorer import Explorer
from resnet_lib.widgets.front import VIEW

EXPLORERS = [kind for kind in vars(widgets).values() if isinstance(kind, type) and issubclass(kind, Explorer)]
KINDS: dict[str, type] = {kind.__name__: kind for kind in (*EXPLORERS, Quiz, Predict, widgets.LiveCurve)}


def page_of(lesson: NotebookNode) -> list[Script]:
    """Change a lesson in place into what its page shows; gives the grids that its explorers look up.

    ValueError if an explorer shows something else than the committed output.
    """
    lesson.metadata.pop("widgets", None)
    cells = [cell for cell in lesson.cells if cell.cell_type == "code"]
    grids: list[Script] = []
    predictions: dict[str, Predict] = {}
    for number, (cell, call) in enumerate(zip(cells, calls_shown(cell.source for cell in cells), strict=True), 1):
        fold(cell)
        merge_streams(cell)
        for output in cell.outputs:
            if VIEW in output.get("data", {}):
                shown = made_by(call)
                html = html_of(shown, output.data, f"cell-{number}", grids)
                output.data = NotebookNode({"text/html": html, "text/plain": output.data["text/plain"]})
                if isinstance(shown, Predict):
                    predictions[f"cell-{number}"] = shown
        follow_predictions(cell, predictions)
    return grids


def calls_shown(sources: Iterable[str]) -> Iterator[ast.Call | None]:
    """For each cell, the call that made what its last line shows."""
    named: dict[str, ast.expr] = {}
    for source in sources:
        try:
            body = ast.parse(source).body
        except SyntaxError:  # a magic command
            body = []
        for node in body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                named[node.targets[0].id] = node.value
        shown = body[-1].value if body and isinstance(body[-1], ast.Expr) else None
        if isinstance(shown, ast.Call) and isinstance(shown.func, ast.Attribute) and shown.func.attr == "show":
            shown = shown.func.value
        if isinstance(shown, ast.Name):
            shown = named.get(shown.id)
        yield shown if isinstance(shown, ast.Call) else None


def made_by(call: ast.Call | None) -> Any:
    """What a call makes: None if it is of no known kind, or if its arguments are results of other cells."""
    kind = KINDS.get(getattr(call.func, "attr", "") or getattr(call.func, "id", "")) if call else None
    if call is None or kind is None:
        return None
    try:
        arguments = [ast.literal_eval(argument) for argument in call.args]
        options = {str(option.arg): ast.literal_eval(option.value) for option in call.keywords}
    except ValueError:
        return None
    return kind(*arguments, **options)


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


def fold(cell: NotebookNode) -> None:
    """What is folded in JupyterLab is folded on the page."""
    if cell.metadata.get("jupyter", {}).get("source_hidden"):
        cell.metadata.tags = [*cell.metadata.get("tags", []), "hide-input"]
        cell.metadata.mystnb = {"code_prompt_show": "Show the solution", "code_prompt_hide": "Hide the solution"}


def merge_streams(cell: NotebookNode) -> None:
    """What a cell printed in several pieces is one text."""
    merged: list[NotebookNode] = []
    for output in cell.outputs:
        if merged and output.output_type == "stream" and (merged[-1].output_type, output.name) == ("stream", "stdout"):
            merged[-1].text += output.text
        else:
            merged.append(output)
    cell.outputs = merged


def follow_predictions(cell: NotebookNode, predictions: dict[str, Predict]) -> None:
    """`guess.compare(…)` ran unattended, without a prediction; on the page it says what the reader chose."""
    for output in cell.outputs:
        for identifier, guess in predictions.items():
            for measured in guess.options:
                texts = [guess.comparison(answer, measured) for answer in (None, *guess.options)]
                if texts[0] in output.get("text", ""):
                    html = comparison_html(output.text, texts, identifier)
                    output.update(output_type="display_data", data={"text/html": html}, metadata={})
                    del output["name"], output["text"]
