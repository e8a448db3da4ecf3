"""Lesson 06: the bottleneck, whole nets of it, and where it strides."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import relu
from torch.nn.modules.utils import _pair

from resnet_lib.models.blocks import Bottleneck
from resnet_lib.models.resnet import ResNet
from resnet_lib.models.shortcuts import ProjectionShortcut, ZeroPadShortcut
from resnet_lib.teaching import answers
from resnet_lib.teaching.checking import Case, Exercise, Mistake, ModuleExercise, Slips, slip
from resnet_lib.teaching.checks.lesson_04 import weights_of
from resnet_lib.teaching.checks.lesson_05 import PLUS, PRICES, PROJECTION, REST, STAGES, STEM_7X7, where
from resnet_lib.teaching.checks.mutations import (
    LAYERS,
    Bottle,
    Mutation,
    Net,
    computes,
    downsampled_first,
    drops,
    in_all_blocks,
    inside,
    remade,
    replaces,
    resized,
)


# fmt: off
def summed(price: Callable[[int, int, int], int]) -> Callable[[Sequence[tuple[int, int, int]]], int]:
    return lambda convolutions: sum(price(*convolution) for convolution in convolutions)


macs_per_pixel = Exercise(
    "macs_per_pixel(convolutions)",
    praise="channels in, times channels out, times the square of the kernel.",
    right=answers.macs_per_pixel,
    cases=[([(64, 64, 3), (64, 64, 3)],), ([(256, 64, 1), (64, 64, 3), (64, 256, 1)],), ([(3, 64, 7)],),
           ([(5, 7, 2), (7, 2, 5)],)],
    slips=PRICES.each(summed),
)
macs_per_pixel.slip("misses-layers", "Layers are left out. Add up all, with the `return` after the loop.",
    lambda convolutions: answers.macs_per_pixel(convolutions[:1]),
    lambda convolutions: answers.macs_per_pixel(convolutions[-1:]))
macs_per_pixel.slip("no-sum", "The layers run one after the other, so their work adds up. Return the sum.",
    lambda convolutions: prod(i * o * k * k for i, o, k in convolutions),
    lambda convolutions: answers.macs_per_pixel(convolutions) / len(convolutions))
macs_per_pixel.slip("squares-all", "You square the whole product. Only the kernel is a square.",
    summed(lambda i, o, k: (i * o * k) ** 2))


def bottleneck_of(i: int, c: int, downsample: nn.Module | None = None, stride: int = 1) -> Bottle:
    return Bottle(i, c, stride=stride, shortcut=nn.Identity() if downsample is None else downsample)


def inner(first: bool, second: bool) -> Mutation:
    """A bottleneck with or without each of its inner ReLUs."""

    def formula(b: Any, x: Tensor) -> Tensor:
        x1 = b.bn1(b.conv1(x))
        x2 = b.bn2(b.conv2(relu(x1) if first else x1))
        return b.bn3(b.conv3(relu(x2) if second else x2))

    return inside(formula)


def adds_projections_only(b: Any, x: Tensor) -> Tensor:
    f = b.residual(x)
    return relu(f if isinstance(b.downsample, nn.Identity) else f + b.shortcut(x))


def projects_branch(b: Any, x: Tensor) -> Tensor:
    f = b.residual(x)
    return relu(f + (x if isinstance(b.downsample, nn.Identity) else b.shortcut(f)))


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
        *PLUS.without("learned-scale", "dropout-on-shortcut"),
        *LAYERS.only("no-norm", "no-norm-first", "shared-norm"),
        slip("no-norm-middle", "The second batch norm is missing. Each convolution is followed by one.", drops("bn2")),
        slip("no-norm-last", "The last batch norm is missing. Each convolution is followed by one.", drops("bn3")),
        slip("no-inner-relu", "A ReLU between the convolutions is missing. Two of the three norms have one.",
             inner(False, False), inner(False, True), inner(True, False)),
        slip("relu-before-norm", "ReLU and batch norm are in the wrong order. The norm comes first, then ReLU.",
             inside(lambda b, x: b.bn3(b.conv3(b.bn2(relu(b.conv2(b.bn1(relu(b.conv1(x)))))))))),
        slip("norm-after-add", "The last batch norm comes after the addition, so it changes the shortcut too.",
             computes(lambda b, x: relu(b.bn3(b.conv3(relu(b.bn2(b.conv2(relu(b.bn1(b.conv1(x)))))))
                                             + b.shortcut(x))))),
        slip("ignores-downsample", "`identity_downsample` is not used. Where it is given, x goes through it.",
             computes(lambda b, x: relu(b.residual(x) + x))),
        slip("adds-projections-only", "Nothing is added where `identity_downsample` is None. There add x itself.",
             computes(adds_projections_only)),
        slip("projects-residual", "`identity_downsample` is applied to the branch. It belongs on x, on the shortcut.",
             computes(lambda b, x: relu(b.shortcut(f := b.residual(x)) + f)),
             computes(projects_branch)),
        slip("downsampled-first", "The branch gets identity_downsample(x). It works on the x that came in.",
             downsampled_first),
    ],
)


Channels = Callable[[int, Bottle], int]


def receives(rest: Channels, following: Channels) -> Mutation:
    """The channels for which a stage's other blocks and the next stage are made, by functions of (the channels for
    which its first block was made, that block)."""

    def mutate(net: Any) -> None:
        inputs = 64
        for stage in net.stages():
            first = Bottle(inputs, stage[0].channels, stride=stage[0].stride)
            others = [Bottle(rest(inputs, first), first.channels, shortcut=nn.Identity()) for _ in stage[1:]]
            for place, block in enumerate([first, *others]):
                stage[place] = block
            inputs = following(inputs, first)

    return mutate


def projection_keeps_size(block: Any) -> None:
    if isinstance(block.downsample, ProjectionShortcut):
        block.downsample[0].stride = (1, 1)  # type: ignore[assignment]


def every_branch_strides(net: Any) -> None:
    for stage in net.stages():
        for block in stage:
            block.conv2.stride = stage[0].conv2.stride


def only_the_first(net: Any) -> None:
    for stage in net.stages():
        del stage[1:]


OWN, OUT, SAME = lambda inputs, b: b.channels, lambda inputs, b: b.out_channels, lambda inputs, b: inputs
MAKE_LAYER = Slips(
    *STAGES.adding("every-block-strides", every_branch_strides),
    *PROJECTION.only("projection-by-stride").each(in_all_blocks),
    slip("never-projects", "No block has a projection. Hand `identity_downsample` to the first block of a stage.",
         in_all_blocks(where(lambda block: False))),
    slip("strides-differ", "Branch and projection have different strides. Both get `stride`.",
         in_all_blocks(projection_keeps_size),
         in_all_blocks(lambda block: setattr(block.conv2, "stride", (1, 1)))),
    slip("first-block-only", "Every stage has its first block and no other. `num_residual_blocks` says how many.",
         only_the_first),
    slip("channels-not-kept", "self.in_channels is wrong: after a stage's first block it is what leaves that block, "
         "intermediate_channels * block.expansion.",
         *[receives(rest, following) for rest, following in ((OUT, SAME), (SAME, SAME), (OWN, OWN), (OUT, OWN),
                                                             (OWN, OUT), (SAME, OUT))]),
)


def article_net(block: Any, layers: Sequence[int], image_channels: int, num_classes: int) -> Net:
    return Net(Bottle, layers, in_channels=image_channels, num_classes=num_classes)


class OnlyStages(Net):
    def __init__(self, block: Any, layers: Sequence[int], *others: int):
        super().__init__(Bottle, layers)
        self.conv1 = self.bn1 = self.fc = nn.Identity()  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        return nn.Sequential(*self.stages())(x)


class StagesExercise(ModuleExercise):
    """Judge what `_make_layer` built, while `forward` is still missing."""

    def observe(self, learners: Any) -> Any:
        def build(*args: Any) -> nn.Module:
            net = learners(*args)
            if isinstance(net, OnlyStages):
                return net
            stages = [net.layer1, net.layer2, net.layer3, net.layer4]
            if not nn.ModuleList(stages).state_dict():
                raise Mistake("returns-none" if None in stages else "untouched")
            return nn.Sequential(*stages)

        return super().observe(build)


stages = StagesExercise(
    "ResNet(block, layers, image_channels, num_classes)",
    reference=OnlyStages,
    cases=[Case((answers.block, [3, 2, 2, 1], 3, 10), (2, 64, 9, 8)),
           Case((answers.block, [1, 3, 1, 2], 1, 7), (2, 64, 8, 8))],
    net=True,
    praise="Step 1 is right: the four stages have the right blocks, strides and projections.",
    seconds=30,
    slips=MAKE_LAYER,
)

make_layer = ModuleExercise(
    "MyResNet(block, layers, image_channels, num_classes)",
    reference=article_net,
    cases=[Case((answers.block, [2, 1, 1, 1], 1, 7), (2, 1, 40, 40)),
           Case((answers.block, [1, 3, 1, 2], 3, 10), (1, 3, 64, 64))],
    net=True,
    seconds=30,
    slips=[
        slip("ignores-layers", "The numbers of blocks are fixed. Use the argument layers.",
             *[remade(layers=counts) for counts in ([3, 4, 6, 3], [3, 4, 23, 3], [3, 8, 36, 3])]),
        *STEM_7X7, *MAKE_LAYER, *REST,
    ],
)


def count_stages(shapes: Sequence[tuple[int, ...]]) -> Mistake | None:
    """Other numbers of blocks than ResNet-152's, counted by their 3×3 convolutions."""
    given = [shapes.count((64 << stage, 64 << stage, 3, 3)) for stage in range(4)]
    return Mistake("stage-counts", given=given) if all(given) else None


