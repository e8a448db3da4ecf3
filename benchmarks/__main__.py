"""`python -m benchmarks NAME [options]`: figures that are timed or weighed. A NAME is a module in this folder.

With `--record`, what a benchmark prints is kept in docs/speed/NAME.txt, for docs/speed.md, and with
`--device cuda --record` in docs/speed/NAME-cuda.txt.
"""

import sys
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path

HERE = Path(__file__).parent
KEPT = HERE.parent / "docs" / "speed"


class Twice(StringIO):
    """Keeps what is printed, and prints it."""

    def write(self, text: str) -> int:
        sys.__stdout__.write(text)  # type: ignore[union-attr]
        sys.__stdout__.flush()  # type: ignore[union-attr]
        return super().write(text)


def names() -> list[str]:
    """The modules of this folder that can be run."""
    return sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))


def main(argv: list[str]) -> int:
    if not argv or argv[0] not in names():
        print(f"python -m benchmarks NAME [options] [--record], where NAME is one of: {', '.join(names())}")
        return 0 if argv in (["-h"], ["--help"]) else 2
    name, *options = argv
    run = import_module(f"benchmarks.{name}").main
    if "--record" not in options or name == "run_lessons":  # whose own --record keeps more than it prints
        return run(options) or 0
    options.remove("--record")
    if options not in ([], ["--device", "cuda"]):
        print("--record keeps the table of a whole run: no other option but --device cuda", file=sys.stderr)
        return 2
    with redirect_stdout(Twice()) as printed:
        failed = run(options)
    if not failed:
        (KEPT / f"{name}{'-cuda' if options else ''}.txt").write_text(printed.getvalue(), encoding="utf-8")
    return failed or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
