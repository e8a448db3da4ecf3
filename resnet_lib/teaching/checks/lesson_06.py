"""Lesson 06: the bottleneck, whole nets of it, and where it strides."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from resnet_lib.models.blocks import Bottleneck
from resnet_lib.models.resnet import ResNet, resnet50v2
from resnet_lib.models.shortcuts import ProjectionShortcut, ZeroPadShortcut
from resnet_lib.teaching import answers
from resnet_lib.teaching.checking import Case, Exercise, Mistake, ModuleExercise, Slips, call, noise, slip, together
from resnet_lib.teaching.checks.mutations import (
    ADDITION,
    HEADS,
    LAYERS,
    Basic,
    Bottle,
    Mutation,
    Net,
    begins_with,
    biased,
    block_counts,
    both,
    computes,
    conv,
    conv_and_norm,
    downsampled_first,
    drops,
    every_block_strides,
    in_all_blocks,
    inside,
    projections,
    remade,
    replaces,
    resized,
    share_blocks,
    shortcut_for,
    strides,
    with_shortcut,
    wrong_strides,
)


def bottleneck_of(i: int, c: int, downsample: nn.Module | None = None, stride: int = 1) -> Bottle:
    return Bottle(i, c, stride, nn.Identity() if downsample is None else downsample)


def widens(factor: int) -> Mutation:
    """The last 1×1 goes to factor × the width."""

    def mutate(block: Any) -> None:
        block.conv3 = conv(1, block.channels, factor * block.channels)
        block.bn3 = nn.BatchNorm2d(factor * block.channels)

    return mutate


def widens_too_early(block: Any) -> None:
    wide = block.out_channels
    block.conv2, block.bn2 = conv(3, block.channels, wide, block.stride), nn.BatchNorm2d(wide)
    block.conv3 = conv(1, wide, wide)


def own_projection(keeps_given: bool) -> Mutation:
    """The block makes its own projection, and may hold the given one beside it."""

    def mutate(block: Any) -> None:
        block.given = block.downsample if keeps_given else None
        block.downsample = shortcut_for(block, "C")

    return mutate


def inner(first: bool, second: bool) -> Mutation:
    """A bottleneck with or without each of its inner ReLUs."""

    def formula(b: Any, x: Tensor) -> Tensor:
        x1 = b.bn1(b.conv1(x))
        x2 = b.bn2(b.conv2(relu(x1) if first else x1))
        return b.bn3(b.conv3(relu(x2) if second else x2))

    return inside(formula)


# fmt: off
bottleneck = ModuleExercise(
    "Bottleneck(in_channels, intermediate_channels, identity_downsample=None, stride=1)",
    reference=bottleneck_of,
    cases=[
        Case((16, 4, None, 1), (4, 16, 6, 5)),
        Case((6, 4, ProjectionShortcut(6, 16, 2), 2), (3, 6, 9, 8)),
        Case((5, 4, nn.Conv2d(5, 16, 1, bias=False), 1), (1, 5, 5, 6)),
        Case((16, 4, ZeroPadShortcut(16, 16, 2), 2), (2, 16, 7, 8)),
    ],
    slips=[
        *ADDITION.without("norm-on-shortcut"),
        *LAYERS.without("shared-convolution").saying(swapped_channels="The first convolution's numbers of channels "
        "are swapped: it goes from "
                       "in_channels to intermediate_channels."),
        slip("stride-on-1x1", "The stride sits on the first 1×1. That is V1, the paper; V1.5 has it on the 3×3.",
             strides("conv1")),
        slip("no-norm-last", "The last batch norm is missing. It keeps the size of F(x) in check before the addition.",
             drops("bn3")),
        slip("no-norm-middle", "The second batch norm is missing. Each convolution is followed by one.", drops("bn2")),
        slip("no-inner-relu", "A ReLU between the convolutions is missing. Two convolutions in a row are one linear "
             "map.",
             inner(False, False), inner(False, True), inner(True, False)),
        slip("relu-before-norm", "ReLU and batch norm are in the wrong order. The norm comes first, then ReLU.",
             inside(lambda b, x: b.bn3(b.conv3(b.bn2(relu(b.conv2(b.bn1(relu(b.conv1(x)))))))))),
        slip("norm-after-add", "The last batch norm comes after the addition. It then changes the shortcut too; He "
             "et al. "
             "2016 (figure 4b): 6.61 % → 8.17 %.",
             computes(lambda b, x: relu(b.bn3(b.conv3(relu(b.bn2(b.conv2(relu(b.bn1(b.conv1(x)))))))
                                             + b.shortcut(x))))),
        slip("ignores-downsample", "`identity_downsample` is not used. Where it is given, the shortcut is "
             "identity_downsample(x).",
             replaces(downsample=lambda d: nn.Identity()),
             computes(lambda b, x: relu(b.residual(x) + x))),
        slip("projects-residual", "`identity_downsample` is applied to the residual. It belongs on x, on the shortcut.",
             computes(lambda b, x: relu(b.shortcut(f := b.residual(x)) + f)),
             computes(lambda b, x: relu(b.shortcut(b.residual(x)) + x))),
        slip("downsampled-first", "x is overwritten by identity_downsample(x) before the branch gets it. The branch "
             "works on "
             "the x that came in.",
             downsampled_first),
        slip("own-projection", "The block makes its own projection. Use the `identity_downsample` that is handed over, "
             "and x where it is None.",
             own_projection(True), own_projection(False)),
        slip("no-expansion", "The last 1×1 does not widen to 4 × intermediate_channels.", widens(1), widens(2)),
        slip("widens-too-early", "The 3×3 already widens: {off} parameters. A bottleneck is cheap because its 3×3 "
             "works on few channels; only the last 1×1 widens.",
             widens_too_early),
        slip("basic-block", "This is a basic block, two 3×3 convolutions. A bottleneck is 1×1, 3×3, 1×1.",
             lambda b: Basic(b.in_channels, b.out_channels, b.stride, b.downsample)),
        slip("wrong-kernel", "A convolution has the wrong kernel size. Compare with the figure: which are 3×3, which "
             "1×1?",
             replaces(conv2=resized(1)), replaces(conv1=resized(3, 1)), replaces(conv3=resized(3, 1))),
        slip("no-padding", "A 3×3 convolution without padding shrinks the image by two pixels. Use padding=1.",
             replaces(conv2=resized(3))),
        slip("stride-on-both", "The stride sits on more than one convolution, so the image is shrunk twice.",
             strides("conv1", "conv2"), strides("conv1", "conv2", "conv3"), strides("conv2", "conv3")),
        slip("stride-on-last", "The stride sits on the last 1×1. Both 3×3 and last 1×1 then work on the large image, "
             "and the shapes still fit.",
             strides("conv3")),
        slip("no-stride", "The stride is not used in the branch: F(x) keeps the image's size, the shortcut does not.",
             strides()),
    ],
)


# fmt: on
class ArticleBlock(Bottle):
    """A bottleneck under the article's signature, for learners who build a net of any block."""

    def __init__(self, in_channels: int, intermediate_channels: int, identity_downsample: Any = None, stride: int = 1):
        shortcut = nn.Identity() if identity_downsample is None else identity_downsample
        super().__init__(in_channels, intermediate_channels, stride, shortcut)