resnet152 = ModuleExercise(
    "resnet152(img_channel=3, num_classes=1000)",
    reference=lambda inputs, classes: Net(Bottle, (3, 8, 36, 3), in_channels=inputs, num_classes=classes),
    cases=[Case((1, 10), (2, 1, 33, 33))],
    net=True,
    seconds=60,
    explain=count_stages,
    slips=[
        slip("stage-counts", "Your stages have {given} blocks. They sum to 50 in ResNet-152: table 1 says how.",
             remade(layers=(2, 2, 2, 2))),
        slip("swapped-arguments", "img_channel and num_classes have changed places. The net takes them in that order.",
             remade(in_channels=10, num_classes=1)),
        slip("ignores-channels", "The number of image channels is fixed. Use the argument img_channel.",
             replaces(conv1=resized(7, 3, in_channels=3))),
        *REST.only("ignores-classes"),
    ],
)

article_key = Exercise(
    "article_key(key)",
    praise="torchvision's names fit the article's net.",
    right=answers.article_key,
    cases=[(key,) for key in ("layer1.0.downsample.0.weight", "layer4.0.downsample.1.running_mean",
                              "layer1.0.conv1.weight", "bn1.bias", "fc.weight")],
)
article_key.slip("unchanged", "A projection's key comes back as it was. Return what `replace(old, new)` gives.",
    lambda key: key, lambda key: key.replace("identity_downsample", "downsample"))
