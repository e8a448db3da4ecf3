"""Explorers, quizzes and predictions as HTML of native controls: labelled, usable by keyboard, read without scripts.

pages.js finds a control by its data-name and reads the place of its value. A quiz needs no script at all: the style
sheet shows the reason of the option that is chosen.
"""

import base64
import json
from collections.abc import Sequence
from typing import Any

import ipywidgets

from pages.grids import Grid, values_of
from resnet_lib.teaching.quiz import Predict, Quiz
from resnet_lib.widgets.explorer import Explorer, choices
from resnet_lib.widgets.svg import escape, resolved, tag


def explorer_html(explorer: Explorer, grid: Grid, identifier: str) -> str:
    """Controls, the drawing and the sentence at the explorer's present settings. Without scripts only these two."""
    shown = [name for name in explorer.controls if name not in explorer.live]
    values = {**{name: choices(explorer.controls[name]) for name in shown}, **values_of(list(explorer.grid()))}
    controls = [control(f"{identifier}-{name}", name, explorer.controls[name], values[name]) for name in shown]
    if explorer.plays:
        button = tag("button", "Play", type="button", class_="explorer-play", data_plays=explorer.plays)
        controls.insert(shown.index(explorer.plays), button)
    left_out = [explorer.controls[name].description for name in explorer.live if name in explorer.controls]
    if left_out:
        note = f"Needs a kernel, so it is only in the notebook: {', '.join(left_out)}."
        controls.append(tag("p", escape(note), class_="explorer-note"))
    longest = max(filter(None, grid.said), key=len) + max(grid.said_too, key=len, default="")
    said = tag("span", escape(explorer.text), role="status", aria_live="polite")
    return tag(
        "div",
        tag("div", *controls, class_="explorer-controls", role="group", aria_label=f"Settings: {explorer.title}"),
        tag("div", explorer.still().drawing, class_="explorer-drawing"),
        tag("p", said, class_="explorer-said", data_longest=longest),  # room for the longest: nothing below moves
        class_="explorer",
        id=identifier,
        data_grid=grid.name,
    )


def control(identifier: str, name: str, widget: ipywidgets.Widget, values: Sequence[Any]) -> str:
    """A native control for a widget of ipywidgets, at the widget's value among all values it ever offers."""
    makers = {
        ipywidgets.Checkbox: tick,
        ipywidgets.Dropdown: menu,
        ipywidgets.RadioButtons: radios,
        ipywidgets.SelectionSlider: slider,
        ipywidgets.IntSlider: slider,
    }
    inside = makers[type(widget)](identifier, widget.description, values, values.index(widget.value))
    return tag("div", inside, class_="control", data_name=name)


def tick(identifier: str, label: str, values: Sequence[Any], chosen: int) -> str:
    ticked = "checked" if chosen else None
    return tag("input", type="checkbox", id=identifier, checked=ticked) + tag("label", escape(label), for_=identifier)


def menu(identifier: str, label: str, values: Sequence[Any], chosen: int) -> str:
    options = [option(value, index == chosen) for index, value in enumerate(values)]
    return tag("label", escape(label), for_=identifier) + tag("select", *options, id=identifier)


def option(value: Any, chosen: bool) -> str:
    return tag("option", escape(value), selected="selected" if chosen else None)


def slider(identifier: str, label: str, values: Sequence[Any], chosen: int) -> str:
    """A range over places; what stands there is written beside it and said by a screen reader."""
    place = {"type": "range", "min": 0, "max": len(values) - 1, "step": 1, "value": chosen}
    words = json.dumps([str(value) for value in values], ensure_ascii=False)
    written = tag("output", escape(values[chosen]), for_=identifier)
    bar = tag("input", **place, id=identifier, aria_valuetext=values[chosen], data_values=words)
    return tag("label", escape(label), for_=identifier) + bar + written


def radios(identifier: str, label: str, values: Sequence[Any], chosen: int | None) -> str:
    """A group of radio buttons beside their label."""
    buttons = [radio(identifier, index, value, index == chosen) for index, value in enumerate(values)]
    return tag("fieldset", tag("legend", escape(label)), *buttons)


def radio(group: str, index: int, label: Any, chosen: bool = False, after: str = "") -> str:
    """One button. Its name joins it to its group, so that arrow keys move within it."""
    identifier, checked = f"{group}-{index}", "checked" if chosen else None
    button = tag("input", type="radio", id=identifier, name_=group, value=index, checked=checked)
    return tag("div", button, tag("label", escape(label), for_=identifier), after, class_="option")


# Questions


def quiz_html(quiz: Quiz, identifier: str) -> str:
    """The reason stands behind each option, in the order of the notebook; an unchosen one is not shown."""
    groups = []
    for number, question in enumerate(quiz.questions):
        options = []
        for index, answer in enumerate(question["options"]):
            verdict = "✓ Right." if answer["correct"] else "✗ Not this one."
            reason = tag("span", escape(f"{verdict} {answer['reason']}"), class_="reason")
            live = tag("div", reason, aria_live="polite")
            options.append(radio(f"{identifier}-{number}", index, answer["text"], after=live))
        groups.append(tag("fieldset", tag("legend", escape(f"{number + 1}. {question['question']}")), *options))
    return tag("form", *groups, class_="questions", aria_label=f"Quiz {quiz.name}")


def prediction_html(guess: Predict, identifier: str) -> str:
    chosen = guess.options.index(guess.answer)
    group = radios(identifier, guess.question, guess.options, chosen)
    return tag("form", group, class_="questions", id=identifier)


def comparison_html(printed: str, texts: Sequence[str], default: str, identifier: str) -> str:
    """What a cell printed; the lines about the prediction (`texts`, one for each option) follow the reader's choice."""
    lines = tag("span", escape(default), data_prediction=identifier, data_texts=json.dumps(texts, ensure_ascii=False))
    pre = tag("pre", escape(printed).replace(escape(default), lines), tabindex=0)
    return tag("div", pre, class_="highlight")


def still_html(drawing: str | None, words: str) -> str:
    """A picture with its sentence, for what can't work without a kernel."""
    if drawing is None:
        return tag("p", escape(words), class_="explorer-said")
    data = base64.b64encode(resolved(drawing).encode()).decode()
    image = tag("img", src=f"data:image/svg+xml;base64,{data}", alt=words, width=900)
    return tag("figure", image, tag("figcaption", escape(words)))