def channels_after(update: Callable[[int, Any], int]) -> Mutation:
    """The running number of channels is kept wrongly: update(number, block) is what follows a stage's first block."""

    def mutate(net: Any) -> None:
        inputs = 64
        for stage in net.stages():
            for place in range(len(stage)):
                made = Bottle(inputs, stage[place].channels, stage[place].stride)
                made.downsample = shortcut_for(made, "C" if place == 0 else "A") or nn.Identity()
                if place:
                    made.downsample = nn.Identity()
                stage[place], inputs = made, update(inputs, made)

    return mutate


def by_stride_alone(net: Any) -> None:
    net.stages()[0][0].downsample = nn.Identity()


def projects(block: Any) -> None:
    if not isinstance(block.downsample, ProjectionShortcut):
        block.downsample = shortcut_for(block, "C")


def no_stem_pool_and_stride(stride: int, *pool: str) -> Mutation:
    return both(replaces(conv1=resized(3, 1, stride=stride)), drops(*pool))


# fmt: off
NETS = Slips(  # in nets of four stages for ImageNet
    slip("no-maxpool", "The stem has no max-pool: the stages then work on images twice as large, at four times the "
         "price.",
         replaces(maxpool=lambda _: nn.Identity())),
    slip("no-stem-relu", "The stem has no ReLU between batch norm and max-pool.",
         begins_with(lambda net, x: net.maxpool(net.bn1(net.conv1(x))))),
    slip("stem-7x7-stride-1", "The stem's convolution does not stride. 224 pixels should become 112 there, and 56 "
         "after the pool.",
         lambda net: setattr(net.conv1, "stride", (1, 1))),
    slip("stride-on-1x1", "The strides sit on the first 1×1 of the blocks. That is V1; V1.5 has them on the 3×3.",
         in_all_blocks(strides("conv1"))),
    *wrong_strides(4),
    slip("every-block-strides", "Every block of a stage strides. Only its first does.",
         every_block_strides),
    slip("no-shortcut", "Nothing is added: these are plain blocks. Where is the `+ x`?", with_shortcut(None)),
    slip("projection-by-stride", "The projection is decided by the stride alone. Stage 1 of a bottleneck net has "
         "stride 1 and still goes from 64 to 256 channels.",
         by_stride_alone),
    slip("projection-everywhere", "Every block has a projection (option C): {off} parameters. Only where the shape "
         "changes is one needed.",
         in_all_blocks(projects)),
    slip("projection-zero-pad", "The shortcuts are padded with zeros (option A): {off} parameters. Projections are "
         "asked for.",
         projections(lambda c, b: ZeroPadShortcut(b.in_channels, b.out_channels, b.stride))),
    slip("projection-no-norm", "The projection has no batch norm: {off} parameters.",
         projections(lambda c, b: c)),
    together("projection-no-norm", "conv-bias", wrong=[projections(lambda c, b: resized(1, bias=True)(c))]),
    slip("projection-3x3", "The projection is a 3×3 convolution. 1×1 is enough to map channels.",
         projections(lambda c, b: conv_and_norm(resized(3, 1)(c)))),
    *block_counts(4),
    slip("expansion-forgotten", "After a stage's first block the channels are 4 × intermediate_channels; you go on "
         "with intermediate_channels. Set self.in_channels to the block's number of output channels.",
         channels_after(lambda inputs, block: block.channels)),
    slip("channels-never-updated", "Every block is made for 64 channels. After a stage's first block there are "
         "4 × intermediate_channels: update self.in_channels.",
         channels_after(lambda inputs, block: 64)),
    slip("fc-width", "The classifier has the wrong number of inputs: the last stage has 512 × expansion channels.",
         replaces(fc=lambda fc: nn.Linear(512, fc.out_features))),
    slip("conv-bias", "A convolution keeps its bias: {off} parameters. The batch norm after it subtracts the mean "
         "and the "
         "bias with it, so it learns nothing. Use bias=False.",
         biased(), lambda net: biased("conv1")(nn.ModuleDict({"stem": nn.ModuleDict({"conv1": net.conv1})})),
         projections(lambda c, b: conv_and_norm(resized(1, bias=True)(c))),
         in_all_blocks(biased("conv1", "conv2", "conv3"))),
    slip("no-stem-norm", "The stem has no batch norm.",
         replaces(bn1=lambda _: nn.Identity())),
    slip("stem-3x3", "The stem is a 3×3 convolution, as for small images. For ImageNet it is 7×7 with stride 2, then a "
         "max-pool.",
         *[no_stem_pool_and_stride(stride, *pool) for stride, pool in product((1, 2), ([], ["maxpool"]))]),
    slip("shares-blocks", "One block appears several times in a stage: {off} parameters. Call the class anew for each "
         "block, so that each has its own weights.",
         share_blocks),
    *HEADS,
    *ADDITION.only("relu-before-add", "no-relu-after").each(in_all_blocks),
    slip("ignores-classes", "The number of classes is fixed. Use the argument num_classes.",
         replaces(fc=lambda fc: nn.Linear(fc.in_features, 1000))),
    slip("ignores-channels", "The number of image channels is fixed at 3. Use the argument.",
         replaces(conv1=resized(7, 3, in_channels=3))),
)


