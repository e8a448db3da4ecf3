"""Answers to `check_plain_net`: (depth), width 8, one input channel, ten classes."""

from torch import nn
from torch.nn import functional as F

import resnet_lib as rl
from answers.bank import right, wrong
from answers.plain_blocks import Learner as Block
from answers.plain_blocks import Unfolded, sequence

right("plain_net")(lambda depth, **options: rl.cifar_plain(depth, width=8, in_channels=1, **options))


@right("plain_net")
class PlainNet(nn.Module):
    """Three stages of blocks. The wrong answers change a line of it."""

    block = Block
    strides = (1, 2, 2)
    widths = (8, 16, 32)

    def __init__(self, depth, in_channels=1, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        channels, blocks = 8, []
        for width, stride in zip(self.widths, self.strides, strict=True):
            for n in range(self.blocks_per_stage(depth)):
                blocks.append(self.block(channels, width, stride if n == 0 else 1))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(channels, num_classes)

    def blocks_per_stage(self, depth):
        return (depth - 2) // 6

    def stem(self, x):
        return F.relu(self.norm(self.conv(x)))

    def head(self, x):
        return self.classifier(x.mean((2, 3)))

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)))


@right("plain_net")
def convolution_by_convolution(depth):
    """No blocks: a VGG-style list of layers."""
    layers, channels = [], 1
    for stage, width in enumerate([8, 16, 32]):
        for n in range((depth - 2) // 3 + (stage == 0)):
            stride = 2 if stage and n == 0 else 1
            layers += [nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


@wrong("plain_net", "batch-axis-lost")
class HeadBuiltFirst(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.fc = nn.Linear(32, 10)
        n = (depth - 2) // 6
        make = lambda i, c, s: nn.Sequential(Unfolded(i, c, s), *(sequence(c, c) for _ in range(n - 1)))  # noqa: E731
        self.stage3, self.stage2, self.stage1 = make(16, 32, 2), make(8, 16, 2), make(8, 8, 1)
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())

    def forward(self, x):
        x = self.stage3(self.stage2(self.stage1(self.stem(x))))
        return self.fc(F.avg_pool2d(x, x.shape[2:]).squeeze())


@wrong("plain_net", "one-block-more")
class OneMore(PlainNet):
    def blocks_per_stage(self, depth):
        return depth // 6 + 1


@wrong("plain_net", "one-block-less")
class OneLess(PlainNet):
    def blocks_per_stage(self, depth):
        return max(1, (depth - 2) // 6 - 1)


@wrong("plain_net", "convolutions-for-blocks")
class ConvolutionsForBlocks(PlainNet):
    def blocks_per_stage(self, depth):
        return (depth - 2) // 3


@wrong("plain_net", "stem-of-imagenet")
class StemOfImageNet(PlainNet):
    def __init__(self, depth):
        super().__init__(depth)
        self.conv = nn.Conv2d(1, 8, 7, 2, 3, bias=False)

    def stem(self, x):
        return F.max_pool2d(super().stem(x), 3, 2, 1)
