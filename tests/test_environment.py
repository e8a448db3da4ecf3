"""The environment is described once: pyproject.toml, environment.yml, lab.py and .ci/run agree, and name no machine."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
(CONDA_PYTHON,) = (line for line in CONDA["dependencies"] if re.match(r"python\b", str(line)))
CONDA_NAMES = {"torch": "pytorch", "playwright": "playwright-python"}
LAB = (ROOT / "lab.py").read_text(encoding="utf-8")


def project_files() -> list[Path]:
    """The files that are committed or would be: git knows what is ignored."""
    if not (ROOT / ".git").exists():
        skipped = (".venv", "__pycache__", ".egg-info", "_cache", ".ipynb_checkpoints", ".hypothesis")
        return [p for p in ROOT.rglob("*") if p.is_file() and not any(s in str(p.relative_to(ROOT)) for s in skipped)]
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def text_files() -> list[tuple[str, str]]:
    """(name, text) of every file that is text."""
    found = []
    for path in project_files():
        try:
            found.append((path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            pass
    return found


# pyproject.toml and environment.yml


def as_conda(requirement: str) -> tuple[str, set[str]]:
    parsed = Requirement(requirement)
    return CONDA_NAMES.get(parsed.name, parsed.name), {str(part) for part in parsed.specifier}


def needed_by_pip() -> dict[str, set[str]]:
    lists = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    return dict(as_conda(requirement) for requirements in lists for requirement in requirements)


def needed_by_conda() -> dict[str, set[str]]:
    lines = [line for line in CONDA["dependencies"] if isinstance(line, str)] + installed_by_pip()
    parsed = [Requirement(line) for line in lines if line not in ("pip", "-e .", CONDA_PYTHON)]
    return {r.name: {str(part) for part in r.specifier} for r in parsed}


def installed_by_pip() -> list[str]:
    """What an environment of conda takes from pip's index: conda-forge doesn't have everything."""
    (lists,) = (line["pip"] for line in CONDA["dependencies"] if isinstance(line, dict))
    return lists


def test_conda_and_pip_ask_for_the_same() -> None:
    assert needed_by_conda() == needed_by_pip()


def test_conda_installs_the_course_itself() -> None:
    assert CONDA["channels"] == ["conda-forge", "nodefaults"]
    assert "pip" in CONDA["dependencies"]
    assert installed_by_pip()[-1] == "-e ."


def test_conda_takes_one_python_that_the_project_supports() -> None:
    version = re.fullmatch(r"python=(3\.\d+)", CONDA_PYTHON)[1]
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(version)


def test_dependencies_are_ranges() -> None:
    for name, specifiers in needed_by_pip().items():
        assert specifiers, f"{name} has no lower bound"
        assert not any(part.startswith("==") for part in specifiers), name


def test_installed_versions_are_in_range() -> None:
    from importlib.metadata import version

    lines = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["course"]
    for requirement in map(Requirement, lines):
        assert requirement.specifier.contains(version(requirement.name), prereleases=True), requirement


def test_everything_in_the_library_ships() -> None:
    patterns = [p.removeprefix("**/") for p in PROJECT["tool"]["setuptools"]["package-data"]["resnet_lib"]]
    inside = [path for path in project_files() if ROOT / "resnet_lib" in path.parents and path.suffix != ".py"]
    left_out = [path.name for path in inside if not any(fnmatch(path.name, pattern) for pattern in patterns)]
    assert left_out == []


# lab.py and .ci/run


def lab_constant(name: str):
    for node in ast.parse(LAB).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"lab.py has no {name}")


def test_the_tested_torch_is_in_the_range_of_the_project() -> None:
    (torch,) = (r for r in map(Requirement, PROJECT["project"]["dependencies"]) if r.name == "torch")
    assert torch.specifier.contains(lab_constant("TORCH"))


def test_lab_and_project_need_the_same_python() -> None:
    assert ">=" + ".".join(map(str, lab_constant("PYTHON_NEEDED"))) == PROJECT["project"]["requires-python"]


def imported_modules(source: str) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add((node.module or "").partition(".")[0])
    return modules


def test_lab_imports_the_standard_library_only() -> None:
    assert imported_modules(LAB) <= sys.stdlib_module_names
    assert not imported_modules("def later():\n    import numpy.linalg") <= sys.stdlib_module_names


def test_an_old_python_can_read_lab() -> None:
    ast.parse(LAB, feature_version=(3, 7))  # so that it gets as far as to say that it is old
    with pytest.raises(SyntaxError):
        ast.parse("match 1:\n    case _: pass", feature_version=(3, 7))


def test_ci_calls_lab() -> None:
    script = ROOT / ".ci" / "run"
    text = script.read_text(encoding="utf-8")
    assert re.search(r"^\s*exec \"\$python\" lab\.py test", text, re.MULTILINE)
    assert "set -euo pipefail" in text
    assert os.name == "nt" or os.access(script, os.X_OK)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash")
def test_ci_is_valid_bash() -> None:
    assert subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], timeout=30).returncode == 0


# Addresses, paths, style

READING = {"arxiv.org", "doi.org", "openaccess.thecvf.com", "creativecommons.org", "w3.org", "github.com"}
PLACEHOLDER = re.compile(r"^([^.]+|127\.0\.0\.1|(.+\.)?example(\.(com|org|net))?|.+\.(invalid|test))(:\d*)?$")


def is_download(url: str) -> bool:
    """Anything but a paper, a page to read, an XML namespace or an address that stands for none."""
    parts = urlsplit(url)
    if PLACEHOLDER.match(parts.netloc) or not parts.netloc:
        return False
    file = re.search(r"/(raw|download|releases|archive|resolve)/|\.(gz|zip|tar|pth?|safetensors|npz|whl)$", parts.path)
    return parts.netloc.removeprefix("www.") not in READING or bool(file)


def downloads_in(source: str, *, allowed: str = "") -> list[str]:
    """Download addresses in the strings of some code, docstrings and the constant `allowed` apart."""
    tree = ast.parse(source)
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False):
            skipped.add(id(node.body[0].value))
    for node in tree.body:
        if isinstance(node, ast.Assign) and allowed and getattr(node.targets[0], "id", None) == allowed:
            skipped.add(id(node.value))
    strings = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped
    ]
    return [url for text in strings for url in re.findall(r"https?://[^\s'\"<>)\]}]*", text) if is_download(url)]


def code_of_lesson(text: str) -> str:
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    lines = [line for cell in cells for line in "".join(cell["source"]).splitlines()]
    return "\n".join("pass" if re.match(r"\s*[%!]", line) else line for line in lines)  # magics are no Python


def test_public_addresses_stand_in_two_places() -> None:
    for name, text in text_files():
        if name.endswith(".py") and name != "resnet_lib/urls.py":
            assert downloads_in(text, allowed="CPU_INDEX" if name == "lab.py" else "") == [], name
        elif name.endswith(".ipynb"):
            assert downloads_in(code_of_lesson(text)) == [], name


def test_the_search_for_addresses_finds_some() -> None:
    host = "https://" + "files.somewhere.net/weights"
    assert downloads_in(f"URL = '{host}'") == [host]
    assert downloads_in(f"URL = f'{host}/{{name}}.gz'")
    assert downloads_in(f"URL = '{host}'", allowed="URL") == []
    assert downloads_in(f"URL = '{host}'\ncopy = '{host}'", allowed="URL") == [host]
    assert downloads_in(f"'''See {host}'''") == []
    assert downloads_in("print('see https://arxiv.org/abs/1512.03385')") == []
    assert downloads_in("get('https://github.com/" + "a/b/raw/main/x')")
    assert downloads_in((ROOT / "lab.py").read_text(encoding="utf-8")), "lab.py's own index is one"


DATA_SET = "/usr/share/datasets/fashion-mnist"  # where Debian's package puts it, the same on every machine
MACHINE_PATH = re.compile(r"(?<![\w/.:+~$}\])-])/(?:work|root|home|tmp|Users|opt|mnt)/?(?![\w-])|[A-Z]:\\+Users\b")
SHARE_PATH = re.compile(r"(?<![\w/.])/usr/share/\w[\w/.-]*")
REGISTRIES = re.compile(r"\bpypi\.\w+|pythonhosted\.\w+|\b(?:deb|security|ftp)\.debian\.\w+|npmjs\.\w+")


def machine_names(text: str) -> list[str]:
    paths = [path for path in SHARE_PATH.findall(text) if not path.startswith(DATA_SET)]
    return MACHINE_PATH.findall(text) + paths + REGISTRIES.findall(text)


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = {name: names for name, text in text_files() if (names := machine_names(text))}
    assert found == {}


@pytest.mark.parametrize(
    "text",
    ["see /" + "work/main", "'/" + "tmp/x.png'", "/" + "home/ann/course", "C:\\" + "Users\\ann",
     "/usr/" + "share/other", "https://" + "pypi" + ".org/simple", "deb." + "debian.org"],
)  # fmt: skip
def test_the_search_for_machines_finds_them(text: str) -> None:
    assert machine_names(text)


@pytest.mark.parametrize("text", [DATA_SET, "home/ann", "https://a.example/home/b", "x/root", "~/work", "1/tmp"])
def test_the_search_for_machines_lets_the_rest_pass(text: str) -> None:
    assert machine_names(text) == []


def test_ruff_finds_nothing() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--output-format=concise", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_mypy_finds_nothing() -> None:
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_tables_are_printed_in_any_encoding() -> None:
    variables = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-m", "resnet_lib", "tables"], cwd=ROOT, env=variables, capture_output=True)
    assert done.returncode == 0 and b"UnicodeEncodeError" not in done.stderr, done.stderr[-200:]
