"""Measurements over a declared, finite grid, shipped with the library: what explorers look up in place of waiting.

`python -m resnet_lib experiment NAME` measures one anew and writes its values, with where they come from, beside this
file. Whoever shows a value of one says "recorded". All are of width-8 nets on Fashion-MNIST at 14×14 pixels, seed 0
where no other is named. A grid is a function that yields each setting's name and what was measured there.
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
from torch.utils._pytree import tree_map

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
from resnet_lib.training.devices import threads_for
from resnet_lib.training.history import History
from resnet_lib.training.loop import Recipe, evaluate, seeded, train
from resnet_lib.urls import WEIGHTS

Values = dict[str, Any]
Grid = Iterator[tuple[str, Values]]

DEPTHS = (8, 20, 32, 56, 110)
STEPS = (0, 5, 20, 60, 149)
DECAYS = (0, 1e-4, 1e-3, 1e-2)
AGREEMENT_DEPTHS, AGREEMENT_STEPS, AGREEMENT_SEEDS = (8, 20, 56, 110), (0, 20, 60, 149), range(5)
TRAINED = ("residual-20", "plain-20", "residual-56", "plain-56")


@cache
def images_of(split: str) -> ImageSet:
    """The shipped images, "train" or "test", as small as the nets see theirs: (N, 1, 14, 14)."""
    return load_fashion_mnist(split).pooled()


def flow_net(depth: int, batch_norm: bool = True, shortcut: bool = True, init: str = "he", seed: int = 0) -> ResNet:
    """The net of one setting, with new weights."""
    net = cifar_resnet(depth, shortcut="A" if shortcut else None, in_channels=1, width=8)
    return variant(net, batch_norm=batch_norm, init=init, seed=seed)


def flow_key(depth: int, batch_norm: bool, shortcut: bool, init: str) -> str:
    return f"{depth}-{'bn' if batch_norm else 'no bn'}-{'shortcut' if shortcut else 'plain'}-{init}"


def measure_flow(net: ResNet) -> Values:
    """Gradient norm of every convolution, variance after every block, shattering: train mode, 64 images."""
    images, labels = images_of("test").first(64)
    found = {
        "norms": list(gradient_norms(net, images, labels).values()),
        "variances": [stats.variance for stats in activation_stats(net, images).values()],
        "correlation": gradient_correlation(net, images[:8])[0],
    }
    return rounded(found)


def during_training(
    net: ResNet, steps: Sequence[int], measure: Callable[[ResNet, History], Values], seed: int = 0
) -> Values:
    """What is measured of `net` before, and after each of `steps` of the live recipe, by step."""
    found = {"0": measure(net, History())}

    def look(history: History, total: int) -> None:
        if len(history) in steps:
            found[str(len(history))] = measure(net, history)

    train(net, images_of("train"), Recipe(), seed=seed, progress=look)
    return found


def gradient_flow() -> Grid:
    """Every depth, with and without batch norm and shortcut, both initialisations, at five steps of the live recipe."""

    def with_error(net: ResNet, history: History) -> Values:
        return measure_flow(net) | ({"error": history.final_error()} if len(history) else {})

    for setting in product(DEPTHS, (True, False), (True, False), ("he", "torch")):
        yield flow_key(*setting), during_training(flow_net(*setting), STEPS, with_error)


def measure_agreement(net: ResNet) -> Values:
    """Of the first, the middle and the last convolution: the norms of gradient and weight, and their product, which
    does not depend on the weight's scale where a batch norm follows. Of such blocks: two batches' agreement. And how
    similar neighbours' input gradients are. All in train mode."""
    images, labels = images_of("test").first(128)
    halves = ((images[:64], labels[:64]), (images[64:], labels[64:]))
    norms = gradient_norms(net, *halves[0])
    weights = {name: net.get_parameter(f"{name}.weight").detach().double().norm().item() for name in norms}

    def three(values: dict[str, float]) -> list[float]:
        return [list(values.values())[place] for place in (0, len(values) // 2, -1)]

    found = {
        "norms": three(norms),
        "weights": three(weights),
        "scale_free": three({name: norms[name] * weights[name] for name in norms}),
        "batches": three(gradient_agreement(net, *halves)),
        "neighbours": gradient_correlation(net, images[:8])[0],
    }
    return rounded(found)


def gradient_agreement_by_seed() -> Grid:
    """Size and agreement of the gradients of plain and residual nets, five seeds, at four steps of the live recipe.

    The nets have batch norm and He's initialisation; a seed is that of the weights and of the images' order.
    """
    for depth, shortcut in product(AGREEMENT_DEPTHS, (False, True)):
        runs = [
            during_training(
                flow_net(depth, shortcut=shortcut, seed=seed),
                AGREEMENT_STEPS,
                lambda net, _: measure_agreement(net),
                seed,
            )
            for seed in AGREEMENT_SEEDS
        ]
        by_step = {step: [run[step] for run in runs] for step in map(str, AGREEMENT_STEPS)}
        yield f"{'residual' if shortcut else 'plain'}-{depth}", by_step


def path_gradients() -> Grid:
    """The share of the input gradient by path length, in new and in briefly trained residual nets."""
    for depth in DEPTHS[:-1]:
        net = flow_net(depth)
        yield f"{(depth - 2) // 2}-new", path_shares(net, training=True)
        train(net, images_of("train"), Recipe(), seed=0)
        yield f"{(depth - 2) // 2}-trained", path_shares(net, training=False)


def path_shares(net: ResNet, *, training: bool) -> Values:
    """64 test images, 64 paths of each length."""
    images, labels = images_of("test").first(64)
    return {"shares": gradient_by_path_length(net, images, labels, samples=64, training=training).shares}


def lesions() -> Grid:
    """Test error of the trained 20-layer nets without each set of blocks, of the deep ones without each block."""
    for name in TRAINED:
        net = load_recorded_net("trained-nets", name)
        if name.endswith("20"):
            subsets = all_subsets(net, images_of("test"))
            errors: Values = {" ".join(deleted): subsets[deleted] for deleted in sorted(subsets)}
        else:
            errors = without_each_block(net)
        yield name, {"blocks": list(own_blocks(net)), "errors": errors}


def without_each_block(net: ResNet) -> Values:
    """Test error, in eval mode, of the whole net, "", and without each block; None for one that cannot go."""
    errors: Values = {"": evaluate(net, images_of("test")).error}
    for block in own_blocks(net):
        try:
            with lesion(net, delete=block):
                errors[block] = evaluate(net, images_of("test")).error
        except ValueError:  # a plain block that changes the shape
            errors[block] = None
    return errors


def landscapes() -> Grid:
    """Loss around the trained nets along two filter-normalised directions, on 500 test images, in eval mode."""
    for name in TRAINED:
        surface = loss_surface(load_recorded_net("trained-nets", name), images_of("test").first(500), points=15)
        yield name, {"axis": surface.axis.tolist(), "loss": surface.loss.tolist()}


def weight_decay() -> Grid:
    """Residual-20 trained for 20 epochs on the 10,000 shipped images, at four strengths of weight decay: what its
    branches add afterwards, on 256 test images in eval mode."""
    for decay in DECAYS:
        recipe = Recipe(batch_size=128, epochs=20, weight_decay=decay)
        yield str(decay), {"blocks": list(own_blocks(flow_net(20)))} | branches_after(recipe, seed=0)


def branch_decay() -> Grid:
    """Residual-20 after six epochs of the 10,000 shipped images, at four strengths of weight decay on everything and at
    two on batch norm's γ alone, three seeds: what its branches add on 256 test images in eval mode."""
    for decayed, decay in (*product(("all",), (1e-4, 1e-3, 1e-2, 3e-2)), ("gammas", 1e-2), ("gammas", 3e-2)):
        recipe = Recipe(epochs=6, weight_decay=decay, decayed=decayed)
        yield f"{decay:g} {decayed}", {"runs": [branches_after(recipe, seed) for seed in range(3)]}


def branches_after(recipe: Recipe, seed: int) -> Values:
    """Residual-20 trained by `recipe`: what its branches add, how large the scales of their last batch norms are (mean
    of |γ|), and its errors; all in eval mode."""
    net = flow_net(20, seed=seed)
    train(net, images_of("train"), recipe, seed=seed)
    branches = branch_norms(net, images_of("test").images[:256]).values()
    return {
        "ratios": [branch.ratio for branch in branches],
        "weights": [branch.weights for branch in branches],
        "gammas": [size(block.get_parameter("bn2.weight")) for block in own_blocks(net).values()],
        "train_error": evaluate(net, images_of("train").first(2000)).error,
        "test_error": evaluate(net, images_of("test")).error,
    }


def size(gamma: Tensor) -> float:
    """The mean of |γ| over the channels (C,)."""
    return gamma.detach().abs().mean().item()


def norm_relu_growth() -> Grid:
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
    for kind, part in product(("relu", "linear"), parts):
        growths = [_growth(parts[part], kind == "relu", seed) for seed in range(5)]
        yield f"{kind}: {part}", {"growth": growths}


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


def shoes() -> Grid:
    """Error on new shoes after ten images of each kind, four ways, in twelve draws of the images: the trained bodies of
    no-shoes, six random ones; lesson 09's recipe. A frozen body is in eval mode, a linear layer learns on its features.
    """
    train_set, test_set = (images_of(split).only(SHOES) for split in ("train", "test"))
    recipe = Recipe(batch_size=30, steps=60, peak_lr=0.03)

    def draw_of(number: int) -> ImageSet:
        rows = [(train_set.labels == kind).nonzero()[10 * number : 10 * number + 10, 0] for kind in range(3)]
        picked = torch.cat(rows)
        return replace(train_set, images=train_set.images[picked], labels=train_set.labels[picked])

    def all_layers(net: ResNet, number: int) -> float:
        with seeded(number):
            net.fc = nn.Linear(32, 3)
        train(net, draw_of(number), recipe, seed=number)
        return evaluate(net, test_set).error

    def frozen(net: ResNet, number: int) -> float:
        few = draw_of(number)
        net.fc = nn.Identity()  # type: ignore[assignment]
        net.eval()
        with torch.no_grad():
            seen, new = net(few.images), net(test_set.images)
        mean, deviation = seen.mean(0), seen.std(0) + 1e-3
        scaled = [((part - mean) / deviation)[:, :, None, None] for part in (seen, new)]
        with seeded(number):
            head = nn.Sequential(nn.Flatten(), nn.Linear(32, 3))
        train(head, replace(few, images=scaled[0]), recipe, seed=number)
        return evaluate(head, replace(test_set, images=scaled[1])).error

    def random(seed: int) -> ResNet:
        return flow_net(20, seed=seed)

    def trained(seed: int) -> ResNet:
        return load_recorded_net("no-shoes", "residual-20", seed)

    seeds = [record.seed for record in load_records("no-shoes") if record.weights]
    ways = {
        "random, frozen": (frozen, random, range(6)),
        "trained, frozen": (frozen, trained, seeds),
        "trained, all layers": (all_layers, trained, seeds),
        "from scratch": (all_layers, random, range(3)),
    }
    for way, (learn, body, bodies) in ways.items():
        yield way, {"errors": [[learn(body(seed), number) for number in range(12)] for seed in bodies]}


def harmful_branch() -> Grid:
    """A branch that harms, with a learnable γ, in trained-nets' residual-20: layer2.1's convolutions are drawn anew and
    frozen, its last γ starts at 1, and training goes on for 300 steps, with everything else or with that batch norm
    alone, at three strengths of decay; three seeds. γ (mean of |γ|) by step; test errors in eval mode at the end, with
    and without the branch. "before": the error when the running statistics, but no weights, have been brought up to
    date."""
    for learns, decay in product(("everything", "gamma alone"), (0.0, 1e-4, 1e-2)):
        runs = [_harmed("layer2.1", learns, decay, seed) for seed in range(3)]
        yield f"{learns}, decay {decay:g}", {"runs": runs}


def _harmed(name: str, learns: str, decay: float, seed: int) -> Values:
    """One run of `harmful_branch`, with the branch of the block `name`."""
    data, test = images_of("train"), images_of("test")
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
        for images in data.images[:3200].split(64):
            net(images)
    before = evaluate(net, test).error
    if learns == "gamma alone":
        net.requires_grad_(False)
        block.bn2.requires_grad_(True)
    gamma = [size(block.bn2.weight)]

    def look(history: History, _: int) -> None:
        if len(history) % 50 == 0:
            gamma.append(size(block.bn2.weight))

    train(net, data, Recipe(steps=300, weight_decay=decay), seed=seed, progress=look)
    with lesion(net, delete=name):
        without = evaluate(net, test).error
    return {
        "before": before,
        "after": evaluate(net, test).error,
        "without_branch": without,
        "ratio": branch_norms(net, images_of("test").images[:256])[name].ratio,
        "gamma": gamma,
    }


def trained_nets() -> Iterator[tuple[str, int, ResNet]]:
    """Every shipped net of the experiment "trained-nets": what grids call it, its seed, itself."""
    for name in TRAINED:
        for record in load_records("trained-nets"):
            if record.net == name and record.weights:
                yield f"{name}-seed{record.seed:02d}", record.seed, load_recorded_net("trained-nets", name, record.seed)


def lesions_by_seed() -> Grid:
    """Test error of every shipped trained net without each of its blocks, in eval mode; "" is the whole net."""
    for name, _, net in trained_nets():
        yield name, {"errors": without_each_block(net)}


def trained_paths() -> Grid:
    """The share of the input gradient by path length, of the shipped trained residual nets and of the same nets before
    training, each with batch norm in eval and in train mode; 64 test images, 64 paths of each length."""
    for name, seed, net in trained_nets():
        if name.startswith("residual"):
            new = flow_net(int(name.split("-")[1]), seed=seed)
            for (state, of), training in product((("new", new), ("trained", net)), (False, True)):
                yield f"{name} {state} {'train' if training else 'eval'}", path_shares(of, training=training)


def loss_profiles() -> Grid:
    """Training loss of the shipped trained nets along five filter-normalised directions each, in eval mode, on 500
    training images."""
    for name, _, net in trained_nets():
        data = images_of("train").first(500)
        lines = [loss_surface(net, data, points=15, seed=number, dimensions=1) for number in range(5)]
        yield name, {"axis": lines[0].axis.tolist(), "loss": [line.loss.tolist() for line in lines]}


def published_cifar10() -> Grid:
    """What four published CIFAR-10 nets say of the cat, shrunk to 32 × 32 pixels: with zeros on both sides, as theirs
    are, and with zeros at the end. The files lie in the cache folder, where `load_pretrained` keeps them."""
    photo = load_photo(resize=32, crop=32)  # standardised with ImageNet's mean and deviation, as they were trained
    for depth in (20, 32, 44, 56):
        name = f"cifar_resnet{depth}.AKAMASTER"
        centred = load_pretrained(cifar_resnet(depth, shortcut="A-centred"), name, download=False).eval()
        appended = cifar_resnet(depth).eval()
        appended.load_state_dict(centred.state_dict())
        file = cache_folder() / "weights" / WEIGHTS[name].rpartition("/")[2]
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        says = {"at the end": _says(appended, photo), "on both sides": _says(centred, photo)}
        yield f"resnet{depth}", {"file": file.name, "sha256": sha256, "says": says}


@torch.no_grad()
def _says(net: ResNet, image: Tensor) -> list[Any]:
    """The class that the net names, and its probability."""
    share, index = net(image).softmax(1)[0].max(0)
    return [CIFAR10_CLASSES[index], round(share.item(), 4)]


GRIDS: dict[str, Callable[[], Grid]] = {
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
DIGITS = {"norm-relu-growth": 4, "published-cifar10": 4}  # of a recorded value; elsewhere 3


def rounded(values: Any, digits: int = 3) -> Any:
    """Every float in dicts and lists to so many digits; None for what is no number, as in nets that diverged."""

    def one(value: Any) -> Any:
        if not isinstance(value, float):
            return value
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None

    return tree_map(one, values)


def grid_path(name: str) -> Path:
    return RECORDED / f"{name}.json"


def record_grid(name: str) -> Path:
    """Measure a grid and write it down, with where it came from."""
    require_choice("name", name, tuple(GRIDS))
    came_from = origin(f"python -m resnet_lib experiment {name}")
    values: Values = {}
    started = perf_counter()
    with threads_for(images_of("train").images):
        for setting, found in GRIDS[name]():
            values[setting] = rounded(found, DIGITS.get(name, 3))
            print(setting, flush=True)
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
