"""The engine of the checks: nothing makes one raise, what learners do to the kernel is undone, limits do no harm."""

import builtins
import gc
import os
import random
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from answers.hostile import ACTIONS, ENDLESS, MODULES, OBJECTS, RESULTS, changes_everything, loops
from torch import nn
from torch.nn import functional as F

import resnet_lib as rl
from resnet_lib.teaching import checks
from resnet_lib.teaching.checking import Case, Exercise, ModuleExercise, noise, sandbox, trace
from resnet_lib.teaching.checks.mutations import Basic

FEW = ("residual_sum", "basic_block", "zero_init", "conv_gradients")  # one of each kind


def settings() -> list[Any]:
    """What a check must leave as it was."""
    return [
        torch.get_rng_state().tolist(), random.getstate(), repr(np.random.get_state()), torch.get_default_dtype(),
        torch.get_num_threads(), torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_device(),
        torch.is_autocast_enabled("cpu"), torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(), torch.is_anomaly_enabled(),
        np.geterr(), list(warnings.filters), sys.getrecursionlimit(), sys.stdout, sys.stderr, sys.gettrace(),
        signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGINT), gc.isenabled(), Path.cwd(),
        dict(os.environ),
    ]  # fmt: skip


def refuse(check: Any, things: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Each is refused in print, and leaves no trace."""
    for number, thing in enumerate(things):
        before = settings()
        verdict = check(thing)
        printed, said = capsys.readouterr()
        assert not verdict.ok and printed.startswith("✗") and printed.count("✗") == 1 and not said, (number, printed)
        assert len(printed) < 2000
        assert settings() == before, number


@pytest.mark.parametrize("things", [OBJECTS, RESULTS, ACTIONS, MODULES], ids=["objects", "results", "code", "modules"])
@pytest.mark.parametrize("name", FEW)
def test_hostile_things_are_refused_and_undone(
    name: str, things: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [lambda *args, result=result: result for result in RESULTS] if things is RESULTS else things
    refuse(checks.EXERCISES[name].check, answers, capsys)


@pytest.mark.thorough
@pytest.mark.parametrize("exercise", checks.EXERCISES.values(), ids=checks.EXERCISES)
def test_hostile_things_are_refused_by_every_check(exercise: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    results = [lambda *args, result=result: result for result in RESULTS]
    refuse(exercise.check, [*OBJECTS, *results, *ACTIONS, *MODULES], capsys)


@pytest.mark.parametrize("name", FEW)
def test_what_never_ends_is_ended(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "PATIENCE", 0.01)
    refuse(checks.EXERCISES[name].check, ENDLESS, capsys)


def test_what_never_ends_is_ended_in_a_thread_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no signal can come: outside the main thread, and on Windows."""
    monkeypatch.setattr(sandbox, "PATIENCE", 0.02)
    found = []
    thread = threading.Thread(target=lambda: found.append(checks.check_residual_sum(loops)))
    thread.start()
    thread.join(30)
    assert found[0].keys == ("endless",)


def test_after_a_time_out_exceptions_are_as_always(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Basic):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            while True:
                x = x + 1

    monkeypatch.setattr(sandbox, "PATIENCE", 0.01)
    assert checks.check_basic_block(Slow).keys == ("endless",)
    with pytest.raises(TypeError):
        torch.relu("text")  # type: ignore[arg-type]
    time.sleep(0.15)  # nothing comes later


def test_a_swallowed_time_out_is_said_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def swallows(branch: Any, x: torch.Tensor) -> torch.Tensor:
        try:
            time.sleep(100)
        except BaseException:
            pass
        return branch(x) + x

    monkeypatch.setattr(sandbox, "PATIENCE", 0.01)
    assert checks.check_residual_sum(swallows).keys == ("endless",)


def test_an_interrupt_goes_through(capsys: pytest.CaptureFixture[str]) -> None:
    calls = []

    def interrupted(branch: Any, x: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        raise KeyboardInterrupt

    before = settings()
    with pytest.raises(KeyboardInterrupt):
        checks.check_residual_sum(interrupted)
    assert "Interrupted" in capsys.readouterr().out
    assert len(calls) == 1 and settings() == before


def test_a_right_answer_may_misbehave_and_is_undone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as right, and what it does to Python and torch reaches neither the check nor the lesson."""

    def misbehaving(result: torch.Tensor) -> torch.Tensor:
        print("done")
        gc.disable()
        os.chdir("/")
        os.environ["COLUMNS"] = "7"
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return changes_everything(result)

    class Block(rl.BasicBlock):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return misbehaving(super().forward(x))

    def residual_sum(branch: Any, x: torch.Tensor) -> torch.Tensor:
        return misbehaving(branch(x) + x)

    hooks = [dict(those) for those in HOOKS]
    for check, answer in ((checks.check_residual_sum, residual_sum), (checks.check_basic_block, Block)):
        before = settings()
        monkeypatch.setattr(builtins, "print", lambda *args: None)  # the verdict is written all the same
        assert check(answer).ok
        monkeypatch.undo()
        assert settings() == before
        assert "right." in capsys.readouterr().out
    for those, kept in zip(HOOKS, hooks, strict=True):  # torch's own hooks are the learner's business
        those.clear()
        those.update(kept)


HOOKS = [those for name, those in vars(nn.modules.module).items() if "_global_" in name and isinstance(those, dict)]


def test_lent_modules_are_given_back() -> None:
    """A learner may hand over a function that returns a module made before."""
    module = rl.ProjectionShortcut(4, 6, 2).eval()
    module[0].weight.requires_grad_(False)
    module[1].weight.grad = torch.ones(6)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    checks.check_projection(lambda i, o, s: module)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not any(part.training or part._forward_hooks for part in module.modules())
    assert not module[0].weight.requires_grad and torch.equal(module[1].weight.grad, torch.ones(6))


# What is named without a slip

double = Exercise("double(x)", praise="twice x.", right=lambda x: 2 * x, cases=[(1,), (3,), (-5,)])
line = Exercise("line(x)", praise="a line.", right=lambda x: 0.52 * x + 0.2, cases=[(1.0,), (3.0,), (-5.0,), (2.5,)])
squares = Exercise("squares(n)", praise="squares.", right=lambda n: [i * i + 1 for i in range(n)], cases=[(3,), (5,)])
named = Exercise("named(n)", praise="by name.", right=lambda n: {"n": n}, cases=[(3,), (5,)])
moved = Exercise("moved(x)", praise="moved.", right=lambda x: x + 1, cases=[(noise(2, 3, 4),), (noise(3, 2, 2),)])
scores = Exercise("scores(net)", praise="one for each layer.", right=lambda net: [1.0, 2.0], floats=True,
                  cases=lambda: [(nn.Sequential(nn.Linear(2, 2), nn.ReLU()),)])  # fmt: skip


ones = Exercise(
    "ones(net)", praise="all ones.", right=lambda net: nn.init.ones_(net[0].weight),
    cases=lambda: [(nn.Sequential(nn.Linear(2, 2), nn.ReLU()),)],
    changes=lambda net: {name: p.detach() for name, p in net.named_parameters()},
)  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        (ones.right, "right"),
        (lambda net: (ones.right(net), net)[1], "right"),
        (lambda net: 0 * net[0].weight, "nothing-changed"),
        (lambda net: (twin := deepcopy(net), ones.right(twin))[0], "changes-a-copy"),
        (lambda net: nn.init.zeros_(net[0].weight), "changed-wrongly"),
        (lambda net: setattr(net, "0", nn.Identity()), "changed-wrongly"),
        (lambda net: ones.right(net.eval()), "changes-mode"),
        (lambda net: ones.right(net.requires_grad_(False)), "changes-learning"),
    ],
)
def test_a_changed_net_is_compared_afterwards(answer: Callable[..., Any], key: str) -> None:
    assert ones.check(answer).keys == (key,)


def test_a_verdict_gives_an_example() -> None:
    assert "For (1) it returns -2." in double.check(lambda x: -2 * x).text


def stub(x): ...  # no type, as in a lesson


def adds_a_row(x):
    row = x[0, 0, :2]
    return x + row


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (adds_a_row, r"in line \d+, `return x \+ row`, where x has shape \(2, 3, 4\) and row has shape \(2,\)\."),
        (lambda x: nn.Sequential(nn.Linear(5, 1))(x), r"where x has shape \(2, 3, 4\)"),
        (nn.Sequential(nn.Linear(5, 1)).forward, r"in Linear\(in_features=5, .*\), where input has shape \(2, 3, 4\)"),
        (lambda x: x + unknown, r"NameError: name 'unknown' is not defined in line \d+, `.*`\."),  # noqa: F821
        (eval("lambda x: x + unknown"), r"NameError: name 'unknown' is not defined in line 1\."),
        (lambda x: (x + 1).permute(0, 2, 1), r"axes are \(axis 0, axis 2, axis 1\) instead of \(axis 0, axis 1"),
    ],
)  # fmt: skip
def test_an_error_is_told_with_its_line_and_its_shapes(answer: Any, said: str) -> None:
    assert re.search(said, " ".join(moved.check(answer).text.split())), moved.check(answer).text


def test_axes_have_names() -> None:
    text = " ".join(checks.check_torch_kernel(lambda kernel: kernel).text.split())
    assert (
        "the axes are (height, width, in_channels, out_channels) instead of (out_channels, in_channels, height" in text
    )


@pytest.mark.parametrize(
    ("exercise", "answer", "key"),
    [
        (double, stub, "untouched"),
        (double, lambda x: 2 * x + 1, "one-too-many"),
        (double, lambda x: 2 * x - 1, "one-too-few"),
        (double, lambda x: 2 * x + 7, "off-by"),
        (double, lambda x: 4 * x, "wrong-factor"),
        (double, lambda x: x, "wrong-factor"),
        (double, lambda x: 6 * x, "wrong-factor"),
        (double, lambda x: -2 * x, "negative"),
        (double, lambda x: [2 * x], "nested"),
        (double, lambda x: 2.0 * x, "a-float"),
        (double, lambda x: [2, x, 3 * x], "not-a-number"),
        (double, lambda x: None if x < 0 else 2 * x, "returns-none"),
        (double, lambda x: print(2 * x), "prints"),
        (double, lambda x: str(2 * x), "a-string"),
        (double, lambda x: 2 * x if x < 3 else 9, "one-case"),
        (double, lambda x: x**3, "wrong-value"),
        (double, lambda x: [] if x < 3 else [x], "not-a-number"),
        (double, lambda x: {1: 2 * x}, "not-a-number"),
        (double, lambda x: 7, "constant"),
        (double, lambda x, y: 2 * x, "signature"),
        (double, lambda x: 1 / 0, "raises"),
        (line, lambda x: 52 * x + 20, "percent"),
        (line, lambda x: (0.52 * x + 0.2) / 100, "wrong-factor"),
        (line, lambda x: 0.8 - 0.52 * x, "complement"),
        (line, lambda x: 1 / (0.52 * x + 0.2), "reciprocal"),
        (line, lambda x: (0.52 * x + 0.2) ** 2, "squared"),
        (line, lambda x: abs(0.52 * x + 0.2), "absolute"),
        (line, lambda x: max(0.52 * x + 0.2, 0), "positive-part"),
        (line, lambda x: round(0.52 * x + 0.2, 1), "rounded"),
        (line, lambda x: (0.52 * x + 0.2) // 1, "fraction-lost"),
        (line, lambda x: [x, 0.52 * x + 0.2], "all-for-last"),
        (line, lambda x: [0.52 * x + 0.2, x], "all-for-first"),
        (line, lambda x: [0.52 * x, 0.2], "not-summed"),
        (line, lambda x: [1.04 * x, 0.4], "not-averaged"),
        (squares, lambda n: (n - 1) ** 2 + 1, "last-for-all"),
        (squares, lambda n: sum(i * i + 1 for i in range(n)), "summed"),
        (squares, lambda n: n, "count-for-list"),
        (squares, lambda n: [i * i + 1 for i in range(n)][::-1], "reversed"),
        (squares, lambda n: [i * i + 1 for i in (1, 0, *range(2, n))], "reordered"),
        (squares, lambda n: [[i * i + 1] for i in range(n)], "each-wrapped"),
        (squares, lambda n, found=[]: found.append(n) or found, "same-object"),
        (squares, lambda n: [i * i + 1 for i in range(1, n)], "first-missing"),
        (squares, lambda n: [i * i + 1 for i in range(n - 1)], "last-missing"),
        (squares, lambda n: [i * i + 1 for i in range(n + 1)], "wrong-length"),
        (squares, lambda n: (i for i in range(n)), "not-a-list"),
        (named, lambda n: [n], "not-a-dict"),
        (named, lambda n: {"m": n}, "wrong-keys"),
        (named, lambda n: {"n": n + 1}, "wrong-entry"),
        (moved, lambda x: (x + 1).permute(2, 1, 0), "axes-permuted"),
        (moved, lambda x: (x + 1).flip(1), "flipped"),
        (moved, lambda x: (x + 1).transpose(0, 1).reshape(x.shape), "reordered"),
        (moved, lambda x: (x + 1)[None], "axis-too-many"),
        (moved, lambda x: x, "off-by"),
        (moved, lambda x: (x + 1).tolist(), "not-a-tensor"),
        (moved, lambda x: (x + 1).numpy(), "not-a-tensor"),
    ],
)
def test_common_mistakes_of_functions(exercise: Exercise, answer: Any, key: str) -> None:
    assert exercise.check(answer).keys == (key,)


def test_a_relation_has_to_hold_in_every_case_and_be_the_only_one() -> None:
    once = Exercise("once(x)", praise="", right=lambda x: 2 * x, cases=[(1,), (1,)])
    assert once.check(lambda x: 4).keys == ("wrong-value",)  # twice as large, and two too many
    assert double.check(lambda x: 4 * x if x > 0 else 3).keys == ("wrong-value",)


def changing(change: Callable[[nn.Module], object]) -> Callable[[nn.Module], list[float]]:
    def answer(net: nn.Module) -> list[float]:
        change(net)
        return [1.0, 2.0]

    return answer


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        (changing(lambda net: net.eval()), "changes-mode"),
        (changing(lambda net: nn.init.zeros_(net[0].weight)), "changes-weights"),
        (changing(lambda net: net.requires_grad_(False)), "changes-learning"),
        (changing(lambda net: net(torch.ones(1, 2)).sum().backward()), "leaves-gradients"),
        (changing(lambda net: net.register_forward_hook(lambda *args: None)), "leaves-hooks"),
        (changing(lambda net: net.append(nn.ReLU())), "changes-layers"),
        (lambda net: torch.tensor([1.0, 2.0]), "tensors-for-floats"),
        (lambda net: [torch.tensor(1.0), torch.tensor(2.0)], "tensors-for-floats"),
        (lambda net: {"first": 1.0, "second": 2.0}, "not-a-list"),
    ],
)
def test_side_effects_and_types(answer: Any, key: str) -> None:
    assert scores.check(answer).keys == (key,)


class Own(nn.Module):
    """A right basic block; the tests get it wrong."""

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())) + x).relu()


def altered(change: Callable[[Any], object]) -> type:
    class Altered(Own):
        def __init__(self, *args: int):
            super().__init__(*args)
            change(self)

    return Altered


def grouped(block: Any, **options: Any) -> None:
    channels = block.conv1.in_channels
    padding = options.get("dilation", 1)
    block.conv1 = nn.Conv2d(channels, channels, 3, padding=padding, bias=False, **options)


def laid_out(*axes: int, copied: bool = False) -> type:
    """A right plain block whose kernels are kept otherwise, and permuted by `axes` for the convolution."""

    class LaidOut(nn.Module):
        def __init__(self, in_channels: int, channels: int, stride: int = 1):
            super().__init__()
            self.stride, kernels = stride, [(channels, in_channels, 3, 3), (channels, channels, 3, 3)]
            kept = [[shape[axes.index(axis)] for axis in range(4)] for shape in kernels]
            self.second, self.first = (nn.Parameter(torch.ones(shape)) for shape in reversed(kept))
            self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for kernel, norm, stride in zip((self.first, self.second), self.norms, (self.stride, 1), strict=True):
                kernel = kernel.permute(axes).contiguous() if copied else kernel.permute(axes)
                x = norm(F.conv2d(x, kernel, stride=stride, padding=1)).relu()
            return x

    return LaidOut


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (1, 0, 2, 3), (3, 2, 0, 1), (2, 3, 0, 1)])
def test_weights_may_be_laid_out_in_any_way(axes: tuple[int, ...], copied: bool) -> None:
    assert checks.check_plain_block(laid_out(*axes, copied=copied)).ok


class InAList(Own):
    def __init__(self, *args: int):
        super().__init__(*args)
        self.kept = [self.conv1]
        del self.conv1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.conv1 = None
        return self.bn1(self.kept[0](x))


class SharesItsList(Own):
    def __init__(self, channels: int, _: int, layers: Any = []):  # noqa: B006
        super().__init__(channels, channels)
        layers.append(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + super().forward(x)


class NotCalled(Own):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv2(nn.ReLU(x))  # type: ignore[arg-type]


class OneTwice(Own):
    """All weights of one shape are the same in a check; that hides nothing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.bn2(self.conv1(self.bn1(self.conv1(x)).relu())) + x).relu()


class ReturnsX(Own):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class WithoutSelf(Own):
    def forward(x):
        return x


class InitWithoutSelf(Own):
    def __init__(in_channels: int, channels: int):
        pass


class Misspelt(nn.Module):
    def _init_(self, in_channels: int, channels: int) -> None: ...


class Float64(Own):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).double()


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        (Own, "right"),
        (altered(lambda b: grouped(b, dilation=2)), "dilated"),
        (altered(lambda b: grouped(b, padding_mode="reflect")), "padding-mode"),
        (altered(lambda b: setattr(b.bn1, "momentum", 0.9)), "wrong-momentum"),
        (altered(lambda b: setattr(b.bn1, "eps", 0.1)), "wrong-eps"),
        (altered(lambda b: setattr(b.bn1.eval(), "train", lambda mode=True: b.bn1)), "norm-frozen"),
        (InAList, "plain-list"),
        (SharesItsList, "mutable-default"),
        (NotCalled, "layer-not-called"),
        (OneTwice, "shared-convolution"),
        (WithoutSelf, "forgets-self"),
        (ReturnsX, "nothing-runs"),
        (InitWithoutSelf, "forgets-self"),
        (Misspelt, "misspelt-method"),
        (Float64, "wrong-dtype"),
    ],
)  # fmt: skip
def test_common_mistakes_of_modules(answer: Any, key: str) -> None:
    assert checks.check_basic_block(answer).keys == (key,)


