"""`python -m benchmarks NAME [options]`: figures that are timed or weighed. A NAME is a module in this folder."""

import sys
from importlib import import_module
from pathlib import Path


def names() -> list[str]:
    """The modules of this folder that can be run."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def main(argv: list[str]) -> int:
    if not argv or argv[0] not in names():
        print(f"python -m benchmarks NAME [options], where NAME is one of: {', '.join(names())}")
        return 0 if argv in (["-h"], ["--help"]) else 2
    return import_module(f"benchmarks.{argv[0]}").main(argv[1:]) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
