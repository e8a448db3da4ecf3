"""Compare what a learner's function did with what the right one does, and wrong ones that have names."""

from ast import literal_eval
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import permutations
from math import isfinite
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from resnet_lib.teaching.checking.sandbox import Guard, call
from resnet_lib.teaching.checking.words import Mistake, describe, kind

Exercise = Any  # the class of exercise.py, which imports this file
MANY, LONG = 1_000_000, 10_000  # numbers in a tensor and in a list: no answer holds so many


@dataclass(frozen=True)
class Answer:
    """What a function did in one case."""

    value: Any = None
    error: Mistake | None = None
    effects: Sequence[Mistake] = ()  # what it did to its arguments
    gradients: tuple[Tensor, ...] | Mistake | None = None
    copy: Any = None  # what would be compared of a net that it returned in the place of the one handed over


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
        if exercise.problem and (mistake := exercise.problem(given, before, args)):
            return Answer(error=mistake)
        if exercise.view:
            return Answer(exercise.view(given, args), effects=guard.changes(exercise.ignores))
    except Mistake as mistake:
        if mistake.keys[0] in ("signature", "forgets-self", "misspelt-method"):
            raise
        return Answer(error=mistake)
    if exercise.problem:
        return Answer()
    effects = guard.changes(exercise.ignores)
    if exercise.changes:
        another = isinstance(given, nn.Module) and given is not args[0]
        left = [call(exercise.changes, net, doing="the net that it leaves") for net in (args[0], given)[: 1 + another]]
        return Answer(left[0], effects=effects, copy=left[-1] if another else None)
    given = honest(given)
    return Answer(given, effects=effects, gradients=_gradients(given, leaves))


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
    errors = [one.error for one in given if one.error]
    if errors and (exercise.problem or len(errors) == len(given)):
        raise errors[0]
    for right in (exercise.right, *exercise.also):
        known = _known(exercise, right)
        if all(same(mine.value, one.value) and not mine.error for mine, one in zip(given, known, strict=True)):
            _judge_the_rest(exercise, given, known)
            return exercise.praise
    wanted = _known(exercise, exercise.right)
    wrong = [n for n, one in enumerate(given) if one.error or not same(one.value, wanted[n].value)]
    mistake = _diagnosis(exercise, given, wanted, wrong)
    facts = difference(exercise.cases[wrong[0]], given[wrong[0]].value, wanted[wrong[0]].value)
    mistake.evidence = facts | mistake.evidence
    raise mistake


def _known(exercise: Exercise, function: Callable[..., Any]) -> Sequence[Answer]:
    """What a right or wrong answer does in each case. It is the same whoever the learner is, so it is kept."""
    if function not in exercise.known:
        exercise.known[function] = [answer(exercise, function, case) for case in exercise.cases]
    return exercise.known[function]


def _alike(mine: Answer, slips: Answer) -> bool:
    if mine.error or slips.error:
        return bool(mine.error and slips.error) and mine.error.keys == slips.error.keys  # type: ignore[union-attr]
    return same(mine.value, slips.value, strict=False)


def _judge_the_rest(exercise: Exercise, given: Sequence[Answer], wanted: Sequence[Answer]) -> None:
    """The values are right: are the types, the gradients and what became of the arguments?"""
    for case, mine, right in zip(exercise.cases, given, wanted, strict=True):
        facts = difference(case, mine.value, right.value)
        if exercise.floats and not _is_plain(mine.value):
            raise Mistake("tensors-for-floats", **facts)
        if isinstance(right.value, Tensor) and mine.value.dtype != right.value.dtype:
            raise Mistake("wrong-dtype", dtype=str(mine.value.dtype).removeprefix("torch."), **facts)
        if effect := _effect(mine, right):
            raise effect
        if isinstance(mine.gradients, Mistake):
            raise mine.gradients
        if isinstance(right.gradients, tuple) and not all(
            close(*pair, 1e-3) for pair in zip(mine.gradients or (), right.gradients, strict=True)
        ):
            raise Mistake("gradient", **facts)


def _effect(mine: Answer, right: Answer) -> Mistake | None:
    """What became of the arguments that the right answer leaves alone."""
    asked_for = {one.keys for one in right.effects}
    return next((one for one in mine.effects if one.keys not in asked_for), None)


