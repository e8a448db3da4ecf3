"""Lesson 08: what is taken out of a trained net, and counted in it."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import reduce
from itertools import accumulate
from math import comb, perm
from typing import Any

import torch
from torch import Tensor, nn

from resnet_lib.teaching.checking import Exercise, Mistake, call, noise, slip
from resnet_lib.teaching.checking.words import describe, kind


def run(branches: Any, x: Tensor, change: Callable[[int, Any, Tensor], Tensor]) -> Tensor:
    for number, branch in enumerate(branches):
        x = change(number, branch, x)
    return x


def without(branches: Any, index: int | None, x: Tensor) -> Tensor:
    return run(branches, x, lambda n, f, x: x if n == index else x + f(x))


def instead(block: Callable[[Any, Tensor], Tensor]) -> Callable[[Any, int, Tensor], Tensor]:
    """Another block, a function of (branch, x), in the place of the one that is taken out."""
    return lambda b, i, x: run(b, x, lambda n, f, x: block(f, x) if n == i else x + f(x))


# fmt: off
BRANCHES = [torch.sin, torch.tanh, lambda x: 0.5 * x.roll(1, -1), torch.cos]
without_block = Exercise(
    "without_block(branches, index, x)",
    praise="first, middle and last block taken out; all others run.",
    right=without,
    cases=[(BRANCHES, index, noise(2, 5, seed=index)) for index in (1, 0, 3)] + [(BRANCHES[:1], 0, noise(3, 2))],
    slips=[
        slip("nothing-deleted", "The block is still there.", lambda b, i, x: without(b, None, x)),
        slip("deletes-more", "Other blocks are gone. All those before and after it still run.",
             lambda b, i, x: without(b[:i], None, x), lambda b, i, x: without(b[i + 1 :], None, x),
             lambda b, i, x: without(b[: i + 1], None, x), lambda b, i, x: without(b[:-1], i, x),
             lambda b, i, x: without(b[:i] + b[i + 2 :], None, x)),
        slip("no-shortcut", "Nothing is added. Each block is a residual one: x + branch(x).",
             lambda b, i, x: run(b, x, lambda n, f, x: x if n == i else f(x))),
        slip("keeps-only-the-block", "Only that block ran. The others should run, and it should not.",
             lambda b, i, x: x + b[i](x)),
        slip("branch-without-plus", "You took away the block's shortcut. Take away its branch: the shortcut stays.",
             instead(lambda f, x: f(x))),
        slip("off-by-one", "A neighbour of the block is missing. Index 0 is the first block.",
             lambda b, i, x: without(b, i - 1, x), lambda b, i, x: without(b, i + 1, x)),
        slip("returns-input", "It returns x as it came. Is the sum stored, and the branch called?", lambda b, i, x: x),
        slip("returns-too-early", "It stops after the first block. `return` belongs behind the loop.",
             lambda b, i, x: without(b[:1], i, x), lambda b, i, x: b[1](x) + x if i == 0 else x + b[0](x)),
        slip("takes-it-off-afterwards", "You subtract a branch at the end. The blocks after it have seen its signal.",
             lambda b, i, x: without(b, None, x) - b[i](x),
             lambda b, i, x: without(b, None, x) - b[i](without(b[:i], None, x))),
        slip("uses-the-first-input", "The first x is used again. Each block takes what the block before it returns.",
             lambda b, i, x: x + sum(f(x) for n, f in enumerate(b) if n != i),
             lambda b, i, x: run(b, x, lambda n, f, y: y if n == i else x + f(y))),
        slip("zeros-the-signal", "You set the signal to zero. Without its branch a block passes x on unchanged.",
             instead(lambda f, x: 0 * x)),
        slip("changes-the-signal", "You add or subtract there. Without its branch a block passes x on unchanged.",
             instead(lambda f, x: x + x), instead(lambda f, x: x - f(x))),
        slip("ignores-index", "Whatever `index` is, the same block is missing.",
             lambda b, i, x: without(b, 0, x), lambda b, i, x: without(b, len(b) - 1, x)),
        slip("relu-after-add", "There is a ReLU after the addition. These blocks compute x + branch(x), no more.",
             lambda b, i, x: run(b, x, lambda n, f, x: x if n == i else (x + f(x)).relu())),
    ],
)
path_lengths = Exercise(
    "path_lengths(n)",
    praise="five numbers of blocks, 0 among them.",
    right=lambda n: [comb(n, k) for k in range(n + 1)],
    cases=[(3,), (5,), (1,), (9,)],
    traps=[(0,)],
    slips=[
        slip("powers-of-two", "Those are powers of two. How many ways are there to *choose* k of n branches?",
             lambda n: [2**k for k in range(n + 1)]),
        slip("counts-orders", "You count each order. Blocks stand in a row: 2 and 5 is the same path as 5 and 2.",
             lambda n: [perm(n, k) for k in range(n + 1)]),
        slip("n-and-k-swapped", "n and k are swapped: `math.comb(n, k)`.",
             lambda n: [comb(k, n) for k in range(n + 1)]),
        slip("shares-for-counts", "Those are shares of all paths. Counts are asked for.",
             lambda n: [comb(n, k) / 2**n for k in range(n + 1)]),
        slip("another-n", "That is the row, or a part of it, for one block more or less.",
             lambda n: [comb(n + 1, k) for k in range(n + 1)],
             *[lambda n, more=more: [comb(n + more, k) for k in range(n + more + 1)] for more in (1, -1)]),
        slip("counts-lengths", "Those are the lengths. How many paths have each?", lambda n: list(range(n + 1))),
        slip("path-by-path", "Those are the lengths of all paths, one by one. Count how many have each length.",
             lambda n: [path.bit_count() for path in range(2**n)]),
        slip("ones", "You count one path for each length. How many ways are there to *choose* k of n branches?",
             lambda n: [1] * (n + 1)),
        slip("reads-what-it-changed", "The row changes while you read it. Make a new one, or go from the end.",
             lambda n: reduce(lambda row, _: [*accumulate(row), 1], range(n), [1]),
             lambda n: reduce(lambda row, _: [*accumulate([*row, 0])], range(n), [1])),
        slip("adds-up", "You count the paths of *at most* k branches. Count those of exactly k.",
             lambda n: list(accumulate(comb(n, k) for k in range(n + 1)))),
    ],
)


def norms(x: Tensor, dims: Any = (1, 2, 3)) -> Tensor:
    return x.square().sum(dims, keepdim=True).sqrt()


def scaled(size: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The direction at the size of the weight, by some measure of size."""
    return lambda d, w: d * size(w) / size(d)


