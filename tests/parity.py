"""What the parity tests share: weights that hide nothing, and distances that rounding passes and a slip does not."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def randomise(net: nn.Module, gain: float = 0.6, seed: int = 0) -> nn.Module:
    """Give every weight, bias and running statistic a value that matters.

    Variances go down to 1e-5, where eps = 1e-5 and 1.001e-5 give different logits; gamma keeps the scale of the signal.
    `gain` is what a layer does to the signal: with an identity shortcut below 1, lest it grow with every block and
    drown the biases of the last ones; about 1 in a plain net, lest it die before it arrives.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(like.shape, generator=generator, dtype=torch.float64)

    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            variance = 10 ** uniform(module.running_var, -5, 0)
            module.running_var.copy_(variance)
            module.running_mean.copy_(uniform(module.running_mean, -0.3, 0.3))
            module.weight.copy_(variance.sqrt() * gain * uniform(module.weight, 0.5, 1.5))
            module.bias.copy_(uniform(module.bias, -0.3, 0.3))
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            spread = (6 / module.weight[0].numel()) ** 0.5
            module.weight.copy_(uniform(module.weight, -spread, spread))
            if module.bias is not None:
                module.bias.copy_(uniform(module.bias, -0.3, 0.3))
    return net


@torch.no_grad()
def nudge(net: nn.Module, name: str, by: float = 0.1) -> None:
    """Move one weight of the tensor `name`: the slip that every parity test must see."""
    net.get_parameter(name).view(-1)[1] += by


def images(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


def distance(found: Tensor, wanted: Tensor) -> float:
    """|found - wanted| / |wanted|; not a number counts as infinitely far."""
    assert found.shape == wanted.shape, f"{tuple(found.shape)} is not {tuple(wanted.shape)}"
    far = ((found.double() - wanted.double()).norm() / wanted.double().norm()).item()
    return far if far == far else float("inf")


def furthest(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    """The largest distance in two tables of tensors.

    A gradient that is zero but for rounding (of a bias before a batch norm) has no size of its own: no size counts as
    smaller than a millionth of the largest.
    """
    assert found.keys() == wanted.keys()
    sizes = {key: tensor.double().norm().item() for key, tensor in wanted.items()}
    smallest = 1e-6 * max(sizes.values())
    return max((found[key].double() - wanted[key].double()).norm().item() / max(sizes[key], smallest) for key in wanted)
