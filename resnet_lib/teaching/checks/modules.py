"""Compare a learner's module with the library's under the same weights, and with wrong ones that have names.

The learner may name and order the weights as they like. They are matched by shape: first in the order in which the
forward pass uses them, then in the order of construction, then in every order that fits.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from itertools import chain, islice, permutations, product
from typing import Any

import torch
from torch import Tensor, nn

from resnet_lib.teaching.checks.edits import Edit, Edits
from resnet_lib.teaching.checks.engine import Mistake
from resnet_lib.teaching.checks.facts import counts_of, facts_of, first_that_ran
from resnet_lib.teaching.checks.functions import close, each
from resnet_lib.teaching.checks.observe import Case, Seen, Trace, built, gradients_of, observe, shape_of

ORDERS = 2000  # at most so many matchings are tried


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

    net=True is for large nets: no gradients, built without memory as long as that will do, one slip at a time.
    """
    if net:
        _weigh(build, cases[0], reference, slips)
    seen = [observe(build, case, gradients=not net) for case in cases]
    expected = [_shapes(_edited(reference, one.case, [], net)) for one in seen]
    if any(wanted and not one.parameters for one, wanted in zip(seen, expected, strict=True)):
        raise Mistake("no-parameters")
    results = [agreement(one, _edited(reference, one.case, [], net), net=net, thorough=True) for one in seen]
    if set(results) == {"yes"}:
        count = sum(p.numel() for p in seen[0].parameters)
        shapes = f"{len(cases)} shapes" if len(cases) > 1 else "one shape"
        also = "" if net else " and gradients"
        return f"{shapes}, train and eval mode: outputs{also} equal the library's. Parameters here: {count:,}."
    right = _edited(reference, first_that_ran(seen).case, [], net)
    assert right is not None
    facts = facts_of(seen, right, net)
    for keys, edits in _candidates(slips, pairs and not net):
        telling, works = False, False
        for one, wanted in zip(seen, expected, strict=True):
            wrong = _edited(reference, one.case, edits, net)
            result = agreement(one, wrong, net=net)
            if result not in ("yes", "error"):
                break
            telling, works = telling or _shapes(wrong) != wanted, works or result == "yes"
        else:
            if telling or works:
                raise Mistake(*keys, **facts)
    _explain(seen, results, facts)
    raise AssertionError


def agreement(seen: Seen, wrong_or_right: nn.Module | None, *, net: bool = False, thorough: bool = False) -> str:
    """ "yes", or where the two part: "parameters", "train", "eval", "gradient". "error": both fail in this case."""
    module = wrong_or_right
    if module is None:
        return "parameters"
    parameters, case = list(module.parameters()), seen.case
    shapes = [shape_of(p) for p in parameters]
    if _shapes(module) != Counter(map(shape_of, seen.parameters)):
        return "parameters"
    try:
        trace = Trace(parameters)
        with torch.no_grad(), trace, torch.device(parameters[0].device if parameters else "cpu"):
            module.train()(case.input(1).to(parameters[0].device if parameters else "cpu"))
        if seen.error:
            return "train"
    except (RuntimeError, ValueError, TypeError, IndexError):
        return "error" if seen.error else "train"
    names = {id(p): name for name, p in module.named_parameters()}
    used = [*trace.used, *(i for i in range(len(shapes)) if i not in trace.used)]
    furthest = "train"
    slots = _slots(module, parameters)
    for order in _orders(seen, shapes, [names[id(p)] for p in parameters], used, net, thorough):
        values = [seen.parameters[order[place]].detach().view(parameters[place].shape) for place in range(len(shapes))]
        mine = [nn.Parameter(value) for value in values]
        for place, where in slots:
            for owner, name in where:
                owner._parameters[name] = mine[place]
        result = _plays_along(seen, module, mine, order, net, thorough)
        if result == "yes":
            return result
        furthest = max(furthest, result, key=["train", "eval", "gradient"].index)
    return furthest


def _plays_along(
    seen: Seen, module: nn.Module, mine: Sequence[Tensor], order: Mapping[int, int], net: bool, thorough: bool
) -> str:
    """With weights in place, does the module do what the learner's did?"""
    _start_statistics(module)
    for step, (train, seed) in enumerate(((True, 1), (True, 2), (False, 1))):
        with_gradients = thorough and step == 0 and bool(seen.gradients)
        x = seen.case.input(seed).requires_grad_(with_gradients)
        torch.manual_seed(step)
        with nullcontext() if with_gradients else torch.no_grad():
            output = module.train(train)(x.clone())
        if not close(seen.outputs[step], output, 2e-3 if net else 2e-4):
            return "eval" if step == 2 else "train"
        if with_gradients:
            found = gradients_of(output, [*mine, x])
            gradients = {order.get(place, -1): gradient for place, gradient in found.items()}
    if thorough and seen.gradients:
        for place, gradient in seen.gradients.items():
            if not close(gradient.flatten(), gradients[place].flatten(), 1e-2):
                return "gradient"
    return "yes"


