"""Answers as learners write them: right ones pass however they are written, wrong ones that are no slip are named.

The answers are in tests/answers.
"""

import re

import pytest
from answers import BANK, Answer

from resnet_lib.teaching import checks
from resnet_lib.teaching.checking import sandbox

GENERIC = {"layers", "order", "parameters", "wrong-value", "wrong-values", "unexpected"}


@pytest.mark.parametrize("answer", BANK, ids=map(str, BANK))
def test_answers_get_the_diagnosis_of_a_good_teacher(
    answer: Answer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if answer.keys == "endless":
        monkeypatch.setattr(sandbox, "PATIENCE", 0.02)
    verdict = checks.EXERCISES[answer.exercise].check(answer.given)
    printed = capsys.readouterr().out
    assert set(verdict.keys) == set(answer.keys.split(", ")), printed
    assert verdict.ok == bool(verdict) == (answer.keys == "right")
    assert printed.startswith("✓" if verdict.ok else "✗") and printed.count("✗") == (not verdict.ok)
    quoted = re.search(r"in\s+line\s+\d+,\s+`.*`", printed, re.DOTALL)  # the learner's own line may hold what it will
    assert not re.search(r"[{}\0]|0x[0-9a-f]{6}", printed.replace(quoted.group() if quoted else "", ""))


def test_no_answer_is_left_without_a_name() -> None:
    assert not [str(answer) for answer in BANK if set(answer.keys.split(", ")) & GENERIC], "that names nothing"
