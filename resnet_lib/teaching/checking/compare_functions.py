"""Compare what a learner's function did with what the right one does, and wrong ones that have names."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import isfinite
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resnet_lib.teaching.checking.sandbox import Guard, call
from resnet_lib.teaching.checking.words import Mistake, describe, kind

Exercise = Any  # the class of exercise.py, which imports this file
MANY, LONG = 1_000_000, 10_000  # numbers in a tensor and in a list: no answer holds so many


@dataclass(frozen=True)
class Answer:
    """What a function did in one case."""

    value: Any = None
    error: Mistake | None = None
    effect: Mistake | None = None  # what it did to its arguments
    gradients: tuple[Tensor, ...] | Mistake | None = None


def answer(exercise: Exercise, function: Any, case: Sequence[Any]) -> Answer:
    """Call a function in one case. All errors but those of its signature are part of the answer."""
    before, args = copied(case), copied(case)
    leaves = []
    for place, arg in enumerate(args):
        if exercise.gradients and isinstance(arg, Tensor) and arg.is_floating_point():
            leaves.append(arg.requires_grad_())
            args[place] = arg.clone()
    guard = Guard(args)
    try:
        given = call(function, *args)
        if exercise.problem:
            return Answer(error=exercise.problem(given, before, args))
    except Mistake as mistake:
        if mistake.keys[0] in ("signature", "forgets-self", "misspelt-method"):
            raise
        return Answer(error=mistake)
    given = honest(given)
    return Answer(given, effect=guard.changes(exercise.ignores), gradients=_gradients(given, leaves))


def copied(case: Sequence[Any]) -> list[Any]:
    """Arguments for one call. A module keeps its gradients, which `deepcopy` would drop."""
    twins = list(deepcopy(tuple(case)))
    for arg, twin in zip(case, twins, strict=True):
        if isinstance(arg, nn.Module):
            for one, two in zip(arg.parameters(), twin.parameters(), strict=True):
                two.grad = one.grad if one.grad is None else one.grad.clone()
    return twins


def _gradients(result: Any, leaves: Sequence[Tensor]) -> tuple[Tensor, ...] | Mistake | None:
    if not leaves or not isinstance(result, Tensor) or not result.is_floating_point() or not result.numel():
        return None
    if not result.requires_grad:
        return Mistake("no-gradient")
    try:
        return gradients_of((result * noise(*result.shape, seed=7)).sum(), leaves)
    except Mistake as mistake:
        return mistake


def judge(exercise: Exercise, given: Sequence[Answer]) -> str:
    """Praise if the answers are those of the right function in all cases; else a Mistake, by name if it has one."""
    cases = exercise.cases
    errors = [one.error for one in given if one.error]
    if len(errors) == len(given) or (errors and exercise.problem):
        raise errors[0]
    if exercise.problem:
        return exercise.praise
    wanted = _known(exercise, exercise.right)
    for right in (exercise.right, *exercise.also):
        known = _known(exercise, right)
        if all(same(mine.value, one.value) and not mine.error for mine, one in zip(given, known, strict=True)):
            _judge_the_rest(exercise, given, known)
            return exercise.praise
    wrong = next(i for i, one in enumerate(given) if one.error or not same(one.value, wanted[i].value))
    facts = difference(cases[wrong], given[wrong].value, wanted[wrong].value)
    for some in {len(given): 0, len(exercise.known["cases"]): 0}:  # without the traps, if it is wrong elsewhere too
        for slip, bad in exercise.each_wrong():
            if wrong < some and all(map(_alike, given[:some], _known(exercise, bad)[:some])):
                raise Mistake(*slip.keys, **facts)
    if given[wrong].error:
        raise given[wrong].error  # type: ignore[misc]
    if exercise.floats and _numbers(given[wrong].value) is not None:
        if all(same(_numbers(mine.value), one.value) for mine, one in zip(given, wanted, strict=True)):
            raise Mistake("tensors-for-floats", **facts)
    if (effect := next((one.effect for one in given if one.effect), None)) is not None:
        raise effect
    raise Mistake(_in_words([one.value for one in given], [one.value for one in wanted], wrong), **facts)


def _known(exercise: Exercise, function: Callable[..., Any]) -> Sequence[Answer]:
    """What a right or wrong answer does in each case. It is the same whoever the learner is, so it is kept."""
    if function not in exercise.known:
        exercise.known[function] = [answer(exercise, function, case) for case in exercise.cases]
    return exercise.known[function]


def _alike(mine: Answer, slips: Answer) -> bool:
    if mine.error or slips.error:
        return bool(mine.error and slips.error) and mine.error.keys == slips.error.keys  # type: ignore[union-attr]
    return same(mine.value, slips.value)


def _judge_the_rest(exercise: Exercise, given: Sequence[Answer], wanted: Sequence[Answer]) -> None:
    """The values are right: are the types, the gradients and what became of the arguments?"""
    for case, mine, right in zip(exercise.cases, given, wanted, strict=True):
        facts = difference(case, mine.value, right.value)
        if exercise.floats and not same(mine.value, right.value, plain_only=True):
            raise Mistake("tensors-for-floats", **facts)
        if isinstance(right.value, Tensor) and mine.value.dtype != right.value.dtype:
            raise Mistake("wrong-dtype", dtype=str(mine.value.dtype).removeprefix("torch."), **facts)
        if mine.effect:
            raise mine.effect
        if isinstance(mine.gradients, Mistake):
            raise mine.gradients
        if isinstance(right.gradients, tuple) and not all(
            close(*pair, 1e-3) for pair in zip(mine.gradients or (), right.gradients, strict=True)
        ):
            raise Mistake("gradient", **facts)


# What can be said about values that no slip has, by key: a function of the right value. The first that fits is told.
RELATIONS: dict[str, Callable[[Any], Any]] = {
    "one-too-many": lambda right: right + 1 if isinstance(right, int) else None,
    "one-too-few": lambda right: right - 1 if isinstance(right, int) else None,
    "twice-too-large": lambda right: _scaled(right, 2),
    "half": lambda right: _scaled(right, 0.5),
    "negative": lambda right: _scaled(right, -1),
    "reversed": lambda right: right[::-1] if isinstance(right, list) and len(right) > 1 else None,
    "first-missing": lambda right: right[1:] if isinstance(right, list) else None,
    "last-missing": lambda right: right[:-1] if isinstance(right, list) else None,
    "nested": lambda right: [right],
    "positive-part": lambda right: right.relu() if isinstance(right, Tensor) else None,
}


def _scaled(right: Any, factor: float) -> Any:
    if isinstance(right, list):
        return [_scaled(one, factor) for one in right]
    if isinstance(right, bool) or not isinstance(right, (int, float, Tensor)):
        return None
    return int(scaled) if isinstance(right, int) and (scaled := right * factor) == int(scaled) else right * factor


def _in_words(given: Sequence[Any], wanted: Sequence[Any], wrong: int) -> str:
    """No slip has these answers: the key of what can be said all the same."""
    mine, right = plain(given[wrong]), plain(wanted[wrong])
    pairs = list(_pairs(given, wanted))
    changing = not all(same(wanted[wrong], other) for other in wanted)
    if given[wrong] is None:
        return "returns-none"
    if not finite(given[wrong]):
        return "nan"
    if isinstance(given[wrong], nn.Module) or callable(given[wrong]):
        return "returns-callable"
    if changing and all(same(mine, other) for other in given):
        return "constant"
    for key, relation in RELATIONS.items():
        related = [relation(plain(one)) for one in wanted]
        if None not in [one if one is None else 0 for one in related] and all(map(same, given, related)):
            if not all(map(same, wanted, related)):
                return key
    if all(isinstance(one, list) and isinstance(two, list) and len(one) == len(two) + 1 for one, two in pairs):
        return "one-value-more"
    if isinstance(wanted[wrong], Tensor) and not isinstance(given[wrong], Tensor):
        return "not-a-tensor"
    if isinstance(wanted[wrong], Tensor) and given[wrong].shape != wanted[wrong].shape:
        lost = [n for n in wanted[wrong].shape if n != 1] == [n for n in given[wrong].shape if n != 1]
        return "batch-axis-lost" if lost and given[wrong].ndim < wanted[wrong].ndim else "wrong-shape"
    if isinstance(right, list) and not isinstance(mine, list):
        return "not-a-list"
    if isinstance(right, list) and len(mine) != len(right):
        return "wrong-length"
    if isinstance(right, bool) and all(
        type(mine) in (bool, int, float, str) and bool(mine) == right for mine, right in _pairs(given, wanted)
    ):
        return "not-a-bool"
    if all(map(same, map(whole, given), wanted)):
        return "a-float"
    if not isinstance(right, Integral) and all(same(*pair, 0.03) for pair in _pairs(given, wanted)):
        return "nearly"
    return "wrong-values" if isinstance(wanted[wrong], Tensor) else "wrong-value"


def _pairs(given: Sequence[Any], wanted: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return ((plain(mine), plain(right)) for mine, right in zip(given, wanted, strict=True))


def difference(case: Sequence[Any], given: Any, wanted: Any) -> dict[str, object]:
    """What the texts can quote."""
    facts: dict[str, object] = {"case": describe(case), "given": show(given), "got": kind(given)}
    if isinstance(wanted, Tensor) and isinstance(given, Tensor):
        facts |= {"given_shape": tuple(given.shape), "wanted_shape": tuple(wanted.shape)}
        if given.shape == wanted.shape and given.numel():
            far = (given.detach() * 1 - wanted.detach()).abs() > tolerance(wanted)
            facts["share"] = f"{far.float().mean().item():.0%}"
    elif isinstance(plain(given), list) and isinstance(plain(wanted), list):
        facts |= {"yours": len(plain(given)), "right": len(plain(wanted))}
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
    return repr(value)[:60] if isinstance(value, (int, str, type(None))) else f"a value of type {kind(value)}"


def plain(value: Any) -> Any:
    """Numbers and lists out of what may carry them: arrays, small tensors, ranges."""
    if isinstance(value, (np.ndarray, np.generic)) or (isinstance(value, Tensor) and value.ndim <= 1):
        return value.tolist()
    if isinstance(value, (list, tuple, range)):
        return [plain(item) for item in value[:LONG]]
    return value


def whole(value: Any) -> Any:
    """Ints in the place of floats that have no fraction."""
    value = plain(value)
    if isinstance(value, list):
        return [whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _numbers(value: Any) -> Any:
    """A list of floats out of tensors, arrays and dictionaries that hold them; None where that is no list."""
    value = list(value.values()) if isinstance(value, dict) else value
    value = plain(value.detach() if isinstance(value, Tensor) else value)
    return [float(one) for one in value] if isinstance(value, list) and all(map(_is_number, value)) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) or (isinstance(value, Tensor) and value.numel() == 1)


def same(given: Any, wanted: Any, relative: float = 1e-4, plain_only: bool = False) -> bool:
    """Equal up to rounding. Where an int is wanted, a float is not one; a bool is wanted only for a bool."""
    if isinstance(wanted, Tensor):
        return isinstance(given, Tensor) and close(given, wanted, relative)
    given = given if plain_only else plain(given)
    if isinstance(wanted, (list, tuple)):
        if not isinstance(given, (list, tuple)) or len(given) != len(wanted):
            return False
        return all(same(*pair, relative, plain_only) for pair in zip(given, wanted, strict=True))
    if isinstance(wanted, dict):
        matching = isinstance(given, dict) and given.keys() == wanted.keys()
        return matching and all(same(given[key], wanted[key]) for key in wanted)
    if isinstance(wanted, bool) or not isinstance(wanted, Real):
        return type(given) is type(wanted) and bool(given == wanted)
    if isinstance(wanted, Integral):
        return isinstance(given, Integral) and not isinstance(given, bool) and int(given) == int(wanted)
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
    """A tensor that can be calculated with, as a plain one."""
    if not isinstance(value, Tensor):
        return value
    odd = {
        f"its layout is {value.layout}": value.layout != torch.strided,
        f"it is on the device {value.device}": value.device.type != "cpu",
        "its numbers are complex": value.is_complex(),
        f"its shape is {tuple(value.shape)}": value.numel() > MANY,
    }
    if what := next((what for what, so in odd.items() if so), ""):
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


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Normal noise that is the same in every run."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), device="cpu")


def gradients_of(total: Tensor, leaves: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The derivatives of `total`; zeros where it does not depend. A Mistake where autograd cannot go back."""
    try:
        return torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
    except RuntimeError as error:
        raise Mistake("in-place" if "inplace" in str(error) else "no-gradient") from None