def article_net(block: Any, layers: Sequence[int], image_channels: int, num_classes: int) -> Net:
    return Net(Bottle, layers, image_channels, num_classes)


make_layer = ModuleExercise(
    "MyResNet(block, layers, image_channels, num_classes)",
    reference=article_net,
    cases=[
        Case((ArticleBlock, [2, 1, 1, 1], 1, 7), (2, 1, 40, 40)),
        Case((ArticleBlock, [1, 3, 1, 2], 3, 10), (1, 3, 64, 64)),
    ],
    net=True,
    seconds=30,
    slips=[
        slip("ignores-layers", "The numbers of blocks are fixed. Use the argument layers.",
             *[remade(layers=counts) for counts in ([3, 4, 6, 3], [3, 4, 23, 3], [3, 8, 36, 3])]),
        *NETS,
    ],
)


def deep_net(name: str, *layers: int) -> ModuleExercise:
    """The exercise of one of the deep nets."""
    nets = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3), "resnet152": (3, 8, 36, 3)}
    others = [
        slip(f"is-{other}", f"This is ResNet-{other[6:]}, {[*counts]}.", remade(layers=counts))
        for other, counts in nets.items() if other != name
    ]

    def count_stages(shapes: Sequence[tuple[int, ...]]) -> Mistake | None:
        """Other numbers of blocks, counted by their 3×3 convolutions."""
        given = [shapes.count((64 << stage, 64 << stage, 3, 3)) for stage in range(4)]
        known = given != [*layers] and all(given)
        return Mistake("stage-counts", given=given, wanted=[*layers]) if known else None

    return ModuleExercise(
        f"{name}(img_channel=3, num_classes=1000)",
        reference=lambda in_channels, num_classes: Net(Bottle, layers, in_channels, num_classes),
        cases=[Case((1, 10), (2, 1, 33, 33))],
        net=True,
        seconds=60,
        explain=count_stages,
        slips=[
            *others,
            slip("is-resnet34", "This is ResNet-34: basic blocks. The deep nets are made of bottlenecks.",
                 remade(block=Basic, layers=(3, 4, 6, 3))),
            slip("is-resnet50v2", "This is the V2 net, with pre-activation. V1 is asked for: convolution, norm, ReLU.",
                 lambda net: resnet50v2(in_channels=1, num_classes=10)),
            slip("swapped-middle", "The numbers of blocks of stages 2 and 3 are swapped.",
                 remade(layers=(layers[0], layers[2], layers[1], layers[3]))),
            *NETS,
            slip("stage-counts", "Your stages have {given} blocks; {wanted} are asked for.",
                 remade(layers=(2, 2, 2, 2)),
                 remade(layers=(5, 2, 3, 1))),
        ],
    )


