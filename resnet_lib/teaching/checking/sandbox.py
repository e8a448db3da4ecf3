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
import linecache
import os
import random
import re
import signal
import sys
import textwrap
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resnet_lib.teaching.checking.words import Mistake, describe, kind

PATIENCE = 1.0  # every time limit is multiplied by this
LIBRARIES = tuple(str(Path(str(m.__file__)).parent) for m in (torch, np)) + (str(Path(__file__).parents[2]),)
EMPTY = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE", "POP_TOP"}  # all that a stub does
_limit = threading.local()  # the time limit of the check that runs


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


def _on_main() -> bool:
    return threading.current_thread() is threading.main_thread()


SETTINGS: list[tuple[Callable[[], Any], Callable[[Any], object]]] = [
    (random.getstate, random.setstate),
    (np.random.get_state, np.random.set_state),
    (np.geterr, lambda state: np.seterr(**state)),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_default_device, lambda device: torch.set_default_device(None if device.type == "cpu" else device)),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (lambda: torch.is_autocast_enabled("cpu"), lambda on: torch.set_autocast_enabled("cpu", on)),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    (os.getcwd, os.chdir),
    (lambda: dict(os.environ), os.environ.update),
    (lambda: {*os.environ}, lambda names: [os.environ.pop(name) for name in {*os.environ} - names]),
    (
        lambda: signal.getsignal(signal.SIGINT),
        lambda old: old is not None and _on_main() and signal.signal(signal.SIGINT, old),
    ),
]


def _settle() -> None:
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_num_threads(1)  # the modules are tiny: on a busy machine two threads wait for each other


@contextmanager
def sealed(said: Sink) -> Iterator[None]:
    """What the learner's code does to the kernel is undone: random numbers, dtype, device, threads, modes, folder."""
    settings = [(put, get()) for get, put in SETTINGS]
    try:
        with (
            torch.random.fork_rng(devices=[]),
            torch.inference_mode(False),
            torch.enable_grad(),
            warnings.catch_warnings(),
            redirect_stdout(said),
            redirect_stderr(said),
        ):
            warnings.simplefilter("ignore")
            _settle()
            torch.manual_seed(0)
            random.seed(0)
            np.random.seed(0)
            yield
    finally:
        for put, value in settings:
            put(value)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """TimeUp in this thread after `seconds`, once. If the learner's code swallowed it, it comes at the end."""
    ident, rung, done, gate = threading.get_ident(), threading.Event(), threading.Event(), threading.Lock()
    by_signal = _on_main() and hasattr(signal, "pthread_kill")  # which also ends a sleep; Windows has none

    def ring() -> None:
        with gate:
            if not done.is_set():
                rung.set()
                _raise_in(ident, TimeUp) if not by_signal else signal.pthread_kill(ident, signal.SIGALRM)

    def stop(*_: object) -> None:
        raise TimeUp

    before = signal.signal(signal.SIGALRM, stop) if by_signal else None
    clock, _limit.rung = threading.Timer(seconds * PATIENCE, ring), rung
    clock.daemon = True
    clock.start()
    try:
        yield
    finally:
        with gate:
            done.set()
        clock.cancel()
        del _limit.rung
        if by_signal:
            signal.signal(signal.SIGALRM, before)
        else:
            _raise_in(ident, None)  # what was sent and has not arrived
    if rung.is_set():
        raise TimeUp


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), error and ctypes.py_object(error))


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
    if hasattr(_limit, "rung") and _limit.rung.is_set():
        raise TimeUp  # an earlier call swallowed it
    grad = torch.is_grad_enabled()
    try:  # what it sets for all of torch does not reach the rest of the check
        with torch.inference_mode(False), torch.set_grad_enabled(grad):
            return function(*args)
    except (Mistake, TimeUp, KeyboardInterrupt):
        raise
    except BaseException as error:
        mistake = _of_signature(function, args) if isinstance(error, TypeError) else None
        raise mistake or _of_error(error, doing, args, function) from error
    finally:
        _settle()


def _takes(signature: inspect.Signature, args: Sequence[Any]) -> bool:
    try:
        return bool(signature.bind(*args)) or True
    except TypeError:
        return False


def _of_signature(function: Any, args: Sequence[Any]) -> Mistake | None:
    """Why it cannot be called like this, if it cannot."""
    try:
        signature = inspect.signature(function)
    except Exception:
        return None  # builtins have none, and strangers may have anything
    if _takes(signature, args):
        return None
    own = vars(function) if inspect.isclass(function) else {}
    if misspelt := _misspelt(own):
        return misspelt
    if "__init__" in own:
        names = list((signature_of_init := inspect.signature(own["__init__"])).parameters)
        if _takes(signature_of_init, args) and names[:1] not in ([], ["self"]):
            return Mistake("forgets-self", name="__init__")
    return Mistake("signature", got=", ".join(signature.parameters))


def _misspelt(methods: Mapping[str, Any]) -> Mistake | None:
    """Is there a method that should be `__init__` or `forward`?"""
    for wanted, likely in (("__init__", ["init", "int"]), ("forward", ["forward"])):
        for found in methods:
            bare = re.sub("[^a-z]", "", found.lower())
            if found not in ("__init__", "forward") and difflib.get_close_matches(bare, likely, cutoff=0.75):
                return Mistake("misspelt-method", name=found, wanted=wanted)
    return None


