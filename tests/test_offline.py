"""The harness that tests the lessons, tested: kernels are cut off from the network, nbval's gaps are closed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from conftest import THOROUGH

ROOT = Path(__file__).parents[1]
OFFLINE = ROOT / "resnet_lib" / "teaching" / "offline"


def offline_python(code: str) -> str:
    """What a Python with the guard prints when it runs this code."""
    environment = {**os.environ, "PYTHONPATH": str(OFFLINE), "HTTPS_PROXY": "http://127.0.0.1:9"}
    command = [sys.executable, "-c", f"import os, socket\n{code}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "socket.create_connection(('192.0.2.1', 80), timeout=1)",
        "socket.socket().connect_ex(('192.0.2.1', 80))",
        "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
        "socket.getaddrinfo('example.com', 80)",
        "socket.getaddrinfo(b'example.com', 80)",
        "socket.gethostbyname('example.com')",
        "import urllib.request; urllib.request.urlopen('http://example.com/')",
        "import sys; os.system(f'{sys.executable} -c \"import socket; socket.gethostbyname(\\'a.example\\')\"')",
    ],
)
def test_the_guard_refuses_every_way_out(code: str) -> None:
    assert "the lessons run offline" in offline_python(code)


@pytest.mark.parametrize(
    "code",
    [
        "server = socket.create_server(('127.0.0.1', 0)); socket.create_connection(server.getsockname())",
        "server = socket.create_server(('', 0)); socket.create_connection(('localhost', server.getsockname()[1]))",
        "socket.getaddrinfo('localhost', 80); socket.getaddrinfo(None, 80)",
        "left, right = socket.socketpair(); left.send(b'x'); left.sendmsg([b'x'])",
        "assert not any('proxy' in name.lower() for name in os.environ)",
    ],
)
def test_the_guard_allows_this_machine(code: str) -> None:
    assert offline_python(f"{code}\nprint('fine')") == "fine\n"


@pytest.mark.skipif(not hasattr(__import__("socket"), "AF_UNIX"), reason="Unix sockets")
def test_the_guard_allows_unix_sockets(tmp_path: Path) -> None:
    code = f"path = {str(tmp_path / 's')!r}; server, client = (socket.socket(socket.AF_UNIX) for _ in range(2))"
    code += "\nserver.bind(path); server.listen(); client.connect(path); print('fine')"
    assert offline_python(code) == "fine\n"


def test_the_guard_stays_with_the_kernels() -> None:
    assert str(OFFLINE) not in os.environ.get("PYTHONPATH", "")


SVG = "from IPython.display import display\ndisplay({{'image/svg+xml': '<svg>{}</svg>', 'text/plain': {}}}, raw=True)"
CONNECT = """
import socket
try:
    socket.create_connection(('192.0.2.1', 80), 1)
except OSError as error:
    print(error)
