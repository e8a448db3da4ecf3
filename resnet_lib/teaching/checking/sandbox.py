"""Where the learner's code runs: under a time limit, with everything that it does to the kernel put back.

A learner is no adversary: this protects a lesson against accidents, not against attacks. An endless call inside C, or
an endless loop that catches every exception, is beyond the limit; there, interrupt or restart the kernel.
"""

import ctypes
import difflib
import dis
import gc
import inspect
import io
import os
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
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resnet_lib.teaching.checking.words import Mistake, describe, kind

PATIENCE = 1.0  # every time limit is multiplied by this
LIBRARIES = tuple(str(Path(str(m.__file__)).parent) for m in (torch, np)) + (str(Path(__file__).parents[2]),)
EMPTY = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE", "POP_TOP"}  # all that a stub does


class _Limit(threading.local):
    """The time limit of the check that runs."""

    def __init__(self) -> None:
        self.rung = threading.Event()


_limit = _Limit()


class TimeUp(BaseException):
    """Not an Exception, so that `except Exception` in a loop does not catch it."""


class Sink(io.TextIOBase):
    """Takes what the learner's code prints and keeps none of it, however much it is."""

    heard = False

    def write(self, text: str) -> int:
        self.heard |= bool(text.strip())
        return len(text)

    def close(self) -> None:
        """It stays open: somebody may still print."""


def _use_threads(count: int) -> None:
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


def _use_environment(before: dict[str, str]) -> None:
    if dict(os.environ) != before:
        os.environ.clear()
        os.environ.update(before)


def _use_handler(handler: Any) -> None:
    if threading.current_thread() is threading.main_thread() and handler is not None:
        signal.signal(signal.SIGINT, handler)


SETTINGS: list[tuple[Callable[[], Any], Callable[[Any], object]]] = [
    (random.getstate, random.setstate),
    (np.random.get_state, np.random.set_state),
    (np.geterr, lambda state: np.seterr(**state)),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_num_threads, _use_threads),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (lambda: torch.is_autocast_enabled("cpu"), lambda on: torch.set_autocast_enabled("cpu", on)),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    (os.getcwd, os.chdir),
    (lambda: dict(os.environ), _use_environment),
    (lambda: signal.getsignal(signal.SIGINT), _use_handler),
]


@contextmanager
def sealed(said: Sink) -> Iterator[None]:
    """What the learner's code does to the kernel is undone: random numbers, dtype, device, threads, modes, folder."""
    device = torch.get_default_device()
    settings = [(put, get()) for get, put in SETTINGS]
    try:
        with ExitStack() as stack:
            for context in (
                torch.random.fork_rng(devices=[]),
                torch.inference_mode(False),
                torch.enable_grad(),
                nullcontext() if device.type == "cpu" else torch.device("cpu"),
                warnings.catch_warnings(),
                redirect_stdout(said),
                redirect_stderr(said),
            ):
                stack.enter_context(context)
            warnings.simplefilter("ignore")
            torch.set_default_dtype(torch.float32)
            _use_threads(1)  # the modules are tiny: on a busy machine two threads wait for each other
            torch.manual_seed(0)
            random.seed(0)
            np.random.seed(0)
            yield
    finally:
        if device.type == "cpu" and torch.get_default_device() != device:
            torch.set_default_device(None)
        for put, value in settings:
            put(value)


@contextmanager
def undisturbed() -> Iterator[None]:
    """What the learner's code sets for all of torch does not reach the rest of the check."""
    grad = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.set_grad_enabled(grad):
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)
            if torch.get_default_device().type != "cpu":
                torch.set_default_device(None)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """TimeUp in this thread after `seconds`, once. If the learner's code swallowed it, it comes at the end."""
    seconds, rung = seconds * PATIENCE, threading.Event()
    _limit.rung = rung
    on_main = threading.current_thread() is threading.main_thread()
    try:
        with _alarm(seconds, rung) if on_main and hasattr(signal, "setitimer") else _watchman(seconds, rung):
            yield
    finally:
        _limit.rung = threading.Event()
    if rung.is_set():
        raise TimeUp


