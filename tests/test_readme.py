"""The README says what the commands print, and its links and commands exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import refresh

from resnet_lib.__main__ import main, parse

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"`(python [^`]+)`", README) + re.findall(r"^(python [^#\n]+)", README, re.MULTILINE)


@pytest.mark.parametrize("page", refresh.PAGES, ids=lambda page: page.name)
def test_tables_are_what_was_measured(page: Path) -> None:
    assert refresh.filled(page) == page.read_text(encoding="utf-8"), "run `python docs/refresh.py`"


def test_tables_are_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    main(["tables"])
    for table in capsys.readouterr().out.strip().split("\n\n"):
        assert table in README


def test_a_changed_figure_and_a_missing_block_are_noticed() -> None:
    changed = README.replace("25,557,032", "25,557,033")
    assert refresh.filled(ROOT / "README.md", changed) == README != changed
    with pytest.raises(ValueError, match="no block <!-- nets -->"):
        refresh.filled(ROOT / "README.md", README.replace("<!-- nets -->", ""))


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)]+)\)", README))))
def test_links_lead_somewhere(target: str) -> None:
    assert target.startswith("https://") or (ROOT / target).exists()


@pytest.mark.parametrize("command", sorted({command.strip() for command in COMMANDS}))
def test_commands_are_known(command: str) -> None:
    words = command.split()[1:]
    if words[0] == "lab.py":
        done = subprocess.run([sys.executable, *words, "--dry-run"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0 and "\n$ " in f"\n{done.stdout}", done.stderr
    elif words == ["-m", "resnet_lib", "…"]:  # the head of a column of commands; test_tables_are_… makes the column
        pass
    elif words[:2] == ["-m", "resnet_lib"]:
        assert parse([word.replace("NAME", "live-degradation") for word in words[2:]]).command == words[2]
    else:
        assert words[:2] == ["-m", "benchmarks"] and (ROOT / "benchmarks" / f"{words[2]}.py").exists()


def test_pictures_have_words() -> None:
    pictures = re.findall(r"!\[([^\]]*)\]", README)
    assert pictures and all(len(words) > 20 for words in pictures)