normal = scaled(norms)
filter_normalised = Exercise(
    "filter_normalised(direction, weight)",
    praise="every filter of the direction is as long as the net's, for 3×3 and 1×1 kernels.",
    right=normal,
    cases=[(noise(4, 3, 3, 3, seed=seed), 3 * noise(4, 3, 3, 3, seed=seed + 9)) for seed in range(2)]
    + [(noise(5, 2, 1, 1, seed=7), noise(5, 2, 1, 1, seed=8)), (noise(3, 3, 3, 3, seed=3), noise(3, 3, 3, 3, seed=4))],
    slips=[
        slip("whole-layer", "You scale the whole layer by one factor. Filters differ in size; each gets its own.",
             scaled(torch.norm)),
        slip("half-done", "Multiply by the norm of the net's filter *and* divide by the direction's: one is missing.",
             lambda d, w: d / norms(d), lambda d, w: d * norms(w)),
        slip("turned-round", "The factor is upside down: norm of the weight / norm of the direction.",
             lambda d, w: normal(w, d) * d / w),
        slip("returns-the-weight", "The weight is in what you return. Only the direction is, scaled to its size.",
             lambda d, w: normal(w, d), lambda d, w: w + normal(d, w)),
        slip("only-the-factors", "It returns the factors. Multiply the direction by them.",
             lambda d, w: (norms(w) / norms(d)).flatten(), lambda d, w: norms(w) / norms(d)),
        slip("no-keepdim", "The norms, one for each filter, go along another axis, or do not fit: .view(-1, 1, 1, 1).",
             scaled(lambda x: norms(x).flatten()), scaled(lambda x: norms(x).view(1, -1, 1, 1))),
        slip("input-channels", "You normalise along the input channels. A filter is `weight[i]`, along axis 0.",
             scaled(lambda x: norms(x, (0, 2, 3)))),
        slip("parts-of-filters", "The norm is over a part of a filter. It is over all three other axes together.",
             *[scaled(lambda x, axes=axes: norms(x, axes)) for axes in ((2, 3), 1, 3)], scaled(torch.abs),
             lambda d, w: d.sign() * w.abs()),
        slip("squared-norms", "You use squared norms. Take the root first.", scaled(lambda x: norms(x) ** 2)),
        slip("returns-input", "It returns the direction as it came. Scale each of its filters.", lambda d, w: d),
        slip("other-norm", "That is another measure of size. The L2 norm is the root of the sum of all squares.",
             *[scaled(lambda x, size=size: size(x.flatten(1)).view(-1, 1, 1, 1)) for size in (
                 lambda x: x.abs().sum(1), lambda x: x.abs().amax(1), lambda x: x.std(1))],
             scaled(lambda x: torch.linalg.matrix_norm(x.flatten(2), 2).view(-1, 1, 1, 1))),
        slip("centred", "You subtract a mean first. The direction is only scaled, filter by filter.",
             lambda d, w: normal(d - d.mean(), w), lambda d, w: normal(d - d.mean((1, 2, 3), keepdim=True), w)),
    ],
)
# fmt: on


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


