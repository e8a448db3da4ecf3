"""Checks of lessons 02 and 08: what a learner measures in a net, and takes out of it."""

from collections.abc import Callable
from math import acos, comb, perm
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.probes.lesions import path_lengths
from resnet_lib.teaching.checks.engine import exercise
from resnet_lib.teaching.checks.functions import compare, random, same


def _convs(model: nn.Module) -> list[nn.Conv2d]:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


def _gradients(model: nn.Module, x: Tensor, y: Tensor, **options: Any) -> list[Tensor]:
    loss = cross_entropy(model(x), y, **options)
    return list(torch.autograd.grad(loss, [conv.weight for conv in _convs(model)]))


@exercise("conv_gradients(model, images, labels)")
def check_conv_gradients(learners: Any) -> str:
    """conv_gradients(model, images, labels): the L2 norm of the cross-entropy's gradient by each convolution's weight,
    as a list of floats, first layer first."""
    cases = []
    for seed, depth in enumerate((8, 14)):
        torch.manual_seed(seed)
        model = cifar_resnet(depth, in_channels=1, width=4)
        cases.append([model, random(6, 1, 8, 8, seed=seed), torch.arange(6) % 3])

    def every(measure: Callable[[Tensor], Any], **options: Any) -> Callable:
        return lambda m, x, y: [float(measure(g)) for g in _gradients(m, x, y, **options)]

    slips = {
        "squared-norm": every(lambda g: g.square().sum()),
        "mean-in-place-of-norm": [every(lambda g: g.abs().mean()), every(lambda g: g.mean()), every(lambda g: g.std())],
        "largest-in-place-of-norm": every(lambda g: g.abs().max()),
        "sum-of-absolutes": every(lambda g: g.abs().sum()),
        "summed-loss": every(lambda g: g.norm(), reduction="sum"),
        "norm-of-weights": lambda m, x, y: [conv.weight.norm().item() for conv in _convs(m)],
        "last-first": lambda m, x, y: [g.norm().item() for g in _gradients(m, x, y)][::-1],
        "eval-mode": lambda m, x, y: [g.norm().item() for g in _gradients(m.eval(), x, y)],
        "loss-of-logits": lambda m, x, y: [
            g.norm().item() for g in torch.autograd.grad(m(x).sum(), [conv.weight for conv in _convs(m)])
        ],
    }
    return compare(learners, cases, every(lambda g: g.norm()), slips, gradients=False)


@exercise("signal_variances(layers, x)")
def check_signal_variances(learners: Any) -> str:
    """signal_variances(layers, x): the variance of each layer's output in an nn.Sequential, a list of floats."""
    cases = []
    for seed, norm in enumerate((False, True)):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Conv2d(4, 4, 3, padding=1), *([nn.BatchNorm2d(4)] if norm else []), nn.Sigmoid()]
        cases.append([nn.Sequential(*layers), random(5, 4, 6, 6, seed=seed)])

    def each(measure: Callable[[Tensor], Tensor]) -> Callable:
        def run(layers: nn.Sequential, x: Tensor) -> list[float]:
            found = []
            for layer in layers:
                x = layer(x)
                found.append(measure(x.detach()).item())
            return found

        return run

    def of_inputs(layers: nn.Sequential, x: Tensor) -> list[float]:
        return [x.var().item(), *each(torch.var)(layers, x)[:-1]]

    slips = {
        "deviation-for-variance": [each(torch.std), each(lambda x: x.std(correction=0))],
        "mean-for-variance": each(torch.mean),
        "second-moment": each(lambda x: x.square().mean()),
        "inputs-for-outputs": of_inputs,
        "layers-on-the-input": lambda layers, x: [layer(x).detach().var().item() for layer in layers],
        "last-only": lambda layers, x: [layers(x).detach().var().item()],
    }

    def right(layers: nn.Sequential, x: Tensor) -> list[float]:
        return each(torch.var)(layers, x)

    def either(layers: nn.Sequential, x: Tensor) -> Any:
        """What the learner returns; without Bessel's correction it is the variance too, so it counts as right."""
        given = learners(layers, x)
        wanted = each(lambda x: x.var(correction=0))(layers, x)
        return right(layers, x) if same(given, wanted) else given

    return compare(either if callable(learners) else learners, cases, right, slips, gradients=False)


@exercise("cosine(a, b)")
def check_cosine(learners: Any) -> str:
    """cosine(a, b): the cosine of the angle between two gradients, tensors of one shape, as a number."""
    cases = [[random(3, 4), random(3, 4, seed=1)], [random(6), -2 * random(6)], [random(2, 3, 4, seed=2)] * 2]

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum()

    def right(a: Tensor, b: Tensor) -> float:
        return (dot(a, b) / (a.norm() * b.norm())).item()

    slips = {
        "dot-product": lambda a, b: dot(a, b).item(),
        "mean-for-sum": lambda a, b: (a * b).mean().item(),
        "one-norm-missing": [lambda a, b: (dot(a, b) / a.norm()).item(), lambda a, b: (dot(a, b) / b.norm()).item()],
        "squared-norms": lambda a, b: (dot(a, b) / (a.square().sum() * b.square().sum())).item(),
        "absolute-value": lambda a, b: abs(right(a, b)),
        "angle-for-cosine": lambda a, b: acos(min(max(right(a, b), -1), 1)),
        "one-minus": lambda a, b: 1 - right(a, b),
        "distance": lambda a, b: (a - b).norm().item(),
        "signs-only": lambda a, b: (a.sign() == b.sign()).float().mean().item(),
        "rows-averaged": lambda a, b: nn.functional.cosine_similarity(a, b, dim=-1).mean().item(),
    }
    return compare(learners, cases, right, slips, gradients=False)


