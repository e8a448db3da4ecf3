"""Lesson 02: what is measured in a net, and how gradients are compared."""

from collections.abc import Callable, Sequence
from itertools import product
from math import acos, hypot
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy

from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.probes.hooks import watching
from resnet_lib.teaching.checking import Exercise, Slips, noise, slip

Measure = Callable[[Tensor], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


def convs(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


def weights(model: nn.Module) -> list[Tensor]:
    return [module.get_parameter("weight") for module in convs(model)]


def of_weights(
    measure: Measure = torch.norm, loss: Loss = cross_entropy, chosen: Callable[..., Any] = weights
) -> Callable[..., list[float]]:
    """Measures the gradients with respect to the chosen parameters of a model."""
    return lambda model, x, y: [
        measure(gradient).item() for gradient in torch.autograd.grad(loss(model(x), y), list(chosen(model)))
    ]


def of_outputs(
    measure: Measure = torch.norm, loss: Loss = cross_entropy, chosen: Callable[..., Any] = lambda m, layers: layers
) -> Callable[..., list[float]]:
    """Measures the gradients with respect to the outputs of the chosen layers."""

    def run(model: nn.Module, layers: list[nn.Module], x: Tensor, y: Tensor) -> list[float]:
        with watching({str(n): layer for n, layer in enumerate(chosen(model, layers))}) as seen:
            total = loss(model(x), y)
        return [measure(gradient).item() for gradient in torch.autograd.grad(total, list(seen.values()))]

    return run


# fmt: off
EVAL_MODE = "You measured in eval mode, where batch norm is another function. Leave the mode as it is."


def common_slips(measured: Callable[..., Any]) -> Slips:
    """What goes wrong with either of the two: `measured` is a function of (how to measure a gradient, the loss)."""
    right = measured()
    return Slips(
        slip("mean-for-norm", "That is a mean. The L2 norm is the root of the *sum* of squares.",
             *map(measured, (torch.mean, torch.std, lambda g: g.abs().mean(), lambda g: g.square().mean().sqrt()))),
        slip("other-norm", "That is another norm, of absolute values or of the largest one. L2 is asked for.",
             measured(lambda g: g.abs().sum()), measured(lambda g: g.abs().max())),
        slip("total-norm", "That is one number. A list is asked for, with one norm for each layer.",
             lambda *args: sum(right(*args)), lambda *args: hypot(*right(*args))),
        slip("summed-loss", "Your loss is the sum over the batch. The course takes the mean, as `cross_entropy` does.",
             measured(loss=lambda logits, y: cross_entropy(logits, y, reduction="sum"))),
        slip("softmax-twice", "You apply softmax before the cross-entropy, which has a softmax inside.",
             measured(loss=lambda logits, y: cross_entropy(logits.softmax(1), y))),
        slip("loss-of-logits", "You took the gradient of the logits. The loss is the cross-entropy with the labels.",
             measured(loss=lambda logits, y: logits.sum()), measured(loss=lambda logits, y: logits.mean())),
        slip("eval-mode", EVAL_MODE, lambda model, *rest: right(model.eval(), *rest)),
    )


def net_and_batch(seed: int, trained: bool = False) -> Sequence[Any]:
    torch.manual_seed(seed)
    model, x, y = cifar_resnet(8, in_channels=1, width=2 + seed), noise(6, 1, 8, 8, seed=seed), torch.arange(6) % 3
    if trained:
        cross_entropy(model(x), y).backward()
    return model, x, y


def with_old_gradients(model: nn.Module, x: Tensor, y: Tensor) -> list[float]:
    cross_entropy(model(x), y).backward()
    return [weight.grad.norm().item() for weight in weights(model) if weight.grad is not None]


conv_gradients = Exercise(
    "conv_gradients(model, images, labels)",
    praise="three nets, one of them with old gradients: the norms are the reference's, and the nets are as they were.",
    right=of_weights(),
    cases=lambda: [net_and_batch(0), net_and_batch(1)],
    traps=lambda: [net_and_batch(2, trained=True)],
    floats=True,
    ignores=("leaves-gradients",),  # the task may be solved with `backward`
    slips=[
        *common_slips(of_weights),
        slip("norm-missing", "Those are the gradients themselves. Take the L2 norm of each.",
             lambda m, x, y: list(torch.autograd.grad(cross_entropy(m(x), y), weights(m)))),
        slip("norm-of-weights", "That is the norm of the weights themselves. Their gradient is in `weight.grad`.",
             lambda m, x, y: [weight.norm().item() for weight in weights(m)]),
        slip("gradient-of-outputs", "Those are gradients with respect to the *outputs*, not to the weights.",
             lambda m, x, y: of_outputs()(m, convs(m), x, y)),
        slip("all-parameters", "You return {yours} values instead of {right}. Only the weights of nn.Conv2d count.",
             of_weights(chosen=nn.Module.parameters),
             of_weights(chosen=lambda m: [p for p in m.parameters() if p.ndim > 1]),
             of_weights(chosen=lambda m: [p for name, p in m.named_parameters() if name.endswith("weight")])),
        slip("stem-only", "Only the first convolution is there: a `return` in the loop, or `children()`, which "
             "does not look inside blocks?",
             of_weights(chosen=lambda m: [m.conv1.weight])),
        slip("old-gradients", "It is right for a net without gradients. The last one had some, and `backward` adds to "
             "them. Clear them first, or use torch.autograd.grad.",
             with_old_gradients),
    ],
)


def nets_and_layers() -> list[Sequence[Any]]:
    """The blocks of one net, two convolutions of another."""
    (first, *batch), (second, *other) = net_and_batch(0), net_and_batch(1)
    chosen = [second.get_submodule(name) for name in ("layer1.0.conv2", "layer3.0.conv1")]
    return [(first, list(first.blocks().values()), *batch), (second, chosen, *other)]


def of_inputs(model: nn.Module, layers: list[nn.Module], x: Tensor, y: Tensor) -> list[float]:
    kept: list[Tensor] = []
    for layer in layers:
        layer.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0]))
    return [gradient.norm().item() for gradient in torch.autograd.grad(cross_entropy(model(x), y), kept)]


