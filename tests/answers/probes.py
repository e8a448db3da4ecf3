"""Answers that measure: conv_gradients, signal_variances, cosine, output_gradients, half_norm, autocorrelation."""

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


# output_gradients(model, layers, images, labels)


@right("output_gradients")
def kept_for_later(model, layers, images, labels):
    outputs = {}

    def remember(number):
        def hook(module, inputs, output):
            outputs[number] = output
            output.retain_grad()

        return hook

    handles = [layer.register_forward_hook(remember(number)) for number, layer in enumerate(layers)]
    F.cross_entropy(model(images), labels).backward()
    for handle in handles:
        handle.remove()
    return [float(torch.sqrt(torch.sum(outputs[number].grad ** 2))) for number in range(len(layers))]


@right("output_gradients")
def seen_on_the_way_back(model, layers, images, labels):
    found = []
    handles = [
        layer.register_full_backward_hook(lambda module, into, out: found.insert(0, out[0].norm().item()))
        for layer in layers
    ]
    cross_entropy(model(images), labels).backward()
    for handle in handles:
        handle.remove()
    return found


@wrong("output_gradients", "leaves-hooks")
def hooks_that_stay(model, layers, images, labels):
    found = []
    for layer in layers:
        layer.register_full_backward_hook(lambda module, into, out: found.insert(0, out[0].norm().item()))
    cross_entropy(model(images), labels).backward()
    return found


@wrong("output_gradients", "reversed")
def in_the_order_of_the_way_back(model, layers, images, labels):
    return seen_on_the_way_back(model, layers, images, labels)[::-1]


# half_norm(x, centre, rescale)


@right("half_norm")
def one_expression(x, centre, rescale):
    x = x - x.mean(0, keepdim=True) * centre
    return x / torch.where(torch.tensor(rescale), (x**2).mean(0) + 1e-7, torch.ones(x.shape[1])).sqrt()


@right("half_norm")
def four_branches(x, centre, rescale):
    if centre and rescale:
        return (x - x.mean(0)) / x.std(0, correction=0)
    if centre:
        return x - x.sum(0) / len(x)
    return x / (x.norm(dim=0) / len(x) ** 0.5) if rescale else x


wrong("half_norm", "deviation")(
    lambda x, centre, rescale: (x - x.mean(0) * centre) / (x.std(0, correction=0) if rescale else 1)
)
wrong("half_norm", "ignores-switches")(lambda x, centre, rescale: (x - x.mean(0)) / x.std(0, correction=0))


# autocorrelation(gradients, lag)


@right("autocorrelation")
def pair_by_pair(gradients, lag):
    rows = gradients - torch.mean(gradients, dim=0, keepdim=True)
    total = sum(float(rows[n] @ rows[n + lag]) for n in range(len(rows) - lag))
    return total / float((rows**2).sum())


@right("autocorrelation")
def from_all_products(gradients, lag):
    rows = gradients - gradients.mean(0)
    products = rows @ rows.T
    return (products.diagonal(lag).sum() / products.trace()).item()


wrong("autocorrelation", "mean-stays")(lambda g, lag: ((g @ g.T).diagonal(lag).sum() / g.square().sum()).item())
wrong("autocorrelation", "round-the-corner")(
    lambda g, lag: (((c := g - g.mean(0)) * torch.roll(c, lag, dims=0)).sum() / c.square().sum()).item()
)
