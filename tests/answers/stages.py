"""Answers to `check_basic_stage`, (in_channels, channels, blocks, stride), and to `check_strided_block`."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

import resnet_lib as rl
from answers.bank import right, wrong
from answers.basic_blocks import Torchvision


@right("basic_stage")
def of_the_library(in_channels, channels, blocks, stride):
    first = rl.BasicBlock(in_channels, channels, stride=stride)
    return nn.Sequential(first, *(rl.BasicBlock(channels, channels) for _ in range(blocks - 1)))


@right("basic_stage")
def in_a_loop(in_channels, channels, blocks, stride):
    layers = nn.Sequential()
    for n in range(blocks):
        layers.append(rl.BasicBlock(in_channels, channels, stride=stride if n == 0 else 1))
        in_channels = channels
    return layers


@right("basic_stage")
def torchvision(inplanes, planes, blocks, stride=1):
    """`_make_layer` of torchvision."""
    downsample = None
    if stride != 1 or inplanes != planes:
        downsample = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))
    layers = [Torchvision(inplanes, planes, stride, downsample)]
    for _ in range(1, blocks):
        layers.append(Torchvision(planes, planes))
    return nn.Sequential(*layers)


@right("basic_stage")
def named(in_channels, channels, blocks, stride):
    sizes = [(in_channels, stride), *[(channels, 1)] * (blocks - 1)]
    return nn.Sequential(
        OrderedDict((f"block{n}", rl.BasicBlock(i, channels, stride=s)) for n, (i, s) in enumerate(sizes))
    )


class Block(nn.Module):
    """A learner's own block, which projects where it must."""

    def __init__(self, in_channels, channels, stride=1):
        super().__init__()
        self.shortcut = self.projection(in_channels, channels, stride)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def projects(self, in_channels, channels, stride):
        return stride != 1 or in_channels != channels

    def projection(self, in_channels, channels, stride):
        if self.projects(in_channels, channels, stride):
            return nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
        return nn.Identity()

    def branch(self, x):
        return self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))

    def forward(self, x):
        return F.relu(self.shortcut(x) + self.branch(x))


def stage_of(block):
    """A stage of a learner's own blocks."""

    def basic_stage(in_channels, channels, blocks, stride):
        return nn.Sequential(
            block(in_channels, channels, stride), *[block(channels, channels) for _ in range(blocks - 1)]
        )

    return basic_stage


right("basic_stage")(stage_of(Block))


@right("basic_stage")
class Stage(nn.Module):
    """The blocks behind the first are made first, and there is no nn.Sequential."""

    def __init__(self, in_channels, channels, blocks, stride):
        super().__init__()
        self.rest = nn.ModuleList([Block(channels, channels) for _ in range(blocks - 1)])
        self.first = Block(in_channels, channels, stride)

    def forward(self, x):
        x = self.first(x)
        for block in self.rest:
            x = block(x)
        return x


# The stage


@wrong("basic_stage", "every-block-strides")
def every_block_strides(in_channels, channels, blocks, stride):
    return nn.Sequential(
        *(rl.BasicBlock(channels if n else in_channels, channels, stride=stride) for n in range(blocks))
    )


@wrong("basic_stage", "every-block-strides")
def every_block_of_their_own_strides(in_channels, channels, blocks, stride):
    rest = [Block(channels, channels, stride) for _ in range(blocks - 1)]
    return nn.Sequential(Block(in_channels, channels, stride), *rest)


@wrong("basic_stage", "last-block-strides")
def last_block_strides(in_channels, channels, blocks, stride):
    strides = [1] * (blocks - 1) + [stride]
    return nn.Sequential(
        *(rl.BasicBlock(channels if n else in_channels, channels, stride=s) for n, s in enumerate(strides))
    )


@wrong("basic_stage", "not-a-module")
def a_list(in_channels, channels, blocks, stride):
    return list(of_the_library(in_channels, channels, blocks, stride))


@wrong("basic_stage", "no-forward")
def a_module_list(in_channels, channels, blocks, stride):
    return nn.ModuleList(of_the_library(in_channels, channels, blocks, stride))


@wrong("basic_stage", "raises")
def forgets_the_star(in_channels, channels, blocks, stride):
    return nn.Sequential(list(of_the_library(in_channels, channels, blocks, stride)))


