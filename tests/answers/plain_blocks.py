"""Answers to `check_plain_block`: (in_channels, channels, stride=1)."""

import torch
from torch import nn
from torch.nn import functional as F

import resnet_lib as rl
from answers.bank import right, wrong


@right("plain_block")
class Torchvision(nn.Module):
    def __init__(self, inplanes, planes, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)))


class ConvLayer(nn.Module):
    """As in transformers: convolution, normalization, activation."""

    def __init__(self, in_channels, out_channels, stride=1, activation="relu"):
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, out_channels, 3, stride, padding=3 // 2, bias=False)
        self.normalization = nn.BatchNorm2d(out_channels)
        self.activation = nn.ReLU() if activation == "relu" else nn.Identity()

    def forward(self, hidden_state):
        return self.activation(self.normalization(self.convolution(hidden_state)))


@right("plain_block")
class Transformers(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.layer = nn.Sequential(ConvLayer(in_channels, out_channels, stride), ConvLayer(out_channels, out_channels))

    def forward(self, hidden_state):
        return self.layer(hidden_state)


@right("plain_block")
def a_function(in_channels, channels, stride=1):
    layers = []
    for i, s in ((in_channels, stride), (channels, 1)):
        layers += [nn.Conv2d(i, channels, 3, s, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
    return nn.Sequential(*layers)


@right("plain_block")
class Functional(nn.Module):
    """No layer at all: parameters, buffers and functions."""

    def __init__(self, i, c, stride=1):
        super().__init__()
        self.stride = stride
        self.norms = nn.ParameterList(
            nn.Parameter(v) for v in (torch.zeros(c), torch.ones(c), torch.zeros(c), torch.ones(c))
        )
        self.w2 = nn.Parameter(torch.randn(c, c, 3, 3))
        self.w1 = nn.Parameter(torch.randn(c, i, 3, 3))
        for name, value in (("m1", 0.0), ("v1", 1.0), ("m2", 0.0), ("v2", 1.0)):
            self.register_buffer(name, torch.full((c,), value))

    def forward(self, x):
        b1, g1, b2, g2 = self.norms
        x = F.conv2d(x, self.w1, stride=self.stride, padding=1)
        x = F.batch_norm(x, self.m1, self.v1, g1, b1, self.training, 0.1).clamp_min(0)
        x = F.batch_norm(F.conv2d(x, self.w2, padding=1), self.m2, self.v2, g2, b2, self.training, 0.1)
        return torch.maximum(x, torch.zeros(()))


@right("plain_block")
class Unfolded(nn.Module):
    """The convolutions as products of matrices."""

    def __init__(self, i, c, stride=1):
        super().__init__()
        self.first, self.second = nn.Parameter(torch.randn(c, 9 * i)), nn.Parameter(torch.randn(c, 9 * c))
        self.norm1, self.norm2 = nn.BatchNorm2d(c), nn.BatchNorm2d(c)
        self.stride = stride

    def conv(self, x, matrix, stride):
        size = [(n - 1) // stride + 1 for n in x.shape[2:]]
        return (matrix @ F.unfold(x, 3, padding=1, stride=stride)).unflatten(-1, size)

    def forward(self, x):
        x = F.relu(self.norm1(self.conv(x, self.first, self.stride)))
        return F.relu(self.norm2(self.conv(x, self.second, 1)))


@right("plain_block")
class FromTheLibrary(rl.BasicBlock):
    def __init__(self, in_channels, channels, stride=1):
        super().__init__(in_channels, channels, stride=stride, shortcut=None)


class Learner(nn.Module):
    """What most of the wrong answers have right."""

    def __init__(self, in_channels, channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))


def sequence(
    i, c, stride=1, *, strides=None, kernel=3, padding=1, bias=False, act=nn.ReLU, norm=nn.BatchNorm2d, last=True
):
    """The same as an nn.Sequential, with something to change."""
    first, second = strides or (stride, 1)
    layers = [nn.Conv2d(i, c, kernel, first, padding, bias=bias), norm(c), act()]
    layers += [nn.Conv2d(c, c, kernel, second, padding, bias=bias), norm(c)]
    return nn.Sequential(*layers, *([act()] if last else []))


@wrong("plain_block", "has-shortcut")
class AddsX(Learner):
    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if out.shape == x.shape:
            out = out + x
        return self.relu(out)


@wrong("plain_block", "no-inner-relu")
class NoInnerRelu(Learner):
    def forward(self, x):
        x = self.bn1(self.conv1(x))
        return self.relu(self.bn2(self.conv2(x)))


@wrong("plain_block", "no-inner-relu, no-last-relu")
class NoReluAtAll(Learner):
    def forward(self, x):
        return self.bn2(self.conv2(self.bn1(self.conv1(x))))


@wrong("plain_block", "relu-before-norm")
class ReluBeforeNorm(Learner):
    def forward(self, x):
        x = self.bn1(self.relu(self.conv1(x)))
        return self.bn2(self.relu(self.conv2(x)))


class ForgetsFirstNorm(nn.Module):
    def __init__(self, in_channels, channels, stride=1):
        super().__init__()
        self.conv_a = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.conv_b = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        return F.relu(self.norm(self.conv_b(F.relu(self.conv_a(x)))))


@wrong("plain_block", "dropout")
class WithDropout(Learner):
    def forward(self, x):
        x = F.dropout(self.relu(self.bn1(self.conv1(x))), 0.2, self.training)
        return self.relu(self.bn2(self.conv2(x)))


@wrong("plain_block", "plain-list")
class PlainList(nn.Module):
    def __init__(self, in_channels, channels, stride=1):
        super().__init__()
        self.layers = list(sequence(in_channels, channels, stride))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


@wrong("plain_block", "changes-input")
class ReluInPlaceOnX(Learner):
    def forward(self, x):
        return super().forward(x.relu_())


@wrong("plain_block", "unused-layer")
class KeepsAProjection(Learner):
    def __init__(self, in_channels, channels, stride=1):
        super().__init__(in_channels, channels, stride)
        self.shortcut = nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))


@wrong("plain_block", "no-running-statistics")
class AlwaysInTrainMode(Learner):
    def forward(self, x):
        x = F.batch_norm(self.conv1(x), None, None, self.bn1.weight, self.bn1.bias, training=True)
        return self.relu(self.bn2(self.conv2(self.relu(x))))


@wrong("plain_block", "raises")
class ForgetsSelf(Learner):
    def forward(self, x):
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(conv1(x))))))  # noqa: F821
