"""Watch a learner's module at work: what it puts out, which weights it uses, which layers it runs."""

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from resnet_lib.teaching.checks.engine import Mistake, borrow, call, describe, kind
from resnet_lib.teaching.checks.functions import finite, random


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
    parameters: Sequence[Tensor]
    outputs: list[Tensor] = field(default_factory=list)
    gradients: dict[int, Tensor] = field(default_factory=dict)  # by place in `parameters`; -1: of the input
    used: list[int] = field(default_factory=list)  # places in `parameters`, in the order of use
    kinds: Counter[str] = field(default_factory=Counter)
    error: Mistake | None = None


class Trace(TorchDispatchMode):
    """Which parameters a forward pass uses, in which order, and how many layers of which kind it runs."""

    def __init__(self, parameters: Sequence[Tensor]):
        super().__init__()
        self.places: dict[object, int] = {id(p): place for place, p in enumerate(parameters)}
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
            seen.used, seen.kinds = (
                [*trace.used, *(i for i in range(len(parameters)) if i not in trace.used)],
                trace.kinds,
            )
            if gradients and output.dtype.is_floating_point:
                seen.gradients = gradients_of(output, [*parameters, x])
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
        values = (
            noise[start : start + count] if count < 1 << 15 else noise.repeat(count // len(noise) + 2)[start:][:count]
        )
        if vector:
            values = values.sign() * (0.3 + 0.3 * values.abs().clamp(max=1))
        else:
            values = values * math.sqrt(1.5 * parameter.shape[0] / count)
        parameter.data = values.view(parameter.shape).clone()


def gradients_of(output: Tensor, of: Sequence[Tensor]) -> dict[int, Tensor]:
    if not output.requires_grad:
        raise Mistake("no-gradient")
    total = (output * random(*output.shape, seed=5)).sum()
    try:
        found = torch.autograd.grad(
            total, [t for t in of if t.requires_grad], allow_unused=True, materialize_grads=True
        )
    except RuntimeError as error:
        raise Mistake("in-place" if "inplace" in str(error) else "no-gradient") from None
    iterator = iter(found)
    return {place: next(iterator) if t.requires_grad else torch.zeros_like(t) for place, t in enumerate(of)}


def shape_of(parameter: Tensor) -> tuple[int, ...]:
    """Without axes of length 1, so that a 1×1 convolution may be written as a matrix."""
    return tuple(parameter.squeeze().shape) or (1,)