def test_a_verdict_speaks_of_the_case_that_failed() -> None:
    exercise = ModuleExercise(
        "Block(i, c)", reference=lambda i, c: Basic(i, c, shortcut=nn.Identity()),
        cases=[Case((4, 4), (2, 4, 5, 5)), Case((6, 6), (2, 6, 5, 5))],
    )  # fmt: skip
    verdict = exercise.check(altered(lambda b: setattr(b.bn2, "eps", 0.3 if b.conv1.in_channels == 6 else 1e-5)))
    assert verdict.keys == ("wrong-eps",)
    layers = exercise.check(lambda i, c: Basic(i, c, shortcut=nn.Identity() if i == 4 else nn.Dropout(0.9)))
    assert layers.keys == ("dropout",)


def test_an_observation_cannot_be_changed() -> None:
    seen = trace.observe(Own, Case((4, 4), (2, 4, 5, 5)))
    with pytest.raises(AttributeError):
        seen.outputs = ()  # type: ignore[misc]


def test_a_part_that_has_no_slip_is_told_in_words() -> None:
    numbered = Exercise(
        "numbered(x)", praise="", right=lambda x: {"a": x}, cases=[(1,), (2,)],
        view=lambda returned, args: {"found": returned},
    )  # fmt: skip
    keys, kind = numbered.check(lambda x: {"b": x}), numbered.check(lambda x: 3 + x)
    assert keys.keys == ("wrong-keys",) and "Missing: 'a'. Too many: 'b'." in keys.text
    assert kind.keys == ("not-a-dict",) and "it returns 4" in kind.text
