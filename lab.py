"""Start the course, test it, or run it through. All it takes is Python 3.11 or newer.

    python lab.py            make .venv, install into it, open JupyterLab on the lessons
    python lab.py test       install what the tests need as well, test the library and every cell of every lesson
    python lab.py test --all the same with what takes long: browsers, large nets, the lessons on a plain processor
    python lab.py run        run every lesson without a browser, print its seconds and peak memory
    python lab.py pages      build web pages of all lessons in build/pages, for reading without Python

Further words go to JupyterLab (--no-browser), to pytest (tests/test_lab.py -x), to Sphinx or name lessons (01 --save).
With --dry-run the commands are printed, not run. The first start installs; later ones take seconds.
"""

import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # torch for Linux without CUDA: 0.2 GB in place of 3 GB
INDEX_VARIABLE = "RESNET_LAB_TORCH_INDEX"  # set it to use another index; set it empty for pip's own
PROBE_SECONDS = 3
TORCH = "2.13.0"  # the version that the course is tested with; pyproject.toml allows a range
PYTHON_NEEDED = (3, 11)
DISK_GB = 3  # what .venv takes, and pip's scratch space

ROOT = Path(__file__).resolve().parent
LESSONS = ROOT / "notebooks"
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "lab-stamp.txt"  # what was installed, as hashes

# What an action needs of pyproject.toml's optional dependencies.
EXTRAS = {"open": "course", "run": "course", "test": "course,test,pages", "pages": "course,pages"}

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# A processor from 2008: the lessons' verdicts must hold on it too.
PLAIN_CPU = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", **ONE_THREAD}
JUPYTERLAB = {"@jupyter-widgets/jupyterlab-manager:plugin": {"saveState": True}}

DISK_FULL = f"the disk is full: free {DISK_GB} GB where the course and the temporary folder lie, and start lab.py again"
NO_NETWORK = "pip reached no package index: connect to the internet (or set pip's proxy), and start lab.py again"
FAILURES = [  # what a failed step prints, and the advice
    (("No space left on device", "Errno 28", "WinError 112", "not enough space on the disk"), DISK_FULL),
    (("connection broken by", "Failed to establish a new connection", "Max retries exceeded", "Could not fetch URL",
      "NameResolutionError", "Network is unreachable", "Read timed out"), NO_NETWORK),
]  # fmt: skip


def stop(sentence):
    """End with one sentence that says what to do, and a status that is not zero."""
    raise SystemExit(f"lab.py: {sentence}.")


def main(arguments):
    if sys.version_info < PYTHON_NEEDED:
        needed, found = (".".join(map(str, version)) for version in (PYTHON_NEEDED, sys.version_info[:3]))
        stop(f"Python {needed} or newer is needed, this is {found}: install one from python.org, start lab.py with it")
    if "-h" in arguments[:1] or "--help" in arguments[:1]:
        print(__doc__.strip())
        return 0
    for stream in (sys.stdout, sys.stderr):  # a folder's name may hold letters that the terminal has not
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    action, words, dry_run = parse(arguments)
    try:
        install(EXTRAS["test" if "--save" in words else action], dry_run)
        if action == "open" and not dry_run:
            set_up_jupyterlab()
        return max(run(command, variables, dry_run) for command, variables in commands(action, words))
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        stop(DISK_FULL if error.errno == 28 else f"{error}: see to that, and start lab.py again")


def parse(arguments):
    """The action, the words that are passed on, and whether to print only."""
    words = [word for word in arguments if word != "--dry-run"]
    action = words.pop(0) if words and not words[0].startswith("-") else "open"
    if action not in ("open", "test", "run", "pages"):
        stop(f"'{action}' is not known: say `python lab.py`, or add `test`, `run` or `pages`")
    return action, words, "--dry-run" in arguments


