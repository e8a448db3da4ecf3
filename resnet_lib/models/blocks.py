"""The four residual blocks. V1: relu(F(x) + shortcut(x)). V2 (pre-activation): F(x) + shortcut(x).

`shortcut` is an option of the paper ("A", "B", "C", None for a plain net) or a module of your own.
`channels` is the width of the 3×3 convolutions; a block returns `channels * expansion` channels.
Every ReLU is a module used once, and modules are registered in the order in which they run.
"""

import torch
from torch import Tensor, nn

from resnet_lib.arguments import require_choice, require_ints, require_positive
from resnet_lib.models.shortcuts import IdentityShortcut, fitting_shortcuts, make_shortcut

Shortcut = str | nn.Module | None
STRIDE_ON = ("3x3", "1x1")


class Block(nn.Module):
    """What blocks share. A block is two steps, `residual` and `add`: replace one to see or change what a branch adds.

    Its shortcut is called `downsample`, torchvision's name, so that published weights load.
    """

    expansion = 1  # output channels / channels of the 3×3 convolutions
    preact = False
    place = ""  # such as "layer2.0", written by the net, for the error message

    def __init__(self, in_channels: int, channels: int, stride: int, norm_eps: float):
        super().__init__()
        require_ints(in_channels=in_channels, channels=channels, stride=stride)
        require_positive("norm_eps", norm_eps)
        self.in_channels, self.out_channels, self.stride = in_channels, channels * self.expansion, stride

    def make_shortcut(self, shortcut: Shortcut, **projection: object) -> nn.Module | None:
        """The module that an option stands for between the channels of this block; a module is its own."""
        if isinstance(shortcut, nn.Module):
            return shortcut
        return make_shortcut(shortcut, self.in_channels, self.out_channels, self.stride, **projection)

    def add(self, residual: Tensor, shortcut: Tensor) -> Tensor:
        """residual + shortcut, never broadcast: shapes that differ are a mistake, not a wish."""
        # What torch.fx passes through a net is no Tensor and has no shape.
        if isinstance(residual, Tensor) and residual.shape != shortcut.shape:
            raise ValueError(self.explain_mismatch(residual, shortcut))
        return residual + shortcut

    def zero_init_residual(self) -> None:
        """Start as the identity: the branch ends in zeros (Goyal et al. 2017, section 5.1: the last gamma)."""
        *_, last = (layer for name, layer in self.named_children() if name != "downsample" and [*layer.parameters()])
        nn.init.zeros_(last.get_parameter("weight"))

    @torch.jit.unused  # a scripted net stops at such shapes too, without these words
    def explain_mismatch(self, residual: Tensor, shortcut: Tensor) -> str:
        """Why the two branches cannot be added, and which shortcuts fit."""
        shapes = [f"(N, {', '.join(map(str, x.shape[1:]))})" for x in (residual, shortcut)]
        kind = type(self.downsample).__name__.removesuffix("Shortcut").lower()
        why = []
        if isinstance(self.downsample, (IdentityShortcut, nn.Identity)):  # its shape is that of x
            if residual.shape[2:] != shortcut.shape[2:]:
                why.append(f"stride {self.stride} {'halved' if self.stride == 2 else 'shrank'} the image")
            if residual.shape[1] != shortcut.shape[1]:
                why.append(f"the channels went from {shortcut.shape[1]} to {residual.shape[1]}")
        elif residual.shape[1:] != shortcut.shape[1:]:
            went = f"{self.in_channels} → {self.out_channels} channels at stride {self.stride}"
            why.append(f"the residual goes {went}, the shortcut does not")
        reason = " and ".join(why) or "the batches differ"
        fits = fitting_shortcuts(self.in_channels, self.out_channels, self.stride)
        advice = f"{fits[0]} learns a map between them" + "".join(f"; {call} needs no parameters" for call in fits[1:])
        if self.in_channels == self.out_channels and self.stride == 1 and kind != "identity":
            advice = "The block keeps the shape of x, so IdentityShortcut() fits"
        place = self.place or f"this {type(self).__name__}"
        return (
            f"the branches of {place} cannot be added: the residual is {shapes[0]}, the {kind} shortcut {shapes[1]}. "
            f"{reason[0].upper()}{reason[1:]}. {advice}. Lesson 04 compares the two."
        )


