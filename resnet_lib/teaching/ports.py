"""The foreign nets of lesson 10: they compute as published ones do, with random weights that the library makes offline.

`cifar10_original` stands for the CIFAR-10 nets that zero-pad on both sides, `keras_original` for a small ResNet V2 of
Keras Applications. The tests compare the second layout with Keras itself.
"""

from typing import Any

import torch
from torch import Tensor, nn

from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.models.resnet import PRESETS, ResNet, build
from resnet_lib.models.weights import PARTS, keras_name_map
from resnet_lib.probes.variants import scrambled
from resnet_lib.training.loop import seeded


def cifar10_original(depth: int = 20) -> ResNet:
    """The published nets' architecture, weights drawn here; batch norms do something."""
    with seeded(0):
        net = cifar_resnet(depth, shortcut="A-centred")
        scrambled(net)
    return net


def cifar10_checkpoint(net: ResNet) -> dict[str, Any]:
    """A file as the published one: saved from several GPUs, under other names, with more in it than weights."""
    state = {f"module.{key.replace('fc.', 'linear.')}": value.clone() for key, value in net.state_dict().items()}
    return {"state_dict": {key: value for key, value in state.items() if "num_batches" not in key}, "best_prec1": 91.73}


def keras_original() -> ResNet:
    """A ResNet V2 in Keras's layout, two blocks a stage, 8 channels wide, ten classes."""
    with seeded(0):
        net = scrambled(build(PRESETS["resnet50v2"], layers=(2, 2, 2, 2), width=8, num_classes=10))
        for name, parameter in net.named_parameters():
            if name.endswith(".bias") and "bn" not in name and "norm" not in name:
                nn.init.uniform_(parameter, -0.2, 0.2)
    return net  # type: ignore[return-value]


def keras_weights(net: ResNet) -> dict[str, list[Tensor]]:
    """The weights by Keras's layer names, in Keras's order and shapes: kernels (height, width, in, out)."""
    state, layers = net.state_dict(), {}
    for theirs, ours in keras_name_map(net.config).items():
        found = [state[f"{ours}.{part}"] for part in PARTS if f"{ours}.{part}" in state]
        layers[theirs] = [_keras_shape(tensor) for tensor in found]
    return layers


def _keras_shape(tensor: Tensor) -> Tensor:
    if tensor.ndim == 4:
        return tensor.permute(2, 3, 1, 0)
    return torch.t(tensor) if tensor.ndim == 2 else tensor
