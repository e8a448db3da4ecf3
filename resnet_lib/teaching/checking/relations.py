"""What can be said about wrong values that no slip gives: a relation to the right ones that holds in every case."""

from ast import literal_eval
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import permutations
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from resnet_lib.teaching.checking.values import finite, plain, same
from resnet_lib.teaching.checking.words import Mistake, show


def _as_it_is(value: Any) -> Any:
    return value


# By key: what has to be done to the value returned and to the right one for both to be the same.
RELATIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "nested": (_as_it_is, lambda right: [right]),
    "reversed": (_as_it_is, lambda right: right[::-1]),
    "sorted": (lambda mine: mine if mine[0] <= mine[-1] else mine[::-1], sorted),
    "reordered": (sorted, sorted),
    "each-wrapped": (lambda mine: [one[-1] for one in mine], _as_it_is),
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
    ("negative", torch.neg),
    ("percent", lambda right: 100 * right),
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


def in_words(given: Sequence[Any], wanted: Sequence[Any], wrong: Sequence[int]) -> Mistake:
    """What can be said where no slip has these answers."""
    one, two = given[wrong[0]], wanted[wrong[0]]
    mine, right = list(map(plain, given)), list(map(plain, wanted))
    if one is None:
        return Mistake("returns-none")
    if not finite(one):
        return Mistake("nan")
    if isinstance(one, nn.Module) or callable(one):
        return Mistake("returns-callable")
    if isinstance(one, (list, dict)) and sum(one is other for other in given) > 1:
        return Mistake("same-object")
    if not all(same(two, other) for other in wanted) and all(same(mine[wrong[0]], other) for other in given):
        return Mistake("constant")
    return relation(given, wanted) or _of_kind(one, two) or Mistake(_unlike(mine, right, wrong))


def relation(given: Sequence[Any], wanted: Sequence[Any]) -> Mistake | None:
    """What was done to the right values, in every case."""
    for mine, right in zip(given, wanted, strict=True):
        if any(isinstance(right, one) and not isinstance(mine, one) for one in (Tensor, dict)):
            return None
    mine, right = list(map(plain, given)), list(map(plain, wanted))
    return _of_axes(given, wanted) or _of_lists(mine, right) or _of_numbers(mine, right)


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
        except (ArithmeticError, LookupError, TypeError, ValueError, SyntaxError, RuntimeError):
            return False  # these are no lists, or not of numbers

    known = all(isinstance(value, (list, int, float, str)) for value in mine) and not isinstance(right[0], (str, bool))
    return next((Mistake(key) for key, both in RELATIONS.items() if known and alike(*both)), None)


def _of_numbers(given: Sequence[Any], wanted: Sequence[Any]) -> Mistake | None:
    """A simple relation of all numbers to the right ones."""
    try:
        pairs = list(_number_pairs(given, wanted))
    except (ValueError, OverflowError):
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
        if gives(partial(torch.permute, dims=axes)):
            return Mistake("axes-permuted", order=axes)
    for axis in range(wanted[0].ndim):
        if gives(partial(torch.flip, dims=(axis,))):
            return Mistake("flipped", order=[axis])
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
        return Mistake("wrong-length")
    if isinstance(right, dict):
        missing, extra = ([*one.keys() - two.keys()] for one, two in ((right, mine), (mine, right)))
        shown = {
            name: ", ".join(map(show, keys[:3])) or "none" for name, keys in (("missing", missing), ("extra", extra))
        }
        return Mistake("wrong-keys", **shown) if missing or extra else Mistake("wrong-entry")
    return None
