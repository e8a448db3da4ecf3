"""How a check runs: in a sealed room, against the clock, with one printed verdict at the end.

A check raises `Mistake` with the key of a text in the .md files beside this one; `exercise` turns it into the verdict.
"""

import ctypes
import inspect
import io
import random
import re
import signal
import sys
import textwrap
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import cache, wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

PATIENCE = 1.0  # every time limit is multiplied by this
HERE = Path(__file__).parent
LIBRARIES = tuple(str(Path(str(module.__file__)).parent) for module in (torch, np)) + (str(HERE.parents[1]),)
_room = threading.local()  # .stack: what is put back when the check ends; .signature: what the exercise asks for


class Verdict:
    """What a check found. True when the answer is right; `keys` name the mistakes otherwise."""

    def __init__(self, ok: bool, keys: tuple[str, ...], text: str):
        self.ok, self.keys, self.text = ok, keys, text

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


class TimeUp(BaseException):
    """Not an Exception, so that `except Exception` in a loop does not catch it."""


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
    said = io.StringIO()
    try:
        with _sealed(said, seconds * PATIENCE):
            _room.signature = signature
            if not callable(learners):
                raise Mistake("not-callable", got="None" if learners is None else f"a value of type {kind(learners)}")
            if isinstance(learners, nn.Module):
                raise Mistake("instance")
            praise = body(learners)
        keys: tuple[str, ...] = ("right",)
        lines = [praise]
    except Mistake as mistake:
        keys, evidence = mistake.keys, _Blanks(mistake.evidence, signature=signature)
        lines = [texts()[key].format_map(evidence) for key in keys]
    except TimeUp:
        keys, lines = ("endless",), [texts()["endless"]]
    except BaseException as error:  # whatever a stranger's object does, the lesson goes on
        keys, lines = ("unexpected",), [texts()["unexpected"].format_map(_Blanks(_error(error)))]
    ok = keys == ("right",)
    name = getattr(learners, "__name__", "") if inspect.isroutine(learners) or inspect.isclass(learners) else ""
    name = name if isinstance(name, str) and name.isidentifier() else signature.partition("(")[0]
    if said.getvalue().strip():
        lines.append("(What your code prints is left out here.)")
    head = f"✓ {name}: right." if ok else f"✗ {name}: not yet."
    body_lines = [textwrap.fill(line, 112, initial_indent="  ", subsequent_indent="  ") for line in lines]
    return Verdict(ok, keys, "\n".join([head, *body_lines]))


class _Blanks(dict):
    """A blank that nothing was measured for."""

    def __missing__(self, key: str) -> str:
        return "…"


@cache
def texts() -> dict[str, str]:
    """What is said about each mistake, by its key: the sections of the .md files."""
    pages = [path.read_text("utf-8") for path in sorted(HERE.glob("*.md"))]
    sections = [part.partition("\n") for page in pages for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]]
    return {key.strip(): " ".join(text.split()) for key, _, text in sections}


# The sealed room


@contextmanager
def _sealed(said: io.StringIO, seconds: float) -> Iterator[None]:
    """What the learner's code does to the rest of the kernel is undone: random numbers, dtype, threads, modes."""
    states = random.getstate(), np.random.get_state(), torch.get_default_dtype(), torch.get_num_threads()
    flags = torch.are_deterministic_algorithms_enabled(), sys.getrecursionlimit()
    try:
        with ExitStack() as stack:
            for context in (
                torch.random.fork_rng(devices=[]),
                torch.inference_mode(False),
                torch.enable_grad(),
                torch.device("cpu"),
                warnings.catch_warnings(),
                redirect_stdout(said),
                redirect_stderr(said),
            ):
                stack.enter_context(context)
            warnings.simplefilter("ignore")
            torch.set_default_dtype(torch.float32)
            torch.set_num_threads(1)  # the modules are tiny: on a busy machine two threads wait for each other
            torch.manual_seed(0)
            random.seed(0)
            np.random.seed(0)
            _room.stack = stack.enter_context(ExitStack())
            with _time_limit(seconds):
                yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_default_dtype(states[2])
        if torch.get_num_threads() != states[3]:
            torch.set_num_threads(states[3])
        torch.use_deterministic_algorithms(flags[0])
        sys.setrecursionlimit(flags[1])


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """TimeUp in this thread after `seconds`, again and again should the learner's code swallow it."""
    on_main = threading.current_thread() is threading.main_thread()
    with _alarm(seconds) if on_main and hasattr(signal, "setitimer") else _watchman(seconds):
        yield


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """By a signal, which also ends a sleep."""
    armed = True

    def stop(*_: object) -> None:
        if armed:
            raise TimeUp

    started, handler = time.monotonic(), signal.signal(signal.SIGALRM, stop)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 0.05)
    try:
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # somebody else's alarm, such as a test's time limit
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), 0.01), interval)


@contextmanager
def _watchman(seconds: float) -> Iterator[None]:
    """By a second thread, where there are no signals: on Windows and outside the main thread."""
    ident, done = ctypes.c_ulong(threading.get_ident()), threading.Event()

    def watch() -> None:
        wait = seconds
        while not done.wait(wait):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(TimeUp))
            wait = 0.05

    watchman = threading.Thread(target=watch, daemon=True)
    watchman.start()
    try:
        yield
    finally:
        done.set()
        watchman.join()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, None)  # one that was sent and has not arrived


def borrow(module: nn.Module) -> nn.Module:
    """The learner's module, which the check may fill with weights: all of it is put back when the check ends."""
    parameters = [(p, p.data, p.grad, p.requires_grad) for p in module.parameters()]
    buffers = [(b, b.clone()) for b in module.buffers() if not b.is_meta]
    modes = [(part, part.training, dict(part._forward_hooks)) for part in module.modules()]

    def put_back() -> None:
        for parameter, data, grad, learns in parameters:
            parameter.requires_grad_(learns)
            parameter.data, parameter.grad = data, grad
        for buffer, values in buffers:
            buffer.copy_(values)
        for part, mode, hooks in modes:
            part.training = mode
            for key in part._forward_hooks.keys() - hooks.keys():
                del part._forward_hooks[key]

    _room.stack.callback(put_back)
    return module


# Calling a stranger


def call(function: Any, *args: Any, doing: str = "") -> Any:
    """function(*args), the learner's. What goes wrong there becomes a Mistake that says where."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        signature = None  # builtins have none
    try:
        if signature is not None:
            signature.bind(*args)
    except TypeError:
        assert signature is not None
        raise Mistake("signature", wanted=_room.signature, got=", ".join(signature.parameters)) from None
    try:
        return function(*args)
    except (Mistake, TimeUp):
        raise
    except BaseException as error:
        text = str(error)
        if "Module.__init__() call" in text:
            raise Mistake("no-super-init") from None
        if isinstance(error, NotImplementedError) and "forward" in text:
            raise Mistake("no-forward") from None
        raise Mistake("raises", doing=doing or describe(args), **_error(error)) from error


def _error(error: BaseException) -> dict[str, str]:
    """The error in one line, and the learner's line it came from. No addresses, which differ from run to run."""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", (str(error).strip().splitlines() or [""])[0])[:160]
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(LIBRARIES)]
    line = frames[-1].line if frames and isinstance(error, Exception) else ""
    return {"error": f"{kind(error)}: {text}" if text else kind(error), "at": f" in the line `{line}`" if line else ""}


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
    if isinstance(arg, (int, float, str, list, tuple, type(None))):
        return repr(arg)
    return getattr(arg, "__name__", None) or f"a {kind(arg)}"
