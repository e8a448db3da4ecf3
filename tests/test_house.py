"""The house: which floor imports which, what stays where, how long a floor is, and that every public name is explained.

Each rule looks at the sources and gives its faults, one sentence each; each is tried on a small library without faults
and on copies with one fault. That no file names a machine or a package registry is in test_environment.py.
"""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import refresh
from packaging.requirements import Requirement
from test_environment import text_files
from torch import Tensor, nn

import resnet_lib as rl

ROOT = Path(__file__).parents[1]
FLOORS = {"arguments": 0, "files": 0, "urls": 0, "state_dicts": 0} | {
    name: number
    for number, names in enumerate(("models", "data", "training", "probes", "experiments", "widgets teaching"), start=1)
    for name in names.split()
}
# Lines of Python. A file is as long as its idea; a floor that outgrows its budget has two ideas too many.
BUDGETS = {
    "models": 1_000,
    "data": 300,
    "training": 700,
    "probes": 1_050,
    "experiments": 1_200,
    "widgets": 2_520,
    "teaching.checking": 1_998,
    "teaching.checks": 3_810,
}
RAISE = "Cut lines, or raise the number in tests/test_house.py and say in the commit message why."
SMALL_LIBRARY, SMALL_LINES = ("models", "data", "training", "probes"), 3_020
SCRIPT_LINES = 450  # JavaScript and CSS of the explorers
# The package that brings a module of another name.
PROVIDED_BY = {"PIL": "pillow", "IPython": "ipywidgets", "traitlets": "ipywidgets"}
FOR_THE_COURSE = ("widgets", "teaching")  # floors that may need the extra `course`
Sources = dict[str, str]  # by the module's name below resnet_lib: "models.blocks"; a package has its own name, "models"

RULES: list[Callable[[Sources], Iterator[str]]] = []


def rule(check: Callable) -> Callable:
    RULES.append(check)
    return check


def library() -> Sources:
    folder = ROOT / "resnet_lib"
    paths = {path.relative_to(folder).with_suffix(""): path for path in folder.rglob("*.py")}
    return {
        ".".join(name.parts).removesuffix("__init__").rstrip("."): path.read_text(encoding="utf-8")
        for name, path in paths.items()
    }


def imports(source: str) -> Iterator[str]:
    """Each module, or name in a module, that a source imports, inside functions too: "resnet_lib.files.download"."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def own_imports(source: str, modules: Sources) -> set[str]:
    """The library's own modules among them."""
    found = set()
    for name in (name.removeprefix("resnet_lib").lstrip(".") for name in imports(source) if is_own(name)):
        found.add(name if name in modules else name.rpartition(".")[0])
    return found


def is_own(name: str) -> bool:
    return name.partition(".")[0] == "resnet_lib"


def foreign_imports(source: str) -> set[str]:
    """The packages that come neither with Python nor from this library."""
    tops = {name.partition(".")[0] for name in imports(source)}
    return tops - sys.stdlib_module_names - {"resnet_lib", ""}


def floor(module: str) -> float:
    return FLOORS.get(module.partition(".")[0], 9)  # the command line and the list of names stand above all


@rule
def imports_in_full(modules: Sources) -> Iterator[str]:
    for module, source in modules.items():
        for name in imports(source):
            if name.startswith("."):
                yield f"{module} imports {name}: write resnet_lib in front"


@rule
def only_from_below(modules: Sources) -> Iterator[str]:
    for module, source in modules.items():
        for imported in sorted(own_imports(source, modules)):
            if floor(imported) > floor(module):
                yield f"{module} imports {imported}, which stands on a higher floor"


@rule
def no_cycles(modules: Sources) -> Iterator[str]:
    try:
        TopologicalSorter({module: own_imports(source, modules) for module, source in modules.items()}).prepare()
    except CycleError as error:
        yield f"modules import each other: {' → '.join(error.args[1])}"


@rule
def widgets_and_plots_at_home(modules: Sources) -> Iterator[str]:
    for module, source in modules.items():
        found = foreign_imports(source)
        if found & {"ipywidgets", "anywidget"} and module != "widgets.front":
            yield f"{module} imports widgets of Jupyter, which are for widgets/front"
        if "matplotlib" in found and module != "widgets.plots":
            yield f"{module} imports matplotlib, which is for widgets/plots.py"


@rule
def models_need_torch_alone(modules: Sources) -> Iterator[str]:
    for module, source in modules.items():
        if module.partition(".")[0] == "models":
            for package in sorted(foreign_imports(source) - {"torch"}):
                yield f"{module} imports {package}; models/ needs torch alone"


