"""Gradients: how large they are in every layer, and whether they agree.

Nets with batch norm are measured in train mode by default (statistics of the batch at hand), as training sees them.
"""

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.nn.functional import cross_entropy

from resnet_lib.arguments import require_int, require_positive
from resnet_lib.models.folding import normed_convolutions
from resnet_lib.models.resnet import ResNet
from resnet_lib.probes.hooks import checked, hooked, named_blocks, undisturbed


def gradient_norms(model: nn.Module, images: Tensor, labels: Tensor, *, training: bool = True) -> dict[str, float]:
    """The L2 norm of the loss gradient of every convolution's weight, in the order of the forward pass.

    images (N, C, H, W), labels (N,) -> {"conv1": …, "layer1.0.conv1": …}. The loss is the mean cross-entropy.
    training=True: batch norm uses the statistics of this batch; False: its running ones. He et al. 2015, section 4.1
    report "healthy norms" in plain nets with batch norm; Yang et al. 2019 derive why they explode at initialisation.
    """
    convs = {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    if not convs:
        raise ValueError(f"model must have at least one Conv2d, this {type(model).__name__} has none")
    ran: dict[str, Tensor] = {}
    with hooked(convs, lambda name, _, output: ran.update({name: convs[name].weight})):
        gradients = _loss_gradients(model, images, labels, ran, training)
    # In float64, where the square of 1e-30 is not 0.
    return {name: torch.linalg.vector_norm(g, dtype=torch.float64).item() for name, g in gradients.items()}


def effective_learning_rates(model: nn.Module, lr: float) -> dict[str, float]:
    """lr / ‖w‖² of every convolution that a batch norm follows: how fast its direction turns (van Laarhoven 2017).

    In train mode the net computes the same from c · w as from w, and the gradient at c · w is 1 / c as long. So a step
    with the rate lr turns c · w as one with lr / c² turns w. After each step of a training:
    `train(…, progress=lambda history, _: rates.append(effective_learning_rates(net, history.lr[-1])))`.
    """
    require_positive("lr", lr)
    normed = {id(owner.get_submodule(conv)) for owner, conv, _ in normed_convolutions(model)}
    if isinstance(model, ResNet) and model.config.block.preact:
        normed.add(id(model.conv1))  # its norm is the first block's
    convs: dict[str, Any] = {name: module for name, module in model.named_modules() if id(module) in normed}
    if not convs:
        raise ValueError("model must be a net of this library with batch norms; no convolution of this one feeds one")
    return {name: lr / conv.weight.detach().double().square().sum().item() for name, conv in convs.items()}


def gradient_agreement(model: nn.Module, *batches: Iterable[Tensor], training: bool = True) -> dict[str, float]:
    """The cosine between the gradients of mini-batches, the mean over all pairs, for each block over its parameters.

    A batch is (images (N, C, H, W), labels (N,)) or an `ImageSet`. 1: all batches want the same change of the block;
    0: they are unrelated; nan: a gradient is zero. Raises ValueError for fewer than two batches.
    """
    if len(batches) < 2:
        raise ValueError(f"batches must be two or more, got {len(batches)}")
    blocks = {name: dict(block.named_parameters(name)) for name, block in named_blocks(model).items()}
    weights = {name: weight for block in blocks.values() for name, weight in block.items()}
    found = [_loss_gradients(model, x, y, weights, training) for x, y in batches]
    result = {}
    for block in filter(blocks.get, blocks):
        flat = [torch.cat([gradients[name].flatten() for name in blocks[block]]).double() for gradients in found]
        cosines = [a @ b / (a.norm() * b.norm()) for a, b in combinations(flat, 2)]
        result[block] = torch.stack(cosines).mean().item()
    return result


def gradient_correlation(
    model: nn.Module, images: Tensor, *, points: int = 64, lags: int = 8, training: bool = True
) -> tuple[float, ...]:
    """Shattered gradients: how similar the input gradients at neighbouring inputs are (Balduzzi et al. 2017).

    images (2n, C, H, W): n straight lines, each of `points` inputs from images[2i] to images[2i + 1]. Returns the
    autocorrelation of the gradient along a line at lag 1, 2, …, `lags`, the mean over the lines. The one number to
    quote is the first, between direct neighbours: 1 the same, 0 as unlike as noise.
    The points of a line are one batch, so with training=True batch norm uses the line's statistics. The gradient is
    that of the sum of the logits; its mean over the line is taken off, so noise gives -1 / points, not quite 0.
    """
    require_int("points", points, 3)
    require_int("lags", lags)
    images, _ = checked(model, images)
    if lags >= points or len(images) % 2:
        raise ValueError(
            f"lags must be less than points and images come in pairs, the two ends of each line; "
            f"got lags={lags}, points={points} and {len(images)} images"
        )
    steps = torch.linspace(0, 1, points, dtype=images.dtype, device=images.device).view(-1, 1, 1, 1)
    lines = []
    with undisturbed(model, training=training):
        for start, end in zip(images[0::2], images[1::2], strict=True):
            inputs = (start + steps * (end - start)).requires_grad_()
            (gradient,) = grad(model(inputs.clone()).sum(), inputs)  # the clone is for nets that begin in place
            series = gradient.flatten(1).double()
            products = (series - series.mean(0)) @ (series - series.mean(0)).T  # entry (i, j) is g_i · g_j
            sums = [products.diagonal(lag).sum() for lag in range(1, lags + 1)]
            lines.append(torch.stack(sums) / products.trace())
    return tuple(torch.stack(lines).mean(0).tolist())


def _loss_gradients(
    model: nn.Module, images: Tensor, labels: Tensor, weights: Mapping[str, Tensor], training: bool
) -> dict[str, Tensor]:
    """The gradient of the mean cross-entropy by each of `weights`, which may be filled during the forward pass."""
    images, labels = checked(model, images, labels)
    with undisturbed(model, training=training):
        model.requires_grad_()
        loss = cross_entropy(model(images), labels)
        found = grad(loss, list(weights.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(weights, found, strict=True))
