"""Objects that nobody should hand over, and some that a check must survive all the same."""

import itertools
import random
import sys
import time
import warnings

import numpy as np
import torch
from torch import nn

# What is handed over


class NoAttributes:
    def __getattr__(self, name):
        raise RuntimeError(f"no {name}")

    def __call__(self, *args):
        raise SystemExit("you cannot call me")


class NothingAtAll:
    def __getattribute__(self, name):
        raise RuntimeError(f"no {name}")


class Nameless(type):
    @property
    def __name__(cls):
        raise SystemExit


class OfNoName(metaclass=Nameless):
    pass


class LiesAboutItsClass:
    @property
    def __class__(self):
        raise ZeroDivisionError

    def __call__(self, *args):
        return self


class BadSignature:
    __signature__ = "none"

    def __call__(self, *args):
        return args


class SevenArguments(nn.Module):
    def __init__(self, a, b, c, d, e, f, g):
        super().__init__()


OBJECTS = [None, 3, torch.nan, "text", b"", [], {}, object(), ..., torch, nn.Identity(), torch.ones(2), nn.Module,
           nn.Conv2d, SevenArguments, NoAttributes(), NoAttributes, NothingAtAll(), OfNoName, LiesAboutItsClass(),
           BadSignature(), type, int, print, iter, lambda: None]  # fmt: skip

# What is returned: each of these is handed over as a function of any arguments

itself: list = []
itself.append(itself)


