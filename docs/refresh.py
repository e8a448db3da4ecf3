"""Bring the pages up to date: `python docs/refresh.py` fills their tables and draws the README's picture.

What stands in a page between <!-- NAME --> and <!-- /NAME --> is one of its blocks in PAGES, made from what was
measured or from the code itself. A test holds the pages to them.
"""

import ast
import inspect
import json
import re
from collections.abc import Callable
from math import ceil
from pathlib import Path
from statistics import mean

import course
import nbformat

import resnet_lib as rl
from resnet_lib.experiments.measured import load_grid
from resnet_lib.experiments.tables import nets_table, runs_table
from resnet_lib.widgets.plots import Plot, strip

ROOT = Path(__file__).resolve().parents[1]
TIMES = ROOT / "docs" / "lesson-times.json"  # `python lab.py run --record` writes it
SPEEDS = ROOT / "docs" / "speed"  # `python -m benchmarks NAME --record` writes NAME.txt
PICTURE = ROOT / "docs" / "images" / "degradation.png"
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FLOORS = ("models", "data", "training", "probes", "experiments", "widgets")

CONTROLS = (
    "live-degradation", "live-peak-0.01", "live-peak-0.03", "live-peak-0.3", "near-identity", "near-identity-adamw",
    "without-norm-0.03", "without-norm-0.1", "without-norm-0.3", "shortcut-options", "order-live", "order-peak-0.03",
    "order-peak-0.3",
)  # fmt: skip
LONG_CONTROLS = (  # what was done, the experiment, the net
    ("plain, He's start, peak 0.1", "degradation-sweep", "plain-{}"),
    ("plain, peak 0.03", "sweep-peak-0.03", "plain-{}"),
    ("plain, peak 0.01", "sweep-peak-0.01", "plain-{}"),
    ("plain, the paper's schedule, warmed up", "sweep-warm-up", "plain-{}"),
    ("plain, from the identity plus 0.1 times He's weights, peak 0.1", "near-identity-sweep", "plain-{}-0.1"),
    ("residual, peak 0.1", "degradation-sweep", "residual-{}"),
)

# For the plan of a classroom. JupyterLab's server took 119 MB with one lesson open (resident, Linux).
SEATS, CORES, SERVER_MEGABYTES, TIMES_RUN = 200, 32, 119, 3


def lessons_table(folder: str = "notebooks") -> str:
    """The syllabus: reading and exercise times are the lessons' own estimates, running times are measured.

    `folder` is where the lessons are, seen from the page.
    """
    times = json.loads(TIMES.read_text(encoding="utf-8"))
    columns = ("#", "lesson", "what you do", "read, min", "exercises, min", "run, s", "memory, MB")
    rows = [f"| {' | '.join(columns)} |", "|---|---|---|---:|---:|---:|---:|"]
    for path in LESSONS:
        head = head_of(path)
        number, title = re.search(r"^# (\d\d) · (.+)$", head, re.MULTILINE).groups()  # type: ignore[union-attr]
        promise = " ".join(re.search(r"^# [^\n]+\n\n(.+?)\n\n", head, re.DOTALL)[1].split())  # type: ignore[index]
        minutes = map(str, minutes_in(head))
        seconds, megabytes = (f"{times[path.stem][key]:.0f}" for key in ("seconds", "megabytes"))
        link = f"[{title}]({folder}/{path.name})"
        rows.append(f"| {' | '.join([number, link, promise, *minutes, seconds, megabytes])} |")
    return "\n".join(rows)


def head_of(lesson: Path) -> str:
    return nbformat.read(lesson, as_version=4).cells[0].source


def minutes_in(head: str) -> tuple[int, int]:
    """Minutes of reading and of exercises, as the lesson's own table estimates them."""
    found = re.search(r"^\| (\d+) min \| [^|]+ \| (\d+) min \|", head, re.MULTILINE)
    return int(found[1]), int(found[2])  # type: ignore[index]


