"""Every net of the course: an architecture is a frozen `Config`, `ResNet` builds what it says.

The keys of the state dict are torchvision's, so published weights load without a map.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from resnet_lib.arguments import require_bool, require_choice, require_int, require_positive
from resnet_lib.models.blocks import STRIDE_ON, BasicBlock, Block, Bottleneck, PreActBottleneck, Shortcut
from resnet_lib.models.shortcuts import OPTIONS, ZeroPadShortcut


class BlockSpec(NamedTuple):
    """What one block is built from."""

    in_channels: int
    channels: int
    stride: int
    shortcut: Shortcut
    starts_net: bool


@dataclass(frozen=True)
class Config:
    """A ResNet as data. Raises TypeError or ValueError that name the argument, its value and what is allowed."""

    block: type[Block]
    layers: tuple[int, ...]  # blocks in each stage
    shortcut: str | None = "B"  # "A" zero-pad, "B" projection where shapes change, "C" everywhere, None = plain
    in_channels: int = 3
    num_classes: int = 1000
    width: int = 64  # channels of the stem and of the first stage; each stage doubles them
    stem: str = "imagenet"  # "imagenet": 7×7 at stride 2, then max-pool; "cifar": 3×3 at stride 1
    stride_on: str = "3x3"  # which convolution of a bottleneck strides: "3x3" is V1.5, "1x1" the paper's V1
    stride_at: str = "first"  # which block of a stage strides: "last" only in Keras's V2
    conv_bias: bool = False  # Keras's V2: biases where no norm follows, that is conv1, conv3 and the projection
    norm_eps: float = 1e-5
    zero_init_residual: bool = False  # start every block as the identity (Goyal et al. 2017)

    def __post_init__(self) -> None:
        if not (isinstance(self.block, type) and issubclass(self.block, Block)):
            raise TypeError(f"block must be a class such as BasicBlock or Bottleneck, got {self.block!r}")
        if not self.layers:
            raise ValueError("layers must name at least one stage, for example [3, 4, 6, 3]; got an empty list")
        for number_of_blocks in self.layers:
            require_int("each entry of layers", number_of_blocks)
        for name in ("in_channels", "num_classes", "width"):
            require_int(name, getattr(self, name))
        require_choice("shortcut", self.shortcut, OPTIONS)
        require_choice("stem", self.stem, ("imagenet", "cifar"))
        require_choice("stride_on", self.stride_on, STRIDE_ON)
        require_choice("stride_at", self.stride_at, ("first", "last"))
        require_positive("norm_eps", self.norm_eps)
        require_bool("conv_bias", self.conv_bias)
        require_bool("zero_init_residual", self.zero_init_residual)

    @property
    def out_channels(self) -> int:
        """Channels of the last stage, which the classifier reads."""
        return self.width * 2 ** (len(self.layers) - 1) * self.block.expansion

    def stages(self) -> Iterator[list[BlockSpec]]:
        """One list of blocks per stage."""
        in_channels = self.width
        for stage, number_of_blocks in enumerate(self.layers):
            channels = self.width * 2**stage
            specs = []
            for index in range(number_of_blocks):
                stride = self._stride(stage, index)
                shortcut: Shortcut = self.shortcut
                out_channels = channels * self.block.expansion
                if self.stride_at == "last" and stride > 1 and in_channels == out_channels:
                    # Keras's V2 strides where no channel changes and takes every second pixel: a 1×1 max-pool there.
                    shortcut = ZeroPadShortcut(in_channels, out_channels, stride)
                specs.append(BlockSpec(in_channels, channels, stride, shortcut, stage == index == 0))
                in_channels = out_channels
            yield specs

    def _stride(self, stage: int, index: int) -> int:
        if self.stride_at == "last":  # Keras's V2: stages 1 to 3 halve the image when they end
            return 2 if index == self.layers[stage] - 1 and stage < len(self.layers) - 1 else 1
        return 2 if index == 0 and stage > 0 else 1  # the stem has halved the image already, so stage 1 does not

    def build_block(self, spec: BlockSpec) -> Block:
        options: dict[str, Any] = {"norm_eps": self.norm_eps}
        if issubclass(self.block, (Bottleneck, PreActBottleneck)):
            options["stride_on"] = self.stride_on
        if issubclass(self.block, PreActBottleneck):
            options["conv_bias"] = self.conv_bias
        if self.block.preact and spec.starts_net:
            options["activate_shortcut"] = True  # R16, appendix: norm and ReLU come before the first split
        return self.block(  # type: ignore[call-arg]
            spec.in_channels, spec.channels, stride=spec.stride, shortcut=spec.shortcut, **options
        )


class ResNet(nn.Module):
    """Stem, stages of residual blocks, global average pool, classifier (He et al. 2015, table 1 and section 4.2).

    (N, in_channels, H, W) -> logits (N, num_classes)

    `layers` is the number of blocks in each stage, [3, 4, 6, 3] for ResNet-50; the other arguments are the
    fields of `Config`.
    """

    def __init__(self, block: type[Block], layers: Sequence[int], **options: Any):
        super().__init__()
        if not isinstance(layers, Sequence) or isinstance(layers, str):
            raise TypeError(f"layers must be the number of blocks in each stage, as [3, 4, 6, 3], got {layers!r}")
        self.config = config = Config(block, tuple(layers), **options)
        self.conv1 = self._stem_conv()
        if not config.block.preact:  # the first pre-activation block brings its own norm
            self.bn1 = nn.BatchNorm2d(config.width, eps=config.norm_eps)
        self.maxpool = self._stem_pool()
        for number, specs in enumerate(config.stages(), start=1):
            self.add_module(f"layer{number}", nn.Sequential(*map(config.build_block, specs)))
        if config.block.preact:  # the last addition has seen no norm (R16, appendix)
            self.norm = nn.BatchNorm2d(config.out_channels, eps=config.norm_eps)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(config.out_channels, config.num_classes)
        self._initialise()

    def forward(self, x: Tensor) -> Tensor:
        self._check_input(x)
        # One expression: a name for a map would keep it in memory, and these are the largest of the net.
        x = self.maxpool(self.conv1(x) if self.config.block.preact else relu(self.bn1(self.conv1(x))))
        for stage in self.stages():
            x = stage(x)
        if self.config.block.open_end:
            x = relu(self.norm(x) if self.config.block.preact else x)
        return self.fc(self.avgpool(x).flatten(1))

    def stages(self) -> list[nn.Sequential]:
        """layer1, layer2, … in order."""
        return [self.get_submodule(f"layer{number + 1}") for number in range(len(self.config.layers))]  # type: ignore[misc]

    def blocks(self) -> dict[str, Block]:
        """Every residual block by its name, "layer1.0" first."""
        return {name: module for name, module in self.named_modules() if isinstance(module, Block)}

    def _stem_conv(self) -> nn.Conv2d:
        config = self.config
        if config.stem == "cifar":
            return nn.Conv2d(config.in_channels, config.width, 3, padding=1, bias=False)
        return nn.Conv2d(config.in_channels, config.width, 7, stride=2, padding=3, bias=config.conv_bias)

    def _stem_pool(self) -> nn.Module:
        if self.config.stem == "cifar":
            return nn.Identity()
        if not self.config.block.preact:
            return nn.MaxPool2d(3, stride=2, padding=1)
        # Keras pads with zeros, torch's MaxPool2d with -inf. After a ReLU that is the same; here no ReLU stands
        # before the pool, and the border would differ by 1 % of the logits.
        return nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(3, stride=2))

    def _initialise(self) -> None:
        """Kaiming fan-out for convolutions, as torchvision; torch's default for the classifier."""
        for name, block in self.blocks().items():
            block.place = name  # for the error when branches do not fit
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.config.zero_init_residual:
            for block in self.blocks().values():
                block.zero_init_residual()

    def _check_input(self, x: Tensor) -> None:
        if not isinstance(x, Tensor):
            raise TypeError(f"x must be a tensor of shape (N, {self.config.in_channels}, H, W), got {type(x).__name__}")
        if x.ndim != 4 or x.shape[1] != self.config.in_channels:
            raise ValueError(
                f"x must have shape (N, {self.config.in_channels}, H, W), got {tuple(x.shape)}; "
                f"this net was built with in_channels={self.config.in_channels}"
            )
        if not x.is_floating_point():
            raise TypeError(f"x must be a floating-point tensor, got {x.dtype}; images of bytes need x.float() / 255")
        weights = self.conv1.weight.dtype
        if x.dtype != weights and not _autocasts(x.device.type):
            raise TypeError(f"x must be {weights} as the net's weights are, got {x.dtype}; use x.to({weights})")


