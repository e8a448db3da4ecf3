"""The answer bank: answers to the exercises as learners write them, and what their check should say to each.

A module of this folder holds the answers of a family of exercises, marked with `right` and `wrong`. To add an
exercise, add its answers to a module, or a module to the folder: `answers` imports them all.
"""

from collections.abc import Callable
from typing import Any, NamedTuple


class Answer(NamedTuple):
    exercise: str  # "basic_block" for check_basic_block
    keys: str  # of the mistakes, "relu-before-add, no-relu-after"; "right" where there are none
    given: Any  # what the learner hands over

    def __str__(self) -> str:
        return f"{self.exercise}-{self.keys.replace(', ', '+')}-{getattr(self.given, '__name__', 'object').strip('<>')}"


BANK: list[Answer] = []


def right(*exercises: str) -> Callable[[Any], Any]:
    """Mark an answer as right."""
    return wrong(exercises, "right")


def wrong(exercises: str | tuple[str, ...], keys: str) -> Callable[[Any], Any]:
    """Mark an answer as wrong, with the keys that its check should find."""

    def keep(given: Any) -> Any:
        for exercise in [exercises] if isinstance(exercises, str) else exercises:
            BANK.append(Answer(exercise, keys, given))
        return given

    return keep