def seats_table() -> str:
    """What a room of SEATS learners needs, lesson by lesson; docs/elsewhere.md states the arithmetic."""
    times = json.loads(TIMES.read_text(encoding="utf-8"))
    columns = (
        "lesson",
        "memory, MB",
        "CPU, s",
        f"memory of {SEATS}, GB",
        f"cores for {SEATS}",
        f"all at once on {CORES} cores, min",
    )
    rows = [f"| {' | '.join(columns)} |", "|---|---:|---:|---:|---:|---:|"]
    for path in LESSONS:
        needs = times.get(path.stem, {})
        if "cpu_seconds" not in needs:
            rows.append(f"| {path.stem[:2]} | not measured | – | – | – | – |")
            continue
        megabytes, cpu = needs["megabytes"] + SERVER_MEGABYTES, needs["cpu_seconds"]
        cores = ceil(SEATS * TIMES_RUN * cpu / (60 * sum(minutes_in(head_of(path)))))
        figures = (megabytes, cpu, ceil(SEATS * megabytes / 1000), cores, ceil(SEATS * cpu / (60 * CORES)))
        rows.append(f"| {path.stem[:2]} | {' | '.join(map(str, figures))} |")
    return "\n".join(rows)


def agreement_tables() -> str:
    """What lessons 02 and 03 measure of one seed, over five: size and agreement of the gradients."""

    def first_over_last(found: dict) -> float:
        return found["norms"][0] / found["norms"][-1]

    def scale_free(found: dict) -> float:
        return found["scale_free"][0] / found["scale_free"][-1]

    def neighbours(found: dict) -> float:
        return found["neighbours"]

    def batches(found: dict) -> float:
        return found["batches"][1]

    sizes = {f"first gradient / last, step {step}": (step, first_over_last, "e") for step in ("0", "20", "149")}
    products = {f"‖g‖ · ‖w‖, first / last, step {step}": (step, scale_free, "e") for step in ("0", "20", "149")}
    agreement = {
        f"{what}, step {step}": (step, measure, "f")
        for what, measure, steps in (
            ("correlation of neighbours", neighbours, ("0", "149")),
            ("two batches agree, middle block", batches, ("0", "60")),
        )
        for step in steps
    }
    return "\n\n".join(seeds_table(columns) for columns in (sizes, products, agreement))


