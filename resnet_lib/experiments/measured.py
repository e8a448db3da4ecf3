"""Measurements over a declared, finite grid, shipped with the library: what explorers look up in place of waiting.

`python -m resnet_lib grid NAME` measures one anew and writes `recorded/NAME.json` beside this file. Whoever shows a
value of one says "recorded". All are of width-8 nets on Fashion-MNIST at 14×14 pixels, seed 0 where no other is named.
"""

import json
import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from resnet_lib.arguments import require_choice
from resnet_lib.data.images import ImageSet, load_fashion_mnist
from resnet_lib.experiments.records import load_recorded_net, origin
from resnet_lib.files import write_atomic
from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.models.resnet import ResNet
from resnet_lib.probes.gradients import gradient_agreement, gradient_correlation, gradient_norms
from resnet_lib.probes.hooks import own_blocks
from resnet_lib.probes.landscape import loss_surface
from resnet_lib.probes.lesions import all_subsets, gradient_by_path_length, lesion
from resnet_lib.probes.signal import activation_stats, branch_norms
from resnet_lib.probes.variants import variant
from resnet_lib.training.history import History
from resnet_lib.training.loop import Recipe, evaluate, train

RECORDED = Path(__file__).parent / "grids"
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
    """Of the first, the middle and the last: gradient norm of the convolutions, two batches' agreement of the blocks.
    And how alike neighbours' input gradients are. All in train mode."""
    images, labels = test_images(128)
    halves = ((images[:64], labels[:64]), (images[64:], labels[64:]))
    norms = list(gradient_norms(net, *halves[0]).values())
    cosines = list(gradient_agreement(net, *halves).values())
    return {
        "norms": [rounded(norms[index]) for index in (0, len(norms) // 2, -1)],
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


GRIDS: dict[str, Callable[[], Values]] = {
    "gradient-grid": gradient_flow,
    "gradient-agreement": gradient_agreement_by_seed,
    "path-gradients": path_gradients,
    "lesions": lesions,
    "landscapes": landscapes,
    "weight-decay": weight_decay,
}


def rounded(value: float) -> float | None:
    """Three digits; None for what is no number, as in nets that diverged."""
    return float(f"{value:.3g}") if math.isfinite(value) else None


def grid_path(name: str) -> Path:
    return RECORDED / f"{name}.json"


def record_grid(name: str) -> Path:
    """Measure a grid and write it down, with where it came from."""
    require_choice("name", name, tuple(GRIDS))
    came_from = origin(f"python -m resnet_lib grid {name}")
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
        raise FileNotFoundError(f"{name} was not measured yet; python -m resnet_lib grid {name} does it")
    return json.loads(path.read_text())["values"]
