"""The command line: `python -m resnet_lib list`, `python -m resnet_lib experiment NAME`."""

import argparse
import sys

from resnet_lib.training.experiments import EXPERIMENTS
from resnet_lib.training.progress import ProgressBar
from resnet_lib.training.records import record_path, run_experiment


def numbers(text: str) -> list[int]:
    """ "0,3,5-7" -> [0, 3, 5, 6, 7]"""
    spans = [part.split("-") for part in text.split(",")]
    return [number for span in spans for number in range(int(span[0]), int(span[-1]) + 1)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m resnet_lib", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the experiments, and how much of each has been run")
    experiment = commands.add_parser("experiment", help="run the units of an experiment that have no record yet")
    experiment.add_argument("name", choices=EXPERIMENTS)
    experiment.add_argument("--seeds", type=numbers, help="such as 0-19 or 0,2; default: all that are declared")
    experiment.add_argument("--nets", type=lambda text: text.split(","), help="such as plain-56,residual-56")
    options = parser.parse_args(arguments)
    if options.command == "list":
        for declared in EXPERIMENTS.values():
            units = list(declared.units())
            done = sum(record_path(declared.name, net.name, seed).exists() for net, seed in units)
            print(f"{declared.name:20} {done:3} of {len(units):3} units run  {declared.question}")
        return 0
    try:
        for path in run_experiment(options.name, options.seeds, options.nets, ProgressBar):
            print(path)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
