"""The ways in elsewhere: Binder, Colab and Kaggle, a dev container, GitHub's machines, a room of learners.

None of these sites is asked. What is tested is what the course hands to them.
"""

import copy
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import colab
import nbformat
import pytest
import refresh
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
URL = "https://git.example/course"
PYTHONS = SpecifierSet(
    tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
)
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


# Binder


def python_that_repo2docker_sees(dependencies: list[Any]) -> str | None:
    """The version in a line such as python=3.12; of a range repo2docker sees nothing and takes its own default."""
    lines = [re.match(r"python\s*=+\s*(\d+\.\d+)", line) for line in dependencies if isinstance(line, str)]
    return next((line[1] for line in lines if line), None)


def test_binder_is_told_one_python() -> None:
    version = python_that_repo2docker_sees(CONDA["dependencies"])
    assert version and PYTHONS.contains(version)
    assert python_that_repo2docker_sees(["pip", "python>=3.11,<3.14", {"pip": ["-e ."]}]) is None


@pytest.mark.skipif(sys.platform == "win32", reason="repo2docker needs a Unix")
def test_repo2docker_writes_a_dockerfile() -> None:
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "--user-id", "1000", "--user-name", "ann"]
    done = subprocess.run([*command, str(ROOT)], capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    version = python_that_repo2docker_sees(CONDA["dependencies"])
    assert f"Building conda environment for python={version}" in said and "unspecified" not in said
    copied, installed = said.find("COPY --chown=1000:1000 src/"), said.find('--file "environment.yml"')
    assert 0 < copied < installed, "the course is installed by environment.yml, so it must be there before"


# Colab and Kaggle

FAKE_PIP = (
    "import json, os, sys\njson.dump(sys.argv[1:], open(os.environ['CALLED'], 'w'))\nsys.exit('FAIL' in os.environ)"
)
ON_COLAB = "import sys, types\nsys.modules['google.colab'] = types.ModuleType('google.colab')\n"


def run_cell(folder: Path, *, before: str = "", there: tuple[str, ...] = (), **variables: str) -> tuple[Any, str]:
    """Run the cell in a Python without any package but `there`: (what pip was called with or None, what was said)."""
    for name in ("pip", *there):
        (folder / name).mkdir()
        (folder / name / "__init__.py").touch()
    (folder / "pip" / "__main__.py").write_text(FAKE_PIP)
    kept = {name: value for name, value in os.environ.items() if name != "KAGGLE_KERNEL_RUN_TYPE"}
    environment = {**kept, "PYTHONPATH": str(folder), "CALLED": str(folder / "called.json"), **variables}
    command = [sys.executable, "-S", "-c", before + colab.cell(URL).source]  # -S: no site-packages
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    called = folder / "called.json"
    return json.loads(called.read_text()) if called.exists() else None, done.stdout + done.stderr


def test_the_cell_is_silent_here(tmp_path: Path) -> None:
    assert run_cell(tmp_path) == (None, "")


@pytest.mark.parametrize(
    ("before", "variables"), [(ON_COLAB, {}), ("", {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"})], ids=["colab", "kaggle"]
)
def test_the_cell_installs_the_course_and_leaves_torch_alone(tmp_path: Path, before: str, variables: dict) -> None:
    words, said = run_cell(tmp_path, before=before, **variables)
    assert said == "" and words[:3] == ["install", "-q", "--no-deps"]
    assert words[3] == f"git+{URL}"
    assert [Requirement(word).name for word in words[4:]] == ["torchinfo", "safetensors", "anywidget", "psygnal"]
    assert not {"-U", "--upgrade", "--force-reinstall"} & set(words)


def test_the_cell_installs_only_what_is_missing(tmp_path: Path) -> None:
    words, said = run_cell(tmp_path, before=ON_COLAB, there=("safetensors", "torchinfo", "anywidget", "psygnal"))
    assert said == "" and words == ["install", "-q", "--no-deps", f"git+{URL}"]


def test_the_cell_does_nothing_a_second_time(tmp_path: Path) -> None:
    there = ("resnet_lib", "safetensors", "torchinfo", "anywidget", "psygnal")
    assert run_cell(tmp_path, before=ON_COLAB, there=there) == (None, "")


def test_a_failure_of_pip_stops_the_lesson(tmp_path: Path) -> None:
    assert "CalledProcessError" in run_cell(tmp_path, before=ON_COLAB, FAIL="1")[1]


def test_each_lesson_gets_one_cell_and_stays_the_same(tmp_path: Path) -> None:
    written = list(colab.write(URL, tmp_path))
    lessons = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert [path.name for path in written] == [path.name for path in lessons]
    for path, lesson in zip(written, lessons, strict=True):
        ours, theirs = (nbformat.read(file, as_version=nbformat.NO_CONVERT) for file in (lesson, path))
        nbformat.validate(theirs)
        (place,) = (number for number, part in enumerate(theirs.cells) if "colab" in part.metadata.get("tags", []))
        assert not any(part.cell_type == "code" for part in theirs.cells[:place])
        added = theirs.cells.pop(place)
        assert added.execution_count is None and not added.outputs
        for before, after in zip(ours.cells, theirs.cells, strict=True):
            assert before.get("outputs") == after.get("outputs")
            if before.source != after.source:
                assert before.cell_type == "markdown" and f"]({URL}/blob/HEAD/" in after.source
            assert not re.search(r"\]\((\.\./|\d\d_)", after.source), "a link to a file that is not there"
        assert "colab" not in lesson.read_text(encoding="utf-8").lower()


def test_colab_needs_an_address(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["course"], ["git@git.example:course"], [URL, URL], [URL + '"; import os']):
        assert colab.main(words) == 2
        assert "https address" in capsys.readouterr().out


# A dev container

CONTAINER = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))


def dry_run(command: str) -> str:
    """What a command of lab.py would do."""
    words = command.split()
    assert words[:2] == ["python", "lab.py"]
    done = subprocess.run([sys.executable, *words[1:], "--dry-run"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_dev_container() -> None:
    assert PYTHONS.contains(re.fullmatch(r"[\w./-]+/python:(3\.\d+)", CONTAINER["image"])[1])  # type: ignore[index]
    assert "run_lessons.py 00" in dry_run(CONTAINER["postCreateCommand"])
    settings = CONTAINER["customizations"]["vscode"]["settings"]
    assert settings["python.defaultInterpreterPath"].endswith("/.venv/bin/python")


# GitHub's machines

WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
JOB = WORKFLOW["jobs"]["test"]


def test_workflow_covers_three_systems_and_three_pythons() -> None:
    assert JOB["strategy"]["matrix"] == {
        "os": ["ubuntu-latest", "macos-latest", "windows-latest"],
        "python": ["3.11", "3.12", "3.13"],
    }
    assert JOB["runs-on"] == "${{ matrix.os }}" and JOB["strategy"]["fail-fast"] is False
    assert all(PYTHONS.contains(version) for version in JOB["strategy"]["matrix"]["python"])
    assert python_that_repo2docker_sees(CONDA["dependencies"]) in JOB["strategy"]["matrix"]["python"]


def workflow_faults(workflow: dict[str, Any]) -> list[str]:
    job = workflow["jobs"]["test"]
    uses = [step["uses"] for step in job["steps"] if "uses" in step]
    setup = next((step["with"] for step in job["steps"] if "setup-python" in step.get("uses", "")), {})
    runs = [step["run"] for step in job["steps"] if "run" in step]
    checks = {
        "an action is not pinned to a major version": all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", name) for name in uses),
        "the python is not the matrix's": setup.get("python-version") == "${{ matrix.python }}",
        "pip's downloads are not kept": setup.get("cache") == "pip"
        and (ROOT / setup["cache-dependency-path"]).exists(),
        "no time limit": 60 <= job.get("timeout-minutes", 360) <= 240,
        "the tests are not run last": runs[-1] == "python lab.py test --all",
        "may write to the repository": workflow.get("permissions") == {"contents": "read"},
        "no browser on Linux": any("chromium" in run for run in runs),
    }
    return [fault for fault, holds in checks.items() if not holds]


def test_workflow_runs_the_tests() -> None:
    assert workflow_faults(WORKFLOW) == []
    assert "-m pytest" in dry_run(JOB["steps"][-1]["run"])


@pytest.mark.parametrize("fault", ["main", "no tests", "no cache", "no limit", "rights"])
def test_faults_of_a_workflow_are_found(fault: str) -> None:
    broken = copy.deepcopy(WORKFLOW)
    steps = broken["jobs"]["test"]["steps"]
    if fault == "main":
        steps[0]["uses"] = "actions/checkout@main"
    elif fault == "no tests":
        steps.pop()
    elif fault == "no cache":
        del steps[1]["with"]["cache"]
    elif fault == "no limit":
        del broken["jobs"]["test"]["timeout-minutes"]
    else:
        del broken["permissions"]
    assert workflow_faults(broken)


PUBLISHING = yaml.safe_load((ROOT / ".github" / "workflows" / "pages.yml").read_text(encoding="utf-8"))


def publishing_faults(workflow: dict[str, Any]) -> list[str]:
    """True is what YAML makes of the key `on`."""
    steps = workflow["jobs"]["publish"]["steps"]
    uses = [step["uses"] for step in steps if "uses" in step]
    uploaded = next((step["with"]["path"] for step in steps if "upload-pages" in step.get("uses", "")), "")
    built = next((step["run"] for step in steps if "run" in step), "")
    setup = next((step["with"] for step in steps if "setup-python" in step.get("uses", "")), {})
    checks = {
        "an action is not pinned to a major version": all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", name) for name in uses),
        "other branches are published": workflow[True]["push"] == {"branches": ["main"]},
        "other rights": workflow["permissions"] == {"contents": "read", "pages": "write", "id-token": "write"},
        "what is uploaded is not what was built": built == "python lab.py pages" and uploaded == "build/pages",
        "the pages are not deployed last": "deploy-pages" in uses[-1] and "uses" in steps[-1],
        "a python that is not supported": PYTHONS.contains(setup.get("python-version", "0")),
    }
    return [fault for fault, holds in checks.items() if not holds]


def test_pages_are_published_as_they_are_built() -> None:
    assert publishing_faults(PUBLISHING) == []
    assert "sphinx" in dry_run("python lab.py pages") and "build/pages" in dry_run("python lab.py pages")


@pytest.mark.parametrize("fault", ["branch", "rights", "folder", "order", "python", "main"])
def test_faults_of_publishing_are_found(fault: str) -> None:
    broken = copy.deepcopy(PUBLISHING)
    steps = broken["jobs"]["publish"]["steps"]
    if fault == "branch":
        broken[True]["push"] = None
    elif fault == "rights":
        broken["permissions"]["contents"] = "write"
    elif fault == "folder":
        steps[3]["with"]["path"] = "docs"
    elif fault == "order":
        steps.pop()
    elif fault == "python":
        steps[1]["with"]["python-version"] = "3.9"
    else:
        steps[0]["uses"] = "actions/checkout@main"
    assert publishing_faults(broken)


# A room of learners


def test_the_plan_of_a_room_is_the_arithmetic_that_the_page_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = "# 03 · Blocks\n\nYou build one.\n\n| read | run | exercises |\n|---|---|---|\n| 25 min | 1 min | 45 min |"
    lessons = [tmp_path / "03_blocks.ipynb", tmp_path / "04_shortcuts.ipynb"]
    for lesson in lessons:
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(head)]), lesson)
    times = tmp_path / "times.json"
    times.write_text(json.dumps({"03_blocks": {"seconds": 40, "megabytes": 481, "cpu_seconds": 70}}))
    monkeypatch.setattr(refresh, "TIMES", times)
    monkeypatch.setattr(refresh, "LESSONS", lessons)
    table = refresh.seats_table()
    # 481 + 119 MB; 200 × 0.6 GB; 200 × 3 × 70 s in 70 min; 200 × 70 s on 32 cores
    assert "| 03 | 600 | 70 | 120 | 10 | 8 |" in table
    assert "| 04 | not measured |" in table


def test_the_page_names_the_numbers_of_the_plan() -> None:
    page = (ROOT / "docs" / "elsewhere.md").read_text(encoding="utf-8")
    for words in (
        f"### A room of {refresh.SEATS}",
        f"plus {refresh.SERVER_MEGABYTES} MB",
        f"is {refresh.SEATS} × {refresh.TIMES_RUN} × CPU",
        f"is {refresh.SEATS} × CPU / {refresh.CORES}",
    ):
        assert words in page, words
