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


@wrong("conv_gradients", "tensors-for-floats")
def with_autograd(model, images, labels):
    loss = nn.CrossEntropyLoss()(model(images), labels)
    return [g.norm() for g in torch.autograd.grad(loss, [c.weight for c in convs(model)])]


@wrong("conv_gradients", "not-a-list")
def as_a_dictionary(model, images, labels):
    cross_entropy(model(images), labels).backward()
    named = {name: p.grad for name, p in model.named_parameters()}
    return {n: math.sqrt(float((g * g).sum())) for n, g in named.items() if "conv" in n}


right("conv_gradients")(lambda m, x, y: list(rl.gradient_norms(m, x, y).values()))
right("conv_gradients")(lambda m, x, y: torch.stack([g.flatten().norm() for g in gradients(m, x, y)]))


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


@wrong("signal_variances", "tensors-for-floats")
def with_numpy(layers, x):
    return np.array([out.detach().numpy().var() for out in outputs(layers, x)])


@right("signal_variances")
def by_the_formula(layers, x):
    return [float(((out - out.mean()) ** 2).mean()) for out in outputs(layers, x)]


@wrong("signal_variances", "tensors-for-floats")
def slices_of_the_net(layers, x):
    return torch.stack([layers[: n + 1](x).std() ** 2 for n in range(len(layers))])


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
