"""Every net of the course: an architecture is a frozen `Config`, `ResNet` builds what it says.

The keys of the state dict are torchvision's, so published weights load without a map.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from resnet_lib import arguments
from resnet_lib.arguments import explains_keywords, require_bool, require_choice, require_int, require_positive
from resnet_lib.models.blocks import STRIDE_ON, BasicBlock, Block, Bottleneck, PreActBottleneck
from resnet_lib.models.shortcuts import OPTIONS, ZeroPadShortcut


@dataclass(frozen=True)
class Config:
    """A ResNet as data. Raises TypeError or ValueError that name the argument, its value and what is allowed."""

    block: type[Block]
    layers: tuple[int, ...]  # blocks in each stage
    shortcut: str | None = "B"  # "A", "A-centred" zero-pad, "B" projection where shapes change, "C" everywhere
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
        layers = tuple(require_int("each entry of layers", number_of_blocks) for number_of_blocks in self.layers)
        sizes = {name: require_int(name, getattr(self, name)) for name in ("in_channels", "num_classes", "width")}
        vars(self).update(sizes, layers=layers)  # plain ints, also where NumPy's came
        require_choice("shortcut", self.shortcut, OPTIONS)
        require_choice("stem", self.stem, ("imagenet", "cifar"))
        require_choice("stride_on", self.stride_on, STRIDE_ON)
        require_choice("stride_at", self.stride_at, ("first", "last"))
        require_positive("norm_eps", self.norm_eps)
        require_bool("conv_bias", self.conv_bias)
        require_bool("zero_init_residual", self.zero_init_residual)


class ResNet(nn.Module):
    """Stem, stages of residual blocks, global average pool, classifier (He et al. 2015, table 1 and section 4.2).

    (N, in_channels, H, W) -> logits (N, num_classes)

    `layers` is the number of blocks in each stage, [3, 4, 6, 3] for ResNet-50; the other arguments are the
    fields of `Config`. The children stand in the order in which they run, so the net can be cut between any two:
    `nn.Sequential(*list(net.children())[:-1])` gives the features (N, C, 1, 1) that `fc` reads.
    """

    def __init__(self, block: type[Block], layers: Sequence[int], **options: Any):
        super().__init__()
        if not isinstance(layers, Sequence) or isinstance(layers, str):
            raise TypeError(f"layers must be the number of blocks in each stage, as [3, 4, 6, 3], got {layers!r}")
        arguments.require_keywords("ResNet", options, [field.name for field in fields(Config)])
        self.config = config = Config(block, tuple(layers), **options)
        self.conv1 = self._stem_conv()
        if not block.preact:  # the first pre-activation block brings its own norm
            self.bn1 = nn.BatchNorm2d(config.width, eps=config.norm_eps)
            self.relu = nn.ReLU()
        self.maxpool = self._stem_pool()
        channels = config.width
        for stage in range(len(layers)):
            blocks = list(self._blocks(stage, channels))
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
            channels = blocks[-1].out_channels
        if block.preact:  # the last addition has seen no norm (R16, appendix)
            self.norm = nn.BatchNorm2d(channels, eps=config.norm_eps)
        *_, last = blocks[-1].children()
        if not isinstance(last, nn.ReLU):  # nothing followed the last addition
            self.last_relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, config.num_classes)
        self._initialise()

    def forward(self, x: Tensor) -> Tensor:
        if not torch.jit.is_scripting():
            self._check_input(x)
        x = self.stem(x)
        for name, stage in self.named_children():  # not self.stages(): torch.jit.script can follow this loop
            if name.startswith("layer"):
                x = stage(x)
        return self.head(x)

    def stem(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, width, H / 4, W / 4); a "cifar" stem keeps the size."""
        # One expression: a name for a map would keep it in memory, and these are the largest of the net.
        if hasattr(self, "bn1"):
            return self.maxpool(self.relu(self.bn1(self.conv1(x))))
        else:
            return self.maxpool(self.conv1(x))

    def head(self, x: Tensor) -> Tensor:
        """The last feature map (N, out_channels, H, W) -> logits (N, num_classes)."""
        if hasattr(self, "norm"):
            x = self.norm(x)
        if hasattr(self, "last_relu"):
            x = self.last_relu(x)
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
        # Keras pads with zeros, torch's MaxPool2d with -inf. After a ReLU that is the same; here no ReLU comes
        # before the pool, and the border would differ by 1 % of the logits.
        return nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(3, stride=2))

    def _blocks(self, stage: int, in_channels: int) -> Iterator[Block]:
        """The blocks of stage 0, 1, …; each stage doubles the channels and halves the image, the first one does not."""
        config, channels = self.config, self.config.width * 2**stage
        out_channels = channels * config.block.expansion
        last_stage, last_index = len(config.layers) - 1, config.layers[stage] - 1
        for index in range(last_index + 1):
            if config.stride_at == "first":
                stride = 2 if index == 0 and stage > 0 else 1  # the stem has halved the image for the first stage
            else:  # Keras's V2: stages 1 to 3 halve it when they end
                stride = 2 if index == last_index and stage < last_stage else 1
            options: dict[str, Any] = {"stride": stride, "shortcut": config.shortcut, "norm_eps": config.norm_eps}
            if config.stride_at == "last" and stride > 1 and config.shortcut and in_channels == out_channels:
                # Keras strides where no channel changes and takes every second pixel there (by a 1×1 max-pool).
                options["shortcut"] = ZeroPadShortcut(in_channels, out_channels, stride)
            if issubclass(config.block, (Bottleneck, PreActBottleneck)):
                options["stride_on"] = config.stride_on
            if issubclass(config.block, PreActBottleneck):
                options["conv_bias"] = config.conv_bias
            if config.block.preact and stage == index == 0:
                options["activate_shortcut"] = True  # R16, appendix: norm and ReLU come before the first split
            yield config.block(in_channels, channels, **options)
            in_channels = out_channels

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
        """TypeError or ValueError in words, unless nobody knows what was put in the place of conv1."""
        if isinstance(x, torch.fx.Proxy) or type(self.conv1) is not nn.Conv2d:
            return
        channels, dtype = self.conv1.in_channels, self.conv1.weight.dtype
        if not isinstance(x, Tensor):
            raise TypeError(f"x must be a tensor of shape (N, {channels}, H, W), got {type(x).__name__}")
        if x.ndim != 4 or x.shape[1] != channels:
            fix = f"conv1 has in_channels={channels}: build the net with another in_channels, or replace conv1"
            if x.ndim == 3:
                fix = "a single image needs a batch axis, x[None]"
            elif x.ndim == 4 and x.shape[3] == channels:
                fix = "channels come before height and width, x.permute(0, 3, 1, 2)"
            raise ValueError(f"x must have shape (N, {channels}, H, W), got {tuple(x.shape)}; {fix}")
        if not x.is_floating_point():
            raise TypeError(f"x must be a floating-point tensor, got {x.dtype}; images of bytes need x.float() / 255")
        device, mixed = x.device.type, torch.amp.is_autocast_available
        if x.dtype != dtype and not (mixed(device) and torch.is_autocast_enabled(device)):
            raise TypeError(f"x must be {dtype} as the net's weights are, got {x.dtype}; use x.to({dtype})")


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
    return ResNet(**{**vars(config), **changes})


