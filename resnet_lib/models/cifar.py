"""The nets for small images: He et al. 2015, section 4.2, and He et al. 2016, section 4.

Three stages of widths 16, 32, 64 after a 3×3 stem. Depth counts the layers with weights, shortcuts aside.
"""

from typing import Any

from resnet_lib.arguments import explains_keywords, require_bool, require_int
from resnet_lib.models.blocks import BasicBlock, Block, Bottleneck, PreActBasicBlock, PreActBottleneck
from resnet_lib.models.resnet import ResNet

PAPER_DEPTHS = (20, 32, 44, 56, 110, 1202)  # He et al. 2015, table 6: basic blocks


@explains_keywords
def cifar_resnet(depth: int, *, shortcut: str | None = "A", preact: bool | None = None,
                 block: type[Block] | None = None, in_channels: int = 3, num_classes: int = 10, width: int = 16,
                 stride_on: str = "1x1", norm_eps: float = 1e-5, zero_init_residual: bool = False,
                 ) -> ResNet:  # fmt: skip
    """A ResNet of `depth` weighted layers for small images.

    (N, in_channels, H, W) -> logits (N, num_classes); the paper uses 32×32 images and width 16.

    depth = 6n + 2 with a basic block (20, 32, 44, 56, 110, 1202), 9n + 2 with a bottleneck (164, 1001). A depth
    that fits both and is not in the 2015 paper's table needs `block`. `preact=True` is He et al. 2016: no norm
    after the stem, `norm` before the pool. Its 164 and 1001 are `block=PreActBottleneck, shortcut="B"`.
    A bottleneck strides in its first 1×1, as in resnet-1k-layers.
    """
    require_int("depth", depth, 8)
    block = _choose_block(depth, block, preact)
    return ResNet(
        block,
        [(depth - 2) // _layers_per_n(block)] * 3,
        shortcut=shortcut,
        in_channels=in_channels,
        num_classes=num_classes,
        width=width,
        stem="cifar",
        stride_on=stride_on,
        norm_eps=norm_eps,
        zero_init_residual=zero_init_residual,
    )


def cifar_plain(depth: int, **options: Any) -> ResNet:
    """The same layers as `cifar_resnet(depth)`, with no shortcut at all. Takes its other arguments."""
    return cifar_resnet(depth, shortcut=None, **options)


def _layers_per_n(block: type[Block]) -> int:
    """Three stages of n blocks, with two convolutions a basic block and three a bottleneck."""
    return 9 if issubclass(block, (Bottleneck, PreActBottleneck)) else 6


def _choose_block(depth: int, block: type[Block] | None, preact: bool | None) -> type[Block]:
    """The block that `depth`, `block` and `preact` agree on; ValueError or TypeError where they do not."""
    if preact is not None:
        require_bool("preact", preact)
    if block is None:
        basic, bottleneck = (PreActBasicBlock, PreActBottleneck) if preact else (BasicBlock, Bottleneck)
        fits_basic, fits_bottleneck = (depth - 2) % 6 == 0, (depth - 2) % 9 == 0
        if fits_basic and fits_bottleneck and depth not in PAPER_DEPTHS:
            raise ValueError(
                f"depth {depth} fits basic blocks (6·{(depth - 2) // 6} + 2) and bottlenecks "
                f"(9·{(depth - 2) // 9} + 2); say block={basic.__name__} or block={bottleneck.__name__}"
            )
        block = bottleneck if fits_bottleneck and not fits_basic else basic
    if not (isinstance(block, type) and issubclass(block, Block)):
        raise TypeError(f"block must be BasicBlock, Bottleneck, PreActBasicBlock or PreActBottleneck, got {block!r}")
    if preact is not None and preact != block.preact:
        raise ValueError(f"preact={preact} contradicts block={block.__name__}; leave out one of the two")
    if (depth - 2) % _layers_per_n(block):
        raise ValueError(
            f"depth must be 6n + 2 with basic blocks (8, 20, 32, 44, 56, 110, 1202) or 9n + 2 with bottlenecks "
            f"(11, 29, 164, 1001), got {depth} with block={block.__name__}"
        )
    return block
