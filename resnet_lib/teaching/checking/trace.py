"""Watch a module at work: what it returns, which weights it uses, which layers run, with which settings."""

import inspect
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from resnet_lib.teaching.checking.match_weights import Shape, fill, gist, shapes_of
from resnet_lib.teaching.checking.sandbox import Guard, call, is_stub
from resnet_lib.teaching.checking.values import close, finite, gradients_of, honest, noise
from resnet_lib.teaching.checking.words import Mistake, describe, kind

PASSES = ((True, 1), (True, 2), (False, 1), (False, 1))  # in train mode or not, with which input
LAYERS = {"convolutions": "conv", "batch norms": "batch_norm", "ReLUs": "^relu|^clamp", "max-pools": "max_pool"}
drawn = lru_cache(256)(noise)  # each of a hundred modules gets the same inputs
_POOL = ("input", "kernel_size", "stride", "padding")
ARGUMENTS = {
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "batch_norm": ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
    "linear": ("input", "weight", "bias"),
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
        return self.scale * drawn(*self.shape, seed=seed)


@dataclass(frozen=True)
class Step:
    """One call of a function of torch."""

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Observation:
    """What a module did in one case: in train mode, again with another input, then twice in eval mode."""

    case: Case
    weights: tuple[Shape, ...]
    idle: tuple[int, ...] = ()  # places in `weights` of those that no function was called with
    outputs: tuple[Tensor, ...] = ()
    gradients: Mapping[Shape, Tensor] = field(default_factory=dict)  # of weights, by shape; that of the input at ()
    steps: tuple[Step, ...] = ()  # the functions of torch that ran in train mode
    eval_steps: tuple[Step, ...] = ()
    computed: tuple[float, ...] = ()  # the size of what each function with a weight returned
    steady: bool = True  # does eval mode give the same twice?
    error: Mistake | None = None
    misfit: tuple[Shape, ...] = ()  # of the tensors in the call that failed
    oddity: Mistake | None = None  # something that explains what is wrong, should something be
    effect: Mistake | None = None  # what it did to what it was given

    def without_idle(self) -> "Observation":
        """As if the layers that do nothing were not there."""
        kept = (shape for place, shape in enumerate(self.weights) if place not in self.idle)
        return replace(self, weights=tuple(kept), idle=())

    @property
    def layers(self) -> Counter[str]:
        return Counter({one: sum(bool(re.search(LAYERS[one], step.name)) for step in self.steps) for one in LAYERS})


def parting(mine: Observation, other: Observation, net: bool) -> str:
    """Where two modules part: "parameters", "train", "eval", "gradient", or "" where they do not. Both may fail, at the
    same shapes."""
    if mine.weights != other.weights and shapes_of(mine.weights) != shapes_of(other.weights):
        return "parameters"
    if mine.error or other.error:
        return "" if mine.misfit and mine.misfit == other.misfit else "train"
    for step, output in enumerate(mine.outputs):
        if step >= len(other.outputs) or not _agree(output, other.outputs[step], net):
            return "eval" if step == 2 else "train"
    pairs = [(mine.gradients[key], other.gradients[key]) for key in other.gradients if mine.gradients]
    return "" if all(close(*pair, 1e-2) for pair in pairs) else "gradient"


def _agree(mine: Tensor, other: Tensor, net: bool) -> bool:
    return close(mine, other, 2e-3 if net else 2e-4)


class Trace(TorchFunctionMode):
    """Which weights a forward pass uses, and which functions of torch it calls. `like`: it ends soon after it computes
    with a convolution what the other module never did."""

    def __init__(self, weights: Sequence[Tensor], like: Observation | None = None):
        super().__init__()
        self.own = [self._memory(weight) for weight in weights]
        self.used: set[int] = set()
        self.steps: list[Step] = []
        self.computed: list[float] = []
        self.strangers = self.news = 0  # weights that are not the module's, values that `like` has not
        self.misfit: tuple[Shape, ...] = ()
        self.like = like

    @staticmethod
    def _memory(tensor: Tensor) -> int:
        return 0 if tensor.is_meta or tensor.layout != torch.strided else tensor.untyped_storage().data_ptr()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        try:
            result = function(*args, **kwargs)
        except Exception:
            self.misfit = tuple(
                sorted(tuple(one.shape) for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor))
            )
            raise
        name = getattr(function, "__name__", "")
        if isinstance(result, Tensor) and name != "__get__":  # reading a shape is no use
            given = tree_leaves((args, kwargs)) if self.like is None else ()
            used = {self._memory(one) for one in given if isinstance(one, Tensor)}.intersection(self.own)
            self.used |= used
            if used or name == "conv2d":
                self.computed.append(float(result.detach().abs().sum()) if result.is_floating_point() else 0.0)
            if self.like is None:
                self._keep(name, args, kwargs)
            elif name == "conv2d":
                self._compare(self.computed[-1], self.like)
        return result

    def _compare(self, size: float, like: Observation) -> None:
        self.news += not any(abs(size - other) <= 1e-3 * size for other in like.computed)
        if self.news > 4 * bool(like.error):  # who fails has not computed all
            raise Mistake("order")

    def _keep(self, name: str, args: Any, kwargs: Any) -> None:
        given = {**dict(zip(ARGUMENTS.get(name, ()), args, strict=False)), **kwargs}
        settings = {key: single(value) for key, value in given.items() if not isinstance(value, Tensor)}
        weight = given.get("weight")
        self.strangers += isinstance(weight, nn.Parameter) and self._memory(weight) not in self.own
        if name == "conv2d" and isinstance(weight, Tensor):
            settings = {"stride": 1, "padding": 0, **settings, "kernel": by(single(tuple(weight.shape[2:])))}
        if name == "batch_norm":
            settings["statistics"] = given.get("running_mean") is not None
        if name == "max_pool2d":
            size, stride = settings.get("kernel_size"), settings.get("stride")
            stride, padding = size if stride is None else stride, settings.get("padding", 0)
            settings["window"] = f"{by(size)} at stride {stride} with padding {padding}"
        self.steps.append(Step(name, settings))

    def kept(self) -> dict[str, Any]:
        """What an observation keeps of a pass."""
        oddity = Mistake("layers-in-forward") if self.strangers else None
        return {"oddity": oddity, "steps": tuple(self.steps), "computed": tuple(self.computed)}

    def idle(self) -> tuple[int, ...]:
        return tuple(place for place, memory in enumerate(self.own) if memory not in self.used)


