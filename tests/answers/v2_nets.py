"""Answers to `check_preact_net`: (depth)."""

import torch
from torch import nn
from torch.nn import functional as F

import resnet_lib as rl
from answers.bank import right, wrong
from answers.preactivation import Kuangliu

right("preact_net")(lambda depth: rl.cifar_resnet(depth, preact=True, in_channels=1, width=8))


@right("preact_net")
class PreActNet(nn.Module):
    """Three stages of the library's blocks. The wrong answers change a line of it."""

    widths = (8, 16, 32)
    strides = (1, 2, 2)
    shortcut = "A"

    def __init__(self, depth):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        channels, blocks = 8, []
        for width, stride in zip(self.widths, self.strides, strict=True):
            for n in range(self.blocks_per_stage(depth)):
                blocks.append(self.block(channels, width, 1 if n else stride))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.activate_first()
        self.norm = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels, 10)

    def blocks_per_stage(self, depth):
        return (depth - 2) // 6

    def block(self, in_channels, channels, stride):
        return rl.PreActBasicBlock(in_channels, channels, stride=stride, shortcut=self.shortcut)

    def activate_first(self):
        self.blocks[0].activate_shortcut = True

    def stem(self, x):
        return self.conv(x)

    def head(self, x):
        return self.fc(F.relu(self.norm(x)).mean((2, 3)))

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)))


@right("preact_net")
class AsASequence(nn.Sequential):
    """The head is built first."""

    def __init__(self, depth):
        head = [nn.Linear(32, 10), nn.Flatten(), nn.AdaptiveAvgPool2d(1), nn.ReLU(), nn.BatchNorm2d(32)]
        blocks = []
        for n in range(3 * ((depth - 2) // 6)):
            stage, place = divmod(n, (depth - 2) // 6)
            i, o = (8 * 2**stage // (2 if stage and place == 0 else 1), 8 * 2**stage)
            first = True if n == 0 else None
            blocks.append(rl.PreActBasicBlock(i, o, stride=o // i, shortcut="A", activate_shortcut=first))
        super().__init__(nn.Conv2d(1, 8, 3, 1, 1, bias=False), *blocks, *reversed(head))


@right("preact_net")
class EveryStageActivated(PreActNet):
    """A block that changes the channels activates its shortcut anyway."""

    def activate_first(self):
        for block in self.blocks[:: len(self.blocks) // 3]:
            block.activate_shortcut = True


class SkipsItsActivation(Kuangliu):
    """The first block of a net whose stem is activated already."""

    def __init__(self, planes):
        super().__init__(planes, planes)
        del self.bn1

    def forward(self, x):
        return x + self.conv2(F.relu(self.bn2(self.conv1(x))))


class Padded(Kuangliu):
    """Kuangliu's block with zeros in the place of its projection."""

    def __init__(self, in_planes, planes, stride=1):
        super().__init__(in_planes, planes, stride)
        if hasattr(self, "shortcut"):
            pool = nn.AvgPool2d(1, stride)
            self.shortcut = nn.Sequential(pool, nn.ConstantPad3d((0, 0, 0, 0, 0, planes - in_planes), 0))


@right("preact_net")
class AsInTheAppendix(nn.Module):
    """The stem ends in norm and ReLU, and the first block begins with its convolution: the same net."""

    def __init__(self, depth):
        super().__init__()
        n = (depth - 2) // 6
        self.conv1 = nn.Conv2d(1, 8, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.ModuleList([SkipsItsActivation(8), *[Padded(8, 8) for _ in range(n - 1)]])
        self.layer2 = nn.ModuleList([Padded(8, 16, 2), *[Padded(16, 16) for _ in range(n - 1)]])
        self.layer3 = nn.ModuleList([Padded(16, 32, 2), *[Padded(32, 32) for _ in range(n - 1)]])
        self.last_bn, self.linear = nn.BatchNorm2d(32), nn.Linear(32, 10)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        for layer in (self.layer1, self.layer2, self.layer3):
            for block in layer:
                x = block(x)
        x = F.adaptive_avg_pool2d(self.last_bn(x).clamp(min=0), 1)
        return self.linear(x.view(x.size(0), -1))


@wrong("preact_net", "strides")
class StemOfImageNet(PreActNet):
    def __init__(self, depth):
        super().__init__(depth)
        self.conv = nn.Conv2d(1, 8, 7, stride=2, padding=3, bias=False)

    def stem(self, x):
        return F.max_pool2d(F.pad(self.conv(x), (1, 1, 1, 1)), 3, 2)


@wrong("preact_net", "plain-list")
class PlainList(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.layers = [PreActNet(depth)]

    def forward(self, x):
        return self.layers[0](x)
