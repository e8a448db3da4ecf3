"""lab.py: what it runs, what it installs and when, and the one sentence that each failure ends with. Nothing is
installed here: pip is a stand-in that fails as pip does."""

import errno
import http.server
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from jupyterlab.commands import get_app_dir

ROOT = Path(__file__).parents[1]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A fresh lab.py in a folder of its own, with two lessons and no .venv, on Linux without a GPU or a network."""
    spec = importlib.util.spec_from_file_location("lab_under_test", ROOT / "lab.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "notebooks").mkdir()
    for name in ("00_a.ipynb", "01_b.ipynb"):
        (tmp_path / "notebooks" / name).touch()
    monkeypatch.setattr(module.output_of, "__defaults__", ((), tmp_path, subprocess.PIPE))
    for name in ("ROOT", "LESSONS", "VENV", "PYTHON", "STAMP"):
        monkeypatch.setattr(module, name, tmp_path / getattr(module, name).relative_to(ROOT))
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    monkeypatch.setattr(module, "answers", lambda index: False)
    monkeypatch.delenv(module.INDEX_VARIABLE, raising=False)
    return module


@pytest.fixture
def installed(lab, monkeypatch):
    """The steps that were installed; every one succeeds."""
    steps = []

    def attempt(doing, command, variables):
        steps.append([str(word) for word in command])
        lab.VENV.mkdir(exist_ok=True)

    monkeypatch.setattr(lab, "attempt", attempt)
    monkeypatch.setattr(lab, "pip_settings", dict)
    monkeypatch.setattr(lab, "not_imported", lambda: "")
    monkeypatch.setattr(lab, "run", lambda command, variables, dry_run: 0)
    return steps


def sentence(stopped: pytest.ExceptionInfo) -> str:
    """The one line a stop prints; Python prints it and exits with status 1 because it is text."""
    text = stopped.value.code
    assert isinstance(text, str)
    assert "\n" not in text
    assert text.startswith("lab.py: ")
    assert text.endswith(".")
    return text


# What is run


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ("open", [], False)),
        (["--no-browser"], ("open", ["--no-browser"], False)),
        (["open", "--no-browser"], ("open", ["--no-browser"], False)),
        (["test", "-k", "a or b", "tests/test_x.py"], ("test", ["-k", "a or b", "tests/test_x.py"], False)),
        (["--dry-run", "run", "01"], ("run", ["01"], True)),
        (["pages"], ("pages", [], False)),
        (["test", "--dry-run"], ("test", [], True)),
    ],
)
def test_arguments(lab, arguments, expected):
    assert lab.parse(arguments) == expected


def test_an_unknown_word(lab, installed):
    with pytest.raises(SystemExit) as stopped:
        lab.main(["tset"])
    assert "'tset' is not known" in sentence(stopped)


def test_the_suite_runs_the_lessons_once_and_all_of_it_twice(lab):
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    spread = [lab.PYTHON, "-m", "pytest", "-n", "2"]
    assert lab.commands("test", []) == [([*spread, "-m", "not thorough"], one_thread)]
    tests, again = lab.commands("test", ["--all"])
    assert tests == (spread, one_thread)
    assert again[0] == [*spread, "--without-solutions", "notebooks"]
    assert again[1] == {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", **one_thread}


def test_words_go_to_one_pytest(lab):
    assert lab.commands("test", ["-k", "x"]) == [([lab.PYTHON, "-m", "pytest", "-k", "x"], {})]


@pytest.mark.parametrize(
    ("ends", "green"),
    [
        (["sys.exit(0)", "sys.exit(0)"], True),
        (["sys.exit(1)", "sys.exit(0)"], False),
        (["sys.exit(0)", "sys.exit(1)"], False),
        (["os.kill(os.getpid(), 9)", "sys.exit(0)"], False),
    ],
)
def test_the_status_is_that_of_the_tests(lab, monkeypatch, ends, green):
    monkeypatch.setattr(lab, "install", lambda extra, dry_run: None)
    stand_ins = [([sys.executable, "-c", f"import os, sys; {end}"], {}) for end in ends]
    monkeypatch.setattr(lab, "commands", lambda action, words: stand_ins)
    assert (lab.main(["test"]) == 0) == green


def test_jupyterlab_saves_explorers_with_their_notebook(lab, installed):
    """In the file that JupyterLab reads; tests/test_browser.py opens such a notebook again."""
    place = Path(get_app_dir()).relative_to(sys.prefix) / "settings" / "overrides.json"
    for words in (["--dry-run"], ["test"]):
        lab.main(words)
        assert not (lab.VENV / place).exists()
    lab.main([])
    assert json.loads((lab.VENV / place).read_text()) == lab.JUPYTERLAB


def test_jupyterlab_opens_on_the_lessons(lab, monkeypatch):
    monkeypatch.setattr(lab.os, "geteuid", lambda: 0, raising=False)
    ((command, _variables),) = lab.commands("open", ["--no-browser"])
    assert command == [lab.PYTHON, "-m", "jupyterlab", lab.LESSONS, "--allow-root", "--no-browser"]
    monkeypatch.setattr(lab.os, "geteuid", lambda: 1000)
    assert "--allow-root" not in lab.commands("open", [])[0][0]


def test_pages_are_built_anew_in_a_folder_of_their_own(lab):
    ((command, variables),) = lab.commands("pages", ["-W"])
    assert command[:4] == [lab.PYTHON, "-m", "sphinx", "-E"] and variables == {}
    assert command[-3:] == ["-W", lab.ROOT, lab.ROOT / "build" / "pages"]


def test_other_installations_stay_out(lab, monkeypatch):
    for name in ("PYTHONPATH", "PYTHONHOME", "MPLBACKEND", "PYTEST_ADDOPTS"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("KEPT", "y")
    environment = lab.environment()
    assert environment["KEPT"] == "y"
    assert not {"PYTHONPATH", "PYTHONHOME", "MPLBACKEND", "PYTEST_ADDOPTS"} & environment.keys()


def test_dry_run_changes_nothing(lab, capsys):
    before = sorted(lab.ROOT.rglob("*"))
    assert lab.main(["test", "--all", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert sorted(lab.ROOT.rglob("*")) == before
    for part in ("-m venv", f"pip install torch=={lab.TORCH}", ".[course,test,pages]", "ATEN_CPU_CAPABILITY=default"):
        assert part in printed


# What is installed


def test_first_start(lab, installed):
    lab.main([])
    venv, torch, course = installed
    assert venv[1:3] == ["-m", "venv"]
    assert torch[1:] == ["-m", "pip", "install", f"torch=={lab.TORCH}"]
    assert course[-2:] == ["-e", ".[course]"]


def test_second_start_installs_nothing(lab, installed):
    lab.main([])
    installed.clear()
    lab.main([])
    lab.main(["run"])
    assert installed == []


def test_the_tests_install_more_once(lab, installed):
    lab.main([])
    installed.clear()
    lab.main(["test"])
    assert installed[-1][-1] == ".[course,test,pages]"
    installed.clear()
    lab.main(["test"])
    lab.main([])
    lab.main(["run", "--save", "01"])
    assert installed == []


def test_extras_add_up(lab, installed):
    lab.main(["test"])
    lab.main(["pages"])
    assert installed[-1][-1] == ".[course,pages]"
    installed.clear()
    for action in (["test"], ["pages"], []):
        lab.main(action)
    assert installed == []


@pytest.mark.parametrize("change", ["project", "torch", "folder"])
def test_a_change_installs_anew(lab, installed, monkeypatch, change):
    lab.main([])
    installed.clear()
    if change == "project":
        (lab.ROOT / "pyproject.toml").write_text("# other dependencies")
    elif change == "torch":
        monkeypatch.setattr(lab, "TORCH", "2.99")
    else:
        moved = lab.ROOT.with_name("moved")
        shutil.copytree(lab.ROOT, moved)
        monkeypatch.setattr(lab, "ROOT", moved)
    lab.main([])
    assert installed


def test_a_failed_installation_is_tried_again(lab, installed, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(lab, "attempt", lambda doing, command, variables: lab.stop("no"))
        lab.main([])
    lab.main([])
    assert len(installed) == 3


def test_half_an_installation_heals(lab, installed, monkeypatch):
    """pip is content with what an interrupted start left, and torch does not import."""
    answers = iter(["torch does not import (ImportError: libtorch.so)", ""])
    monkeypatch.setattr(lab, "venv_works", lambda: True)
    monkeypatch.setattr(lab, "not_imported", lambda: next(answers))
    lab.main([])
    assert [step[1:3] for step in installed].count(["-m", "venv"]) == 1
    assert installed[0][1:3] == ["-m", "pip"] and installed[2][1:3] == ["-m", "venv"] and len(installed) == 5
    assert lab.STAMP.exists()


def test_nothing_is_noted_that_does_not_import(lab, installed, monkeypatch):
    monkeypatch.setattr(lab, "not_imported", lambda: "torch does not import (ModuleNotFoundError)")
    with pytest.raises(SystemExit) as stopped:
        lab.main([])
    assert "torch does not import" in sentence(stopped) and "pip config list" in sentence(stopped)
    assert not lab.STAMP.exists()


def test_what_does_not_import_is_named(lab, monkeypatch):
    monkeypatch.setattr(lab, "PYTHON", sys.executable)
    assert lab.not_imported() == ""
    fake = "import sys; sys.exit('ImportError: libtorch.so is too short' if 'torch' in sys.argv[-1] else 0)"
    monkeypatch.setattr(lab, "output_of", lambda command: subprocess.run(
        [sys.executable, "-c", fake, command[-1]], capture_output=True, text=True))  # fmt: skip
    assert lab.not_imported() == "torch does not import (ImportError: libtorch.so is too short)"


SETTINGS = ("PREFIX", "TARGET", "NO_DEPS", "ROOT", "DRY_RUN", "PYTHON")


def test_pip_installs_here_whatever_is_set(lab, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(lab, "PYTHON", sys.executable)
    for name in SETTINGS:
        monkeypatch.setenv(f"PIP_{name}", "elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    variables = lab.environment()
    assert not {f"PIP_{name}" for name in SETTINGS} & variables.keys() and "PIP_INDEX_URL" in variables
    file = tmp_path / "pip.conf"
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    file.write_text("[global]\nproxy = http://proxy.example\n")
    assert lab.pip_settings() == {}
    file.write_text("[global]\nproxy = http://proxy.example\n[install]\ntarget = /" + "opt/x\n")
    settings = lab.pip_settings()
    assert settings["PIP_CONFIG_FILE"] == os.devnull and settings["PIP_PROXY"] == "http://proxy.example"
    assert "PIP_TARGET" not in settings and "leaves out target" in capsys.readouterr().out


def test_the_kernel_is_the_one_of_the_course(lab, monkeypatch, tmp_path):
    """Another python3 in the home folder or in JUPYTER_PATH is not taken."""
    for folder in ("data", "path"):
        kernel = tmp_path / folder / "kernels" / "python3"
        kernel.mkdir(parents=True)
        (kernel / "kernel.json").write_text('{"argv": ["other"], "display_name": "other", "language": "python"}')
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "path"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    ask = "from jupyter_client.kernelspec import get_kernel_spec as get; print(get('python3').argv[0])"
    assert subprocess.check_output([sys.executable, "-c", ask], text=True) == "other\n"
    assert "python" in subprocess.check_output([sys.executable, "-c", ask], text=True, env=lab.environment())


def test_a_folder_whose_letters_the_terminal_has_not(tmp_path):
    folder = tmp_path / "课程"
    (folder / "notebooks").mkdir(parents=True)
    for name in ("lab.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    variables = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0", "RESNET_LAB_TORCH_INDEX": ""}
    command = [sys.executable, "lab.py", "--dry-run"]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, timeout=60)
    assert done.returncode == 0 and b"??" in done.stdout and done.stderr == b""


def test_a_venv_that_works_is_kept(lab, installed):
    assert not lab.venv_works()
    lab.PYTHON.parent.mkdir(parents=True)
    lab.PYTHON.symlink_to(lab.ROOT / "gone")  # the Python that it was made with was removed
    assert not lab.venv_works()
    lab.PYTHON.unlink()
    lab.PYTHON.symlink_to(sys.executable)
    assert not lab.venv_works()  # what it installs would go to the Python that it was made with
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", lab.VENV)
    (lab.VENV / "lib").symlink_to(Path(sys.prefix) / "lib")
    assert lab.venv_works()
    lab.main([])
    assert not any("venv" in step for step in installed)


# Where torch comes from


def test_the_small_torch_if_its_index_answers(lab, monkeypatch):
    monkeypatch.setattr(lab, "answers", lambda index: True)
    assert lab.torch_index() == ["--index-url", lab.CPU_INDEX]
    monkeypatch.setattr(lab.shutil, "which", lambda name: "nvidia-smi")
    assert lab.torch_index() == []
    monkeypatch.setattr(lab.shutil, "which", lambda name: None)
    for platform in ("darwin", "win32"):
        monkeypatch.setattr(lab.sys, "platform", platform)
        assert lab.torch_index() == []


def test_another_index(lab, monkeypatch):
    monkeypatch.setattr(lab, "answers", lambda index: True)
    monkeypatch.setenv(lab.INDEX_VARIABLE, "https://index.example/cpu")
    monkeypatch.setattr(lab.sys, "platform", "darwin")
    assert lab.torch_index() == ["--index-url", "https://index.example/cpu"]


def test_an_empty_variable_asks_nobody(lab, monkeypatch):
    monkeypatch.setattr(lab, "answers", lambda index: pytest.fail("asked"))
    monkeypatch.setenv(lab.INDEX_VARIABLE, "")
    assert lab.torch_index() == []


def test_an_index_that_is_down(lab, capsys):
    assert lab.torch_index() == []
    assert "torch comes from pip's own index" in capsys.readouterr().out


@pytest.fixture
def real_answers(lab, monkeypatch):
    monkeypatch.undo()
    spec = importlib.util.spec_from_file_location("lab_answers", ROOT / "lab.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PROBE_SECONDS", 1)
    monkeypatch.setenv("no_proxy", "*")
    return module.answers


def test_the_probe_of_a_server_that_answers(real_answers):
    class Index(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/cpu/torch/" else 404)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    assert real_answers(address + "/cpu")
    assert real_answers(address + "/cpu/")
    assert not real_answers(address + "/elsewhere")
    server.shutdown()
    server.server_close()
    assert not real_answers(address + "/cpu")


def test_the_probe_of_a_silent_server(real_answers):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.perf_counter()
        assert not real_answers(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.perf_counter() - start < 5


def test_the_probe_of_a_name_that_hangs(real_answers, monkeypatch):
    done = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: done.wait(60) and [])
    start = time.perf_counter()
    assert not real_answers("http://index.example")
    assert time.perf_counter() - start < 5
    done.set()


# Failures: one sentence each


def test_an_old_python(lab, installed, monkeypatch):
    monkeypatch.setattr(lab.sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit) as stopped:
        lab.main([])
    assert "Python 3.11 or newer is needed, this is 3.9.2: install one" in sentence(stopped)


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_a_python_that_makes_no_environments(lab, installed, monkeypatch, missing):
    monkeypatch.setattr(lab.importlib.util, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(SystemExit) as stopped:
        lab.main([])
    assert "apt install python3-venv" in sentence(stopped)
    assert not lab.VENV.exists()


def test_a_disk_that_is_full_beforehand(lab, installed, monkeypatch):
    monkeypatch.setattr(lab.shutil, "disk_usage", lambda path: SimpleNamespace(free=1e9))
    with pytest.raises(SystemExit) as stopped:
        lab.main([])
    assert "free 3 GB" in sentence(stopped)
    assert not lab.VENV.exists()


PIP_SAYS = {
    "disk": "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
    "name": "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(\"Failed to establish "
    "a new connection: [Errno -3] Temporary failure in name resolution\")'\nERROR: No matching distribution found",
    "slow": "ReadTimeoutError: HTTPSConnectionPool: Read timed out.",
    "other": "ERROR: No matching distribution found for torch==2.13.0",
}


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("disk", "the disk is full: free 3 GB"),
        ("name", "connect to the internet"),
        ("slow", "connect to the internet"),
        ("other", "installing torch failed, the lines above say why"),
    ],
)
def test_pip_fails(lab, capsys, said, advice):
    pip = [sys.executable, "-c", f"import sys; print({PIP_SAYS[said]!r}, file=sys.stderr); sys.exit(2)"]
    with pytest.raises(SystemExit) as stopped:
        lab.attempt("installing torch", pip)
    assert advice in sentence(stopped)
    assert (PIP_SAYS[said] in capsys.readouterr().err) == (said == "other")


def test_pip_succeeds_in_spite_of_warnings(lab):
    pip = [sys.executable, "-c", f"import sys; print({PIP_SAYS['name']!r}, file=sys.stderr)"]
    lab.attempt("installing torch", pip)


def test_a_step_gets_no_standard_input(lab, tmp_path):
    (tmp_path / "typed").write_text("y")
    with (tmp_path / "typed").open() as typed:
        kept = os.dup(0)
        os.dup2(typed.fileno(), 0)  # what a child process would inherit
        try:
            lab.attempt("asking", [sys.executable, "-c", "import sys; sys.exit(len(sys.stdin.read()))"])
        finally:
            os.dup2(kept, 0)
            os.close(kept)


def test_a_system_error_is_a_sentence_too(lab, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def forbidden(*_):
        raise PermissionError(errno.EACCES, "Permission denied", ".venv")

    for problem, advice in ((full, "the disk is full"), (forbidden, "Permission denied")):
        monkeypatch.setattr(lab, "install", problem)
        with pytest.raises(SystemExit) as stopped:
            lab.main([])
        assert advice in sentence(stopped)


def test_a_failure_has_a_status_and_no_traceback():
    done = subprocess.run([sys.executable, ROOT / "lab.py", "tset"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_interrupted_while_installing(lab, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(lab, "install", interrupt)
    assert lab.main([]) == 130
