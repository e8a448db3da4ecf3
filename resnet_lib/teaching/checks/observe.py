"""Watch a learner's module at work: what it puts out, which weights it uses, which functions it calls."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from resnet_lib.teaching.checks.engine import Mistake, call, describe, kind
from resnet_lib.teaching.checks.functions import close, finite, gradients_of, honest, random
from resnet_lib.teaching.checks.room import borrow

Shapes = tuple[tuple[int, ...], ...]


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
    idle: list[int] = field(default_factory=list)  # places of those that no function was called with
    calls: Counter[str] = field(default_factory=Counter)
    steady: bool = True  # does eval mode give the same twice?
    error: Mistake | None = None
    misfit: Shapes = ()  # of the tensors in the call that failed

    def without_idle(self) -> "Seen":
        """As if the layers that do nothing were not there."""
        kept = [place for place in range(len(self.parameters)) if place not in self.idle]
        gradients = {new: self.gradients[old] for new, old in enumerate(kept) if old in self.gradients}
        return replace(
            self,
            parameters=[self.parameters[place] for place in kept],
            gradients=gradients | {-1: self.gradients[-1]} if self.gradients else {},
            used=[kept.index(place) for place in self.used if place in kept],
            idle=[],
        )


class Trace(TorchFunctionMode):
    """Which parameters a forward pass uses, in which order, and which functions of torch it calls."""

    def __init__(self, parameters: Sequence[Tensor]):
        super().__init__()
        self.places: dict[object, int] = {id(p): place for place, p in enumerate(parameters)}
        self.places |= {self._storage(p): place for place, p in enumerate(parameters) if not p.is_meta}
        self.used: dict[int, None] = {}
        self.calls: Counter[str] = Counter()
        self.misfit: Shapes = ()

    @staticmethod
    def _storage(tensor: Tensor) -> tuple[str, int]:
        return "storage", tensor.untyped_storage().data_ptr()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        try:
            result = function(*args, **(kwargs or {}))
        except Exception:
            self.misfit = tuple(sorted(tuple(tensor.shape) for tensor in tensors))
            raise
        if isinstance(result, Tensor):  # reading a shape is no use
            for tensor in tensors:
                place = self.places.get(id(tensor))
                if place is None and not tensor.is_meta and tensor.layout == torch.strided:
                    place = self.places.get(self._storage(tensor))
                if place is not None:
                    self.used.setdefault(place)
        self.calls[getattr(function, "__name__", "")] += 1
        return result


class _Unfilled(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(function, "__name__", "") in ("normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_"):
            return args[0] if args else (kwargs or {})["tensor"]
        return function(*args, **(kwargs or {}))


@contextmanager
def weightless() -> Iterator[None]:
    """Modules are built without memory. Drawing their weights would do nothing, and take long."""
    with torch.device("meta"), _Unfilled():
        yield


def observe(build: Any, case: Case, *, net: bool = False) -> Seen:
    """Build the learner's module and watch it. Errors of a forward pass are kept, since a shape may be the lesson."""
    module = built(build, case)
    parameters = list(module.parameters())
    fill(parameters)
    seen = Seen(case, parameters)
    steps = [(True, 1), (True, 2), (False, 1)] + ([] if net else [(False, 1)])
    for step, (train, seed) in enumerate(steps):
        x = case.input(seed).requires_grad_(step == 0)
        fed = x.clone()
        version = fed._version
        call(module.train, train)
        torch.default_generator.manual_seed(step)
        trace = Trace(parameters)
        try:
            with trace if step == 0 else torch.no_grad() if net else nullcontext():
                output = call(module, fed, doing=f"{describe(case.args)} with an input of shape {case.shape}")
        except Mistake as mistake:
            if step:
                raise Mistake("raises-later", **mistake.evidence) from None
            seen.error, seen.misfit = mistake, trace.misfit
            seen.used = [*trace.used, *(place for place in range(len(parameters)) if place not in trace.used)]
            break
        if not isinstance(output, Tensor):
            raise Mistake("returns-none" if output is None else "not-a-tensor", given=f"a {kind(output)}")
        output = honest(output)
        if fed._version != version or not torch.equal(fed, x):
            raise Mistake("changes-input", case=describe(case.args))
        if not finite(output):
            raise Mistake("nan", case=describe(case.args))
        if step == 3:
            seen.steady = close(seen.outputs[2], output)
            break
        seen.outputs.append(output.detach().clone())
        if step == 0:
            seen.idle = [place for place in range(len(parameters)) if place not in trace.used]
            seen.used, seen.calls = [*trace.used, *seen.idle], trace.calls
            if output.dtype.is_floating_point:
                seen.gradients = gradients_by_place(output, [] if net else parameters, x)
    return seen


def built(build: Any, case: Case) -> nn.Module:
    """What the learner's class or function makes, borrowed."""
    module = call(build, *deepcopy(case.args))
    if module is None:
        raise Mistake("returns-none")
    if not isinstance(module, nn.Module) or isinstance(module, type):
        raise Mistake("not-a-module", got=f"a value of type {kind(module)}")
    if "_modules" not in vars(module):
        raise Mistake("no-super-init")
    if any(map(is_lazy, call(module.parameters))):
        with torch.no_grad():
            call(module.eval(), torch.zeros(case.shape))
        if any(map(is_lazy, module.parameters())):
            raise Mistake("unused-lazy")
    return call(borrow, module)


def fill(parameters: Sequence[Tensor]) -> None:
    """Random weights that let no mistake hide: gammas and betas of both signs, none of them near 0 or 1."""
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(1 << 16, generator=generator)
    for parameter in (p for p in parameters if p.is_floating_point() and not p.is_meta):
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


def gradients_by_place(output: Tensor, parameters: Sequence[Tensor], x: Tensor) -> dict[int, Tensor]:
    """The gradients of a weighted sum of the output; that of the input at -1."""
    if not output.requires_grad:
        raise Mistake("no-gradient")
    total = (output * random(*output.shape, seed=5)).sum()
    learning = [place for place, parameter in enumerate(parameters) if parameter.requires_grad]
    *found, of_input = gradients_of(total, [*(parameters[place] for place in learning), x])
    gradients = {place: torch.zeros_like(parameter) for place, parameter in enumerate(parameters)}
    return gradients | dict(zip(learning, found, strict=True)) | {-1: of_input}


def shape_of(parameter: Tensor) -> tuple[int, ...]:
    """The shape by which weights are matched: a 1×1 convolution may be written as a matrix from the left or the right,
    a larger one as a matrix for `unfold`."""
    squeezed = parameter.squeeze()
    if squeezed.ndim < 2:
        return tuple(squeezed.shape) or (1,)
    return tuple(sorted((squeezed.shape[0], squeezed[0].numel())))


def shaped_like(value: Tensor, parameter: Tensor) -> Tensor:
    """A weight of the learner's, or its gradient, in the shape that it has here."""
    value = value.detach().squeeze()
    if value.ndim == 2 and value.shape[0] != parameter.squeeze().shape[0]:
        value = value.T
    return value.reshape(parameter.shape)