class Liar(torch.Tensor):
    """Whatever is asked of it, the answer is yes."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return True


class AlwaysEqual(int):
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


class NeverEqual(int):
    def __eq__(self, other):
        raise ArithmeticError

    __hash__ = int.__hash__


RESULTS = [
    *(None, ..., "", "text", b"3", -1, 0.5, 1j, torch.nan, -torch.inf, [], {}, set(), (None,), [torch.nan], [[]]),
    *(itself, range(10**12), 10**5000, itertools.count(), object(), NothingAtAll(), LiesAboutItsClass()),
    *(AlwaysEqual(3), NeverEqual(3), torch.ones(2, 2).as_subclass(Liar), torch.ones(1).expand(10**6, 10**6)),
    *(torch.tensor(torch.nan), torch.ones(0), torch.ones(2, dtype=torch.complex64), torch.ones(2, device="meta")),
    *(torch.eye(2).to_sparse(), torch.ones(2, 3) > 0, nn.Linear(2, 2), nn.Module, len),
    *(np.array([object()]), np.full((2, 2), np.nan)),
]  # fmt: skip

# What is done: functions of any arguments


class Unspeakable(Exception):
    def __str__(self):
        raise self


def raises(error):
    def answer(*args, **kwargs):
        raise error

    return answer


def recursion(*args):
    return recursion(*args)


def second_time(*args, calls=itertools.count()):  # noqa: B008
    if next(calls) % 2:
        raise ValueError("only once")
    return args[-1]


def counter(*args, calls=itertools.count()):  # noqa: B008
    return next(calls)


def empties_its_arguments(*args):
    for arg in args:
        if isinstance(arg, torch.Tensor):
            arg.data.zero_()
        if isinstance(arg, nn.Module):
            arg._modules.clear()
        if isinstance(arg, list):
            arg.clear()
    return args[0]


def prints_a_lot(*args):
    for _ in range(1000):
        print("x" * 1000)
        print("y", file=sys.stderr)


def closes_the_output(*args):
    sys.stdout.close()
    sys.stdout = None


def changes_everything(*args):
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    torch.set_num_threads(2)
    torch.set_grad_enabled(False)
    torch.inference_mode().__enter__()
    torch.autocast("cpu").__enter__()
    torch.set_default_device("meta")
    torch.use_deterministic_algorithms(True)
    torch.autograd.set_detect_anomaly(True)
    np.seterr(all="raise")
    warnings.simplefilter("error")
    sys.setrecursionlimit(5000)
    return args[-1]


ACTIONS = [
    *map(raises, [SystemExit(0), GeneratorExit, StopIteration, MemoryError, Unspeakable()]),
    *(recursion, second_time, counter, empties_its_arguments, prints_a_lot, closes_the_output, changes_everything),
]  # fmt: skip

# Modules: each is handed over as a class


class Any(nn.Module):
    """Takes all arguments, has weights, and returns x."""

    def __init__(self, *args, **kwargs):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x


def module(forward):
    """A module with this forward pass."""
    return type(forward.__name__, (Any,), {"forward": forward})


@module
def returns_text(self, x):
    return "text"


@module
def not_a_number(self, x):
    return x * torch.nan


@module
def huge(self, x):
    return x.flatten()[:1].expand(10**6, 10**6)


@module
def liar(self, x):
    return x.as_subclass(Liar)


@module
def integers(self, x):
    return x.long()


@module
def sparse(self, x):
    return x.to_sparse()


@module
def leaves_the_computer(self, x):
    return x.to("meta")


@module
def exits(self, x):
    raise SystemExit


@module
def calls_itself(self, x):
    return self(x)


@module
def zeroes_its_input(self, x):
    x.data.zero_()
    return x + self.weight.sum()


@module
def loses_its_weights(self, x):
    self._parameters.clear()
    return x


@module
def hooks_itself(self, x):
    self.register_forward_hook(lambda *args: args[-1] + 1)
    return x


@module
def resets_everything(self, x):
    return changes_everything(x * self.weight.sum())


@module
def goes_to_sleep_mode(self, x):
    self.eval()
    torch.set_grad_enabled(False)
    return x * self.weight.sum()


class CountsItsCalls(Any):
    calls = 0

    def forward(self, x):
        CountsItsCalls.calls += 1
        return x * self.weight.sum() * CountsItsCalls.calls


class FailsTheSecondTime(CountsItsCalls):
    def forward(self, x):
        CountsItsCalls.calls += 1
        if CountsItsCalls.calls % 2 == 0:
            raise RuntimeError("only once")
        return x


class ContainsItself(Any):
    def __init__(self, *args):
        super().__init__()
        self.me = self


class OddWeights(Any):
    def __init__(self, *args):
        super().__init__()
        self.count = nn.Parameter(torch.ones(3, dtype=torch.int64), requires_grad=False)
        self.nowhere = nn.Parameter(torch.ones(3, device="meta"))
        self.wave = nn.Parameter(torch.ones(3, dtype=torch.complex64))
        self.scalar = nn.Parameter(torch.tensor(1.0))
        self.empty = nn.Parameter(torch.ones(0))


class Lazy(nn.Module):
    def __init__(self, *args):
        super().__init__()
        self.layer = nn.LazyConv2d(5, 3)
        self.never = nn.LazyLinear(5)

    def forward(self, x):
        return self.layer(x)


class LazyAndEndless(Lazy):
    def forward(self, x):
        while True:
            pass


class BrokenCall(Any):
    def __call__(self, *args):
        return self


class BrokenParameters(Any):
    def parameters(self, recurse=True):
        raise LookupError


MODULES = [returns_text, not_a_number, huge, liar, integers, sparse, leaves_the_computer, exits, calls_itself,
           zeroes_its_input, loses_its_weights, hooks_itself, resets_everything, goes_to_sleep_mode, CountsItsCalls,
           FailsTheSecondTime, ContainsItself, OddWeights, Lazy, BrokenCall, BrokenParameters]  # fmt: skip

# What never comes back


def loops(*args):
    while True:
        pass


def sleeps(*args):
    time.sleep(1000)


def prints_for_ever(*args):
    while True:
        print("still here")


@module
def endless_forward(self, x):
    while True:
        x = x + self.weight.sum()


class EndlessInit(nn.Module):
    def __init__(self, *args):
        while True:
            pass


class EndlessName(type):
    @property
    def __name__(cls):
        while True:
            pass


class OfEndlessName(metaclass=EndlessName):
    pass


ENDLESS = [loops, sleeps, prints_for_ever, endless_forward, EndlessInit, LazyAndEndless,
           OfEndlessName]  # fmt: skip