class BasicBlock(Block):
    """Two 3×3 convolutions around a shortcut (He et al. 2015, fig. 5 left).

    (N, in_channels, H, W) -> (N, channels, H / stride, W / stride)
    """

    def __init__(
        self, in_channels: int, channels: int, *, stride: int = 1, shortcut: Shortcut = "B", norm_eps: float = 1e-5
    ):
        super().__init__(in_channels, channels, stride, norm_eps)
        self.conv1 = conv3x3(in_channels, channels, stride)
        self.bn1 = nn.BatchNorm2d(channels, eps=norm_eps)
        self.relu1 = nn.ReLU()
        self.conv2 = conv3x3(channels, channels)
        self.bn2 = nn.BatchNorm2d(channels, eps=norm_eps)
        self.downsample = self.make_shortcut(shortcut, norm_eps=norm_eps)
        self.relu2 = nn.ReLU()

    def residual(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(x))

    def forward(self, x: Tensor) -> Tensor:
        if self.downsample is None:  # a plain net: the same layers, nothing added
            return self.relu2(self.residual(x))
        else:
            return self.relu2(self.add(self.residual(x), self.downsample(x)))


class Bottleneck(Block):
    """1×1 down to `channels`, 3×3, 1×1 up to 4 × `channels` (He et al. 2015, fig. 5 right).

    (N, in_channels, H, W) -> (N, 4 * channels, H / stride, W / stride)

    `stride_on="3x3"` is V1.5 (torchvision, fb.resnet.torch); "1x1" is the paper's V1 (He's Caffe nets, Keras).
    Both have the same parameters, so weights of one load into the other and give wrong logits.
    """

    expansion = 4

    def __init__(self, in_channels: int, channels: int, *, stride: int = 1, shortcut: Shortcut = "B",
                 stride_on: str = "3x3", norm_eps: float = 1e-5):  # fmt: skip
        super().__init__(in_channels, channels, stride, norm_eps)
        stride1, stride2 = split_stride(stride, stride_on)
        self.conv1 = conv1x1(in_channels, channels, stride1)
        self.bn1 = nn.BatchNorm2d(channels, eps=norm_eps)
        self.relu1 = nn.ReLU()
        self.conv2 = conv3x3(channels, channels, stride2)
        self.bn2 = nn.BatchNorm2d(channels, eps=norm_eps)
        self.relu2 = nn.ReLU()
        self.conv3 = conv1x1(channels, self.out_channels)
        self.bn3 = nn.BatchNorm2d(self.out_channels, eps=norm_eps)
        self.downsample = self.make_shortcut(shortcut, norm_eps=norm_eps)
        self.relu3 = nn.ReLU()

    def residual(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.relu2(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))

    def forward(self, x: Tensor) -> Tensor:
        if self.downsample is None:
            return self.relu3(self.residual(x))
        else:
            return self.relu3(self.add(self.residual(x), self.downsample(x)))


class PreActBlock(Block):
    """Norm and ReLU come before each convolution; nothing follows the addition (He et al. 2016, fig. 1b).

    `activate_shortcut`: does the shortcut start after the first ReLU? It must in the first block of a net
    (R16, appendix), and does by default where the channels change (resnet-1k-layers, Keras).
    """

    preact = True

    def __init__(
        self, in_channels: int, channels: int, stride: int, norm_eps: float, activate_shortcut: bool | None = None
    ):
        super().__init__(in_channels, channels, stride, norm_eps)
        changes_channels = self.in_channels != self.out_channels
        self.activate_shortcut = changes_channels if activate_shortcut is None else activate_shortcut
        self.bn1 = nn.BatchNorm2d(in_channels, eps=norm_eps)
        self.relu1 = nn.ReLU()  # never in place: the shortcut still needs x


