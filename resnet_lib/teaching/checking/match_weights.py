"""Put a learner's weights into a module of the library, and see whether both do the same.

The learner may name and order the weights as they like. They are matched by shape: first in the order in which the
forward pass uses them, then in the order of construction, then in every order that fits.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import chain, islice, permutations, product
from typing import Any

import torch
from torch import Tensor, nn

from resnet_lib.teaching.checking.compare_functions import close
from resnet_lib.teaching.checking.trace import Observation, Shape, Trace, gradients_by_place
from resnet_lib.teaching.checking.words import Mistake

FAILURES = (RuntimeError, ValueError, TypeError, IndexError, AttributeError, Mistake)
ORDERS = 2000  # at most so many matchings are tried
HWIO, HWOI = (3, 2, 0, 1), (2, 3, 0, 1)  # kernels kept as (height, width, in, out) or (height, width, out, in)
Layout = tuple[Sequence[int], bool]  # of kernels; are square matrices to be transposed?


def shape_of(parameter: Tensor) -> Shape:
    """The shape by which weights are matched: a 1×1 convolution may be written as a matrix from the left or the right,
    a larger one as a matrix for `unfold`, or with the axes of its kernel in front."""
    squeezed = kernels_last(parameter).squeeze()
    if squeezed.ndim < 2:
        return tuple(squeezed.shape) or (1,)
    return tuple(sorted((squeezed.shape[0], squeezed[0].numel())))


def kernels_last(value: Tensor, layout: Sequence[int] = HWIO) -> Tensor:
    """A kernel of shape (k, k, in, out) as (out, in, k, k)."""
    if value.ndim != 4 or _square(*value.shape[2:]) or not _square(*value.shape[:2]):
        return value
    return value.permute(*layout)


def _square(height: int, width: int) -> bool:
    return height == width and height in (1, 3, 7)


def shaped_like(value: Tensor, parameter: Tensor, layout: Layout = (HWIO, False)) -> Tensor:
    """A weight of the learner's, or its gradient, in the shape that it has here."""
    value = value.detach()
    if value.shape != parameter.shape:
        square = value.ndim == 2 and value.shape[0] == value.shape[1]
        value = kernels_last(value, layout[0]).squeeze()
        if value.ndim == 2 and (value.shape[0] != parameter.squeeze().shape[0] or (square and layout[1])):
            value = value.T
    return value.reshape(parameter.shape)


def shapes_of(weights: nn.Module | Sequence[Tensor] | None) -> Counter[Shape]:
    weights = list(weights.parameters()) if isinstance(weights, nn.Module) else weights or []
    return Counter(map(shape_of, weights))


def agreement(
    seen: Observation, module: nn.Module | None, *, net: bool = False, gradients: bool = False, every: bool = False
) -> str:
    """ "yes", or where the two part: "parameters", "train", "eval", "gradient". Both may fail, at the same shapes."""
    if module is None or shapes_of(module) != shapes_of(seen.parameters):
        return "parameters"
    parameters, furthest = list(module.parameters()), "train"
    slots = _slots(module, parameters)
    used = list(range(len(parameters)))  # the library's nets use their weights in the order of construction
    if not net:
        trace = Trace(parameters)
        if (alike := _fails_alike(seen, module, trace)) is not None:
            return alike
        used = [*trace.used, *(place for place in used if place not in trace.used)]
    names = {id(p): name for name, p in module.named_parameters()}
    for order, layout in _orders(seen, parameters, [names[id(p)] for p in parameters], used, net, every):
        mine = [nn.Parameter(shaped_like(seen.parameters[order[n]], p, layout)) for n, p in enumerate(parameters)]
        for place, where in slots:
            for owner, name in where:
                owner._parameters[name] = mine[place]
        _start_statistics(module)
        if net and seen.error and (alike := _fails_alike(seen, module, Trace(mine))) is not None:
            return alike
        result = _plays_along(seen, module, mine, order, layout, net, gradients)
        if result == "yes":
            return result
        furthest = max(furthest, result, key=["train", "eval", "gradient"].index)
    return furthest


def _fails_alike(seen: Observation, module: nn.Module, trace: Trace) -> str | None:
    """Does the module raise in this case, as the learner's does? None where neither does."""
    try:
        with torch.no_grad(), trace:
            module.train()(seen.case.input(1))
        return "train" if seen.error else None
    except FAILURES:
        return "yes" if seen.error and seen.misfit and trace.misfit == seen.misfit else "train"


def _plays_along(
    seen: Observation,
    module: nn.Module,
    mine: Sequence[Tensor],
    order: Mapping[int, int],
    layout: Layout,
    net: bool,
    gradients: bool,
) -> str:
    """With weights in place, does the module do what the learner's did?"""
    for step, (train, seed) in enumerate(((True, 1), (True, 2), (False, 1))):
        with_gradients = gradients and step == 0 and bool(seen.gradients)
        x = seen.case.input(seed).requires_grad_(with_gradients)
        torch.default_generator.manual_seed(step)
        try:
            with nullcontext() if with_gradients else torch.no_grad():
                output = module.train(train)(x.clone())
        except FAILURES:
            return "train"
        if step >= len(seen.outputs) or not close(seen.outputs[step], output, 2e-3 if net else 2e-4):
            return "eval" if step == 2 else "train"
        if with_gradients:
            found = gradients_by_place(output, () if net else mine, x)
    if gradients and seen.gradients:
        pairs = [(seen.gradients[-1], found[-1])]
        pairs += [(shaped_like(seen.gradients[order[n]], p, layout), found[n]) for n, p in enumerate(mine) if not net]
        if not all(close(theirs, ours, 1e-2) for theirs, ours in pairs):
            return "gradient"
    return "yes"


def _orders(
    seen: Observation, parameters: Sequence[Tensor], names: Sequence[str], used: Sequence[int], net: bool, every: bool
) -> Iterator[tuple[dict[int, int], Layout]]:
    """Matchings {place here: place there} with the layout of kernels, the likely ones first, each once."""
    shapes = list(map(shape_of, parameters))
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
    for way, order in zip((used, turned), likely, strict=False):
        if net and [shapes[place] for place in way] == [shape_of(seen.parameters[place]) for place in seen.used]:
            likely = [order]  # in a net, whole sequences do not agree by chance
    others: Iterator[dict[int, int]] = iter(())
    if every and not net:
        groups = [
            [(wanted, order) for order in permutations(there[wanted])] for wanted in there if len(there[wanted]) < 8
        ]
        if len(groups) == len(there):
            others = (match(here, dict(choice)) for choice in product(*groups))
    kernels = (HWIO, HWOI) if any(kernels_last(p) is not p for p in seen.parameters) else (HWIO,)
    turns = (False, True) if any(p.ndim == 2 and p.shape[0] == p.shape[1] for p in seen.parameters) else (False,)
    layouts = list(product(kernels, turns))
    tried: list[dict[int, int]] = []
    for order in islice(chain(likely, others), ORDERS):
        if order not in tried[:3]:
            tried.append(order)
            yield from ((order, layout) for layout in layouts)


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
