"""Argument checks that say which argument, which value, and what is allowed."""

from collections.abc import Sequence
from math import inf


def require_int(name: str, value: object, minimum: int = 1) -> None:
    """TypeError or ValueError unless `value` is an int of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int of at least {minimum}, got {value!r} ({type(value).__name__})")
    if value < minimum:
        raise ValueError(f"{name} must be an int of at least {minimum}, got {value}")


def require_choice(name: str, value: object, allowed: Sequence[object]) -> None:
    """ValueError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def require_bool(name: str, value: object) -> None:
    """TypeError unless `value` is True or False: "no" would count as yes."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r} ({type(value).__name__})")


def require_positive(name: str, value: object) -> None:
    """TypeError or ValueError unless `value` is a finite number above zero."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number above 0, got {value!r} ({type(value).__name__})")
    if not 0 < value < inf:
        raise ValueError(f"{name} must be a number above 0, got {value}")