@exercise("path_lengths(n)")
def check_path_lengths(learners: Any) -> str:
    """path_lengths(n): how many paths through n residual blocks take 0, 1, …, n branches: n + 1 numbers."""
    slips = {
        "starts-at-one": lambda n: [comb(n, k) for k in range(1, n + 1)],
        "stops-early": lambda n: [comb(n, k) for k in range(n)],
        "all-paths-together": [lambda n: 2**n, lambda n: [2**n] * (n + 1)],
        "powers-of-two": lambda n: [2**k for k in range(n + 1)],
        "counts-orders": lambda n: [perm(n, k) for k in range(n + 1)],
        "shares-for-counts": lambda n: [comb(n, k) / 2**n for k in range(n + 1)],
        "one-block-more": lambda n: [comb(n + 1, k) for k in range(n + 2)],
        "counts-lengths": lambda n: list(range(n + 1)),
    }
    return compare(learners, [[3], [5], [1], [9]], path_lengths, slips)


@exercise("without_block(branches, index, x)")
def check_without_block(learners: Any) -> str:
    """without_block(branches, index, x): run x through residual blocks x + branch(x), with block `index` taken out."""

    def run(branches: Any, x: Tensor, change: Callable[[int, Any, Tensor], Tensor]) -> Tensor:
        for number, branch in enumerate(branches):
            x = change(number, branch, x)
        return x

    def right(branches: Any, index: int, x: Tensor) -> Tensor:
        return run(branches, x, lambda n, f, x: x if n == index else x + f(x))

    branches = [torch.sin, torch.tanh, lambda x: 0.5 * x.roll(1, -1), torch.cos]
    cases = [[branches, index, random(2, 5, seed=index)] for index in (1, 0, 3)]
    slips = {
        "nothing-deleted": lambda b, i, x: run(b, x, lambda n, f, x: x + f(x)),
        "deletes-the-rest": lambda b, i, x: run(b[:i], x, lambda n, f, x: x + f(x)),
        "deletes-the-first": lambda b, i, x: run(b[i + 1 :], x, lambda n, f, x: x + f(x)),
        "no-shortcut": lambda b, i, x: run(b, x, lambda n, f, x: x if n == i else f(x)),
        "keeps-only-the-block": lambda b, i, x: x + b[i](x),
        "branch-without-plus": lambda b, i, x: run(b, x, lambda n, f, x: f(x) if n == i else x + f(x)),
        "counts-from-one": lambda b, i, x: right(b, i - 1, x),
        "zeros-the-signal": lambda b, i, x: run(b, x, lambda n, f, x: 0 * x if n == i else x + f(x)),
        "doubles-the-signal": lambda b, i, x: run(b, x, lambda n, f, x: x + x if n == i else x + f(x)),
        "adds-the-input": lambda b, i, x: run(b, x, lambda n, f, y: y if n == i else x + f(y)),
    }
    return compare(learners, cases, right, slips)


@exercise("filter_normalised(direction, weight)")
def check_filter_normalised(learners: Any) -> str:
    """filter_normalised(direction, weight): scale each filter direction[i] to the L2 norm of the filter weight[i]."""

    def norms(x: Tensor, dims: Any) -> Tensor:
        return x.square().sum(dims, keepdim=True).sqrt()

    def largest(x: Tensor) -> Tensor:
        return x.abs().amax((1, 2, 3), keepdim=True)

    every = (1, 2, 3)
    cases = [[random(4, 3, 3, 3, seed=seed), 3 * random(4, 3, 3, 3, seed=seed + 9)] for seed in range(2)]
    cases.append([random(5, 2, 1, 1, seed=7), random(5, 2, 1, 1, seed=8)])
    slips = {
        "whole-layer": lambda d, w: d * w.norm() / d.norm(),
        "unit-filters": lambda d, w: d / norms(d, every),
        "not-divided": lambda d, w: d * norms(w, every),
        "turned-round": [
            lambda d, w: d * norms(d, every) / norms(w, every),
            lambda d, w: w * norms(d, every) / norms(w, every),
        ],
        "input-channels": lambda d, w: d * norms(w, (0, 2, 3)) / norms(d, (0, 2, 3)),
        "each-kernel": lambda d, w: d * norms(w, (2, 3)) / norms(d, (2, 3)),
        "squared-norms": lambda d, w: d * norms(w, every) ** 2 / norms(d, every) ** 2,
        "every-weight": lambda d, w: d.sign() * w.abs(),
        "returns-input": lambda d, w: d,
        "largest-in-place-of-norm": lambda d, w: d * largest(w) / largest(d),
    }
    return compare(learners, cases, lambda d, w: d * norms(w, every) / norms(d, every), slips)
