"""The README's tables are what was measured. Its links and commands are tested in test_docs.py, with other pages'."""

import re
from pathlib import Path

import pytest
import refresh

from resnet_lib.__main__ import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_tables_are_what_was_measured() -> None:
    assert refresh.filled(README) == README, "run `python docs/refresh.py`"


def test_tables_are_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    main(["tables"])
    for table in capsys.readouterr().out.strip().split("\n\n"):
        assert table in README


def test_a_changed_figure_and_a_missing_block_are_noticed() -> None:
    assert refresh.filled(README.replace("25,557,032", "25,557,033")) != README.replace("25,557,032", "25,557,033")
    with pytest.raises(ValueError, match=r"README\.md has no block <!-- nets -->"):
        refresh.filled(README.replace("<!-- nets -->", ""))


def test_pictures_have_words() -> None:
    pictures = re.findall(r"!\[([^\]]*)\]", README)
    assert pictures and all(len(words) > 20 for words in pictures)