@rule
def imports_are_declared(modules: Sources) -> Iterator[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    library, course = (
        {Requirement(line).name for line in lines}
        for lines in (project["dependencies"], project["optional-dependencies"]["course"])
    )
    for module, source in modules.items():
        declared = library | course if module.partition(".")[0] in FOR_THE_COURSE else library
        for package in sorted(foreign_imports(source)):
            if PROVIDED_BY.get(package, package) not in declared:
                yield f"{module} imports {package}, which the library does not ask for in pyproject.toml"


def lines(modules: Sources, *floors: str) -> int:
    return sum(
        len(source.splitlines())
        for module, source in modules.items()
        if f"{module}.".startswith(tuple(f"{name}." for name in floors))
    )


@rule
def within_budget(modules: Sources) -> Iterator[str]:
    for name, budget in BUDGETS.items():
        if lines(modules, name) > budget:
            yield f"{name} has {lines(modules, name)} lines; {budget} is its budget. {RAISE}"
    together = lines(modules, *SMALL_LIBRARY)
    if together > SMALL_LINES:
        yield f"{', '.join(SMALL_LIBRARY)} have {together} lines; {SMALL_LINES} is the limit. {RAISE}"


def test_scripts_are_short() -> None:
    scripts = [path for kind in ("js", "css") for path in (ROOT / "resnet_lib").rglob(f"*.{kind}")]
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in scripts) <= SCRIPT_LINES


@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__)
def test_library(check: Callable) -> None:
    faults = list(check(library()))
    assert not faults, "\n".join(faults)


# The rules on a small library without faults, and with one

GOOD: Sources = {
    "": "from importlib import import_module",
    "__main__": "from resnet_lib.training.loop import train\nfrom resnet_lib.teaching import Quiz",
    "files": "import hashlib",
    "models": "",
    "models.blocks": "import torch\nfrom torch import nn\nfrom resnet_lib import files\nclass Block: pass",
    "training.loop": "from resnet_lib.models.blocks import Block\ndef train(): import numpy",
    "widgets.plots": "from matplotlib.figure import Figure\nfrom resnet_lib.training import loop",
    "widgets.front": "import anywidget",
    "teaching": "from resnet_lib.teaching.quiz import Quiz",
    "teaching.quiz": "from IPython.display import display\nfrom resnet_lib.widgets.front import Front",
}

FAULTS: list[tuple[Callable, str, str]] = [
    (imports_in_full, "training.loop", "from ..models import blocks"),
    (imports_in_full, "training.loop", "from . import data"),
    (only_from_below, "models.blocks", "from resnet_lib.training.loop import train"),
    (only_from_below, "models.blocks", "from resnet_lib.training import loop"),
    (only_from_below, "models.blocks", "import resnet_lib.widgets.plots"),
    (only_from_below, "models.blocks", "import resnet_lib.widgets.plots as plots"),
    (only_from_below, "files", "def later():\n    from resnet_lib.models.blocks import Block"),
    (only_from_below, "widgets.plots", "from resnet_lib.__main__ import main"),
    (no_cycles, "widgets.front", "from resnet_lib.teaching.quiz import Quiz"),
    (no_cycles, "files", "from resnet_lib.models import blocks"),
    (widgets_and_plots_at_home, "training.loop", "import ipywidgets"),
    (widgets_and_plots_at_home, "teaching.quiz", "from ipywidgets import HTML"),
    (widgets_and_plots_at_home, "widgets.plots", "import anywidget"),
    (widgets_and_plots_at_home, "training.loop", "import matplotlib.pyplot as plt"),
    (widgets_and_plots_at_home, "widgets.front", "from matplotlib import pyplot"),
    (models_need_torch_alone, "models.blocks", "import numpy as np"),
    (models_need_torch_alone, "models.folding", "def table():\n    from torchinfo import summary"),
    (imports_are_declared, "training.loop", "import pandas"),
    (imports_are_declared, "training.loop", "import yaml"),  # the tests have it, the library may not
    (imports_are_declared, "training.loop", "import IPython"),  # the extra has it
    (within_budget, "training.loop", "x = 1\n" * (BUDGETS["training"] + 1)),
    (within_budget, "teaching.checks.lesson_03", "x = 1\n" * (BUDGETS["teaching.checks"] + 1)),
    (within_budget, "data", "x = 1\n" * (SMALL_LINES + 1)),
]


