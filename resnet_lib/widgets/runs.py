"""The numbers and the words of runs, which plots.py draws and says."""

from collections.abc import Mapping, Sequence
from statistics import mean

from resnet_lib.arguments import require_choice
from resnet_lib.training.history import History

Errors = Mapping[tuple[str, int], float]  # (net, seed) -> error as a fraction


def curve(history: History, measure: str, last: int) -> tuple[list[float], list[float]]:
    """Steps (or epochs) and values of one run."""
    require_choice("measure", measure, ("error", "train_error", "test_error"))
    if measure != "error":
        if not history.epochs:
            raise ValueError(f"measure={measure!r} needs a run with epochs: train with test_data, or plot 'error'")
        return [float(record.epoch) for record in history.epochs], [getattr(r, measure) for r in history.epochs]
    if not history.error:
        raise ValueError("the history is empty: train first")
    total = history.epochs[-1].step if history.epochs else len(history)  # a recorded curve was thinned
    values = [mean(history.error[max(0, end - last) : end]) for end in range(1, len(history) + 1)]
    return [total * (index + 1) / len(values) for index in range(len(values))], values


def by_net(errors: Errors) -> dict[str, list[float]]:
    """The errors of all seeds of each net."""
    if not errors:
        raise ValueError("there are no errors to plot: pass a dict such as {('plain-8', 0): 0.23}")
    groups: dict[str, list[float]] = {}
    for (name, _), value in errors.items():
        groups.setdefault(name, []).append(value)
    return groups


def ranges(groups: Mapping[str, Sequence[float]]) -> str:
    """Mean and range of each net, in words."""
    parts = [f"{name} {mean(v):.0%}{_reach(v)}" for name, v in groups.items()]
    return f"Mean error: {'; '.join(parts)}."


def _reach(values: Sequence[float]) -> str:
    return f" ({min(values):.0%} to {max(values):.0%}, {len(values)} runs)" if len(values) > 1 else " (one run)"


def sentence(title: str) -> str:
    """A title with its full stop."""
    return title if title.endswith((".", "?")) else f"{title}."


def said_source(source: str | None) -> str:
    """Where the runs of a plot come from, in words."""
    return {"live": "Live runs. ", "recorded": "Recorded runs. ", None: ""}.get(source, "Live and recorded runs. ")
