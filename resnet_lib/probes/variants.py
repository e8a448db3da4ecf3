"""The same net without batch norm, with another initialisation, or with norms that show where they stand."""

from copy import deepcopy

import torch
from torch import nn

from resnet_lib.arguments import require_choice
from resnet_lib.models.resnet import ResNet
from resnet_lib.training.loop import seeded


def variant(model: ResNet, *, batch_norm: bool = True, init: str = "he", seed: int = 0) -> ResNet:
    """A freshly initialised copy of `model`, which stays as it is.

    batch_norm=False puts an identity in the place of every batch norm; no biases are added to the convolutions.
    init="he" is the course's own (He et al. 2015b, normal, fan-out): with batch norm the copy equals the net that its
    builder makes under `seeded(seed)`. init="torch" is what nn.Conv2d starts with: uniform, with a sixth of He's
    variance where fan-in and fan-out are equal. Raises TypeError or ValueError for arguments that make no net.
    """
    require_choice("init", init, ("he", "torch"))
    if not isinstance(model, ResNet):
        raise TypeError(f"model must be a ResNet of this library, got {type(model).__name__}")
    copy = deepcopy(model)
    with seeded(seed):
        for module in copy.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear, nn.BatchNorm2d)):
                module.reset_parameters()
        if init == "he":
            copy._initialise()
    if not batch_norm:
        without_norms(copy)
    return copy


def scrambled(model: nn.Module, seed: int = 0) -> nn.Module:
    """`model` in eval mode with batch norms that do something, changed in place and returned.

    A new batch norm in eval mode leaves its input nearly as it is. So a net whose norms are in the wrong places can
    give the right logits; with these scales, shifts and running statistics, drawn by `seed`, it cannot.
    """
    generator = torch.Generator().manual_seed(seed)
    ranges = {"weight": (0.5, 1.5), "bias": (-0.2, 0.2), "running_mean": (-0.2, 0.2), "running_var": (0.5, 1.5)}
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        for name, (low, high) in ranges.items():
            tensor = getattr(norm, name).detach()  # drawn on the CPU, so that it is the same on any device
            tensor.copy_(torch.empty_like(tensor, device="cpu").uniform_(low, high, generator=generator))
    return model.eval()


def without_norms(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.Identity())
        else:
            without_norms(child)
