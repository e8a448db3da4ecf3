"""Every declared exercise is held to its word: right answers pass, each slip is refused under its own name."""

from collections.abc import Iterator
from typing import Any

import pytest

from resnet_lib.teaching import checks
from resnet_lib.teaching.checking import Exercise, ModuleExercise, compare_modules

EXERCISES = checks.EXERCISES
every_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)


def possible(exercise: Exercise) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The wrong answers that can be made here: a set of mutations may hold some for other modules."""
    for one, wrong in exercise.each_wrong():
        module = isinstance(exercise, ModuleExercise)
        if not module or compare_modules._mutated(exercise, exercise.cases[0], [wrong]) is not None:
            yield one.keys, exercise.make(wrong)


@every_exercise
def test_the_right_answer_is_right(exercise: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = exercise.check(exercise.right)
    assert verdict.ok, verdict.text
    assert exercise.check(exercise.right).use(None) is exercise.right
    assert "The next cells use yours." in capsys.readouterr().out


@every_exercise
def test_every_slip_is_refused_under_its_own_name(exercise: Exercise) -> None:
    wrong = [(keys, exercise.check(answer)) for keys, answer in possible(exercise)]
    assert not [(keys, verdict.keys) for keys, verdict in wrong if keys != verdict.keys]
    assert {one.keys for one in exercise.slips} == {keys for keys, _ in wrong}, "a slip that nobody can make here"
