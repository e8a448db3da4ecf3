"""Recorded runs: one small JSON per unit, with all that is needed to ask where it came from.

They live in `recorded/EXPERIMENT/NET-seedNN.json` beside this file. A plot of one says "recorded".
"""

import hashlib
import json
import logging
import os
import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from safetensors.torch import load, save_file

from resnet_lib.arguments import require_int
from resnet_lib.experiments.declared import EXPERIMENTS, Experiment, Net
from resnet_lib.experiments.workers import side_by_side
from resnet_lib.files import cache_folder, check_hash, write_atomic
from resnet_lib.models.resnet import ResNet
from resnet_lib.training.checkpoints import CheckpointFolder
from resnet_lib.training.devices import best_device, keep_freed_memory
from resnet_lib.training.history import History
from resnet_lib.training.loop import Progress, device_of, evaluate, train

RECORDED = Path(__file__).parent / "recorded"
log = logging.getLogger("resnet_lib")


@dataclass(frozen=True)
class Record:
    """One recorded run."""

    experiment: str
    net: str
    seed: int
    history: History
    provenance: dict[str, Any]
    weights: dict[str, str] | None = None  # file and sha256 of the shipped weights


def find_experiment(name: str) -> Experiment:
    if name not in EXPERIMENTS:
        raise ValueError(f"no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def record_path(experiment: str, net: str, seed: int) -> Path:
    return RECORDED / experiment / f"{net}-seed{seed:02d}.json"


def load_record(experiment: str, net: str, seed: int = 0) -> Record:
    """The recorded run of one unit. FileNotFoundError says how to make it."""
    path = record_path(experiment, net, seed)
    if not path.exists():
        raise FileNotFoundError(
            f"{experiment}, {net}, seed {seed} was not run yet; "
            f"python -m resnet_lib experiment {experiment} --nets {net} --seeds {seed} runs it"
        )
    content = json.loads(path.read_text())
    return Record(
        experiment, net, seed, History.from_dict(content["history"]), content["provenance"], content.get("weights")
    )


def load_records(experiment: str) -> list[Record]:
    """Every recorded run of an experiment, in the order of its units."""
    units = find_experiment(experiment).units()
    return [load_record(experiment, net.name, s) for net, s in units if record_path(experiment, net.name, s).exists()]


def load_recorded_net(experiment: str, net: str, seed: int = 0) -> ResNet:
    """The trained net of a recorded run, in eval mode; its weights are in the package. DamagedFileError, ValueError."""
    record = load_record(experiment, net, seed)
    if record.weights is None:
        raise ValueError(f"{experiment}, {net}, seed {seed} was recorded without its weights")
    path = RECORDED / experiment / record.weights["file"]
    content = path.read_bytes()
    check_hash(path, content, record.weights["sha256"])
    declared = find_experiment(experiment)
    model = declared.net(net).build(seed, in_channels=3 if declared.images.name == "cifar10" else 1)
    model.load_state_dict(load(content))
    return model.eval()


def run_unit(
    experiment: Experiment, net: Net, seed: int, path: Path | None = None, progress: Progress | None = None
) -> Path:
    """Train one unit on the best device, continuing an interrupted run, and write its record.

    Returns the record's path: `path`, or that in the package.
    """
    if not code_state()["clean"]:  # asked before the hours of training in which someone may edit the files
        log.warning("the code is not as it was committed, so the tests will refuse this record")
    data, test_data = experiment.images.load("train"), experiment.images.load("test")
    model = net.build(seed, in_channels=data.images.shape[1]).to(best_device())
    path, identity = path or record_path(experiment.name, net.name, seed), experiment.identity(net, seed)
    after_epochs: dict[str, Any] = {}
    if experiment.examine:
        folder = cache_folder() / "runs" / experiment.name / f"{net.name}-seed{seed:02d}"
        after_epochs = {"test_data": test_data, "checkpoints": CheckpointFolder(folder, identity)}
    history = train(model, data, experiment.recipe, seed=seed, progress=progress, **after_epochs)
    came_from = origin(f"python -m resnet_lib experiment {experiment.name} --nets {net.name} --seeds {seed}")
    came_from |= {
        "data_sha256": hashlib.sha256(data.images.numpy().tobytes()).hexdigest(),
        "device": (device := device_of(model).type),
        **({"gpu": torch.cuda.get_device_name()} if device == "cuda" else {}),
        "seconds": round(history.seconds, 1),
    }
    content = {"experiment": experiment.name, **identity, "provenance": came_from}
    content["history"] = _thinned(history).to_dict()
    if seed in experiment.keep_weights:
        content["weights"] = _keep_weights(model, path.with_suffix(".safetensors"))
        content["final"] = evaluate(model, test_data)._asdict()
    write_atomic(path, lambda temporary: temporary.write_text(json.dumps(content, indent=1)))
    return path


def run_experiment(
    name: str,
    seeds: list[int] | None = None,
    nets: list[str] | None = None,
    progress: Callable[[str, int], Progress] | None = None,
    workers: int = 1,
) -> list[Path]:
    """Run the units of an experiment that have no record yet, `workers` of them side by side.

    progress: makes a unit's callback from its label and its worker's number, from 0. Small nets gain most from workers:
    a second core helps another net more than it helps the same one.
    """
    require_int("workers", workers)
    experiment = find_experiment(name)
    chosen = [experiment.net(net) for net in nets] if nets else experiment.nets
    units = [(net, seed) for seed in seeds or experiment.seeds for net in experiment.nets if net in chosen]
    tasks = [
        (f"{net.name} seed {seed}", experiment, net, seed, path)
        for net, seed in units
        if not (path := record_path(name, net.name, seed)).exists()
    ]
    return side_by_side(run_unit, tasks, workers, partial(keep_freed_memory, experiment.images.size), progress)


def origin(command: str) -> dict[str, Any]:
    """Where a result comes from: command, code, versions. It names no machine, only its kind."""
    return {
        "command": command,
        **code_state(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "date": datetime.now(UTC).date().isoformat(),
    }


@cache
def code_state() -> dict[str, Any]:
    """The commit that this process runs, and whether all that it measures with is just as committed."""
    floors = [f"resnet_lib/{floor}/*.py" for floor in ("models", "data", "training", "probes", "experiments")]
    changes = _git("diff", "HEAD", "--name-only", "--", *floors)
    return {"commit": _git("rev-parse", "HEAD"), "clean": changes == ""}


def _keep_weights(model: ResNet, path: Path) -> dict[str, str]:
    tensors = {key: value.cpu().contiguous() for key, value in model.state_dict().items()}
    write_atomic(path, lambda temporary: save_file(tensors, temporary))
    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _thinned(history: History, points: int = 500) -> History:
    """At most `points` steps, each the mean of its neighbours, rounded: a curve needs no more, and git is thankful."""
    size = -(-len(history) // points)
    starts = range(0, len(history), size)
    loss, error, lr = (
        [round(fmean(values[start : start + size]), 5) for start in starts]
        for values in (history.loss, history.error, history.lr)
    )
    return History(loss, error, lr, history.epochs, round(history.seconds, 1))


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
