"""Lesson 05: what an architecture table says, worked out by hand, and ResNet-34 built from it."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import relu

from resnet_lib.models.shortcuts import ProjectionShortcut
from resnet_lib.teaching.checking import Case, Exercise, ModuleExercise, Slips, slip, together
from resnet_lib.teaching.checks.mutations import (
    ADDITION,
    BASIC,
    CONVS_3X3,
    HEADS,
    LAYERS,
    Basic,
    Bottle,
    Mutation,
    Net,
    PreAct,
    begins_with,
    biased,
    block_counts,
    both,
    computes,
    conv_and_norm,
    drops,
    every_block_strides,
    in_all_blocks,
    inside,
    remade,
    replaces,
    resized,
    set_stride,
    share_blocks,
    share_in,
    shortcut_for,
    with_shortcut,
    wrong_strides,
)


def ways(divide: Callable[[int, int], Any]) -> dict[str, Callable[..., Any]]:
    """The formula with a way to divide: right (""), and wrong in one place."""
    return {
        "": lambda n, k, s, p: divide(n + 2 * p - k, s) + 1,
        "forgets-padding": lambda n, k, s, p: divide(n - k, s) + 1,
        "pads-one-side": lambda n, k, s, p: divide(n + p - k, s) + 1,
        "fence-posts": lambda n, k, s, p: divide(n + 2 * p - k, s),
        "ignores-kernel": lambda n, k, s, p: divide(n, s),
        "ignores-kernel-but-pads": lambda n, k, s, p: divide(n + 2 * p, s),
        "plus-inside": lambda n, k, s, p: divide(n + 2 * p - k + 1, s),
    }


DOWN, UP, TRUE = ways(lambda a, b: a // b), ways(lambda a, b: -(-a // b)), ways(lambda a, b: a / b)
NEAREST = [ways(lambda a, b, up=up: round(a / b + up) - up) for up in (0, 1)]  # type: ignore[misc]
PARTS = ("forgets-padding", "pads-one-side", "fence-posts", "ignores-kernel", "plus-inside")
# fmt: off
map_size = Exercise(
    "map_size(size, kernel, stride, padding)",
    praise="seven layers of ResNet and its relatives; PyTorch's own sizes.",
    right=DOWN[""],
    cases=[(224, 7, 2, 3), (112, 3, 2, 1), (56, 3, 1, 1), (56, 1, 2, 0), (28, 3, 2, 0), (7, 7, 1, 0), (11, 5, 3, 2)],
    traps=[(5, 5, 2, 0), (10, 4, 4, 1)],
)
map_size.slip("brackets-missing", "Brackets are missing: for {case} it gives {given}. `/` and `//` bind more strongly "
    "than + and −, so they divide only what is next to them.",
    lambda n, k, s, p: n + 2 * p - k // s + 1, lambda n, k, s, p: n + 2 * p - k / s + 1,
    lambda n, k, s, p: n - k + 2 * p // s + 1, lambda n, k, s, p: n - k + 2 * p / s + 1)
map_size.slip("backwards", "You compute the input's size from the output's. The input's size is given.",
    lambda n, k, s, p: (n - 1) * s + k - 2 * p)
map_size.slip("several-numbers", "It returns {given}. The pixels along one side are asked for, one number.",
    lambda *case: [DOWN[""](*case)] * 2, lambda *case: [1, 1, DOWN[""](*case), DOWN[""](*case)])
map_size.slip("whole-area", "That is the number of pixels in the whole map: for {case} it gives {given}. One side is "
    "asked "
    "for.",
    lambda *case: DOWN[""](*case) ** 2)
map_size.slip("forgets-padding", "Padding is missing: for {case} it gives {given}. It makes the image larger by "
    "`padding` pixels on each side before the kernel moves over it.",
    DOWN["forgets-padding"])
map_size.slip("pads-one-side", "You count padding once: for {case} it gives {given}. It is added on both sides of the "
    "image, so 2 × padding.",
    DOWN["pads-one-side"])
map_size.slip("fence-posts", "One is missing: for {case} it gives {given}. A kernel that moves 3 times has been at 4 "
    "places. Where does the + 1 go?",
    DOWN["fence-posts"])
map_size.slip("ignores-kernel", "The kernel's size does not enter: for {case} it gives {given}. A 7×7 kernel without "
    "padding cannot stand on the border pixels.",
    DOWN["ignores-kernel"], DOWN["ignores-kernel-but-pads"])
map_size.slip("plus-inside", "The + 1 is inside the division: for {case} it gives {given}. The first place is "
    "there whatever the stride is, so add it afterwards.",
    DOWN["plus-inside"])
map_size.slip("ignores-stride", "The stride does not enter: for {case} it gives {given}. A stride of 2 keeps every "
    "second "
    "place.",
    lambda n, k, s, p: n + 2 * p - k + 1)
map_size.slip("rounds-up", "You round up: for {case} it gives {given}. A last step that does not fit is not taken: "
    "PyTorch rounds down.",
    UP[""])
map_size.slip("rounds-to-nearest", "You round to the nearest: for {case} it gives {given}. PyTorch rounds down; and "
    "`round` takes 2.5 to 2, but 3.5 to 4.",
    *[way[""] for way in NEAREST])
map_size.slip("a-float", "It gives {given} as a float. What is counted is an int: use //.",
    TRUE[""])
map_size.together("forgets-padding", "fence-posts", wrong=[lambda n, k, s, p: (n - k) // s])
for part in PARTS:
    map_size.together(part, "a-float", wrong=[TRUE[part]])
for part in PARTS[:3]:
    map_size.together(part, "rounds-up", wrong=[UP[part]])

conv_macs = Exercise(
    "conv_macs(in_channels, out_channels, kernel, size)",
    praise="four convolutions: every weight is used once for each pixel of the output.",
    right=lambda i, o, k, n: i * o * k * k * n * n,
    cases=[(64, 64, 3, 56), (3, 64, 7, 112), (256, 64, 1, 56), (512, 512, 3, 7)],
)
conv_macs.slip("counts-parameters", "Those are the weights: for {case} it gives {given}. Each weight is used once for "
    "every pixel of the output.",
    lambda i, o, k, n: i * o * k * k)
conv_macs.slip("kernel-not-squared", "The kernel is counted once: for {case} it gives {given}. A 3×3 kernel has 9 "
    "weights for each pair of channels.",
    lambda i, o, k, n: i * o * k * n * n)
conv_macs.slip("size-not-squared", "The size is counted once: for {case} it gives {given}. An output of 56 × 56 has "
    "3,136 pixels.",
    lambda i, o, k, n: i * o * k * k * n)
conv_macs.together("kernel-not-squared", "size-not-squared", wrong=[
    lambda i, o, k, n: i * o * k * n])
conv_macs.slip("doubled-for-squared", "A number is doubled where it should be squared: for {case} it gives {given}. A "
    "3×3 kernel has 3 · 3 weights, not 2 · 3.",
    lambda i, o, k, n: i * o * 2 * k * 2 * n, lambda i, o, k, n: i * o * 2 * k * n * n,
    lambda i, o, k, n: i * o * k * k * 2 * n)
conv_macs.slip("caret", "`^` is not a power in Python: it works on bits: 3 ^ 2 is 1. Write kernel**2.",
    lambda i, o, k, n: i * o * (k ^ 2) * (n ^ 2), lambda i, o, k, n: i * o * k ^ 2 * n ^ 2)
conv_macs.slip("forgets-channels", "A number of channels is missing: for {case} it gives {given}. Each output channel "
    "looks at *every* input channel.",
    lambda i, o, k, n: o * k * k * n * n, lambda i, o, k, n: i * k * k * n * n, lambda i, o, k, n: k * k * n * n)
conv_macs.slip("counts-flops", "You count multiplication and addition as two: for {case} it gives {given}. The course, "
    "like the papers, counts a multiply-add as one.",
    lambda i, o, k, n: 2 * i * o * k * k * n * n, lambda i, o, k, n: (2 * i * k * k - 1) * o * n * n)
conv_macs.slip("counts-additions-of-bias", "You add one for the bias: for {case} it gives {given}. Multiply-adds leave "
    "biases out, and these convolutions have none.",
    lambda i, o, k, n: (i * k * k + 1) * o * n * n)
conv_macs.slip("forgets-kernel", "The kernel is missing: for {case} it gives {given}. That is the price of a 1×1 "
    "convolution.",
    lambda i, o, k, n: i * o * n * n)
conv_macs.slip("in-billions", "You count in thousands, millions or billions: for {case} it gives {given}. The number "
    "itself is asked for.",
    *[lambda *case, unit=unit: conv_macs.right(*case) / unit for unit in (10**9, 10**6, 10**3)])
conv_macs.slip("input-size", "You shrink `size` by the kernel: for {case} it gives {given}. It is the size of the "
    "*output* already.",
    lambda i, o, k, n: i * o * k * k * (n - k + 1) ** 2)
conv_macs.slip("adds-channels", "You add the channels. Each output channel has a kernel for every input channel: a "
    "product.",
    lambda i, o, k, n: (i + o) * k * k * n * n)


def walk(step: Callable[[int, int, int, int], tuple[int, int]], field: int = 1) -> Callable[[Sequence[Any]], int]:
    """step(field, jump, kernel, stride) -> the next field and jump."""

    def run(layers: Sequence[tuple[int, int]]) -> int:
        seen, jump = field, 1
        for kernel, stride in layers:
            seen, jump = step(seen, jump, kernel, stride)
        return seen

    return run


STEM = [(7, 2), (3, 2)]
field_of = walk(lambda field, jump, k, s: (field + (k - 1) * jump, jump * s))
sees = Exercise(
    "sees(layers)",
    praise="one layer, two, the stem, and stacks with strides: the receptive field grows by (kernel − 1) × jump.",
    right=field_of,
    cases=[([(3, 1)],), ([(3, 1), (3, 1)],), (STEM,), ([*STEM, (3, 1), (3, 1)],),
           ([(3, 2), (3, 1), (1, 2), (5, 1), (3, 3)],)],
    traps=[([(2, 2), (4, 2), (2, 1)],)],
)
sees.slip("ignores-stride", "The stride does not enter: for {case} it gives {given}.",
    walk(lambda field, jump, k, s: (field + k - 1, 1)))
sees.slip("stride-too-early", "The stride works a layer too early: for {case} it gives {given}. A layer's own stride "
    "spreads out what the *next* layers see. Add (kernel − 1) × jump first, then multiply the jump.",
    walk(lambda field, jump, k, s: (field + (k - 1) * jump * s, jump * s)))
sees.slip("adds-kernels", "You add whole kernels: for {case} it gives {given}. Neighbouring windows overlap: a second "
    "3×3 adds 2 pixels, not 3.",
    lambda layers: sum(k for k, _ in layers), walk(lambda field, jump, k, s: (field + k * jump, jump * s)),
    walk(lambda field, jump, k, s: (field + k * jump, jump * s), field=0))
sees.slip("multiplies-kernels", "You multiply: for {case} it gives {given}. Two 3×3 convolutions see 5 pixels, not 9.",
    lambda layers: prod(k for k, _ in layers), lambda layers: prod(k * s for k, s in layers))
sees.slip("starts-at-zero", "You start at 0: for {case} it gives {given}. Before any layer a pixel sees itself: 1.",
    walk(lambda field, jump, k, s: (field + (k - 1) * jump, jump * s), field=0))
sees.slip("last-first", "The order is reversed: last layer first.",
    lambda layers: field_of(layers[::-1]))
sees.slip("last-stride-only", "The jump forgets earlier strides: for {case} it gives {given}. Strides multiply: after "
    "two of 2, neighbouring places lie 4 pixels apart.",
    walk(lambda field, jump, k, s: (field + (k - 1) * jump, s)))
sees.slip("adds-strides", "You add strides: for {case} it gives {given}. They multiply.",
    walk(lambda field, jump, k, s: (field + (k - 1) * jump, jump + s)))
sees.slip("counts-only-strides", "That is how many pixels lie between neighbouring places, the jump: for {case} it "
    "gives {given}. How far does one place see?",
    lambda layers: prod(s for _, s in layers))
sees.slip("stride-on-field", "You multiply the field by the stride: for {case} it gives {given}. What has been seen "
    "does not grow by it; the steps of later layers do. Keep a second number for them, the jump.",
    walk(lambda field, jump, k, s: ((field + k - 1) * s, 1)), walk(lambda field, jump, k, s: (field * s + k - 1, 1)))
sees.slip("own-stride", "Each layer's kernel is spread out by the layer's own stride: for {case} it gives {given}. It "
    "is spread out by the strides of all layers *before* it, multiplied.",
    walk(lambda field, jump, k, s: (field + (k - 1) * s, 1)))
sees.slip("one-side-only", "You let the field grow on one side: for {case} it gives {given}. A 3×3 kernel sees a place "
    "to the left and one to the right.",
    walk(lambda field, jump, k, s: (field + k // 2 * jump, jump * s)))
sees.slip("kernel-and-stride-swapped", "Kernel and stride are swapped: for {case} it gives {given}. The pairs are "
    "(kernel, stride).",
    lambda layers: field_of([(k, s) for s, k in layers]))
sees.slip("returns-too-early", "It stops after the first layer. Look at the indentation of `return`: it belongs "
    "after the "
    "loop.",
    lambda layers: field_of(layers[:1]))
sees.slip("field-and-jump", "It returns {given}: the field and the jump. Only the field is asked for.",
    lambda layers: [field_of(layers), prod(s for _, s in layers)])
sees.slip("one-for-each-layer", "It returns {given}: a field for each layer. That of the whole stack is asked for.",
    lambda layers: [field_of(layers[: n + 1]) for n in range(len(layers))])


class Stage(nn.Sequential):
    """Blocks with projections where the shape changes (option B)."""

    def __init__(self, in_channels: int, channels: int, blocks: int, stride: int, block: type[Basic] = Basic):
        super().__init__()
        self.arguments = {"in_channels": in_channels, "channels": channels, "blocks": blocks, "stride": stride}
        for number in range(blocks):
            made = block(in_channels, channels, 1 if number else stride)
            made.downsample, in_channels = shortcut_for(made, "B"), made.out_channels
            self.append(made)


def rebuilt(**changes: Any) -> Mutation:
    """Another stage, from other arguments."""
    return lambda stage: Stage(**{**stage.arguments, **changes})


def longer(more: int) -> Mutation:
    return lambda stage: rebuilt(blocks=len(stage) + more)(stage)


def restrided(every: bool) -> Mutation:
    """Every block of the stage strides, or the last instead of the first."""

    def mutate(stage: Any) -> None:
        stride = stage[0].stride
        for block in stage if every else (stage[0], stage[-1]):
            block.stride = stride if every or block is stage[-1] else 1
            block.downsample = shortcut_for(block, "B")
            set_stride(block, block.stride)

    return mutate


def first_shortcut(make: Callable[[Any], Any]) -> Mutation:
    """Another shortcut of the first block, by a function of the block; where that returns None, the right one."""

    def mutate(stage: Any) -> None:
        stage[0].downsample = make(stage[0]) or stage[0].downsample

    return mutate


def first_projection(make: Callable[[Any], nn.Module]) -> Mutation:
    """Another projection, by a function of its convolution."""
    return first_shortcut(lambda b: make(b.downsample[0]) if isinstance(b.downsample, ProjectionShortcut) else None)


def overwrites_x(block: Any, x: Tensor) -> Tensor:
    """The shortcut starts after the branch."""
    x = block.residual(x)
    return relu(x + block.shortcut(x))


def made_again(stage: Any) -> None:
    """Every block is made for the channels that the first one gets."""
    for place in range(1, len(stage)):
        stage[place] = made = Basic(stage[0].in_channels, stage[0].channels)
        made.downsample = shortcut_for(made, "B")


def preact_stage(stage: Any) -> Any:
    """As of V2's blocks: projections without a norm, of the activated signal."""
    made: Any = Stage(**stage.arguments, block=PreAct)
    for block in made:
        if isinstance(block.downsample, ProjectionShortcut):
            block.downsample, block.activated = block.downsample[0], block.in_channels != block.channels
    return made