def sizes_of_outputs(model: nn.Module, layers: list[nn.Module], x: Tensor, y: Tensor) -> list[float]:
    with watching({str(n): layer for n, layer in enumerate(layers)}) as seen:
        model(x)
    return [output.norm().item() for output in seen.values()]


output_gradients = Exercise(
    "output_gradients(model, layers, images, labels)",
    praise="blocks of one net, convolutions of another; no hook is left.",
    right=of_outputs(),
    cases=nets_and_layers,
    floats=True,
    ignores=("leaves-gradients",),
    slips=[
        *common_slips(of_outputs),
        slip("signal-for-gradient", "That is the size of the outputs themselves. After `backward`, look at `.grad`.",
             sizes_of_outputs),
        slip("inputs-for-outputs", "Those are gradients of the layers' inputs, not of their outputs.", of_inputs),
        slip("gradient-of-weights", "Those are gradients of weights. Only a hook sees the layers' outputs.",
             lambda m, layers, x, y: of_weights()(m, x, y),
             lambda m, layers, x, y: of_weights(chosen=lambda m: [next(one.parameters()) for one in layers])(m, x, y)),
        slip("all-layers", "You return {yours} values instead of {right}. Hang hooks on the modules in `layers` alone.",
             of_outputs(chosen=lambda m, layers: convs(m)), of_outputs(chosen=lambda m, layers: list(m.children()))),
        slip("hooked-too-late", "It returns an empty list: hooks run in the forward pass, so hang them up before it.",
             lambda *args: []),
    ],
)


def stack(norm: bool, images: int) -> Sequence[Any]:
    """Three times convolution, perhaps batch norm, and sigmoid, in train mode."""
    torch.manual_seed(int(norm))
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [nn.Conv2d(4, 4, 3, padding=1), *([nn.BatchNorm2d(4)] if norm else []), nn.Sigmoid()]
    return nn.Sequential(*layers), noise(images, 4, 6, 6, seed=int(norm))


def of_signals(measure: Measure) -> Callable[..., list[float]]:
    """Measures the output of each layer."""
    return lambda layers, x: [measure(layers[: n + 1](x).detach()).item() for n in range(len(layers))]


