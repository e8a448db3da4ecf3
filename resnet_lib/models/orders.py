"""The five orders of He et al. 2016, figure 4: the same two convolutions and two norms, put together differently.

Two of them are BasicBlock (V1) and PreActBasicBlock (V2). The three between them are here, for lesson 07 alone.
Each maps (N, in_channels, H, W) -> (N, channels, H / stride, W / stride).
"""

from torch import Tensor, nn
from torch.nn.functional import relu

from resnet_lib.models.blocks import BasicBlock, Block, PreActBasicBlock, Shortcut


class BetweenBlock(BasicBlock):
    """A block that exists only with a shortcut."""

    downsample: nn.Module

    def use_shortcut(self, shortcut: Shortcut, **projection: object) -> None:
        if shortcut is None:
            raise ValueError(
                f"shortcut must be 'A', 'B', 'C' or a module, got None: {type(self).__name__} has no plain twin"
            )
        super().use_shortcut(shortcut, **projection)


class NormAfterAddition(BetweenBlock):
    """Figure 4b: the last norm stands behind the addition, so it changes the shortcut as well."""

    order = "4b"
    branch_end = "conv2"

    def residual(self, x: Tensor) -> Tensor:
        return self.conv2(relu(self.bn1(self.conv1(x))))

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.bn2(self.add(self.residual(x), self.downsample(x))))


class ReluBeforeAddition(BetweenBlock):
    """Figure 4c: the branch ends in a ReLU, so a block can add to the signal and never take away."""

    order = "4c"

    def forward(self, x: Tensor) -> Tensor:
        return self.add(relu(self.residual(x)), self.downsample(x))


class ReluOnlyPreActivation(BetweenBlock):
    """Figure 4d: the ReLUs moved before the convolutions, the norms stayed behind them."""

    order = "4d"
    open_end = True

    def forward(self, x: Tensor) -> Tensor:
        return self.add(self.residual(relu(x)), self.downsample(x))


# The five kinds of block by the names that the paper's table 2 gives them.
ORDERS: dict[str, type[Block]] = {
    "original": BasicBlock,
    "BN after addition": NormAfterAddition,
    "ReLU before addition": ReluBeforeAddition,
    "ReLU-only pre-activation": ReluOnlyPreActivation,
    "full pre-activation": PreActBasicBlock,
}
