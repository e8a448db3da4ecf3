"""Compare what a learner's module did with what the right one does under the same weights, and named wrong ones."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import nn

from resnet_lib.teaching.checking.match_weights import Shape, fill, shapes_of, unfolded
from resnet_lib.teaching.checking.relations import relation
from resnet_lib.teaching.checking.trace import LAYERS, Case, Observation, Step, Unfilled, observe, parting, watch
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
SETTINGS: tuple[tuple[str, str, str, list[Any]], ...] = (
    # the key of the mistake, a function, its setting, what is right where the reference never calls it
    ("dilated", "conv2d", "dilation", [1]),
    ("grouped", "conv2d", "groups", [1]),
    ("padding-mode", "pad", "mode", ["constant"]),
    ("norm-frozen", "batch_norm", "training", []),
    ("no-running-statistics", "batch_norm", "statistics", []),
    ("wrong-eps", "batch_norm", "eps", []),
    ("wrong-momentum", "batch_norm", "momentum", []),
    ("pool-window", "max_pool2d", "window", []),
)


class Candidate(NamedTuple):
    """One way to make a mistake, and the shapes of the weights that it leaves in the first case."""

    keys: tuple[str, ...]
    mutation: Mutation
    shapes: tuple[Shape, ...] | None  # None where it cannot be made there

    @property
    def rank(self) -> int:
        return {"": 0, "residual": 1, "forward": 2}[getattr(self.mutation, "method", "")]


def observe_all(exercise: Exercise, learners: Any) -> list[Observation]:
    """What the learner's class or function does in each case."""
    matrices = [unfolded(right_one(exercise, case).weights) for case in exercise.cases]
    return [observe(learners, *each, net=exercise.net) for each in zip(exercise.cases, matrices, strict=True)]


def judge(exercise: Exercise, seen: Sequence[Observation]) -> str:
    """Praise if the module did what the reference does in all cases; else a Mistake, by name if it has one."""
    parted = [parting(one, right_one(exercise, one.case), exercise.net) or "idle" * bool(one.idle) for one in seen]
    bad = next((one for one, where in zip(seen, parted, strict=True) if where), None)
    try:
        if bad is not None:
            raise _diagnosis(exercise, seen, parted, bad)
        for one in seen:
            if one.effect:
                raise one.effect
            if any(output.dtype != torch.float32 for output in one.outputs):
                raise Mistake("wrong-dtype", dtype=str(one.outputs[0].dtype).removeprefix("torch."))
    except Mistake as mistake:
        mistake.evidence = facts_of(exercise, bad or seen[0]) | mistake.evidence
        raise
    if exercise.praise:
        return exercise.praise
    shapes = f"{len(seen)} shapes" if len(seen) > 1 else "one shape"
    also = "" if exercise.net else " and gradients"
    count = sum(map(math.prod, seen[0].weights))
    return f"{shapes}, train and eval mode: outputs{also} equal the library's. Parameters here: {count:,}."


def _diagnosis(exercise: Exercise, seen: Sequence[Observation], parted: Sequence[str], bad: Observation) -> Mistake:
    """What explains everything else comes first, then the exercise's own names, then what the trace says."""
    for one in seen:
        if one.oddity:
            return one.oddity
        if right_one(exercise, one.case).weights and not one.weights and not one.error:
            return Mistake("no-parameters")
    if set(parted) <= {"", "gradient"} and not any(one.idle for one in seen):
        return Mistake("gradient")
    architecture = all(one.misfit for one in seen if one.error)  # other errors have nothing to do with it
    named = _first(exercise, seen, _singles(exercise, seen[0])) if architecture else None
    if named is None and any(one.idle for one in seen):
        active = [one.without_idle() for one in seen]
        if not any(parting(one, right_one(exercise, one.case), exercise.net) for one in active):
            return Mistake("unused-layer")
        named = _first(exercise, active, _singles(exercise, active[0]))
    if named is None and not bad.error:
        named = next((one.effect for one in seen if one.effect), None)
    if named is None and bad.outputs and not bad.layers.total() and torch.equal(bad.outputs[0], bad.case.input(1)):
        named = Mistake("nothing-runs")
    if named is None and architecture:
        named = _in_the_layers(exercise, seen, bad)
    if named is None and exercise.pairs and architecture:
        named = _first(exercise, seen, _pairs(exercise, seen[0]))
    return named or _in_words(exercise, bad, parted[seen.index(bad)])


