"""Lesson 08: what is taken out of a trained net, and counted in it."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import accumulate
from math import comb, perm
from typing import Any

import torch
from torch import Tensor, nn

from resnet_lib.teaching.checking import Exercise, Mistake, call, noise
from resnet_lib.teaching.checking.words import describe, kind


def run(branches: Any, x: Tensor, change: Callable[[int, Any, Tensor], Tensor]) -> Tensor:
    for number, branch in enumerate(branches):
        x = change(number, branch, x)
    return x


def without(branches: Any, index: int | None, x: Tensor) -> Tensor:
    return run(branches, x, lambda n, f, x: x if n == index else x + f(x))


class Switched(nn.Module):
    """x + γ · branch(x), γ one number that learns and starts at 1. (N, C, H, W) -> the same"""

    def __init__(self, branch: nn.Module):
        super().__init__()
        self.branch = branch
        self.gamma = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gamma * self.branch(x)


def branches() -> list[tuple[nn.Module]]:
    """Two branches whose weights are the same each time."""
    cases: list[tuple[nn.Module]] = []
    for channels in (3, 5):
        torch.manual_seed(channels)
        cases.append((nn.Conv2d(channels, channels, 3, padding=1),))
    return cases


def switch_problem(module: Any, before: Sequence[Any], after: Sequence[Any]) -> Mistake | None:
    """Is there one γ, does it start at 1, and does it turn the branch up and down?"""
    branch = after[0]
    if not isinstance(module, nn.Module):
        return Mistake("not-a-module", got=kind(module))
    inside = set(map(id, branch.parameters()))
    own = [parameter for parameter in module.parameters() if id(parameter) not in inside]
    x = noise(2, branch.in_channels, 4, 4, seed=1)
    with torch.no_grad():
        f, y = branch(x), call(module, x)
    if y is None:
        return Mistake("untouched" if len(list(module.children())) == 0 else "returns-none")
    if not isinstance(y, Tensor) or y.shape != x.shape:
        return Mistake("switch-wrong-shape", given=describe([y]))
    if not inside <= set(map(id, module.parameters())):
        return Mistake("branch-not-kept")
    for key, value in (
        ("switch-starts-at-zero", x),
        ("no-shortcut", f),
        ("switch-on-the-sum", None),
        ("adds-twice", 2 * x + f),
    ):
        if value is not None and torch.allclose(y, value, atol=1e-5):
            return Mistake(key)
    if not torch.allclose(y, x + f, atol=1e-5):
        return Mistake("switch-other-value")
    if not own:
        return Mistake("switch-does-not-learn")
    if len(own) > 1 or own[0].numel() > 1:
        return Mistake("one-switch-each")
    with torch.no_grad():
        own[0].fill_(0.5)
        half = call(module, x)
    if torch.allclose(half, 0.5 * (x + f), atol=1e-5) and not torch.allclose(half, x + 0.5 * f, atol=1e-5):
        return Mistake("switch-on-the-sum")
    return None if torch.allclose(half, x + 0.5 * f, atol=1e-5) else Mistake("switch-unused")


def switching(
    forward: Callable[[Any, Tensor], Tensor],
    gamma: Callable[[], Any] = lambda: nn.Parameter(torch.ones(1)),
    keep: Callable[[nn.Module], Any] = lambda branch: branch,
) -> Callable[[nn.Module], nn.Module]:
    """A class like `Switched` with another forward, another γ, or another way to keep the branch."""

    class Other(nn.Module):
        def __init__(self, branch: nn.Module):
            super().__init__()
            self.branch, self.gamma = keep(branch), gamma()

        def forward(self, x: Tensor) -> Tensor:
            return forward(self, x)

    return Other


def plus(module: Any, x: Tensor) -> Tensor:
    return x + module.gamma * module.branch(x)


# fmt: off
BRANCHES = [torch.sin, torch.tanh, lambda x: 0.5 * x.roll(1, -1), torch.cos]
without_block = Exercise(
    "without_block(branches, index, x)",
    praise="first, middle and last block taken out; all others run, and gradients pass.",
    right=without,
    cases=[(BRANCHES, index, noise(2, 5, seed=index)) for index in (1, 0, 3)] + [(BRANCHES[:1], 0, noise(3, 2))],
    gradients=True,
)
without_block.slip("nothing-deleted", "The block is still there.",
    lambda b, i, x: without(b, None, x))
without_block.slip("deletes-the-rest", "Everything from that block on is gone. Only one block should be taken out; "
    "those after it still run.",
    lambda b, i, x: without(b[:i], None, x))
without_block.slip("deletes-the-first", "Everything up to that block is gone. Only one block should be taken out.",
    lambda b, i, x: without(b[i + 1 :], None, x))
without_block.slip("no-shortcut", "Nothing is added: this is the plain block. Where is the `+ x`?",
    lambda b, i, x: run(b, x, lambda n, f, x: x if n == i else f(x)))
without_block.slip("keeps-only-the-block", "Only that block ran. The others should stay, and it should go.",
    lambda b, i, x: x + b[i](x))
without_block.slip("branch-without-plus", "Of the block, you took away the shortcut and kept the branch. It is the "
    "other way round: its shortcut stays.",
    lambda b, i, x: run(b, x, lambda n, f, x: f(x) if n == i else x + f(x)))
without_block.slip("counts-from-one", "You count from 1. Index 0 is the first.",
    lambda b, i, x: without(b, i - 1, x))
without_block.slip("off-by-one", "The wrong block is missing: the one before or after. Index 0 is the first.",
    lambda b, i, x: without(b, i + 1, x))
without_block.slip("returns-input", "It returns x as it came. The branch is never called, or its result is lost.",
    lambda b, i, x: x)
without_block.slip("returns-too-early", "It stops after the first round. Look at the indentation of `return`: it "
    "belongs after the loop.",
    lambda b, i, x: x if i == 0 else x + b[0](x), lambda b, i, x: b[1](x) + x if i == 0 else x + b[0](x))
without_block.slip("takes-it-off-afterwards", "You run all blocks and subtract one branch at the end. By then the "
    "blocks after it have seen its signal. Leave it out on the way.",
    lambda b, i, x: without(b, None, x) - b[i](x), lambda b, i, x: without(b, None, x) - b[i](without(b[:i], None, x)))
without_block.slip("branches-on-the-input", "Every branch gets the net's first input. Each block takes what the block "
    "before it returns.",
    lambda b, i, x: x + sum(f(x) for n, f in enumerate(b) if n != i))
without_block.slip("zeros-the-signal", "You set the signal to zero. When a block is taken out, its input goes on "
    "unchanged: the shortcut stays.",
    lambda b, i, x: run(b, x, lambda n, f, x: 0 * x if n == i else x + f(x)))
without_block.slip("doubles-the-signal", "You added x to itself instead of the branch. Without its branch the block "
    "passes x on unchanged.",
    lambda b, i, x: run(b, x, lambda n, f, x: x + x if n == i else x + f(x)))
without_block.slip("adds-the-input", "Each block adds the net's first input. It adds its *own* input.",
    lambda b, i, x: run(b, x, lambda n, f, y: y if n == i else x + f(y)))

path_lengths = Exercise(
    "path_lengths(n)",
    praise="five numbers of blocks, 0 among them.",
    right=lambda n: [comb(n, k) for k in range(n + 1)],
    cases=[(3,), (5,), (1,), (9,)],
    traps=[(0,)],
)
path_lengths.slip("starts-at-one", "The path through no branch at all is missing: the shortcuts alone, one path.",
    lambda n: [comb(n, k) for k in range(1, n + 1)])
path_lengths.slip("stops-early", "The longest path is missing, the one through all n branches.",
    lambda n: [comb(n, k) for k in range(n)])
path_lengths.slip("all-paths-together", "That is the number of all paths. How many of them have each length?",
    lambda n: 2**n, lambda n: [2**n] * (n + 1))
path_lengths.slip("powers-of-two", "Those are powers of two: all paths through k blocks. How many ways are there to "
    "*choose* k of n branches?",
    lambda n: [2**k for k in range(n + 1)])
path_lengths.slip("counts-orders", "You counted each order separately. The blocks stand in a row, so choosing "
    "blocks 2 and 5 is the same path as 5 and 2.",
    lambda n: [perm(n, k) for k in range(n + 1)])
path_lengths.slip("shares-for-counts", "Those are shares of all paths. Counts are asked for.",
    lambda n: [comb(n, k) / 2**n for k in range(n + 1)])
path_lengths.slip("counts-one-more", "Those are the paths through n + 1 blocks: {yours} numbers instead of {right}.",
    lambda n: [comb(n + 1, k) for k in range(n + 2)])
path_lengths.slip("counts-lengths", "Those are the lengths. How many paths have each?",
    lambda n: list(range(n + 1)))
path_lengths.slip("ones", "You count one path for each length. How many ways are there to *choose* k of n branches?",
    lambda n: [1] * (n + 1))
path_lengths.slip("adds-up", "You add up: paths of *at most* k branches. Count those of exactly k.",
    lambda n: list(accumulate(comb(n, k) for k in range(n + 1))))


def norms(x: Tensor, dims: Any) -> Tensor:
    return x.square().sum(dims, keepdim=True).sqrt()


def largest(x: Tensor) -> Tensor:
    return x.abs().amax((1, 2, 3), keepdim=True)


every = (1, 2, 3)
filter_normalised = Exercise(
    "filter_normalised(direction, weight)",
    praise="every filter of the direction is as long as the net's, for 3×3 and 1×1 kernels.",
    right=lambda d, w: d * norms(w, every) / norms(d, every),
    cases=[(noise(4, 3, 3, 3, seed=seed), 3 * noise(4, 3, 3, 3, seed=seed + 9)) for seed in range(2)]
    + [(noise(5, 2, 1, 1, seed=7), noise(5, 2, 1, 1, seed=8)), (noise(3, 3, 3, 3, seed=3), noise(3, 3, 3, 3, seed=4))],
)
filter_normalised.slip("whole-layer", "You scaled the whole layer by one factor. Filters differ in size; each gets its "
    "own (Li et al. 2018, section 4).",
    lambda d, w: d * w.norm() / d.norm())
filter_normalised.slip("unit-filters", "Each filter has length 1 now. It should be as long as the net's own filter.",
    lambda d, w: d / norms(d, every))
filter_normalised.slip("not-divided", "You multiplied by the net's norm without dividing by the direction's own.",
    lambda d, w: d * norms(w, every))
filter_normalised.slip("turned-round", "It is the other way round.",
    lambda d, w: d * norms(d, every) / norms(w, every))
filter_normalised.slip("scales-the-weight", "You scaled the net's filters. The direction should be scaled, to the size "
    "of the net's filters.",
    lambda d, w: w * norms(d, every) / norms(w, every))
filter_normalised.slip("no-keepdim", "The norms have shape (filters,), so they are broadcast along the last axis, or "
    "do not fit at all. Give them four axes: keepdim=True, or .view(-1, 1, 1, 1).",
    lambda d, w: d * norms(w, every).flatten() / norms(d, every).flatten())
filter_normalised.slip("input-channels", "You normalised along the input channels. A filter is what makes one *output* "
    "channel: `weight[i]`, axis 0.",
    lambda d, w: d * norms(w, (0, 2, 3)) / norms(d, (0, 2, 3)))
filter_normalised.slip("each-kernel", "You normalised each 3×3 kernel. A filter has one for every input channel: take "
    "them together.",
    lambda d, w: d * norms(w, (2, 3)) / norms(d, (2, 3)))
filter_normalised.slip("squared-norms", "You divided or multiplied by squared norms. Take the root first.",
    lambda d, w: d * norms(w, every) ** 2 / norms(d, every) ** 2)
filter_normalised.slip("every-weight", "You took the size of each weight. Then only the signs of the direction are "
    "random.",
    lambda d, w: d.sign() * w.abs())
filter_normalised.slip("returns-input", "It returns the direction as it came. Scale each of its filters.",
    lambda d, w: d)
filter_normalised.slip("largest-in-place-of-norm", "That is the largest entry. The L2 norm takes all of them: the root "
    "of the sum of squares.",
    lambda d, w: d * largest(w) / largest(d))
filter_normalised.slip("sum-of-absolutes", "That is the L1 norm, the sum of absolute values. The L2 norm is asked for.",
    lambda d, w: d * w.abs().sum(every, keepdim=True) / d.abs().sum(every, keepdim=True))
filter_normalised.slip("deviation-for-norm", "You compare standard deviations. They leave out the mean of each filter; "
    "the L2 norm does not.",
    lambda d, w: d * w.std(every, keepdim=True) / d.std(every, keepdim=True))

switched = Exercise(
    "Switched(branch)",
    praise="x + branch(x) at the start, one number that learns, and it turns the branch down.",
    right=Switched,
    cases=branches,
    problem=switch_problem,
)
switched.slip("switch-does-not-learn", "γ is not among the module's parameters, so no optimizer will ever see it. A "
    "plain tensor is just an attribute; nn.Parameter is what a module registers.",
    switching(plus, gamma=lambda: torch.ones(1)), switching(plus, gamma=lambda: 1.0))
switched.slip("switch-starts-at-zero", "The branch adds nothing at the start. γ starts at 1 here: the branch must hurt "
    "before you can see it being switched off.",
    switching(plus, gamma=lambda: nn.Parameter(torch.zeros(1))))
switched.slip("one-switch-each", "γ has a number for each channel, or there are several. One number is asked for.",
    switching(plus, gamma=lambda: nn.Parameter(torch.ones(1, 1, 1, 4))))
switched.slip("switch-on-the-sum", "γ scales x as well. It should scale only the branch, so that x stays when γ is "
    "0.",
    switching(lambda m, x: m.gamma * (x + m.branch(x))))
switched.slip("switch-unused", "γ is there but changes nothing, or not the branch: at γ = ½ half of the branch should "
    "be added.",
    switching(lambda m, x: x + m.branch(x)), switching(lambda m, x: m.gamma * x + m.branch(x)),
    switching(lambda m, x: x + m.gamma**2 * m.branch(x)))
switched.slip("no-shortcut", "Nothing is added: this is the branch alone. Where is the `x +`?",
    switching(lambda m, x: m.gamma * m.branch(x)))
switched.slip("adds-twice", "x is added twice.",
    switching(lambda m, x: 2 * x + m.gamma * m.branch(x)))
switched.slip("branch-not-kept", "The branch's own parameters are not those of the module. Keep the branch as it is, "
    "as an attribute: `self.branch = branch`.",
    switching(lambda m, x: x + m.gamma * m.branch[0](x), keep=lambda branch: [branch]),
    switching(plus, keep=deepcopy))
switched.slip("switch-wrong-shape", "It returns {given}. The sum has the shape of x.",
    switching(lambda m, x: (x + m.gamma * m.branch(x)).mean()))
switched.slip("switch-other-value", "At the start, with γ = 1, it should return x + branch(x). Compare your forward "
    "with the formula.",
    switching(lambda m, x: (x + m.gamma * m.branch(x)).relu()), switching(lambda m, x: x - m.gamma * m.branch(x)))