def _of_error(error: BaseException, doing: str, args: Sequence[Any], function: Any) -> Mistake:
    """An exception of the learner's code in words; `doing` a forward pass, or calling with `args`."""
    text, facts = _text(error), in_one_line(error)
    made = function if inspect.isclass(function) else type(function)
    if "Module.__init__() call" in text:
        return Mistake("no-super-init")
    if isinstance(error, NotImplementedError) and "forward" in text:
        return _misspelt(vars(made)) or Mistake("no-forward")
    if match := re.search(r"(__init__|forward)\(\) takes (\d+) positional arguments? but (\d+) w", text):
        if match[1] == "__init__" and issubclass(made, nn.Module) and (misspelt := _misspelt(vars(made))):
            return misspelt
        if match[1] == "forward" and int(match[3]) == int(match[2]) + 1:
            return Mistake("forgets-self", name="forward")
    layers = "|".join(n for n in dir(nn) if isinstance(getattr(nn, n), type) and issubclass(getattr(nn, n), nn.Module))
    named = rf"(got \(|not |operand type\(s\) for .*|^|: )'?({layers})\b'?( |,|$)"
    if doing and isinstance(error, (TypeError, AttributeError)) and re.search(named, text):
        return Mistake("layer-not-called", **facts)
    return Mistake("raises", doing=doing or describe(args), **facts)


def in_one_line(error: BaseException) -> dict[str, str]:
    """The error, and the learner's line, or else the layer, that it came from, with the shapes there. No addresses."""
    line = re.sub(r" at 0x[0-9a-fA-F]+", "", (_text(error).strip().splitlines() or [""])[0])
    text = textwrap.shorten(line, 200, placeholder=" …") if len(line) > 200 else line
    at, code, names = "", "", {}
    for frame, number in traceback.walk_tb(error.__traceback__ if isinstance(error, Exception) else None):
        file, here = frame.f_code.co_filename, frame.f_locals
        if not file.startswith(LIBRARIES):
            code, names = linecache.getline(file, number).strip(), here
            at = f" in line {number}, `{code}`" if code else f" in line {number}"
        elif not at.startswith(" in line") and type(here.get("self")).__module__.startswith("torch.nn.modules."):
            layer = re.sub(r"\(\n(?s:.*)", "", _text(here["self"])) or kind(here["self"])
            at, names = f" in {layer}", {"input": here.get("input")}
    seen = re.findall(r"\w+", code) or ["input"]
    shapes = [f"{n} has shape {tuple(t.shape)}" for n, t in names.items() if n in seen and type(t) is Tensor]
    if shapes and re.search("size|shape|dim|channel", text):
        at += f", where {' and '.join(shapes)}"
    return {"error": f"{kind(error)}: {text.rstrip('.')}" if text else kind(error), "at": at}


def _text(thing: object) -> str:
    try:
        return str(thing)
    except Exception:
        return ""  # a class of the learner's


class Guard:
    """Looks at arguments before a call, and says afterwards what the call did to them."""

    def __init__(self, args: Sequence[Any]):
        self.args, self.case, self.before = args, describe(args), list(_states(args))

    def changes(self, ignored: Sequence[str] = ()) -> list[Mistake]:
        """The side effects that are not among those `ignored`, by key."""
        found: dict[str, Mistake] = {}
        for (key, _, before), (_, what, now) in zip(self.before, _states(self.args), strict=False):
            if _equal(before, now):
                continue
            if key not in ignored:
                mode = "train" if now is True else "eval"
                found.setdefault(key, Mistake(key, case=self.case, what=what, mode=mode))
            if key == "changes-layers":
                break  # the others are not those that were there before
        return list(found.values())


def _states(args: Sequence[Any]) -> Iterator[tuple[str, str, Any]]:
    """What a call should leave as it was: the key of the mistake, the thing in words, and its state."""
    for arg in args:
        if isinstance(arg, Tensor):
            yield "changes-input", "", arg.detach().clone()
        if isinstance(arg, (list, dict)):
            yield "changes-list", kind(arg), _kept(arg)
        modules = _modules_in(arg)
        yield "changes-layers", f"it has {len(modules)} modules now", modules
        for part in modules:
            own = {name: p for name, p in part._parameters.items() if p is not None and not p.is_meta}
            hooks = len(part._forward_hooks) + len(part._forward_pre_hooks) + len(part._backward_hooks)
            yield "changes-mode", kind(part), part.training
            yield "changes-weights", kind(part), _kept(own)
            yield "changes-learning", kind(part), {name: p.requires_grad for name, p in own.items()}
            yield "leaves-gradients", kind(part), _kept({name: p.grad for name, p in own.items()})
            yield "leaves-hooks", kind(part), hooks
            yield "changes-statistics", kind(part), [_kept(part._buffers), _kept(getattr(part, "momentum", None))]


def _kept(value: Any) -> Any:
    """A copy to compare with."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _kept(item) for key, item in value.items()}
    return [_kept(item) for item in value] if isinstance(value, (list, tuple)) else (type(value), value)


def _modules_in(arg: Any) -> list[nn.Module]:
    if isinstance(arg, nn.Module):
        return list(arg.modules())
    return [part for one in arg for part in _modules_in(one)] if isinstance(arg, (list, tuple)) else []


def _equal(one: Any, two: Any) -> bool:
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_equal(one[name], two[name]) for name in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(_equal, one, two))
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        return one.shape == two.shape and torch.equal(one, two)
    return type(one) is type(two) and bool(one == two)