@wrong("basic_stage", "raises")
def stride_by_position(in_channels, channels, blocks, stride):
    return nn.Sequential(rl.BasicBlock(in_channels, channels, stride), *[rl.BasicBlock(channels, channels)])


@wrong("basic_stage", "raises")
def identity_in_the_first(in_channels, channels, blocks, stride):
    first = rl.BasicBlock(in_channels, channels, stride=stride, shortcut=rl.IdentityShortcut())
    return nn.Sequential(first, *(rl.BasicBlock(channels, channels) for _ in range(blocks - 1)))


# Blocks of a learner's own, judged by themselves


@wrong("strided_block", "projection-by-stride")
class ByStride(Block):
    def projects(self, in_channels, channels, stride):
        return stride != 1


@wrong("strided_block", "projection-by-channels")
class ByChannels(Block):
    def projects(self, in_channels, channels, stride):
        return in_channels != channels


@wrong("strided_block", "projection-no-norm")
class NoNormOnTheShortcut(Block):
    def projection(self, in_channels, channels, stride):
        if self.projects(in_channels, channels, stride):
            return nn.Conv2d(in_channels, channels, 1, stride, bias=False)
        return nn.Identity()


@wrong("strided_block", "projection-no-norm, projection-bias")
class BareProjection(Block):
    def projection(self, in_channels, channels, stride):
        if self.projects(in_channels, channels, stride):
            return nn.Conv2d(in_channels, channels, 1, stride)
        return nn.Identity()


@wrong("strided_block", "projection-no-norm, conv-bias")
class DiveIntoDeepLearning(Block):
    """As in d2l: every convolution keeps its bias."""

    def __init__(self, in_channels, channels, stride=1):
        super().__init__(in_channels, channels, stride)
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=3, padding=1, stride=stride)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def projection(self, in_channels, channels, stride):
        if self.projects(in_channels, channels, stride):
            return nn.Conv2d(in_channels, channels, 1, stride)
        return nn.Identity()


@wrong("strided_block", "projection-3x3")
class Projects3x3(Block):
    def projection(self, in_channels, channels, stride):
        if self.projects(in_channels, channels, stride):
            conv = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
            return nn.Sequential(conv, nn.BatchNorm2d(channels))
        return nn.Identity()


@wrong("strided_block", "no-relu-after")
class NoReluAfter(Block):
    def forward(self, x):
        return self.shortcut(x) + self.branch(x)


@wrong("strided_block", "relu-before-add, no-relu-after")
class ReluBeforeAdd(Block):
    def forward(self, x):
        return self.shortcut(x) + F.relu(self.branch(x))


@wrong("strided_block", "relu-before-add")
class ReluBeforeAndAfter(Block):
    def forward(self, x):
        return F.relu(self.shortcut(x) + F.relu(self.branch(x)))


@wrong("strided_block", "adds-itself")
class AddsItself(Block):
    def forward(self, x):
        x = self.branch(x)
        return F.relu(x + x)


@wrong("strided_block", "overwrites-x")
class OverwritesX(Block):
    def forward(self, x):
        x = self.branch(x)
        return F.relu(x + self.shortcut(x))


@wrong("strided_block", "stride-on-second")
class StridesLate(Block):
    def __init__(self, in_channels, channels, stride=1):
        super().__init__(in_channels, channels, stride)
        self.conv1.stride, self.conv2.stride = (1, 1), (stride, stride)


@wrong("strided_block", "conv-bias")
class KeepsBias(Block):
    def __init__(self, in_channels, channels, stride=1):
        super().__init__(in_channels, channels, stride)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)


@wrong("strided_block", "no-inner-relu")
class NoInnerRelu(Block):
    def branch(self, x):
        return self.bn2(self.conv2(self.bn1(self.conv1(x))))


@wrong("strided_block", "no-norm")
class NoNorm(Block):
    def branch(self, x):
        return self.conv2(F.relu(self.conv1(x)))

    def __init__(self, in_channels, channels, stride=1):
        super().__init__(in_channels, channels, stride)
        self.bn1 = self.bn2 = nn.Identity()


@wrong("strided_block", "concatenates")
class Concatenates(Block):
    def forward(self, x):
        return F.relu(torch.cat([self.shortcut(x), self.branch(x)], dim=1))
