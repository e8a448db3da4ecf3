"""Compare a learner's function with the right one and with wrong ones that have names."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import starmap
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resnet_lib.teaching.checks.engine import Mistake, call, describe

Slips = Mapping[str, Any]  # by the key of the mistake: a wrong answer, or several


def random(*shape: int, seed: int = 0) -> Tensor:
    """Normal noise that is the same in every run."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def each(slips: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(key, wrong answer) one by one; a key may have several."""
    for key, wrong in slips.items():
        for one in wrong if isinstance(wrong, (list, tuple)) else [wrong]:
            yield key, one


def compare(
    function: Any, cases: Iterable[Sequence[Any]], right: Callable, slips: Slips, *, gradients: bool = True
) -> str:
    """Praise if `function` equals `right` in all cases; else a Mistake: the slip that gives the same answers."""
    cases = list(cases)
    given = [_answer(function, case) for case in cases]
    wanted = [right(*deepcopy(case)) for case in cases]
    wrong_case = next((i for i in range(len(cases)) if not same(given[i], wanted[i])), None)
    if wrong_case is None:
        number = sum(_gradients_agree(function, right, case) for case in cases) if gradients else 0
        return f"{len(cases)} cases, all as the reference" + (", and so are the gradients." if number else ".")
    for key, wrong in each(slips):
        if all(map(same, given, starmap(_attempt, ((wrong, case) for case in cases)))):
            raise Mistake(*key.split(", "), **difference(cases[wrong_case], given[wrong_case], wanted[wrong_case]))
    if isinstance(given[wrong_case], Mistake):
        raise given[wrong_case]
    explain(cases[wrong_case], given[wrong_case], wanted[wrong_case])
    raise AssertionError


def explain(case: Sequence[Any], given: Any, wanted: Any) -> None:
    """No slip has these answers: say in words how the first differs."""
    facts = difference(case, given, wanted)
    if isinstance(wanted, Tensor) and not isinstance(given, Tensor):
        raise Mistake("not-a-tensor", **facts)
    if isinstance(wanted, Tensor) and given.shape != wanted.shape:
        raise Mistake("wrong-shape", **facts)
    if isinstance(wanted, (list, tuple)) and isinstance(plain(given), (list, tuple)):
        if len(plain(given)) != len(wanted):
            raise Mistake("wrong-length", yours=len(plain(given)), right=len(wanted), **facts)
    raise Mistake("wrong-values" if isinstance(wanted, Tensor) else "wrong-value", **facts)


def difference(case: Sequence[Any], given: Any, wanted: Any) -> dict[str, object]:
    """What the texts can quote."""
    facts: dict[str, object] = {"case": describe(case), "given": show(given)}
    if isinstance(wanted, Tensor) and isinstance(given, Tensor):
        facts |= {"given_shape": tuple(given.shape), "wanted_shape": tuple(wanted.shape)}
        if given.shape == wanted.shape and given.numel():
            far = (given - wanted).abs() > tolerance(wanted)
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
        return f"{value:.3g}"
    return repr(value)[:60] if isinstance(value, (int, str, type(None))) else f"a value of type {type(value).__name__}"


def plain(value: Any) -> Any:
    """Numbers and lists out of what may carry them: arrays, small tensors, dictionaries, ranges."""
    if isinstance(value, (np.ndarray, np.generic)) or (isinstance(value, Tensor) and value.ndim <= 1):
        return value.tolist()
    if isinstance(value, dict):
        return [plain(item) for item in value.values()]
    if isinstance(value, (list, tuple, range)):
        return [plain(item) for item in value]
    return value


def same(given: Any, wanted: Any) -> bool:
    """Equal up to rounding. Where an int is wanted, a float is not one; a bool is wanted only for a bool."""
    if isinstance(given, Mistake) or isinstance(wanted, Mistake):
        return isinstance(given, Mistake) and isinstance(wanted, Mistake) and given.keys == wanted.keys
    if isinstance(wanted, Tensor):
        return isinstance(given, Tensor) and close(given, wanted)
    given = plain(given)
    if isinstance(wanted, (list, tuple)):
        return isinstance(given, list) and len(given) == len(wanted) and all(map(same, given, wanted))
    if isinstance(wanted, bool) or not isinstance(wanted, Real):
        return isinstance(given, type(wanted)) and given == wanted
    if isinstance(wanted, Integral):
        return isinstance(given, Integral) and not isinstance(given, bool) and given == wanted
    number = isinstance(given, Real) and not isinstance(given, bool)
    return number and abs(float(given) - float(wanted)) <= 1e-4 * abs(float(wanted)) + 1e-7


def close(given: Tensor, wanted: Tensor, relative: float = 1e-4) -> bool:
    """The same shape, and no value farther off than rounding."""
    if given.shape != wanted.shape or given.is_meta or given.is_complex():
        return False
    return not given.numel() or bool(((given.detach() - wanted.detach()).abs() <= tolerance(wanted, relative)).all())


def tolerance(wanted: Tensor, relative: float = 1e-4) -> float:
    return relative * wanted.detach().abs().max().item() + 1e-6


def finite(value: Any) -> bool:
    return not isinstance(value, Tensor) or value.is_meta or bool(value.isfinite().all())


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
    if isinstance(given, Tensor) and not finite(given):
        raise Mistake("nan", case=describe(case))
    if isinstance(given, float) and given != given:
        raise Mistake("nan", case=describe(case))
    return given


def _attempt(wrong: Callable, case: Sequence[Any]) -> Any:
    try:
        return wrong(*deepcopy(tuple(case)))
    except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError):
        return Mistake("raises")


def _gradients_agree(function: Any, right: Callable, case: Sequence[Any]) -> bool:
    """Whether there were gradients to compare; a Mistake where they differ."""
    found = []
    for one in (right, function):
        args = [a.clone().requires_grad_() if isinstance(a, Tensor) and a.is_floating_point() else a for a in case]
        leaves = [a for a in args if isinstance(a, Tensor) and a.requires_grad]
        result = call(one, *(a.clone() if isinstance(a, Tensor) else a for a in args))
        if not isinstance(result, Tensor) or not leaves:
            return False
        if not result.requires_grad:
            raise Mistake("no-gradient")
        weights = random(*result.shape, seed=7)
        found.append(torch.autograd.grad((result * weights).sum(), leaves, allow_unused=True, materialize_grads=True))
    if not all(close(mine, theirs, 1e-3) for theirs, mine in zip(*found, strict=True)):
        raise Mistake("gradient")
    return True
