"""Lesson 02: what is measured in a net, and how gradients are compared."""

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from math import acos, degrees, hypot
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy

from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.teaching.checking import Exercise, noise


def weights(model: nn.Module) -> list[Tensor]:
    return [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]


def norms(loss: Tensor, of: Iterable[Tensor]) -> list[float]:
    return [gradient.norm().item() for gradient in torch.autograd.grad(loss, list(of))]


def gradient_norms(m: nn.Module, x: Tensor, y: Tensor) -> list[float]:
    return norms(cross_entropy(m(x), y), weights(m))


def of_gradients(measure: Callable[[Tensor], Tensor]) -> Callable[..., list[float]]:
    return lambda m, x, y: [measure(g).item() for g in torch.autograd.grad(cross_entropy(m(x), y), weights(m))]


def of_outputs(m: nn.Module, x: Tensor, y: Tensor) -> list[float]:
    kept: list[Tensor] = []
    for conv in (module for module in m.modules() if isinstance(module, nn.Conv2d)):
        conv.register_forward_hook(lambda module, args, out: kept.append(out))
    return norms(cross_entropy(m(x), y), kept)


def with_old_gradients(m: nn.Module, x: Tensor, y: Tensor) -> list[float]:
    cross_entropy(m(x), y).backward()
    return [weight.grad.norm().item() for weight in weights(m) if weight.grad is not None]


def net_and_batch(depth: int, seed: int) -> Sequence[Any]:
    torch.manual_seed(seed)
    return cifar_resnet(depth, in_channels=1, width=4), noise(6, 1, 8, 8, seed=seed), torch.arange(6) % 3


def net_with_gradients() -> list[Sequence[Any]]:
    model, images, labels = net_and_batch(8, 2)
    cross_entropy(model(images), labels).backward()
    return [(model, images, labels)]


# fmt: off
conv_gradients = Exercise(
    "conv_gradients(model, images, labels)",
    praise="three nets, one of them with old gradients: the norms are the reference's, and the nets are as they were.",
    right=gradient_norms,
    cases=lambda: [net_and_batch(8, 0), net_and_batch(14, 1)],
    traps=net_with_gradients,
    floats=True,
    ignores=("leaves-gradients",),  # the task may be solved with `backward`
)
conv_gradients.slip("squared-norm", "That is the square of the norm. Take the root, or use `.norm()`.",
    of_gradients(lambda g: g.square().sum()))
conv_gradients.slip("mean-in-place-of-norm", "That is a mean over the weights. A norm grows with the number of "
    "weights; the mean hides a large layer.",
    *[of_gradients(measure) for measure in (torch.mean, torch.std, lambda g: g.abs().mean(),
    lambda g: g.square().mean().sqrt())])
conv_gradients.slip("largest-in-place-of-norm", "That is the largest entry. The L2 norm takes all of them: the root of "
    "the sum of squares.",
    of_gradients(lambda g: g.abs().max()))
conv_gradients.slip("sum-of-absolutes", "That is the L1 norm, the sum of absolute values. The L2 norm is asked for.",
    of_gradients(lambda g: g.abs().sum()))
conv_gradients.slip("total-norm", "That is one number for the whole net. Each convolution has its own norm, and a list "
    "of them is asked for.",
    lambda m, x, y: sum(gradient_norms(m, x, y)), lambda m, x, y: hypot(*gradient_norms(m, x, y)))
conv_gradients.slip("relative-norm", "You divided by the norm of the weights. That ratio is useful too, but here the "
    "norm of the gradient alone is asked for.",
    lambda m, x, y: [norm / weight.norm().item() for norm, weight
    in zip(gradient_norms(m, x, y), weights(m), strict=True)])
conv_gradients.slip("norm-missing", "Those are the gradients themselves. Take the L2 norm of each.",
    lambda m, x, y: list(torch.autograd.grad(cross_entropy(m(x), y), weights(m))))
conv_gradients.slip("norm-of-weights", "That is the norm of the weights themselves. Their gradient is asked for: call "
    "`backward` and look at `weight.grad`.",
    lambda m, x, y: [weight.norm().item() for weight in weights(m)])
conv_gradients.slip("gradient-of-outputs", "Those are gradients with respect to the *outputs* of the convolutions. "
    "Those with respect to the weights are asked for: weight.grad.",
    of_outputs)