variances = of_signals(torch.var)
signal_variances = Exercise(
    "signal_variances(layers, x)",
    praise="one variance after each layer, with and without batch norm.",
    right=variances,
    also=[of_signals(lambda x: x.var(correction=0))],  # without Bessel's correction it is the variance too
    cases=lambda: [stack(False, 5), stack(True, 5)],
    traps=lambda: [stack(False, 1)],
    floats=True,
    slips=[
        slip("deviation-for-variance", "That is the standard deviation. The variance is its square.",
             of_signals(torch.std), of_signals(lambda x: x.std(correction=0))),
        slip("mean-for-variance", "That is the mean.", of_signals(torch.mean)),
        slip("second-moment", "That is the mean of the squares. Subtract the mean first.",
             of_signals(lambda x: x.square().mean())),
        slip("inputs-for-outputs", "These are the variances of what goes *into* each layer. Measure after it.",
             lambda layers, x: [x.var().item(), *variances(layers, x)[:-1]]),
        slip("includes-input", "The variance of x itself is in the list. One value for each layer is asked for.",
             lambda layers, x: [x.var().item(), *variances(layers, x)]),
        slip("layers-on-the-input", "Each layer got the first input. Hand the output of one to the next.",
             lambda layers, x: [layer(x).detach().var().item() for layer in layers]),
        slip("one-for-all", "Only one output is measured. Is `found = []` or `return` inside the loop?",
             lambda layers, x: variances(layers, x)[-1:], lambda layers, x: variances(layers, x)[-1],
             lambda layers, x: variances(layers, x)[:1], lambda layers, x: variances(layers, x)[0]),
        slip("one-kind-of-layer", "Only layers of one kind are there: {yours} values instead of {right}.",
             *[lambda layers, x, kind=kind: [value for value, layer in zip(variances(layers, x), layers, strict=True)
                                             if isinstance(layer, kind)] for kind in (nn.Conv2d, nn.Sigmoid)]),
        slip("eval-mode", EVAL_MODE, lambda layers, x: variances(layers.eval(), x)),
        slip("variances-averaged", "You averaged variances along some axes. Take one variance of all values.",
             *[of_signals(lambda x, dims=dims: x.var(dims).mean())
               for dims in ((0,), (1,), (2, 3), (0, 2, 3), (1, 2, 3))]),
        slip("variance-missing", "Those are the outputs themselves. Take the variance of each.",
             lambda layers, x: [layers[: n + 1](x).detach() for n in range(len(layers))]),
        slip("variance-of-weights", "Those are variances of weights. Take that of what each layer returns.",
             lambda layers, x: [layer.weight.var().item() for layer in layers if hasattr(layer, "weight")]),
    ],
)


def dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum()


def cosine_of(a: Tensor, b: Tensor) -> float:
    return (dot(a, b) / (a.norm() * b.norm())).item()


cosine = Exercise(
    "cosine(a, b)",
    praise="vectors, matrices and gradients of three axes: the cosine of all entries taken together.",
    right=cosine_of,
    cases=[(noise(3, 4), noise(3, 4, seed=1)), (n := noise(4, 4, seed=3), noise(4, 4, seed=4) - 2 * n),
           (1e-3 * noise(5, seed=5), 1e3 * noise(5, seed=6)), (noise(2, 3, 4), noise(2, 3, 4, seed=1) - 1)],
    traps=[(noise(6), -2 * noise(6)), (noise(2, 3, 4, seed=2),) * 2],
    slips=[
        slip("dot-product", "That is the dot product. Divide by both norms.", lambda a, b: dot(a, b).item()),
        slip("mean-for-sum", "The mean of the products depends on how many there are. Take the sum.",
             lambda a, b: (a * b).mean().item(), lambda a, b: ((a * b).mean() / (a.norm() * b.norm())).item()),
        slip("not-summed", "The products are not summed up.", lambda a, b: a * b / (a.norm() * b.norm())),
        slip("norms-multiply", "You multiply by a norm: `a / b * c` is (a / b) · c. Put the product in brackets.",
             lambda a, b: (dot(a, b) / a.norm() * b.norm()).item(),
             lambda a, b: (dot(a, b) * a.norm() * b.norm()).item()),
        slip("wrong-divisor", "What you divide by is not ‖a‖ · ‖b‖. Take both norms, with their roots, and multiply.",
             *[lambda a, b, by=by: (dot(a, b) / by(a, b)).item() for by in (
                 lambda a, b: a.norm(), lambda a, b: b.norm(), lambda a, b: a.norm() + b.norm(), lambda a, b: dot(a, a),
                 lambda a, b: dot(b, b), lambda a, b: dot(a, a) * dot(b, b), lambda a, b: (a * b).norm(),
                 lambda a, b: a.abs().sum() * b.abs().sum())]),
        slip("absolute-value", "The sign is lost. −1 means opposite changes.", lambda a, b: abs(cosine_of(a, b))),
        slip("angle", "That is the angle, not its cosine.", lambda a, b: acos(min(max(cosine_of(a, b), -1), 1))),
        slip("distance", "That is a distance: 0 where both are equal. The cosine is 1 there.",
             lambda a, b: 1 - cosine_of(a, b), lambda a, b: (a - b).norm().item()),
        slip("signs-only", "You compare signs only.", lambda a, b: (a.sign() == b.sign()).float().mean().item()),
        slip("correlation", "You subtracted the means.", lambda a, b: cosine_of(a - a.mean(), b - b.mean())),
        slip("not-flattened", "`@` and `torch.dot` are no dot product of matrices and images. Flatten, or sum a * b.",
             lambda a, b: (a @ b / (a.norm() * b.norm())).item(),
             lambda a, b: (torch.dot(a, b) / (a.norm() * b.norm())).item()),
        slip("rows-apart", "You take cosines of rows or columns. A gradient is one long vector: flatten first.",
             *[lambda a, b, dim=dim, end=end: end(cosine_similarity(a, b, dim=dim))
               for dim in (-1, 0, 1) for end in (lambda c: c.mean().item(), lambda c: c)]),
    ],
)


