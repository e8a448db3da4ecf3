"""Compare what a learner's function did with what the right one does, and wrong ones that have names."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from numbers import Real
from typing import Any

from torch import Tensor, nn

from resnet_lib.teaching.checking.relations import in_words, relation
from resnet_lib.teaching.checking.sandbox import Guard, call
from resnet_lib.teaching.checking.values import close, gradients_of, honest, plain, same, tolerance
from resnet_lib.teaching.checking.words import Mistake, describe, kind, show

Exercise = Any  # the class of exercise.py, which imports this file


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
            value, copy = call(exercise.view, given, args, doing="what it leaves"), None
            if isinstance(given, nn.Module) and type(given) is type(args[0]) and given is not args[0]:
                copy = call(exercise.view, None, [given], doing="what it returns")
            return Answer(value, effects=guard.changes(exercise.ignores), copy=copy)
    except Mistake as mistake:
        if mistake.keys[0] in ("signature", "forgets-self", "misspelt-method"):
            raise
        return Answer(error=mistake)
    if exercise.problem:
        return Answer()
    given = honest(given)
    return Answer(given, effects=guard.changes(exercise.ignores), gradients=_gradients(given, leaves))


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
    try:
        return gradients_of(result, leaves)
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
    facts = difference(exercise.cases[wrong[0]], given[wrong[0]].value, wanted[wrong[0]].value)
    mistake = _diagnosis(exercise, given, wanted, wrong, facts)
    if order := mistake.evidence.get("order"):  # of axes
        names: Sequence[str] = exercise.axes or [f"axis {n}" for n in range(given[wrong[0]].value.ndim)]
        facts |= {"wanted_axes": ", ".join(names), "axes": ", ".join(names[n] for n in order), "axis": names[order[0]]}
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


def _diagnosis(
    exercise: Exercise, given: Sequence[Answer], wanted: Sequence[Answer], wrong: Sequence[int], facts: dict[str, Any]
) -> Mistake:
    """The exercise's own name for the mistake, or what can be said all the same."""
    mine, right = [one.value for one in given], [one.value for one in wanted]
    if all(one.copy and same(one.copy, wanted) for one, wanted in zip(given, right, strict=True)):
        return Mistake("changes-a-copy")
    before = [exercise.changes(case[0]) for case in exercise.cases] if exercise.changes else []
    if before and all(map(same, mine, before)):
        return Mistake("nothing-changed")
    for some in {len(given): 0, len(exercise.known["cases"]): 0}:  # without the traps, if it is wrong elsewhere too
        for slip, bad in exercise.each_wrong():
            if wrong[0] < some and all(map(_alike, given[:some], _known(exercise, bad)[:some])):
                return Mistake(*slip.keys)
    if error := given[wrong[0]].error:
        return error
    if effect := next(filter(None, map(_effect, given, wanted)), None):
        return effect
    if exercise.changes:
        now, should, was = (values[wrong[0]].get(facts["name"]) for values in (mine, right, before))
        how = "what it was before" if same(now, was) else "changed and should not be" if same(should, was) else "wrong"
        found = relation([now], [should]) or Mistake()
        return Mistake("changed-wrongly", *found.keys, how=how, **found.evidence)
    return _of_part(exercise, mine, right, wrong[0]) if exercise.view else in_words(mine, right, wrong)


def _of_part(exercise: Exercise, mine: Sequence[Any], right: Sequence[Any], wrong: int) -> Mistake:
    """The slip that gives the same in the first part of what counts that is wrong, or the name of the part."""
    part = next(part for part in right[wrong] if not same(mine[wrong][part], right[wrong][part]))
    for slip, bad in exercise.each_wrong():
        others = _known(exercise, bad)
        if all(same((a or {}).get(part), (b.value or {}).get(part)) for a, b in zip(mine, others, strict=True)):
            return Mistake(*slip.keys)
    if part in exercise.texts:
        return Mistake(part)
    given, wanted = ([(value or {}).get(part) for value in values] for values in (mine, right))
    mistake = in_words(given, wanted, [n for n, pair in enumerate(zip(given, wanted, strict=True)) if not same(*pair)])
    mistake.evidence = difference(exercise.cases[wrong], given[wrong], wanted[wrong]) | mistake.evidence
    return mistake


def difference(case: Sequence[Any], given: Any, wanted: Any) -> dict[str, Any]:
    """What the texts can quote."""
    shown = show(given if getattr(given, "ndim", 0) > 1 else plain(given))
    facts: dict[str, Any] = {"case": describe(case), "given": shown, "got": kind(given)}
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