def right_one(exercise: Exercise, case: Case) -> Observation:
    """What the reference does in a case."""
    if ("right", id(case)) not in exercise.known:
        exercise.known["right", id(case)] = _watched(exercise, case, [])
    return exercise.known["right", id(case)]


def _watched(exercise: Exercise, case: Case, mutations: Sequence[Mutation], like: Observation | None = None) -> Any:
    """What the reference does with mistakes made in it; None where it is another net from the start."""
    module = _mutated(exercise, case, mutations)
    if module is None or (like and shapes_of(module) != shapes_of(like.weights)):
        return None
    fill(module, share=like is not None or exercise.net)
    return watch(module, case, like, net=exercise.net)


def _candidates(exercise: Exercise) -> list[Candidate]:
    if "candidates" not in exercise.known:
        every = [(one.keys, wrong) for one, wrong in exercise.each_wrong()]
        modules = ((keys, wrong, _mutated(exercise, exercise.cases[0], [wrong])) for keys, wrong in every)
        exercise.known["candidates"] = [
            Candidate(keys, wrong, None if module is None else shapes_of(module)) for keys, wrong, module in modules
        ]
    return exercise.known["candidates"]


def _singles(exercise: Exercise, mine: Observation) -> Iterator[tuple[tuple[str, ...], list[Mutation]]]:
    shapes = shapes_of(mine.weights)
    return ((one.keys, [one.mutation]) for one in _candidates(exercise) if one.shapes == shapes)


def _pairs(exercise: Exercise, mine: Observation) -> Iterator[tuple[tuple[str, ...], list[Mutation]]]:
    """Two mistakes at a time, layers first. Of two formulas for the same thing only one can be; two mistakes of which
    one alone changes the weights have that one's."""
    right, shapes = (shapes_of(one.weights) for one in (right_one(exercise, mine.case), mine))
    ways, few = Counter[str](), []
    for one in _candidates(exercise):
        ways[one.keys[0]] += 1
        if one.shapes is not None and ways[one.keys[0]] < 3 and len(one.keys) == 1:
            few.append(one)
    for one, two in combinations(sorted(few, key=lambda candidate: candidate.rank), 2):
        changed = [candidate.shapes for candidate in (one, two) if candidate.shapes != right] or [right]
        fits = len(changed) == 2 or changed[0] == shapes
        if fits and one.keys != two.keys and (one.rank == 0 or one.rank != two.rank):
            yield (*one.keys, *two.keys), [one.mutation, two.mutation]


def _first(exercise: Exercise, seen: Sequence[Observation], candidates: Iterable[Any]) -> Mistake | None:
    """The first of the (keys, mutations) that do what the learner's module does."""

    def does(one: Observation, mutations: Sequence[Mutation]) -> bool:
        try:
            other = _watched(exercise, one.case, mutations, like=one)
        except Mistake:
            return False
        return other is not None and not parting(one, other, exercise.net)

    return next((Mistake(*keys) for keys, mutations in candidates if all(does(one, mutations) for one in seen)), None)


def _mutated(exercise: Exercise, case: Case, mutations: Sequence[Mutation]) -> nn.Module | None:
    """The reference with mistakes made in it."""
    with Unfilled():
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
    """The same tensors in other modules, much faster than built anew."""
    twin = object.__new__(type(module))
    state = {**vars(module), "_parameters": module._parameters.copy(), "_buffers": module._buffers.copy()}
    state["_modules"] = {name: part if part is None else _twin(part) for name, part in module._modules.items()}
    vars(twin).update(state)
    return twin


# What was seen, for the texts to quote


def facts_of(exercise: Exercise, seen: Observation) -> dict[str, Any]:
    """What was seen in one case, beside what should have been."""
    right = right_one(exercise, seen.case)
    shapes, right_shapes = (
        Counter(tuple(size for size in shape if size != 1) or (1,) for shape in one.weights) for one in (seen, right)
    )
    given, wanted = (sum(map(math.prod, one.weights)) for one in (seen, right))
    facts: dict[str, Any] = {
        "case": describe(seen.case.args),
        "given_count": f"{given:,}",
        "wanted_count": f"{wanted:,}",
    }
    if given != wanted:
        facts["off"] = f"{abs(given - wanted):,} {'more' if given > wanted else 'fewer'}"
    for name, counts in (("extra", shapes - right_shapes), ("missing", right_shapes - shapes)):
        facts[name] = ", ".join(f"{n} × {shape}" for shape, n in sorted(counts.items())[:4]) or "none"
    kinds = [one for one in LAYERS if seen.layers[one] or right.layers[one]]
    for name, one in (("given_layers", seen), ("wanted_layers", right)):
        facts[name] = ", ".join(f"{one.layers[kind]} {kind}" for kind in kinds)
    if seen.outputs:
        output, wanted_output, x = seen.outputs[0], right.outputs[0], seen.case.input(1)
        facts |= {"given_shape": tuple(output.shape), "wanted_shape": tuple(wanted_output.shape)}
        for name, values in (("yours", output), ("right", wanted_output)):
            if values.shape == wanted_output.shape:
                facts[f"negative_{name}"] = f"{(values < 0).float().mean().item():.0%}"
            if values.shape == x.shape:
                facts[f"below_{name}"] = f"{(values < x).float().mean().item():.0%}"
    return facts