conv_gradients.slip("all-parameters", "Other layers are included: for {case} you return {yours} values instead of "
    "{right}. Only the weights of nn.Conv2d count; batch norms and the classifier do not.",
    lambda m, x, y: norms(cross_entropy(m(x), y), m.parameters()),
    lambda m, x, y: norms(cross_entropy(m(x), y), [p for p in m.parameters() if p.ndim > 1]),
    lambda m, x, y: norms(cross_entropy(m(x), y), [p for name, p in m.named_parameters() if name.endswith("weight")]))
conv_gradients.slip("summed-loss", "Your loss is the sum over the batch. Then the norm grows with the batch; the "
    "course takes the mean, as `cross_entropy` does.",
    lambda m, x, y: norms(cross_entropy(m(x), y, reduction="sum"), weights(m)))
conv_gradients.slip("softmax-twice", "You apply softmax before the cross-entropy. `cross_entropy` wants logits: it has "
    "a softmax inside.",
    lambda m, x, y: norms(cross_entropy(m(x).softmax(1), y), weights(m)))
conv_gradients.slip("loss-of-logits", "You took the gradient of the logits' sum. The loss is the cross-entropy with "
    "the labels.",
    lambda m, x, y: norms(m(x).sum(), weights(m)))
conv_gradients.slip("last-first", "The order is reversed: last layer first.",
    lambda m, x, y: gradient_norms(m, x, y)[::-1])
conv_gradients.slip("eval-mode", "You measured in eval mode. With running statistics batch norm is another function; "
    "training sees the statistics of the batch. Leave the mode as it is.",
    lambda m, x, y: gradient_norms(m.eval(), x, y))
conv_gradients.slip("old-gradients", "It is right for a net without gradients. The last one already had some, and "
    "`backward` "
    "adds to them. Clear them first, or use torch.autograd.grad, which keeps none.",
    with_old_gradients)


def stack(norm: bool, images: int) -> Sequence[Any]:
    """Three times convolution, perhaps batch norm, and sigmoid, in train mode."""
    torch.manual_seed(int(norm))
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [nn.Conv2d(4, 4, 3, padding=1), *([nn.BatchNorm2d(4)] if norm else []), nn.Sigmoid()]
    return nn.Sequential(*layers), noise(images, 4, 6, 6, seed=int(norm))


def of_signals(measure: Callable[[Tensor], Tensor]) -> Callable[..., list[float]]:
    def run(layers: nn.Sequential, x: Tensor) -> list[float]:
        found = []
        for layer in layers:
            x = layer(x)
            found.append(measure(x.detach()).item())
        return found

    return run


variances = of_signals(torch.var)


def only(kind: type) -> Callable[..., list[float]]:
    return lambda layers, x: [
        v for v, layer in zip(variances(layers, x), layers, strict=True) if isinstance(layer, kind)
    ]


def averaged(*dims: int) -> Callable[..., list[float]]:
    return of_signals(lambda x: x.var(dims).mean())


def signals(layers: nn.Sequential, x: Tensor) -> list[Tensor]:
    return [layers[: n + 1](x).detach() for n in range(len(layers))]


signal_variances = Exercise(
    "signal_variances(layers, x)",
    praise="one variance after each layer, with and without batch norm.",
    right=variances,
    also=[of_signals(lambda x: x.var(correction=0))],  # without Bessel's correction it is the variance too
    cases=lambda: [stack(False, 5), stack(True, 5)],
    traps=lambda: [stack(False, 1)],
    floats=True,
)
signal_variances.slip("deviation-for-variance", "That is the standard deviation. The variance is its square.",
    of_signals(torch.std), of_signals(lambda x: x.std(correction=0)))
signal_variances.slip("mean-for-variance", "That is the mean.",
    of_signals(torch.mean))
signal_variances.slip("second-moment", "That is the mean of the squares. Subtract the square of the mean: the signal "
    "after a sigmoid is not centred.",
    of_signals(lambda x: x.square().mean()))
signal_variances.slip("inputs-for-outputs", "These are the variances of what goes *into* each layer. Measure after it.",
    lambda layers, x: [x.var().item(), *variances(layers, x)[:-1]])
signal_variances.slip("includes-input", "The variance of x itself is in the list. One value for each layer is asked "
    "for.",
    lambda layers, x: [x.var().item(), *variances(layers, x)])
signal_variances.slip("layers-on-the-input", "Each layer got the first input. Hand the output of one to the next.",
    lambda layers, x: [layer(x).detach().var().item() for layer in layers])
