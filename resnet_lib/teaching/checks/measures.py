"""Checks of lessons 02 and 08: what a learner measures in a net, and takes out of it."""

from collections.abc import Callable, Iterable
from itertools import accumulate
from math import acos, comb, degrees, hypot, perm
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.probes.lesions import path_lengths
from resnet_lib.teaching.checks.engine import exercise
from resnet_lib.teaching.checks.functions import compare, random


def _weights(model: nn.Module) -> list[Tensor]:
    return [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]


def _norms(loss: Tensor, of: Iterable[Tensor]) -> list[float]:
    return [gradient.norm().item() for gradient in torch.autograd.grad(loss, list(of))]


@exercise("conv_gradients(model, images, labels)")
def check_conv_gradients(learners: Any) -> str:
    """conv_gradients(model, images, labels): the L2 norm of the cross-entropy's gradient by each convolution's weight,
    as a list of floats, first layer first."""
    cases = []
    for seed, depth in enumerate((8, 14)):
        torch.manual_seed(seed)
        model = cifar_resnet(depth, in_channels=1, width=4)
        cases.append([model, random(6, 1, 8, 8, seed=seed), torch.arange(6) % 3])

    def right(m: nn.Module, x: Tensor, y: Tensor) -> list[float]:
        return _norms(cross_entropy(m(x), y), _weights(m))

    def each(measure: Callable[[Tensor], Tensor]) -> Callable:
        return lambda m, x, y: [measure(g).item() for g in torch.autograd.grad(cross_entropy(m(x), y), _weights(m))]

    def of_outputs(m: nn.Module, x: Tensor, y: Tensor) -> list[float]:
        kept: list[Tensor] = []
        for conv in (module for module in m.modules() if isinstance(module, nn.Conv2d)):
            conv.register_forward_hook(lambda module, args, out: kept.append(out))
        return _norms(cross_entropy(m(x), y), kept)

    slips = {
        "squared-norm": each(lambda g: g.square().sum()),
        "mean-in-place-of-norm": [
            each(measure)
            for measure in (torch.mean, torch.std, lambda g: g.abs().mean(), lambda g: g.square().mean().sqrt())
        ],
        "largest-in-place-of-norm": each(lambda g: g.abs().max()),
        "sum-of-absolutes": each(lambda g: g.abs().sum()),
        "total-norm": [lambda m, x, y: sum(right(m, x, y)), lambda m, x, y: hypot(*right(m, x, y))],
        "relative-norm": lambda m, x, y: [
            norm / weight.norm().item() for norm, weight in zip(right(m, x, y), _weights(m), strict=True)
        ],
        "norm-missing": lambda m, x, y: list(torch.autograd.grad(cross_entropy(m(x), y), _weights(m))),
        "norm-of-weights": lambda m, x, y: [weight.norm().item() for weight in _weights(m)],
        "gradient-of-outputs": of_outputs,
        "all-parameters": [
            lambda m, x, y: _norms(cross_entropy(m(x), y), m.parameters()),
            lambda m, x, y: _norms(cross_entropy(m(x), y), [p for p in m.parameters() if p.ndim > 1]),
            lambda m, x, y: _norms(
                cross_entropy(m(x), y), [p for name, p in m.named_parameters() if name.endswith("weight")]
            ),
        ],
        "summed-loss": lambda m, x, y: _norms(cross_entropy(m(x), y, reduction="sum"), _weights(m)),
        "softmax-twice": lambda m, x, y: _norms(cross_entropy(m(x).softmax(1), y), _weights(m)),
        "loss-of-logits": lambda m, x, y: _norms(m(x).sum(), _weights(m)),
        "last-first": lambda m, x, y: right(m, x, y)[::-1],
        "eval-mode": lambda m, x, y: right(m.eval(), x, y),
    }
    return compare(learners, cases, right, slips, gradients=False)


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

    def only(kind: type) -> Callable:
        def run(layers: nn.Sequential, x: Tensor) -> list[float]:
            return [v for v, layer in zip(right(layers, x), layers, strict=True) if isinstance(layer, kind)]

        return run

    def averaged(*dims: int) -> Callable:
        return each(lambda x: x.var(dims).mean())

    def signals(layers: nn.Sequential, x: Tensor) -> list[Tensor]:
        return [layers[: n + 1](x).detach() for n in range(len(layers))]

    right = each(torch.var)
    slips = {
        "deviation-for-variance": [each(torch.std), each(lambda x: x.std(correction=0))],
        "mean-for-variance": each(torch.mean),
        "second-moment": each(lambda x: x.square().mean()),
        "inputs-for-outputs": lambda layers, x: [x.var().item(), *right(layers, x)[:-1]],
        "includes-input": lambda layers, x: [x.var().item(), *right(layers, x)],
        "layers-on-the-input": lambda layers, x: [layer(x).detach().var().item() for layer in layers],
        "last-only": [lambda layers, x: right(layers, x)[-1:], lambda layers, x: right(layers, x)[-1]],
        "returns-too-early": [lambda layers, x: right(layers, x)[:1], lambda layers, x: right(layers, x)[0]],
        "one-kind-of-layer": [only(kind) for kind in (nn.Conv2d, nn.Sigmoid, nn.BatchNorm2d)],
        "eval-mode": lambda layers, x: right(layers.eval(), x),
        "variances-averaged": [averaged(*dims) for dims in ((0,), (1,), (2, 3), (0, 2, 3), (1, 2, 3))],
        "variance-missing": signals,
        "variance-of-weights": lambda layers, x: [m.weight.var().item() for m in layers if hasattr(m, "weight")],
    }
    biased = each(lambda x: x.var(correction=0))  # without Bessel's correction it is the variance too
    return compare(learners, cases, right, slips, biased, gradients=False)


