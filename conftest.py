"""How the lessons are tested: nbval executes them and compares every output; these hooks close its gaps, keep the cells
of a lesson together however the tests are ordered or spread, and say at the end what this machine could not test."""

import json
import os
import re
import shutil
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell

ROOT = Path(__file__).parent
OFFLINE = ROOT / "resnet_lib" / "teaching" / "offline"  # its sitecustomize.py refuses every address but loopback
TIMES = ROOT / "docs" / "lesson-times.json"
SOLUTION = "a solution"  # why a cell was left out
# Cases that take long while another case of the same test stands for them; they get the marker `thorough`.
THOROUGH = re.compile(
    r"test_parity_\w+\.py::.*\[.*(101|152)"  # the largest nets: what a layer does it does in the smaller ones
    r"|test_pages\.py::.*\[.*(0[1-9]|1\d)_"  # lessons in a browser, except lesson 00
    r"|test_killed_twenty_times"
)

os.environ.setdefault("KERAS_BACKEND", "torch")  # Keras reads it when it is first imported


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "leave out the cells tagged solution, so that the lessons run as a learner has them who wrote nothing"
    parser.addoption("--without-solutions", action="store_true", help=text)


def pytest_configure(config: pytest.Config) -> None:
    if config.option.nbval_sanitize_with is None:  # nbval reads the path from the folder that pytest was started in
        config.option.nbval_sanitize_with = str(ROOT / "tests" / "nbval_sanitize.cfg")


# Order and distribution


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]):
    """After every plugin that sorts or shuffles: a lesson's cells run in one kernel, so they run in a row."""
    for item in items:
        if THOROUGH.search(item.nodeid):
            item.add_marker("thorough")
    yield
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        groups.setdefault(group_of(item.nodeid), []).append(item)
    for cells in groups.values():
        if isinstance(cells[0], IPyNbCell):
            cells.sort(key=lambda cell: cell.cell_num)
    in_order = list(groups.values())
    if hasattr(config, "workerinput"):  # of xdist: what takes longest comes first, so that no process waits at the end
        times = json.loads(TIMES.read_text(encoding="utf-8")) if TIMES.exists() else {}
        in_order.sort(key=lambda group: (-times.get(group[0].path.stem, {"seconds": 0})["seconds"], -len(group)))
    items[:] = [item for group in in_order for item in group]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """With `-n 2`: what belongs together goes to one process, everything else to whoever is free."""
    if config.option.dist not in ("load", "worksteal"):
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False  # the order is made above
    return Together(config, log)


def group_of(nodeid: str) -> str:
    """The file, for cells of a lesson and for tests that share what a fixture has made; else the test itself."""
    file = nodeid.partition("::")[0]
    return file if shares(file) else nodeid


@cache
def shares(file: str) -> bool:
    path = ROOT / file
    if path.suffix == ".ipynb" or not path.exists():
        return True
    return bool(re.search(r"scope=.(module|session|class)\b", path.read_text(encoding="utf-8")))


# Lessons


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item):
    """Start the kernel offline, with this course: nbval starts it while it sets up a lesson's first cell."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(OFFLINE), str(ROOT)]), prepend=os.pathsep)
        patch.setenv("PYTHONNOUSERSITE", "1")
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    if not isinstance(item, IPyNbCell):
        return
    if item.config.option.without_solutions and "solution" in item.cell.metadata.get("tags", []):
        pytest.skip(SOLUTION)
    if item.cell.execution_count is None:
        item.raise_cell_error("The committed cell was never executed, so there is nothing to compare: run the lesson")
    # A picture's bytes differ between machines. What it shows is compared as text: its alt text, the printed numbers.
    if "image/svg+xml" not in item.parent.skip_compare:
        item.parent.skip_compare += ("image/svg+xml",)


# What could not be tested


def pytest_report_header() -> str:
    chromium = any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    return f"{os.cpu_count()} cores, {'a' if chromium else 'no'} Chromium"


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    """Which tests did not run, and how to get them: each reason to skip says so."""
    skipped = (report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", []))
    reasons = Counter(reason for reason in skipped if reason != SOLUTION)
    lines = [f"{count} tests: {reason}" for reason, count in reasons.most_common()]
    if config.option.markexpr == "not thorough":
        lines.append("the tests marked thorough: python lab.py test --all")
    if lines:
        terminalreporter.section("not run here")
        terminalreporter.write_line("\n".join(lines))
