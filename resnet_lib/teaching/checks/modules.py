"""Compare a learner's module with the library's under the same weights, and with wrong ones that have names."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from copy import copy, deepcopy
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import nn

from resnet_lib.models.blocks import Block
from resnet_lib.teaching.checks.edits import Edit, Edits
from resnet_lib.teaching.checks.engine import Mistake, call, wanted_signature
from resnet_lib.teaching.checks.facts import counts_of, facts_of, first_that_ran
from resnet_lib.teaching.checks.functions import each
from resnet_lib.teaching.checks.matching import agreement, shapes_of
from resnet_lib.teaching.checks.observe import Case, Seen, built, observe, shape_of, weightless
from resnet_lib.teaching.checks.room import own_work, rest

Shapes = Counter[tuple[int, ...]]
Make = Callable[[Case, Sequence[Edit]], nn.Module | None]
FOREIGN = {  # functions that none of the course's blocks calls, by the key of the mistake
    "dropout": "dropout",
    "other-norm": "group_norm|instance_norm|layer_norm|rms_norm",
    "other-activation": "leaky_relu|prelu|rrelu|elu|selu|celu|gelu|silu|mish|hardswish|relu6|softplus|sigmoid|tanh",
    "ends-in-softmax": "softmax",
}
_shapes_of_slips: dict[tuple[str, str], list[Shapes | None]] = {}  # by exercise and case: they never change


class Slip(NamedTuple):
    """One way to make one mistake."""

    keys: list[str]
    edit: Edit
    shapes: Shapes | None  # of the weights in the first case; None where it cannot be made there

    @property
    def rank(self) -> int:
        return {"": 0, "residual": 1, "forward": 2}[getattr(self.edit, "method", "")]


def compare_modules(
    build: Any,
    cases: Sequence[Case],
    reference: Callable[..., nn.Module],
    slips: Edits,
    *,
    net: bool = False,
    pairs: bool = True,
) -> str:
    """Praise if what `build` makes equals what `reference` makes in all cases; else a Mistake, by name if it has one.

    net=True is for large nets: of the gradients only the input's, built without memory as long as that will do, one
    slip at a time.
    """
    make = partial(_edited, reference, net, {})
    if net:
        _weigh(build, cases[0], make, slips)
    seen = [observe(build, case, net=net) for case in cases]
    rest()
    rights = [make(case, []) for case in cases]
    if any(shapes_of(right) and not one.parameters for one, right in zip(seen, rights, strict=True)):
        raise Mistake("no-parameters")
    facts: dict[str, object] = {}
    misfits = all(one.misfit for one in seen if one.error)  # other errors have nothing to do with the architecture
    known = Counter(map(shape_of, seen[0].parameters))
    for every in (False, True):  # orders; the unlikely ones last, since they take long
        found = _agreements(seen, rights, net, every)
        if set(found) == {"yes"}:
            count = sum(p.numel() for p in seen[0].parameters)
            shapes = f"{len(cases)} shapes" if len(cases) > 1 else "one shape"
            also = "" if net else " and gradients"
            return f"{shapes}, train and eval mode: outputs{also} equal the library's. Parameters here: {count:,}."
        facts = facts or facts_of(first_that_ran(seen), reference, net)
        if set(found) <= {"yes", "gradient"}:
            raise Mistake("gradient-differs", **facts)
        if not every and misfits:
            fitting = [slip for slip in _slips(slips, cases[0], make) if slip.shapes == known]
            _name(seen, ((slip.keys, [slip.edit]) for slip in fitting), make, net, facts)
    if any(one.idle for one in seen):
        if set(_agreements([one.without_idle() for one in seen], rights, net, True)) == {"yes"}:
            raise Mistake("unused-layer", **facts)
    for key, pattern in FOREIGN.items():
        if any(
            re.fullmatch(rf"(feature_|alpha_|log_)?({pattern})(\dd)?_?", name) for one in seen for name in one.calls
        ):
            raise Mistake(key)
    if pairs and not net and misfits:
        _name(seen, _pairs(_slips(slips, cases[0], make), known, shapes_of(make(cases[0], []))), make, net, facts)
    raise _in_words(seen, found, facts)


def _agreements(seen: Sequence[Seen], rights: Sequence[nn.Module | None], net: bool, every: bool) -> list[str]:
    return [agreement(*two, net=net, gradients=True, every=every) for two in zip(seen, rights, strict=True)]


def _weigh(build: Any, case: Case, make: Make, slips: Edits) -> None:
    """The weights of a large net are counted before any is filled: some mistakes show in their shapes alone."""
    with weightless():
        try:
            mine = built(build, case)
        except Mistake as mistake:
            if mistake.keys == ("raises",):
                return  # not every code can be built without memory
            raise
    with own_work():
        right, shapes = make(case, []), shapes_of(mine)
        if right is None or shapes == shapes_of(right):
            return
        named = {tuple(slip.keys) for slip in _slips(slips, case, make) if slip.shapes == shapes}
    counts = counts_of(list(mine.parameters()), list(right.parameters()))
    if len(named) < 2:  # several have to be run
        if shapes and not named:
            with weightless(), torch.no_grad():
                call(mine, torch.zeros(case.shape))
        raise Mistake(*(named.pop() if named else ["parameters" if shapes else "no-parameters"]), **counts)


def _slips(slips: Edits, case: Case, make: Make) -> list[Slip]:
    every = [(key.split(", "), edit) for key, edit in each(slips)]
    name = wanted_signature(), repr(case.args)
    if name not in _shapes_of_slips:
        modules = (make(case, [edit]) for _, edit in every)
        _shapes_of_slips[name] = [None if module is None else shapes_of(module) for module in modules]
    return [Slip(keys, edit, shapes) for (keys, edit), shapes in zip(every, _shapes_of_slips[name], strict=True)]


def _name(seen: Sequence[Seen], candidates: Iterable[Any], make: Make, net: bool, facts: Mapping[str, Any]) -> None:
    """Raise the first of the (keys, edits) that do what the learner's module does."""
    for keys, edits in candidates:
        if all(agreement(one, make(one.case, edits), net=net) == "yes" for one in seen):
            raise Mistake(*keys, **facts)


