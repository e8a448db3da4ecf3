"""Compare a learner's module with the library's under the same weights, and with wrong ones that have names.

The learner may name and order the weights as they like. They are matched by shape: first in the order in which the
forward pass uses them, then in the order of construction, then in every order that fits.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import chain, islice, permutations, product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from resnet_lib.teaching.checks.engine import Mistake, borrow, call, describe, kind
from resnet_lib.teaching.checks.functions import close, each, finite, random

Edit = Callable[[Any], nn.Module | None]  # turns the reference into a wrong one, in place or by returning another
KINDS = {"conv": "convolutions", "norm": "batch norms", "relu": "ReLUs", "pool": "max-pools", "linear": "linear layers"}
ORDERS = 2000  # at most so many matchings are tried


@dataclass(frozen=True)
class Case:
    """How the module is built, and the shape of its input."""

    args: tuple[Any, ...]
    shape: tuple[int, ...]

    def input(self, seed: int) -> Tensor:
        return random(*self.shape, seed=seed)


@dataclass
class Seen:
    """What the learner's module did in one case: in train mode, again with another input, then in eval mode."""

    case: Case
    parameters: list[Tensor]
    outputs: list[Tensor] = field(default_factory=list)
    gradients: dict[int, Tensor] = field(default_factory=dict)  # by place in `parameters`; -1: of the input
    used: list[int] = field(default_factory=list)  # places in `parameters`, in the order of use
    kinds: Counter[str] = field(default_factory=Counter)
    error: Mistake | None = None


class Trace(TorchDispatchMode):
    """Which parameters a forward pass uses, in which order, and how many layers of which kind it runs."""

    def __init__(self, parameters: Sequence[Tensor]):
        super().__init__()
        self.places = {id(p): place for place, p in enumerate(parameters)}
        self.places |= {self._storage(p): place for place, p in enumerate(parameters) if not p.is_meta}
        self.used: dict[int, None] = {}
        self.kinds: Counter[str] = Counter()

    @staticmethod
    def _storage(tensor: Tensor) -> tuple[str, int]:
        return "storage", tensor.untyped_storage().data_ptr()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, Tensor):
                place = self.places.get(id(tensor))
                if place is None and not tensor.is_meta:
                    place = self.places.get(self._storage(tensor))
                if place is not None:
                    self.used.setdefault(place)
        name = function.overloadpacket.__name__
        for pattern in ("batch_norm", "conv", "relu", "max_pool", "addmm"):
            if pattern in name:
                self.kinds[{"batch_norm": "norm", "max_pool": "pool", "addmm": "linear"}.get(pattern, pattern)] += 1
        return function(*args, **(kwargs or {}))


def compare_modules(
    build: Any,
    cases: Sequence[Case],
    reference: Callable[..., nn.Module],
    slips: Mapping[str, Edit | Sequence[Edit]],
    *,
    net: bool = False,
    pairs: bool = True,
) -> str:
    """Praise if what `build` makes equals what `reference` makes in all cases; else a Mistake, by its name if it has one.

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
                raise Mistake(*keys, **_facts(seen, reference, net))
    _explain(seen, results, _facts(seen, reference, net))
    raise AssertionError


def observe(build: Any, case: Case, *, gradients: bool = True) -> Seen:
    """Build the learner's module and watch it. Errors of a forward pass are kept, since a shape may be the lesson."""
    module = built(build, case)
    parameters = list(module.parameters())
    fill(parameters)
    seen = Seen(case, parameters)
    for step, (train, seed) in enumerate(((True, 1), (True, 2), (False, 1))):
        x = case.input(seed).requires_grad_(gradients and step == 0)
        fed = x.clone()
        version = fed._version
        module.train(train)
        torch.manual_seed(step)
        trace = Trace(parameters)
        try:
            with trace if step == 0 else nullcontext(), nullcontext() if gradients or step == 0 else torch.no_grad():
                output = call(module, fed, doing=f"{describe(case.args)} with an input of shape {case.shape}")
        except Mistake as mistake:
            if step:
                raise Mistake("raises-later", **mistake.evidence) from None
            seen.error = mistake
            break
        if not isinstance(output, Tensor):
            raise Mistake("returns-none" if output is None else "not-a-tensor", given=f"a {kind(output)}")
        if fed._version != version:
            raise Mistake("changes-input", case=describe(case.args))
        if not finite(output):
            raise Mistake("nan", case=describe(case.args))
        seen.outputs.append(output.detach().clone())
        if step == 0:
            seen.used, seen.kinds = [*trace.used, *(i for i in range(len(parameters)) if i not in trace.used)], trace.kinds
            if gradients and output.dtype.is_floating_point:
                seen.gradients = _gradients(output, [*parameters, x])
                seen.gradients[-1] = seen.gradients.pop(len(parameters))
    return seen


def built(build: Any, case: Case) -> nn.Module:
    """What the learner's class or function makes, borrowed."""
    module = call(build, *deepcopy(case.args))
    if module is None:
        raise Mistake("returns-none")
    if not isinstance(module, nn.Module) or isinstance(module, type):
        raise Mistake("not-a-module", got=kind(module))
    try:
        if any(map(is_lazy, module.parameters())):
            with torch.no_grad():
                module.eval()(case.input(0))
    except AttributeError:
        raise Mistake("no-super-init") from None
    return borrow(module)