def commands(action, words):
    """What to run once everything is installed: (command, environment variables) one after the other."""
    if action == "open":
        root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        return [([PYTHON, "-m", "jupyterlab", LESSONS, *root, *words], {})]
    if action == "run":
        return [([PYTHON, ROOT / "benchmarks" / "run_lessons.py", *words], {})]
    if action == "pages":  # all anew each time: what a page shows depends on the library too
        build = ROOT / "build"
        sphinx = [PYTHON, "-m", "sphinx", "-E", "-c", ROOT / "docs", "-d", build / "doctrees"]
        return [([*sphinx, *words, ROOT, build / "pages"], {})]
    pytest = [PYTHON, "-m", "pytest"]
    every = "--all" in words
    words = [word for word in words if word != "--all"]
    if words:
        return [([*pytest, *words], {})]
    # Two at a time, each on one thread; conftest.py sorts, so that the longest come first.
    spread = [*pytest, "-n", "2"]
    if not every:
        return [([*spread, "-m", "not thorough"], ONE_THREAD)]
    return [(spread, ONE_THREAD), ([*spread, "--without-solutions", "notebooks"], PLAIN_CPU)]


def set_up_jupyterlab():
    """Explorers are saved with their notebook, so that they work when it is opened again, before anything has run."""
    settings = VENV / "share" / "jupyter" / "lab" / "settings"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "overrides.json").write_text(json.dumps(JUPYTERLAB))


def run(command, variables, dry_run):
    """Run a command from the course's folder and return its exit status."""
    show(command, variables)
    if dry_run:
        return 0
    process = subprocess.Popen([str(word) for word in command], cwd=ROOT, env={**environment(), **variables})
    while True:
        try:
            return abs(process.wait())  # a command ended by a signal has a negative status
        except KeyboardInterrupt:
            pass  # Ctrl-C reached the command too: let it close its kernels


def show(command, variables=()):
    settings = [f"{name}={variables[name]}" for name in variables]
    print("$", *settings, *(shlex.quote(str(word)) for word in command), flush=True)