resnet50 = deep_net("resnet50", 3, 4, 6, 3)
resnet101 = deep_net("resnet101", 3, 4, 23, 3)
resnet152 = deep_net("resnet152", 3, 8, 36, 3)


def net_to_move() -> list[tuple[nn.Module]]:
    nets = [ResNet(Bottleneck, layers, width=4, num_classes=5, stem="cifar") for layers in ([1, 2, 2], [2, 1])]
    return [(net,) for net in nets]


def place_problem(returned: Any, before: Sequence[Any], after: Sequence[Any]) -> Mistake | None:
    """Does the net compute what V1 computes with the same weights?"""
    old, moved = before[0], after[0] if returned is None else returned
    if not isinstance(moved, nn.Module):
        return Mistake("not-a-module", got=f"a value of type {type(returned).__name__}")
    names = {1: "nothing-moved", 2: "stride-on-last", 3: "no-stride", 4: "stride-on-both"}
    found = _where_it_strides(moved)
    if "strides-everywhere" in found:
        return Mistake("strides-everywhere")
    if len(found) > 1:
        return Mistake("one-block-only")
    if found and found != {0}:
        return Mistake(names[found.pop()])
    weights = old.state_dict()
    now = dict(moved.named_parameters())
    if any(name not in weights or not torch.equal(p.detach(), weights[name]) for name, p in now.items()):
        return Mistake("other-weights")
    right = ResNet(Bottleneck, old.config.layers, width=4, num_classes=5, stem="cifar", stride_on="1x1")
    right.load_state_dict(weights)
    x = noise(4, 3, 20, 20)
    modes = moved.training, old.training
    with torch.no_grad():
        given = call(deepcopy(moved).eval(), x)
    if not isinstance(given, Tensor) or not torch.allclose(given, right.eval()(x), atol=1e-4):
        return Mistake("other-function")
    return Mistake("changes-mode", mode="eval", what="ResNet") if modes[0] != modes[1] else None