def single(value: Any) -> Any:
    """3 for (3, 3)."""
    return value[0] if isinstance(value, (tuple, list)) and len(set(value)) == 1 else value


def by(size: Any) -> str:
    return "×".join(map(str, size)) if isinstance(size, tuple) else f"{size}×{size}"


class Unfilled(TorchFunctionMode):
    """Layers are made without drawing their weights, which would do nothing and take long."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(function, "__name__", "") in ("normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_"):
            return args[0] if args else (kwargs or {})["tensor"]
        return function(*args, **(kwargs or {}))


def observe(build: Any, case: Case, matrices: Mapping[Shape, Shape] | None = None, *, net: bool = False) -> Observation:
    """Build the learner's module and watch it. Errors of a forward pass are kept, since a shape may be the lesson.
    `matrices`: those that stand for kernels."""
    args = deepcopy(case.args)
    guard, lists = Guard(args), _shared_lists(build)
    module = _built(build, args, case)
    oddity, effects = _oddity(module), guard.changes()
    if grown := [name for name, length in _shared_lists(build).items() if length != lists.get(name, length)]:
        oddity = Mistake("mutable-default", name=grown[0])
    with _lent(module):
        fill(module, matrices)
        seen = watch(module, case, matrices=matrices, net=net)
    alone = not oddity and not seen.weights and len(list(module.modules())) == 1
    if alone and seen.outputs and torch.equal(seen.outputs[0], case.input(1)):
        raise Mistake("untouched")
    return replace(seen, oddity=oddity or seen.oddity, effect=seen.effect or next(iter(effects), None))


@contextmanager
def _lent(module: nn.Module) -> Iterator[None]:
    """The module is given back as it was: a function may return one that was made before."""
    parameters = [(p, p.data, p.grad, p.requires_grad) for p in module.parameters()]
    buffers = [(b, b.clone()) for b in module.buffers() if not b.is_meta]
    modes = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        for parameter, data, grad, learns in parameters:
            parameter.requires_grad = learns
            parameter.data, parameter.grad = data, grad
        for buffer, values in buffers:
            buffer.copy_(values)
        for part, mode in modes:
            part.training = mode


def watch(
    module: nn.Module,
    case: Case,
    like: Observation | None = None,
    matrices: Mapping[Shape, Shape] | None = None,
    *,
    net: bool = False,
) -> Observation:
    """What a module does, its weights in place. `like`: only as long as it is what another one did."""
    weights = list(module.parameters())
    shapes = tuple((matrices or {}).get(shape, shape) for shape in (tuple(weight.shape) for weight in weights))
    seen: dict[str, Any] = {"outputs": ()}
    for step, (train, seed) in enumerate(PASSES[: 3 if net or like else 4]):
        x = case.input(seed).requires_grad_(step == 0 and like is None)
        fed, trace = x.clone(), Trace(weights, like)
        if not (like and train):  # a twin of the reference is new, and in train mode
            call(module.train, train)
        torch.default_generator.manual_seed(step)
        try:
            tracing = step == 0 or (step == 2 and not like)
            with torch.set_grad_enabled(x.requires_grad), trace if tracing else nullcontext():
                output = call(module, fed, doing=f"{describe(case.args)} and an input of shape {case.shape}")
            output = _sound(output, case)
        except Mistake as mistake:
            if step and mistake.keys != ("nan",):
                key = "raises-later" if mistake.keys == ("raises",) else mistake.keys[0]
                raise Mistake(key, **mistake.evidence) from None
            seen |= {"error": mistake, "misfit": trace.misfit} | ({} if step else trace.kept())
            break
        if not torch.equal(fed, x):
            seen["effect"] = Mistake("changes-input", case=describe(case.args))
        if step == 3:
            seen["steady"] = close(seen["outputs"][2], output)
            break
        seen["outputs"] += (output.detach().clone(),)
        if like and not (step < len(like.outputs) and _agree(like.outputs[step], output, net)):
            break
        if step == 2:
            seen["eval_steps"] = tuple(trace.steps)
        if x.requires_grad:
            seen |= trace.kept() | {"idle": trace.idle()}
            try:
                seen["gradients"] = _gradients(output, {} if net else dict(zip(weights, shapes, strict=True)), x)
            except Mistake as mistake:
                seen.setdefault("effect", mistake)
    return Observation(case, shapes, **seen)


def _gradients(output: Tensor, weights: Mapping[Tensor, Shape], x: Tensor) -> dict[Shape, Tensor]:
    """The gradients of a weighted sum of the output."""
    learning = [weight for weight in weights if weight.requires_grad]
    *found, of_input = gradients_of(output, [*learning, x])
    fixed = [weight for weight in weights if not weight.requires_grad]
    every = [*found, *map(torch.zeros_like, fixed)]
    return gist(every, [weights[weight] for weight in (*learning, *fixed)]) | {(): of_input}


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


def _built(build: Any, args: Sequence[Any], case: Case) -> nn.Module:
    """What the learner's class or function makes."""
    with Unfilled():
        module = call(build, *args)
    if not isinstance(module, nn.Module) or isinstance(module, type):
        raise Mistake("returns-none" if module is None else "not-a-module", got=f"a value of type {kind(module)}")
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
    """How much is in the lists that all objects share: in signatures and on the class."""
    parts = vars(build) if inspect.isclass(build) else {"": build}
    found = {}
    for name, part in parts.items():
        values = (part.__defaults__ or ()) if inspect.isfunction(part) else (part,)
        name = part.__name__ if inspect.isfunction(part) else name
        found[name] = sum(len(value) for value in values if isinstance(value, (list, dict, set)))
    return found
