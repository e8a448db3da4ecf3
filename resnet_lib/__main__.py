"""The command line: list the experiments, run one, train a net of your own, or mark what a class handed in."""

import argparse
import dataclasses
import logging
import sys
from pathlib import Path

from resnet_lib.experiments.declared import EXPERIMENTS, Images, Net
from resnet_lib.experiments.measured import GRIDS, grid_path, record_grid
from resnet_lib.experiments.records import record_path, run_experiment
from resnet_lib.experiments.tables import claims_table, nets_table, runs_table
from resnet_lib.training.checkpoints import CheckpointFolder
from resnet_lib.training.devices import best_device, keep_freed_memory, process_group
from resnet_lib.training.loop import Recipe, train
from resnet_lib.training.progress import ProgressBar


def numbers(text: str) -> list[int]:
    """ "0,3,5-7" -> [0, 3, 5, 6, 7]"""
    spans = [part.split("-") for part in text.split(",")]
    return [number for span in spans for number in range(int(span[0]), int(span[-1]) + 1)]


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m resnet_lib", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the experiments, and how much of each has been run")

    commands.add_parser("tables", help="what nets cost, what was measured, and which record a lesson's claim rests on")

    experiment = commands.add_parser("experiment", help="run the units without a record; of a grid, measure it anew")
    experiment.add_argument("name", choices=(*EXPERIMENTS, *GRIDS))
    experiment.add_argument("--seeds", type=numbers, help="such as 0-19 or 0,2; default: all that are declared")
    experiment.add_argument("--nets", type=lambda text: text.split(","), help="such as plain-56,residual-56")
    experiment.add_argument("--workers", type=int, help="train so many nets side by side, one a core; default: 1")

    marking = commands.add_parser("marks", help="run the notebooks that a class handed in: student × exercise")
    marking.add_argument("folder", type=Path, help="with the notebooks, which are only read")
    marking.add_argument("--to", type=Path, default=Path("marks"), help="folder for marks.csv and marks.html")
    marking.add_argument("--seconds", type=float, default=300, help="for one notebook")
    marking.add_argument("--memory", type=float, default=4, help="GB for one notebook, where the system can limit it")
    marking.add_argument("--workers", type=int, default=2, help="notebooks at a time")

    training = commands.add_parser("train", help="train one net; also under torchrun, and again after an interruption")
    training.add_argument("--depth", type=int, default=20, help="6n + 2: 8, 20, 32, 56, 110")
    training.add_argument("--shortcut", choices=("A", "B", "C", "none"), default="A", help="none is a plain net")
    training.add_argument("--width", type=int, default=16)
    training.add_argument("--data", choices=("fashion-mnist", "cifar10"), default="fashion-mnist")
    training.add_argument("--full", action="store_true", help="all 60,000 images of Fashion-MNIST")
    training.add_argument("--size", type=int, choices=(14, 28, 32), help="of Fashion-MNIST's images; default: 28")
    training.add_argument("--seed", type=int, default=0)
    training.add_argument("--checkpoints", type=Path, help="folder to write to and to continue from")
    for field in dataclasses.fields(Recipe):
        name, default = f"--{field.name.replace('_', '-')}", field.default
        if isinstance(default, bool):
            training.add_argument(name, action="store_true")
        else:
            # None, so that one that was not given can be told from one that was.
            training.add_argument(name, type=int if default is None else type(default), help=f"default: {default}")
    return parser.parse_args(arguments)


def list_experiments() -> None:
    for declared in EXPERIMENTS.values():
        units = list(declared.units())
        done = sum(record_path(declared.name, net.name, seed).exists() for net, seed in units)
        print(f"{declared.name:20} {done:3} of {len(units):3} units run  {declared.question}")
    for name, measure in GRIDS.items():
        state = "recorded" if grid_path(name).exists() else "not run"
        print(f"{name:20} {state:21}  {' '.join((measure.__doc__ or '').partition('.')[0].split())}")


def train_one(options: argparse.Namespace) -> None:
    """`python -m resnet_lib train …`, alone or under torchrun."""
    shortcut = None if options.shortcut == "none" else options.shortcut
    net = Net(f"{'plain' if shortcut is None else 'residual'}-{options.depth}", options.depth, shortcut, options.width)
    cifar10 = options.data == "cifar10"
    refuse(options, ("full", "size") if cifar10 else (), "CIFAR-10 has one size and is always whole")
    refuse(options, ("steps",) if options.epochs else (), "--epochs says how long to train")
    images = Images(options.data, full=options.full, size=32 if cifar10 else options.size or 28)
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(Recipe)}
    recipe = Recipe(**{name: value for name, value in given.items() if value is not None})
    identity = {name: dataclasses.asdict(part) for name, part in (("net", net), ("images", images), ("recipe", recipe))}
    keep_freed_memory(images.size)
    device = best_device()
    with process_group(device) as rank:
        data, test_data = images.load("train"), images.load("test")
        model = net.build(options.seed, in_channels=data.images.shape[1]).to(device)
        folder = (
            CheckpointFolder(options.checkpoints, {**identity, "seed": options.seed}) if options.checkpoints else None
        )
        progress = ProgressBar(net.name) if rank == 0 else None
        history = train(
            model, data, recipe, seed=options.seed, progress=progress, test_data=test_data, checkpoints=folder
        )
        if rank == 0:
            last = history.epochs[-1]
            print(f"{net.name}: training error {last.train_error:.2%}, test error {last.test_error:.2%}", end=" ")
            print(f"(eval mode) after {len(history)} steps, {history.seconds:.0f} s on {device.type}")


def refuse(options: argparse.Namespace, names: tuple[str, ...], reason: str) -> None:
    """ValueError if one of these options was given: it would have no effect."""
    for name in names:
        if getattr(options, name) not in (None, False):
            raise ValueError(f"--{name} does not apply here: {reason}")


def run_or_measure(options: argparse.Namespace) -> None:
    """`python -m resnet_lib experiment NAME`: the paths of the records, as they come."""
    if options.name in GRIDS:
        refuse(options, ("seeds", "nets", "workers"), f"{options.name} is measured as a whole")
        print(record_grid(options.name))
        return
    declared = EXPERIMENTS[options.name].seeds
    if extra := set(options.seeds or ()) - set(declared):
        raise ValueError(f"--seeds must be among {', '.join(map(str, declared))}, got {sorted(extra)}")
    workers = 1 if options.workers is None else options.workers
    for path in run_experiment(options.name, options.seeds, options.nets, ProgressBar, workers):
        print(path)


def mark_folder(options: argparse.Namespace) -> None:
    from resnet_lib.teaching import marks

    limits = {"seconds": options.seconds, "memory_gb": options.memory, "workers": options.workers}
    for path in marks.write(marks.mark(options.folder, **limits), options.to):
        print(path)


def print_tables() -> None:
    print(f"{nets_table()}\n\n{runs_table()}")
    lessons = Path(__file__).resolve().parents[1] / "notebooks"
    if lessons.is_dir():  # in the repository; an installed library has none
        print(f"\n{claims_table(lessons)}")


def main(arguments: list[str] | None = None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a pipe on Windows may know no γ: a "?" is better than a traceback
    options = parse(arguments)
    logging.basicConfig(format="%(message)s")
    try:
        if options.command == "list":
            list_experiments()
        elif options.command == "tables":
            print_tables()
        elif options.command == "train":
            train_one(options)
        elif options.command == "marks":
            mark_folder(options)
        else:
            run_or_measure(options)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from the last checkpoint, if it keeps them", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
