"""Watch a learner's module at work: what it returns, which weights it uses, which layers run, with which settings."""

import inspect
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from resnet_lib.teaching.checking.compare_functions import close, finite, gradients_of, honest, noise
from resnet_lib.teaching.checking.sandbox import Guard, call, is_stub
from resnet_lib.teaching.checking.words import Mistake, describe, kind

Shape = tuple[int, ...]
LAYERS = {"convolutions": "conv", "batch norms": "batch_norm", "ReLUs": "^relu|^clamp", "max-pools": "max_pool"}
_POOL = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
ARGUMENTS = {
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "batch_norm": ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
    "max_pool2d": _POOL,
    "avg_pool2d": _POOL,
    "pad": ("input", "pad", "mode", "value"),
}


@dataclass(frozen=True)
class Case:
    """How the module is built, and the shape of its input; its values have the deviation `scale`."""

    args: tuple[Any, ...]
    shape: Shape
    scale: float = 1.0

    def input(self, seed: int) -> Tensor:
        return self.scale * noise(*self.shape, seed=seed)


@dataclass(frozen=True)
class Observation:
    """What a module did in one case: in train mode, again with another input, then twice in eval mode."""

    case: Case
    parameters: tuple[Tensor, ...]
    names: tuple[str, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    gradients: Mapping[int, Tensor] = field(default_factory=dict)  # by place in `parameters`; -1: of the input
    used: tuple[int, ...] = ()  # places in `parameters`, in the order of use
    idle: tuple[int, ...] = ()  # places of those that no function was called with
    steps: tuple["Step", ...] = ()  # the functions of torch that ran in train mode
    eval_steps: tuple["Step", ...] = ()
    steady: bool = True  # does eval mode give the same twice?
    error: Mistake | None = None
    misfit: tuple[Shape, ...] = ()  # of the tensors in the call that failed
    oddity: Mistake | None = None  # something that explains what is wrong, should something be
    effect: Mistake | None = None  # what building did to its arguments

    def without_idle(self) -> "Observation":
        """As if the layers that do nothing were not there."""
        kept = [place for place in range(len(self.parameters)) if place not in self.idle]
        gradients = {new: self.gradients[old] for new, old in enumerate(kept) if old in self.gradients}
        return replace(
            self,
            parameters=tuple(self.parameters[place] for place in kept),
            names=tuple(self.names[place] for place in kept),
            gradients=gradients | {-1: self.gradients[-1]} if self.gradients else {},
            used=tuple(kept.index(place) for place in self.used if place in kept),
            idle=(),
        )

    @property
    def layers(self) -> Counter[str]:
        return layers_in(self.steps)


@dataclass(frozen=True)
class Step:
    """One call of a function of torch."""

    name: str
    shapes: tuple[Shape, ...]  # of the tensors that went in
    settings: Mapping[str, Any] = field(default_factory=dict)


def layers_in(steps: Sequence[Step]) -> Counter[str]:
    return Counter({one: sum(bool(re.search(LAYERS[one], step.name)) for step in steps) for one in LAYERS})


class Trace(TorchFunctionMode):
    """Which parameters a forward pass uses, in which order, and which functions of torch it calls."""

    def __init__(self, parameters: Sequence[Tensor]):
        super().__init__()
        self.places: dict[object, int] = {id(p): place for place, p in enumerate(parameters)}
        self.places |= {self._storage(p): place for place, p in enumerate(parameters) if not p.is_meta}
        self.used: dict[int, None] = {}
        self.views: dict[int, tuple[Shape, Shape, int]] = {}  # a kernel that is kept in another order of its axes
        self.steps: list[Step] = []
        self.strangers = 0  # parameters that are not the module's
        self.misfit: tuple[Shape, ...] = ()

    @staticmethod
    def _storage(tensor: Tensor) -> tuple[str, int]:
        return "storage", tensor.untyped_storage().data_ptr()

    def place_of(self, tensor: Tensor) -> int | None:
        place = self.places.get(id(tensor))
        if place is None and not tensor.is_meta and tensor.layout == torch.strided:
            place = self.places.get(self._storage(tensor))
        return place

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        try:
            result = function(*args, **kwargs)
        except Exception:
            self.misfit = tuple(sorted(tuple(tensor.shape) for tensor in tensors))
            raise
        name = getattr(function, "__name__", "")
        if isinstance(result, Tensor) and name != "__get__":  # reading a shape is no use
            for tensor in tensors:
                if (place := self.place_of(tensor)) is not None:
                    self.used.setdefault(place)
            self._keep(name, args, kwargs, tensors)
        return result

    def _keep(self, name: str, args: Any, kwargs: Any, tensors: Sequence[Tensor]) -> None:
        given = {**dict(zip(ARGUMENTS.get(name, ()), args, strict=False)), **kwargs}
        settings = {key: value for key, value in given.items() if not isinstance(value, Tensor)}
        weight = given.get("weight") if name in ARGUMENTS else args[1] if name == "linear" and len(args) > 1 else None
        if isinstance(weight, Tensor) and name != "batch_norm":
            settings["kernel"] = tuple(weight.shape[2:])
            if (place := self.place_of(weight)) is not None and not weight.is_contiguous():
                self.views[place] = (tuple(weight.shape), weight.stride(), int(weight.storage_offset()))
            elif place is None and isinstance(weight, nn.Parameter):
                self.strangers += 1
        if name == "batch_norm":
            settings["statistics"] = given.get("running_mean") is not None
        self.steps.append(Step(name, tuple(tuple(tensor.shape) for tensor in tensors), settings))


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


def observe(build: Any, case: Case, *, net: bool = False) -> Observation:
    """Build the learner's module and watch it. Errors of a forward pass are kept, since a shape may be the lesson."""
    args = deepcopy(case.args)
    guard, lists = Guard(args), _shared_lists(build)
    module = _built(build, args, case)
    oddity = _oddity(module)
    if grown := [name for name, length in _shared_lists(build).items() if length != lists.get(name, length)]:
        oddity = Mistake("mutable-default", name=grown[0])
    named = list({id(p): (name, p) for name, p in module.named_parameters()}.values())
    parameters = [p for _, p in named]
    # The learner's module is put back afterwards: a function may return one that was made before.
    kept = [(p, p.data, p.grad, p.requires_grad) for p in parameters]
    buffers = [(b, b.clone()) for b in module.buffers() if not b.is_meta]
    modes = [(part, part.training) for part in module.modules()]
    effect = guard.changes()
    try:
        fill(parameters)
        seen = Observation(case, tuple(parameters), tuple(name for name, _ in named), oddity=oddity, effect=effect)
        return _watched(module, seen, net)
    finally:
        for parameter, data, grad, learns in kept:
            parameter.requires_grad = learns
            parameter.data, parameter.grad = data, grad
        for buffer, values in buffers:
            buffer.copy_(values)
        for part, mode in modes:
            part.training = mode


def _watched(module: nn.Module, seen: Observation, net: bool) -> Observation:
    """What the module does in train mode with two inputs, then in eval mode, twice with one."""
    case, parameters, outputs = seen.case, seen.parameters, list[Tensor]()
    found: dict[str, Any] = {}
    views: dict[int, Any] = {}
    for step, (train, seed) in enumerate([(True, 1), (True, 2), (False, 1), (False, 1)][: 3 if net else 4]):
        x = case.input(seed).requires_grad_(step == 0)
        fed = x.clone()
        call(module.train, train)
        torch.default_generator.manual_seed(step)
        trace = Trace(parameters)
        try:
            with nullcontext() if step == 0 else torch.no_grad(), trace if step in (0, 2) else nullcontext():
                output = call(module, fed, doing=f"{describe(case.args)} and an input of shape {case.shape}")
            output = _sound(output, case)
        except Mistake as mistake:
            if step and mistake.keys != ("nan",):
                key = "raises-later" if mistake.keys == ("raises",) else mistake.keys[0]
                raise Mistake(key, **mistake.evidence) from None
            rest = [place for place in range(len(parameters)) if place not in trace.used]
            found |= {"error": mistake, "misfit": trace.misfit, "used": (*trace.used, *rest), "steps": (*trace.steps,)}
            break
        if not parameters and not seen.oddity and _untouched(module, output, fed):
            raise Mistake("untouched")
        if not torch.equal(fed, x):
            found["effect"] = Mistake("changes-input", case=describe(case.args))
        if step == 3:
            found["steady"] = close(outputs[2], output)
            break
        outputs.append(output.detach().clone())
        if step == 2:
            found["eval_steps"] = tuple(trace.steps)
        if step == 0:
            views = trace.views
            idle = tuple(place for place in range(len(parameters)) if place not in trace.used)
            found |= {"idle": idle, "used": (*trace.used, *idle), "steps": tuple(trace.steps)}
            if trace.strangers and not seen.oddity:
                found["oddity"] = Mistake("layers-in-forward")
            try:
                gradients = gradients_by_place(output, () if net else parameters, x)
                found["gradients"] = {n: _as_used(grad, views.get(n)) for n, grad in gradients.items()}
            except Mistake as mistake:
                found.setdefault("effect", mistake)
    values = tuple(_as_used(p.detach(), views.get(n)) for n, p in enumerate(parameters))
    return replace(seen, outputs=tuple(outputs), parameters=values, **found)


def _sound(output: Any, case: Case) -> Tensor:
    if isinstance(output, nn.Module):
        raise Mistake("layer-not-called", at="")
    if not isinstance(output, Tensor):
        raise Mistake("returns-none" if output is None else "not-a-tensor", given=f"a {kind(output)}")
    if not output.dtype.is_floating_point:
        raise Mistake("odd-tensor", given=f"its numbers are {output.dtype}")
    if not finite(output := honest(output)):
        raise Mistake("nan", case=describe(case.args))
    return output


def _as_used(value: Tensor, view: tuple[Shape, Shape, int] | None) -> Tensor:
    """A parameter, or its gradient, with the axes in the order in which a convolution got them."""
    return value if view is None else value.contiguous().as_strided(*view)


def _untouched(module: nn.Module, output: Tensor, fed: Tensor) -> bool:
    """Is it a stub: no layers, and forward returns x?"""
    return len(list(module.modules())) == 1 and output.data_ptr() == fed.data_ptr()


def _built(build: Any, args: Sequence[Any], case: Case) -> nn.Module:
    """What the learner's class or function makes."""
    with _Unfilled():
        module = call(build, *args)
    if module is None:
        raise Mistake("returns-none")
    if not isinstance(module, nn.Module) or isinstance(module, type):
        raise Mistake("not-a-module", got=f"a value of type {kind(module)}")
    if "_modules" not in vars(module):
        raise Mistake("no-super-init")
    forward = type(module).forward
    if "self" not in (names := [*inspect.signature(forward).parameters]) and len(names) < 2:
        raise Mistake("forgets-self", name="forward")
    if is_stub(forward):
        raise Mistake("untouched")
    if any(map(is_lazy, call(module.parameters))):
        with torch.no_grad():
            call(module.eval(), torch.zeros(case.shape))
        if any(map(is_lazy, module.parameters())):
            raise Mistake("unused-lazy")
    return module


def _oddity(module: nn.Module) -> Mistake | None:
    """Layers where nn.Module does not find them."""
    known = set(map(id, module.modules()))
    for part in module.modules():
        for name, value in vars(part).items():
            if isinstance(value, (list, tuple, dict)) and not name.startswith("_"):
                inside = value.values() if isinstance(value, dict) else value
                if any(isinstance(one, nn.Module) and id(one) not in known for one in inside):
                    return Mistake("plain-list", kind=kind(value), name=name)
    return None


def _shared_lists(build: Any) -> dict[str, int]:
    """The lengths of lists that are made once: in signatures and on the class."""
    functions = [f for f in vars(build).values() if inspect.isfunction(f)] if inspect.isclass(build) else [build]
    lists: dict[str, Any] = {}
    for function in functions:
        if inspect.isfunction(function):
            parameters = inspect.signature(function).parameters.values()
            lists |= {f"{function.__name__}({p.name}=…)": p.default for p in parameters}
    if inspect.isclass(build):
        lists |= {f"{build.__name__}.{name}": value for name, value in vars(build).items()}
    return {name: len(value) for name, value in lists.items() if isinstance(value, (list, dict, set))}


def fill(parameters: Sequence[Tensor]) -> None:
    """Random weights that let no mistake hide: gammas and betas of both signs, some small, some large."""
    generator = torch.Generator().manual_seed(3)
    many = torch.randn(1 << 16, generator=generator)
    for parameter in (p for p in parameters if p.is_floating_point() and not p.is_meta and p.numel()):
        count, vector = parameter.numel(), parameter.squeeze().ndim < 2
        start = int(torch.randint(1 << 14, (), generator=generator))
        values = many[start : start + count] if count < 1 << 15 else many.repeat(count // len(many) + 2)[start:][:count]
        if vector:
            size = values.abs()
            values = values.sign() * (0.3 + 0.3 * size.clamp(max=1)) * (1 + 6 * (size > 1.2))
        else:
            values = values * math.sqrt(1.5 * parameter.shape[0] / count)
        parameter.data = values.view(parameter.shape).to(parameter.dtype).clone()


def gradients_by_place(output: Tensor, parameters: Sequence[Tensor], x: Tensor) -> dict[int, Tensor]:
    """The gradients of a weighted sum of the output; that of the input at -1."""
    if not output.requires_grad:
        raise Mistake("no-gradient")
    total = (output * noise(*output.shape, seed=5)).sum()
    learning = [place for place, parameter in enumerate(parameters) if parameter.requires_grad]
    *found, of_input = gradients_of(total, [*(parameters[place] for place in learning), x])
    gradients = {place: torch.zeros_like(parameter) for place, parameter in enumerate(parameters)}
    return gradients | dict(zip(learning, found, strict=True)) | {-1: of_input}