# The named nets: (N, in_channels, H, W) -> logits (N, num_classes). Their arguments, which locals() collects, are
# fields of `Config`; those that they leave out can be changed as in `build(PRESETS["resnet18"], width=32)`.


@explains_keywords
def resnet18(in_channels: int = 3, num_classes: int = 1000, *, shortcut: str | None = "B", stride_on: str = "3x3",
             norm_eps: float = 1e-5, zero_init_residual: bool = False) -> ResNet:  # fmt: skip
    """Stages of 2, 2, 2, 2 basic blocks, which have no use for `stride_on` (He et al. 2015, table 1)."""
    return build(PRESETS["resnet18"], **locals())


@explains_keywords
def resnet34(in_channels: int = 3, num_classes: int = 1000, *, shortcut: str | None = "B", stride_on: str = "3x3",
             norm_eps: float = 1e-5, zero_init_residual: bool = False) -> ResNet:  # fmt: skip
    """Stages of 3, 4, 6, 3 basic blocks, which have no use for `stride_on` (He et al. 2015, table 1)."""
    return build(PRESETS["resnet34"], **locals())


@explains_keywords
def resnet50(in_channels: int = 3, num_classes: int = 1000, *, shortcut: str | None = "B", stride_on: str = "3x3",
             norm_eps: float = 1e-5, zero_init_residual: bool = False) -> ResNet:  # fmt: skip
    """Stages of 3, 4, 6, 3 bottlenecks. V1.5, as torchvision's; the paper's V1 is stride_on="1x1"."""
    return build(PRESETS["resnet50"], **locals())


@explains_keywords
def resnet101(in_channels: int = 3, num_classes: int = 1000, *, shortcut: str | None = "B", stride_on: str = "3x3",
              norm_eps: float = 1e-5, zero_init_residual: bool = False) -> ResNet:  # fmt: skip
    """Stages of 3, 4, 23, 3 bottlenecks. V1.5, as torchvision's; the paper's V1 is stride_on="1x1"."""
    return build(PRESETS["resnet101"], **locals())


@explains_keywords
def resnet152(in_channels: int = 3, num_classes: int = 1000, *, shortcut: str | None = "B", stride_on: str = "3x3",
              norm_eps: float = 1e-5, zero_init_residual: bool = False) -> ResNet:  # fmt: skip
    """Stages of 3, 8, 36, 3 bottlenecks. V1.5, as torchvision's; the paper's V1 is stride_on="1x1"."""
    return build(PRESETS["resnet152"], **locals())


@explains_keywords
def plain18(in_channels: int = 3, num_classes: int = 1000, *, norm_eps: float = 1e-5) -> ResNet:
    """ResNet-18 without its shortcuts (He et al. 2015, fig. 3 middle)."""
    return build(PRESETS["plain18"], **locals())


@explains_keywords
def plain34(in_channels: int = 3, num_classes: int = 1000, *, norm_eps: float = 1e-5) -> ResNet:
    """ResNet-34 without its shortcuts (He et al. 2015, fig. 3 middle)."""
    return build(PRESETS["plain34"], **locals())


@explains_keywords
def resnet50v2(in_channels: int = 3, num_classes: int = 1000, *, norm_eps: float = 1.001e-5,
               zero_init_residual: bool = False) -> ResNet:  # fmt: skip
    """ResNet-50 in pre-activation order, as Keras Applications has it."""
    return build(PRESETS["resnet50v2"], **locals())


@explains_keywords
def resnet101v2(in_channels: int = 3, num_classes: int = 1000, *, norm_eps: float = 1.001e-5,
                zero_init_residual: bool = False) -> ResNet:  # fmt: skip
    """ResNet-101 in pre-activation order, as Keras Applications has it."""
    return build(PRESETS["resnet101v2"], **locals())


@explains_keywords
def resnet152v2(in_channels: int = 3, num_classes: int = 1000, *, norm_eps: float = 1.001e-5,
                zero_init_residual: bool = False) -> ResNet:  # fmt: skip
    """ResNet-152 in pre-activation order, as Keras Applications has it."""
    return build(PRESETS["resnet152v2"], **locals())
