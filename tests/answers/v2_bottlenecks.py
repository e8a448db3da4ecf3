"""Answers to `check_v2_bottleneck`: (in_channels, channels, stride=1, project=False), Keras's layout."""

import torch
from torch import nn
from torch.nn import functional as F

import resnet_lib as rl
from answers.bank import right, wrong


@right("v2_bottleneck")
class Keras(nn.Module):
    """Under Keras's names, in Keras's order."""

    def __init__(self, in_channels, filters, stride=1, conv_shortcut=False):
        super().__init__()
        self.preact_bn = nn.BatchNorm2d(in_channels)
        if conv_shortcut:
            self.conv_0 = nn.Conv2d(in_channels, 4 * filters, 1, stride)
        elif stride > 1:
            self.pool_0 = nn.MaxPool2d(1, stride)
        self.conv_1 = nn.Conv2d(in_channels, filters, 1, bias=False)
        self.bn_1 = nn.BatchNorm2d(filters)
        self.pad_2 = nn.ZeroPad2d(1)
        self.conv_2 = nn.Conv2d(filters, filters, 3, stride, bias=False)
        self.bn_2 = nn.BatchNorm2d(filters)
        self.conv_3 = nn.Conv2d(filters, 4 * filters, 1)
        self.relu = nn.ReLU()

    def forward(self, x):
        preact = self.relu(self.preact_bn(x))
        if hasattr(self, "conv_0"):
            shortcut = self.conv_0(preact)
        elif hasattr(self, "pool_0"):
            shortcut = self.pool_0(x)
        else:
            shortcut = x
        x = self.relu(self.bn_1(self.conv_1(preact)))
        x = self.relu(self.bn_2(self.conv_2(self.pad_2(x))))
        return shortcut + self.conv_3(x)


@right("v2_bottleneck")
class BranchFirst(nn.Module):
    def __init__(self, i, c, s=1, project=False):
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm2d(i), nn.ReLU())
        self.rest = nn.Sequential(
            nn.Conv2d(i, c, 1, bias=False), nn.BatchNorm2d(c), nn.ReLU(),
            nn.Conv2d(c, c, 3, s, 1, bias=False), nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, 4 * c, 1),
        )  # fmt: skip
        self.projection = nn.Conv2d(i, 4 * c, 1, s) if project else None
        self.s = s

    def forward(self, x):
        a = self.first(x)
        out = self.rest(a)
        out += x[:, :, :: self.s, :: self.s] if self.projection is None else self.projection(a)
        return out


@right("v2_bottleneck")
class Matrices(nn.Module):
    """The 1×1 convolutions as linear layers of channels-last images."""

    def __init__(self, i, c, s=1, project=False):
        super().__init__()
        self.linear = nn.ModuleDict({"last": nn.Linear(c, 4 * c), "first": nn.Linear(i, c, bias=False)})
        if project:
            self.linear["shortcut"] = nn.Linear(i, 4 * c)
        self.middle = nn.Conv2d(c, c, 3, s, 1, bias=False)
        self.norms = nn.ModuleList(map(nn.BatchNorm2d, (i, c, c)))
        self.s = s

    def apply_linear(self, name, x):
        return torch.einsum("nhwc->nchw", self.linear[name](torch.einsum("nchw->nhwc", x)))

    def forward(self, x):
        a = F.relu(self.norms[0](x))
        y = F.relu(self.norms[1](self.apply_linear("first", a)))
        y = F.relu(self.norms[2](self.middle(y)))
        skip = (self.apply_linear("shortcut", a) if "shortcut" in self.linear else x)[..., :: self.s, :]
        return self.apply_linear("last", y) + (skip[..., :: self.s])


@right("v2_bottleneck")
class FromTheLibrary(rl.PreActBottleneck):
    def __init__(self, i, c, stride=1, project=False):
        shortcut = rl.ZeroPadShortcut(i, 4 * c, stride) if not project else nn.Conv2d(i, 4 * c, 1, stride)
        super().__init__(i, c, stride=stride, shortcut=shortcut, conv_bias=True, activate_shortcut=project)


class Learner(nn.Module):
    """What most of the wrong answers have right."""

    biases = (False, False, True)  # of the three convolutions
    bias_of_projection = True
    strides = (0, 1, 0)

    def __init__(self, in_channels, channels, stride=1, project=False):
        super().__init__()
        i, c = in_channels, channels
        s1, s2, s3 = (stride if here else 1 for here in self.strides)
        self.norm1 = nn.BatchNorm2d(i)
        self.conv1 = nn.Conv2d(i, c, 1, s1, bias=self.biases[0])
        self.norm2 = nn.BatchNorm2d(c)
        self.conv2 = nn.Conv2d(c, c, 3, s2, 1, bias=self.biases[1])
        self.norm3 = nn.BatchNorm2d(c)
        self.conv3 = nn.Conv2d(c, 4 * c, 1, s3, bias=self.biases[2])
        self.project = nn.Conv2d(i, 4 * c, 1, stride, bias=self.bias_of_projection) if project else None
        self.stride = stride

    def branch(self, a):
        x = self.conv1(a)
        x = self.conv2(F.relu(self.norm2(x)))
        return self.conv3(F.relu(self.norm3(x)))

    def shortcut(self, x, a):
        return self.project(a) if self.project is not None else x[:, :, :: self.stride, :: self.stride]

    def forward(self, x):
        a = F.relu(self.norm1(x))
        return self.branch(a) + self.shortcut(x, a)


@wrong("v2_bottleneck", "projects-raw-input")
class ProjectsRawInput(Learner):
    def shortcut(self, x, a):
        return super().shortcut(x, x)


@wrong("v2_bottleneck", "shortcut-after-activation")
class ShortcutAfterActivation(Learner):
    def shortcut(self, x, a):
        return super().shortcut(a, a)


@wrong("v2_bottleneck", "projection-has-norm")
class NormBehindTheProjection(Learner):
    def __init__(self, in_channels, channels, stride=1, project=False):
        super().__init__(in_channels, channels, stride, project)
        if project:
            self.project = nn.Sequential(self.project, nn.BatchNorm2d(4 * channels))


@wrong("v2_bottleneck", "wrong-eps")
class AnotherEps(Learner):
    def __init__(self, in_channels, channels, stride=1, project=False):
        super().__init__(in_channels, channels, stride, project)
        self.norm1.eps = self.norm2.eps = self.norm3.eps = 1e-3
