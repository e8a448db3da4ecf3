"""The checks: right answers pass however they are written, wrong ones are named, and nothing makes a check raise.

The answers are in tests/answers.
"""

import random
import re
import signal
import sys
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from answers import BANK, Answer
from answers.hostile import ACTIONS, ENDLESS, MODULES, OBJECTS, RESULTS, changes_everything, loops_and_catches, sleeps

import resnet_lib as rl
from resnet_lib.teaching import checks
from resnet_lib.teaching.checks import engine, modules, room

FOLDER = Path(checks.__file__).parent
TEXTS = re.findall(r"^## (\S+)$", "\n".join(p.read_text("utf-8") for p in FOLDER.glob("*.md")), re.MULTILINE)
CHECKS = {name.removeprefix("check_"): getattr(checks, name) for name in checks.__all__}
GENERIC = {"layers", "order", "parameters", "wrong-value", "wrong-values", "unexpected"}
RARE = {"odd-tensor"}  # the hostile results provoke it
every_check = pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)


def settings() -> list[Any]:
    """What a check must leave as it was."""
    return [
        torch.get_rng_state().tolist(), random.getstate(), repr(np.random.get_state()), torch.get_default_dtype(),
        torch.get_num_threads(), torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_device(),
        torch.is_autocast_enabled("cpu"), torch.are_deterministic_algorithms_enabled(), torch.is_anomaly_enabled(),
        np.geterr(), list(warnings.filters), sys.getrecursionlimit(), sys.stdout, sys.stderr, sys.gettrace(),
        [dict(hooks) for hooks in room.HOOKS], signal.getsignal(signal.SIGALRM),
    ]  # fmt: skip


# The bank


@pytest.mark.parametrize("answer", BANK, ids=map(str, BANK))
def test_answers_get_the_diagnosis_of_a_good_teacher(
    answer: Answer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if answer.keys == "endless":
        monkeypatch.setattr(engine, "PATIENCE", 0.02)
    verdict = CHECKS[answer.exercise](answer.given)
    printed = capsys.readouterr().out
    assert set(verdict.keys) == set(answer.keys.split(", ")), printed
    assert verdict.ok == bool(verdict) == (answer.keys == "right")
    assert printed.startswith("✓" if verdict.ok else "✗") and printed.count("✗") == (not verdict.ok)
    assert not re.search(r"[{}\0]|0x[0-9a-f]{6}", printed.replace(verdict_line(printed), ""))


def verdict_line(printed: str) -> str:
    """The learner's own line, which a text may quote: it holds what it will."""
    quoted = re.search(r"in the line\s+`.*`", printed, re.DOTALL)
    return quoted.group() if quoted else ""


def test_the_bank_is_large_enough() -> None:
    right = Counter(answer.exercise for answer in BANK if answer.keys == "right")
    wrong = Counter(answer.exercise for answer in BANK if answer.keys != "right")
    for name in CHECKS:
        assert right[name] >= 3 and wrong[name] >= 8, name
    assert not (set(right) | set(wrong)) - set(CHECKS), "answers to exercises that do not exist"
    assert not [str(answer) for answer in BANK if set(answer.keys.split(", ")) & GENERIC], "that names nothing"


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


# Hostile objects


def refuse(check: Any, things: list[Any], capsys: pytest.CaptureFixture[str], *, name: bool = True) -> None:
    """Each is refused in print, with a name for what is wrong, and leaves no trace."""
    for number, thing in enumerate(things):
        before = settings()
        verdict = check(thing)
        printed, said = capsys.readouterr()
        assert not verdict.ok and printed.startswith("✗") and printed.count("✗") == 1 and not said, (number, printed)
        assert not name or "unexpected" not in verdict.keys, (number, printed)
        assert len(printed) < 2000
        assert settings() == before, number


@every_check
def test_hostile_objects_are_refused(check: Any, capsys: pytest.CaptureFixture[str]) -> None:
    refuse(check, OBJECTS, capsys, name=False)


@every_check
def test_hostile_results_are_refused(check: Any, capsys: pytest.CaptureFixture[str]) -> None:
    refuse(check, [lambda *args, result=result: result for result in RESULTS], capsys, name=False)


@every_check
def test_hostile_code_is_refused_and_undone(check: Any, capsys: pytest.CaptureFixture[str]) -> None:
    refuse(check, ACTIONS, capsys)


@every_check
def test_hostile_modules_are_refused_and_undone(check: Any, capsys: pytest.CaptureFixture[str]) -> None:
    refuse(check, MODULES, capsys)


@every_check
def test_what_never_ends_is_ended(
    check: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PATIENCE", 0.005)
    refuse(check, ENDLESS, capsys)


def test_what_never_ends_is_ended_in_a_thread_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no signal can come: outside the main thread, and on Windows."""
    monkeypatch.setattr(engine, "PATIENCE", 0.01)
    with ThreadPoolExecutor(1) as pool:
        for thing in ENDLESS:
            if thing not in (sleeps, loops_and_catches):  # these take a signal
                assert not pool.submit(checks.check_basic_block, thing).result(timeout=20).ok


def test_a_right_answer_may_misbehave_and_is_undone(capsys: pytest.CaptureFixture[str]) -> None:
    """It counts as right, and what it does to Python and torch reaches neither the check nor the lesson."""

    def misbehaving(result: torch.Tensor) -> torch.Tensor:
        torch.nn.modules.module._global_forward_hooks.clear()
        print("done")
        return changes_everything(result)

    class Block(rl.BasicBlock):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return misbehaving(super().forward(x))

    def residual_sum(branch: Any, x: torch.Tensor) -> torch.Tensor:
        return misbehaving(branch(x) + x)

    hook = torch.nn.modules.module.register_module_forward_hook(lambda module, args, output: None)
    try:
        for check, answer in ((checks.check_residual_sum, residual_sum), (checks.check_basic_block, Block)):
            before = settings()
            assert check(answer).ok
            assert settings() == before
            assert "What your code prints is left out" in capsys.readouterr().out
    finally:
        hook.remove()


def test_a_slow_search_for_the_name_is_not_held_against_the_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = next(answer for answer in BANK if answer.exercise == "basic_block" and answer.keys == "no-relu-after")
    slow = modules.agreement

    def agreement(*args: Any, **options: Any) -> str:
        time.sleep(0.2)
        return slow(*args, **options)

    monkeypatch.setattr(modules, "agreement", agreement)
    monkeypatch.setattr(engine, "PATIENCE", 0.02)
    assert checks.check_basic_block(answer.given).keys == ("no-relu-after",)


# The texts


def test_every_mistake_has_a_text_and_every_text_a_mistake() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py"))
    quoted = {key for literal in re.findall(r'"([a-z0-9-]+(?:, [a-z0-9-]+)*)"', source) for key in literal.split(", ")}
    assert len(TEXTS) == len(set(TEXTS)), "a text stands twice"
    quoted |= {f"is-{name}" for name in ("resnet34", "resnet50", "resnet101", "resnet152", "resnet50v2")}  # f-strings
    assert not set(TEXTS) - quoted, "nothing uses these texts"
    raised = set(re.findall(r'Mistake\(\s*"([a-z0-9-]+)"', source))
    slips = re.findall(r'^\s+"([a-z0-9-]+(?:, [a-z0-9-]+)*)": ', source, re.MULTILINE)
    raised |= {key for keys in slips for key in keys.split(", ")}
    assert not raised - set(TEXTS), "these have no text"


def test_every_text_is_provoked_by_an_answer() -> None:
    provoked = {key for answer in BANK for key in answer.keys.split(", ")}
    assert set(TEXTS) - provoked == GENERIC | RARE