def _autocasts(device_type: str) -> bool:
    """Are we inside torch.autocast, which mixes dtypes on purpose?"""
    return torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type)


# What each named net is built from: `build(PRESETS["resnet50"], num_classes=10)`.
PRESETS: dict[str, Config] = {
    "resnet18": Config(BasicBlock, (2, 2, 2, 2)),
    "resnet34": Config(BasicBlock, (3, 4, 6, 3)),
    "resnet50": Config(Bottleneck, (3, 4, 6, 3)),
    "resnet101": Config(Bottleneck, (3, 4, 23, 3)),
    "resnet152": Config(Bottleneck, (3, 8, 36, 3)),
    "plain18": Config(BasicBlock, (2, 2, 2, 2), shortcut=None),
    "plain34": Config(BasicBlock, (3, 4, 6, 3), shortcut=None),
    # Keras Applications' V2. He et al. 2016 stride at the start of a stage, Keras at the end: 3.5 G instead of 4.1 G.
    "resnet50v2": Config(PreActBottleneck, (3, 4, 6, 3), stride_at="last", conv_bias=True, norm_eps=1.001e-5),
    "resnet101v2": Config(PreActBottleneck, (3, 4, 23, 3), stride_at="last", conv_bias=True, norm_eps=1.001e-5),
    "resnet152v2": Config(PreActBottleneck, (3, 8, 36, 3), stride_at="last", conv_bias=True, norm_eps=1.001e-5),
}


