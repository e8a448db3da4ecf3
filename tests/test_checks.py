"""The checks: right answers pass however they are written, wrong ones are named, and nothing makes a check raise.

The answers are in tests/answers.
"""

import random
import re
import signal
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from answers import BANK as ALL_ANSWERS
from answers import Answer
from answers.hostile import ACTIONS, ENDLESS, MODULES, OBJECTS, RESULTS

import resnet_lib as rl
from resnet_lib.teaching import checks
from resnet_lib.teaching.checks import engine, room

FOLDER = Path(checks.__file__).parent
TEXTS = re.findall(r"^## (\S+)$", "\n".join(p.read_text("utf-8") for p in FOLDER.glob("*.md")), re.MULTILINE)
CHECKS = {name.removeprefix("check_"): getattr(checks, name) for name in checks.__all__}
CHECKS = {name: check for name, check in CHECKS.items() if name not in checks.EXERCISES}
BANK = [answer for answer in ALL_ANSWERS if answer.exercise in CHECKS]
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
