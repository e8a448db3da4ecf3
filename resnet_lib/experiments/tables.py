"""The README's two tables, made from the nets and the recorded runs, and what each sentence of a lesson rests on.

Tests hold the README to the first two, and the lessons to the records that they quote.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

import torch

from resnet_lib.experiments.declared import EXPERIMENTS
from resnet_lib.experiments.measured import GRIDS, grid_path
from resnet_lib.experiments.records import Record, load_records
from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.models.resnet import PRESETS, ResNet, build
from resnet_lib.probes.costs import count_macs, count_parameters

# Errors in % as the papers print them. R15: ImageNet top-1, 10-crop, tables 2 and 3 (resnet18 with option A);
# CIFAR-10 test error, table 6.
PAPER_ERRORS = {
    "plain18": "27.94",
    "plain34": "28.54",
    "resnet18": "27.88",
    "resnet34": "24.52",
    "resnet50": "22.85",
    "resnet101": "21.75",
    "resnet152": "21.43",
    "resnet-20": "8.75",
    "resnet-32": "7.51",
    "resnet-44": "7.17",
    "resnet-56": "6.97",
    "resnet-110": "6.61 ± 0.16",
}


def named_nets() -> Iterator[tuple[str, ResNet, tuple[int, int, int]]]:
    """Every net of the table by name, on the meta device, with the size of its images."""
    with torch.device("meta"):
        for name, preset in PRESETS.items():
            yield name, build(preset), (3, 224, 224)
        for depth in (20, 32, 44, 56, 110):
            yield f"resnet-{depth}", cifar_resnet(depth), (3, 32, 32)


def nets_table() -> str:
    """Parameters and multiply-adds of every net, beside the error that its paper reports."""
    rows = ["| net | parameters | multiply-adds | paper's error, % |", "|---|---:|---:|---:|"]
    for name, net, size in named_nets():
        macs = count_macs(net, size)
        amount = f"{macs / 1e9:.3f} G" if macs > 1e9 else f"{macs / 1e6:.1f} M"
        rows.append(f"| {name} | {count_parameters(net):,} | {amount} | {PAPER_ERRORS.get(name, '–')} |")
    return "\n".join(rows)


def runs_table() -> str:
    """What this project measured: one row per experiment and net, with the command that measures it."""
    columns = ("net", "seeds", "training error, %", "test error, %", "s per run", "command: `python -m resnet_lib …`")
    rows = ["| " + " | ".join(columns) + " |", "|---|---:|---:|---:|---:|---|"]
    for experiment in EXPERIMENTS.values():
        records = load_records(experiment.name)
        for net in experiment.nets:
            of_net = [record for record in records if record.net == net.name]
            command = f"`experiment {experiment.name} --nets {net.name}`"
            rows.append(f"| {net.name} | {' | '.join(_summary(of_net))} | {command} |")
    return "\n".join(rows)


def _summary(records: list[Record]) -> list[str]:
    if not records:
        return ["0", "not run", "not run", "–"]
    if records[0].history.epochs:
        last = [record.history.epochs[-1] for record in records]
        training = [epoch.train_error for epoch in last]
        test = _spread([epoch.test_error for epoch in last if epoch.test_error is not None])
    else:
        training, test = [record.history.final_error() for record in records], "–"
    return [str(len(records)), _spread(training), test, f"{mean(record.history.seconds for record in records):.0f}"]


def _spread(values: list[float]) -> str:
    """Mean, and the standard deviation over seeds where there is more than one."""
    deviation = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.1f}{deviation}"


class Quote(NamedTuple):
    """A cell of a lesson that reads a record."""

    lesson: str  # the notebook's name
    cell: int  # from 0
    record: str  # an experiment or a grid
    claim: str  # the first sentence that follows the cell


LOADERS = ("load_record", "load_records", "load_recorded_net", "load_grid", "TrainingReplay")
LOOKED_UP = {  # by explorers that read a grid
    "GradientFlowExplorer": "gradient-grid",
    "PathExplorer": "path-gradients",
    "LesionExplorer": "lesions",
    "LandscapeExplorer": "landscapes",
}


def quotes(lesson: Path) -> Iterator[Quote]:
    """Every record that a lesson's code reads: by a literal name, by a name in the same cell, or in an explorer."""
    cells = json.loads(lesson.read_text(encoding="utf-8"))["cells"]
    for number, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        texts = ("".join(c["source"]) for c in cells[number + 1 :] if c["cell_type"] == "markdown")
        text = next((text for text in texts if not text.startswith("<details>")), "")
        claim = re.split(r"(?<=[.?!])\s", re.sub(r"^#+ .*$", "", text, flags=re.MULTILINE).strip())[0]
        for record in dict.fromkeys(_read_in("".join(cell["source"]))):
            yield Quote(lesson.stem, number, record, " ".join(claim.split()))


def _read_in(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(re.sub(r"^[%!].*$", "pass", source, flags=re.MULTILINE))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in LOOKED_UP:
            yield LOOKED_UP[name]
        elif name in LOADERS and node.args and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value)
        elif name in LOADERS:  # load_record(name, …) in a loop: the names stand in the same cell
            yield from (known for known in (*EXPERIMENTS, *GRIDS) if f'"{known}"' in source)
            for text in (part for part in ast.walk(node) if isinstance(part, ast.JoinedStr)):  # f"live-peak-{peak}"
                yield from (known for known in EXPERIMENTS if re.fullmatch(_pattern(text), known))


def _pattern(text: ast.JoinedStr) -> str:
    """What an f-string can give, as a regular expression."""
    return "".join(re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in text.values)


def seeds_of(record: str) -> str:
    """How much of a record there is: "seeds 0-2", "a grid", or "" for none."""
    if record in GRIDS:
        return "a grid" if grid_path(record).exists() else ""
    seeds = sorted({run.seed for run in load_records(record)}) if record in EXPERIMENTS else []
    return f"seeds {seeds[0]}-{seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}" if seeds else ""


def claims_table(lessons: Path) -> str:
    """One row for every cell of the lessons in this folder that reads a record."""
    rows = ["| lesson | cell | record | recorded | what the lesson says about it |", "|---|---:|---|---|---|"]
    for lesson in sorted(lessons.glob("*.ipynb")):
        for quote in quotes(lesson):
            recorded = seeds_of(quote.record) or "NOT RECORDED"
            rows.append(f"| {quote.lesson} | {quote.cell} | {quote.record} | {recorded} | {quote.claim} |")
    return "\n".join(rows)
