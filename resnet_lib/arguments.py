"""Argument checks that say which argument, which value, and what is allowed."""

from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from functools import wraps
from inspect import signature
from math import inf
from numbers import Integral, Real
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
INSTEAD = {"weights": "load_pretrained", "pretrained": "load_pretrained"}  # an argument of torchvision -> ours


def require_int(name: str, value: object, minimum: int = 1) -> int:
    """`value` as a plain int (NumPy's are integers too). TypeError or ValueError unless it is at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an int of at least {minimum}, got {value!r} ({type(value).__name__})")
    if int(value) < minimum:
        raise ValueError(f"{name} must be an int of at least {minimum}, got {value}")
    return int(value)


def require_ints(**values: object) -> None:
    """`require_int` for several arguments, by name."""
    for name, value in values.items():
        require_int(name, value)


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
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number above 0, got {value!r} ({type(value).__name__})")
    if not 0 < float(value) < inf:
        raise ValueError(f"{name} must be a number above 0, got {value}")


def require_keywords(function: str, given: Collection[str], allowed: Sequence[str]) -> None:
    """TypeError unless each of `given` is an argument of `function`: it names the one that was probably meant."""
    for name in given:
        if name in allowed:
            continue
        meant = get_close_matches(name, allowed, n=1)
        advice = f"did you mean {meant[0]}?" if meant else f"it takes {', '.join(allowed)}"
        if name in INSTEAD:
            advice = f'build the net first, then load into it: {INSTEAD[name]}(net, "resnet50.IMAGENET1K_V1")'
        raise TypeError(f"{function} has no argument {name!r}; {advice}")


def explains_keywords(function: Callable[P, T]) -> Callable[P, T]:
    """`function`, with `require_keywords` in place of Python's own words. Its signature stays what it is."""
    allowed = list(signature(function).parameters)

    @wraps(function)
    def explained(*args: P.args, **kwargs: P.kwargs) -> T:
        require_keywords(function.__name__, kwargs, allowed)
        return function(*args, **kwargs)

    return explained