def _where_it_strides(net: nn.Module) -> set[Any]:
    """Which mistakes the strides of a net's bottlenecks are; 0 is none."""
    places: dict[tuple[int, ...], int] = {(2, 1, 1): 0, (1, 2, 1): 1, (1, 1, 2): 2, (1, 1, 1): 3}
    found = set[Any]()
    for block in (module for module in net.modules() if isinstance(module, Bottleneck)):
        pattern = tuple(c.stride[0] if isinstance(c, nn.Conv2d) else 0 for c in (block.conv1, block.conv2, block.conv3))
        if block.stride == 1 and max(pattern) > 1:
            return {"strides-everywhere"}
        if block.stride > 1:
            found.add(places.get(pattern, 4))
    return found


def moves(first: int, second: int, third: int = 1, every: bool = False, only: int = 9) -> Callable[[Any], Any]:
    """Other strides for the three convolutions of the blocks that stride; `every` block, or `only` so many."""

    def change(net: Any) -> Any:
        blocks = [b for b in net.modules() if isinstance(b, Bottleneck) and (every or b.stride > 1)]
        for block in blocks[:only]:
            for one, stride in zip((block.conv1, block.conv2, block.conv3), (first, second, third), strict=True):
                one.stride = (stride, stride)
        return net

    return change


def built_anew(net: Any) -> nn.Module:
    return ResNet(Bottleneck, net.config.layers, width=4, num_classes=5, stem="cifar", stride_on="1x1")


def loses_a_relu(net: Any) -> nn.Module:
    """Strides moved, and the classifier's input changed."""
    net.avgpool = nn.AdaptiveMaxPool2d(1)
    return moves(2, 1)(net)


stride_position = Exercise(
    "to_v1(net)",
    praise="the net computes what V1 computes with the same weights.",
    right=moves(2, 1),
    cases=net_to_move,
    problem=place_problem,
)
stride_position.slip("nothing-moved", "The strides are where they were, on the 3×3. That is V1.5; V1, the paper, has "
    "them on "
    "the first 1×1, as Keras does.",
    lambda net: net)
stride_position.slip("stride-on-last", "The stride sits on the last 1×1. Both 3×3 and last 1×1 then work on the large "
    "image, and the shapes still fit.",
    moves(1, 1, 2))
