"""The README and the other pages with tables say what was measured and what the commands print."""

import re
from pathlib import Path

import pytest
import refresh

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


def test_pictures_have_words() -> None:
    pictures = re.findall(r"!\[([^\]]*)\]", README)
    assert pictures and all(len(words) > 20 for words in pictures)
