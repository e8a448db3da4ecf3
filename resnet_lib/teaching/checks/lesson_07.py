"""Lesson 07: the gradient as a sum."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd.functional import vjp

from resnet_lib.teaching import answers
from resnet_lib.teaching.checking import Exercise, noise

Branch = Callable[[Tensor], Tensor]


def _mixes(seed: int) -> Branch:
    weight = noise(4, 4, seed=seed) / 2
    return lambda x: torch.tanh(x @ weight)


_BRANCHES = [_mixes(1), lambda x: torch.sin(x) * x.roll(1, -1), _mixes(2), lambda x: x.square() / 3]

first_gradient = Exercise(
    "first_gradient(branches, x, upstream)",
    praise="The end's gradient arrives unchanged, plus one term per branch.",
    right=answers.first_gradient,
    cases=[
        (_BRANCHES[:1], noise(3, 4), noise(3, 4, seed=5)),
        (_BRANCHES[:2], noise(2, 4, seed=1), noise(2, 4, seed=6)),
        (_BRANCHES, noise(3, 4, seed=2), noise(3, 4, seed=7)),
    ],
)


def _signals(branches: Sequence[Branch], x: Tensor) -> list[Tensor]:
    signals = [x]
    for branch in branches:
        signals.append(signals[-1] + branch(signals[-1]))
    return signals


def _plain_product(branches: Sequence[Branch], x: Tensor, upstream: Tensor) -> Tensor:
    for branch, signal in zip(reversed(branches), reversed(_signals(branches, x)[:-1]), strict=True):
        upstream = vjp(branch, signal, upstream)[1]
    return upstream


def _terms(branches: Sequence[Branch], signals: Sequence[Tensor], upstream: Tensor) -> Tensor:
    return sum((vjp(b, s, upstream)[1] for b, s in zip(branches, signals, strict=True)), torch.zeros_like(upstream))


def _backward(branches: Sequence[Branch], signals: Sequence[Tensor], upstream: Tensor) -> Tensor:
    for branch, signal in zip(reversed(branches), reversed(signals), strict=True):
        upstream = upstream + vjp(branch, signal, upstream)[1]
    return upstream


first_gradient.slip(
    "upstream-alone",
    "You return what came in. That is the first term; each branch adds one.",
    lambda branches, x, upstream: upstream,
)
first_gradient.slip(
    "no-first-term",
    "The first term is missing: ∂L/∂x_L itself, which the free line hands on.",
    lambda branches, x, upstream: answers.first_gradient(branches, x, upstream) - upstream,
)
first_gradient.slip(
    "product",
    "You multiply through the branches alone: that is a net without shortcuts. In a residual net each step keeps the "
    "gradient and adds the branch's term.",
    _plain_product,
)
first_gradient.slip(
    "end-gradient-everywhere",
    "Every term uses ∂L/∂x_L. The term of block i needs the gradient after that block, ∂L/∂x_(i+1): go from the last "
    "block to the first.",
    lambda branches, x, upstream: upstream + _terms(branches, _signals(branches, x)[:-1], upstream),
)
first_gradient.slip(
    "first-signal-everywhere",
    "Every branch is differentiated at x. Branch i works on the signal before it: go forward once and keep them all.",
    lambda branches, x, upstream: _backward(branches, [x] * len(branches), upstream),
)
first_gradient.slip(
    "signal-after-the-block",
    "Each branch is differentiated at the signal after its block. It works on the one before.",
    lambda branches, x, upstream: _backward(branches, _signals(branches, x)[1:], upstream),
)
first_gradient.slip(
    "signals-without-shortcut",
    "Going forward, the signals are branch(signal). In a residual net they are signal + branch(signal).",
    lambda branches, x, upstream: _backward(branches, _plain_signals(branches, x)[:-1], upstream),
)
first_gradient.slip(
    "first-block-first",
    "You go through the blocks from the first to the last. Gradients come from the end: begin with the last block.",
    lambda branches, x, upstream: _backward(branches[::-1], _signals(branches, x)[:-1][::-1], upstream),
)
first_gradient.slip(
    "forward",
    "That is the last signal, the forward sum. The gradient is wanted.",
    lambda branches, x, upstream: _signals(branches, x)[-1],
)


def _plain_signals(branches: Sequence[Branch], x: Tensor) -> list[Tensor]:
    signals = [x]
    for branch in branches:
        signals.append(branch(signals[-1]))
    return signals