def _is_plain(value: Any) -> bool:
    return all(map(_is_plain, value)) if isinstance(value, (list, tuple)) else isinstance(value, Real)


def _diagnosis(exercise: Exercise, given: Sequence[Answer], wanted: Sequence[Answer], wrong: Sequence[int]) -> Mistake:
    """The exercise's own name for the mistake, or what can be said all the same."""
    mine, right = [one.value for one in given], [one.value for one in wanted]
    if exercise.changes and all(map(same, [one.copy for one in given], right)):
        return Mistake("changes-a-copy")
    if exercise.changes and all(map(same, mine, [exercise.changes(case[0]) for case in exercise.cases])):
        return Mistake("nothing-changed")
    for some in {len(given): 0, len(exercise.known["cases"]): 0}:  # without the traps, if it is wrong elsewhere too
        for slip, bad in exercise.each_wrong():
            if wrong[0] < some and all(map(_alike, given[:some], _known(exercise, bad)[:some])):
                return Mistake(*slip.keys)
    if error := given[wrong[0]].error:
        return error
    if effect := next(filter(None, map(_effect, given, wanted)), None):
        return effect
    if exercise.view:
        return _of_part(exercise, mine, right, wrong[0])
    return Mistake("changed-wrongly") if exercise.changes else _in_words(mine, right, wrong)


def _of_part(exercise: Exercise, mine: Sequence[Any], right: Sequence[Any], wrong: int) -> Mistake:
    """The slip that gives the same in the first part of what counts that is wrong, or the name of the part."""
    part = next(part for part in right[wrong] if not same(mine[wrong][part], right[wrong][part]))
    for slip, bad in exercise.each_wrong():
        others = _known(exercise, bad)
        if all(same((a or {}).get(part), (b.value or {}).get(part)) for a, b in zip(mine, others, strict=True)):
            return Mistake(*slip.keys)
    return Mistake(part)


# What can be said about answers that no slip gives. It has to hold in every case; the first that fits is told.


def _as_it_is(value: Any) -> Any:
    return value


# By key: what has to be done to the value returned and to the right one for both to be the same.
RELATIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "nested": (_as_it_is, lambda right: [right]),
    "reversed": (_as_it_is, lambda right: right[::-1]),
    "reordered": (sorted, sorted),
    "first-missing": (_as_it_is, lambda right: right[1:]),
    "last-missing": (_as_it_is, lambda right: right[:-1]),
    "last-for-all": (_as_it_is, lambda right: right[-1]),
    "first-for-all": (_as_it_is, lambda right: right[0]),
    "summed": (_as_it_is, sum),
    "count-for-list": (_as_it_is, len),
    "all-for-last": (lambda mine: mine[-1], _as_it_is),
    "all-for-first": (lambda mine: mine[0], _as_it_is),
    "not-summed": (sum, _as_it_is),
    "not-averaged": (lambda mine: sum(mine) / len(mine), _as_it_is),
    "list-for-count": (len, _as_it_is),
    "a-string": (literal_eval, _as_it_is),
}
# By key: what may have been done to the right numbers.
NUMBERS: tuple[tuple[str, Callable[[Tensor], Tensor]], ...] = (
    ("twice-too-large", lambda right: 2 * right),
    ("half", lambda right: right / 2),
    ("negative", torch.neg),
    ("percent", lambda right: 100 * right),
    ("hundredth", lambda right: right / 100),
    ("complement", lambda right: 1 - right),
    ("reciprocal", torch.reciprocal),
    ("squared", torch.square),
    ("root", torch.sqrt),
    ("logarithm", torch.log),
    ("positive-part", torch.relu),
    ("absolute", torch.abs),
    ("fraction-lost", torch.floor),
    *(("rounded", lambda right, digits=digits: right.round(decimals=digits)) for digits in range(5)),
)


def _in_words(given: Sequence[Any], wanted: Sequence[Any], wrong: Sequence[int]) -> Mistake:
    """What can be said where no slip has these answers."""
    one, two = given[wrong[0]], wanted[wrong[0]]
    mine, right = list(map(plain, given)), list(map(plain, wanted))
    if one is None:
        return Mistake("returns-none")
    if not finite(one):
        return Mistake("nan")
    if isinstance(one, nn.Module) or callable(one):
        return Mistake("returns-callable")
    if not all(same(two, other) for other in wanted) and all(same(mine[wrong[0]], other) for other in given):
        return Mistake("constant")
    return (
        _of_axes(given, wanted)
        or _of_lists(mine, right)
        or _of_numbers(mine, right)
        or _of_kind(one, two)
        or Mistake(_unlike(mine, right, wrong))
    )


