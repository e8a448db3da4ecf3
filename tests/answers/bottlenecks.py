"""Answers to `check_bottleneck`: (in_channels, intermediate_channels, identity_downsample=None, stride=1), and, with
the stride elsewhere, to `check_stride_position`."""

import torch
from torch import nn
from torch.nn import functional as F

import resnet_lib as rl
from answers.bank import right, wrong


@right("bottleneck")
class ArticleBlock(nn.Module):
    """The article's own class."""

    def __init__(self, in_channels, intermediate_channels, identity_downsample=None, stride=1):
        super().__init__()
        self.expansion = 4
        self.conv1 = nn.Conv2d(in_channels, intermediate_channels, kernel_size=1, stride=1, padding=0, bias=False)
        self.bn1 = nn.BatchNorm2d(intermediate_channels)
        self.conv2 = nn.Conv2d(
            intermediate_channels, intermediate_channels, kernel_size=3, stride=stride, padding=1, bias=False
        )
        self.bn2 = nn.BatchNorm2d(intermediate_channels)
        self.conv3 = nn.Conv2d(
            intermediate_channels,
            intermediate_channels * self.expansion,
            kernel_size=1,
            stride=1,
            padding=0,
            bias=False,
        )
        self.bn3 = nn.BatchNorm2d(intermediate_channels * self.expansion)
        self.relu = nn.ReLU()
        self.identity_downsample = identity_downsample
        self.stride = stride

    def forward(self, x):
        identity = x.clone()
        x = self.conv1(x)
        x = self.bn1(x)
        x = self.relu(x)
        x = self.conv2(x)
        x = self.bn2(x)
        x = self.relu(x)
        x = self.conv3(x)
        x = self.bn3(x)
        if self.identity_downsample is not None:
            identity = self.identity_downsample(identity)
        x += identity
        x = self.relu(x)
        return x


@right("bottleneck")
class ShortcutFirst(nn.Module):
    """The last layers are built first, and the shortcut is computed first."""

    def __init__(self, cin, width, shortcut=None, s=1):
        super().__init__()
        self.up = nn.Sequential(nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width))
        self.mid = nn.Sequential(nn.Conv2d(width, width, 3, s, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.down = nn.Sequential(nn.Conv2d(cin, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.shortcut = shortcut if shortcut is not None else nn.Identity()

    def forward(self, x):
        skip = self.shortcut(x)
        return F.relu(skip + self.up(self.mid(self.down(x))))


@right("bottleneck")
class Matrices(nn.Module):
    """The 1×1 convolutions as matrices, one from the left and one from the right."""

    def __init__(self, i, c, identity_downsample=None, stride=1):
        super().__init__()
        self.shortcut = identity_downsample
        self.reduce = nn.Parameter(torch.randn(c, i))
        self.expand = nn.Parameter(torch.randn(c, 4 * c))
        self.conv = nn.Conv2d(c, c, 3, stride, 1, bias=False)
        self.norm1, self.norm2, self.norm3 = nn.BatchNorm2d(c), nn.BatchNorm2d(c), nn.BatchNorm2d(4 * c)

    def forward(self, x):
        out = F.relu(self.norm1(torch.einsum("ci,nihw->nchw", self.reduce, x)))
        out = F.relu(self.norm2(self.conv(out)))
        out = self.norm3(torch.einsum("ce,nchw->nehw", self.expand, out))
        return F.relu(out + (x if self.shortcut is None else self.shortcut(x)))


@right("bottleneck")
class FromTheLibrary(rl.Bottleneck):
    def __init__(self, in_channels, channels, identity_downsample=None, stride=1):
        super().__init__(in_channels, channels, stride=stride, shortcut=identity_downsample or rl.IdentityShortcut())


@right("bottleneck")
class Transformers(nn.Module):
    def __init__(self, in_channels, reduced_channels, shortcut=None, stride=1):
        super().__init__()
        self.layer = nn.Sequential()
        self.conv_layer(in_channels, reduced_channels, 1)
        self.conv_layer(reduced_channels, reduced_channels, 3, stride)
        self.conv_layer(reduced_channels, 4 * reduced_channels, 1)
        self.layer.pop(-1)
        self.add_module("shortcut", shortcut or nn.Identity())

    def conv_layer(self, i, o, kernel, stride=1):
        conv = nn.Conv2d(i, o, kernel, stride, kernel // 2, bias=False)
        self.layer.extend([conv, nn.BatchNorm2d(o), nn.ReLU()])

    def forward(self, hidden_state):
        residual = hidden_state
        hidden_state = self.layer(hidden_state)
        residual = self.shortcut(residual)
        hidden_state += residual
        return nn.functional.relu(hidden_state)


class Learner(nn.Module):
    """What most of the wrong answers have right; the strides of the three convolutions can be said."""

    strides = (0, 1, 0)  # 1 where the stride goes

    def __init__(self, in_channels, intermediate_channels, identity_downsample=None, stride=1):
        super().__init__()
        c = intermediate_channels
        first, second, third = (stride if here else 1 for here in self.strides)
        self.conv1 = nn.Conv2d(in_channels, c, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(c)
        self.conv2 = nn.Conv2d(c, c, 3, second, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c)
        self.conv3 = nn.Conv2d(c, 4 * c, 1, third, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * c)
        self.identity_downsample = identity_downsample
        self.relu = nn.ReLU()

    def shortcut(self, x):
        return x if self.identity_downsample is None else self.identity_downsample(x)

    def branch(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))

    def forward(self, x):
        return self.relu(self.branch(x) + self.shortcut(x))


class BothInnerForgotten(Learner):
    def branch(self, x):
        return self.bn3(self.conv3(self.bn2(self.conv2(self.bn1(self.conv1(x))))))


@wrong("bottleneck", "no-inner-relu, no-relu-after")
class AllForgotten(BothInnerForgotten):
    def forward(self, x):
        return self.branch(x) + self.shortcut(x)


@wrong("bottleneck", "in-place")
class AddsIntoX(Learner):
    def forward(self, x):
        branch = self.branch(x)
        x *= 1
        return self.relu(branch + self.shortcut(x))


@wrong("bottleneck", "gradient")
class DetachedClone(Learner):
    def shortcut(self, x):
        return super().shortcut(x.clone().detach())


@wrong("bottleneck", "raises")
class CallsNone(Learner):
    def shortcut(self, x):
        return self.identity_downsample(x)


@wrong("bottleneck", "raises")
class MissingAttribute(Learner):
    def forward(self, x):
        return self.relu(self.branch(x) + self.downsample(x))
