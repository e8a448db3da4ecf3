"""Answers that set weights by hand: identity_conv, zero_init and make_identity."""

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


@wrong("identity_conv", "forbidden")
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


@wrong("identity_conv", "wrong-size")
def with_a_stride(channels):
    conv = centre_of_each(channels)
    conv.stride = (2, 2)
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


# make_identity(block)


@right("make_identity")
def layer_by_layer(block):
    with torch.no_grad():
        for conv, norm in ((block.conv1, block.bn1), (block.conv2, block.bn2)):
            conv.weight.copy_(nn.init.dirac_(torch.empty_like(conv.weight)))
            norm.weight.copy_(torch.sqrt(1 + torch.tensor(norm.eps)))
    return block


@right("make_identity")
def by_the_running_variance(block):
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.dirac_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.fill_(1 - module.eps)
    return block.eval()


@wrong("make_identity", "forgets-eps")
def gamma_is_one_already(block):
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.dirac_(module.weight)
    return block


@wrong("make_identity", "returns-none")
def changed_and_not_returned(block):
    gamma_is_one_already(block)


# A copy where the object itself should change


@wrong("make_identity", "changes-a-copy")
def identity_of_a_copy(block):
    block = copy.deepcopy(block)
    with torch.no_grad():
        for conv, norm in ((block.conv1, block.bn1), (block.conv2, block.bn2)):
            nn.init.dirac_(conv.weight)
            norm.weight.fill_((1 + norm.eps) ** 0.5)
    return block


@wrong("zero_init", "changes-a-copy")
def zeroes_a_copy(block):
    block = copy.deepcopy(block)
    nn.init.zeros_(block.bn2.weight)
    return block


@wrong("zero_init", "nothing-changed")
def zeroes_a_clone(block):
    nn.init.zeros_(block.bn2.weight.clone())
    return block


@wrong("start_as_identity", "changed-wrongly, wrong-factor")
def copies_half(net):
    for block in net.blocks().values():
        nn.init.dirac_(block.downsample[0].weight)
        block.downsample[0].weight.data *= 0.5
