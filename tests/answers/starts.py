"""Answers that set weights by hand: identity_conv and zero_init."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from answers.bank import right, wrong

# identity_conv(channels)


def conv3x3(channels, **options):
    return nn.Conv2d(channels, channels, **{"kernel_size": 3, "padding": 1, "bias": False, **options})


@right("identity_conv")
def centre_of_each(channels):
    conv = conv3x3(channels)
    with torch.no_grad():
        conv.weight.zero_()
        for c in range(channels):
            conv.weight[c, c, 1, 1] = 1
    return conv


@right("identity_conv")
def dirac(channels):
    conv = conv3x3(channels, padding="same")
    nn.init.dirac_(conv.weight)
    return conv


@right("identity_conv")
def through_the_state_dict(channels):
    conv = conv3x3(channels, padding_mode="replicate")
    conv.load_state_dict({"weight": F.pad(torch.eye(channels)[:, :, None, None], (1, 1, 1, 1))})
    return conv


@right("identity_conv")
class IdentityConv(nn.Conv2d):
    def __init__(self, channels):
        super().__init__(channels, channels, (3, 3), padding=(1, 1), bias=False)
        centre = torch.zeros(3, 3)
        centre[1, 1] = 1
        self.weight = nn.Parameter(torch.einsum("oi,hw->oihw", torch.eye(channels), centre))


@right("identity_conv")
def depthwise(channels):
    conv = conv3x3(channels, groups=channels)
    conv.weight.data = torch.zeros(channels, 1, 3, 3)
    conv.weight.data[:, 0, 1, 1] = 1
    return conv


wrong("identity_conv", "still-random")(conv3x3)
wrong("identity_conv", "not-a-conv")(lambda channels: nn.Identity())
wrong("identity_conv", "not-a-conv")(lambda channels: dirac(channels).weight)
wrong("identity_conv", "returns-none")(lambda channels: None)


@wrong("identity_conv", "all-ones")
def fills_with_ones(channels):
    conv = conv3x3(channels)
    nn.init.ones_(conv.weight)
    return conv


@wrong("identity_conv", "all-zeros")
def only_zeroes(channels):
    conv = conv3x3(channels)
    nn.init.zeros_(conv.weight)
    return conv


@wrong("identity_conv", "mixes-channels")
def centre_of_every_pair(channels):
    conv = only_zeroes(channels)
    conv.weight.data[:, :, 1, 1] = 1
    return conv


@wrong("identity_conv", "mixes-channels")
def reverses_the_channels(channels):
    conv = only_zeroes(channels)
    conv.weight.data[:, :, 1, 1] = torch.eye(channels).flip(0)
    return conv


@wrong("identity_conv", "mixes-channels")
def reads_channel_0(channels):
    conv = only_zeroes(channels)
    conv.weight.data[:, 0, 1, 1] = 1
    return conv


@wrong("identity_conv", "wrong-corner")
def counts_from_the_corner(channels):
    conv = only_zeroes(channels)
    conv.weight.data[:, :, 0, 0] = torch.eye(channels)
    return conv


@wrong("identity_conv", "whole-kernel")
def ones_in_its_own_kernel(channels):
    conv = only_zeroes(channels)
    conv.weight.data[range(channels), range(channels)] = 1
    return conv


@wrong("identity_conv", "whole-kernel")
def ninths_in_its_own_kernel(channels):
    conv = only_zeroes(channels)
    conv.weight.data[range(channels), range(channels)] = 1 / 9
    return conv


@wrong("identity_conv", "not-zeroed")
def leaves_the_rest(channels):
    conv = conv3x3(channels)
    with torch.no_grad():
        for c in range(channels):
            conv.weight[c, c, 1, 1] = 1
    return conv


@wrong("identity_conv", "wrong-centre")
def halves_in_the_centre(channels):
    conv = only_zeroes(channels)
    conv.weight.data[range(channels), range(channels), 1, 1] = 0.5
    return conv


@wrong("identity_conv", "wrong-centre")
def one_channel_only(channels):
    conv = only_zeroes(channels)
    conv.weight.data[0, 0, 1, 1] = 1
    return conv


@wrong("identity_conv", "has-bias")
def keeps_the_bias(channels):
    conv = nn.Conv2d(channels, channels, 3, padding=1)
    nn.init.dirac_(conv.weight)
    return conv


@wrong("identity_conv", "has-bias")
def zeroes_the_bias(channels):
    conv = keeps_the_bias(channels)
    nn.init.zeros_(conv.bias)
    return conv


@wrong("identity_conv", "no-padding")
def without_padding(channels):
    conv = conv3x3(channels, padding=0)
    nn.init.dirac_(conv.weight)
    return conv


@wrong("identity_conv", "wrong-kernel")
def one_by_one(channels):
    conv = nn.Conv2d(channels, channels, 1, bias=False)
    nn.init.dirac_(conv.weight)
    return conv


@wrong("identity_conv", "wrong-kernel")
def five_by_five(channels):
    conv = nn.Conv2d(channels, channels, 5, padding=2, bias=False)
    nn.init.dirac_(conv.weight)
    return conv


@wrong("identity_conv", "wrong-shape")
def with_a_stride(channels):
    conv = conv3x3(channels, stride=2)
    nn.init.dirac_(conv.weight)
    return conv


# zero_init(block)

right("zero_init")(lambda block: nn.init.zeros_(block.bn2.weight))
right("zero_init")(lambda block: block.zero_init_residual())
right("zero_init")(lambda block: block.bn2.weight.data.fill_(0))


@right("zero_init")
def under_no_grad(block):
    with torch.no_grad():
        block.bn2.weight *= 0
        block.bn2.bias.zero_()
    return block


@right("zero_init")
def last_norm_of_all(block):
    last = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)][-1]
    last.weight = nn.Parameter(torch.zeros(last.num_features))


@right("zero_init")
def by_name(block):
    for name, parameter in block.named_parameters():
        if name.startswith("bn2"):
            nn.init.constant_(parameter, 0)


@right("zero_init")
def another_block_with_it(block):
    other = copy.deepcopy(block)
    other.load_state_dict({**block.state_dict(), "bn2.weight": torch.zeros(block.out_channels)})
    return other


wrong("zero_init", "zero-first-gamma")(lambda block: nn.init.zeros_(block.bn1.weight))
wrong("zero_init", "zero-conv")(lambda block: nn.init.zeros_(block.conv2.weight))
wrong("zero_init", "zero-conv")(lambda block: nn.init.zeros_(block.conv1.weight))
wrong("zero_init", "zero-beta")(lambda block: nn.init.zeros_(block.bn2.bias))
wrong("zero_init", "ones-gamma")(lambda block: nn.init.constant_(block.bn2.weight, 0.1))
wrong("zero_init", "still-not-identity")(
    lambda block: (nn.init.zeros_(block.bn2.weight), nn.init.ones_(block.bn2.bias))
)
wrong("zero_init", "returns-nothing-useful")(lambda block: block.bn2.weight * 0)
wrong("zero_init", "returns-nothing-useful")(lambda block: block)
wrong("zero_init", "returns-nothing-useful")(lambda block: print(block.bn2.weight))
wrong("zero_init", "raises")(lambda block: nn.init.zeros_(block.bn2))
wrong("zero_init", "raises")(lambda block: setattr(block.bn2, "weight", torch.zeros(block.out_channels)))
wrong("zero_init", "removes-a-layer")(lambda block: setattr(block, "bn2", nn.Identity()))
wrong("zero_init", "removes-a-layer")(lambda block: setattr(block.bn2, "weight", None))


@wrong("zero_init", "zero-beta")
def zero_beta(block):
    with torch.no_grad():
        block.bn2.bias.zero_()


@wrong("zero_init", "zero-all")
def every_gamma(block):
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.zeros_(module.weight)


@wrong("zero_init", "zero-all")
def everything(block):
    for parameter in block.parameters():
        nn.init.zeros_(parameter)


@wrong("zero_init", "zero-all")
def the_whole_last_layer(block):
    nn.init.zeros_(block.conv2.weight)
    nn.init.zeros_(block.bn2.weight)
    nn.init.zeros_(block.bn1.weight)


@wrong("zero_init", "frozen")
def freezes_it(block):
    block.bn2.weight.requires_grad_(False)
    block.bn2.weight.zero_()


@wrong("zero_init", "frozen")
def as_a_buffer(block):
    del block.bn2.weight
    block.bn2.register_buffer("weight", torch.zeros(block.out_channels))