def _unlike(mine: Sequence[Any], right: Sequence[Any], wrong: Sequence[int]) -> str:
    two = right[wrong[0]]
    if not isinstance(two, Integral) and all(same(*pair, 0.03) for pair in zip(mine, right, strict=True)):
        return "nearly"
    if len(wrong) == 1 and len(mine) > 2:
        return "one-case"
    return "wrong-values" if isinstance(two, Tensor) else "wrong-value"


def _of_lists(mine: Sequence[Any], right: Sequence[Any]) -> Mistake | None:
    """A list for one of its values, or the other way round, or in another order."""

    def alike(change: Callable[[Any], Any], other: Callable[[Any], Any]) -> bool:
        try:
            return all(map(same, map(change, mine), map(other, right)))
        except (TypeError, ValueError, IndexError, SyntaxError, RuntimeError):
            return False  # these are no lists, or not of numbers

    known = all(isinstance(value, (list, int, float, str)) for value in mine) and not isinstance(right[0], (str, bool))
    return next((Mistake(key) for key, both in RELATIONS.items() if known and alike(*both)), None)


def _of_numbers(given: Sequence[Any], wanted: Sequence[Any]) -> Mistake | None:
    """A simple relation of all numbers to the right ones."""
    try:
        pairs = list(_number_pairs(given, wanted))
    except ValueError:
        return None
    whole = all(isinstance(number, Integral) for number in tree_leaves(wanted))
    mine, right = torch.tensor(pairs, dtype=torch.float64).view(-1, 2).unbind(1)

    def fits(other: Tensor) -> bool:
        return bool(torch.isclose(mine, other, rtol=1e-3, atol=1e-6 * float(right.abs().max())).all())

    if not len(pairs):
        return None
    if fits(right):
        return Mistake("a-float") if whole else None
    if len(right.unique()) < 2:
        return None  # one number stands in any relation
    if fits(right + (off := (mine - right).median())):
        if whole and abs(off) == 1:
            return Mistake("one-too-many" if off > 0 else "one-too-few")
        return Mistake("off-by", amount=f"{float(off.abs()):.4g} too {'large' if off > 0 else 'small'}")
    if found := next((key for key, change in NUMBERS if fits(change(right))), None):
        return Mistake(found)
    factor = (mine / right)[right != 0].median()
    return Mistake("wrong-factor", factor=f"{float(factor):.4g}") if fits(factor * right) and factor != 0 else None


def _number_pairs(mine: Any, right: Any) -> Iterator[tuple[float, float]]:
    """All numbers of two values that are built alike; ValueError where they are not."""
    if isinstance(mine, Tensor) and isinstance(right, Tensor) and mine.shape == right.shape:
        yield from zip(mine.flatten().tolist(), right.flatten().tolist(), strict=True)
    elif isinstance(mine, (list, tuple)) and isinstance(right, (list, tuple)):
        for pair in zip(mine, right, strict=True):
            yield from _number_pairs(*pair)
    elif {bool, str} & {type(mine), type(right)} or not (isinstance(mine, Real) and isinstance(right, Real)):
        raise ValueError("no numbers, or not as many")
    else:
        yield float(mine), float(right)


def _of_axes(given: Sequence[Any], wanted: Sequence[Any]) -> Mistake | None:
    """The axes of all tensors in the same other order, or one of them turned round."""
    if not all(isinstance(value, Tensor) and value.ndim == wanted[0].ndim for value in (*wanted, *given)):
        return None

    def gives(change: Callable[[Tensor], Tensor], of: Sequence[Tensor] = given) -> bool:
        return all(map(same, of, map(change, wanted)))

    for axes in permutations(range(wanted[0].ndim)):
        if gives(lambda right, axes=axes: right.permute(axes)):
            return Mistake("axes-permuted", axes=axes)
    for axis in range(wanted[0].ndim):
        if gives(lambda right, axis=axis: right.flip(axis)):
            return Mistake("flipped", axis=axis)
    return Mistake("reordered") if gives(_in_order, list(map(_in_order, given))) else None