def halves(
    mean: Measure = lambda x: x.mean(0), size: Measure = lambda x: x.square().mean(0).sqrt()
) -> Callable[[Tensor, bool, bool], Tensor]:
    def run(x: Tensor, centre: bool, rescale: bool) -> Tensor:
        x = x - mean(x) if centre else x
        return x / size(x) if rescale else x

    return run


half_of = halves()
half_norm = Exercise(
    "half_norm(x, centre, rescale)",
    praise="each half alone, both, and neither; gradients too.",
    right=half_of,
    cases=[((noise(6, 4, seed=seed) + 1) / 10, *both) for seed, both in enumerate(product((False, True), repeat=2))],
    gradients=True,
    slips=[
        slip("unchanged", "x comes back as it went in. Is the result assigned to x?", lambda x, centre, rescale: x),
        slip("over-the-row", "You take the statistics of each row. The batch is axis 0: one mean for each *column*.",
             halves(lambda x: x.mean(1, keepdim=True), lambda x: x.square().mean(1, keepdim=True).sqrt())),
        slip("whole-layer", "You take one mean or one size over all numbers. There is one for each column.",
             halves(torch.mean, lambda x: x.square().mean().sqrt()), halves(torch.mean),
             halves(size=lambda x: x.square().mean().sqrt())),
        slip("deviation", "You divide by the standard deviation, which takes the mean away again. The root mean square "
             "does not.",
             halves(size=lambda x: x.std(0)), halves(size=lambda x: x.std(0, correction=0))),
        slip("wrong-size", "What you divide by is not the root mean square: square first, then mean, then root.",
             *[halves(size=size) for size in (
                 lambda x: x.square().mean(0), lambda x: x.norm(dim=0), lambda x: x.mean(0).abs(),
                 lambda x: x.abs().mean(0))]),
        slip("multiplies", "You multiply. Divide by the size.", halves(size=lambda x: 1 / x.square().mean(0).sqrt())),
        slip("has-eps", "There is an ε under the root. Batch norm has one; here it is left out.",
             halves(size=lambda x: (x.square().mean(0) + 1e-5).sqrt())),
        slip("rescales-first", "With both, you divide by the size that x had before it was centred. Centre first.",
             lambda x, centre, rescale: half_of(half_of(x, False, rescale), centre, False),
             lambda x, centre, rescale: half_of(x, centre, False) / (x / half_of(x, False, rescale))),
        slip("swapped", "The switches are swapped.", lambda x, centre, rescale: half_of(x, rescale, centre)),
        slip("never-both", "With both switches on, only one step is made. Write two `if`s, without a `return`.",
             lambda x, centre, rescale: half_of(x, centre, rescale and not centre)),
        slip("ignores-switches", "Both switches do the same, or one does nothing. Each has its own step.",
             *[lambda x, *on, use=use: half_of(x, *use(*on)) for use in (
                 lambda c, r: (True, True), lambda c, r: (c, c), lambda c, r: (c, False), lambda c, r: (False, r))]),
    ],
)