def _pairs(slips: Iterable[Slip], mine: Shapes, right: Shapes) -> Iterator[tuple[list[str], list[Edit]]]:
    """Two mistakes at a time, layers first. Of two formulas for the same thing only one can be; two mistakes of which
    one alone changes the weights have that one's."""
    ways = Counter[str]()
    few = []
    for slip in slips:
        ways[slip.keys[0]] += 1
        if slip.shapes is not None and ways[slip.keys[0]] < 5:
            few.append(slip)
    for one, two in combinations(sorted(few, key=lambda slip: slip.rank), 2):
        changed = [slip.shapes for slip in (one, two) if slip.shapes != right] or [right]
        fits = len(changed) == 2 or changed[0] == mine
        if fits and one.keys != two.keys and (one.rank == 0 or one.rank != two.rank):
            yield list(dict.fromkeys([*one.keys, *two.keys])), [one.edit, two.edit]


def _edited(
    reference: Callable[..., nn.Module], net: bool, built: dict[int, nn.Module], case: Case, edits: Sequence[Edit]
) -> nn.Module | None:
    """The reference with mistakes made in it; a large net without memory, which the learner's weights will bring."""
    try:
        with weightless() if net else nullcontext():
            if id(case) not in built:
                built[id(case)] = reference(*deepcopy(case.args))
            module = _twin(built[id(case)])
            for edit in edits:
                module = edit(module) or module
    except (AttributeError, TypeError, ValueError, KeyError, IndexError):
        return None  # this mistake cannot be made here
    for part in module.modules():
        if isinstance(part, Block):
            setattr(part, "add", torch.add)  # noqa: B010 - where it fails, the shapes are those of any sum
    return module


def _twin(module: nn.Module) -> nn.Module:
    """The same tensors in modules of its own: built in a tenth of the time."""
    twin = copy(module)
    twin._parameters, twin._buffers = module._parameters.copy(), module._buffers.copy()
    twin._modules = {name: part if part is None else _twin(part) for name, part in module._modules.items()}
    return twin


def _in_words(seen: Sequence[Seen], results: Sequence[str], facts: Mapping[str, Any]) -> Mistake:
    """No name fits: say where the first difference is."""
    bad = next(i for i, result in enumerate(results) if result != "yes")
    if (error := next((one.error for one in seen if one.error), None)) is not None:
        return error
    if not seen[bad].steady:
        return Mistake("unsteady", **facts)
    if results[bad] == "parameters":
        return Mistake("parameters", **facts)
    if facts.get("given_shape") != facts.get("wanted_shape"):
        return Mistake("wrong-shape", **facts)
    if results[bad] == "eval":
        return Mistake("eval-differs", **facts)
    return Mistake("layers" if facts.get("given_layers") != facts.get("wanted_layers") else "order", **facts)
