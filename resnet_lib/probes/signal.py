"""The forward pass: the outputs of the blocks, how much each branch adds, what a unit sees."""

from functools import partial
from math import nan
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import grad

from resnet_lib.arguments import require_int
from resnet_lib.probes.hooks import (
    checked,
    find_layer,
    hooked,
    named_blocks,
    own_blocks,
    replaced,
    undisturbed,
    watching,
)


class ActivationStats(NamedTuple):
    """Over all images, channels and pixels of a block's output."""

    mean: float
    variance: float
    dead: float  # fraction of channels that are 0 at every pixel of every image


def activation_stats(model: nn.Module, images: Tensor, *, training: bool = True) -> dict[str, ActivationStats]:
    """Mean, variance and dead channels of every block's output, first block first.

    images (N, C, H, W). training=True: batch norm uses the statistics of these images. Without batch norm, and with He
    initialisation, the variance of a residual net about doubles with every block.
    """
    images, _ = checked(model, images)
    with undisturbed(model, training=training), torch.no_grad(), watching(named_blocks(model)) as outputs:
        model(images)
    result = {}
    for name, x in outputs.items():
        dead = (x == 0).transpose(0, 1).flatten(1).all(1)
        result[name] = ActivationStats(x.mean().item(), x.var(correction=0).item(), dead.double().mean().item())
    return result


def layer_responses(model: nn.Module, images: Tensor, *, training: bool = False) -> dict[str, float]:
    """The standard deviation of every 3×3 layer's output, after its batch norm, before the nonlinearity or addition.

    images (N, C, H, W) -> {"conv1": …, "layer1.0.conv1": …} in the order of the forward pass (He et al. 2015, fig. 7).
    Where no batch norm directly follows (the end of a pre-activation branch) it is the convolution's own output.
    """
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d) or (isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3))
    }
    responses: dict[str, float] = {}
    last: list[tuple[str, Tensor]] = []  # the convolution that ran last

    def measure(name: str, x: Tensor, output: Tensor) -> None:
        if isinstance(layers[name], nn.Conv2d):
            last[:] = [(name, output)]
        elif last and last[0][1] is x:  # this norm reads the output of that convolution
            name = last[0][0]
        else:
            return
        responses[name] = output.std(correction=0).item()

    images, _ = checked(model, images)
    with undisturbed(model, training=training), torch.no_grad(), hooked(layers, measure):
        model(images)
    return responses


class BranchNorm(NamedTuple):
    """How much a residual branch weighs."""

    weights: float  # L2 norm of the branch's convolution weights
    ratio: float  # ‖F(x)‖ / ‖shortcut(x)‖ over all images; nan when none are given


def branch_norms(model: nn.Module, images: Tensor | None = None, *, training: bool = False) -> dict[str, BranchNorm]:
    """For every residual block the norm of its branch's weights, and with `images` what F(x) adds to the shortcut.

    images (N, C, H, W). A block that is "skipped through regularisation" has a ratio near 0. ValueError for plain nets.
    """
    blocks = own_blocks(model, residual=True)
    ratios: dict[str, float] = {}
    if images is not None:

        def weigh(name: str, residual: Tensor, shortcut: Tensor) -> Tensor:
            ratios[name] = (residual.double().norm() / shortcut.double().norm()).item()
            return shortcut + residual

        images, _ = checked(model, images)
        weighed = {block: {"add": partial(weigh, name)} for name, block in blocks.items()}
        with undisturbed(model, training=training), torch.no_grad(), replaced(weighed):
            model(images)
    result = {}
    for name, block in blocks.items():
        weights = [w for key, w in block.named_parameters() if key.startswith("conv") and w.ndim == 4]
        norm = torch.cat([w.detach().flatten() for w in weights]).double().norm().item()
        result[name] = BranchNorm(norm, ratios.get(name, nan))
    return result


def effective_receptive_field(
    model: nn.Module, size: int, *, layer: str | None = None, samples: int = 8, seed: int = 0
) -> Tensor:
    """How strongly each input pixel moves the unit in the centre of `layer` (default: the last block).

    Returns (size, size) with maximum 1: the magnitude of the input gradient of the central pixel, summed over channels,
    averaged over `samples` inputs of noise (Luo et al. 2016). In eval mode: batch statistics would let every pixel of
    every image take part.
    """
    require_int("size", size)
    require_int("samples", samples)
    name, module = find_layer(model, layer)
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    with undisturbed(model, training=False), watching({name: module}) as outputs:
        noise = torch.randn(
            samples, first.in_channels, size, size, generator=torch.Generator().manual_seed(seed), device="cpu"
        )
        inputs = noise.to(first.weight).requires_grad_()
        model(inputs.clone())
        height, width = outputs[name].shape[2:]
        field = grad(outputs[name][:, :, height // 2, width // 2].sum(), inputs)[0].abs().sum((0, 1))
    return field / field.amax().clamp_min(torch.finfo(field.dtype).tiny)