@contextmanager
def _alarm(seconds: float, rung: threading.Event) -> Iterator[None]:
    """By a signal, which also ends a sleep."""

    def stop(number: int, frame: FrameType | None) -> None:
        rung.set()
        raise TimeUp

    started, handler = time.monotonic(), signal.signal(signal.SIGALRM, stop)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # somebody else's alarm, such as a test's time limit
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), 0.01), interval)


@contextmanager
def _watchman(seconds: float, rung: threading.Event) -> Iterator[None]:
    """By a second thread, where there are no signals: on Windows and outside the main thread."""
    ident, done, gate = ctypes.c_ulong(threading.get_ident()), threading.Event(), threading.Lock()

    def watch() -> None:
        if not done.wait(seconds):
            with gate:
                if not done.is_set():
                    rung.set()
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(TimeUp))

    watchman = threading.Thread(target=watch, daemon=True)
    watchman.start()
    try:
        yield
    finally:
        with gate:
            done.set()
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, None)  # one that was sent and has not arrived
        watchman.join()


def is_stub(function: Any) -> bool:
    """Is nothing written in this function yet?"""
    code = getattr(function, "__code__", None)
    if code is None or function.__name__ == "<lambda>":
        return False
    steps = list(dis.get_instructions(code))
    constants = {step.argval for step in steps if step.opname in ("LOAD_CONST", "RETURN_CONST")}
    return {step.opname for step in steps} <= EMPTY and constants <= {None, ...}


def call(function: Any, *args: Any, doing: str = "") -> Any:
    """function(*args), the learner's. What goes wrong there becomes a Mistake that says where."""
    if _limit.rung.is_set():
        raise TimeUp  # an earlier call swallowed it
    try:
        signature = inspect.signature(function)
    except Exception:
        signature = None  # builtins have none, and strangers may have anything
    try:
        if signature is not None:
            signature.bind(*args)
    except TypeError:
        assert signature is not None
        raise _of_signature(function, signature, args) from None
    try:
        with undisturbed():
            return function(*args)
    except (Mistake, TimeUp, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise _of_error(error, doing, args, function) from error


def _of_signature(function: Any, signature: inspect.Signature, args: Sequence[Any]) -> Mistake:
    """Why it cannot be called."""
    if inspect.isclass(function):
        if misspelt := _misspelt(function):
            return misspelt
        if "__init__" in vars(function):
            own = inspect.signature(vars(function)["__init__"])
            try:
                own.bind(*args)
                if next(iter(own.parameters), "self") != "self":
                    return Mistake("forgets-self", name="__init__")
            except TypeError:
                pass  # it takes another number of arguments, with `self` or without
    return Mistake("signature", got=", ".join(signature.parameters))


def _misspelt(kind_of_module: type) -> Mistake | None:
    """Is there a method that should be `__init__` or `forward`?"""
    for wanted in ("__init__", "forward"):
        bare = re.sub("[^a-z]", "", wanted)
        for found in vars(kind_of_module):
            if found not in ("__init__", "forward") and difflib.get_close_matches(
                re.sub("[^a-z]", "", found.lower()), [bare, "int" if bare == "init" else bare], cutoff=0.75
            ):
                return Mistake("misspelt-method", name=found, wanted=wanted)
    return None


def _of_error(error: BaseException, doing: str, args: Sequence[Any], function: Any) -> Mistake:
    """An exception of the learner's code in words; `doing` a forward pass, or calling with `args`."""
    text, facts = _text(error), in_one_line(error)
    made = function if inspect.isclass(function) else type(function)
    if "Module.__init__() call" in text:
        return Mistake("no-super-init")
    if isinstance(error, NotImplementedError) and "forward" in text:
        return _misspelt(made) or Mistake("no-forward")
    if match := re.search(r"(\w+\.)?(__init__|forward)\(\) takes (\d+) positional arguments? but (\d+) w", text):
        if match[2] == "__init__" and issubclass(made, nn.Module) and (misspelt := _misspelt(made)):
            return misspelt
        if match[2] == "forward" and int(match[4]) == int(match[3]) + 1:
            return Mistake("forgets-self", name="forward")
    layers = "|".join(n for n in dir(nn) if isinstance(getattr(nn, n), type) and issubclass(getattr(nn, n), nn.Module))
    named = rf"(got \(|not |operand type\(s\) for .*|^|: )'?({layers})\b'?( |,|$)"
    if doing and isinstance(error, (TypeError, AttributeError)) and re.search(named, text):
        return Mistake("layer-not-called", **facts)
    return Mistake("raises", doing=doing or describe(args), **facts)


def in_one_line(error: BaseException) -> dict[str, str]:
    """The error, and the learner's line it came from. No addresses, which differ from run to run."""
    line = re.sub(r" at 0x[0-9a-fA-F]+", "", (_text(error).strip().splitlines() or [""])[0])
    text = textwrap.shorten(line, 200, placeholder=" …") if len(line) > 200 else line
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(LIBRARIES)]
    place = frames[-1].line if frames and isinstance(error, Exception) else ""
    at = f" in the line `{place}`" if place else ""
    return {"error": f"{kind(error)}: {text}" if text else kind(error), "at": at}


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""  # a class of the learner's


