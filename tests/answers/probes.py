"""Answers that measure: conv_gradients, signal_variances, cosine."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.functional import cross_entropy

import resnet_lib as rl
from answers.bank import right, wrong


def convs(model):
    return [m for m in model.modules() if isinstance(m, nn.Conv2d)]


def gradients(model, images, labels):
    cross_entropy(model(images), labels).backward()
    return [conv.weight.grad for conv in convs(model)]


# conv_gradients(model, images, labels)


@right("conv_gradients")
def with_backward(model, images, labels):
    model.zero_grad()
    loss = cross_entropy(model(images), labels)
    loss.backward()
    return [conv.weight.grad.norm().item() for conv in convs(model)]


@right("conv_gradients")
def with_autograd(model, images, labels):
    loss = nn.CrossEntropyLoss()(model(images), labels)
    return [g.norm() for g in torch.autograd.grad(loss, [c.weight for c in convs(model)])]


@right("conv_gradients")
def by_the_number_of_axes(model, images, labels):
    F.nll_loss(F.log_softmax(model(images), dim=1), labels).backward()
    return np.array([np.linalg.norm(p.grad.numpy()) for p in model.parameters() if p.ndim == 4])


@right("conv_gradients")
def as_a_dictionary(model, images, labels):
    cross_entropy(model(images), labels).backward()
    named = {name: p.grad for name, p in model.named_parameters()}
    return {n: math.sqrt(float((g * g).sum())) for n, g in named.items() if "conv" in n}


right("conv_gradients")(lambda m, x, y: list(rl.gradient_norms(m, x, y).values()))
right("conv_gradients")(lambda m, x, y: torch.stack([g.flatten().norm() for g in gradients(m, x, y)]))

wrong("conv_gradients", "squared-norm")(lambda m, x, y: [float((g**2).sum()) for g in gradients(m, x, y)])
wrong("conv_gradients", "mean-in-place-of-norm")(lambda m, x, y: [g.abs().mean().item() for g in gradients(m, x, y)])
wrong("conv_gradients", "mean-in-place-of-norm")(lambda m, x, y: [g.std().item() for g in gradients(m, x, y)])
wrong("conv_gradients", "mean-in-place-of-norm")(
    lambda m, x, y: [g.pow(2).mean().sqrt().item() for g in gradients(m, x, y)]
)
wrong("conv_gradients", "largest-in-place-of-norm")(lambda m, x, y: [g.abs().max().item() for g in gradients(m, x, y)])
wrong("conv_gradients", "sum-of-absolutes")(lambda m, x, y: [g.abs().sum().item() for g in gradients(m, x, y)])
wrong("conv_gradients", "sum-of-absolutes")(lambda m, x, y: [g.norm(p=1).item() for g in gradients(m, x, y)])
wrong("conv_gradients", "norm-of-weights")(lambda m, x, y: [c.weight.norm().item() for c in convs(m)])
wrong("conv_gradients", "eval-mode")(lambda m, x, y: [g.norm().item() for g in gradients(m.eval(), x, y)])
wrong("conv_gradients", "last-first")(lambda m, x, y: [g.norm().item() for g in reversed(gradients(m, x, y))])
wrong("conv_gradients", "total-norm")(lambda m, x, y: sum(g.norm().item() for g in gradients(m, x, y)))
wrong("conv_gradients", "total-norm")(lambda m, x, y: sum(g.norm() ** 2 for g in gradients(m, x, y)) ** 0.5)
wrong("conv_gradients", "relative-norm")(
    lambda m, x, y: [float(g.norm() / c.weight.norm()) for g, c in zip(gradients(m, x, y), convs(m), strict=True)]
)
wrong("conv_gradients", "not-a-list")(lambda m, x, y: (g.norm().item() for g in gradients(m, x, y)))
wrong("conv_gradients", "norm-missing")(lambda m, x, y: gradients(m, x, y))
wrong("conv_gradients", "wrong-length")(lambda m, x, y: [g.norm().item() for g in gradients(m, x, y)][1:])


@wrong("conv_gradients", "summed-loss")
def sums_the_loss(model, images, labels):
    loss = cross_entropy(model(images), labels, reduction="sum")
    return [g.norm().item() for g in torch.autograd.grad(loss, [c.weight for c in convs(model)])]


@wrong("conv_gradients", "softmax-twice")
def softmax_first(model, images, labels):
    loss = cross_entropy(model(images).softmax(dim=1), labels)
    return [g.norm().item() for g in torch.autograd.grad(loss, [c.weight for c in convs(model)])]


@wrong("conv_gradients", "loss-of-logits")
def without_a_loss(model, images, labels):
    model(images).sum().backward()
    return [conv.weight.grad.norm().item() for conv in convs(model)]


@wrong("conv_gradients", "all-parameters")
def of_everything(model, images, labels):
    cross_entropy(model(images), labels).backward()
    return [p.grad.norm().item() for p in model.parameters()]


@wrong("conv_gradients", "all-parameters")
def of_every_weight(model, images, labels):
    cross_entropy(model(images), labels).backward()
    return [p.grad.norm().item() for name, p in model.named_parameters() if name.endswith("weight")]


@wrong("conv_gradients", "gradient-of-outputs")
def of_the_signal(model, images, labels):
    kept = []
    for conv in convs(model):
        conv.register_forward_hook(lambda m, i, out: (out.retain_grad(), kept.append(out)) and None)
    cross_entropy(model(images), labels).backward()
    return [out.grad.norm().item() for out in kept]


@wrong("conv_gradients", "raises")
def forgets_backward(model, images, labels):
    cross_entropy(model(images), labels)
    return [conv.weight.grad.norm().item() for conv in convs(model)]


# signal_variances(layers, x)


def outputs(layers, x):
    found = []
    for layer in layers:
        x = layer(x)
        found.append(x)
    return found


@right("signal_variances")
def one_after_the_other(layers, x):
    variances = []
    with torch.no_grad():
        for layer in layers:
            x = layer(x)
            variances.append(x.var().item())
    return variances


@right("signal_variances")
def with_hooks(layers, x):
    found = []
    handles = [layer.register_forward_hook(lambda m, i, o: found.append(o.var().item())) for layer in layers]
    layers(x)
    for handle in handles:
        handle.remove()
    return found


@right("signal_variances")
def with_numpy(layers, x):
    return np.array([out.detach().numpy().var() for out in outputs(layers, x)])


@right("signal_variances")
def by_the_formula(layers, x):
    return [float(((out - out.mean()) ** 2).mean()) for out in outputs(layers, x)]


@right("signal_variances")
def slices_of_the_net(layers, x):
    return torch.stack([layers[: n + 1](x).std() ** 2 for n in range(len(layers))])


wrong("signal_variances", "deviation-for-variance")(lambda layers, x: [o.std().item() for o in outputs(layers, x)])
wrong("signal_variances", "deviation-for-variance")(
    lambda layers, x: [float(np.std(o.detach().numpy())) for o in outputs(layers, x)]
)
wrong("signal_variances", "mean-for-variance")(lambda layers, x: [o.mean().item() for o in outputs(layers, x)])
wrong("signal_variances", "second-moment")(lambda layers, x: [o.pow(2).mean().item() for o in outputs(layers, x)])
wrong("signal_variances", "layers-on-the-input")(lambda layers, x: [layer(x).var().item() for layer in layers])
wrong("signal_variances", "last-only")(lambda layers, x: [layers(x).var().item()])
wrong("signal_variances", "last-only")(lambda layers, x: layers(x).var().item())
wrong("signal_variances", "inputs-for-outputs")(
    lambda layers, x: [o.var().item() for o in [x, *outputs(layers, x)[:-1]]]
)
wrong("signal_variances", "includes-input")(lambda layers, x: [o.var().item() for o in [x, *outputs(layers, x)]])
wrong("signal_variances", "eval-mode")(lambda layers, x: [o.var().item() for o in outputs(layers.eval(), x)])
wrong("signal_variances", "one-kind-of-layer")(
    lambda ls, x: [o.var().item() for m, o in zip(ls, outputs(ls, x), strict=True) if isinstance(m, nn.Conv2d)]
)
wrong("signal_variances", "variances-averaged")(
    lambda layers, x: [o.var(dim=(0, 2, 3)).mean().item() for o in outputs(layers, x)]
)
wrong("signal_variances", "variances-averaged")(lambda layers, x: [o.var(0).mean().item() for o in outputs(layers, x)])
wrong("signal_variances", "variance-missing")(outputs)
wrong("signal_variances", "not-a-list")(lambda layers, x: (o.var().item() for o in outputs(layers, x)))
wrong("signal_variances", "signature")(lambda x: x.var())


@wrong("signal_variances", "variance-of-weights")
def of_the_weights(layers, x):
    return [layer.weight.var().item() for layer in layers if hasattr(layer, "weight")]


@wrong("signal_variances", "returns-too-early")  # noqa: RET503
def returns_in_the_loop(layers, x):
    found = []
    for layer in layers:
        x = layer(x)
        found.append(x.var().item())
        return found


# cosine(a, b)

right("cosine")(lambda a, b: ((a * b).sum() / (a.norm() * b.norm())).item())
right("cosine")(lambda a, b: F.cosine_similarity(a.flatten(), b.flatten(), dim=0))
right("cosine")(lambda a, b: torch.dot(F.normalize(a.flatten(), dim=0), F.normalize(b.flatten(), dim=0)))
right("cosine")(lambda a, b: np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))
right("cosine")(lambda a, b: float((a * b).sum()) / math.sqrt(float((a**2).sum() * (b**2).sum())))


@right("cosine")
def as_lists(a, b):
    a, b = a.flatten().tolist(), b.flatten().tolist()
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def dot(a, b):
    return float((a * b).sum())


wrong("cosine", "dot-product")(dot)
wrong("cosine", "dot-product")(lambda a, b: torch.tensordot(a, b, dims=a.ndim))
wrong("cosine", "mean-for-sum")(lambda a, b: (a * b).mean().item())
wrong("cosine", "mean-for-sum")(lambda a, b: float((a * b).mean() / (a.norm() * b.norm())))
wrong("cosine", "one-norm-missing")(lambda a, b: dot(a, b) / float(a.norm()))
wrong("cosine", "squared-norms")(lambda a, b: dot(a, b) / float(a.pow(2).sum() * b.pow(2).sum()))
wrong("cosine", "squared-norms")(lambda a, b: dot(a, b) / float(a.norm() ** 2))
wrong("cosine", "absolute-value")(lambda a, b: abs(dot(a, b)) / float(a.norm() * b.norm()))
wrong("cosine", "angle-for-cosine")(lambda a, b: math.acos(max(-1, min(1, dot(a, b) / float(a.norm() * b.norm())))))
wrong("cosine", "one-minus")(lambda a, b: 1 - dot(a, b) / float(a.norm() * b.norm()))
wrong("cosine", "distance")(lambda a, b: torch.dist(a, b).item())
wrong("cosine", "signs-only")(lambda a, b: (a.sign() * b.sign()).mean().item())
wrong("cosine", "signs-only")(lambda a, b: ((a > 0) == (b > 0)).float().mean())
wrong("cosine", "rows-averaged")(lambda a, b: F.cosine_similarity(a, b, dim=-1).mean().item())
wrong("cosine", "one-for-each-row")(lambda a, b: F.cosine_similarity(a, b))
wrong("cosine", "one-for-each-row")(lambda a, b: nn.CosineSimilarity(dim=0)(a, b))
wrong("cosine", "not-flattened")(lambda a, b: float(a @ b / (a.norm() * b.norm())))
wrong("cosine", "not-flattened")(lambda a, b: torch.dot(a, b) / (a.norm() * b.norm()))
wrong("cosine", "correlation")(lambda a, b: np.corrcoef(a.flatten(), b.flatten())[0, 1])
wrong("cosine", "norms-multiply")(lambda a, b: dot(a, b) / float(a.norm()) * float(b.norm()))
wrong("cosine", "norms-added")(lambda a, b: dot(a, b) / float(a.norm() + b.norm()))
wrong("cosine", "not-summed")(lambda a, b: a * b / (a.norm() * b.norm()))
