"""The loss around a net's weights, along random directions (Li et al. 2018): a slice through 10^5 dimensions.

Everything is in eval mode: batch norm keeps the running statistics of the net in the centre.
"""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn

from resnet_lib.arguments import require_choice, require_int, require_positive
from resnet_lib.data.images import ImageSet
from resnet_lib.probes.hooks import undisturbed
from resnet_lib.training.loop import evaluate


@dataclass(frozen=True)
class LossSurface:
    """`loss[i, j]` and `error[i, j]` (a fraction) at weights + axis[i] · direction 0 + axis[j] · direction 1."""

    axis: np.ndarray  # (points,), 0 in the middle; in units of the filters' own norms
    loss: np.ndarray  # (points, points); a profile has (points,)
    error: np.ndarray


def loss_surface(
    model: nn.Module, data: ImageSet, *, extent: float = 1.0, points: int = 21, seed: int = 0, dimensions: int = 2
) -> LossSurface:
    """Loss and error on `data` over a square of weights, ±extent along two filter-normalised random directions.

    `points` a side, an odd number, so that the net itself is the centre; costs points² evaluations. dimensions=1 is
    a profile, the middle column alone. Tensors of other weights take the place of the net's own, which are laid
    aside, never written to, and put back. Raises ValueError or TypeError for arguments that make no surface.
    """
    require_positive("extent", extent)
    require_int("points", points, 3)
    require_choice("dimensions", dimensions, (1, 2))
    if points % 2 == 0:
        raise ValueError(f"points must be odd, so that the net itself is in the middle; got {points}")
    axis = extent * np.arange(-(points // 2), points // 2 + 1) / (points // 2)
    directions = [filter_normalised(model, 2 * seed + number) for number in range(dimensions)]
    own = {name: parameter.data for name, parameter in model.named_parameters()}
    results = []
    with undisturbed(model, training=False):
        try:
            for place in product(axis.tolist(), repeat=dimensions):
                for name, parameter in model.named_parameters():
                    shifts = [t * direction[name] for t, direction in zip(place, directions, strict=True)]
                    parameter.data = sum(shifts, own[name])
                results.append(evaluate(model, replace(data, images=data.images.clone())))  # a net may work in place
        finally:
            for name, parameter in model.named_parameters():
                parameter.data = own[name]
    error, loss = (np.array(values).reshape([points] * dimensions) for values in zip(*results, strict=True))
    return LossSurface(axis, loss, error)


def filter_normalised(model: nn.Module, seed: int) -> dict[str, Tensor]:
    """A random direction in which each filter is as long as the net's own (Li et al. 2018, section 4).

    One tensor for each parameter, of its shape. A filter is what makes one output channel: weight[i] of a convolution
    or a linear layer. Biases and batch norm's parameters do not move. So nets whose weights differ only in scale can
    be compared.
    """
    generator = torch.Generator().manual_seed(seed)
    direction = {}
    for name, parameter in model.named_parameters():
        weight = parameter.detach()
        if weight.ndim < 2:
            direction[name] = torch.zeros_like(weight)
            continue
        noise = torch.randn(weight.shape, generator=generator, dtype=weight.dtype, device="cpu").to(weight.device)
        own, drawn = (x.flatten(1).norm(dim=1).view(-1, *[1] * (x.ndim - 1)) for x in (weight, noise))
        direction[name] = noise * (own / drawn)
    return direction