signal_variances.slip("last-only", "Only the last output is there. One value for each layer is asked for.",
    lambda layers, x: variances(layers, x)[-1:], lambda layers, x: variances(layers, x)[-1])
signal_variances.slip("returns-too-early", "It stops after the first round. Look at the indentation of `return`: it "
    "belongs after the loop.",
    lambda layers, x: variances(layers, x)[:1], lambda layers, x: variances(layers, x)[0])
signal_variances.slip("one-kind-of-layer", "Only layers of one kind are included: {yours} values instead of {right}. "
    "Every layer has an output, the activations too.",
    *[only(kind) for kind in (nn.Conv2d, nn.Sigmoid, nn.BatchNorm2d)])
signal_variances.slip("eval-mode", "You measured in eval mode. With running statistics batch norm is another function; "
    "training sees the statistics of the batch. Leave the mode as it is.",
    lambda layers, x: variances(layers.eval(), x))
signal_variances.slip("variances-averaged", "You took variances along some axes and averaged them. That leaves out the "
    "differences between the averages. Take one variance of all values of a layer.",
    *[averaged(*dims) for dims in ((0,), (1,), (2, 3), (0, 2, 3), (1, 2, 3))])
signal_variances.slip("variance-missing", "Those are the outputs themselves. Take the variance of each.",
    signals)
signal_variances.slip("variance-of-weights", "Those are variances of weights. The variance of what each layer returns "
    "is asked for.",
    lambda layers, x: [m.weight.var().item() for m in layers if hasattr(m, "weight")])


def dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum()


def cosine_of(a: Tensor, b: Tensor) -> float:
    return (dot(a, b) / (a.norm() * b.norm())).item()


def correlation(a: Tensor, b: Tensor) -> float:
    return cosine_of(a - a.mean(), b - b.mean())


cosine = Exercise(
    "cosine(a, b)",
    praise="vectors, matrices and gradients of three axes: the cosine of all entries taken together.",
    right=cosine_of,
    cases=[(noise(3, 4), noise(3, 4, seed=1)), (noise(6), -2 * noise(6)), (noise(2, 3, 4, seed=2),) * 2,
           (noise(4, 4, seed=3), noise(4, 4, seed=4)), (1e-3 * noise(5, seed=5), 1e3 * noise(5, seed=6))],
)
cosine.slip("dot-product", "That is the dot product. Divide by both norms, or long gradients seem to agree because "
    "they are long.",
    lambda a, b: dot(a, b).item())
cosine.slip("mean-for-sum", "The mean of the products depends on how many there are. Sum, then divide by both norms.",
    lambda a, b: (a * b).mean().item(), lambda a, b: ((a * b).mean() / (a.norm() * b.norm())).item())
cosine.slip("not-summed", "The products are not summed up: it returns {given}. The cosine is one number.",
    lambda a, b: a * b / (a.norm() * b.norm()))
cosine.slip("one-norm-missing", "One norm is missing: divide by the product of both.",
    lambda a, b: (dot(a, b) / a.norm()).item(), lambda a, b: (dot(a, b) / b.norm()).item())
cosine.slip("norms-multiply", "You multiply by a norm. `a / b * c` is (a / b) · c: put the product of the norms in "
    "brackets.",
    lambda a, b: (dot(a, b) / a.norm() * b.norm()).item(), lambda a, b: (dot(a, b) * a.norm() * b.norm()).item())
cosine.slip("norms-added", "You divide by the sum of the norms. It is their product.",
    lambda a, b: (dot(a, b) / (a.norm() + b.norm())).item())
cosine.slip("squared-norms", "You divided or multiplied by squared norms. Take the root first.",
    lambda a, b: (dot(a, b) / (a.square().sum() * b.square().sum())).item(),
    lambda a, b: (dot(a, b) / a.square().sum()).item(), lambda a, b: (dot(a, b) / b.square().sum()).item())
cosine.slip("absolute-value", "The sign is lost. −1 means that the two batches want opposite changes, and that is what "
    "we want to know.",
    lambda a, b: abs(cosine_of(a, b)))
cosine.slip("angle-for-cosine", "That is the angle, in radians. Its cosine is asked for.",
    lambda a, b: acos(min(max(cosine_of(a, b), -1), 1)), lambda a, b: degrees(acos(min(max(cosine_of(a, b), -1), 1))))
cosine.slip("one-minus", "That is the cosine *distance*, 1 − cosine.",
    lambda a, b: 1 - cosine_of(a, b))
