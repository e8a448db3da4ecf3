"""The README and the other pages with tables say what was measured and what the commands print."""

import ast
import re
from pathlib import Path

import course
import pytest
import refresh
from nbformat.v4 import new_code_cell, new_output

from resnet_lib.__main__ import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", refresh.PAGES, ids=lambda page: page.name)
def test_tables_are_what_was_measured(page: Path) -> None:
    assert refresh.filled(page) == page.read_text(encoding="utf-8"), "run `python docs/refresh.py`"


def test_tables_are_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    main(["tables"])
    nets, runs, claims = capsys.readouterr().out.strip().split("\n\n")
    assert claims.startswith("| lesson | cell | record |")
    for table in (nets, runs):
        assert table in README


def test_a_changed_figure_and_a_missing_block_are_noticed() -> None:
    changed = README.replace("25,557,032", "25,557,033")
    assert refresh.filled(ROOT / "README.md", changed) == README != changed
    with pytest.raises(ValueError, match="no block <!-- nets -->"):
        refresh.filled(ROOT / "README.md", README.replace("<!-- nets -->", ""))


def test_cells_that_train_are_found() -> None:
    """A function that trains counts where it is called; a solution, a check and a gradient alone do not."""
    sources = (
        'data, test = rl.load("train"), rl.load("test")',
        "def error(rate):\n    return rl.train(net, data, rl.Recipe(peak_lr=rate))",
        "errors = [error(rate) for rate in (1, 2)]",
        "def fit(net):\n    loss(net).backward()\n    optimizer.step()",
        "fit(net)",
        "loss(net).backward()",
    )
    cells = [new_code_cell(source) for source in sources]
    cells[2].outputs = [new_output("stream", text="0.3\n")]
    cells += [new_code_cell("rl.train(net, data)", metadata={"tags": [tag]}) for tag in ("solution", "check")]
    (one, (call,)), (two, (other,)) = course.training_cells(cells)
    assert (one, two, ast.unparse(other)) == (2, 4, "fit(net)")
    assert course.images_in(cells, one, call) == "rl.load('train')" and course.images_in(cells, two, other) == ""
    assert course.printed(cells[one]) == "0.3\n"


def test_pictures_have_words() -> None:
    pictures = re.findall(r"!\[([^\]]*)\]", README)
    assert pictures and all(len(words) > 20 for words in pictures)
