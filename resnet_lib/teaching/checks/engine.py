"""How a check runs: in a sealed room, with one printed verdict at the end.

A check raises `Mistake` with the key of a text in the .md files beside this one; `exercise` turns it into the verdict.
"""

import inspect
import re
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resnet_lib.teaching.checks.room import Sink, TimeUp, sealed, undisturbed

PATIENCE = 1.0  # every time limit is multiplied by this
HERE = Path(__file__).parent
LIBRARIES = tuple(str(Path(str(module.__file__)).parent) for module in (torch, np)) + (str(HERE.parents[1]),)
_room = threading.local()  # .signature: what the exercise asks for


class Verdict:
    """What a check found. True when the answer is right; `keys` name the mistakes otherwise."""

    def __init__(self, ok: bool, keys: tuple[str, ...], text: str, learners: Any = None):
        self.ok, self.keys, self.text, self._learners = ok, keys, text, learners

    def use(self, default: Any) -> Any:
        """The learner's object if it is right, `default` otherwise; says which in one sentence."""
        print("  The next cells use yours." if self.ok else "  Until yours is right, the next cells use the library's.")
        return self._learners if self.ok else default

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return ""

    def _ipython_display_(self) -> None:
        """Nothing: the check has printed it."""


class Mistake(Exception):
    """What the learner did, as keys of texts, and what was measured for the blanks in them."""

    def __init__(self, *keys: str, **evidence: object):
        super().__init__(*keys)
        self.keys, self.evidence = keys, evidence


def exercise(signature: str, seconds: float = 10.0) -> Callable[[Callable[[Any], str]], Callable[[Any], Verdict]]:
    """Make a check of a function that returns praise or raises Mistake. `signature` is what the learner writes."""

    def decorate(body: Callable[[Any], str]) -> Callable[[Any], Verdict]:
        @wraps(body)
        def check(learners: Any) -> Verdict:
            verdict = _judge(body, learners, signature, seconds)
            encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
            print(verdict.text.encode(encoding, "replace").decode(encoding))
            return verdict

        check.__annotations__ = {"learners": Any, "return": Verdict}
        return check

    return decorate


def _judge(body: Callable[[Any], str], learners: Any, signature: str, seconds: float) -> Verdict:
    said, name = Sink(), signature.partition("(")[0]
    try:
        with sealed(said, seconds * PATIENCE):
            _room.signature = signature
            if inspect.isroutine(learners) or inspect.isclass(learners):
                own = getattr(learners, "__name__", None)
                name = own if isinstance(own, str) and own.isidentifier() else name
            if not callable(learners):
                raise Mistake("not-callable", got="None" if learners is None else f"a value of type {kind(learners)}")
            if isinstance(learners, nn.Module):
                raise Mistake("instance")
            praise = body(learners)
        keys: tuple[str, ...] = ("right",)
        lines = [praise]
    except Mistake as mistake:
        keys = mistake.keys
        lines = [_filled(texts()[key], {**mistake.evidence, "signature": signature}) for key in keys]
    except TimeUp:
        keys, lines = ("endless",), [texts()["endless"]]
    except BaseException as error:  # whatever a stranger's object does, the lesson goes on
        keys, lines = ("unexpected",), [_filled(texts()["unexpected"], _error(error))]
    ok = keys == ("right",)
    if said.heard:
        lines.append("(What your code prints is left out here.)")
    head = f"✓ {name}: right." if ok else f"✗ {name}: not yet."
    body_lines = [textwrap.fill(line, 112, initial_indent="  ", subsequent_indent="  ") for line in lines]
    return Verdict(ok, keys, "\n".join([head, *body_lines]), learners)


class _Blanks(dict):
    """A blank that nothing was measured for."""

    def __missing__(self, key: str) -> str:
        return "\0"


def _filled(text: str, evidence: Mapping[str, object]) -> str:
    """The text without the clauses for which nothing was measured."""
    text = text.format_map(_Blanks(evidence))
    return re.sub(r"(: |(?<=[.?] ))[^:.]*\0[^:.]*\.", lambda clause: "." if clause[1] == ": " else "", text)


@cache
def texts() -> dict[str, str]:
    """What is said about each mistake, by its key: the sections of the .md files."""
    pages = [path.read_text("utf-8") for path in sorted(HERE.glob("*.md"))]
    sections = [part.partition("\n") for page in pages for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]]
    return {key.strip(): " ".join(text.split()) for key, _, text in sections}


# Calling a stranger


def call(function: Any, *args: Any, doing: str = "") -> Any:
    """function(*args), the learner's. What goes wrong there becomes a Mistake that says where."""
    try:
        signature = inspect.signature(function)
    except Exception:
        signature = None  # builtins have none, and strangers may have anything
    try:
        if signature is not None:
            signature.bind(*args)
    except TypeError:
        assert signature is not None
        raise Mistake("signature", wanted=_room.signature, got=", ".join(signature.parameters)) from None
    try:
        with undisturbed():
            return function(*args)
    except (Mistake, TimeUp):
        raise
    except BaseException as error:
        text = _text(error)
        if "Module.__init__() call" in text:
            raise Mistake("no-super-init") from None
        if isinstance(error, NotImplementedError) and "forward" in text:
            raise Mistake("no-forward") from None
        raise Mistake("raises", doing=doing or describe(args), **_error(error)) from error


def _error(error: BaseException) -> dict[str, str]:
    """The error in one line, and the learner's line it came from. No addresses, which differ from run to run."""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", (_text(error).strip().splitlines() or [""])[0])[:160]
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(LIBRARIES)]
    line = frames[-1].line if frames and isinstance(error, Exception) else ""
    return {"error": f"{kind(error)}: {text}" if text else kind(error), "at": f" in the line `{line}`" if line else ""}


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""  # a class of the learner's


def wanted_signature() -> str:
    """What the exercise asks for."""
    return _room.signature


def kind(thing: object) -> str:
    return type(thing).__name__


def describe(args: Sequence[Any]) -> str:
    """Arguments in words: (4, 6, stride 2)."""
    return f"({', '.join(_word(arg) for arg in args)})"


def _word(arg: Any) -> str:
    if isinstance(arg, Tensor):
        return f"a tensor of shape {tuple(arg.shape)}"
    if isinstance(arg, nn.Module):
        return f"a {kind(arg)}"
    if isinstance(arg, (list, tuple)):
        return f"[{', '.join(map(_word, arg))}]"
    if isinstance(arg, (int, float, str, type(None))):
        return repr(arg)
    return getattr(arg, "__name__", None) or f"a {kind(arg)}"
