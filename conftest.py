"""How the lessons are tested: nbval executes them and compares every output; these hooks close its gaps."""

import os
from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell

ROOT = Path(__file__).parent
OFFLINE = ROOT / "tests" / "offline"  # its sitecustomize.py refuses every address but loopback

os.environ.setdefault("KERAS_BACKEND", "torch")  # Keras reads it when it is first imported


def pytest_configure(config: pytest.Config) -> None:
    if config.option.nbval_sanitize_with is None:  # nbval reads the path from the folder that pytest was started in
        config.option.nbval_sanitize_with = str(ROOT / "tests" / "nbval_sanitize.cfg")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item):
    """Start the kernel offline: nbval starts it while it sets up a lesson's first cell."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(OFFLINE), prepend=os.pathsep)
        patch.setenv("PYTHONNOUSERSITE", "1")
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    if not isinstance(item, IPyNbCell):
        return
    if item.cell.execution_count is None:
        item.raise_cell_error("The committed cell was never executed, so there is nothing to compare: run the lesson")
    # A picture's bytes differ between machines. What it shows is compared as text: its alt text, the printed numbers.
    if "image/svg+xml" not in item.parent.skip_compare:
        item.parent.skip_compare += ("image/svg+xml",)
