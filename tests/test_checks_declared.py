"""Every exercise is held to its word: the right answer passes, each slip is refused under its own name."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from resnet_lib.teaching import checks
from resnet_lib.teaching.checking import Exercise, ModuleExercise, compare_modules

EXERCISES = checks.EXERCISES
every_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)


def possible(exercise: Exercise) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The wrong answers that can be made here: a set of mutations may hold some for other modules. Of large nets one a
    slip, since each takes a second."""
    for one in exercise.slips:
        made = (wrong for wrong in one.wrong if _can_be_made(exercise, wrong))
        for wrong in islice(made, 1) if getattr(exercise, "net", False) else made:
            yield one.keys, exercise.make(wrong)


def _can_be_made(exercise: Exercise, wrong: Any) -> bool:
    if not isinstance(exercise, ModuleExercise):
        return True
    return compare_modules._mutated(exercise, exercise.cases[0], [wrong]) is not None


@every_exercise
def test_the_right_answer_is_right_and_goes_on(exercise: Exercise, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = exercise.check(exercise.right)
    assert verdict.ok, verdict.text
    assert verdict.use(None) is exercise.right
    assert "The next cells use yours." in capsys.readouterr().out


@every_exercise
def test_every_slip_is_refused_under_its_own_name(exercise: Exercise) -> None:
    """So no two slips are the same, and none is right."""
    wrong = [(keys, exercise.check(answer)) for keys, answer in possible(exercise)]
    assert not [(keys, verdict.keys) for keys, verdict in wrong if keys != verdict.keys]
    assert {one.keys for one in exercise.slips} == {keys for keys, _ in wrong}, "a slip that nobody can make here"
    assert all(verdict.use("the library's") == "the library's" for _, verdict in wrong)


@every_exercise
def test_every_slip_has_a_text_and_says_it_whole(exercise: Exercise) -> None:
    for one in exercise.slips:
        assert all(key in exercise.texts for key in one.keys), f"{one.keys} needs a slip of its own"
        assert not one.text or (one.text[0] not in " " and one.text.rstrip()[-1] in ".?)`!"), one.text


def test_an_exercise_cannot_be_declared_twice() -> None:
    twice = Exercise("twice(x)", praise="", right=lambda x: 2 * x, cases=[(1,)])
    twice.slip("adds", "You add 2.", lambda x: x + 2)
    with pytest.raises(ValueError, match="declared twice"):
        twice.slip("adds", "You add 2.", lambda x: x + 3)