@pytest.mark.parametrize("check", RULES, ids=lambda check: check.__name__)
def test_no_rule_objects_to_a_good_library(check: Callable) -> None:
    assert list(check(GOOD)) == []


@pytest.mark.parametrize(("check", "module", "source"), FAULTS, ids=lambda part: getattr(part, "__name__", ""))
def test_every_rule_finds_its_fault(check: Callable, module: str, source: str) -> None:
    assert list(check({**GOOD, module: source}))


def test_every_rule_has_a_fault_to_find() -> None:
    assert {check for check, _, _ in FAULTS} == set(RULES)


# Nothing is left for later

OPEN_ENDS = re.compile("|".join((r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b", r"\bX" + r"XX\b")))


def test_no_line_is_left_for_later() -> None:
    pictures = r'"image/\w+": "[^"]*"|base64,[\w+/=]+'
    found = [name for name, text in text_files() if OPEN_ENDS.search(re.sub(pictures, "", text))]
    assert found == []


@pytest.mark.parametrize("line", ["# TO" + "DO: later", "FIX" + "ME", "X" + "XX"])
def test_open_ends_are_found(line: str) -> None:
    assert OPEN_ENDS.search(line) and not OPEN_ENDS.search(line.lower() + "s, mastodon")


# Public names

SHAPE = re.compile(r"\((?:N|C|size|\d+n?),[^()]*\)")  # (N, C, H, W), (2n, C, H, W), (N,)


def unexplained(name: str, thing: Any) -> Iterator[str]:
    """What is missing for a reader of help(thing)."""
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        if not refresh.comment_above(name):
            yield f"{name} has no comment in the line above"
        return
    words = thing.__doc__ or ""
    if not words.strip() or words.startswith(f"{name}("):  # what dataclass writes by itself
        yield f"{name} has no docstring"
    elif handles_tensors(thing) and not SHAPE.search(words):
        yield f"{name} takes or gives tensors and says no shape, such as (N, C, H, W)"


def handles_tensors(thing: Any) -> bool:
    """A layer or a net, or whoever takes, holds or returns a bare tensor."""
    if inspect.isclass(thing) and issubclass(thing, nn.Module):
        return True
    return any(Tensor in (hint, *getattr(hint, "__args__", ())) for hint in hints(thing).values())


def hints(thing: Any) -> dict[str, Any]:
    """The types of a function's arguments and result, of a class's fields. dict[str, Tensor] is no bare tensor."""
    found = get_type_hints(thing)
    return {name: hint for name, hint in found.items() if getattr(hint, "__origin__", None) is not dict}


@pytest.mark.parametrize("name", rl.__all__)
def test_public_name_is_explained(name: str) -> None:
    assert list(unexplained(name, getattr(rl, name))) == []


def test_what_is_not_explained_is_found() -> None:
    def silent(x): ...

    def shapeless(images: Tensor | None) -> float:
        """Images (of any shape, really)."""
        raise NotImplementedError

    def good(images: Tensor) -> dict[str, Tensor]:
        """images (N, C, H, W) to something."""
        raise NotImplementedError

    @dataclass
    class Bare:
        x: int

    class Layer(nn.Module):
        """A layer of unknown shape."""

    things = (silent, shapeless, Bare, Layer, 3)
    assert all(list(unexplained(getattr(thing, "__name__", "three"), thing)) for thing in things)
    assert not list(unexplained("good", good))


def test_nothing_else_is_public() -> None:
    assert dir(rl) == sorted(set(rl.__all__)) and len(dir(rl)) == len(rl.__all__)
    assert set(refresh.HOMES) == set(rl.__all__)
    with pytest.raises(AttributeError, match="resnet_lib has no 'resnet51'"):
        rl.resnet51  # noqa: B018


WITHOUT = """
import sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in %r:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refused())
import torch
import resnet_lib
net = resnet_lib.resnet18(num_classes=10).eval()
assert net(torch.zeros(1, 3, 64, 64)).shape == (1, 10)
resnet_lib.cost_table(net, (3, 64, 64))
assert len(resnet_lib.load_fashion_mnist("test")) == 2000 and resnet_lib.load_records("live-degradation")
try:
    resnet_lib.ShortcutExplorer
except ImportError as error:
    print(error)
"""


def test_the_library_works_without_the_course() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    course = [Requirement(line).name for line in project["optional-dependencies"]["course"]]
    command = [sys.executable, "-c", WITHOUT % ([*course, "IPython", "jupyter_core"],)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"ShortcutExplorer needs \w+: install the course, pip install 'resnet-lib\[course\]'\n", done.stdout
    )
