"""Lesson 02: what is measured in a net, and how gradients are compared."""

from collections.abc import Callable, Iterable, Sequence
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
conv_gradients.slip("all-parameters", "Other layers are there too: for {case} you return {yours} values instead of "
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
conv_gradients.slip("old-gradients", "It is right for a net without gradients. The last one had some already, and "
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
signal_variances.slip("one-kind-of-layer", "Only layers of one kind are there: {yours} values instead of {right}. "
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
