"""What lessons 06, 07 and 10 go on with until a learner's own answer is right; their checks compare with it.

`block` and `ResNet` are the two classes of the article that the course started from, under its names, put right.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pad, relu

from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.models.resnet import ResNet as LibraryResNet

# Lesson 06


class block(nn.Module):  # noqa: N801: the article's name
    """The bottleneck of V1.5: (N, in_channels, H, W) -> (N, 4 * intermediate_channels, H / stride, W / stride)."""

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        intermediate_channels: int,
        identity_downsample: nn.Module | None = None,
        stride: int = 1,
    ):
        super().__init__()
        out_channels = intermediate_channels * self.expansion
        self.conv1 = nn.Conv2d(in_channels, intermediate_channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(intermediate_channels)
        self.conv2 = nn.Conv2d(intermediate_channels, intermediate_channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(intermediate_channels)
        self.conv3 = nn.Conv2d(intermediate_channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.identity_downsample = identity_downsample

    def forward(self, x: Tensor) -> Tensor:
        residual = relu(self.bn1(self.conv1(x)))
        residual = relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        identity = x if self.identity_downsample is None else self.identity_downsample(x)
        return relu(residual + identity)


class ResNet(nn.Module):
    """(N, image_channels, H, W) -> logits (N, num_classes). `layers` is the number of blocks of each stage."""

    def __init__(self, block: Any, layers: Sequence[int], image_channels: int, num_classes: int):
        super().__init__()
        self.in_channels = 64  # what the next block will receive
        self.conv1 = nn.Conv2d(image_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, layers[0], 64, stride=1)
        self.layer2 = self._make_layer(block, layers[1], 128, stride=2)
        self.layer3 = self._make_layer(block, layers[2], 256, stride=2)
        self.layer4 = self._make_layer(block, layers[3], 512, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)

    def _make_layer(
        self, block: Any, num_residual_blocks: int, intermediate_channels: int, stride: int
    ) -> nn.Sequential:
        """One stage. Its first block strides, and is projected where the stride or the channels change."""
        out_channels = intermediate_channels * block.expansion
        identity_downsample = None
        if stride != 1 or self.in_channels != out_channels:
            conv = nn.Conv2d(self.in_channels, out_channels, 1, stride, bias=False)
            identity_downsample = nn.Sequential(conv, nn.BatchNorm2d(out_channels))
        layers = [block(self.in_channels, intermediate_channels, identity_downsample, stride)]
        self.in_channels = out_channels
        layers += [block(out_channels, intermediate_channels) for _ in range(num_residual_blocks - 1)]
        return nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def ResNet152(img_channel: int = 3, num_classes: int = 1000) -> ResNet:  # noqa: N802: the article's name
    """Stages of 3, 8, 36 and 3 blocks (He et al. 2015, table 1)."""
    return ResNet(block, [3, 8, 36, 3], img_channel, num_classes)


def macs_per_pixel(convolutions: Iterable[tuple[int, int, int]]) -> int:
    """Multiply-adds per output pixel of convolutions (in_channels, out_channels, kernel) at stride 1, without bias."""
    return sum(inputs * outputs * kernel**2 for inputs, outputs, kernel in convolutions)


def article_key(key: str) -> str:
    """The article's name for one of torchvision's: it calls a projection identity_downsample."""
    return key.replace("downsample", "identity_downsample")


def to_v1(net: LibraryResNet) -> None:
    """Move the stride of every bottleneck from the 3×3 (V1.5) to the first 1×1 (V1), in place."""
    for bottleneck in net.blocks().values():
        block: Any = bottleneck
        block.conv1.stride, block.conv2.stride = block.conv2.stride, (1, 1)


# Lesson 07


def left_of_x(scales: Iterable[float]) -> float:
    """The factor with which x arrives after blocks that compute scale · x + F(x)."""
    return float(prod(scales))


def first_gradient(branches: Sequence[Callable[[Tensor], Tensor]], x: Tensor, upstream: Tensor) -> Tensor:
    """The gradient at x of a chain x + F(x), from that at its end: the end's plus one term per branch."""
    signals = [x]
    for branch in branches:
        signals.append(signals[-1] + branch(signals[-1]))
    gradient = upstream
    for branch, signal in zip(reversed(branches), reversed(signals[:-1]), strict=True):
        gradient = gradient + torch.autograd.functional.vjp(branch, signal, gradient)[1]
    return gradient


def v2_net(depth: int) -> nn.Module:
    """The pre-activation net for grey images of lesson 07, 8 channels wide."""
    return cifar_resnet(depth, width=8, in_channels=1, preact=True)


# Lesson 10


def outputs_of(net: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """The output of every module below `net` by name, in the order in which they finished."""
    outputs: dict[str, Tensor] = {}
    hooks = []
    for name, module in net.named_modules():
        if name:
            keep = lambda module, args, output, name=name: outputs.update({name: output.clone()})  # noqa: E731
            hooks.append(module.register_forward_hook(keep))
    try:
        with torch.no_grad():
            net(images)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs


def first_difference(theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> str | None:
    """The first name, in the order of `theirs`, whose outputs differ by more than a thousandth of their size."""
    for name, wanted in theirs.items():
        if name in ours:
            given = ours[name]
            if given.shape != wanted.shape or (given - wanted).abs().max() > 1e-3 * wanted.abs().max():
                return name
    return None


def our_keys(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights of a published CIFAR-10 checkpoint under our names."""
    state = checkpoint["state_dict"]
    return {key.removeprefix("module.").replace("linear.", "fc."): value for key, value in state.items()}


def pad_both_sides(x: Tensor, out_channels: int) -> Tensor:
    """Every second pixel; half of the new channels, all zero, before those of x and half after."""
    extra = (out_channels - x.shape[1]) // 2
    return pad(x[:, :, ::2, ::2], (0, 0, 0, 0, extra, extra))


def torch_kernel(kernel: Tensor) -> Tensor:
    """Keras's (height, width, in, out) -> torch's (out, in, height, width)."""
    return kernel.permute(3, 2, 0, 1)


def keras_pool(x: Tensor) -> Tensor:
    """A border of zeros one pixel wide, then a 3×3 max-pool at stride 2."""
    return max_pool2d(pad(x, (1, 1, 1, 1)), 3, stride=2)


def folded_mean(running_mean: Tensor, bias: Tensor) -> Tensor:
    """The running mean of a batch norm that takes over what a convolution's bias before it did."""
    return running_mean - bias


def recompute_statistics(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """New running statistics for every batch norm, the mean over `batches`. The net comes back in eval mode."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # every batch counts the same
    net.train()
    with torch.no_grad():
        for batch in batches:
            net(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    net.eval()