cosine.slip("distance", "That is the distance between them. It depends on their lengths; the cosine does not.",
    lambda a, b: (a - b).norm().item())
cosine.slip("signs-only", "You compare signs. The cosine weighs each entry.",
    lambda a, b: (a.sign() == b.sign()).float().mean().item(), lambda a, b: (a.sign() * b.sign()).mean().item())
cosine.slip("correlation", "You subtracted the means: that is the correlation. The cosine takes the vectors as they "
    "are.",
    correlation)
cosine.slip("not-flattened", "`@` and `torch.dot` are not a scalar product for matrices and images: on {case} they "
    "raise an error or mean something else. Flatten first, or sum a * b.",
    lambda a, b: (a @ b / (a.norm() * b.norm())).item())
cosine.slip("rows-averaged", "You averaged the cosines of the rows or columns. The gradient of a layer is one long "
    "vector: flatten first.",
    *[lambda a, b, dim=dim: cosine_similarity(a, b, dim=dim).mean().item() for dim in (-1, 0, 1)])
cosine.slip("one-for-each-row", "There is a cosine for each row or column. The gradient of a layer is one long vector: "
    "flatten first.",
    *[lambda a, b, dim=dim: cosine_similarity(a, b, dim=dim) for dim in (0, 1, -1)])
cosine.slip("norm-of-product", "You divide by the norm of the product a · b. It is the product of the two norms.",
    lambda a, b: (dot(a, b) / (a * b).norm()).item())


def watched(
    measure: Callable[[Tensor], Tensor] = Tensor.norm,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    of: Callable[..., Tensor] = lambda inputs, output: output,
    chosen: Callable[[nn.Module, list[nn.Module]], list[nn.Module]] = lambda model, layers: layers,
) -> Callable[..., list[float]]:
    """Measures the gradient with respect to what a hook sees in the layers."""

    def run(model: nn.Module, layers: list[nn.Module], x: Tensor, y: Tensor) -> list[float]:
        kept: list[Tensor] = []
        handles = [
            layer.register_forward_hook(lambda module, inputs, output: kept.append(of(inputs, output)))
            for layer in chosen(model, layers)
        ]
        total = loss(model(x), y)
        for handle in handles:
            handle.remove()
        return [measure(gradient).item() for gradient in torch.autograd.grad(total, kept)]

    return run


output_norms = watched()


def signal_norms(model: nn.Module, layers: list[nn.Module], x: Tensor, y: Tensor) -> list[float]:
    kept: list[Tensor] = []
    for layer in layers:
        layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
    model(x)
    return [output.norm().item() for output in kept]


def nets_and_layers() -> list[Sequence[Any]]:
    """The blocks of one net, two convolutions of another."""
    torch.manual_seed(0)
    first, second = (cifar_resnet(depth, shortcut=None, in_channels=1, width=4) for depth in (14, 8))
    chosen = [second.get_submodule(name) for name in ("layer1.0.conv2", "layer3.0.conv1")]
    return [
        (first, list(first.blocks().values()), noise(6, 1, 8, 8), torch.arange(6) % 3),
        (second, chosen, noise(4, 1, 9, 9, seed=1), torch.arange(4)),
    ]


output_gradients = Exercise(
    "output_gradients(model, layers, images, labels)",
    praise="blocks of one net, convolutions of another; no hook is left.",
    right=output_norms,
    cases=nets_and_layers,
    floats=True,
    ignores=("leaves-gradients",),
)
output_gradients.slip("squared-norm", "That is the square of the norm. Take the root, or use `.norm()`.",
    watched(lambda g: g.square().sum()))
output_gradients.slip("mean-in-place-of-norm", "That is a mean. The L2 norm is the root of the sum of squares.",
    watched(torch.mean), watched(torch.std), watched(lambda g: g.abs().mean()),
    watched(lambda g: g.square().mean().sqrt()))
output_gradients.slip("largest-in-place-of-norm", "That is the largest entry. The L2 norm takes all of them.",
    watched(lambda g: g.abs().max()))
output_gradients.slip("sum-of-absolutes", "That is the L1 norm, the sum of absolute values. The L2 norm is asked for.",
    watched(lambda g: g.abs().sum()))
output_gradients.slip("signal-for-gradient", "That is the size of the outputs themselves. Keep them, go back from the "
    "loss, and look at their gradients.",
    signal_norms)
