"""Answers to `check_stride_position` that are functions of a net; the classes are in bottlenecks.py."""

import torch
from torch import nn

import resnet_lib as rl
from answers.bank import right, wrong


@right("stride_position")
def moves_the_stride(model):
    for block in model.modules():
        if isinstance(block, rl.Bottleneck):
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride


@right("stride_position")
def by_name(net):
    for name, module in net.named_modules():
        if name.endswith("conv2") and module.stride == (2, 2):
            module.stride = (1, 1)
            net.get_submodule(name.replace("conv2", "conv1")).stride = (2, 2)
    return net


@wrong("stride_position", "changes-a-copy")
def builds_another(net):
    v1 = rl.models.resnet.build(net.config, stride_on="1x1")
    v1.load_state_dict(net.state_dict())
    return v1


@right("stride_position")
def with_new_layers(net):
    for block in net.blocks().values():
        for name, stride in (("conv1", block.stride), ("conv2", 1)):
            old = block.get_submodule(name)
            new = nn.Conv2d(old.in_channels, old.out_channels, old.kernel_size, stride, old.padding, bias=False)
            new.weight = old.weight
            setattr(block, name, new)


@wrong("stride_position", "nothing-changed")
def runs_the_net(net):
    return net(torch.randn(1, 3, 20, 20))