# Settings of pip that would install elsewhere, less, or nothing.
DIVERTING = ("prefix", "target", "root", "user", "no-deps", "no-dependencies", "dry-run", "python", "require-hashes")
DROPPED = [  # variables that would let other installations in, choose another kernel or change the figures
    *("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "MPLBACKEND", "PYTEST_ADDOPTS", "JUPYTER_PATH", "JUPYTERLAB_DIR"),
    *("PIP_" + name.upper().replace("-", "_") for name in DIVERTING),
]


def environment():
    """This process's variables, without those that would lead away from .venv."""
    kept = {name: value for name, value in os.environ.items() if name not in DROPPED}
    jupyter = {"JUPYTER_PREFER_ENV_PATH": "1"}  # the kernel of .venv, not one of the same name in the home folder
    return {**kept, **jupyter, "PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_ROOT_USER_ACTION": "ignore"}


def pip_settings():
    """For a pip whose files hold such a setting: variables that stand for the others, such as its index."""
    listed = output_of([PYTHON, "-m", "pip", "config", "list"]).stdout
    settings = dict(re.findall(r"^(?:global|install)\.([\w-]+)='(.*)'$", listed, re.MULTILINE))
    diverting = [name for name in settings if name in DIVERTING]
    if not diverting:
        return {}
    print("pip's own settings would install elsewhere: lab.py leaves out", ", ".join(diverting), flush=True)
    kept = {name: value for name, value in settings.items() if name not in DIVERTING}
    variables = {"PIP_" + name.upper().replace("-", "_"): value.replace("\\n", " ") for name, value in kept.items()}
    return {**variables, "PIP_CONFIG_FILE": os.devnull}


# Installing


def install(extra, dry_run):
    """Make .venv and install into it, unless a stamp says that this was done."""
    wanted = stamp(extra)
    there = STAMP.read_text().split() if STAMP.exists() else []
    if wanted in there:
        return
    if not dry_run and shutil.disk_usage(ROOT).free < DISK_GB * 1e9:
        stop(DISK_FULL)
    install_into(extra, dry_run, anew=not venv_works())
    if dry_run:
        return
    problem = not_imported()
    if problem:  # half an installation, left by one that was interrupted
        print(f"{problem}: .venv is made anew.", flush=True)
        install_into(extra, dry_run, anew=True)
        problem = not_imported()
    if problem:
        stop(f"pip reported no error, but {problem}: look at `pip config list` and `pip debug`, and start lab.py again")
    # An installation with more extras serves for one with fewer, and extras add up.
    kept = there if stamp(EXTRAS["open"]) in there else [stamp(EXTRAS["open"])]
    STAMP.write_text("\n".join([*kept, wanted, ""]))


def install_into(extra, dry_run, anew):
    steps = [make_venv()] if anew else []
    steps.append(("installing torch", [PYTHON, "-m", "pip", "install", f"torch=={TORCH}", *torch_index()]))
    steps.append(("installing the course", [PYTHON, "-m", "pip", "install", "-e", f".[{extra}]"]))
    for doing, command in steps:
        show(command)
        if not dry_run:
            attempt(doing, command, pip_settings() if "pip" in command else {})


def not_imported():
    """What .venv lacks in spite of pip's success, in words; "" if all is there."""
    for module in ("torch", "resnet_lib", "jupyterlab"):
        done = output_of([PYTHON, "-c", f"import {module}"])
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
            return f"{module} does not import ({said[-1]})"
    return ""


def stamp(extra):
    """A hash of all that decides what is installed; a folder that was moved installs anew."""
    parts = [(ROOT / "pyproject.toml").read_text(encoding="utf-8"), TORCH, str(ROOT), extra]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def venv_works():
    """Is there a whole .venv whose Python starts, is new enough and has pip?"""
    check = f"import sys, pip._internal; sys.exit(sys.version_info < {PYTHON_NEEDED} or sys.prefix == sys.base_prefix)"
    return PYTHON.exists() and output_of([PYTHON, "-c", check]).returncode == 0


def make_venv():
    if not all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")):
        stop("this Python cannot make environments: on Debian or Ubuntu run `sudo apt install python3-venv`, elsewhere "
             "install Python from python.org, and start lab.py again")  # fmt: skip
    return "making .venv", [sys.executable, "-m", "venv", "--clear", VENV]


def torch_index():
    """pip's option for the index that torch comes from: on Linux without a GPU the small build, if it can be had."""
    gpu = shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists()
    default = CPU_INDEX if sys.platform == "linux" and not gpu else ""
    index = os.environ.get(INDEX_VARIABLE, default).strip()
    if index and not answers(index):
        print(f"{index} did not answer within {PROBE_SECONDS} s; torch comes from pip's own index.", flush=True)
        index = ""
    return ["--index-url", index] if index else []


def answers(index):
    """Does the index answer in time? Asked in a thread, because looking up a name knows no timeout."""
    replies = []

    def ask():
        try:
            with urllib.request.urlopen(index.rstrip("/") + "/torch/", timeout=PROBE_SECONDS) as page:
                replies.append(page.status)
        except Exception:  # whatever went wrong: pip's own index is left
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return bool(replies)


def output_of(command, variables=(), cwd=VENV, stdout=subprocess.PIPE):
    """Run a command without an input; what it says is text, whatever its bytes."""
    settings = {**environment(), **dict(variables)}
    return subprocess.run([str(word) for word in command], cwd=cwd, env=settings, stdin=subprocess.DEVNULL,
                          stdout=stdout, stderr=subprocess.PIPE, encoding="utf-8", errors="replace")  # fmt: skip


def attempt(doing, command, variables=()):
    """Run one step of the installation; if it fails, say what to do."""
    step = output_of(command, variables, cwd=ROOT, stdout=None)  # pip shows how far it is
    if step.returncode == 0:
        return
    for signs, advice in FAILURES:
        if any(sign in step.stderr for sign in signs):
            stop(advice)
    print(step.stderr.strip(), file=sys.stderr)
    stop(f"{doing} failed, the lines above say why: put that right (deleting .venv is safe), and start lab.py again")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