def seeds_table(columns: dict[str, tuple[str, Callable[[dict], float], str]]) -> str:
    """One row a net, one column a (step, measure, form): the mean over the seeds, the smallest and the largest."""
    rows = [f"| net | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for net, by_step in load_grid("gradient-agreement").items():
        cells = []
        for step, measure, form in columns.values():
            values = [measure(found) for found in by_step[step]]
            middle, low, high = (written(value, form) for value in (mean(values), min(values), max(values)))
            cells.append(f"{middle} ({low} to {high})")
        rows.append(f"| {net} | {' | '.join(cells)} |")
    return "\n".join(rows)


def printed(benchmark: str) -> str:
    """What a benchmark printed when it was last recorded."""
    return (SPEEDS / f"{benchmark}.txt").read_text(encoding="utf-8").rstrip()


def with_range(values: list[float], digits: int) -> str:
    """Mean (smallest to largest), and how many."""
    average, low, high = (f"{value:.{digits}f}" for value in (mean(values), min(values), max(values)))
    return f"{average} ({low} to {high}), {len(values)}"


def controls_table() -> str:
    """Training error of the short recipe at its end, in %, of every net whose start, rate or optimizer was varied."""
    rows = ["| experiment | net: mean (smallest to largest), seeds |", "|---|---|"]
    for name in CONTROLS:
        errors: dict[str, list[float]] = {}
        for run in rl.load_records(name):
            errors.setdefault(run.net, []).append(100 * run.history.final_error())
        nets = (f"{net} {with_range(of_net, 0)}" for net, of_net in errors.items())
        rows.append(f"| `{name}` | {'; '.join(nets) or 'not run'} |")
    return "\n".join(rows)


def long_controls_table() -> str:
    """Training error of the long recipe at its end, in %, of deep plain nets at other rates, from another start."""
    rows = ["| | 56 layers | 110 layers |", "|---|---|---|"]
    for words, name, net in LONG_CONTROLS:
        cells = []
        for depth in (56, 110):
            runs = [run for run in rl.load_records(name) if run.net == net.format(depth)]
            cells.append(with_range([100 * run.history.epochs[-1].train_error for run in runs], 1))
        rows.append(f"| {words} (`{name}`) | {' | '.join(cells)} |")
    return "\n".join(rows)


def written(value: float, form: str) -> str:
    """form "f": two decimals. "e": two digits, as a power of ten where it is far from 1."""
    if form == "f":
        return f"{round(value, 2) + 0:.2f}"  # + 0: no minus before a zero
    if 0.01 <= value < 10_000:
        return f"{float(f'{value:.2g}'):,g}"
    digits, power = f"{value:.1e}".split("e")
    return f"{digits} · 10{str(int(power)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def picture() -> Plot:
    """The README's picture."""
    errors = {(run.net, run.seed): run.history.final_error() for run in rl.load_records("live-degradation")}
    return strip(errors, title="Deeper plain nets learn worse, 20 seeds each")


def source_of(module: str) -> str:
    return (ROOT / "resnet_lib" / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")


def parsed(module: str) -> ast.Module:
    return ast.parse(source_of(module))


def homes() -> dict[str, str]:
    """Each public name and the module below resnet_lib that resnet_lib/__init__.py imports it from: "models.resnet"."""
    imports = [node for node in ast.walk(parsed("__init__")) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imports if (node.module or "").startswith("resnet_lib.")]
    return {name.name: str(node.module).removeprefix("resnet_lib.") for node in ours for name in node.names}


HOMES = homes()


def names_table(floor: str) -> Callable[[], str]:
    """The public names that live on one floor of the library, in the order of resnet_lib/__init__.py."""

    def table() -> str:
        rows = ["| name | what it is | defined in |", "|---|---|---|"]
        for name, module in HOMES.items():
            if module.startswith(f"{floor}."):
                path = f"resnet_lib/{module.replace('.', '/')}.py"
                rows.append(f"| `{name}` | {first_sentence(name)} | [{module}](../{path}) |")
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
    for node in parsed(HOMES.get(name, "__init__")).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == name:
            above = source_of(HOMES[name]).splitlines()[node.lineno - 2]
            return above.removeprefix("# ") if above.startswith("# ") else ""
    return ""


PAGES: dict[Path, dict[str, Callable[[], str]]] = {  # the blocks of each page
    ROOT / "README.md": {
        "picture": lambda: f"![{picture().alt}](docs/images/degradation.png)",
        "lessons": lessons_table,
        "nets": nets_table,
        "runs": runs_table,
    },
    ROOT / "docs" / "teaching.md": {"times": lambda: lessons_table("../notebooks")},
    ROOT / "docs" / "course-in-one-table.md": {
        "recorded": lambda: course.recorded_table(LESSONS),
        "grids": lambda: course.grids_table(LESSONS),
        "live": lambda: course.live_table(LESSONS),
    },
    ROOT / "docs" / "api.md": {
        floor: names_table(floor) for floor in ("models", "data", "training", "probes", "experiments", "widgets")
    },
    ROOT / "docs" / "elsewhere.md": {"seats": seats_table},
    ROOT / "docs" / "training.md": {
        "agreement": agreement_tables,
        "controls": controls_table,
        "long controls": long_controls_table,
    },
    ROOT / "docs" / "speed.md": {
        "training": lambda: printed("training"),
        **{name: lambda name=name: f"```text\n{printed(name)}\n```" for name in ("models", "widgets")},
    },
}


def filled(page: Path, text: str | None = None) -> str:
    """The page's text with every block made anew; `text` in place of what the file says."""
    text = page.read_text(encoding="utf-8") if text is None else text
    for name, make in PAGES[page].items():
        block = f"<!-- {name} -->\n{make()}\n<!-- /{name} -->"
        text, found = re.subn(rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _: block, text, flags=re.DOTALL)  # noqa: B023
        if not found:
            raise ValueError(f"{page.name} has no block <!-- {name} --> … <!-- /{name} -->")
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page), encoding="utf-8")
    PICTURE.write_bytes(picture().png())