stride_position.slip("stride-on-both", "A block strides in more than one place, so the image shrinks twice: the 3×3 "
    "keeps "
    "its stride, or another convolution got one.",
    moves(2, 2), moves(2, 1, 2))
stride_position.slip("no-stride", "Nothing strides any more. The stride should move from the 3×3 to the first 1×1.",
    moves(1, 1))
stride_position.slip("strides-everywhere", "Blocks that should not stride now do. Only those whose `stride` is 2 "
    "have a "
    "stride to move.",
    moves(2, 1, every=True))
stride_position.slip("one-block-only", "The stride has moved in some blocks and not in others. Every block that "
    "strides has "
    "one to move.",
    moves(2, 1, only=1))
stride_position.slip("other-weights", "The weights are not those of the net you were given. V1 and V1.5 have the same "
    "parameters, so keep them.",
    built_anew)
stride_position.slip("other-function", "The strides are right and the weights too, but the net computes something "
    "else. Change "
    "nothing apart from the strides.",
    loses_a_relu)
# fmt: on


macs_per_pixel = Exercise(
    "macs_per_pixel(convolutions)",
    praise="Channels in, times channels out, times the square of the kernel.",
    right=answers.macs_per_pixel,
    cases=[
        ([(64, 64, 3), (64, 64, 3)],),
        ([(256, 64, 1), (64, 64, 3), (64, 256, 1)],),
        ([(3, 64, 7)],),
        ([(5, 7, 2), (7, 2, 5)],),
    ],
)


def _summed(price: Callable[[int, int, int], int]) -> Callable[[Sequence[tuple[int, int, int]]], int]:
    return lambda convolutions: sum(price(*convolution) for convolution in convolutions)


macs_per_pixel.slip(
    "kernel-not-squared",
    "The kernel is a square: a 3×3 reads 9 places, not 3 or 6.",
    _summed(lambda i, o, k: i * o * k),
    _summed(lambda i, o, k: i * o * 2 * k),
    _summed(lambda i, o, k: i * o * (k ^ 2)),
)
macs_per_pixel.slip(
    "forgets-kernel", "Each output value reads every place under the kernel.", _summed(lambda i, o, k: i * o)
)
macs_per_pixel.slip(
    "forgets-inputs", "Each output value reads every input channel.", _summed(lambda i, o, k: o * k * k)
)
macs_per_pixel.slip(
    "forgets-outputs", "That is one output channel. How many are there?", _summed(lambda i, o, k: i * k * k)
)
macs_per_pixel.slip(
    "adds-channels",
    "Every output channel reads every input channel: the two multiply.",
    _summed(lambda i, o, k: (i + o) * k * k),
)
macs_per_pixel.slip("counts-bias", "There are no biases here.", _summed(lambda i, o, k: (i * k * k + 1) * o))
macs_per_pixel.slip(
    "counts-flops",
    "A multiplication and an addition count as one multiply-add.",
    _summed(lambda i, o, k: 2 * i * o * k * k),
)
macs_per_pixel.slip(
    "first-only",
    "Only the first convolution is counted. Is there a `return` inside the loop?",
    lambda convolutions: _summed(lambda i, o, k: i * o * k * k)(convolutions[:1]),
)
macs_per_pixel.slip(
    "last-only",
    "Only the last convolution is counted. Add them up.",
    lambda convolutions: _summed(lambda i, o, k: i * o * k * k)(convolutions[-1:]),
)
macs_per_pixel.slip(
    "multiplies-layers",
    "The layers run one after the other: their work adds up.",
    lambda convolutions: prod(i * o * k * k for i, o, k in convolutions),
)
macs_per_pixel.slip(
    "one-number",
    "You return one number per convolution; the sum is wanted.",
    lambda convolutions: [i * o * k * k for i, o, k in convolutions],
)


class Stages(ModuleExercise):
    """Judge what `_make_layer` built, while `forward` is still missing."""

    def observe(self, learners: Any) -> Any:
        return super().observe(stages_of(learners))


