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
    assert quiz.score == f"0 of {len(quiz.questions)} right, {len(quiz.questions)} not answered" and quiz.answers == {}
    sent = quiz.front.spec["questions"]
    for question, written in zip(sent, quiz.questions, strict=True):
        for option, answer in zip(question["options"], written["options"], strict=True):
            verdict = "✓ Right. " if answer["correct"] else "✗ Not this one. "
            assert option == {"text": answer["text"], "reason": verdict + answer["reason"]}
    first, second, *rest = quiz.questions
    right = [option["correct"] for option in first["options"]].index(True)
    wrong = [option["correct"] for option in second["options"]].index(False)
    quiz.front.state = {first["id"]: right, second["id"]: wrong}  # as the browser sends it
    assert quiz.score == f"1 of {len(quiz.questions)} right, {len(rest)} not answered"
    assert quiz.answers[first["id"]] == first["options"][right]["text"]
    quiz.front.state = {**quiz.front.state, second["id"]: [o["correct"] for o in second["options"]].index(True)}
    assert quiz.score.startswith("2 of ")


def test_quiz_without_a_kernel_is_its_text() -> None:
    bundle, _ = Quiz("03-end")._repr_mimebundle_()
    assert bundle["text/plain"].startswith("1. ") and "   b) " in bundle["text/plain"]
    with pytest.raises(ValueError, match="name must be one of '00-warm-up', '00-end'"):
        Quiz("nonsense")


def test_prediction_keeps_its_answer_and_compares(capsys: pytest.CaptureFixture[str]) -> None:
    guess = Predict("Higher or lower?", ["higher", "lower"])
    assert guess.answer is None
    assert guess.front.spec["title"] != Predict("Sooner?", ["yes", "no"]).front.spec["title"]  # landmarks of one page
    guess.compare("higher")
    assert capsys.readouterr().out == "You made no prediction.\nMeasured:      higher.\n"
    guess.front.state = {"prediction": 1}
    guess.compare("higher")
    assert "You predicted: lower." in (said := capsys.readouterr().out) and "A surprise" in said
    guess.front.state = {"prediction": 0}
    assert guess.answer == "higher"
    guess.compare("higher")
    assert "As predicted." in capsys.readouterr().out
    assert guess._repr_mimebundle_()[0]["text/plain"] == "Higher or lower?: higher / lower"
    with pytest.raises(ValueError, match="measured must be one of 'higher', 'lower'"):
        guess.compare("sideways")