class PreActBasicBlock(PreActBlock):
    """The basic block in pre-activation order (He et al. 2016, section 4).

    (N, in_channels, H, W) -> (N, channels, H / stride, W / stride)
    """

    def __init__(self, in_channels: int, channels: int, *, stride: int = 1, shortcut: Shortcut = "B",
                 norm_eps: float = 1e-5, activate_shortcut: bool | None = None):  # fmt: skip
        super().__init__(in_channels, channels, stride, norm_eps, activate_shortcut)
        self.conv1 = conv3x3(in_channels, channels, stride)
        self.bn2 = nn.BatchNorm2d(channels, eps=norm_eps)
        self.relu2 = nn.ReLU()
        self.conv2 = conv3x3(channels, channels)
        self.downsample = self.make_shortcut(shortcut, norm=False)

    def residual(self, activated: Tensor) -> Tensor:
        x = self.conv1(activated)
        return self.conv2(self.relu2(self.bn2(x)))

    def forward(self, x: Tensor) -> Tensor:
        activated = self.relu1(self.bn1(x))
        if self.downsample is None:
            return self.residual(activated)
        else:
            return self.add(self.residual(activated), self.downsample(activated if self.activate_shortcut else x))


class PreActBottleneck(PreActBlock):
    """The bottleneck in pre-activation order (He et al. 2016, section 4).

    (N, in_channels, H, W) -> (N, 4 * channels, H / stride, W / stride)

    `conv_bias=True` is Keras's V2: conv3 and the projection have biases, because no norm follows them.
    """

    expansion = 4

    def __init__(self, in_channels: int, channels: int, *, stride: int = 1, shortcut: Shortcut = "B",
                 stride_on: str = "3x3", norm_eps: float = 1e-5, activate_shortcut: bool | None = None,
                 conv_bias: bool = False):  # fmt: skip
        super().__init__(in_channels, channels, stride, norm_eps, activate_shortcut)
        stride1, stride2 = split_stride(stride, stride_on)
        self.conv1 = conv1x1(in_channels, channels, stride1)
        self.bn2 = nn.BatchNorm2d(channels, eps=norm_eps)
        self.relu2 = nn.ReLU()
        self.conv2 = conv3x3(channels, channels, stride2)
        self.bn3 = nn.BatchNorm2d(channels, eps=norm_eps)
        self.relu3 = nn.ReLU()
        self.conv3 = conv1x1(channels, self.out_channels, bias=conv_bias)
        self.downsample = self.make_shortcut(shortcut, norm=False, bias=conv_bias)

    def residual(self, activated: Tensor) -> Tensor:
        x = self.conv1(activated)
        x = self.conv2(self.relu2(self.bn2(x)))
        return self.conv3(self.relu3(self.bn3(x)))

    def forward(self, x: Tensor) -> Tensor:
        activated = self.relu1(self.bn1(x))
        if self.downsample is None:
            return self.residual(activated)
        else:
            return self.add(self.residual(activated), self.downsample(activated if self.activate_shortcut else x))


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """Padding 1 keeps the image size. No bias: the norm that follows has one."""
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)


def conv1x1(in_channels: int, out_channels: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """A linear map of the channels, the same at every pixel."""
    return nn.Conv2d(in_channels, out_channels, 1, stride, bias=bias)


def split_stride(stride: int, stride_on: str) -> tuple[int, int]:
    """The strides of a bottleneck's first 1×1 and of its 3×3 convolution."""
    require_choice("stride_on", stride_on, STRIDE_ON)
    return (stride, 1) if stride_on == "1x1" else (1, stride)