@exercise("cosine(a, b)")
def check_cosine(learners: Any) -> str:
    """cosine(a, b): the cosine of the angle between two gradients, tensors of one shape, as a number."""
    cases = [[random(3, 4), random(3, 4, seed=1)], [random(6), -2 * random(6)], [random(2, 3, 4, seed=2)] * 2]

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum()

    def right(a: Tensor, b: Tensor) -> float:
        return (dot(a, b) / (a.norm() * b.norm())).item()

    def correlation(a: Tensor, b: Tensor) -> float:
        return right(a - a.mean(), b - b.mean())

    slips = {
        "dot-product": lambda a, b: dot(a, b).item(),
        "mean-for-sum": [
            lambda a, b: (a * b).mean().item(),
            lambda a, b: ((a * b).mean() / (a.norm() * b.norm())).item(),
        ],
        "not-summed": lambda a, b: a * b / (a.norm() * b.norm()),
        "one-norm-missing": [lambda a, b: (dot(a, b) / a.norm()).item(), lambda a, b: (dot(a, b) / b.norm()).item()],
        "norms-multiply": [
            lambda a, b: (dot(a, b) / a.norm() * b.norm()).item(),
            lambda a, b: (dot(a, b) * a.norm() * b.norm()).item(),
        ],
        "norms-added": lambda a, b: (dot(a, b) / (a.norm() + b.norm())).item(),
        "squared-norms": [
            lambda a, b: (dot(a, b) / (a.square().sum() * b.square().sum())).item(),
            lambda a, b: (dot(a, b) / a.square().sum()).item(),
            lambda a, b: (dot(a, b) / b.square().sum()).item(),
        ],
        "absolute-value": lambda a, b: abs(right(a, b)),
        "angle-for-cosine": [
            lambda a, b: acos(min(max(right(a, b), -1), 1)),
            lambda a, b: degrees(acos(min(max(right(a, b), -1), 1))),
        ],
        "one-minus": lambda a, b: 1 - right(a, b),
        "distance": lambda a, b: (a - b).norm().item(),
        "signs-only": [
            lambda a, b: (a.sign() == b.sign()).float().mean().item(),
            lambda a, b: (a.sign() * b.sign()).mean().item(),
        ],
        "correlation": correlation,
        "rows-averaged": lambda a, b: nn.functional.cosine_similarity(a, b, dim=-1).mean().item(),
        "one-for-each-row": [lambda a, b, dim=dim: torch.cosine_similarity(a, b, dim=dim) for dim in (0, 1, -1)],
        "not-flattened": lambda a, b: (a @ b / (a.norm() * b.norm())).item(),
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
        "counts-one-more": lambda n: [comb(n + 1, k) for k in range(n + 2)],
        "counts-lengths": lambda n: list(range(n + 1)),
        "ones": lambda n: [1] * (n + 1),
        "adds-up": lambda n: list(accumulate(comb(n, k) for k in range(n + 1))),
    }
    return compare(learners, [[3], [5], [1], [9]], path_lengths, slips)