output_gradients.slip("inputs-for-outputs", "Those are gradients with respect to what goes *into* the layers. In "
    "`hook(module, inputs, output)` it is the third argument.",
    watched(of=lambda inputs, output: inputs[0]))
output_gradients.slip("gradient-of-weights", "Those are gradients of weights. Those with respect to the layers' "
    "outputs are asked for, which only a hook sees.",
    lambda m, layers, x, y: norms(cross_entropy(m(x), y), weights(m)),
    lambda m, layers, x, y: norms(cross_entropy(m(x), y), [w for layer in layers for w in weights(layer)]))
output_gradients.slip("all-layers", "Other layers are included: for {case} you return {yours} values instead of "
    "{right}. Hang hooks on the modules in `layers` alone.",
    watched(chosen=lambda m, layers: [part for part in m.modules() if isinstance(part, nn.Conv2d)]))
output_gradients.slip("summed-loss", "Your loss is the sum over the batch. Then the gradient grows with the batch; the "
    "course takes the mean, as `cross_entropy` does.",
    watched(loss=lambda logits, y: cross_entropy(logits, y, reduction="sum")))
output_gradients.slip("softmax-twice", "You apply softmax before the cross-entropy. `cross_entropy` wants logits: it "
    "has a softmax inside.",
    watched(loss=lambda logits, y: cross_entropy(logits.softmax(1), y)))
output_gradients.slip("loss-of-logits", "You took the gradient of the logits' sum. The loss is the cross-entropy with "
    "the labels.",
    watched(loss=lambda logits, y: logits.sum()))
output_gradients.slip("last-first", "The order is reversed: the last layer comes first. That is how backward hooks are "
    "called; a list of `layers` starts with the first.",
    lambda *args: output_norms(*args)[::-1])
output_gradients.slip("total-norm", "That is one number for all layers. A list is asked for, with one norm for each.",
    lambda *args: sum(output_norms(*args)), lambda *args: hypot(*output_norms(*args)))
output_gradients.slip("eval-mode", "You measured in eval mode. With running statistics batch norm is another function; "
    "training sees the statistics of the batch. Leave the mode as it is.",
    lambda m, layers, x, y: output_norms(m.eval(), layers, x, y))


def halves(
    mean: Callable[[Tensor], Tensor] = lambda x: x.mean(0),
    size: Callable[[Tensor], Tensor] = lambda x: x.square().mean(0).sqrt(),
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
    cases=[(noise(6, 4, seed=seed) + 1, *both) for seed, both in enumerate(product((False, True), repeat=2))],
    gradients=True,
)
half_norm.slip("unchanged", "x comes back as it went in, whatever the switches say.",
    lambda x, centre, rescale: x)
half_norm.slip("over-the-row", "You take the statistics of each row. The batch is axis 0: each *column* is one "
    "channel.",
    halves(lambda x: x.mean(1, keepdim=True), lambda x: x.square().mean(1, keepdim=True).sqrt()))
half_norm.slip("whole-layer", "You take one mean or one size over all numbers. Batch norm has one for each column: "
    "`mean(0)`.",
    halves(torch.mean, lambda x: x.square().mean().sqrt()), halves(torch.mean),
    halves(size=lambda x: x.square().mean().sqrt()))
half_norm.slip("deviation", "You divide by the standard deviation, which takes the mean away a second time. With "
    "`rescale` alone the mean must count: take the root of the mean of the squares.",
    halves(size=lambda x: x.std(0)), halves(size=lambda x: x.std(0, correction=0)))
half_norm.slip("root-missing", "You divide by the mean of the squares. Its root is missing.",
    halves(size=lambda x: x.square().mean(0)))
half_norm.slip("l2-norm", "You divide by the root of the *sum* of squares, which grows with the batch. Take the mean.",
    halves(size=lambda x: x.norm(dim=0)))
half_norm.slip("rescales-first", "With both, you divide by the size that x had before it was centred. Centre first, "
    "then rescale what is left.",
    lambda x, centre, rescale: half_of(half_of(x, False, rescale), centre, False))
half_norm.slip("swapped", "The two switches are swapped: `centre` rescales.",
    lambda x, centre, rescale: half_of(x, rescale, centre))
half_norm.slip("ignores-switches", "Both switches do the same, or one does nothing. Each has its own step.",
    lambda x, centre, rescale: half_of(x, True, True), lambda x, centre, rescale: half_of(x, centre, centre),
    lambda x, centre, rescale: half_of(x, centre, False), lambda x, centre, rescale: half_of(x, False, rescale),
    lambda x, centre, rescale: half_of(x, centre or rescale, centre or rescale))
