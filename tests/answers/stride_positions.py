"""Answers to `check_stride_position` that are functions of a net; the classes are in bottlenecks.py."""

import copy

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


@right("stride_position")
def builds_another(net):
    v1 = rl.models.resnet.build(net.config, stride_on="1x1")
    v1.load_state_dict(net.state_dict())
    return v1


@right("stride_position")
def with_new_layers(net):
    net = copy.deepcopy(net)
    for block in net.blocks().values():
        for name, stride in (("conv1", block.stride), ("conv2", 1)):
            old = block.get_submodule(name)
            new = nn.Conv2d(old.in_channels, old.out_channels, old.kernel_size, stride, old.padding, bias=False)
            new.weight = old.weight
            setattr(block, name, new)
    return net


wrong("stride_position", "stride-on-3x3")(lambda net: net)
wrong("stride_position", "stride-on-3x3")(lambda net: None)
wrong("stride_position", "not-a-module")(lambda net: net.state_dict())
wrong("stride_position", "not-a-module")(lambda net: "1x1")
wrong("stride_position", "raises")(lambda net: net.stride_on("1x1"))


@wrong("stride_position", "stride-on-both")
def adds_a_stride(net):
    for block in net.blocks().values():
        block.conv1.stride = (block.stride, block.stride)


@wrong("stride_position", "no-stride")
def takes_the_stride_away(net):
    for block in net.blocks().values():
        block.conv2.stride = (1, 1)


@wrong("stride_position", "stride-on-last")
def moves_it_to_the_end(net):
    for block in net.blocks().values():
        block.conv3.stride, block.conv2.stride = block.conv2.stride, (1, 1)


@wrong("stride_position", "strides-everywhere")
def forgets_the_if(net):
    for block in net.blocks().values():
        block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)


@wrong("stride_position", "one-block-only")
def first_stage_with_a_stride_only(net):
    block = net.layer2[0]
    block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride


@wrong("stride_position", "other-weights")
def another_net_with_other_weights(net):
    return rl.models.resnet.build(net.config, stride_on="1x1")


@wrong("stride_position", "stride-on-3x3")
def sets_an_attribute(net):
    for block in net.blocks().values():
        block.stride_on = "1x1"


@wrong("stride_position", "not-a-module")
def runs_the_net(net):
    return net(torch.randn(1, 3, 20, 20))


@wrong("stride_position", "no-stride")
def takes_every_stride_away(net):
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