article_key.slip("some-only", "Only some keys of projections change. All that hold `downsample` should.",
    lambda key: key.replace("downsample.0.weight", "identity_downsample.0.weight"),
    lambda key: key.replace("layer1.0.downsample", "layer1.0.identity_downsample"))
article_key.slip("misspelt", "The new name is misspelt. It is `identity_downsample`.",
    *[lambda key, new=new: key.replace("downsample", new)
      for new in ("identity", "identity-downsample", "identity_downsampling", "identitydownsample", "identity_")])
article_key.slip("loses-the-rest", "What comes before or after the name is lost. Only one part of the key changes.",
    lambda key: "identity_downsample" if "downsample" in key else key,
    lambda key: "identity_" + key[key.index("downsample") :] if "downsample" in key else key,
    lambda key: "layer1.0.identity_downsample.0.weight")
article_key.slip("prefix-at-the-start", "`identity_` is at the start of the key. It belongs before `downsample`.",
    lambda key: "identity_" + key if "downsample" in key else key, lambda key: "identity_" + key)
article_key.slip("changes-others", "Other names change too. Only `downsample` has a different name in the article.",
    lambda key: key.replace(".", ".identity_", 1), lambda key: key.replace(".0.", ".0.identity_", 1),
    lambda key: answers.article_key(key).replace(".", "_"))
article_key.slip("nothing-for-others", "For names that stay the same you return nothing. Return the key as it is.",
    lambda key: answers.article_key(key) if "downsample" in key else None)


def moves(first: int, second: int, third: int = 1, every: bool = False, only: int = 9) -> Callable[[Any], None]:
    """Other strides for the three convolutions of the blocks that stride; `every` block, or `only` so many."""

    def change(net: Any) -> None:
        for block in [b for b in net.blocks().values() if every or b.conv2.stride[0] > 1][:only]:
            for conv, stride in zip((block.conv1, block.conv2, block.conv3), (first, second, third), strict=True):
                conv.stride = (stride, stride)

    return change


def weights_and_strides(net: nn.Module) -> dict[str, Any]:
    convs = {name: part for name, part in net.named_modules() if isinstance(part, nn.Conv2d)}
    strides = {f"the stride of {name}": _pair(conv.stride) for name, conv in convs.items()}
    return weights_of(net) | strides | {f"the padding of {name}": conv.padding for name, conv in convs.items()}


def nets_to_move() -> list[tuple[nn.Module]]:
    return [(ResNet(Bottleneck, layers, width=4, num_classes=5, stem="cifar"),) for layers in ([1, 2, 2], [2, 1, 1])]


stride_position = Exercise(
    "to_v1(net)",
    praise="the net computes what V1 computes with the same weights.",
    right=moves(2, 1),
    cases=nets_to_move,
    changes=weights_and_strides,
)
stride_position.slip("stride-on-last", "The stride sits on the last 1×1. In V1 it is on the first.",
    moves(1, 1, 2))
stride_position.slip("stride-on-both", "Blocks stride in more than one place. Give `conv2` a stride of (1, 1).",
    moves(2, 2), moves(2, 1, 2))
stride_position.slip("no-stride", "Nothing strides any more. Keep the stride of `conv2` before you overwrite it.",
    moves(1, 1))
stride_position.slip("strides-everywhere", "Blocks that should not stride now do. Move only the strides that exist.",
    moves(2, 1, every=True))
stride_position.slip("some-only", "The stride has moved in some blocks and not in others.",
    moves(2, 1, only=1))
# fmt: on
