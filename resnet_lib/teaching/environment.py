"""Is everything there that a lesson needs? In plain words, for lesson 00."""

import sys
from collections.abc import Callable
from importlib import import_module

import torch

PACKAGES = (
    "torch",
    "numpy",
    "matplotlib",
    "PIL",
    "IPython",
    "ipywidgets",
    "anywidget",
    "torchinfo",
    "tqdm",
    "safetensors",
)


def environment_report(*, quiet: bool = False) -> bool:
    """Print what is there and what is missing; True if the lessons can run. `quiet` prints nothing."""
    say: Callable[[str], None] = (lambda line: None) if quiet else _print
    problems = []
    say(f"✓ Python {sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}")
    if sys.version_info < (3, 11):
        problems.append("Python is too old: install 3.11 or newer, then run `python lab.py` again.")
    for name in PACKAGES:
        try:
            version = getattr(import_module(name), "__version__", "")
            say(f"✓ {name} {version}")
        except ImportError:
            problems.append(f"The package {name} is missing: run `python lab.py`, which installs it.")
    problems += _data_problems(say)
    threads = torch.get_num_threads()
    device = "a GPU" if torch.cuda.is_available() else f"the CPU with {threads} thread{'s' if threads > 1 else ''}"
    say(f"✓ the lessons will compute on {device}; a CPU is enough")
    for problem in problems:
        say(f"✗ {problem}")
    say("Everything is there." if not problems else "Put the lines marked ✗ right, then restart the kernel.")
    return not problems


def _print(line: str) -> None:
    """On a terminal that has no ✓, too."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(line.encode(encoding, "replace").decode(encoding))


def _data_problems(say: Callable[[str], None]) -> list[str]:
    from resnet_lib.data.images import load_fashion_mnist

    try:
        images = len(load_fashion_mnist("train")) + len(load_fashion_mnist("test"))
    except (OSError, ValueError) as error:
        return [f"The images do not load: {error}. Get the course again."]
    say(f"✓ {images:,} images of Fashion-MNIST")
    return []