def build(config: Config, **changes: Any) -> ResNet:
    """The net that `config` describes, with some fields changed."""
    return ResNet(**vars(replace(config, **changes)))


def _builder(name: str) -> Callable[..., ResNet]:
    preset = PRESETS[name]

    def builder(in_channels: int = 3, num_classes: int = 1000, **options: Any) -> ResNet:
        return build(preset, in_channels=in_channels, num_classes=num_classes, **options)

    builder.__name__ = builder.__qualname__ = name
    builder.__doc__ = f"""Stages of {", ".join(map(str, preset.layers))} {preset.block.__name__}s.

    (N, in_channels, H, W) -> logits (N, num_classes). Options are the fields of `Config`, such as
    shortcut={preset.shortcut!r}, stride_on={preset.stride_on!r} ("1x1" is the paper's V1; basic blocks do not care),
    norm_eps={preset.norm_eps}, zero_init_residual=False. Raises TypeError or ValueError for arguments that make no net.
    """
    return builder


resnet18, resnet34 = _builder("resnet18"), _builder("resnet34")
resnet50, resnet101, resnet152 = _builder("resnet50"), _builder("resnet101"), _builder("resnet152")
plain18, plain34 = _builder("plain18"), _builder("plain34")
resnet50v2, resnet101v2, resnet152v2 = _builder("resnet50v2"), _builder("resnet101v2"), _builder("resnet152v2")