def option(name: str | None) -> Mutation:
    return in_all_blocks(lambda block: setattr(block, "downsample", shortcut_for(block, name)))


basic_stage = ModuleExercise(
    "basic_stage(in_channels, channels, blocks, stride)",
    reference=Stage,
    cases=[Case((4, 6, 2, 2), (3, 4, 8, 6)), Case((4, 4, 3, 1), (1, 4, 6, 5)), Case((3, 5, 2, 1), (2, 3, 5, 6)),
           Case((5, 5, 1, 2), (2, 5, 6, 7)), Case((4, 5, 1, 3), (2, 4, 7, 8))],
    pairs=False,
    slips=[
        slip("every-block-strides", "Every block of a stage strides. Only its first does.",
             restrided(every=True)),
        slip("last-block-strides", "The last block of the stage strides. In He et al. 2015 it is the first; only "
             "Keras's V2 waits until the end.",
             restrided(every=False)),
        slip("one-block-more", "A stage has one block too many: {off} parameters. The number of blocks counts the "
             "first block as well.",
             longer(1)),
        slip("one-block-less", "A stage has one block too few: {off} parameters. The number of blocks counts the first "
             "block as well.",
             longer(-1)),
        slip("ignores-blocks", "The number of blocks is fixed. Use the argument blocks.",
             *[rebuilt(blocks=number) for number in (1, 2, 3)]),
        slip("no-stride", "The stride is not used: the image keeps its size. Which block should get it?",
             rebuilt(stride=1)),
        slip("fixed-stride", "The first block strides by 2, whatever `stride` is.",
             rebuilt(stride=2)),
        slip("in-channels-again", "Every block is made for in_channels. After the first block there are `channels` of "
             "them, and the second block receives those.",
             made_again),
        slip("shares-blocks", "One block appears several times in a stage: {off} parameters. Call the class anew for "
             "each block, so that each has its own weights.",
             share_in),
        slip("projection-everywhere", "Every block has a projection (option C): {off} parameters. Only where the shape "
             "changes is one needed.",
             option("C")),
        slip("projects-without-need", "The first block has a projection even where the shape does not change. The "
             "identity "
             "does that without parameters.",
             first_shortcut(lambda block: shortcut_for(block, "C"))),
        slip("projection-by-stride", "The projection is decided by the stride alone. Stage 1 of a bottleneck net has "
             "stride 1 and still goes from 64 to 256 channels.",
             first_shortcut(lambda block: nn.Identity() if block.stride == 1 else None)),
        slip("projection-by-channels", "You look at the channels alone. A stride changes the shape too: with 64 → 64 "
             "channels at stride 2, x is twice as wide as F(x).",
             first_shortcut(lambda b: nn.Identity() if b.in_channels == b.channels else None)),
        slip("projection-no-norm", "The projection has no batch norm: {off} parameters.",
             first_projection(lambda c: c)),
        slip("projection-3x3", "The projection is a 3×3 convolution. 1×1 is enough to map channels.",
             first_projection(lambda c: conv_and_norm(resized(3, 1)(c)))),
        slip("zero-pads", "Where the shape changes you pad with zeros (option A). Here a projection is asked for "
             "(option B): 1×1 convolution and batch norm.",
             option("A")),
        slip("bottlenecks", "These are bottlenecks: 1×1, 3×3, 1×1, with four times the channels at the end. A basic "
             "block is two 3×3 convolutions.",
             rebuilt(block=Bottle)),
        slip("pre-activation", "This is the pre-activation block (V2, lesson 07): norm and ReLU come before the "
             "convolutions. Here the V1 block is asked for.",
             rebuilt(block=PreAct), preact_stage),
        *ADDITION.adding("no-shortcut", lambda b: setattr(b, "downsample", None)).adding(
            "adds-itself",
            both(lambda b: setattr(b, "downsample", None), computes(lambda b, x: relu(2 * b.residual(x)))),
        ).without("scaled-shortcut", "scaled-residual", "scaled-sum", "learned-scale", "dropout-on-shortcut",
                          "norm-on-shortcut").each(in_all_blocks),
        *CONVS_3X3.only("stride-on-both", "stride-on-second", "no-padding").each(in_all_blocks),
        *LAYERS.without("pools-for-stride", "swapped-channels", "shared-convolution").each(in_all_blocks),
        slip("no-inner-relu", "A ReLU between the convolutions is missing. Two convolutions in a row are one linear "
             "map.",
             in_all_blocks(inside(lambda b, x: b.bn2(b.conv2(b.bn1(b.conv1(x))))))),
        slip("overwrites-x", "The shortcut starts after the branch: x was overwritten by F(x). Keep x under its own "
             "name "
             "until the addition.",
             in_all_blocks(computes(overwrites_x))),
        together("projection-no-norm", "conv-bias", wrong=[
            first_projection(resized(1, bias=True)), both(first_projection(resized(1, bias=True)), biased())]),
    ],
)