def seen_of(module: Any, arguments: Sequence[Any]) -> dict[str, Any]:
    """Whose parameters it holds, what learns, and what it computes at γ as it comes and at γ = ½."""
    branch = arguments[0]
    if not isinstance(module, nn.Module):
        raise Mistake("not-a-module", got=kind(module))
    x = noise(2, branch.in_channels, 4, 4, seed=1)
    y = call(module, fed := x.clone())
    if y is None:
        raise Mistake("returns-none" if list(module.children()) else "untouched")
    if not isinstance(y, Tensor) or y.shape != x.shape:
        raise Mistake("switch-wrong-shape", given=describe([y]))
    if not torch.equal(fed, x):
        raise Mistake("changes-input", case="x")
    inside, held = (set(map(id, part.parameters())) for part in (branch, module))
    gammas = [parameter for parameter in module.parameters() if id(parameter) not in inside]
    learning = [gamma for gamma in gammas if gamma.requires_grad]
    reached = y.requires_grad and learning and torch.autograd.grad(y.sum(), learning, allow_unused=True)[0] is not None
    with torch.no_grad():
        for gamma in gammas:
            gamma.fill_(0.5)
        half = call(module, x)
    return {
        "branch-not-kept": inside <= held,
        "one-switch-each": sum(gamma.numel() for gamma in gammas) < 2,
        "switch-other-value": y.detach(),
        "switch-does-not-learn": bool(learning),
        "switch-unused": half,
        "switch-without-gradient": bool(reached),
    }


def switching(
    forward: Callable[[Any, Tensor], Tensor] = Switched.forward,
    gamma: Callable[[], Any] = lambda: nn.Parameter(torch.ones(1)),
    keep: Callable[[nn.Module], Any] = lambda branch: branch,
) -> Callable[[nn.Module], nn.Module]:
    """A class like `Switched` with another forward, another γ, or another way to keep the branch."""

    def build(branch: nn.Module) -> nn.Module:
        module: Any = type("Other", (Switched,), {"forward": forward})(branch)
        del module.branch, module.gamma
        module.branch, module.gamma = keep(branch), gamma()
        return module

    return build


# fmt: off
switched = Exercise(
    "Switched(branch)",
    praise="at the start it is x + branch(x); one learnable number, γ, scales the branch.",
    right=Switched,
    cases=branches,
    view=seen_of,
    slips=[
        slip("switch-does-not-learn", "γ is not a parameter that learns. Make it an nn.Parameter, in __init__.",
             switching(gamma=lambda: torch.ones(1)),
             switching(gamma=lambda: nn.Parameter(torch.ones(1), requires_grad=False))),
        slip("switch-starts-at-zero", "The branch adds nothing at the start. γ starts at 1, so that it hurts first.",
             switching(gamma=lambda: nn.Parameter(torch.zeros(1)))),
        slip("one-switch-each", "There are several numbers that learn beside the branch. γ is one.",
             switching(gamma=lambda: nn.Parameter(torch.ones(1, 1, 1, 4)))),
        slip("switch-on-x", "γ scales x. It should scale the branch, and nothing else.",
             switching(lambda m, x: m.gamma * (x + m.branch(x))), switching(lambda m, x: m.gamma * x + m.branch(x))),
        slip("switch-unused", "At γ = ½ it should add half of the branch. Compare your forward with the formula.",
             switching(lambda m, x: x + m.branch(x)), switching(lambda m, x: x + m.gamma**2 * m.branch(x))),
        slip("switch-without-gradient", "No gradient reaches γ. Use it as it is, without `.item()`, `.data`, `detach`.",
             switching(lambda m, x: x + m.gamma.detach() * m.branch(x))),
        slip("no-shortcut", "At the start x is missing: it returns the branch alone. Where is the `x +`?",
             switching(lambda m, x: m.gamma * m.branch(x)),
             switching(lambda m, x: (1 - m.gamma) * x + m.gamma * m.branch(x))),
        slip("branch-not-kept", "The module does not hold the branch's own weights. Use `self.branch = branch`.",
             switching(lambda m, x: x + m.gamma * m.branch[0](x), keep=lambda branch: [branch]),
             switching(keep=deepcopy)),
        slip("switch-wrong-shape", "It returns {given}. The sum has the shape of x.",
             switching(lambda m, x: (x + m.gamma * m.branch(x)).mean())),
        slip("switch-other-value", "At the start, with γ = 1, it should return x + branch(x).",
             switching(lambda m, x: x - m.gamma * m.branch(x)), switching(lambda m, x: x + m.gamma + m.branch(x)),
             switching(lambda m, x: 2 * x + m.gamma * m.branch(x))),
    ],
)
# fmt: on
