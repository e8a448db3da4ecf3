"""Lesson 06: the price of a block, the stages of a whole net, names of weights."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from torch import nn

from resnet_lib.teaching import answers
from resnet_lib.teaching.checking import Case, Exercise, ModuleExercise, slip

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
    "Only the first convolution is counted. Does a `return` stand inside the loop?",
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
            "The projection is a bare convolution: a batch norm follows it.",
            _firsts(_bare_projection),
        ),
        slip(
            "projection-bias",
            "The projection's convolution has a bias, which the batch norm after it takes away again. Use bias=False.",
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
            "The later blocks of a stage are one and the same object, so they share weights. Make each block anew, "
            "inside the loop.",
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
    "What stands before or after the name is lost. Only one part of the key changes.",
    lambda key: "identity_downsample" if "downsample" in key else key,
    lambda key: "identity_" + key[key.index("downsample") :] if "downsample" in key else key,
)
article_key.slip(
    "prefix-at-the-start",
    "`identity_` stands at the start of the key. It belongs before `downsample`.",
    lambda key: "identity_" + key if "downsample" in key else key,
    lambda key: "identity_" + key,
)
article_key.slip(
    "changes-others",
    "Other names change too. Only `downsample` has another name in the article.",
    lambda key: key.replace(".", ".identity_", 1),
    lambda key: key.replace(".0.", ".0.identity_", 1),
)
article_key.slip(
    "returns-nothing-for-others",
    "For names that stay you return nothing. Return the key as it is.",
    lambda key: key.replace("downsample", "identity_downsample") if "downsample" in key else None,
)