def _orders(
    seen: Seen, shapes: Sequence[Any], names: Sequence[str], used: Sequence[int], net: bool, thorough: bool
) -> Iterator[dict[int, int]]:
    """Matchings {place here: place there}, the likely ones first, each once."""
    here, there = {}, {}
    for wanted in dict.fromkeys(shapes):
        here[wanted] = [place for place in used if shapes[place] == wanted]
        there[wanted] = [place for place in seen.used if shape_of(seen.parameters[place]) == wanted]

    def match(mine: Mapping[Any, Sequence[int]], theirs: Mapping[Any, Sequence[int]]) -> dict[int, int]:
        return {a: b for wanted in mine for a, b in zip(mine[wanted], theirs[wanted], strict=True)}

    # A learner may compute the shortcut first: then a block's `downsample` comes before its branch.
    block = [re.sub(r"(conv\d|bn\d|downsample)\b.*", "", name) for name in names]
    first = {prefix: used.index(next(p for p in used if block[p] == prefix)) for prefix in set(block)}
    turned = sorted(used, key=lambda p: (first[block[p]], "downsample" not in names[p], used.index(p)))
    likely = [
        match(here, there),
        match({wanted: [p for p in turned if shapes[p] == wanted] for wanted in here}, there),
        match({wanted: sorted(places) for wanted, places in here.items()}, {w: sorted(p) for w, p in there.items()}),
    ]
    every: Iterator[dict[int, int]] = iter(())
    if thorough and not net:
        groups = [
            [(wanted, order) for order in permutations(there[wanted])] for wanted in there if len(there[wanted]) < 8
        ]
        if len(groups) == len(there):
            every = (match(here, dict(choice)) for choice in product(*groups))
    tried: list[dict[int, int]] = []
    for order in islice(chain(likely, every), ORDERS):
        if order not in tried[:3]:
            tried.append(order)
            yield order


def _weigh(build: Any, case: Case, reference: Any, slips: Mapping[str, Any]) -> None:
    """The weights of a large net are counted before any is filled: some mistakes show in their shapes alone."""
    with torch.device("meta"):
        try:
            mine = _shapes(built(build, case))
        except Mistake as mistake:
            if mistake.keys == ("raises",):
                return  # not every code can be built without memory
            raise
        wanted = _shapes(reference(*case.args))
        if mine == wanted:
            return
        for key, edit in each(slips):
            wrong = _edited(reference, case, [edit], net=True)
            if wrong is not None and _shapes(wrong) == mine:
                raise Mistake(*key.split(", "), **counts_of(mine, wanted))
        raise Mistake("parameters" if mine else "no-parameters", **counts_of(mine, wanted))


def _candidates(slips: Mapping[str, Any], pairs: bool) -> Iterator[tuple[list[str], list[Edit]]]:
    """One mistake, then two at a time."""
    single = list(each(slips))
    for key, edit in single:
        yield key.split(", "), [edit]
    if pairs:
        for key, edit in single:
            for other, second in single:
                if other != key:
                    yield [*key.split(", "), *other.split(", ")], [edit, second]


def _edited(reference: Callable[..., nn.Module], case: Case, edits: Sequence[Edit], net: bool) -> nn.Module | None:
    """The reference with mistakes made in it; a large net without memory, which the learner's weights will bring."""
    try:
        with torch.device("meta") if net else nullcontext():
            module = reference(*deepcopy(case.args))
            for edit in edits:
                module = edit(module) or module
    except (AttributeError, TypeError, ValueError, KeyError, IndexError):
        return None  # this mistake cannot be made here
    return module


def _explain(seen: Sequence[Seen], results: Sequence[str], facts: Mapping[str, Any]) -> None:
    """No name fits: say where the first difference is."""
    bad = next(i for i, result in enumerate(results) if result != "yes")
    if (error := next((one.error for one in seen if one.error), None)) is not None:
        raise error
    if results[bad] == "parameters":
        raise Mistake("parameters", **facts)
    if facts.get("given_shape") != facts.get("wanted_shape"):
        raise Mistake("wrong-shape", **facts)
    if results[bad] in ("eval", "gradient"):
        raise Mistake(f"{results[bad]}-differs", **facts)
    raise Mistake("layers" if facts.get("given_layers") != facts.get("wanted_layers") else "order", **facts)


def _shapes(module: nn.Module | None) -> Counter[tuple[int, ...]]:
    return Counter(map(shape_of, module.parameters() if module is not None else ()))


def _slots(module: nn.Module, parameters: Sequence[Tensor]) -> list[tuple[int, list[tuple[nn.Module, str]]]]:
    """Where each parameter is kept; one that is shared is kept in several places."""
    where = [(owner, name, p) for owner in module.modules() for name, p in owner._parameters.items()]
    return [(place, [(o, n) for o, n, p in where if p is parameter]) for place, parameter in enumerate(parameters)]


def _start_statistics(module: nn.Module) -> None:
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for name, buffer in norm._buffers.items():
                if buffer is not None:
                    start = torch.ones if name == "running_var" else torch.zeros
                    norm._buffers[name] = start(buffer.shape, dtype=buffer.dtype)
