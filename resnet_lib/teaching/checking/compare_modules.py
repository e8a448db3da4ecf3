"""Compare what a learner's module did with what the right one does under the same weights, and named wrong ones."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from copy import copy, deepcopy
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from resnet_lib.teaching.checking.match_weights import agreement, shapes_of
from resnet_lib.teaching.checking.trace import (
    LAYERS,
    Case,
    Observation,
    Shape,
    Step,
    Trace,
    layers_in,
    observe,
    weightless,
)
from resnet_lib.teaching.checking.words import Mistake, describe

Mutation = Callable[[Any], Any]
Exercise = Any  # a ModuleExercise, which this file must not import: it imports this one
FOREIGN = {  # functions that none of the course's blocks calls, by the key of the mistake
    "dropout": "dropout",
    "other-norm": "group_norm|instance_norm|layer_norm|rms_norm",
    "other-activation": "leaky_relu|prelu|rrelu|elu|selu|celu|gelu|silu|mish|hardswish|hardtanh|relu6|softplus"
    "|(log)?sigmoid|tanh|threshold",
    "ends-in-softmax": "softmax",
}


class Candidate(NamedTuple):
    """One way to make a mistake, and the shapes of the weights that it leaves in the first case."""

    keys: tuple[str, ...]
    mutation: Mutation
    shapes: Counter[Shape] | None  # None where it cannot be made there

    @property
    def rank(self) -> int:
        return {"": 0, "residual": 1, "forward": 2}[getattr(self.mutation, "method", "")]


def observe_all(exercise: Exercise, learners: Any) -> list[Observation]:
    """What the learner's class or function does in each case."""
    return [observe(learners, case, net=exercise.net) for case in exercise.cases]


def judge(exercise: Exercise, seen: Sequence[Observation]) -> str:
    """Praise if the module did what the reference does in all cases; else a Mistake, by name if it has one."""
    rights = [_mutated(exercise, one.case, []) for one in seen]
    found = _agreements(exercise, seen, rights, every=False)
    if set(found) != {"yes"}:
        _explain_if_odd(exercise, seen, rights, found)
        found = _agreements(exercise, seen, rights, every=True)  # the unlikely orders last, since they take long
    bad = next((one for one, result in zip(seen, found, strict=True) if result != "yes"), None)
    facts = facts_of(exercise, bad or seen[0])
    if bad is None:
        return _praise(exercise, seen, facts)
    if set(found) <= {"yes", "gradient"}:
        raise Mistake("gradient-differs", **facts)
    if any(one.idle for one in seen):
        active = [one.without_idle() for one in seen]
        if set(_agreements(exercise, active, rights, every=True)) == {"yes"}:
            raise Mistake("unused-layer", **facts)
        _name(exercise, active, _singles(exercise, shapes_of(active[0].parameters)), facts)
    if (effect := next((one.effect for one in seen if one.effect), None)) is not None and not bad.error:
        raise effect
    if bad.outputs and not sum(bad.layers.values()) and torch.equal(bad.outputs[0], bad.case.input(1)):
        raise Mistake("nothing-runs", **facts)
    _look_at_layers(exercise, seen, bad, facts)
    if exercise.pairs and _misfits(seen):
        _name(exercise, seen, _pairs(exercise, shapes_of(seen[0].parameters)), facts)
    raise _in_words(exercise, bad, found[seen.index(bad)], facts)


def _praise(exercise: Exercise, seen: Sequence[Observation], facts: dict[str, Any]) -> str:
    for one in seen:
        if one.effect:
            raise one.effect
        if any(output.dtype != torch.float32 for output in one.outputs):
            raise Mistake("wrong-dtype", dtype=str(one.outputs[0].dtype).removeprefix("torch."))
    if exercise.praise:
        return exercise.praise
    shapes = f"{len(seen)} shapes" if len(seen) > 1 else "one shape"
    also = "" if exercise.net else " and gradients"
    count = sum(p.numel() for p in seen[0].parameters)
    return f"{shapes}, train and eval mode: outputs{also} equal the library's. Parameters here: {count:,}."


def _misfits(seen: Sequence[Observation]) -> bool:
    """Do all errors come from shapes? Others have nothing to do with the architecture."""
    return all(one.misfit for one in seen if one.error)


