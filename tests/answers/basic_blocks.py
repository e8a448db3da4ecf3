"""Answers to `check_basic_block`: (in_channels, channels), an unchanged shape."""

import torch
from torch import nn
from torch.nn import functional as F

import resnet_lib as rl
from answers.bank import right, wrong

right("basic_block")(rl.BasicBlock)
right("basic_block")(lambda i, c: rl.BasicBlock(i, c, shortcut="A"))


@right("basic_block")
class Torchvision(nn.Module):
    expansion = 1

    def __init__(self, inplanes, planes, stride=1, downsample=None):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


@right("basic_block")
class ArticleStyle(nn.Module):
    """The article overwrites x and keeps a clone."""

    def __init__(self, in_channels, channels):
        super().__init__()
        self.layers = nn.ModuleList()
        for _ in range(2):
            self.layers.append(nn.Conv2d(in_channels, channels, 3, padding=1, bias=False))
            self.layers.append(nn.BatchNorm2d(channels))
        self.act = nn.ReLU()

    def forward(self, x):
        identity = x.clone()
        conv1, bn1, conv2, bn2 = self.layers
        x = self.act(bn1(conv1(x)))
        x = bn2(conv2(x))
        x += identity
        return self.act(x)


@right("basic_block")
class Functional(nn.Module):
    def __init__(self, i, c):
        super().__init__()
        self.kernels = nn.ParameterDict({n: nn.Parameter(torch.randn(c, i, 3, 3) / 9) for n in "ba"})
        self.scale = nn.Parameter(torch.ones(2, c)[0]), nn.Parameter(torch.ones(c))
        for n, p in enumerate(self.scale):
            self.register_parameter(f"scale{n}", p)
            self.register_parameter(f"shift{n}", nn.Parameter(torch.zeros(c)))
            self.register_buffer(f"mean{n}", torch.zeros(c))
            self.register_buffer(f"var{n}", torch.ones(c))

    def norm(self, n, x):
        mean, var, scale, shift = (getattr(self, f"{name}{n}") for name in ("mean", "var", "scale", "shift"))
        return F.batch_norm(x, mean, var, scale, shift, self.training)

    def forward(self, x):
        out = self.norm(0, F.conv2d(x, self.kernels["a"], padding=1)).relu()
        out = self.norm(1, F.conv2d(out, self.kernels["b"], padding="same"))
        return torch.relu(torch.add(x, out))


@right("basic_block")
class NormByHand(nn.Module):
    """Batch norm as a formula, with running statistics."""

    class Norm(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.gamma, self.beta = nn.Parameter(torch.ones(1, c, 1, 1)), nn.Parameter(torch.zeros(1, c, 1, 1))
            self.register_buffer("mean", torch.zeros(1, c, 1, 1))
            self.register_buffer("var", torch.ones(1, c, 1, 1))

        def forward(self, x):
            mean, var = self.mean, self.var
            if self.training:
                var, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
                n = x.numel() / x.shape[1]
                with torch.no_grad():
                    self.mean.lerp_(mean, 0.1)
                    self.var.lerp_(var * n / (n - 1), 0.1)
            return self.gamma * (x - mean) / (var + 1e-5).sqrt() + self.beta

    def __init__(self, i, c):
        super().__init__()
        self.second, self.first = (nn.Conv2d(i, c, 3, padding=1, bias=False) for _ in range(2))
        self.norms = nn.Sequential(self.Norm(c), self.Norm(c))

    def forward(self, x):
        residual = self.norms[1](self.second(F.relu(self.norms[0](self.first(x)))))
        return F.relu(x + residual)


class Residual(nn.Module):
    """A wrapper around any branch."""

    def __init__(self, branch):
        super().__init__()
        self.branch = branch

    def forward(self, x):
        return self.branch(x) + x


@right("basic_block")
def wrapped(in_channels, channels):
    conv = lambda: nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)  # noqa: E731
    norm = lambda: nn.BatchNorm2d(channels)  # noqa: E731
    return nn.Sequential(Residual(nn.Sequential(conv(), norm(), nn.ReLU(), conv(), norm())), nn.ReLU())


@right("basic_block")
class FromTheLibrary(rl.BasicBlock):
    def forward(self, x):
        return self.add(x, self.residual(x)).clamp(min=0)


class Learner(nn.Module):
    """What most of the wrong answers have right."""

    def __init__(self, in_channels, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()

    def branch(self, x):
        return self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))

    def forward(self, x):
        return self.relu(self.branch(x) + x)


@wrong("basic_block", "relu-before-add, no-relu-after")
class ReluBeforeAdd(Learner):
    def forward(self, x):
        return x + self.relu(self.branch(x))


@wrong("basic_block", "relu-before-add")
class ReluBeforeAndAfter(Learner):
    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.relu(out + x)