"""
REFUSED = "the lessons run offline: socket.getaddrinfo to '192.0.2.1' was refused\n"

CELLS = [  # what the test expects, source, stored text, more of the cell
    ("PASSED", "print('error 0.12')", "error 0.12\n", {}),
    ("FAILED", "print('error 0.13')", "error 0.12\n", {}),
    ("PASSED", "print('error 0.13')", "error 0.12\n", {"metadata": {"tags": ["nbval-ignore-output"]}}),
    ("FAILED", "print('never run')", None, {"execution_count": None}),
    ("PASSED", "print('12.3 s, 7 ms a step, 90 it/s')", "1 min 2 s, 15 ms a step, 101.2 it/s\n", {}),
    ("FAILED", "print('depth 20, stage 3')", "depth 56, stage 3\n", {}),
    ("FAILED", "import sys; print('careful', file=sys.stderr)", None, {}),
    ("PASSED", CONNECT, REFUSED, {}),
    ("FAILED", "1 / 0", None, {}),
    ("PASSED", "import os; print(os.environ['KERAS_BACKEND'])", "torch\n", {}),
]


def harness(folder: Path, cells: list, *words: str) -> subprocess.CompletedProcess:
    """Test a lesson of these cells as the course's own are tested."""
    for name in (
        "conftest.py",
        "pyproject.toml",
        "tests/nbval_sanitize.cfg",
        "resnet_lib/teaching/offline/sitecustomize.py",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "notebooks").mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=cells), folder / "notebooks" / "00_faults.ipynb")
    (folder / "shuffle.py").write_text(SHUFFLE)
    command = [sys.executable, "-m", "pytest", "--color=no", "-p", "no:cacheprovider", *words, "notebooks"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


SHUFFLE = """
import random
def pytest_collection_modifyitems(items):
    random.Random(1).shuffle(items)
"""


@pytest.mark.parametrize("words", [("-n", "2"), ("-n", "2", "--dist", "loadfile"), ("-p", "shuffle")], ids=" ".join)
def test_cells_stay_together(tmp_path: Path, words: tuple[str, ...]) -> None:
    sources = ["n = 0", *["n += 1"] * 9, "print(n)"]
    cells = [new_code_cell(source, execution_count=number) for number, source in enumerate(sources, start=1)]
    cells[-1].outputs = [new_output("stream", name="stdout", text="9\n")]
    done = harness(tmp_path, cells, *words)
    assert done.returncode == 0 and "11 passed" in done.stdout, done.stdout


def test_a_learner_who_wrote_nothing(tmp_path: Path) -> None:
    cells = [
        new_code_cell("answer = None", execution_count=1, metadata={"tags": ["exercise"]}),
        new_code_cell("answer = 42", execution_count=2, metadata={"tags": ["solution"]}),
        new_code_cell("assert answer is None", execution_count=3),
    ]
    assert harness(tmp_path, cells).returncode == 1
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--without-solutions", "notebooks"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and "2 passed, 1 skipped" in done.stdout and "not run here" not in done.stdout


def test_what_takes_long_is_marked_by_its_case() -> None:
    found = (
        "tests/test_parity_keras.py::test_keras_computes_the_same[ResNet152V2]",
        "tests/test_pages.py::test_page[03_residual_blocks-barriers]",
    )
    left = (
        "tests/test_parity_keras.py::test_keras_computes_the_same[ResNet50V2]",
        "tests/test_models.py::test_published_counts[resnet152]",
        "tests/test_pages.py::test_page[00_start_here-barriers]",
        "tests/test_notebooks.py::test_lesson[headings-06_resnet_50_101_152]",
        "notebooks/06_resnet_50_101_152.ipynb::Cell 3",
    )
    assert [bool(THOROUGH.search(name)) for name in (*found, *left)] == [True] * 2 + [False] * 5


def test_what_did_not_run_is_said(tmp_path: Path) -> None:
    cells = [new_code_cell("1 + 1", execution_count=1, outputs=[])]
    (tmp_path / "notebooks").mkdir()
    reason = "no Chromium was found: apt-get install chromium"
    test = f"import pytest\n@pytest.mark.skip(reason={reason!r})\ndef test_page(): ...\ndef test_other(): ...\n"
    (tmp_path / "notebooks" / "test_page.py").write_text(test)
    done = harness(tmp_path, cells, "-m", "not thorough")
    assert f"1 tests: {reason}\n" in done.stdout
    assert "the tests marked thorough: python lab.py test --all" in done.stdout


def test_the_harness_on_a_lesson_with_known_faults(tmp_path: Path) -> None:
    cells, expected = [], {}
    for number, (outcome, source, text, more) in enumerate(CELLS, start=1):
        outputs = [] if text is None else [new_output("stream", name="stdout", text=text)]
        cells.append(new_code_cell(source, outputs=outputs, **{"execution_count": number, **more}))
        expected[f"Cell {number - 1}"] = outcome
    for shown, outcome in (("'depth 8'", "PASSED"), ("'depth 9'", "FAILED")):  # a picture may differ, its text may not
        data = {"image/svg+xml": "<svg>stored</svg>", "text/plain": "depth 8"}
        number = len(cells) + 1
        output = new_output("display_data", data=data)
        cells.append(new_code_cell(SVG.format("fresh", shown), outputs=[output], execution_count=number))
        expected[f"Cell {number - 1}"] = outcome

    done = harness(tmp_path, cells, "-rA")
    outcomes = re.findall(r"^(PASSED|FAILED|ERROR) \S+::(Cell \d+)", done.stdout, re.MULTILINE)
    assert {cell: outcome for outcome, cell in outcomes} == expected, done.stdout
    assert "The committed cell was never executed" in done.stdout
