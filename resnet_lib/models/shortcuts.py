"""The three shortcuts of He et al. 2015, section 3.3: what carries x around the residual branch.

Every shortcut maps (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)).
"""

from torch import Tensor, nn
from torch.nn.functional import pad

from resnet_lib.arguments import require_bool, require_choice, require_ints

OPTIONS = ("A", "A-centred", "B", "C", None)


class IdentityShortcut(nn.Module):
    """x itself: no parameters, no work. It fits only where the shape does not change.

    (N, C, H, W) -> (N, C, H, W). Raises ValueError when asked to change channels or image size.
    """

    def __init__(self, in_channels: int | None = None, out_channels: int | None = None, stride: int = 1):
        super().__init__()
        channels = {"in_channels": in_channels, "out_channels": out_channels}
        require_ints(**{name: value for name, value in channels.items() if value is not None}, stride=stride)
        if out_channels is None:
            out_channels = in_channels
        if in_channels != out_channels or stride != 1:
            raise ValueError(
                f"identity shortcut got {in_channels or 'any'} → {out_channels or 'any'} channels at stride {stride}; "
                f"use {' or '.join(fitting_shortcuts(in_channels, out_channels, stride))}"
            )

    def forward(self, x: Tensor) -> Tensor:
        return x


class ZeroPadShortcut(nn.Module):
    """Option A: every `stride`-th pixel, and zeros for the channels that x does not have. No parameters.

    (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))

    The paper says only "extra zero entries padded". Like fb.resnet.torch we append them; `centred=True` (the option
    "A-centred") puts half on either side, like akamaster's published CIFAR-10 nets. Both compute the same function
    up to a permutation of channels, so weights of one fit the other by name and give wrong logits.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, *, centred: bool = False):
        super().__init__()
        require_ints(in_channels=in_channels, out_channels=out_channels, stride=stride)
        require_bool("centred", centred)
        if out_channels < in_channels:
            raise ValueError(
                f"zero-padding can only add channels, got {in_channels} → {out_channels}; "
                f"use {fitting_shortcuts(in_channels, out_channels, stride)[0]}"
            )
        self.in_channels, self.out_channels, self.stride = in_channels, out_channels, stride
        self.centred = centred

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        new = self.out_channels - self.in_channels
        before = new // 2 if self.centred else 0
        return pad(x, (0, 0, 0, 0, before, new - before))

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, stride={self.stride}" + ", centred=True" * self.centred


class ProjectionShortcut(nn.Sequential):
    """Options B and C: a 1×1 convolution and a batch norm, which learn how to map x to the new shape.

    (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))

    `norm=False` gives the bare convolution of pre-activation nets (He et al. 2016), where a batch norm and
    a ReLU have already been applied to x. `bias` is for Keras's V2 nets, whose projection has one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        *,
        norm: bool = True,
        bias: bool = False,
        norm_eps: float = 1e-5,
    ):
        require_ints(in_channels=in_channels, out_channels=out_channels, stride=stride)
        layers: list[nn.Module] = [nn.Conv2d(in_channels, out_channels, 1, stride, bias=bias)]
        if norm:
            layers.append(nn.BatchNorm2d(out_channels, eps=norm_eps))
        super().__init__(*layers)


def make_shortcut(
    option: str | None, in_channels: int, out_channels: int, stride: int = 1, **projection: object
) -> nn.Module | None:
    """The shortcut that an option of the paper puts around one block; None for a plain net.

    A shape changes when the stride *or* the channels do: stage 1 of ResNet-50 goes from 64 to 256 channels
    at stride 1 and needs a projection too. `projection` is passed on to ProjectionShortcut.
    """
    require_choice("shortcut", option, OPTIONS)
    if option is None:
        return None
    same_shape = in_channels == out_channels and stride == 1
    if option == "C" or (option == "B" and not same_shape):
        return ProjectionShortcut(in_channels, out_channels, stride, **projection)  # type: ignore[arg-type]
    if same_shape:
        return IdentityShortcut(in_channels, out_channels)
    return ZeroPadShortcut(in_channels, out_channels, stride, centred=option == "A-centred")


def fitting_shortcuts(in_channels: int | None, out_channels: int | None, stride: int = 1) -> list[str]:
    """The calls that would build a shortcut for these shapes, as text for error messages."""
    inputs, outputs = in_channels or "in_channels", out_channels or "out_channels"  # IdentityShortcut(stride=2)
    arguments = f"({inputs}, {outputs}" + (f", stride={stride})" if stride != 1 else ")")
    if in_channels is not None and out_channels is not None and out_channels < in_channels:
        return [f"ProjectionShortcut{arguments}"]
    return [f"ProjectionShortcut{arguments}", f"ZeroPadShortcut{arguments}"]