class Guard:
    """Looks at arguments before a call, and says afterwards what the call did to them."""

    def __init__(self, args: Sequence[Any]):
        self.args, self.case = args, describe(args)
        self.before = [self._state(arg) for arg in args]

    def _state(self, arg: Any) -> Any:
        if isinstance(arg, Tensor):
            return arg.detach().clone()
        if isinstance(arg, list) and not any(isinstance(one, (Tensor, nn.Module)) for one in arg):
            return list(arg)
        return {id(part): _module_state(part) for part in _modules_in(arg)}

    def changes(self, ignored: Sequence[str] = ()) -> Mistake | None:
        """The first side effect that is not among those `ignored`, by key."""
        for before, arg in zip(self.before, self.args, strict=True):
            if isinstance(before, Tensor) and not (before.shape == arg.shape and torch.equal(before, arg.detach())):
                return Mistake("changes-input", case=self.case)
            if isinstance(before, list) and (before != arg or [*map(type, before)] != [*map(type, arg)]):
                return Mistake("changes-list", case=self.case)
            if isinstance(before, dict):
                now = {id(part): _module_state(part) for part in _modules_in(arg)}
                if list(now) != list(before) and "changes-layers" not in ignored:
                    return Mistake("changes-layers", what=f"{len(before)} modules before, {len(now)} after")
                for part in now.keys() & before.keys():
                    for key, was in before[part].items():
                        if key not in ignored and not _equal(was, now[part][key]):
                            mode = "train" if now[part]["changes-mode"] else "eval"
                            return Mistake(key, mode=mode, what=kind_of(_modules_in(arg), part))
        return None


def kind_of(modules: Sequence[nn.Module], wanted: int) -> str:
    return next((kind(module) for module in modules if id(module) == wanted), "")


def _modules_in(arg: Any) -> list[nn.Module]:
    if isinstance(arg, nn.Module):
        return list(arg.modules())
    return [part for one in arg for part in _modules_in(one)] if isinstance(arg, (list, tuple)) else []


def _module_state(part: nn.Module) -> dict[str, Any]:
    """What a call should leave as it was in one module, by the key of the mistake."""
    own = {name: p for name, p in part._parameters.items() if p is not None}
    return {
        "changes-mode": part.training,
        "changes-weights": {name: p.detach().clone() for name, p in own.items() if not p.is_meta},
        "changes-learning": {name: p.requires_grad for name, p in own.items()},
        "leaves-gradients": {name: p.grad if p.grad is None else p.grad.clone() for name, p in own.items()},
        "leaves-hooks": len(part._forward_hooks) + len(part._forward_pre_hooks) + len(part._backward_hooks),
    }


def _equal(one: Any, two: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(_equal(one[name], two[name]) for name in one)
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        return one.shape == two.shape and torch.equal(one, two)
    return one is two or (not isinstance(one, Tensor) and not isinstance(two, Tensor) and bool(one == two))