def stages_of(net_class: Any) -> Callable[..., nn.Sequential]:
    """A function that builds the four stages of a net of that class."""

    def build(block: Any, layers: Sequence[int], image_channels: int, num_classes: int) -> nn.Sequential:
        net = net_class(block, layers, image_channels, num_classes)
        if isinstance(net, nn.Sequential):  # the stages alone
            return net
        stages = nn.Sequential(net.layer1, net.layer2, net.layer3, net.layer4)
        if not [*stages.parameters()]:
            raise ValueError("the stages are empty; step 1 is `_make_layer`, which returns an nn.Sequential of blocks")
        return stages

    return build


def _firsts(change: Callable[[Any], object]) -> Callable[[Any], None]:
    """A mutation of the first block of every stage."""

    def mutation(stages: Any) -> None:
        for stage in stages:
            change(stage[0])

    return mutation


def _no_projection(when: Callable[[Any], bool]) -> Callable[[Any], None]:
    def change(block: Any) -> None:
        if when(block):
            block.identity_downsample = None

    return _firsts(change)


def _projection_stride_1(block: Any) -> None:
    block.identity_downsample[0].stride = (1, 1)


def _no_block_stride(block: Any) -> None:
    block.conv2.stride = (1, 1)


def _bare_projection(block: Any) -> None:
    block.identity_downsample = block.identity_downsample[0]


def _biased_projection(block: Any) -> None:
    conv = block.identity_downsample[0]
    block.identity_downsample[0] = nn.Conv2d(conv.in_channels, conv.out_channels, 1, conv.stride)


