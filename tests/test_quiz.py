"""The question bank is complete and well formed; quizzes and predictions answer as they should."""

import json
from pathlib import Path

import nbformat
import pytest

from resnet_lib.teaching import Predict, Quiz
from resnet_lib.teaching.quiz import BANK, question_bank

LESSONS = {path.stem[:2]: path for path in (Path(__file__).parents[1] / "notebooks").glob("*.ipynb")}
WRITTEN = json.loads(BANK.read_text(encoding="utf-8"))
QUESTIONS = [(quiz, question) for quiz, questions in WRITTEN.items() for question in questions]


def faults(quiz: str, question: dict) -> list[str]:
    """What is wrong with a question, one sentence each."""
    found = []
    if set(question) != {"id", "lesson", "question", "options"}:
        return [f"its keys are {sorted(question)}"]
    if question["lesson"] != quiz[:2] or question["lesson"] not in LESSONS:
        found.append(f"it belongs to lesson {question['lesson']} and stands in {quiz}")
    if not question["question"].strip():
        found.append("it asks nothing")
    if not 3 <= len(question["options"]) <= 4:
        found.append(f"it has {len(question['options'])} options")
    for option in question["options"]:
        if set(option) != {"text", "correct", "reason"} or not isinstance(option["correct"], bool):
            return [*found, f"an option has the keys {sorted(option)}"]
        if len(option["reason"].split()) < 3 or not option["text"].strip():
            found.append(f"{option['text']!r} has no reason")
    if [option["correct"] for option in question["options"]] != [True] + [False] * (len(question["options"]) - 1):
        found.append("not exactly the first option is right")
    if len({option["text"] for option in question["options"]}) < len(question["options"]):
        found.append("an option stands twice")
    return found


@pytest.mark.parametrize(("quiz", "question"), QUESTIONS, ids=[question["id"] for _, question in QUESTIONS])
def test_question_is_well_formed(quiz: str, question: dict) -> None:
    assert faults(quiz, question) == []


def test_there_are_enough_questions_and_no_id_twice() -> None:
    assert len(QUESTIONS) >= 40 and len({question["id"] for _, question in QUESTIONS}) == len(QUESTIONS)


@pytest.mark.parametrize(
    "change",
    [
        lambda q: q.pop("lesson"),
        lambda q: q.update(lesson="99"),
        lambda q: q.update(question=" "),
        lambda q: q["options"].pop(),
        lambda q: q["options"][1].update(reason=""),
        lambda q: q["options"][1].update(correct=True),
        lambda q: q["options"].reverse(),
        lambda q: q["options"][1].update(text=q["options"][2]["text"]),
        lambda q: q["options"][1].pop("reason"),
    ],
)
def test_every_fault_is_found(change) -> None:
    quiz, question = QUESTIONS[0]
    question = json.loads(json.dumps(question))
    change(question)
    assert faults(quiz, question)


@pytest.mark.parametrize("number", sorted(LESSONS))
def test_every_lesson_shows_its_quizzes(number: str) -> None:
    """A warm-up and an end quiz, each shown once."""
    code = [cell.source for cell in nbformat.read(LESSONS[number], as_version=4).cells if cell.cell_type == "code"]
    wanted = [name for name in WRITTEN if name.startswith(number)]
    assert wanted == [f"{number}-warm-up", f"{number}-end"]
    assert [name for name in wanted for source in code if source == f'Quiz("{name}").show()'] == wanted


def test_options_are_shuffled_the_same_way_every_time() -> None:
    places = [[o["correct"] for o in q["options"]].index(True) for quiz in question_bank().values() for q in quiz]
    assert 0.2 < places.count(0) / len(places) < 0.5
    question_bank.cache_clear()
    assert places == [
        [o["correct"] for o in q["options"]].index(True) for quiz in question_bank().values() for q in quiz
    ]


def test_quiz_answers_with_the_reason_and_counts() -> None:
    quiz = Quiz("01-end")
    assert quiz.score == "0 of 5 right, 5 not answered"
    first, second, *_ = quiz.questions
    right = next(option for option in first["options"] if option["correct"])
    wrong = next(option for option in second["options"] if not option["correct"])
    quiz.controls[first["id"]].value = right["text"]
    quiz.controls[second["id"]].value = wrong["text"]
    assert quiz.replies[first["id"]].value.startswith("✓ Right.")
    assert quiz.replies[second["id"]].value.startswith("✗ Not this one.")
    assert wrong["reason"].split()[0] in quiz.replies[second["id"]].value
    assert quiz.score == "1 of 5 right, 3 not answered"
    quiz.controls[second["id"]].value = next(option["text"] for option in second["options"] if option["correct"])
    assert quiz.score == "2 of 5 right, 3 not answered"


def test_quiz_without_a_kernel_is_its_text() -> None:
    bundle = Quiz("03-end")._repr_mimebundle_()
    assert bundle["text/plain"].startswith("1. ") and "   b) " in bundle["text/plain"]
    with pytest.raises(ValueError, match="name must be one of '00-warm-up', '00-end'"):
        Quiz("nonsense")


def test_prediction_keeps_its_answer_and_compares(capsys: pytest.CaptureFixture[str]) -> None:
    guess = Predict("Higher or lower?", ["higher", "lower"], default="lower")
    assert guess.answer == "lower"
    guess.compare("higher")
    assert "You predicted: lower." in (said := capsys.readouterr().out) and "A surprise" in said
    guess._choice.value = "higher"
    guess.compare("higher")
    assert "As predicted." in capsys.readouterr().out
    assert guess._repr_mimebundle_()["text/plain"] == "Higher or lower?: higher / lower"
    with pytest.raises(ValueError, match="measured must be one of 'higher', 'lower'"):
        guess.compare("sideways")
    with pytest.raises(ValueError, match="default must be one of"):
        Predict("?", ["a", "b"], default="c")


def test_who_has_not_chosen_made_no_prediction(capsys: pytest.CaptureFixture[str]) -> None:
    guess = Predict("Which is deeper?", options=["plain-8", "plain-56"])
    assert guess.answer is None
    guess.compare("plain-56")
    assert capsys.readouterr().out == "You made no prediction.\nMeasured:      plain-56.\n"
