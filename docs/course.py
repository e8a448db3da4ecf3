"""The course in one table: every net that was trained for it, from the records and from the lessons' own cells."""

import ast
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import nbformat
from nbformat import NotebookNode

from resnet_lib.experiments.declared import EXPERIMENTS, Experiment
from resnet_lib.experiments.measured import GRIDS, grid_path
from resnet_lib.experiments.records import Record, load_records
from resnet_lib.experiments.tables import quotes


def recorded_table(lessons: list[Path]) -> str:
    """One row for every net that has a record, lesson by lesson; what no lesson reads stands last."""
    columns = ("lessons", "experiment", "net", "images", "trained for", "training error, %", "test error, %")
    rows = [f"| {' | '.join(columns)} | seeds | s per run |", "|---|---|---|---|---|---|---|---:|---:|"]
    readers = {name: lessons_of(name, lessons) for name in EXPERIMENTS}
    for name in sorted(EXPERIMENTS, key=lambda name: readers[name] or ["none"]):
        experiment, records = EXPERIMENTS[name], load_records(name)
        for net in experiment.nets:
            of_net = [record for record in records if record.net == net.name]
            if of_net:
                how = (f"{net.name}, width {net.width}", images_of(experiment), length_of(experiment))
                rows.append(f"| {' | '.join([links(readers[name]), f'`{name}`', *how, *summary(of_net)])} |")
    return "\n".join(rows)


def lessons_of(record: str, lessons: list[Path]) -> list[str]:
    """The names of the lessons that read a record."""
    return [lesson.stem for lesson in lessons if any(quote.record == record for quote in quotes(lesson))]


def links(lessons: list[str]) -> str:
    return ", ".join(f"[{name[:2]}](../notebooks/{name}.ipynb)" for name in lessons) or "none"


def images_of(experiment: Experiment) -> str:
    images = experiment.images
    amount = "all" if images.full else "10,000"
    return f"{images.name}, {amount}, {images.size} × {images.size}"


def length_of(experiment: Experiment) -> str:
    recipe = experiment.recipe
    amount = f"{recipe.steps} steps" if recipe.epochs is None else f"{recipe.epochs} epochs"
    return f"{amount}, batch {recipe.batch_size}"


def summary(records: list[Record]) -> list[str]:
    """Training and test error with their modes, the number of seeds, the mean of the seconds."""
    if records[0].history.epochs:
        last = [record.history.epochs[-1] for record in records]
        training = f"{spread([epoch.train_error for epoch in last])}, eval mode"
        test = f"{spread([epoch.test_error for epoch in last if epoch.test_error is not None])}, eval mode"
    else:
        training, test = f"{spread([record.history.final_error() for record in records])}, train mode", "–"
    return [training, test, str(len(records)), f"{mean(record.history.seconds for record in records):.0f}"]


def spread(errors: list[float]) -> str:
    """The mean in %, and the smallest and the largest where there is more than one."""
    ends = f" ({100 * min(errors):.1f} to {100 * max(errors):.1f})" if len(errors) > 1 else ""
    return f"{100 * mean(errors):.1f}{ends}"


def grids_table(lessons: list[Path]) -> str:
    """What was measured as a whole: some grids train nets on their way, others take recorded ones."""
    rows = ["| lessons | grid | what it measures | s |", "|---|---|---|---:|"]
    for name in (name for name in GRIDS if grid_path(name).exists()):
        what = " ".join((inspect.getdoc(GRIDS[name]) or "").partition("\n\n")[0].split()).replace("|", r"\|")
        seconds = json.loads(grid_path(name).read_text())["provenance"]["seconds"]
        rows.append(f"| {links(lessons_of(name, lessons))} | `{name}` | {what} | {seconds} |")
    return "\n".join(rows)


def live_table(lessons: list[Path]) -> str:
    """One row for every cell of a lesson that trains while you watch, with what it printed when it was stored."""
    rows = ["| lesson | cell | how it trains | images | what it printed |", "|---|---:|---|---|---|"]
    for lesson in lessons:
        cells = nbformat.read(lesson, as_version=4).cells
        for number, calls in training_cells(cells):
            how = "<br>".join(code(ast.unparse(call)) for call in calls)
            images = "<br>".join(
                dict.fromkeys(code(text) for call in calls if (text := images_in(cells, number, call)))
            )
            said = "<br>".join(code(line.strip()) for line in printed(cells[number]).splitlines() if line.strip())
            rows.append(f"| {links([lesson.stem])} | {number} | {how} | {images or '–'} | {said or '–'} |")
    return "\n".join(rows)


def code(text: str) -> str:
    return f"`{text}`".replace("|", r"\|")


def training_cells(cells: list[NotebookNode]) -> Iterator[tuple[int, list[ast.Call]]]:
    """The cells that train, by number, with the calls that do it. A function that trains counts where it is called."""
    trainers: dict[str, list[ast.Call]] = {}  # functions by name, with the calls of `rl.train` in them; [] is a loop
    for number, cell in enumerate(cells):
        if not runs(cell):
            continue
        calls: list[ast.Call] = []
        for part in parsed(cell):
            found = list(trains(part, trainers))
            if not isinstance(part, ast.FunctionDef):
                calls += found
            elif found or own_loop(part):
                trainers[part.name] = found
        if calls:
            yield number, list({ast.unparse(call): call for call in calls}.values())


def runs(cell: NotebookNode) -> bool:
    """Whether a cell is the lesson's own code: solutions do not run, and checks only look."""
    return cell.cell_type == "code" and not {"solution", "check"} & set(cell.metadata.get("tags", []))


def parsed(cell: NotebookNode) -> list[ast.stmt]:
    return ast.parse(re.sub(r"^[%!].*$", "pass", cell.source, flags=re.MULTILINE)).body


def trains(part: ast.AST, trainers: dict[str, list[ast.Call]]) -> Iterator[ast.Call]:
    """The calls below `part` that train a net: `rl.train`, another process, or a function known to train."""
    for node in (node for node in ast.walk(part) if isinstance(node, ast.Call)):
        called = ast.unparse(node.func)
        if called in ("rl.train", "subprocess.run"):
            yield node
        elif called in trainers:
            yield from trainers[called] or [node]


def own_loop(function: ast.FunctionDef) -> bool:
    """Whether a function takes steps itself: an optimizer's after `backward`, or lesson 11's project's."""
    source = ast.unparse(function)
    return (".backward()" in source and "optimizer.step()" in source) or "parts['training_step'](" in source


def images_in(cells: list[NotebookNode], number: int, call: ast.Call) -> str:
    """What a call of `rl.train` trains on, as the cells up to this one made it; "" where that is not to be seen."""
    if ast.unparse(call.func) != "rl.train":
        return ""
    images = call.args[1]
    found = "" if isinstance(images, ast.Name) else ast.unparse(images)
    for part in (part for cell in cells[: number + 1] if runs(cell) for part in parsed(cell)):
        for node in (node for node in ast.walk(part) if isinstance(node, ast.Assign)):
            pairs = [(node.targets[0], node.value)]
            if isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(node.targets[0].elts, node.value.elts, strict=True))
            for target, value in pairs:
                if isinstance(images, ast.Name) and ast.unparse(target) == images.id:
                    found = ast.unparse(value)
    return found


def printed(cell: NotebookNode) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")
