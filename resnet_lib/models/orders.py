"""The five orders of He et al. 2016, figure 4: the same two convolutions and two norms, put together differently.

Two of them are BasicBlock (V1) and PreActBasicBlock (V2). The three between them are here, for lesson 07 alone.
Each maps (N, in_channels, H, W) -> (N, channels, H / stride, W / stride).
"""

from torch import Tensor, nn

from resnet_lib.models.blocks import BasicBlock, Block, PreActBasicBlock, Shortcut, conv3x3


class BetweenBlock(Block):
    """A block that exists only with a shortcut."""

    def make_shortcut(self, shortcut: Shortcut, **projection: object) -> nn.Module | None:
        if shortcut is None:
            raise ValueError(
                f"shortcut must be 'A', 'B', 'C' or a module, got None: {type(self).__name__} has no plain twin"
            )
        return super().make_shortcut(shortcut, **projection)


class NormAfterAddition(BetweenBlock, BasicBlock):
    """Figure 4b: the last norm comes after the addition, so it changes the shortcut as well."""

    def residual(self, x: Tensor) -> Tensor:
        return self.conv2(self.relu1(self.bn1(self.conv1(x))))

    def forward(self, x: Tensor) -> Tensor:
        return self.relu2(self.bn2(self.add(self.residual(x), self.downsample(x))))  # type: ignore[misc]

    def zero_init_residual(self) -> None:
        nn.init.zeros_(self.conv2.weight)


class ReluBeforeAddition(BetweenBlock, BasicBlock):
    """Figure 4c: the branch ends in a ReLU, so a block can add to the signal and never take away."""

    def forward(self, x: Tensor) -> Tensor:
        return self.add(self.relu2(self.residual(x)), self.downsample(x))  # type: ignore[misc]


class ReluOnlyPreActivation(BetweenBlock):
    """Figure 4d: the ReLUs come before the convolutions, the norms still come after them."""

    def __init__(
        self, in_channels: int, channels: int, *, stride: int = 1, shortcut: Shortcut = "B", norm_eps: float = 1e-5
    ):
        super().__init__(in_channels, channels, stride, norm_eps)
        self.relu1 = nn.ReLU()
        self.conv1 = conv3x3(in_channels, channels, stride)
        self.bn1 = nn.BatchNorm2d(channels, eps=norm_eps)
        self.relu2 = nn.ReLU()
        self.conv2 = conv3x3(channels, channels)
        self.bn2 = nn.BatchNorm2d(channels, eps=norm_eps)
        self.downsample = self.make_shortcut(shortcut, norm_eps=norm_eps)

    def residual(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(self.relu1(x)))
        return self.bn2(self.conv2(self.relu2(x)))

    def forward(self, x: Tensor) -> Tensor:
        return self.add(self.residual(x), self.downsample(x))  # type: ignore[misc]


# The five kinds of block by the names that the paper's table 2 gives them.
ORDERS: dict[str, type[Block]] = {
    "original": BasicBlock,
    "BN after addition": NormAfterAddition,
    "ReLU before addition": ReluBeforeAddition,
    "ReLU-only pre-activation": ReluOnlyPreActivation,
    "full pre-activation": PreActBasicBlock,
}
