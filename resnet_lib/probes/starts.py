"""Other starting points for the same net: near the identity, or quiet branches in place of batch norm.

Each function changes a new net in place and returns it.
"""

from typing import Any

import torch
from torch import Tensor, nn

from resnet_lib.arguments import require_choice
from resnet_lib.models.blocks import Block
from resnet_lib.models.resnet import ResNet
from resnet_lib.models.shortcuts import ProjectionShortcut
from resnet_lib.probes.variants import without_norms


def near_identity(net: ResNet, epsilon: float) -> ResNet:
    """Let every 3×3 convolution of the blocks start as the identity plus `epsilon` times the weights that it has.

    Where channels are added, the new ones start as `epsilon` times those weights alone (batch norm scales them up;
    with epsilon=0 they stay dead). The stem stays as it is. DiracNets (Zagoruyko & Komodakis 2017) start like this.
    """
    for block in net.blocks().values():
        for conv in block.modules():
            if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3):
                identity = nn.init.dirac_(torch.empty_like(conv.weight))
                conv.weight.data = identity + epsilon * conv.weight.data
    return net


def identity_shortcuts(net: ResNet) -> ResNet:
    """Let every projection of option C start as what option A computes: x itself, and zeros for added channels.

    The batch norm of the projection stays, so x is still standardised channel by channel.
    """
    for block in net.blocks().values():
        if isinstance(block.downsample, ProjectionShortcut):
            nn.init.dirac_(block.downsample.get_parameter("0.weight"))
    return net


class Scale(nn.Module):
    """Multiply by one learnable number, 0 at the start (SkipInit: De & Smith 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x


def without_norm(net: ResNet, start: str) -> ResNet:
    """Take every batch norm out of a net of V1 basic blocks, and start its branches in one of four ways.

    "he" and "torch": as initialised by He's or by PyTorch's rule. "skipinit": He's, and a learnable factor, 0 at the
    start, where the last norm was. "fixup": the first convolution of each of the L branches divided by √L, the last one
    and the classifier 0 (Zhang et al. 2019, rules 1 and 2; their scalar biases and multipliers are left out).
    """
    require_choice("start", start, ("he", "torch", "skipinit", "fixup"))
    blocks: list[Block] = list(net.blocks().values())
    without_norms(net)
    for block in blocks:
        convs: Any = block.get_submodule("conv1"), block.get_submodule("conv2")
        first, last = convs
        if start == "torch":
            first.reset_parameters()
            last.reset_parameters()
        elif start == "skipinit":
            block.bn2 = Scale()
        elif start == "fixup":
            first.weight.data /= len(blocks) ** 0.5
            nn.init.zeros_(last.weight)
    if start == "torch":
        net.conv1.reset_parameters()
    elif start == "fixup":
        nn.init.zeros_(net.fc.weight)
        nn.init.zeros_(net.fc.bias)
    return net
