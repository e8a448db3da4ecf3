"""Questions: each has one right answer and a reason for every option; each quiz is asked by its lesson."""

import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from resnet_lib.teaching import Predict, Quiz
from resnet_lib.teaching.quiz import BANK, question_bank

LESSONS = {
    path.stem[:2]: path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].glob("notebooks/*.ipynb")
}
WRITTEN = json.loads(BANK.read_text(encoding="utf-8"))  # before the options are shuffled


def faults(quiz: str, question: dict) -> Iterator[str]:
    options = question["options"]
    if question.keys() != {"id", "lesson", "question", "options"} or question["lesson"] != quiz[:2]:
        yield "its entries or its lesson are not those of the quiz"
    if [option["correct"] for option in options] != [True] + [False] * (len(options) - 1) or len(options) < 3:
        yield "the right answer stands first, two or more wrong ones follow"
    if len({option["text"] for option in options}) < len(options):
        yield "two options are the same"
    for option in options:
        if not re.search(r"\w.*[.?]$", option["reason"]):
            yield f"no reason is given for {option['text']!r}"


@pytest.mark.parametrize("quiz", WRITTEN)
def test_questions(quiz: str) -> None:
    assert [(question["id"], fault) for question in WRITTEN[quiz] for fault in faults(quiz, question)] == []


def test_faults_are_found() -> None:
    def broken(**changes: object) -> dict:
        return {**json.loads(json.dumps(WRITTEN["01-end"][0])), **changes}

    options = broken()["options"]
    silent = [{**options[0], "reason": ""}, *options[1:]]
    for change in (
        {"lesson": "02"},
        {"options": options[1:]},
        {"options": [*options, options[1]]},
        {"options": silent},
    ):
        assert list(faults("01-end", broken(**change))), change
    assert not list(faults("01-end", broken()))


def test_every_question_has_a_name_of_its_own() -> None:
    names = [question["id"] for quiz in WRITTEN.values() for question in quiz]
    assert len(names) == len(set(names))


def test_every_quiz_is_asked_by_its_lesson_and_no_other() -> None:
    asked = {(lesson, name) for lesson, text in LESSONS.items() for name in re.findall(r'Quiz\(\\"([\w-]+)', text)}
    assert asked == {(name[:2], name) for name in WRITTEN}


def test_the_right_answer_does_not_always_stand_first() -> None:
    places = [
        [option["correct"] for option in q["options"]].index(True) for quiz in question_bank().values() for q in quiz
    ]
    assert {0, 1, 2} <= set(places) and places.count(0) < len(places) / 2


def test_choosing_an_answer_shows_why() -> None:
    quiz = Quiz("01-end")
    for question in quiz.questions:
        for option in question["options"]:
            quiz.controls[question["id"]].value = option["text"]
            verdict = "✓ Right." if option["correct"] else "✗ Not this one."
            assert unescape(quiz.replies[question["id"]].value) == f"{verdict} {option['reason']}"
            assert quiz.answers[question["id"]] == option["text"] and f") {option['text']}" in quiz.text


def test_a_prediction_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    predict = Predict("Which?", ["lower", "the same", "higher"], default="the same")
    predict.compare("the same")
    predict.compare("higher")
    said = capsys.readouterr().out
    assert predict.answer == "the same" and "As predicted." in said and "A surprise" in said
    with pytest.raises(ValueError, match="measured must be one of 'lower', 'the same', 'higher'"):
        predict.compare("no idea")
    with pytest.raises(ValueError, match="default must be one of"):
        Predict("Which?", ["lower", "higher"], default="the same")
