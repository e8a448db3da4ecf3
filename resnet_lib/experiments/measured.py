"""Measurements over a declared, finite grid, shipped with the library: what explorers look up in place of waiting.

`python -m resnet_lib experiment NAME` measures one anew and writes its values, with where they come from, beside this
file. Whoever shows a value of one says "recorded". All are of width-8 nets on Fashion-MNIST at 14×14 pixels, seed 0
where no other is named.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from resnet_lib.arguments import require_choice
from resnet_lib.data.images import CIFAR10_CLASSES, SHOES, ImageSet, load_fashion_mnist
from resnet_lib.data.photo import load_photo
from resnet_lib.experiments.records import RECORDED, load_recorded_net, load_records, origin
from resnet_lib.files import cache_folder, write_atomic
from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.models.resnet import ResNet
from resnet_lib.models.weights import load_pretrained
from resnet_lib.probes.gradients import gradient_agreement, gradient_correlation, gradient_norms
from resnet_lib.probes.hooks import own_blocks
from resnet_lib.probes.landscape import loss_surface
from resnet_lib.probes.lesions import all_subsets, gradient_by_path_length, lesion
from resnet_lib.probes.signal import activation_stats, branch_norms
from resnet_lib.probes.variants import variant
from resnet_lib.training.history import History
from resnet_lib.training.loop import Recipe, evaluate, seeded, train
from resnet_lib.urls import WEIGHTS

Values = dict[str, Any]

DEPTHS = (8, 20, 32, 56, 110)
STEPS = (0, 5, 20, 60, 149)
DECAYS = (0, 1e-4, 1e-3, 1e-2)
AGREEMENT_DEPTHS, AGREEMENT_STEPS, AGREEMENT_SEEDS = (8, 20, 56, 110), (0, 20, 60, 149), range(5)
TRAINED = ("residual-20", "plain-20", "residual-56", "plain-56")


@cache
def test_images(count: int) -> ImageSet:
    """The first test images of the shipped subset, as small as the nets saw theirs."""
    return load_fashion_mnist("test").pooled().first(count)


def flow_net(depth: int, batch_norm: bool, shortcut: bool, init: str, seed: int = 0) -> ResNet:
    """The net of one setting, with new weights."""
    net = cifar_resnet(depth, shortcut="A" if shortcut else None, in_channels=1, width=8)
    return variant(net, batch_norm=batch_norm, init=init, seed=seed)


def flow_key(depth: int, batch_norm: bool, shortcut: bool, init: str) -> str:
    return f"{depth}-{'bn' if batch_norm else 'no bn'}-{'shortcut' if shortcut else 'plain'}-{init}"


def measure_flow(net: ResNet) -> Values:
    """Gradient norm of every convolution, variance after every block, shattering: train mode, 64 images."""
    images, labels = test_images(64)
    return {
        "norms": [rounded(norm) for norm in gradient_norms(net, images, labels).values()],
        "variances": [rounded(stats.variance) for stats in activation_stats(net, images).values()],
        "correlation": rounded(gradient_correlation(net, images[:8])[0]),
    }


def during_training(
    net: ResNet, data: ImageSet, steps: Sequence[int], measure: Callable[[ResNet, History], Values], seed: int = 0
) -> Values:
    """What is measured of `net` before, and after each of `steps` of the live recipe, by step."""
    found = {"0": measure(net, History())}

    def look(history: History, total: int) -> None:
        if len(history) in steps:
            found[str(len(history))] = measure(net, history)

    train(net, data, Recipe(), seed=seed, progress=look)
    return found


def gradient_flow() -> Values:
    """Every depth, with and without batch norm and shortcut, both initialisations, at five steps of the live recipe."""

    def with_error(net: ResNet, history: History) -> Values:
        return measure_flow(net) | ({"error": rounded(history.final_error(20))} if len(history) else {})

    data = load_fashion_mnist("train").pooled()
    values: Values = {}
    for setting in product(DEPTHS, (True, False), (True, False), ("he", "torch")):
        values[flow_key(*setting)] = during_training(flow_net(*setting), data, STEPS, with_error)
        print(flow_key(*setting), flush=True)
    return values


def measure_agreement(net: ResNet) -> Values:
    """Of the first, the middle and the last convolution: the norms of gradient and weight, and their product, which
    does not depend on the weight's scale where a batch norm follows. Of such blocks: two batches' agreement. And how
    similar neighbours' input gradients are. All in train mode."""
    images, labels = test_images(128)
    halves = ((images[:64], labels[:64]), (images[64:], labels[64:]))
    by_name = gradient_norms(net, *halves[0])
    norms = list(by_name.values())
    weights = [net.get_parameter(f"{name}.weight").detach().double().norm().item() for name in by_name]
    cosines = list(gradient_agreement(net, *halves).values())
    places = (0, len(norms) // 2, -1)
    return {
        "norms": [rounded(norms[index]) for index in places],
        "weights": [rounded(weights[index]) for index in places],
        "scale_free": [rounded(norms[index] * weights[index]) for index in places],
        "batches": [rounded(cosines[index]) for index in (0, len(cosines) // 2, -1)],
        "neighbours": rounded(gradient_correlation(net, images[:8])[0]),
    }


def gradient_agreement_by_seed() -> Values:
    """Size and agreement of the gradients of plain and residual nets, five seeds, at four steps of the live recipe.

    The nets have batch norm and He's initialisation; a seed is that of the weights and of the images' order.
    """
    data = load_fashion_mnist("train").pooled()
    values: Values = {}
    for depth, shortcut in product(AGREEMENT_DEPTHS, (False, True)):
        name = f"{'residual' if shortcut else 'plain'}-{depth}"
        runs = [
            during_training(
                flow_net(depth, True, shortcut, "he", seed),
                data,
                AGREEMENT_STEPS,
                lambda net, _: measure_agreement(net),
                seed,
            )
            for seed in AGREEMENT_SEEDS
        ]
        values[name] = {step: [run[step] for run in runs] for step in map(str, AGREEMENT_STEPS)}
        print(name, flush=True)
    return values


def path_gradients() -> Values:
    """The share of the input gradient by path length, in new and in briefly trained residual nets."""
    images, labels = test_images(64)
    data = load_fashion_mnist("train").pooled()
    values = {}
    for depth in DEPTHS[:-1]:
        net = flow_net(depth, True, True, "he")
        for state in ("new", "trained"):
            if state == "trained":
                train(net, data, Recipe(), seed=0)
            found = gradient_by_path_length(net, images, labels, samples=64, training=state == "new")
            values[f"{(depth - 2) // 2}-{state}"] = {"shares": [rounded(share) for share in found.shares]}
        print(depth, flush=True)
    return values


def lesions() -> Values:
    """Test error of the trained 20-layer nets without each set of blocks, of the deep ones without each block."""
    data = load_fashion_mnist("test").pooled()
    values: Values = {}
    for name in TRAINED:
        net = load_recorded_net("trained-nets", name)
        blocks = list(own_blocks(net))
        if name.endswith("20"):
            subsets = all_subsets(net, data)
            values[name] = {
                "blocks": blocks,
                "errors": {" ".join(key): rounded(error) for key, error in sorted(subsets.items())},
            }
        else:
            errors = {"": rounded(evaluate(net, data).error)}
            for block in blocks:
                try:
                    with lesion(net, delete=block):
                        errors[block] = rounded(evaluate(net, data).error)
                except ValueError:  # a plain block that changes the shape cannot go
                    errors[block] = None
            values[name] = {"blocks": blocks, "errors": errors}
        print(name, flush=True)
    return values


def landscapes() -> Values:
    """Loss around the trained nets along two filter-normalised directions, on 500 test images, in eval mode."""
    values = {}
    for name in TRAINED:
        surface = loss_surface(load_recorded_net("trained-nets", name), test_images(500), points=15)
        values[name] = {
            "axis": [rounded(value) for value in surface.axis.tolist()],
            "loss": [[rounded(value) for value in row] for row in surface.loss.tolist()],
        }
        print(name, flush=True)
    return values


def weight_decay() -> Values:
    """Residual-20 trained for 20 epochs on the 10,000 shipped images, at four strengths of weight decay: what its
    branches add afterwards, on 256 test images in eval mode."""
    data, test = load_fashion_mnist("train").pooled(), load_fashion_mnist("test").pooled()
    values: Values = {}
    for decay in DECAYS:
        net = flow_net(20, True, True, "he")
        train(net, data, Recipe(batch_size=128, epochs=20, weight_decay=decay), seed=0)
        branches = branch_norms(net, test_images(256).images)
        values[str(decay)] = {
            "blocks": list(branches),
            "ratios": [rounded(branch.ratio) for branch in branches.values()],
            "weights": [rounded(branch.weights) for branch in branches.values()],
            "gammas": [
                rounded(block.get_parameter("bn2.weight").abs().mean().item()) for block in own_blocks(net).values()
            ],
            "train_error": rounded(evaluate(net, data.first(2000)).error),
            "test_error": rounded(evaluate(net, test).error),
        }
        print(decay, flush=True)
    return values


def norm_relu_growth() -> Values:
    """By how much the gradient grows per layer, backwards, in a fully connected net of 40 layers, width and batch 512,
    He's start: no norm, each part of batch norm alone, all of it; with ReLU and without. Five draws of the weights."""

    def mean(x: Tensor) -> Tensor:
        return x.mean(0)  # over the batch, of each channel

    parts: dict[str, Callable[[Tensor], Tensor]] = {
        "no norm": lambda x: x,
        "one scale for the layer": lambda x: x / x.square().mean().sqrt(),
        "mean removed": lambda x: x - mean(x),
        "scale per channel": lambda x: x / mean(x.square()).sqrt(),
        "deviation per channel, mean kept": lambda x: x / x.std(0, correction=0),
        "batch norm": lambda x: (x - mean(x)) / x.std(0, correction=0),
    }
    values: Values = {}
    for kind, part in product(("relu", "linear"), parts):
        growths = [_growth(parts[part], kind == "relu", seed) for seed in range(5)]
        values[f"{kind}: {part}"] = {"growth": [rounded(growth, 4) for growth in growths]}
        print(kind, part, growths, flush=True)
    return values


def _growth(norm: Callable[[Tensor], Tensor], relu: bool, seed: int, layers: int = 40, width: int = 512) -> float:
    """(gradient at the second layer / at the last) per layer in between, for a random gradient at the end."""
    with seeded(seed):
        x = torch.randn(width, width)
        outputs = []
        for _ in range(layers):
            weight = torch.randn(width, width) * ((2 if relu else 1) / width) ** 0.5
            outputs.append(x.requires_grad_())
            x = norm(x @ weight)
            x = x.relu() if relu else x
        # Not outputs[0]: the images themselves have not been through a ReLU.
        first, last = torch.autograd.grad(x, (outputs[1], outputs[-1]), torch.randn_like(x))
    return (first.norm() / last.norm()).item() ** (1 / (layers - 2))


def shoes() -> Values:
    """Error on new shoes after ten images of each kind, four ways, in twelve draws of the images: the trained bodies of
    no-shoes, six random ones; lesson 09's recipe. A frozen body is in eval mode, a linear layer learns on its features.
    """
    train_set, test_set = (load_fashion_mnist(split).pooled().only(SHOES) for split in ("train", "test"))
    recipe = Recipe(batch_size=30, steps=60, peak_lr=0.03)

    def draw_of(number: int) -> ImageSet:
        rows = [(train_set.labels == kind).nonzero()[10 * number : 10 * number + 10, 0] for kind in range(3)]
        picked = torch.cat(rows)
        return replace(train_set, images=train_set.images[picked], labels=train_set.labels[picked])

    def body(trained: bool, seed: int) -> ResNet:
        return load_recorded_net("no-shoes", "residual-20", seed) if trained else flow_net(20, True, True, "he", seed)

    def all_layers(trained: bool, seed: int, number: int) -> float:
        net = body(trained, seed)
        with seeded(number):
            net.fc = nn.Linear(32, 3)
        train(net, draw_of(number), recipe, seed=number)
        return evaluate(net, test_set).error

    def frozen(trained: bool, seed: int, number: int) -> float:
        net, few = body(trained, seed).eval(), draw_of(number)
        net.fc = nn.Identity()  # type: ignore[assignment]
        with torch.no_grad():
            seen, new = net(few.images), net(test_set.images)
        mean, deviation = seen.mean(0), seen.std(0) + 1e-3
        scaled = [((part - mean) / deviation)[:, :, None, None] for part in (seen, new)]
        with seeded(number):
            head = nn.Sequential(nn.Flatten(), nn.Linear(32, 3))
        train(head, replace(few, images=scaled[0]), recipe, seed=number)
        return evaluate(head, replace(test_set, images=scaled[1])).error

    trained_seeds = [record.seed for record in load_records("no-shoes") if record.weights]
    ways = {
        "random, frozen": (frozen, False, range(6)),
        "trained, frozen": (frozen, True, trained_seeds),
        "trained, all layers": (all_layers, True, trained_seeds),
        "from scratch": (all_layers, False, range(3)),
    }
    values: Values = {}
    for way, (learn, trained, bodies) in ways.items():
        errors = [[rounded(learn(trained, seed, number)) for number in range(12)] for seed in bodies]
        values[way] = {"errors": errors}
        print(way, errors, flush=True)
    return values


def branches_of(net: ResNet, images: Tensor) -> Values:
    """What the residual branches add, in eval mode, and how large their last batch norms' scales are."""
    branches = branch_norms(net, images)
    gammas = [block.get_parameter("bn2.weight").detach().abs().mean().item() for block in own_blocks(net).values()]
    return {
        "ratios": [rounded(branch.ratio) for branch in branches.values()],
        "weights": [rounded(branch.weights) for branch in branches.values()],
        "gammas": [rounded(gamma) for gamma in gammas],
    }


def branch_decay() -> Values:
    """Residual-20 after six epochs of the 10,000 shipped images, at four strengths of weight decay on everything and at
    two on batch norm's γ alone, three seeds: what its branches add on 256 test images in eval mode."""
    data, test = load_fashion_mnist("train").pooled(), load_fashion_mnist("test").pooled()
    values: Values = {}
    for decayed, decay in (*product(("all",), (1e-4, 1e-3, 1e-2, 3e-2)), ("gammas", 1e-2), ("gammas", 3e-2)):
        runs = []
        for seed in range(3):
            net = flow_net(20, True, True, "he", seed)
            train(net, data, Recipe(epochs=6, weight_decay=decay, decayed=decayed), seed=seed)
            errors = {
                "train_error": rounded(evaluate(net, data.first(2000)).error),
                "test_error": rounded(evaluate(net, test).error),
            }
            runs.append(branches_of(net, test_images(256).images) | errors)
        values[f"{decay:g} {decayed}"] = {"runs": runs}
        print(decayed, decay, runs, flush=True)
    return values


def harmful_branch() -> Values:
    """A branch that harms, with a learnable γ, in trained-nets' residual-20: layer2.1's convolutions are drawn anew and
    frozen, its last γ starts at 1, and training goes on for 300 steps, with everything else or with that batch norm
    alone, at three strengths of decay; three seeds. γ (mean of |γ|) by step; test errors in eval mode at the end, with
    and without the branch. "before": the error when the running statistics, but no weights, have been brought up to
    date."""
    data, test = load_fashion_mnist("train").pooled(), load_fashion_mnist("test").pooled()
    name, values = "layer2.1", {}
    for learns, decay in product(("everything", "gamma alone"), (0.0, 1e-4, 1e-2)):
        runs = []
        for seed in range(3):
            net = load_recorded_net("trained-nets", "residual-20")
            block: Any = net.get_submodule(name)
            with seeded(seed):
                for conv in (block.conv1, block.conv2):
                    conv.reset_parameters()
                    conv.requires_grad_(False)
            block.bn1.reset_parameters()
            block.bn2.reset_parameters()
            net.train()
            with torch.no_grad():
                for images in data.first(3200).images.split(64):
                    net(images)
            before = evaluate(net, test).error
            if learns == "gamma alone":
                net.requires_grad_(False)
                block.bn2.requires_grad_(True)
            gamma: Tensor = block.bn2.weight
            by_step = [gamma.detach().abs().mean().item()]

            def look(history: History, _: int, gamma: Tensor = gamma, by_step: list[float] = by_step) -> None:
                if len(history) % 50 == 0:
                    by_step.append(gamma.detach().abs().mean().item())

            train(net, data, Recipe(steps=300, weight_decay=decay), seed=seed, progress=look)
            after = evaluate(net, test).error
            with lesion(net, delete=name):
                without = evaluate(net, test).error
            ratio = branch_norms(net, test_images(256).images)[name].ratio
            found = {"before": before, "after": after, "without_branch": without, "ratio": ratio}
            gammas = {"gamma": [rounded(value) for value in by_step]}
            runs.append({key: rounded(value) for key, value in found.items()} | gammas)
        values[f"{learns}, decay {decay:g}"] = {"runs": runs}
        print(learns, decay, runs, flush=True)
    return values


def trained_nets() -> Iterator[tuple[str, int, ResNet]]:
    """Every shipped net of the experiment "trained-nets", with its name and seed."""
    for name in TRAINED:
        for record in load_records("trained-nets"):
            if record.net == name and record.weights:
                yield name, record.seed, load_recorded_net("trained-nets", name, record.seed)


def lesions_by_seed() -> Values:
    """Test error of every shipped trained net without each of its blocks, in eval mode; "" is the whole net."""
    data = load_fashion_mnist("test").pooled()
    values: Values = {}
    for name, seed, net in trained_nets():
        errors = {"": rounded(evaluate(net, data).error)}
        for block in own_blocks(net):
            try:
                with lesion(net, delete=block):
                    errors[block] = rounded(evaluate(net, data).error)
            except ValueError:  # a plain block that changes the shape cannot go
                errors[block] = None
        values[f"{name}-seed{seed:02d}"] = {"errors": errors}
        print(name, seed, flush=True)
    return values


def trained_paths() -> Values:
    """The share of the input gradient by path length, of the shipped trained residual nets and of the same nets before
    training, each with batch norm in eval and in train mode; 64 test images, 64 paths of each length."""
    images, labels = test_images(64)
    values: Values = {}
    for name, seed, net in trained_nets():
        if name.startswith("residual"):
            new = flow_net(int(name.split("-")[1]), True, True, "he", seed)
            for (state, of), training in product((("new", new), ("trained", net)), (False, True)):
                found = gradient_by_path_length(of, images, labels, samples=64, training=training)
                key = f"{name}-seed{seed:02d} {state} {'train' if training else 'eval'}"
                values[key] = {"shares": [rounded(share) for share in found.shares]}
            print(name, seed, flush=True)
    return values


def loss_profiles() -> Values:
    """Training loss of the shipped trained nets along five filter-normalised directions each, in eval mode, on 500
    training images."""
    data = load_fashion_mnist("train").pooled().first(500)
    values: Values = {}
    for name, seed, net in trained_nets():
        lines = [loss_surface(net, data, points=15, seed=number, dimensions=1) for number in range(5)]
        values[f"{name}-seed{seed:02d}"] = {
            "axis": [rounded(value) for value in lines[0].axis.tolist()],
            "loss": [[rounded(value) for value in line.loss.tolist()] for line in lines],
        }
        print(name, seed, flush=True)
    return values


def published_cifar10() -> Values:
    """What four published CIFAR-10 nets say of the cat, shrunk to 32 × 32 pixels: with zeros on both sides, as theirs
    are, and with zeros at the end. The files lie in the cache folder, where `load_pretrained` keeps them."""
    values: Values = {}
    photo = load_photo(resize=32, crop=32)  # standardised with ImageNet's mean and deviation, as they were trained
    for depth in (20, 32, 44, 56):
        name = f"cifar_resnet{depth}.AKAMASTER"
        centred = load_pretrained(cifar_resnet(depth, shortcut="A-centred"), name, download=False).eval()
        appended = cifar_resnet(depth).eval()
        appended.load_state_dict(centred.state_dict())
        file = cache_folder() / "weights" / WEIGHTS[name].rpartition("/")[2]
        values[f"resnet{depth}"] = {
            "file": file.name,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "says": {"at the end": _says(appended, photo), "on both sides": _says(centred, photo)},
        }
    return values


@torch.no_grad()
def _says(net: ResNet, image: Tensor) -> list[Any]:
    """The class that the net names, and its probability."""
    share, index = net(image).softmax(1)[0].max(0)
    return [CIFAR10_CLASSES[index], round(share.item(), 4)]


GRIDS: dict[str, Callable[[], Values]] = {
    "gradient-grid": gradient_flow,
    "gradient-agreement": gradient_agreement_by_seed,
    "path-gradients": path_gradients,
    "lesions": lesions,
    "landscapes": landscapes,
    "weight-decay": weight_decay,
    "norm-relu-growth": norm_relu_growth,
    "shoes": shoes,
    "branch-decay": branch_decay,
    "harmful-branch": harmful_branch,
    "lesions-by-seed": lesions_by_seed,
    "trained-paths": trained_paths,
    "loss-profiles": loss_profiles,
    "published-cifar10": published_cifar10,
}


def rounded(value: float, digits: int = 3) -> float | None:
    """Three digits; None for what is no number, as in nets that diverged."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def grid_path(name: str) -> Path:
    return RECORDED / f"{name}.json"


def record_grid(name: str) -> Path:
    """Measure a grid and write it down, with where it came from."""
    require_choice("name", name, tuple(GRIDS))
    came_from = origin(f"python -m resnet_lib experiment {name}")
    threads, started = torch.get_num_threads(), perf_counter()
    torch.set_num_threads(1)  # nets this small gain nothing from a second
    try:
        values = GRIDS[name]()
    finally:
        torch.set_num_threads(threads)
    content = {"grid": name, "provenance": {**came_from, "seconds": round(perf_counter() - started)}, "values": values}
    path = grid_path(name)
    write_atomic(path, lambda temporary: temporary.write_text(json.dumps(content, separators=(",", ":"))))
    return path


@cache
def load_grid(name: str) -> Values:
    """The recorded values of a grid. FileNotFoundError says how to make them."""
    require_choice("name", name, tuple(GRIDS))
    path = grid_path(name)
    if not path.exists():
        raise FileNotFoundError(f"{name} was not measured yet; python -m resnet_lib experiment {name} does it")
    return json.loads(path.read_text())["values"]