def centred(gradients: Tensor) -> Tensor:
    return gradients - gradients.mean(0)


def of_pairs(measure: Callable[..., Any], centre: Measure = centred, more: int = 0) -> Callable[[Tensor, int], Any]:
    """A measure of (g without its first `lag` rows, g without its last ones, g)."""

    def run(gradients: Tensor, lag: int) -> Any:
        g, lag = centre(gradients), max(lag + more, 0)
        found = measure(g[lag:], g[: len(g) - lag], g)
        return found.item() if found.ndim == 0 else found

    return run


def likeness(a: Tensor, b: Tensor, g: Tensor) -> Tensor:
    return dot(a, b) / dot(g, g)


autocorrelation = Exercise(
    "autocorrelation(gradients, lag)",
    praise="lags 0, 1, 2 and 5, along lines of 6 to 12 points.",
    right=of_pairs(likeness),
    cases=[(noise(points, 4, seed=lag).cumsum(0) + 1, lag) for points, lag in ((6, 0), (8, 1), (9, 2), (12, 5))],
    floats=True,
    slips=[
        slip("mean-stays", "The mean over the points is not subtracted.", of_pairs(likeness, lambda g: g)),
        slip("wrong-mean", "You subtract a different mean. Take the mean over the points: one for each pixel.",
             of_pairs(likeness, lambda g: g - g.mean()), of_pairs(likeness, lambda g: g - g.mean(1, keepdim=True))),
        slip("lag-zero", "At lag 0 it fails: `g[:-0]` is empty. `g[: len(g) - lag]` is right at every lag.",
             lambda gradients, lag: likeness((g := centred(gradients))[lag:], g[:-lag], g).item()),
        slip("round-the-corner", "`roll` pairs the end of the line with its start. Leave out pairs that do not exist.",
             *[lambda gradients, lag, way=way: likeness(g := centred(gradients), g.roll(way * lag, 0), g).item()
               for way in (1, -1)]),
        slip("not-divided", "Nothing is divided. At lag 0 the result is 1.", of_pairs(lambda a, b, g: dot(a, b))),
        slip("wrong-divisor", "You divide by something other than the sum of *all* squared entries, or take means.",
             *map(of_pairs, (
                 lambda a, b, g: (a * b).mean(), lambda a, b, g: (a * b).mean() / g.square().mean(),
                 lambda a, b, g: dot(a, b) / (a.norm() * b.norm()), lambda a, b, g: dot(a, b) / dot(a, a),
                 lambda a, b, g: dot(a, b) / dot(b, b), lambda a, b, g: dot(a, b) / g.norm(),
                 lambda a, b, g: dot(a, b) / g.sum().square(), lambda a, b, g: cosine_similarity(a, b, dim=1).mean())),
             lambda gradients, lag: of_pairs(lambda a, b, g: dot(a, b) / dot(gradients, gradients))(gradients, lag)),
        slip("pixels-apart", "Each pixel is normalised on its own. Sum over all of them, then divide once.",
             of_pairs(lambda a, b, g: ((a * b).sum(0) / g.square().sum(0)).mean()),
             of_pairs(lambda a, b, g: (a * b).sum(0) / g.square().sum(0)),
             of_pairs(likeness, lambda g: centred(g) / g.std(0))),
        slip("off-by-one", "The pairs lie one point too far apart, or one too near.",
             of_pairs(likeness, more=1), of_pairs(likeness, more=-1)),
        slip("one-pair", "There is one pair only. Sum over all pairs that lie `lag` apart.",
             of_pairs(lambda a, b, g: dot(a[0], b[0]) / dot(g, g))),
        slip("not-summed", "There is a value for each pair or pixel. Sum over all of them.",
             of_pairs(lambda a, b, g: (a * b).sum(1) / dot(g, g)), of_pairs(lambda a, b, g: a * b / dot(g, g))),
        slip("along-the-pixels", "You go along the pixels. The points of the line are axis 0.",
             lambda gradients, lag: of_pairs(likeness)(gradients.T, min(lag, 3)),
             of_pairs(likeness, lambda g: centred(g).T)),
    ],
)