def _lengths(more: int) -> Callable[[Any], None]:
    def mutation(stages: Any) -> None:
        for stage in stages:
            channels = stage[-1].conv3.out_channels
            if more > 0:
                stage.append(answers.block(channels, channels // 4))
            elif len(stage) > 1:
                del stage[-1]

    return mutation


def _every_block_strides(projects: bool) -> Callable[[Any], None]:
    def mutation(stages: Any) -> None:
        for stage in stages:
            stride, channels = stage[0].conv2.stride[0], stage[0].conv3.out_channels
            for place in range(1, len(stage)):
                conv = nn.Conv2d(channels, channels, 1, stride, bias=False)
                projection = nn.Sequential(conv, nn.BatchNorm2d(channels)) if projects and stride > 1 else None
                stage[place] = answers.block(channels, channels // 4, projection, stride)

    return mutation


def _only_the_first(stages: Any) -> None:
    for stage in stages:
        del stage[1:]


def _every_block_projects(stages: Any) -> None:
    for stage in stages:
        channels = stage[0].conv3.out_channels
        for block in stage[1:]:
            conv = nn.Conv2d(channels, channels, 1, bias=False)
            block.identity_downsample = nn.Sequential(conv, nn.BatchNorm2d(channels))


def _channels_not_kept(stages: Any) -> None:
    for stage in stages:
        channels = stage[0].conv1.in_channels
        for place in range(1, len(stage)):
            stage[place] = answers.block(channels, stage[0].conv1.out_channels)


def _always_64(stages: Any) -> None:
    for stage in stages:
        for block in stage:
            channels = block.conv1.out_channels
            block.conv1 = nn.Conv2d(64, channels, 1, bias=False)
        if stage[0].identity_downsample is not None:
            conv = stage[0].identity_downsample[0]
            stage[0].identity_downsample[0] = nn.Conv2d(64, conv.out_channels, 1, conv.stride, bias=False)


def _shared(stages: Any) -> None:
    for stage in stages:
        for place in range(2, len(stage)):
            stage[place] = stage[1]


stages = Stages(
    "ResNet(block, layers, image_channels, num_classes)",
    reference=stages_of(answers.ResNet),
    cases=[
        Case((answers.block, [3, 2, 2, 1], 3, 10), (2, 64, 9, 8)),
        Case((answers.block, [1, 3, 1, 2], 1, 7), (2, 64, 8, 8)),
    ],
    net=True,
    praise="Step 1 is right: the four stages have the right blocks, strides and projections.",
    seconds=30,
    slips=[
        slip(
            "first-block-only",
            "Every stage has its first block and no other. `num_residual_blocks` says how many there should be.",
            _only_the_first,
        ),
        slip(
            "projection-by-stride",
            "The first block of stage 1 has no projection. Its stride is 1, but 64 channels go in and 256 come out: "
            "project when the stride or the channels change.",
            _no_projection(lambda block: block.conv2.stride == (1, 1)),
        ),
        slip(
            "never-projects",
            "No block has a projection, so shapes that changed cannot be added. Hand `identity_downsample` to the "
            "first block of a stage.",
            _no_projection(lambda block: True),
        ),
        slip(
            "strides-differ",
            "In the first block of stages 2 to 4 the branch and the projection have different strides, so the image "
            "sizes do not agree. The block and its 1×1 projection both get `stride`.",
            _firsts(_projection_stride_1),
            _firsts(_no_block_stride),
        ),
        slip(
            "projection-no-norm",
            "The projection is a bare convolution: a batch norm should follow it.",
            _firsts(_bare_projection),
        ),
        slip(
            "projection-bias",
            "The projection's convolution has a bias, which the batch norm after it cancels. Use bias=False.",
            _firsts(_biased_projection),
        ),
        slip("one-block-more", "Every stage has one block too many: the first one counts as well.", _lengths(1)),
        slip("one-block-less", "Stages have one block too few.", _lengths(-1)),
        slip(
            "every-block-strides",
            "Every block of a stage strides; only the first should.",
            _every_block_strides(projects=True),
            _every_block_strides(projects=False),
        ),
        slip(
            "every-block-projects",
            "Every block has a projection. Only the first block of a stage changes the shape.",
            _every_block_projects,
        ),
        slip(
            "channels-not-kept",
            "The later blocks of a stage expect the channels that its first block received. Update self.in_channels "
            "after the first block.",
            _channels_not_kept,
            _always_64,
        ),
        slip(
            "shares-blocks",
            "The later blocks of a stage are one and the same object, so they share weights. Make a new block "
            "each time, inside the loop.",
            _shared,
        ),
    ],
)

article_key = Exercise(
    "article_key(key)",
    praise="Torchvision's names fit the article's net.",
    right=answers.article_key,
    cases=[
        (key,)
        for key in (
            "layer1.0.downsample.0.weight",
            "layer4.0.downsample.1.running_mean",
            "layer1.0.conv1.weight",
            "bn1.bias",
            "fc.weight",
        )
    ],
)
article_key.slip(
    "unchanged",
    "The key of a projection comes back as it was. Strings do not change in place: return what `replace` gives.",
    lambda key: key,
    lambda key: key.replace("identity_downsample", "downsample"),
)
article_key.slip(
    "loses-the-rest",
    "What comes before or after the name is lost. Only one part of the key changes.",
    lambda key: "identity_downsample" if "downsample" in key else key,
    lambda key: "identity_" + key[key.index("downsample") :] if "downsample" in key else key,
)
article_key.slip(
    "prefix-at-the-start",
    "`identity_` is at the start of the key. It belongs before `downsample`.",
    lambda key: "identity_" + key if "downsample" in key else key,
    lambda key: "identity_" + key,
)
article_key.slip(
    "changes-others",
    "Other names change too. Only `downsample` has a different name in the article.",
    lambda key: key.replace(".", ".identity_", 1),
    lambda key: key.replace(".0.", ".0.identity_", 1),
)
article_key.slip(
    "returns-nothing-for-others",
    "For names that stay the same you return nothing. Return the key as it is.",
    lambda key: key.replace("downsample", "identity_downsample") if "downsample" in key else None,
)
