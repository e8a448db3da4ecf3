"""Answers to `check_projection`."""

import torch
from torch import nn
from torch.nn import functional as F

import resnet_lib as rl
from answers.bank import right, wrong

right("projection")(rl.ProjectionShortcut)


@right("projection")
class NormBuiltFirst(nn.Module):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.norm = nn.BatchNorm2d(out_channels)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)

    def forward(self, x):
        return self.norm(self.conv(x))


@right("projection")
def torchvision_style(inplanes, planes, stride=1):
    downsample = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))
    return downsample


@right("projection")
class Functional(nn.Module):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.stride = stride
        self.matrix = nn.Parameter(torch.randn(out_channels, in_channels) / in_channels**0.5)
        self.gamma, self.beta = nn.Parameter(torch.ones(out_channels)), nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("mean", torch.zeros(out_channels))
        self.register_buffer("var", torch.ones(out_channels))

    def forward(self, x):
        x = torch.einsum("oi,nihw->nohw", self.matrix, x[:, :, :: self.stride, :: self.stride])
        return F.batch_norm(x, self.mean, self.var, self.gamma, self.beta, training=self.training)


@right("projection")
class LinearOnChannelsLast(nn.Module):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.s = stride

    def forward(self, x):
        return self.bn(self.linear(x[..., :: self.s, :: self.s].permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


@right("projection")
class MatrixFromTheRight(nn.Module):
    """The matrix is (in, out) here."""

    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.w, self.bn, self.s = (
            nn.Parameter(torch.randn(in_channels, out_channels)),
            nn.BatchNorm2d(out_channels),
            stride,
        )

    def forward(self, x):
        return self.bn((x[:, :, :: self.s, :: self.s].movedim(1, -1) @ self.w).movedim(-1, 1))


@right("projection")
class Lazy(nn.Sequential):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__(nn.LazyConv2d(out_channels, 1, stride, bias=False), nn.LazyBatchNorm2d())


class Learner(nn.Module):
    """What most of the wrong answers have right."""

    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.stride = stride

    def forward(self, x):
        return self.norm(self.conv(x))


@wrong("projection", "projection-3x3")
def three_by_three(in_channels, out_channels, stride):
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False), nn.BatchNorm2d(out_channels))


@wrong("projection", "projection-3x3")
def three_by_three_without_padding(i, o, s):
    return nn.Sequential(nn.Conv2d(i, o, 3, s, bias=False), nn.BatchNorm2d(o))


@wrong("projection", "projection-3x3, conv-bias")
def three_by_three_with_bias(i, o, s):
    return nn.Sequential(nn.Conv2d(i, o, 3, s, 1), nn.BatchNorm2d(o))


@wrong("projection", "relu-on-shortcut")
class ReluAtTheEnd(Learner):
    def forward(self, x):
        return F.relu(super().forward(x))


@wrong("projection", "wrong-eps")
def eps_of_tensorflow(i, o, s):
    return nn.Sequential(nn.Conv2d(i, o, 1, s, bias=False), nn.BatchNorm2d(o, eps=1e-3))


@wrong("projection", "wrong-momentum")
def momentum_of_keras(i, o, s):
    return nn.Sequential(nn.Conv2d(i, o, 1, s, bias=False), nn.BatchNorm2d(o, momentum=0.99))


@wrong("projection", "other-norm")
def instance_norm(i, o, s):
    return nn.Sequential(nn.Conv2d(i, o, 1, s, bias=False), nn.InstanceNorm2d(o, affine=True))


@wrong("projection", "dropout")
class WithDropout(Learner):
    def forward(self, x):
        return F.dropout(super().forward(x), 0.25, self.training)


@wrong("projection", "no-running-statistics")
def norm_without_statistics(i, o, s):
    return nn.Sequential(nn.Conv2d(i, o, 1, s, bias=False), nn.BatchNorm2d(o, track_running_stats=False))


@wrong("projection", "no-super-init")
class ForgetsSuper(nn.Module):
    def __init__(self, in_channels, out_channels, stride):
        self.conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)


@wrong("projection", "misspelt-method")
class MisspeltForward(Learner):
    forward = nn.Module.forward

    def foward(self, x):
        return self.norm(self.conv(x))


@wrong("projection", "returns-none")
class ForgetsReturn(Learner):
    def forward(self, x):
        self.norm(self.conv(x))


@wrong("projection", "no-gradient")
class Detaches(Learner):
    def forward(self, x):
        return self.norm(self.conv(x)).detach()


@wrong("projection", "gradient")
class DetachesItsInput(Learner):
    def forward(self, x):
        return self.norm(self.conv(x.detach()))


@wrong("projection", "unused-layer")
class KeepsAnOldLayer(Learner):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__(in_channels, out_channels, stride)
        self.old = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)


@wrong("projection", "layers-in-forward")
class BuildsLayersInForward(nn.Module):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.args = in_channels, out_channels, stride

    def forward(self, x):
        return rl.ProjectionShortcut(*self.args)(x)


@wrong("projection", "unused-lazy")
class KeepsALazyLayer(Learner):
    def __init__(self, in_channels, out_channels, stride):
        super().__init__(in_channels, out_channels, stride)
        self.old = nn.LazyConv2d(out_channels, 3)
