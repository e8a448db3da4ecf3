"""Every page says what is true: tables are what the code gives, links lead somewhere, commands are known."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import refresh
from test_environment import text_files

from resnet_lib.__main__ import parse

ROOT = Path(__file__).parents[1]
PAGES = {name: text for name, text in text_files() if name.endswith(".md") and "/checks/" not in name}
STANDS_FOR = {"NN": "00", "NAME": "live-degradation", "GRID": "lesions", "URL": "https://git.example/course"}


def prose(page: str) -> str:
    """Without blocks of code, where brackets mean other things."""
    return re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    """Every `python …` in the text and in blocks of code, without what follows a #."""
    found = re.findall(r"`(python [^`]+)`", prose(page)) + re.findall(r"^(python [^#\n]+)", page, re.MULTILINE)
    return [command.strip() for command in found]


def anchors(page: str) -> set[str]:
    """The names that headings have as targets of links, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken(name: str, target: str) -> bool:
    """Does a link of this page lead nowhere? Addresses on the web are not asked."""
    if target.startswith("https://"):
        return False
    file, _, anchor = target.partition("#")
    path = (ROOT / name).parent / file if file else ROOT / name
    return not path.exists() or bool(anchor and anchor not in anchors(path.read_text(encoding="utf-8")))


def unknown(command: str) -> str:
    """What is wrong with a command of a page; "" if it could be run."""
    words = [STANDS_FOR.get(word, word) for word in command.split()[1:]]
    if words[0] == "lab.py":
        done = subprocess.run([sys.executable, *words, "--dry-run"], cwd=ROOT, capture_output=True, text=True)
        return "" if done.returncode == 0 and "\n$ " in f"\n{done.stdout}" else done.stderr or "nothing would run"
    if words == ["-m", "resnet_lib", "…"]:  # the head of a column of commands
        return ""
    if words[:2] == ["-m", "resnet_lib"]:
        return "" if parse(words[2:]).command == words[2] else f"{words[2]} is not known"
    if words[:2] == ["-m", "benchmarks"]:
        return "" if (ROOT / "benchmarks" / f"{words[2]}.py").exists() else f"there is no benchmark {words[2]}"
    if words[0] == "-m":
        return "" if words[1] in ("pytest", "ruff", "mypy", "pip", "venv") else f"{words[1]} is no tool of the project"
    return "" if (ROOT / words[0]).exists() else f"there is no {words[0]}"


@pytest.mark.parametrize("page", [page for page in refresh.PAGES if page != "README.md"])  # see test_readme.py
def test_tables_are_up_to_date(page: str) -> None:
    assert refresh.filled(PAGES[page], page) == PAGES[page], "run `python docs/refresh.py`"


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(PAGES[page]))
    assert [target for target in targets if broken(page, target)] == []


EVERY_COMMAND = sorted({command for text in PAGES.values() for command in commands(text)})


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_commands_are_known(command: str) -> None:
    assert unknown(command) == ""


def test_what_leads_nowhere_is_found() -> None:
    assert broken("docs/api.md", "../resnet_lib/models/bricks.py") and broken("docs/glossary.md", "#brick")
    assert not broken("docs/api.md", "../README.md") and not broken("README.md", "docs/glossary.md#batch-norm")
    assert unknown("python lab.py tset") and unknown("python -m benchmarks cooking") and unknown("python docs/cook.py")
    with pytest.raises(SystemExit):
        unknown("python -m resnet_lib experiment cooking")
    assert commands("`python a.py`\n```\npython b.py  # not c.py\n```\n") == ["python a.py", "python b.py"]
