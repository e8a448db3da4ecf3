"""The engine of the exercises' checks: what the exercises themselves say is in `resnet_lib.teaching.checks`."""

from resnet_lib.teaching.checking.exercise import Exercise, ModuleExercise, Slip, Slips, Verdict, slip, together
from resnet_lib.teaching.checking.sandbox import call
from resnet_lib.teaching.checking.trace import Case, noise
from resnet_lib.teaching.checking.words import Mistake

__all__ = [
    "Case",
    "Exercise",
    "Mistake",
    "ModuleExercise",
    "Slip",
    "Slips",
    "Verdict",
    "call",
    "noise",
    "slip",
    "together",
]