half_norm.slip("multiplies", "You multiply by the size. Divide by it.",
    halves(size=lambda x: 1 / x.square().mean(0).sqrt()))
half_norm.slip("adds-the-mean", "You add the mean. Subtract it.",
    halves(mean=lambda x: -x.mean(0)))


def lagged(g: Tensor, lag: int) -> Tensor:
    return g[lag:] * g[: len(g) - lag]


def centred(gradients: Tensor) -> Tensor:
    return gradients - gradients.mean(0)


def likeness(
    centre: Callable[[Tensor], Tensor] = centred, pairs: Callable[[Tensor, int], Tensor] = lagged
) -> Callable[[Tensor, int], float]:
    return lambda gradients, lag: (pairs(g := centre(gradients), lag).sum() / g.square().sum()).item()


def of_pairs(measure: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, int], float]:
    return lambda gradients, lag: measure((g := centred(gradients))[lag:], g[: len(g) - lag]).item()


autocorrelation = Exercise(
    "autocorrelation(gradients, lag)",
    praise="lags 0, 1, 2 and 5, along lines of 6 to 12 points.",
    right=likeness(),
    cases=[(noise(points, 4, seed=lag).cumsum(0) + 1, lag) for points, lag in ((6, 0), (8, 1), (9, 2), (12, 5))],
    floats=True,
)
autocorrelation.slip("mean-stays", "The mean over the points is not subtracted. A direction that all gradients share "
    "would then look like agreement.",
    likeness(centre=lambda g: g))
autocorrelation.slip("wrong-mean", "You subtract a different mean. Take the mean over the points, axis 0: one for each "
    "pixel.",
    likeness(centre=lambda g: g - g.mean()), likeness(centre=lambda g: g - g.mean(1, keepdim=True)))
autocorrelation.slip("lag-zero", "At lag 0 it fails: `g[:-0]` is empty. `g[: len(g) - lag]` is right at every lag.",
    likeness(pairs=lambda g, lag: g[lag:] * g[:-lag]))
autocorrelation.slip("round-the-corner", "The end of the line is paired with its start: `roll` wraps around. Leave out "
    "the pairs that do not exist.",
    likeness(pairs=lambda g, lag: g * g.roll(lag, 0)), likeness(pairs=lambda g, lag: g * g.roll(-lag, 0)))
autocorrelation.slip("mean-of-pairs", "You divide means, not sums. There are fewer pairs than points, so the factor "
    "differs. Take sums.",
    of_pairs(lambda a, b: (a * b).mean()),
    lambda gradients, lag: (lagged(g := centred(gradients), lag).mean() / g.square().mean()).item())
autocorrelation.slip("norm-of-pairs", "You divide by the size of the pairs' ends alone. Divide by the sum of the "
    "squares of *all* entries.",
    of_pairs(lambda a, b: (a * b).sum() / (a.norm() * b.norm())),
    of_pairs(lambda a, b: (a * b).sum() / a.square().sum()), of_pairs(lambda a, b: (a * b).sum() / b.square().sum()))
autocorrelation.slip("mean-of-cosines", "You average the cosines of the pairs. Then a tiny gradient counts as much as "
    "a large one. Sum the products, divide once.",
    of_pairs(lambda a, b: cosine_similarity(a, b, dim=1).mean()))
autocorrelation.slip("not-divided", "Nothing is divided: it returns {given}. At lag 0 the result is 1.",
    of_pairs(lambda a, b: (a * b).sum()))
autocorrelation.slip("ignores-lag", "The lag is not used: the pairs are always direct neighbours.",
    lambda gradients, lag: likeness()(gradients, 1))
autocorrelation.slip("off-by-one", "The pairs lie one point too far apart, or one too near.",
    lambda gradients, lag: likeness()(gradients, lag + 1),
    lambda gradients, lag: likeness()(gradients, max(lag - 1, 0)))
autocorrelation.slip("not-summed", "There is a value for each pair or pixel: it returns {given}. Sum over all of them.",
    lambda gradients, lag: lagged(g := centred(gradients), lag).sum(1) / g.square().sum(),
    lambda gradients, lag: lagged(g := centred(gradients), lag) / g.square().sum())
autocorrelation.slip("along-the-pixels", "You go along the pixels. The points of the line are axis 0.",
    lambda gradients, lag: likeness()(gradients.T, min(lag, 3)))