@exercise("without_block(branches, index, x)")
def check_without_block(learners: Any) -> str:
    """without_block(branches, index, x): run x through residual blocks x + branch(x), with block `index` taken out."""

    def run(branches: Any, x: Tensor, change: Callable[[int, Any, Tensor], Tensor]) -> Tensor:
        for number, branch in enumerate(branches):
            x = change(number, branch, x)
        return x

    def right(branches: Any, index: int | None, x: Tensor) -> Tensor:
        return run(branches, x, lambda n, f, x: x if n == index else x + f(x))

    branches = [torch.sin, torch.tanh, lambda x: 0.5 * x.roll(1, -1), torch.cos]
    cases = [[branches, index, random(2, 5, seed=index)] for index in (1, 0, 3)]
    slips = {
        "nothing-deleted": lambda b, i, x: right(b, None, x),
        "deletes-the-rest": lambda b, i, x: right(b[:i], None, x),
        "deletes-the-first": lambda b, i, x: right(b[i + 1 :], None, x),
        "no-shortcut": lambda b, i, x: run(b, x, lambda n, f, x: x if n == i else f(x)),
        "keeps-only-the-block": lambda b, i, x: x + b[i](x),
        "branch-without-plus": lambda b, i, x: run(b, x, lambda n, f, x: f(x) if n == i else x + f(x)),
        "counts-from-one": lambda b, i, x: right(b, i - 1, x),
        "off-by-one": lambda b, i, x: right(b, i + 1, x),
        "returns-input": lambda b, i, x: x,
        "returns-too-early": [
            lambda b, i, x: x if i == 0 else x + b[0](x),
            lambda b, i, x: b[1](x) + x if i == 0 else x + b[0](x),
        ],
        "takes-it-off-afterwards": [
            lambda b, i, x: right(b, None, x) - b[i](x),
            lambda b, i, x: right(b, None, x) - b[i](right(b[:i], None, x)),
        ],
        "branches-on-the-input": lambda b, i, x: x + sum(f(x) for n, f in enumerate(b) if n != i),
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
        "turned-round": lambda d, w: d * norms(d, every) / norms(w, every),
        "scales-the-weight": lambda d, w: w * norms(d, every) / norms(w, every),
        "no-keepdim": lambda d, w: d * norms(w, every).flatten() / norms(d, every).flatten(),
        "input-channels": lambda d, w: d * norms(w, (0, 2, 3)) / norms(d, (0, 2, 3)),
        "each-kernel": lambda d, w: d * norms(w, (2, 3)) / norms(d, (2, 3)),
        "squared-norms": lambda d, w: d * norms(w, every) ** 2 / norms(d, every) ** 2,
        "every-weight": lambda d, w: d.sign() * w.abs(),
        "returns-input": lambda d, w: d,
        "largest-in-place-of-norm": lambda d, w: d * largest(w) / largest(d),
        "sum-of-absolutes": lambda d, w: d * w.abs().sum(every, keepdim=True) / d.abs().sum(every, keepdim=True),
        "deviation-for-norm": lambda d, w: d * w.std(every, keepdim=True) / d.std(every, keepdim=True),
    }
    return compare(learners, cases, lambda d, w: d * norms(w, every) / norms(d, every), slips)