def _in_order(tensor: Tensor) -> Tensor:
    return tensor.flatten().sort().values


KINDS: tuple[tuple[str, type], ...] = (
    ("not-a-tensor", Tensor),
    ("not-a-list", list),
    ("not-a-dict", dict),
    ("not-a-string", str),
    ("not-a-bool", bool),
    ("not-a-number", Real),
)


def _of_kind(mine: Any, right: Any) -> Mistake | None:
    """Another kind of thing, or of another size."""
    mine, right = (value if isinstance(right, Tensor) else plain(value) for value in (mine, right))
    for key, wanted in KINDS:
        if isinstance(right, wanted):
            if not isinstance(mine, wanted):
                return Mistake(key)
            break
    if isinstance(right, Tensor) and mine.shape != right.shape:
        alike = [size for size in mine.shape if size != 1] == [size for size in right.shape if size != 1]
        axes = "batch-axis-lost" if mine.ndim < right.ndim else "axis-too-many"
        return Mistake(axes if alike and mine.ndim != right.ndim else "wrong-shape")
    if isinstance(right, list) and len(mine) != len(right):
        return Mistake("one-value-more" if len(mine) == len(right) + 1 else "wrong-length")
    if isinstance(right, dict):
        missing, extra = ([*one.keys() - two.keys()] for one, two in ((right, mine), (mine, right)))
        shown = {
            name: ", ".join(map(show, keys[:3])) or "none" for name, keys in (("missing", missing), ("extra", extra))
        }
        return Mistake("wrong-keys", **shown) if missing or extra else Mistake("wrong-entry")
    return None


def difference(case: Sequence[Any], given: Any, wanted: Any) -> dict[str, object]:
    """What the texts can quote."""
    facts: dict[str, object] = {"case": describe(case), "given": show(given), "got": kind(given)}
    if isinstance(plain(given), (int, float, str, list)) and len(f"{facts['case']}{facts['given']}") < 80:
        facts["example"] = f"For {facts['case']} it returns {facts['given']}."
    if isinstance(wanted, Tensor) and isinstance(given, Tensor):
        facts |= {"given_shape": tuple(given.shape), "wanted_shape": tuple(wanted.shape)}
        if given.shape == wanted.shape and given.numel():
            far = (given.detach() * 1 - wanted.detach()).abs() > tolerance(wanted)
            facts["share"] = f"{far.float().mean().item():.0%}"
    elif isinstance(plain(given), list) and isinstance(plain(wanted), list):
        facts |= {"yours": len(plain(given)), "right": len(plain(wanted))}
    elif isinstance(wanted, dict) and isinstance(given, dict):
        names = [name for name in wanted if name not in given or not same(given[name], wanted[name])]
        facts |= {"name": next(iter([*names, *given]), ""), "count": len(names)}
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


def same(given: Any, wanted: Any, relative: float = 1e-4, strict: bool = True) -> bool:
    """Equal up to rounding. Where an int is wanted, a float is not one if it is strict; only a bool is a bool."""
    if isinstance(wanted, Tensor):
        return isinstance(given, Tensor) and close(given, wanted, relative)
    given = given if isinstance(given, (list, tuple, range)) else plain(given)
    if isinstance(wanted, (list, tuple)):
        if not isinstance(given, (list, tuple, range)) or len(given) != len(wanted):
            return False
        return all(same(*pair, relative, strict) for pair in zip(given, wanted, strict=True))
    if isinstance(wanted, dict):
        matching = isinstance(given, dict) and given.keys() == wanted.keys()
        return matching and all(same(given[key], wanted[key], relative, strict) for key in wanted)
    if isinstance(wanted, bool) or not isinstance(wanted, Real):
        return type(given) is type(wanted) and bool(given == wanted)
    if strict and isinstance(wanted, Integral):
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
    if value.device.type != "cpu" or value.layout != torch.strided or value.is_complex() or value.numel() > MANY:
        what = f"{value.dtype}, {value.layout}, of shape {tuple(value.shape)}, on {value.device}"
        raise Mistake("odd-tensor", given=what.replace("torch.", ""))
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
