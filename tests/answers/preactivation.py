"""Answers to `check_preact_block`: (in_channels, channels), an unchanged shape."""

import torch
from torch import nn
from torch.nn import functional as F

import resnet_lib as rl
from answers.bank import right, wrong

right("preact_block")(rl.PreActBasicBlock)


@right("preact_block")
class Kuangliu(nn.Module):
    """The usual class, with a shortcut that is there when needed."""

    def __init__(self, in_planes, planes, stride=1):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_planes)
        self.conv1 = nn.Conv2d(in_planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, stride=1, padding=1, bias=False)
        if stride != 1 or in_planes != planes:
            self.shortcut = nn.Conv2d(in_planes, planes, kernel_size=1, stride=stride, bias=False)

    def forward(self, x):
        out = F.relu(self.bn1(x))
        shortcut = self.shortcut(out) if hasattr(self, "shortcut") else x
        out = self.conv1(out)
        out = self.conv2(F.relu(self.bn2(out)))
        out += shortcut
        return out


@right("preact_block")
class InASequence(nn.Module):
    def __init__(self, in_channels, channels):
        super().__init__()
        layers = []
        for i in (in_channels, channels):
            layers += [nn.BatchNorm2d(i), nn.ReLU(), nn.Conv2d(i, channels, 3, padding=1, bias=False)]
        self.net = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.net(x)


@right("preact_block")
class Functional(nn.Module):
    def __init__(self, in_channels, channels):
        super().__init__()
        c = channels
        self.w = nn.Parameter(torch.randn(2, c, c, 3, 3)[0]), nn.Parameter(torch.randn(c, c, 3, 3))
        for n in (1, 0):  # the second layer is registered first
            self.register_parameter(f"w{n}", self.w[n])
            self.register_parameter(f"b{n}", nn.Parameter(torch.zeros(c)))
            self.register_parameter(f"g{n}", nn.Parameter(torch.ones(c)))
            self.register_buffer(f"m{n}", torch.zeros(c))
            self.register_buffer(f"v{n}", torch.ones(c))

    def layer(self, n, x):
        mean, var, gamma, beta = (getattr(self, f"{name}{n}") for name in "mvgb")
        x = F.batch_norm(x, mean, var, gamma, beta, self.training)
        return F.conv2d(F.relu(x, inplace=True), getattr(self, f"w{n}"), padding=1)

    def forward(self, x):
        return self.layer(1, self.layer(0, x)).add(x)


@right("preact_block")
class FromTheLibrary(rl.PreActBasicBlock):
    def forward(self, x):
        return torch.add(x, self.residual(self.bn1(x).clamp(min=0)))


class Learner(nn.Module):
    """What most of the wrong answers have right."""

    def __init__(self, in_channels, channels):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(in_channels), nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def branch(self, x):
        x = self.conv1(F.relu(self.norm1(x)))
        return self.conv2(F.relu(self.norm2(x)))

    def forward(self, x):
        return self.branch(x) + x


@wrong("preact_block", "relu-after-add")
class ReluAfterAdd(Learner):
    def forward(self, x):
        return F.relu(self.branch(x) + x)


@wrong("preact_block", "post-activation")
class V1Order(Learner):
    def forward(self, x):
        out = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(out)) + x)


@wrong("preact_block", "post-activation")
class V1OrderWithoutTheLastRelu(Learner):
    def branch(self, x):
        return self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))


@wrong("preact_block", "changes-input")
class ReluInPlaceOnX(Learner):
    def forward(self, x):
        out = self.norm1(F.relu(x, inplace=True))
        return self.conv2(F.relu(self.norm2(self.conv1(out)))) + x


class NoFirstActivation(nn.Module):
    def __init__(self, in_channels, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x):
        return self.conv2(F.relu(self.norm(self.conv1(x)))) + x


@wrong("preact_block", "no-first-activation, no-inner-activation")
class NoReluAtAll(Learner):
    def branch(self, x):
        return self.conv2(self.norm2(self.conv1(self.norm1(x))))


@wrong("preact_block", "layer-count")
class OneConvolution(nn.Module):
    def __init__(self, in_channels, channels):
        super().__init__()
        self.branch = nn.Sequential(
            nn.BatchNorm2d(in_channels), nn.ReLU(), nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        )

    def forward(self, x):
        return self.branch(x) + x


@wrong("preact_block", "dropout")
class DropoutAsInWideResNet(Learner):
    def branch(self, x):
        x = self.conv1(F.relu(self.norm1(x)))
        return self.conv2(F.dropout(F.relu(self.norm2(x)), 0.3, self.training))


class Projects(Learner):
    def __init__(self, in_channels, channels):
        super().__init__(in_channels, channels)
        self.shortcut = nn.Conv2d(in_channels, channels, 1, bias=False)

    def forward(self, x):
        return self.branch(x) + self.shortcut(x)


@wrong("preact_block", "no-running-statistics")
class NoRunningStatistics(Learner):
    def __init__(self, in_channels, channels):
        super().__init__(in_channels, channels)
        self.norm1, self.norm2 = (nn.BatchNorm2d(channels, track_running_stats=False) for _ in range(2))


@wrong("preact_block", "raises")
class ForgetsToCall(Learner):
    def forward(self, x):
        return self.branch + x