@wrong("basic_block", "no-relu-after")
class NoReluAfter(Learner):
    def forward(self, x):
        return self.branch(x) + x


@wrong("basic_block", "dropout")
class DropoutLayerOnShortcut(Learner):
    def __init__(self, in_channels, channels):
        super().__init__(in_channels, channels)
        self.drop = nn.Dropout2d(0.25)

    def forward(self, x):
        return self.relu(self.branch(x) + self.drop(x))


@wrong("basic_block", "dropout")
class DropoutInTheBranch(Learner):
    def forward(self, x):
        return self.relu(self.bn2(self.conv2(F.dropout(self.relu(self.bn1(self.conv1(x))), 0.3, self.training))) + x)


@wrong("basic_block", "no-inner-relu, no-relu-after")
class NoReluAtAll(Learner):
    def forward(self, x):
        return self.bn2(self.conv2(self.bn1(self.conv1(x)))) + x


@wrong("basic_block", "changes-input")
class AddsIntoX(Learner):
    def forward(self, x):
        x += self.branch(x)
        return self.relu(x)


@wrong("basic_block", "changes-input")
class ReluInPlaceOnX(Learner):
    def forward(self, x):
        out = self.branch(x)
        return F.relu_(x.add_(out))


@wrong("basic_block", "in-place")
class ChangesWhatAutogradNeeds(Learner):
    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        residual = self.bn2(self.conv2(out))
        out += residual
        return self.relu(residual + x)


@wrong("basic_block", "gradient")
class DetachesTheShortcut(Learner):
    def forward(self, x):
        return self.relu(self.branch(x) + x.detach())


@wrong("basic_block", "gradient")
class DataOfTheShortcut(Learner):
    def forward(self, x):
        identity = x.data
        return self.relu(self.branch(x) + identity)


class ProjectsAlways(Learner):
    def __init__(self, in_channels, channels):
        super().__init__(in_channels, channels)
        self.shortcut = nn.Sequential(nn.Conv2d(in_channels, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        return self.relu(self.branch(x) + self.shortcut(x))


@wrong("basic_block", "shared-convolution, shared-norm")
class OneLayerTwice(nn.Module):
    def __init__(self, in_channels, channels):
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        return F.relu(self.layer(F.relu(self.layer(x))) + x)


@wrong("basic_block", "wrong-shape")
class StridesAnyway(Learner):
    def forward(self, x):
        return super().forward(x)[:, :, ::2, ::2]


@wrong("basic_block", "wrong-shape")
class Flattens(Learner):
    def forward(self, x):
        return super().forward(x).flatten(1)


@wrong("basic_block", "not-a-tensor")
class ReturnsBoth(Learner):
    def forward(self, x):
        return self.relu(self.branch(x) + x), x


@wrong("basic_block", "nan")
class RootOfTheResidual(Learner):
    def forward(self, x):
        return self.relu(self.branch(x).sqrt() + x)


@wrong("basic_block", "unsteady")
class AddsNoise(Learner):
    def forward(self, x):
        return self.relu(self.branch(x) + x + 0.1 * torch.randn_like(x))


@wrong("basic_block", "raises-later")
class UsesUpItsLayers(nn.Module):
    def __init__(self, in_channels, channels):
        super().__init__()
        conv = lambda: nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)  # noqa: E731
        self.layers = nn.ModuleList([conv(), nn.BatchNorm2d(channels), nn.ReLU(), conv(), nn.BatchNorm2d(channels)])

    def forward(self, x):
        out = self.layers.pop(0)(x)
        while len(self.layers):
            out = self.layers.pop(0)(out)
        return F.relu(out + x)


# The project's block: where x is taken, and where it is added


class Ours(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)


@right("project_block")
class KeepsX(Ours):
    def forward(self, x):
        out = self.bn1(self.conv1(x)).relu_()
        out = self.bn2(self.conv2(out))
        out += x
        return F.relu(out)


@wrong("project_block", "norm-after-add")
class AddsBeforeTheNorm(Ours):
    def forward(self, x):
        out = self.conv2(F.relu(self.bn1(self.conv1(x))))
        return F.relu(self.bn2(out + x))


@wrong("project_block", "adds-before-norm")
class TakesXBeforeTheNorm(Ours):
    def forward(self, x):
        x = self.conv2(F.relu(self.bn1(self.conv1(x))))
        return F.relu(self.bn2(x) + x)


@wrong("project_block", "adds-middle, norm-after-add")
class BothOfThem(Ours):
    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x) + x))


@wrong("project_block", "adds-too-early")
class AddsAfterTheFirst(Ours):
    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)) + x)
        return F.relu(self.bn2(self.conv2(out)))


@wrong("project_block", "first-half-lost")
class ForgetsTheFirst(Ours):
    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(x))
        return F.relu(out + x)
