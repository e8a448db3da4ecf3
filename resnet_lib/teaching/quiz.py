"""Predictions and quizzes: radio buttons, none of them chosen beforehand, and a reason for each answer of a quiz.

Both show themselves as live buttons where there is a kernel and as text where there is none. Run unattended, nothing
is chosen.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from IPython.display import display

from resnet_lib.arguments import require_choice
from resnet_lib.widgets.front import Front, bundle

BANK = Path(__file__).parent / "questions.json"


@cache
def question_bank() -> dict[str, list[dict[str, Any]]]:
    """Every quiz of the course: its name, such as "01-end", and its questions.

    The options are in an order of chance that is the same every time: whoever writes a question puts the answer first.
    """
    bank = json.loads(BANK.read_text(encoding="utf-8"))
    for question in (question for quiz in bank.values() for question in quiz):
        Random(question["id"]).shuffle(question["options"])
    return bank


class Predict:
    """A question to answer before a measurement. `answer` is the option chosen, None before; a later cell calls
    `compare`."""

    def __init__(self, question: str, options: Sequence[str]):
        self.question, self.options = question, tuple(options)
        asked = {"id": "prediction", "question": question, "options": [{"text": option} for option in self.options]}
        self.front = Front(spec={"title": f"Prediction: {question}", "questions": [asked]})

    @property
    def answer(self) -> str | None:
        chosen = self.front.state.get("prediction")
        return None if chosen is None else self.options[chosen]

    def compare(self, measured: str) -> None:
        """Print the prediction beside what was measured. ValueError for something that was no option."""
        require_choice("measured", measured, self.options)
        print(self.comparison(self.answer, measured))

    def comparison(self, answer: str | None, measured: str) -> str:
        """What `compare` says of an answer."""
        if answer is None:
            return f"You made no prediction.\nMeasured:      {measured}."
        verdict = "As predicted." if answer == measured else "A surprise: say why in one sentence before you read on."
        return f"You predicted: {answer}.\nMeasured:      {measured}.\n{verdict}"

    @property
    def text(self) -> str:
        return f"{self.question}: {' / '.join(self.options)}"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Any:
        return bundle(self.front, self.text)


class Quiz:
    """The questions of one quiz, "01-warm-up" or "01-end". Choosing an answer shows why it is right or wrong.

    `answers` is what was chosen, by the question's id.
    """

    def __init__(self, name: str):
        require_choice("name", name, tuple(question_bank()))
        self.name, self.questions = name, question_bank()[name]
        asked = [
            {
                "id": question["id"],
                "question": f"{number}. {question['question']}",
                "options": [{"text": option["text"], "reason": reason(option)} for option in question["options"]],
            }
            for number, question in enumerate(self.questions, start=1)
        ]
        self.front = Front(spec={"title": f"Quiz {name}", "questions": asked})

    @property
    def answers(self) -> dict[str, str]:
        options = {question["id"]: question["options"] for question in self.questions}
        return {identifier: options[identifier][chosen]["text"] for identifier, chosen in self.front.state.items()}

    @property
    def score(self) -> str:
        """Such as "2 of 5 right, 3 not answered"."""
        right = sum(
            option["correct"] and self.answers.get(question["id"]) == option["text"]
            for question in self.questions
            for option in question["options"]
        )
        missing = len(self.questions) - len(self.answers)
        return f"{right} of {len(self.questions)} right" + (f", {missing} not answered" if missing else "")

    @property
    def text(self) -> str:
        """All questions with their options: what stands here where there is no kernel."""
        rows = []
        for number, question in enumerate(self.questions, start=1):
            rows.append(f"{number}. {question['question']}")
            rows += [
                f"   {letter}) {option['text']}" for letter, option in zip("abcd", question["options"], strict=False)
            ]
        return "\n".join(rows)

    def show(self) -> None:
        display(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Any:
        return bundle(self.front, self.text)


def reason(option: dict[str, Any]) -> str:
    """What follows when this option is chosen."""
    return f"{'✓ Right.' if option['correct'] else '✗ Not this one.'} {option['reason']}"