def fitted(in_channels: int, channels: int, stride: int = 1) -> Basic:
    """A basic block with a projection where x does not fit (option B)."""
    block = Basic(in_channels, channels, stride)
    block.downsample = shortcut_for(block, "B")
    return block


def where(needed: Callable[[Any], bool]) -> Mutation:
    """A projection by another rule."""

    def mutate(block: Any) -> None:
        block.downsample = shortcut_for(block, "C") if needed(block) else nn.Identity()

    return mutate


def projected(make: Callable[[Any], nn.Module]) -> Mutation:
    """Another projection, by a function of its convolution, where there is one."""

    def mutate(block: Any) -> None:
        if isinstance(block.downsample, ProjectionShortcut):
            block.downsample = make(block.downsample[0])

    return mutate


PROJECTION = Slips(
    slip("projection-by-stride", "You project where the stride is 2. From 3 to 5 channels at stride 1, x does not fit "
         "either.",
         where(lambda b: b.stride != 1)),
    slip("projection-by-channels", "You project where the channels change. At stride 2, x does not fit either, even "
         "if they stay the same.",
         where(lambda b: b.in_channels != b.channels)),
    slip("projects-without-need", "There is a projection where x fits: {off} parameters. There the identity is "
         "enough.",
         where(lambda b: True)),
    slip("projection-no-norm", "A batch norm is missing after the projection.",
         projected(lambda c: c)),
    slip("projection-3x3", "The projection is a 3×3 convolution. 1×1 is enough to map channels.",
         projected(lambda c: conv_and_norm(resized(3, 1)(c)))),
    slip("zero-pads", "The shortcut pads with zeros (option A). Here it projects: a 1×1 convolution and a batch norm.",
         lambda block: setattr(block, "downsample", shortcut_for(block, "A"))),
)