def _explain_if_odd(
    exercise: Exercise, seen: Sequence[Observation], rights: Sequence[nn.Module | None], found: Sequence[str]
) -> None:
    """What explains everything else, then the exercise's own names."""
    for one, right in zip(seen, rights, strict=True):
        if one.oddity:
            raise one.oddity
        if right is not None and any(True for _ in right.parameters()) and not one.parameters and not one.error:
            raise Mistake("no-parameters")
    bad = next(one for one, result in zip(seen, found, strict=True) if result != "yes")
    if _misfits(seen) and not set(found) <= {"yes", "gradient"}:
        _name(exercise, seen, _singles(exercise, shapes_of(seen[0].parameters)), lambda: facts_of(exercise, bad))


def _agreements(
    exercise: Exercise, seen: Sequence[Observation], rights: Sequence[nn.Module | None], every: bool
) -> list[str]:
    return [agreement(*two, net=exercise.net, gradients=True, every=every) for two in zip(seen, rights, strict=True)]


def _candidates(exercise: Exercise) -> list[Candidate]:
    if "candidates" not in exercise.known:
        every = [(one.keys, wrong) for one, wrong in exercise.each_wrong()]
        modules = ((keys, wrong, _mutated(exercise, exercise.cases[0], [wrong])) for keys, wrong in every)
        exercise.known["candidates"] = [
            Candidate(keys, wrong, None if module is None else shapes_of(module)) for keys, wrong, module in modules
        ]
    return exercise.known["candidates"]


def _singles(exercise: Exercise, mine: Counter[Shape]) -> Iterator[tuple[tuple[str, ...], list[Mutation]]]:
    return ((one.keys, [one.mutation]) for one in _candidates(exercise) if one.shapes == mine)


def _pairs(exercise: Exercise, mine: Counter[Shape]) -> Iterator[tuple[tuple[str, ...], list[Mutation]]]:
    """Two mistakes at a time, layers first. Of two formulas for the same thing only one can be; two mistakes of which
    one alone changes the weights have that one's."""
    right = shapes_of(_mutated(exercise, exercise.cases[0], []))
    ways, few = Counter[str](), []
    for one in _candidates(exercise):
        ways[one.keys[0]] += 1
        if one.shapes is not None and ways[one.keys[0]] < 3 and len(one.keys) == 1:
            few.append(one)
    for one, two in combinations(sorted(few, key=lambda candidate: candidate.rank), 2):
        changed = [candidate.shapes for candidate in (one, two) if candidate.shapes != right] or [right]
        fits = len(changed) == 2 or changed[0] == mine
        if fits and one.keys != two.keys and (one.rank == 0 or one.rank != two.rank):
            yield (*one.keys, *two.keys), [one.mutation, two.mutation]


def _name(exercise: Exercise, seen: Sequence[Observation], candidates: Iterable[Any], facts: Any) -> None:
    """Raise the first of the (keys, mutations) that do what the learner's module does."""
    for keys, mutations in candidates:
        if all(agreement(one, _mutated(exercise, one.case, mutations), net=exercise.net) == "yes" for one in seen):
            raise Mistake(*keys, **(facts() if callable(facts) else facts))


def _mutated(exercise: Exercise, case: Case, mutations: Sequence[Mutation]) -> nn.Module | None:
    """The reference with mistakes made in it; a large net without memory, which the learner's weights will bring."""
    with weightless() if exercise.net else nullcontext():
        if id(case) not in exercise.known:
            exercise.known[id(case)] = exercise.right(*deepcopy(case.args))
        module = _twin(exercise.known[id(case)])
        try:
            for mutation in mutations:
                module = mutated(module, mutation)
        except (AttributeError, TypeError, KeyError, IndexError, RuntimeError):
            return None  # this mistake cannot be made in such a module
    return module


def mutated(module: nn.Module, mutation: Mutation) -> nn.Module:
    """The module with one mistake made. Where that makes no difference, the mutation raises ValueError."""
    try:
        return mutation(module) or module
    except ValueError:
        return module


def _twin(module: nn.Module) -> nn.Module:
    """The same tensors in other modules: built in a tenth of the time."""
    twin = copy(module)
    twin._parameters, twin._buffers = module._parameters.copy(), module._buffers.copy()
    twin._modules = {name: part if part is None else _twin(part) for name, part in module._modules.items()}
    return twin