def fill(parameters: Sequence[Tensor]) -> None:
    """Random weights that let no mistake hide: gammas and betas of both signs, none of them near 0 or 1."""
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(1 << 16, generator=generator)
    for parameter in parameters:
        count, vector = parameter.numel(), parameter.squeeze().ndim < 2
        start = int(torch.randint(1 << 14, (), generator=generator))
        values = noise[start : start + count] if count < 1 << 15 else noise.repeat(count // len(noise) + 2)[start:][:count]
        if vector:
            values = values.sign() * (0.3 + 0.3 * values.abs().clamp(max=1))
        else:
            values = values * math.sqrt(1.5 * parameter.shape[0] / count)
        parameter.data = values.view(parameter.shape).clone()


def agreement(seen: Seen, wrong_or_right: nn.Module | None, *, net: bool = False, thorough: bool = False) -> str:
    """"yes", or where the two part: "parameters", "train", "eval", "gradient". "error": both fail in this case."""
    module = wrong_or_right
    if module is None:
        return "parameters"
    parameters, case = list(module.parameters()), seen.case
    shapes = [_shape(p) for p in parameters]
    if _shapes(module) != Counter(map(_shape, seen.parameters)):
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
            found = _gradients(output, [*mine, x])
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
        there[wanted] = [place for place in seen.used if _shape(seen.parameters[place]) == wanted]

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
        groups = [[(wanted, order) for order in permutations(there[wanted])] for wanted in there if len(there[wanted]) < 8]
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
            if _shapes(_edited(reference, case, [edit], net=True)) == mine:
                raise Mistake(*key.split(", "), **_counts(mine, wanted))
        raise Mistake("parameters" if mine else "no-parameters", **_counts(mine, wanted))


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


def _facts(seen: Sequence[Seen], reference: Callable[..., nn.Module], net: bool) -> dict[str, object]:
    """What was measured in the first case that ran, for the texts to quote."""
    one = next((one for one in seen if one.outputs), seen[0])
    right = _edited(reference, one.case, [], net)
    assert right is not None
    parameters = list(right.train().parameters())
    counts = _counts(*(Counter(map(_shape, weights)) for weights in (one.parameters, parameters)))
    facts: dict[str, object] = {"case": describe(one.case.args), **counts}
    if net:
        return facts
    fill(parameters)
    x = one.case.input(1)
    with torch.no_grad(), Trace(parameters) as trace:
        wanted = right(x.clone())
    facts["given_layers"], facts["wanted_layers"] = (
        ", ".join(f"{kinds[kind]} {word}" for kind, word in KINDS.items() if kinds[kind] or trace.kinds[kind])
        for kinds in (one.kinds, trace.kinds)
    )
    if one.outputs:
        given = one.outputs[0]
        facts |= {"given_shape": tuple(given.shape), "wanted_shape": tuple(wanted.shape)}
        for name, output in (("yours", given), ("right", wanted)):
            facts[f"negative_{name}"] = f"{(output < 0).float().mean().item():.0%}"
            if output.shape == x.shape:
                facts[f"below_{name}"] = f"{(output < x).float().mean().item():.0%}"
    else:
        facts["given_shape"] = facts["wanted_shape"] = tuple(wanted.shape)
    return facts


def _counts(mine: Counter, wanted: Counter) -> dict[str, object]:
    given, right = (sum(math.prod(shape) * n for shape, n in shapes.items()) for shapes in (mine, wanted))
    extra, missing = (
        ", ".join(f"{n} × {shape}" for shape, n in sorted((a - b).items())[:4]) or "none"
        for a, b in ((mine, wanted), (wanted, mine))
    )
    off = f"{abs(given - right):,} {'more' if given > right else 'fewer'}" if given != right else "the same number"
    return {"given_count": f"{given:,}", "wanted_count": f"{right:,}", "off": off, "extra": extra, "missing": missing}


def _shape(parameter: Tensor) -> tuple[int, ...]:
    """Without axes of length 1, so that a 1×1 convolution may be written as a matrix."""
    return tuple(parameter.squeeze().shape) or (1,)


def _shapes(module: nn.Module | None) -> Counter[tuple[int, ...]]:
    return Counter(map(_shape, module.parameters() if module is not None else ()))


def _gradients(output: Tensor, of: Sequence[Tensor]) -> dict[int, Tensor]:
    if not output.requires_grad:
        raise Mistake("no-gradient")
    total = (output * random(*output.shape, seed=5)).sum()
    try:
        found = torch.autograd.grad(total, [t for t in of if t.requires_grad], allow_unused=True, materialize_grads=True)
    except RuntimeError as error:
        raise Mistake("in-place" if "inplace" in str(error) else "no-gradient") from None
    iterator = iter(found)
    return {place: next(iterator) if t.requires_grad else torch.zeros_like(t) for place, t in enumerate(of)}


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