strided_block = ModuleExercise(
    "MyBlock(in_channels, channels, stride=1)",
    reference=fitted,
    cases=[
        Case((4, 6, 2), (3, 4, 8, 6)), Case((5, 5), (2, 5, 6, 7)), Case((3, 5, 1), (2, 3, 5, 6)),
        Case((4, 4, 2), (1, 4, 7, 8)),
    ],
    slips=[*ADDITION.without("norm-on-shortcut"), *BASIC, *PROJECTION],
)


def no_pool(net: Any) -> None:
    net.maxpool = nn.Identity()


resnet34 = ModuleExercise(
    "MyResNet34(num_classes=1000)",
    reference=lambda num_classes=1000: Net(Basic, (3, 4, 6, 3), num_classes=num_classes),
    cases=[Case((7,), (2, 3, 64, 70))],
    net=True,
    seconds=60,
    slips=[
        slip("no-pool", "The 3×3 max-pool after the stem's convolution is missing: all maps are twice as wide, and "
             "the net does four times the work.",
             no_pool),
        slip("pool-without-padding", "The max-pool has no padding. With padding=1 it halves the map and keeps its "
             "border.",
             lambda net: setattr(net, "maxpool", nn.MaxPool2d(3, 2))),
        slip("pool-2x2", "The stem's pool is 2×2. The paper's is 3×3 at stride 2, with padding=1.",
             lambda net: setattr(net, "maxpool", nn.MaxPool2d(2))),
        slip("average-pool", "The stem's pool takes the mean. The paper's takes the maximum.",
             lambda net: setattr(net, "maxpool", nn.AvgPool2d(3, 2, 1))),
        slip("no-stem-relu", "A ReLU is missing in the stem, between its norm and the pool.",
             begins_with(lambda net, x: net.maxpool(net.bn1(net.conv1(x))))),
        slip("no-stem-norm", "The stem's batch norm is missing.",
             drops("bn1")),
        slip("stem-of-cifar", "The stem is a 3×3 convolution without pool, that of nets for small images. Here it is "
             "7×7 at stride 2, then the pool.",
             remade(stem="cifar")),
        slip("stem-without-padding", "The stem's convolution has the wrong padding. Kernel 7 takes 3.",
             replaces(conv1=resized(7, 0)), replaces(conv1=resized(7, 1))),
        slip("no-stem-stride", "The stem's convolution does not stride: all maps are twice as wide.",
             replaces(conv1=resized(7, 3, stride=1))),
        *wrong_strides(4),
        slip("every-block-strides", "Every block of a stage strides. Only the first one does.",
             every_block_strides),
        *block_counts(4),
        slip("shares-blocks", "One block stands for several: they share their weights. Each place needs a new block.",
             share_blocks),
        slip("no-shortcut", "The blocks have no shortcuts: this is plain-34.",
             with_shortcut(None)),
        slip("zero-pads", "The shortcuts pad with zeros (option A). Here they project where the shape changes "
             "(option B).",
             with_shortcut("A")),
        slip("projection-everywhere", "Every shortcut is a projection (option C): {off} parameters. Where x fits, the "
             "identity is enough.",
             with_shortcut("C")),
        slip("wrong-classes", "The number of classes is fixed. Use num_classes.",
             remade(num_classes=1000), remade(num_classes=10)),
        *HEADS,
    ],
)
