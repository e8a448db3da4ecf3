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

ROOT = Path(__file__).parents[1]
OFFLINE = ROOT / "tests" / "offline"


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

    for name in ("conftest.py", "pyproject.toml", "tests/nbval_sanitize.cfg", "tests/offline/sitecustomize.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "notebooks").mkdir()
    nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / "00_faults.ipynb")

    command = [sys.executable, "-m", "pytest", "-rA", "--color=no", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    outcomes = re.findall(r"^(PASSED|FAILED|ERROR) \S+::(Cell \d+)", done.stdout, re.MULTILINE)
    assert {cell: outcome for outcome, cell in outcomes} == expected, done.stdout
    assert "The committed cell was never executed" in done.stdout
