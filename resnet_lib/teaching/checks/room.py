"""The sealed room in which a check runs: against the clock, and with everything put back at the end."""

import ctypes
import io
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import nn

_room = threading.local()  # .stack: what is put back when the check ends; .clock: the time limit, of .seconds


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
]
HOOKS = [those for name, those in vars(nn.modules.module).items() if "_global_" in name and isinstance(those, dict)]


@contextmanager
def sealed(said: Sink, seconds: float) -> Iterator[None]:
    """What the learner's code does to the kernel is undone: random numbers, dtype, device, threads, modes, hooks."""
    device = torch.get_default_device()
    settings = [(put, get()) for get, put in SETTINGS]
    hooks = [dict(those) for those in HOOKS]
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
            _room.stack = stack.enter_context(ExitStack())
            _room.clock, _room.seconds = stack.enter_context(ExitStack()), seconds
            _room.clock.enter_context(_time_limit(seconds))
            yield
    finally:
        if device.type == "cpu" and torch.get_default_device() != device:
            torch.set_default_device(None)
        for put, value in settings:
            put(value)
        for those, before in zip(HOOKS, hooks, strict=True):
            those.clear()
            those.update(before)


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


def rest() -> None:
    """The learner's code has had its turn: what the check still does is not held against it."""
    _room.clock.close()


@contextmanager
def own_work() -> Iterator[None]:
    """The check does something by itself; then the clock starts anew."""
    rest()
    yield
    _room.clock.enter_context(_time_limit(_room.seconds))


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """TimeUp in this thread after `seconds`, again and again should the learner's code swallow it."""
    on_main = threading.current_thread() is threading.main_thread()
    with _alarm(seconds) if on_main and hasattr(signal, "setitimer") else _watchman(seconds):
        yield


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """By a signal, which also ends a sleep."""
    armed, tracer = True, sys.gettrace()

    def again(frame: FrameType, event: str, arg: object) -> object:
        if event == "line":
            raise TimeUp
        return again

    def stop(number: int, frame: FrameType | None) -> None:
        if not armed:
            return
        # An `except:` around a loop may catch this TimeUp. It meets the next one in its first line.
        sys.settrace(lambda *_: None)
        while frame and not frame.f_globals.get("__name__", "").startswith(__package__):
            frame.f_trace = again
            frame = frame.f_back
        raise TimeUp

    started, handler = time.monotonic(), signal.signal(signal.SIGALRM, stop)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 0.05)
    try:
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.settrace(tracer)
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