# What was seen, for the texts to quote


def facts_of(exercise: Exercise, seen: Observation) -> dict[str, Any]:
    """What was seen in one case, beside what should have been."""
    right = _mutated(exercise, seen.case, [])
    assert right is not None
    parameters = list(right.parameters())
    facts: dict[str, Any] = {"case": describe(seen.case.args), **counts_of(seen.parameters, parameters)}
    steps, wanted = _steps_of(exercise, seen.case)
    mine, theirs = seen.layers, layers_in(steps)
    for name, counts in (("given_layers", mine), ("wanted_layers", theirs)):
        facts[name] = ", ".join(f"{counts[kind]} {kind}" for kind in LAYERS if mine[kind] or theirs[kind])
    if seen.outputs:
        given, x = seen.outputs[0], seen.case.input(1)
        facts |= {"given_shape": tuple(given.shape), "wanted_shape": tuple(wanted.shape)}
        for name, output in (("yours", given), ("right", wanted)):
            if output.shape == wanted.shape and not output.is_meta:
                facts[f"negative_{name}"] = f"{(output < 0).float().mean().item():.0%}"
            if output.shape == x.shape and not output.is_meta:
                facts[f"below_{name}"] = f"{(output < x).float().mean().item():.0%}"
    return facts


def _steps_of(exercise: Exercise, case: Case) -> tuple[Sequence[Step], Tensor]:
    """The functions that the reference calls in train mode, and its output; without values in a large net."""
    key = "steps", id(case)
    if key not in exercise.known:
        right = _mutated(exercise, case, [])
        assert right is not None
        trace = Trace(list(right.parameters()))
        x = case.input(1).to("meta") if exercise.net else case.input(1)
        with torch.no_grad(), trace:
            exercise.known[key] = trace.steps, right.train()(x)
    return exercise.known[key]


def counts_of(mine: Sequence[Tensor], wanted: Sequence[Tensor]) -> dict[str, object]:
    shapes, right_shapes = (Counter(tuple(p.squeeze().shape) or (1,) for p in weights) for weights in (mine, wanted))
    given, right = (sum(math.prod(shape) * n for shape, n in some.items()) for some in (shapes, right_shapes))
    extra, missing = (
        ", ".join(f"{n} × {shape}" for shape, n in sorted((a - b).items())[:4]) or "none"
        for a, b in ((shapes, right_shapes), (right_shapes, shapes))
    )
    facts: dict[str, object] = {"given_count": f"{given:,}", "wanted_count": f"{right:,}"}
    if given != right:
        facts["off"] = f"{abs(given - right):,} {'more' if given > right else 'fewer'}"
    return facts | {"extra": extra, "missing": missing}


