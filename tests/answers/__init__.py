"""All answers: importing the modules of this folder fills the bank."""

from importlib import import_module
from pathlib import Path

from answers.bank import BANK, Answer

for path in sorted(Path(__file__).parent.glob("*.py")):
    if path.stem not in ("__init__", "bank"):
        import_module(f"answers.{path.stem}")

__all__ = ["BANK", "Answer"]
