"""The README's two tables, made from the nets and the recorded runs. A test holds the README to them."""

from collections.abc import Iterator
from statistics import mean, stdev

import torch

from resnet_lib.experiments.declared import EXPERIMENTS
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
