"""Compare a learner's function with the right one and with wrong ones that have names."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from math import isfinite
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resnet_lib.teaching.checks.engine import Mistake, call, describe, wanted_signature

Slips = Mapping[str, Any]  # by the key of the mistake: a wrong answer, or several
_attempts: dict[tuple[str, int, int], Any] = {}
MANY, LONG = 1_000_000, 10_000  # numbers in a tensor and in a list: no answer holds so many


def random(*shape: int, seed: int = 0) -> Tensor:
    """Normal noise that is the same in every run."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), device="cpu")


def each(slips: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(key, wrong answer) one by one; a key may have several."""
    for key, wrong in slips.items():
        for one in wrong if isinstance(wrong, (list, tuple)) else [wrong]:
            yield key, one


def compare(
    function: Any,
    cases: Iterable[Sequence[Any]],
    right: Callable,
    slips: Slips,
    *others: Callable,
    gradients: bool = True,
) -> str:
    """Praise if `function` equals `right`, or one of the `others`, in all cases; else a Mistake: the slip that gives
    the same answers, or in words how the first differs."""
    cases = list(cases)
    given = [_answer(function, case) for case in cases]
    if all(isinstance(one, Mistake) for one in given):
        raise given[0]
    for one in (right, *others):
        wanted = [one(*deepcopy(case)) for case in cases]
        if all(map(same, given, wanted)):
            number = sum(_gradients_agree(function, one, case) for case in cases) if gradients else 0
            return f"{len(cases)} cases, all as the reference" + (", and so are the gradients." if number else ".")
    wanted = [right(*deepcopy(case)) for case in cases]
    wrong = next(i for i in range(len(cases)) if not same(given[i], wanted[i]))
    facts = difference(cases[wrong], given[wrong], wanted[wrong])
    if isinstance(plain(given[wrong]), list) and isinstance(wanted[wrong], (list, tuple)):
        facts |= {"yours": len(plain(given[wrong])), "right": len(wanted[wrong])}
    for number, (key, slip) in enumerate(each(slips)):
        if all(same(one, _attempt(number, slip, place, cases[place])) for place, one in enumerate(given)):
            raise Mistake(*key.split(", "), **facts)
    if isinstance(given[wrong], Mistake):
        raise given[wrong]
    raise Mistake(_in_words(given, wanted, wrong), **facts)


def _in_words(given: Sequence[Any], wanted: Sequence[Any], wrong: int) -> str:
    """No slip has these answers: the key of what can be said all the same."""
    mine, right = plain(given[wrong]), wanted[wrong]
    if all(same(mine, other) for other in given) and not all(same(right, other) for other in wanted):
        return "constant"
    if isinstance(right, Tensor) and not isinstance(given[wrong], Tensor):
        return "not-a-tensor"
    if isinstance(right, Tensor) and given[wrong].shape != right.shape:
        return "wrong-shape"
    if isinstance(right, (list, tuple)) and not isinstance(mine, list):
        return "not-a-list"
    if isinstance(right, (list, tuple)) and len(mine) != len(right):
        return "wrong-length"
    if isinstance(right, bool) and all(
        type(g) in (bool, int, float, str) and bool(g) == w for g, w in _pairs(given, wanted)
    ):
        return "not-a-bool"
    if all(map(same, map(whole, given), wanted)):
        return "a-float"
    if not isinstance(right, Integral) and all(same(*pair, 0.03) for pair in _pairs(given, wanted)):
        return "nearly"
    return "wrong-values" if isinstance(right, Tensor) else "wrong-value"


def _pairs(given: Sequence[Any], wanted: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return ((plain(mine), plain(right)) for mine, right in zip(given, wanted, strict=True))


def difference(case: Sequence[Any], given: Any, wanted: Any) -> dict[str, object]:
    """What the texts can quote."""
    facts: dict[str, object] = {"case": describe(case), "given": show(given)}
    if isinstance(wanted, Tensor) and isinstance(given, Tensor):
        facts |= {"given_shape": tuple(given.shape), "wanted_shape": tuple(wanted.shape)}
        if given.shape == wanted.shape and given.numel():
            far = (given * 1 - wanted).abs() > tolerance(wanted)
            facts["share"] = f"{far.float().mean().item():.0%}"
    return facts


def show(value: Any) -> str:
    """A value in a few characters."""
    value = plain(value)
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(show, value[:6])) + (", …]" if len(value) > 6 else "]")
    if isinstance(value, float):
        return f"{value:.4g}"
    return repr(value)[:60] if isinstance(value, (int, str, type(None))) else f"a value of type {type(value).__name__}"


def plain(value: Any) -> Any:
    """Numbers and lists out of what may carry them: arrays, small tensors, dictionaries, ranges."""
    if isinstance(value, (np.ndarray, np.generic)) or (isinstance(value, Tensor) and value.ndim <= 1):
        return value.tolist()
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple, range)):
        return [plain(item) for item in value[:LONG]]
    if isinstance(value, int) and type(value) is not bool:
        return int.__pos__(value)  # a class of the learner's may have other ideas of what is equal
    return float.__pos__(value) if isinstance(value, float) else value


def whole(value: Any) -> Any:
    """Ints in the place of floats that have no fraction."""
    value = plain(value)
    if isinstance(value, list):
        return [whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def same(given: Any, wanted: Any, relative: float = 1e-4) -> bool:
    """Equal up to rounding. Where an int is wanted, a float is not one; a bool is wanted only for a bool."""
    if isinstance(given, Mistake) or isinstance(wanted, Mistake):
        return isinstance(given, Mistake) and isinstance(wanted, Mistake) and given.keys == wanted.keys
    if isinstance(wanted, Tensor):
        return isinstance(given, Tensor) and close(given, wanted, relative)
    given = plain(given)
    if isinstance(wanted, (list, tuple)):
        return (
            isinstance(given, list)
            and len(given) == len(wanted)
            and all(same(*pair, relative) for pair in zip(given, wanted, strict=True))
        )
    if isinstance(wanted, bool) or not isinstance(wanted, Real):
        return isinstance(given, type(wanted)) and given == wanted
    if isinstance(wanted, Integral):
        return isinstance(given, Integral) and not isinstance(given, bool) and given == wanted
    number = isinstance(given, Real) and not isinstance(given, bool)
    return number and abs(float(given) - float(wanted)) <= relative * abs(float(wanted)) + 1e-7


def close(given: Tensor, wanted: Tensor, relative: float = 1e-4) -> bool:
    """The same shape, and no value farther off than rounding."""
    if given.shape != wanted.shape:
        return False
    off = given.detach() * 1 - wanted.detach() * 1  # times 1, since truth values cannot be subtracted
    return not given.numel() or bool((off.abs() <= tolerance(wanted, relative)).all())


def tolerance(wanted: Tensor, relative: float = 1e-4) -> float:
    return relative * (wanted.detach() * 1).abs().max().item() + 1e-6


def honest(value: Any) -> Any:
    """A tensor of a class of the learner's as a plain one, whose methods can be relied on."""
    if not isinstance(value, Tensor):
        return value
    with torch._C.DisableTorchFunctionSubclass():
        odd = {
            f"its layout is {value.layout}": value.layout != torch.strided,
            f"it is on the device {value.device}": value.device.type != "cpu",
            "its numbers are complex": value.is_complex(),
            f"its shape is {tuple(value.shape)}": value.numel() > MANY,
        }
        for what, so in odd.items():
            if so:
                raise Mistake("odd-tensor", given=what)
        return value.as_subclass(Tensor)


def finite(value: Any) -> bool:
    """No NaN and no infinity in a tensor, a number or a list of them."""
    value = plain(value)
    if isinstance(value, list):
        return all(map(finite, value))
    if isinstance(value, Tensor):
        return bool(value.isfinite().all())
    return not isinstance(value, float) or isfinite(value)


def _answer(function: Any, case: Sequence[Any]) -> Any:
    """What the learner's function returns, or the Mistake of raising."""
    args = deepcopy(tuple(case))
    try:
        given = call(function, *args)
    except Mistake as mistake:
        if mistake.keys != ("raises",):
            raise
        return mistake
    if given is None:
        raise Mistake("returns-none")
    if isinstance(given, nn.Module) or callable(given):
        raise Mistake("returns-callable", got=type(given).__name__)
    for before, after in zip(case, args, strict=True):
        if isinstance(before, Tensor) and (before.shape != after.shape or not torch.equal(before, after)):
            raise Mistake("changes-input", case=describe(case))
        if isinstance(before, list) and (
            list(map(type, before)) != list(map(type, after)) or describe([before]) != describe([after])
        ):
            raise Mistake("changes-list", case=describe(case))
    given = honest(given)
    if not finite(given):
        raise Mistake("nan", case=describe(case))
    return given


def _attempt(number: int, slip: Callable, place: int, case: Sequence[Any]) -> Any:
    """What a slip answers in a case. It is the same whoever the learner is, so it is kept."""
    name = wanted_signature(), number, place
    if name not in _attempts:
        try:
            _attempts[name] = slip(*deepcopy(tuple(case)))
        except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError):
            _attempts[name] = Mistake("raises")
    return _attempts[name]


def _gradients_agree(function: Any, right: Callable, case: Sequence[Any]) -> bool:
    """Whether there were gradients to compare; a Mistake where they differ."""
    found = []
    for one in (right, function):
        args = [a.clone().requires_grad_() if isinstance(a, Tensor) and a.is_floating_point() else a for a in case]
        leaves = [a for a in args if isinstance(a, Tensor) and a.requires_grad]
        result = call(one, *(a.clone() if isinstance(a, Tensor) else deepcopy(a) for a in args))
        if not isinstance(result, Tensor) or not leaves:
            return False
        if not result.requires_grad:
            raise Mistake("no-gradient")
        weights = random(*result.shape, seed=7)
        found.append(gradients_of((result * weights).sum(), leaves))
    if not all(close(mine, theirs, 1e-3) for theirs, mine in zip(*found, strict=True)):
        raise Mistake("gradient")
    return True


def gradients_of(total: Tensor, leaves: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The derivatives of `total`; zeros where it does not depend. A Mistake where autograd cannot go back."""
    try:
        return torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
    except RuntimeError as error:
        raise Mistake("in-place" if "inplace" in str(error) else "no-gradient") from None