def _look_at_layers(exercise: Exercise, seen: Sequence[Observation], bad: Observation, facts: dict[str, Any]) -> None:
    """Raise what can be read from the functions that ran and their settings, where they are not the reference's."""
    names = {step.name for one in seen for step in one.steps}
    for key, pattern in FOREIGN.items():
        if any(re.fullmatch(rf"(feature_|alpha_|log_)?({pattern})(\dd)?_?", name) for name in names):
            raise Mistake(key, **facts)
    wanted, _ = _steps_of(exercise, bad.case)

    def settings(name: str, setting: str, steps: Sequence[Step]) -> list[Any]:
        """Each value of a setting once."""
        return list(dict.fromkeys(_settings(name, setting, steps)))

    for key, name, setting in (
        ("dilated", "conv2d", "dilation"),
        ("grouped", "conv2d", "groups"),
        ("padding-mode", "pad", "mode"),
        ("norm-frozen", "batch_norm", "training"),
        ("no-running-statistics", "batch_norm", "statistics"),
        ("wrong-eps", "batch_norm", "eps"),
        ("wrong-momentum", "batch_norm", "momentum"),
        ("pool-window", "max_pool2d", "kernel_size"),
        ("pool-window", "max_pool2d", "stride"),
        ("pool-window", "max_pool2d", "padding"),
    ):
        mine, right = settings(name, setting, bad.steps), settings(name, setting, wanted)
        default: list[Any] = {"dilation": [1], "groups": [1], "mode": ["constant"]}.get(setting, [])  # type: ignore[assignment]
        if odd := [value for value in mine if value not in (right or default)]:
            if right or default:
                if key == "pool-window":
                    raise Mistake(key, **{**facts, "given": _pool(bad.steps), "wanted": _pool(wanted)})
                raise Mistake(key, **{**facts, "given": odd[0], "wanted": (right or default)[0]})
    if any(settings("batch_norm", "training", one.eval_steps) not in ([], [False]) for one in seen):
        raise Mistake("norm-always-trains", **facts)
    pools = [{step.name for step in steps if "pool" in step.name} for steps in (bad.steps, wanted)]
    if "max_pool2d" in pools[1] - pools[0]:
        raise Mistake("average-for-max" if pools[0] & {"avg_pool2d"} else "no-pool", **facts)
    kernels, right_kernels = (Counter(_kernels(steps)) for steps in (bad.steps, wanted))
    if not bad.error and kernels and kernels != right_kernels and len(kernels) == 1 < len(right_kernels):
        raise Mistake("wrong-kernels", **{**facts, "given": _times(kernels), "wanted": _times(right_kernels)})
    paddings = {(k, p) for k, p in _pairs_of(bad.steps)} - {(k, p) for k, p in _pairs_of(wanted)}
    for kernel, padding in sorted(paddings, key=str):
        if right := [p for k, p in _pairs_of(wanted) if k == kernel]:
            shown = {"given": f"{kernel}×{kernel}", "yours": padding, "right": right[0]}
            raise Mistake("unpadded", **{**facts, **shown})
    mine, right = (_settings("conv2d", "stride", steps) for steps in (bad.steps, wanted))
    if not bad.error and sorted(map(str, mine)) != sorted(map(str, right)) and len(mine) == len(right) < 12:
        raise Mistake("strides", **{**facts, "given": _listed(mine), "wanted": _listed(right)})


def _settings(name: str, setting: str, steps: Sequence[Step]) -> list[Any]:
    return [_single(step.settings[setting]) for step in steps if step.name == name and setting in step.settings]


def _single(value: Any) -> Any:
    """3 for (3, 3)."""
    return value[0] if isinstance(value, (tuple, list)) and len(set(value)) == 1 else value


def _kernels(steps: Sequence[Step]) -> list[Any]:
    return [_single(step.settings["kernel"]) for step in steps if step.name == "conv2d" and "kernel" in step.settings]


def _pairs_of(steps: Sequence[Step]) -> list[tuple[Any, Any]]:
    return [
        (_single(step.settings["kernel"]), _single(step.settings.get("padding", 0)))
        for step in steps
        if step.name == "conv2d" and "kernel" in step.settings
    ]


def _times(counts: Counter[Any]) -> str:
    return ", ".join(f"{count} × {kernel}×{kernel}" for kernel, count in sorted(counts.items(), key=str))


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))


def _pool(steps: Sequence[Step]) -> str:
    pool = next(step.settings for step in steps if step.name == "max_pool2d")
    size, stride, padding = (_single(pool.get(name)) for name in ("kernel_size", "stride", "padding"))
    return f"{size}×{size} at stride {size if stride is None else stride} with padding {padding or 0}"


def _in_words(exercise: Exercise, bad: Observation, result: str, facts: dict[str, Any]) -> Mistake:
    """No name fits: say where the first difference is."""
    if bad.error is not None:
        return bad.error
    if not bad.steady:
        return Mistake("unsteady", **facts)
    if result == "parameters":
        explained = exercise.explain(bad.parameters)
        return Mistake(*(explained or Mistake("parameters")).keys, **facts, **(explained.evidence if explained else {}))
    given, wanted = facts.get("given_shape", ()), facts.get("wanted_shape", ())
    if given != wanted:
        lost = len(given) < len(wanted) and [n for n in given if n != 1] == [n for n in wanted if n != 1]
        return Mistake("batch-axis-lost" if lost else "wrong-shape", **facts)
    if result == "eval":
        return Mistake("eval-differs", **facts)
    return Mistake("layers" if facts.get("given_layers") != facts.get("wanted_layers") else "order", **facts)