def _in_the_layers(exercise: Exercise, seen: Sequence[Observation], bad: Observation) -> Mistake | None:
    """What can be read from the functions that ran and their settings, where they are not the reference's."""
    names = {step.name for one in seen for step in one.steps}
    for key, pattern in FOREIGN.items():
        if any(re.fullmatch(rf"(feature_|alpha_|log_)?({pattern})(\dd)?_?", name) for name in names):
            return Mistake(key)
    right = right_one(exercise, bad.case)
    for key, name, setting, default in SETTINGS:
        wanted = _settings(right.steps, name, setting) or default
        odd = [value for value in _settings(bad.steps, name, setting) if value not in wanted]
        if odd and wanted:
            return Mistake(key, given=odd[0], wanted=wanted[0])
    if any(True in _settings(one.eval_steps, "batch_norm", "training") for one in seen):
        return Mistake("norm-always-trains")
    pools, wanted_pools = ({step.name for step in one.steps if "pool" in step.name} for one in (bad, right))
    if not bad.error and "max_pool2d" in wanted_pools - pools:
        return Mistake("average-for-max" if "avg_pool2d" in pools else "no-pool")
    kernels, wanted_kernels = (_settings(one.steps, "conv2d", "kernel") for one in (bad, right))
    if not bad.error and len(set(kernels)) == 1 < len(set(wanted_kernels)):
        return Mistake("wrong-kernels", given=_times(kernels), wanted=_times(wanted_kernels))
    paddings, wanted_paddings = (_settings(one.steps, "conv2d", "padding") for one in (bad, right))
    fitting = dict(zip(wanted_kernels, wanted_paddings, strict=True))
    for kernel, padding in zip(kernels, paddings, strict=True):
        if fitting.get(kernel, padding) != padding:
            return Mistake("unpadded", given=kernel, yours=padding, right=fitting[kernel])
    strides, wanted_strides = (_settings(one.steps, "conv2d", "stride") for one in (bad, right))
    if not bad.error and len(strides) == len(wanted_strides) < 12 and Counter(strides) != Counter(wanted_strides):
        return Mistake("strides", given=", ".join(map(str, strides)), wanted=", ".join(map(str, wanted_strides)))
    return None


def _settings(steps: Sequence[Step], name: str, setting: str) -> list[Any]:
    return [step.settings[setting] for step in steps if step.name == name and setting in step.settings]


def _times(values: Sequence[str]) -> str:
    return ", ".join(f"{count} × {value}" for value, count in sorted(Counter(values).items()))


def _in_words(exercise: Exercise, bad: Observation, parted: str) -> Mistake:
    """No name fits: say where the first difference is."""
    if bad.error is not None:
        return bad.error
    if not bad.steady:
        return Mistake("unsteady")
    right = right_one(exercise, bad.case)
    given, wanted = (tuple(one.outputs[0].shape) for one in (bad, right))
    if parted == "parameters" and (explained := exercise.explain(bad.weights)):
        return explained
    if parted == "parameters" and (given == wanted or bad.layers != right.layers):
        return Mistake("parameters" if bad.layers == right.layers else "layer-count")
    if parted == "idle":
        return Mistake("used-twice")
    if given != wanted:
        lost = len(given) < len(wanted) and [n for n in given if n != 1] == [n for n in wanted if n != 1]
        return Mistake("batch-axis-lost" if lost else "wrong-shape")
    if parted == "eval":
        return Mistake("eval-differs")
    other = "layers" if bad.layers != right.layers else "order"
    return relation(bad.outputs, right.outputs) or Mistake(other)
