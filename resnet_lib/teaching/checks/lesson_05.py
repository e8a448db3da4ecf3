"""Lesson 05: what an architecture table says, worked out by hand, and ResNet-34 built from it."""

from collections.abc import Callable, Sequence
from math import ceil, prod
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import relu

from resnet_lib.models.shortcuts import ProjectionShortcut
from resnet_lib.teaching.checking import Case, Exercise, ModuleExercise, Slips, slip, together
from resnet_lib.teaching.checks.mutations import (
    ADDITION,
    BASIC,
    HEADS,
    Basic,
    Mutation,
    Net,
    begins_with,
    biased,
    both,
    computes,
    conv_and_norm,
    drops,
    ends_with,
    in_all_blocks,
    of_stages,
    remade,
    replaces,
    resized,
    set_stride,
    with_shortcut,
)

# fmt: off
map_size = Exercise(
    "map_size(size, kernel, stride, padding)",
    praise="seven layers of ResNet and its relatives; PyTorch's own sizes.",
    right=lambda n, k, s, p: (n + 2 * p - k) // s + 1,
    cases=[(224, 7, 2, 3), (112, 3, 2, 1), (56, 3, 1, 1), (56, 1, 2, 0), (28, 3, 2, 0), (7, 7, 1, 0), (11, 5, 3, 2)],
    traps=[(5, 5, 2, 0), (10, 4, 4, 1)],
)
map_size.slip("brackets-missing", "Brackets are missing: / and // divide only what is next to them.",
    lambda n, k, s, p: n + 2 * p - k // s + 1, lambda n, k, s, p: n + 2 * p - k / s + 1,
    lambda n, k, s, p: n - k + 2 * p // s + 1, lambda n, k, s, p: n - k + 2 * p / s + 1)
map_size.slip("forgets-padding", "Padding is missing. It widens the image on both sides before the kernel moves.",
    lambda n, k, s, p: (n - k) // s + 1)
map_size.slip("pads-one-side", "You count padding once. It is added on both sides, so 2 × padding.",
    lambda n, k, s, p: (n + p - k) // s + 1)
map_size.slip("fence-posts", "One is missing: a kernel that moves 3 times has been at 4 places.",
    lambda n, k, s, p: (n + 2 * p - k) // s)
map_size.slip("ignores-kernel", "The kernel's size does not enter. A kernel must fit into the image where it stands.",
    lambda n, k, s, p: n // s, lambda n, k, s, p: ceil(n / s), lambda n, k, s, p: (n + 2 * p) // s,
    lambda n, k, s, p: (n + 2 * p) // s + 1)
map_size.slip("plus-inside", "The + 1 is inside the division. The first place is there whatever the stride is.",
    lambda n, k, s, p: (n + 2 * p - k + 1) // s)
map_size.slip("padding-outside", "Padding is added after the division. It widens the image, so it comes before.",
    lambda n, k, s, p: (n - k) // s + 2 * p + 1)
map_size.slip("wrong-sign", "A sign is wrong: padding adds to the image, and the kernel takes from its width.",
    lambda n, k, s, p: (n - 2 * p - k) // s + 1, lambda n, k, s, p: (n + 2 * p + k) // s + 1)
map_size.slip("ignores-stride", "The stride does not enter. A stride of 2 keeps every second place.",
    lambda n, k, s, p: n + 2 * p - k + 1)
map_size.slip("rounds-otherwise", "You round up, or to the nearest. A last step that does not fit is not taken: //.",
    lambda n, k, s, p: ceil((n + 2 * p - k) / s) + 1, lambda n, k, s, p: round((n + 2 * p - k) / s) + 1,
    lambda n, k, s, p: round((n + 2 * p - k) / s + 1))
map_size.slip("divides-exactly", "It returns a fraction. Steps are counted, so round down: //.",
    lambda n, k, s, p: (n + 2 * p - k) / s + 1)

PRICES = Slips(  # of a convolution per pixel: (in_channels, out_channels, kernel)
    slip("kernel-not-squared", "A 3×3 kernel has 9 weights for each pair of channels, not 3 or 6: kernel**2.",
         lambda i, o, k: i * o * k, lambda i, o, k: i * o * 2 * k),
    slip("caret", "`^` is not a power in Python, it works on bits. Write kernel**2.",
         lambda i, o, k: i * o * (k ^ 2)),
    slip("forgets-kernel", "The kernel is missing. That is the price of a 1×1 convolution.",
         lambda i, o, k: i * o),
    slip("forgets-channels", "A number of channels is missing. Each output channel looks at every input channel.",
         lambda i, o, k: o * k * k, lambda i, o, k: i * k * k, lambda i, o, k: k * k, lambda i, o, k: i * i * k * k),
    slip("adds-channels", "You add the channels. There is a kernel for each pair of them: a product.",
         lambda i, o, k: (i + o) * k * k),
    slip("fixed-kernel", "The kernel is always 3×3, whatever `kernel` is.",
         lambda i, o, k: i * o * 9),
    slip("counts-bias", "You add one for a bias. Multiply-adds leave it out, and here there is none.",
         lambda i, o, k: (i * k * k + 1) * o),
    slip("counts-flops", "You count two operations. A multiplication and its addition are one multiply-add.",
         lambda i, o, k: 2 * i * o * k * k, lambda i, o, k: (2 * i * k * k - 1) * o),
)

conv_macs = Exercise(
    "conv_macs(in_channels, out_channels, kernel, size)",
    praise="four convolutions: every weight is used once for each pixel of the output.",
    right=lambda i, o, k, n: i * o * k * k * n * n,
    cases=[(64, 64, 3, 56), (3, 64, 7, 112), (256, 64, 1, 56), (512, 512, 3, 7)],
    slips=PRICES.each(lambda price: lambda i, o, k, n: price(i, o, k) * n * n).adding(
        "caret", lambda i, o, k, n: i * o * k ^ 2 * n ^ 2, lambda i, o, k, n: i * o * (k ^ 2) * (n ^ 2)),
)
conv_macs.slip("counts-parameters", "Those are the weights. Each is used once for every pixel of the output.",
    lambda i, o, k, n: i * o * k * k)
conv_macs.slip("size-not-squared", "The size is counted once. A map of 56 × 56 has 3,136 pixels: size**2.",
    lambda i, o, k, n: i * o * k * k * n, lambda i, o, k, n: i * o * k * k * 2 * n)
conv_macs.together("kernel-not-squared", "size-not-squared", wrong=[
    lambda i, o, k, n: i * o * k * n, lambda i, o, k, n: i * o * 2 * k * 2 * n])
conv_macs.slip("input-size", "You shrink `size`. It is the size of the *output* already.",
    lambda i, o, k, n: i * o * k * k * (n - k + 1) ** 2, lambda i, o, k, n: i * o * k * k * (n // 2) ** 2)
conv_macs.slip("adds-areas", "You add the map's area. Each weight is used once for every pixel: a product.",
    lambda i, o, k, n: i * o * k * k + n * n)


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
sees.slip("ignores-stride", "The stride does not enter. It spreads out what later layers see.",
    walk(lambda field, jump, k, s: (field + k - 1, 1)))
sees.slip("stride-too-early", "The stride works a layer too early. Add (kernel − 1) × jump, then change the jump.",
    walk(lambda field, jump, k, s: (field + (k - 1) * jump * s, jump * s)))
sees.slip("adds-kernels", "You add whole kernels. Neighbouring windows overlap: a second 3×3 adds 2 pixels, not 3.",
    lambda layers: sum(k for k, _ in layers), walk(lambda field, jump, k, s: (field + k * jump, jump * s)),
    walk(lambda field, jump, k, s: (field + k * jump, jump * s), field=0))
sees.slip("multiplies-kernels", "You multiply kernels. Two 3×3 convolutions see 5 pixels, not 9.",
    lambda layers: prod(k for k, _ in layers), lambda layers: prod(k * s for k, s in layers))
sees.slip("starts-wrongly", "The field starts at another value than 1. Before any layer a pixel sees itself.",
    walk(lambda field, jump, k, s: (field + (k - 1) * jump, jump * s), field=0),
    lambda layers: field_of(layers) + layers[0][0] - 1)
sees.slip("last-first", "The order is reversed. The list holds the first layer first.",
    lambda layers: field_of(layers[::-1]))
sees.slip("last-stride-only", "The jump forgets earlier strides. Strides multiply: after two of 2 it is 4.",
    walk(lambda field, jump, k, s: (field + (k - 1) * jump, s)))
sees.slip("adds-strides", "You add strides. They multiply.",
    walk(lambda field, jump, k, s: (field + (k - 1) * jump, jump + s)))
sees.slip("counts-only-strides", "That is the jump, the distance of neighbouring places. How far does one see?",
    lambda layers: prod(s for _, s in layers))
sees.slip("stride-on-field", "You multiply the field by the stride. Only the steps of later layers grow: the jump.",
    walk(lambda field, jump, k, s: ((field + k - 1) * s, 1)), walk(lambda field, jump, k, s: (field * s + k - 1, 1)))
sees.slip("own-stride", "A kernel is spread out by its own stride. The strides of all layers *before* it do that.",
    walk(lambda field, jump, k, s: (field + (k - 1) * s, 1)))
sees.slip("kernel-and-stride-swapped", "Kernel and stride are swapped. The pairs are (kernel, stride).",
    lambda layers: field_of([(k, s) for s, k in layers]))
sees.slip("misses-layers", "Layers are left out. Does `return` stand inside the loop, or a slice end too early?",
    lambda layers: field_of(layers[:1]), lambda layers: field_of(layers[:-1]))


# Blocks, stages and nets with projections where the shape changes (option B)


def where(needed: Callable[[Any], bool]) -> Mutation:
    """A projection by another rule."""

    def mutate(block: Any) -> None:
        block.downsample = block.make_shortcut("C") if needed(block) else nn.Identity()

    return mutate


def projected(make: Callable[[nn.Conv2d], nn.Module]) -> Mutation:
    """Another projection, by a function of its convolution, where there is one."""

    def mutate(block: Any) -> None:
        if isinstance(block.downsample, ProjectionShortcut):
            block.downsample = make(block.downsample[0])

    return mutate


def overwrites_x(block: Any, x: Tensor) -> Tensor:
    x = block.residual(x)
    return relu(x + block.shortcut(x))


def widens_late(block: Any) -> None:
    inputs = block.in_channels
    block.conv1, block.bn1 = resized(3, 1, out_channels=inputs)(block.conv1), nn.BatchNorm2d(inputs)
    block.conv2 = resized(3, 1, in_channels=inputs)(block.conv2)


PROJECTION = Slips(
    slip("projection-by-stride", "No projection where channels change at stride 1. There x does not fit either.",
         where(lambda b: b.stride != 1)),
    slip("projection-by-channels", "No projection where channels stay at stride 2. There x does not fit either.",
         where(lambda b: b.in_channels != b.out_channels)),
    slip("projects-without-need", "There is a projection where x fits: {off} parameters. There the identity is enough.",
         where(lambda b: True)),
    slip("projection-no-norm", "A batch norm is missing after the projection: {off} parameters.",
         projected(lambda c: c)),
    slip("projection-bias", "The projection keeps its bias: {off} parameters. A norm follows, so use bias=False.",
         projected(lambda c: conv_and_norm(resized(1, bias=True)(c)))),
    together("projection-no-norm", "projection-bias", wrong=[projected(resized(1, bias=True))]),
    slip("projection-3x3", "The projection is a 3×3 convolution. 1×1 is enough to map channels.",
         projected(lambda c: conv_and_norm(resized(3, 1)(c)))),
    slip("zero-pads", "The shortcut pads with zeros (option A). Here it projects: 1×1 convolution and batch norm.",
         with_shortcut("A")),
)
PLUS = (  # where a shortcut that nobody calls has weights
    ADDITION.without("norm-on-shortcut")
    .adding("no-shortcut", computes(lambda b, x: relu(b.residual(x))))
    .adding("adds-itself", computes(lambda b, x: relu(2 * b.residual(x))))
)
BLOCK = Slips(
    *PLUS, *BASIC, *PROJECTION,
    slip("widens-late", "The second convolution changes the channels. The first should: in_channels to channels.",
         widens_late),
    slip("overwrites-x", "The shortcut starts after the branch, which overwrote x. Give the branch another name.",
         computes(overwrites_x)),
    together("projection-no-norm", "conv-bias", wrong=[both(projected(resized(1, bias=True)), biased())]),
)


strided_block = ModuleExercise(
    "MyBlock(in_channels, channels, stride=1)",
    reference=lambda in_channels, channels, stride=1: Basic(in_channels, channels, stride=stride),
    cases=[Case((4, 6, 2), (3, 4, 8, 6)), Case((5, 5), (2, 5, 6, 7)), Case((3, 5, 1), (2, 3, 5, 6)),
           Case((4, 4, 2), (1, 4, 7, 8))],
    slips=BLOCK.saying(no_stride="A stride is missing: the first convolution and the projection both take it."),
)


class Stage(nn.Sequential):
    """A net of one stage."""

    config = SimpleNamespace(shortcut="B")

    def __init__(self, in_channels: int, channels: int, blocks: int, stride: int):
        first = Basic(in_channels, channels, stride=stride)
        super().__init__(first, *[Basic(channels, channels) for _ in range(blocks - 1)])

    def stages(self) -> list["Stage"]:
        return [self]


def rebuilt(**changes: int) -> Mutation:
    """Another stage, from other arguments."""

    def mutate(stage: Any) -> Stage:
        first = stage[0]
        made = {"in_channels": first.in_channels, "channels": first.channels, "blocks": len(stage)}
        return Stage(**{**made, "stride": first.stride, **changes})

    return mutate


def restrided(every: bool) -> Mutation:
    """Every block strides, or the last instead of the first."""

    def mutate(stage: Any) -> None:
        stride = stage[0].stride
        for place, block in enumerate(stage, 1):
            block.stride = stride if every or place == len(stage) else 1
            block.downsample = block.make_shortcut("B")
            set_stride(block, block.stride)

    return mutate


def inputs_again(stage: Any) -> None:
    for place in range(1, len(stage)):
        stage[place] = Basic(stage[0].in_channels, stage[0].channels)


basic_stage = ModuleExercise(
    "basic_stage(in_channels, channels, blocks, stride)",
    reference=Stage,
    cases=[Case((4, 6, 2, 2), (3, 4, 8, 6)), Case((4, 4, 3, 1), (1, 4, 6, 5)), Case((3, 5, 2, 1), (2, 3, 5, 6)),
           Case((5, 5, 1, 2), (2, 5, 6, 7)), Case((4, 5, 1, 3), (2, 4, 7, 8))],
    pairs=False,
    slips=[
        slip("every-block-strides", "Every block of the stage strides. Only its first does.",
             restrided(every=True)),
        slip("last-block-strides", "The last block of the stage strides. The first should.",
             restrided(every=False)),
        *of_stages(1).only("one-block-more", "one-block-less", "shares-blocks"),
        slip("ignores-blocks", "The number of blocks is fixed. Use the argument blocks.",
             *[rebuilt(blocks=number) for number in (1, 2, 3)]),
        slip("no-stride", "The stride is not used: the image keeps its size. The first block should get it.",
             rebuilt(stride=1)),
        slip("fixed-stride", "The first block strides by 2, whatever `stride` is.",
             rebuilt(stride=2)),
        slip("in-channels-again", "Every block is made for in_channels. From the second on they receive `channels`.",
             inputs_again),
        *BLOCK.without("no-stride", "pools-for-stride", "swapped-channels", "shared-convolution", "widens-late").each(
            in_all_blocks),
    ],
)

STEM_7X7 = Slips(  # in nets for ImageNet
    slip("no-maxpool", "The stem's max-pool is missing: all maps are twice as wide, at four times the work.",
         drops("maxpool")),
    slip("no-stem-relu", "A ReLU is missing in the stem, between its norm and the pool.",
         begins_with(lambda net, x: net.maxpool(net.bn1(net.conv1(x))))),
    slip("no-stem-norm", "The stem's batch norm is missing.",
         drops("bn1")),
    slip("stem-order", "The stem's layers run in another order. It is convolution, norm, ReLU, pool.",
         begins_with(lambda net, x: net.maxpool(net.bn1(relu(net.conv1(x))))),
         begins_with(lambda net, x: relu(net.bn1(net.conv1(net.maxpool(x)))))),
    slip("stem-3x3", "The stem is a 3×3 convolution, as for small images. Here it is 7×7 at stride 2, then the pool.",
         *[replaces(conv1=resized(3, 1, stride=stride), **pool) for stride in (1, 2)
           for pool in ({}, {"maxpool": lambda _: nn.Identity()})]),
    slip("no-stem-stride", "The stem's convolution does not stride: all maps are twice as wide.",
         replaces(conv1=resized(7, 3, stride=1))),
    slip("stem-without-padding", "The stem's convolution has the wrong padding. Kernel 7 takes 3.",
         replaces(conv1=resized(7, 0)), replaces(conv1=resized(7, 1))),
    slip("stem-bias", "The stem's convolution keeps its bias: {off} parameters. A norm follows, so use bias=False.",
         replaces(conv1=resized(7, 3, bias=True))),
)
STAGES = Slips(  # in nets of four stages
    *of_stages(4),
    slip("no-shortcut", "The blocks have no shortcuts: this is a plain net. Where is the `+ x`?",
         with_shortcut(None)),
    *PROJECTION.without("projection-by-stride", "projection-by-channels").each(in_all_blocks),
)


def passes(*order: int) -> Mutation:
    """The stages run in another order, or some do not."""
    return computes(lambda net, x: net.head(nn.Sequential(*[net.stages()[n] for n in order])(net.stem(x))))


REST = Slips(  # of what the forward pass does after the stem
    slip("stage-order", "A stage is left out, or they run in another order than from first to last.",
         *[passes(*order) for order in ((0, 2, 1, 3), (0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3))]),
    *HEADS,
    slip("no-classifier", "The linear layer never runs. The net returns logits, one for each class.",
         ends_with(lambda net, x: net.avgpool(x).flatten(1))),
    slip("ignores-classes", "The number of classes is fixed. Use the argument num_classes.",
         replaces(fc=lambda fc: nn.Linear(fc.in_features, 1000))),
)

resnet34 = ModuleExercise(
    "MyResNet34(num_classes=1000)",
    reference=lambda num_classes=1000: Net(Basic, (3, 4, 6, 3), num_classes=num_classes),
    cases=[Case((7,), (2, 3, 64, 70))],
    net=True,
    seconds=60,
    slips=[
        slip("other-counts", "The numbers of blocks are not 3, 4, 6, 3. Read them off the table.",
             remade(layers=(2, 2, 2, 2)), remade(layers=(3, 6, 4, 3))),
        *STEM_7X7, *STAGES, *REST,
    ],
)
# fmt: on
