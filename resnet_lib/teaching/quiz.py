"""Predictions and quizzes: radio buttons whose answers stay in Python, with a reason for each wrong one.

Both show themselves as live buttons where there is a kernel and as text where there is none. Run unattended, a
prediction takes its default and a quiz stays unanswered.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from IPython.display import display

from resnet_lib.arguments import require_choice
from resnet_lib.widgets.panel import bundle, panel, radio, said
from resnet_lib.widgets.svg import escape

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

    def __init__(self, question: str, options: Sequence[str], default: str | None = None):
        if default is not None:
            require_choice("default", default, options)
        self.question, self.options = question, tuple(options)
        self._choice = radio(self.options, question, value=default)
        self._box = panel([self._choice])

    @property
    def answer(self) -> str | None:
        return self._choice.value

    def compare(self, measured: str) -> None:
        """Print the prediction beside what was measured. ValueError for something that was no option."""
        require_choice("measured", measured, self.options)
        if self.answer is None:
            print(f"You made no prediction.\nMeasured:      {measured}.")
            return
        print(f"You predicted: {self.answer}.")
        print(f"Measured:      {measured}.")
        print("As predicted." if self.answer == measured else "A surprise: say why in one sentence before you read on.")

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return bundle(self._box, f"{self.question}: {' / '.join(self.options)}")


class Quiz:
    """The questions of one quiz, "01-warm-up" or "01-end". Choosing an answer shows why it is right or wrong.

    `answers` keeps what was chosen, by the question's id.
    """

    def __init__(self, name: str):
        require_choice("name", name, tuple(question_bank()))
        self.name, self.questions = name, question_bank()[name]
        self.answers: dict[str, str] = {}
        self.controls = {question["id"]: _buttons(question) for question in self.questions}
        self.replies = {identifier: said() for identifier in self.controls}
        for question in self.questions:
            self._listen(question)
        rows = [widget for pair in zip(self.controls.values(), self.replies.values(), strict=True) for widget in pair]
        self._box = panel(rows)

    def _listen(self, question: dict[str, Any]) -> None:
        identifier = question["id"]

        def answered(change: dict[str, Any]) -> None:
            chosen = next(option for option in question["options"] if option["text"] == change["new"])
            self.answers[identifier] = chosen["text"]
            verdict = "✓ Right." if chosen["correct"] else "✗ Not this one."
            self.replies[identifier].value = escape(f"{verdict} {chosen['reason']}")

        self.controls[identifier].observe(answered, "value")

    @property
    def score(self) -> str:
        """Such as "2 of 5 right, 3 not answered"."""
        right = [question for question in self.questions if self.answers.get(question["id"]) == _correct(question)]
        missing = len(self.questions) - len(self.answers)
        return f"{len(right)} of {len(self.questions)} right" + (f", {missing} not answered" if missing else "")

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

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return bundle(self._box, self.text)


def _correct(question: dict[str, Any]) -> str:
    return next(option["text"] for option in question["options"] if option["correct"])


def _buttons(question: dict[str, Any]) -> Any:
    """One group of radio buttons, none chosen."""
    return radio([option["text"] for option in question["options"]], question["question"])
