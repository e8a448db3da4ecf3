"""Blocks and nets that can be got wrong, and the sets of mistakes that several exercises share, with their texts.

A mutation makes one mistake in a right module: it changes the module, or returns another. The modules are the
library's; where shapes do not fit they raise torch's own error, as a learner's do.
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d, avg_pool2d, dropout, max_pool2d, relu

from resnet_lib.models.blocks import BasicBlock, Block, Bottleneck, PreActBasicBlock
from resnet_lib.models.resnet import ResNet
from resnet_lib.models.shortcuts import IdentityShortcut, ProjectionShortcut, ZeroPadShortcut
from resnet_lib.teaching.checking import Slips, slip, together

Mutation = Callable[[Any], Any]


# The modules


class Open(Block):
    """What mutations want of a block: its parts by name, and no advice on shapes."""

    def add(self, residual: Tensor, shortcut: Tensor) -> Tensor:
        return residual + shortcut

    def shortcut(self, x: Tensor) -> Tensor:
        return self.get_submodule("downsample")(x)

    @property
    def channels(self) -> int:
        return self.out_channels // self.expansion


class Basic(Open, BasicBlock): ...


class Bottle(Open, Bottleneck): ...


class PreAct(Open, PreActBasicBlock): ...


class Net(ResNet):
    """A net of such blocks."""

    def _check_input(self, x: Tensor) -> None:
        """Left to the first convolution."""


def remade(**changes: Any) -> Mutation:
    """Another net, from other arguments."""
    return lambda net: Net(**{**vars(net.config), **changes})


def conv(kernel: int, in_channels: int, out_channels: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=bias)


# Mutations


class Rewrite:
    """The same layers, put together by another formula of (module, x): `forward`, `residual`, `stem`, `head`."""

    def __init__(self, method: str, formula: Callable[[Any, Tensor], Tensor]):
        self.method, self.formula = method, formula

    def __call__(self, module: Any) -> None:
        setattr(module, self.method, partial(self.formula, module))


computes = partial(Rewrite, "forward")
inside = partial(Rewrite, "residual")
begins_with = partial(Rewrite, "stem")
ends_with = partial(Rewrite, "head")


def adds(formula: Callable[[Tensor, Tensor], Tensor]) -> Mutation:
    """A block that ends in another formula of (F(x), shortcut)."""
    return computes(lambda b, x: formula(b.residual(x), b.shortcut(x)))


def replaces(**layers: Callable[[Any], nn.Module]) -> Mutation:
    """Other layers in the place of some: name=function of the layer that was there."""

    def mutate(module: Any) -> None:
        for name, make in layers.items():
            setattr(module, name, make(getattr(module, name)))

    return mutate


def drops(*names: str) -> Mutation:
    return replaces(**{name: lambda _: nn.Identity() for name in names})


def both(*mutations: Mutation) -> Mutation:
    """One mistake that takes several mutations."""

    def mutate(module: Any) -> None:
        for one in mutations:
            one(module)

    return mutate


def shares(first: str, second: str) -> Mutation:
    """One layer does the work of two of the same shape."""

    def mutate(module: Any) -> None:
        one, two = getattr(module, first), getattr(module, second)
        if [p.shape for p in one.parameters()] != [p.shape for p in two.parameters()]:
            raise ValueError("the shapes differ")
        setattr(module, second, one)

    return mutate


def biased(*names: str) -> Mutation:
    """Convolutions keep their bias: the named ones, or all."""

    def mutate(module: Any) -> None:
        convs = {name: part for name, part in module.named_modules() if isinstance(part, nn.Conv2d)}
        chosen = [part for name, part in convs.items() if not names or name.rpartition(".")[2] in names]
        if not chosen or len({name.rpartition(".")[2] for name in convs} & {*names}) < len(names):
            raise AttributeError("there are no such convolutions")
        for part in chosen:
            part.bias = nn.Parameter(torch.zeros(part.out_channels))

    return mutate


def strides(*names: str) -> Mutation:
    """The block's stride on these convolutions and on no other."""

    def mutate(block: Any) -> None:
        for name, part in block.named_children():
            if isinstance(part, nn.Conv2d):
                part.stride = (block.stride if name in names else 1,) * 2

    return mutate


def pooled(pool: Callable[..., Tensor]) -> Mutation:
    """No convolution of the branch strides: a pool before it does."""

    def mutate(block: Any) -> None:
        strides()(block)
        branch = block.residual
        block.residual = lambda x: branch(pool(x, block.stride, ceil_mode=True))

    return mutate


def resized(kernel: int, padding: int = 0, **changes: Any) -> Callable[[nn.Conv2d], nn.Conv2d]:
    """A convolution like the one that was there, with another kernel."""
    return lambda c: nn.Conv2d(
        **{"in_channels": c.in_channels, "out_channels": c.out_channels, "stride": c.stride, "bias": False, **changes},
        kernel_size=kernel,
        padding=padding,
    )


def swapped(c: nn.Conv2d) -> nn.Conv2d:
    """A convolution whose numbers of channels change places."""
    if c.in_channels == c.out_channels:
        raise ValueError("nothing to swap")
    return nn.Conv2d(c.out_channels, c.in_channels, c.kernel_size, c.stride, c.padding, bias=False)


def without_gamma(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.weight = part.bias = None  # type: ignore[assignment]


def learned_scale(formula: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Mutation:
    """A factor that learns, in a formula of (F(x), shortcut, factor)."""

    def mutate(block: Any) -> None:
        block.factor = nn.Parameter(torch.ones(1))
        adds(lambda f, s: relu(formula(f, s, block.factor)))(block)

    return mutate


def norm_on_shortcut(block: Any) -> None:
    block.other = nn.BatchNorm2d(block.out_channels)
    adds(lambda f, s: relu(f + block.other(s)))(block)


def inputs_again(block: Any) -> None:
    """The second convolution is made for the channels that the first one gets."""
    if block.in_channels == block.channels:
        raise ValueError("no difference")
    block.conv2 = conv(3, block.in_channels, block.channels)


def extra_convolution(block: Any) -> None:
    width, branch = block.conv2.out_channels, block.residual
    block.conv3, block.bn3 = conv(3, width, width), nn.BatchNorm2d(width)
    block.residual = lambda x: block.bn3(block.conv3(relu(branch(x))))


FACTORS = (0.5, 0.1, 0.9, 0.2, 0.25, 0.3, 1 / 3, 0.7, sqrt(0.5), 0.8)
RATES = (0.5, 0.2, 0.1, 0.3, 0.05, 0.15, 0.25, 0.4)


def weighted(residual: float, shortcut: float) -> Mutation:
    return adds(lambda f, s: relu(residual * f + shortcut * s))


def drops_shortcut(p: float) -> Mutation:
    return computes(lambda b, x: relu(b.residual(x) + dropout(b.shortcut(x), p, b.training)))


def downsampled_first(block: Any) -> None:
    """x is overwritten by its shortcut before the branch gets it."""
    if not isinstance(block.downsample, (nn.Identity, IdentityShortcut)):
        computes(lambda b, x: relu(b.residual(s := b.shortcut(x)) + s))(block)


# fmt: off
ADDITION = Slips(  # around the plus of a V1 block
    slip("relu-before-add", "The residual passes a ReLU before the addition, so the block can only add, never take "
         "away: on the probe input {below_yours} of the outputs fell below the input, in the reference {below_right}.",
         adds(lambda f, s: relu(relu(f) + s))),
    together("relu-before-add", "no-relu-after", wrong=[adds(lambda f, s: relu(f) + s)]),
    slip("no-relu-after", "There is no ReLU after the addition: {negative_yours} of the outputs are negative.",
         adds(lambda f, s: f + s)),
    slip("no-shortcut", "Nothing is added: this is the plain block. Where is the `+ x`?",
         adds(lambda f, s: relu(f))),
    together("no-shortcut", "no-relu-after", wrong=[adds(lambda f, s: f)]),
    slip("relu-on-shortcut", "The shortcut passes through a ReLU, which takes away the negative values of x.",
         adds(lambda f, s: relu(f + relu(s)))),
    slip("subtracts", "You subtract where the block adds. F has to *learn* H(x) − x; the block computes F(x) + x.",
         adds(lambda f, s: relu(f - s)), adds(lambda f, s: relu(s - f))),
    slip("multiplies", "You multiply the two branches. The block adds them.",
         adds(lambda f, s: relu(f * s))),
    slip("concatenates", "You put the branches side by side, as DenseNet does. ResNet adds them.",
         adds(lambda f, s: relu(torch.cat([f, s], 1))), adds(lambda f, s: relu(torch.cat([s, f], 1)))),
    slip("learned-scale", "There is a learnable factor on a branch. The paper adds F(x) as it is.",
         learned_scale(lambda f, s, k: k * f + s), learned_scale(lambda f, s, k: f + k * s)),
    slip("dropout-on-shortcut", "There is dropout on the shortcut, the one path that should always be open.",
         *map(drops_shortcut, RATES)),
    slip("adds-itself", "The residual is added to itself, and x is lost. Keep x under its own name until the addition.",
         adds(lambda f, s: relu(2 * f)), adds(lambda f, s: 2 * relu(f))),
    together("adds-itself", "no-relu-after", wrong=[adds(lambda f, s: 2 * f)]),
    slip("adds-x-twice", "x is added twice: with 2x the signal doubles in every block.",
         weighted(1, 2), adds(lambda f, s: relu(f + s) + s)),
    slip("scaled-shortcut", "The shortcut is scaled: through L blocks the factor becomes its L-th power. Add x as it "
         "is (He et al. 2016, table 1: 6.61 % → 12.35 % error with 0.5).",
         *[weighted(1, k) for k in FACTORS]),
    slip("scaled-residual", "The residual is scaled. The paper adds F(x) as it is.",
         *[weighted(k, 1) for k in (2, *FACTORS)]),
    slip("scaled-sum", "The sum is scaled, and with it the shortcut. Add without a factor.",
         *[weighted(k, k) for k in (2, *FACTORS)]),
    slip("norm-on-shortcut", "There is a batch norm on the shortcut: {off} parameters. x should pass unchanged.",
         norm_on_shortcut),
)
LAYERS = Slips(  # in any block with conv1, bn1, conv2, bn2, …
    slip("no-norm", "The batch norms are missing. Each convolution is followed by one.",
         drops("bn1", "bn2", "bn3"), drops("bn1", "bn2")),
    slip("no-norm-first", "The first batch norm is missing. Each convolution is followed by one.",
         drops("bn1")),
    slip("shared-convolution", "One convolution does the work of two. Each layer needs its own weights.",
         shares("conv1", "conv2")),
    slip("shared-norm", "One batch norm serves two convolutions, so its running statistics mix two signals.",
         shares("bn1", "bn2")),
    slip("norm-without-gamma", "The batch norms have no γ and β: {off} parameters. Leave out affine=False.",
         without_gamma),
    slip("pools-for-stride", "A pool shrinks the image before the convolutions. The convolution itself should stride.",
         pooled(max_pool2d), pooled(avg_pool2d)),
    slip("conv-bias", "A convolution keeps its bias: {off} parameters. The batch norm after it cancels the bias, so "
         "use bias=False.",
         biased(), *[biased(*names) for names in (("conv1", "conv2", "conv3"), ("conv1", "conv2"), ("conv1",),
                                                  ("conv2",), ("conv3",))]),
    slip("swapped-channels", "A convolution's channels are swapped: nn.Conv2d(in, out, …) takes those of its input "
         "first.",
         replaces(conv1=swapped)),
)
CONVS_3X3 = Slips(  # where conv1 and conv2 are 3×3
    slip("no-padding", "A 3×3 convolution without padding shrinks the image by two pixels. Use padding=1.",
         replaces(conv1=resized(3), conv2=resized(3)), replaces(conv2=resized(3)), replaces(conv1=resized(3))),
    slip("wrong-kernel", "A convolution has the wrong kernel size. Compare with the figure: which are 3×3, which 1×1?",
         replaces(conv2=resized(1)), replaces(conv1=resized(1)), replaces(conv1=resized(1), conv2=resized(1)),
         replaces(conv1=resized(5, 2), conv2=resized(5, 2))),
    slip("stride-on-both", "The stride sits on more than one convolution, so the image is shrunk twice.",
         strides("conv1", "conv2")),
    slip("stride-on-second", "The stride sits on the second convolution. In the paper the first one strides.",
         strides("conv2")),
    slip("no-stride", "The stride is not used: the image keeps its size. Which convolution should get it?",
         strides()),
    slip("channels-not-updated", "The second convolution takes in_channels; the first one returns `channels` of them.",
         inputs_again),
)
BASIC = Slips(  # in a V1 block of two 3×3 convolutions
    *LAYERS,
    *CONVS_3X3,
    slip("no-inner-relu", "A ReLU between the convolutions is missing. Two convolutions in a row are one linear map.",
         inside(lambda b, x: b.bn2(b.conv2(b.bn1(b.conv1(x)))))),
    slip("relu-before-norm", "ReLU and batch norm are in the wrong order. The norm comes first, then ReLU: after a "
         "convolution in V1, before one in V2.",
         inside(lambda b, x: b.bn2(b.conv2(b.bn1(relu(b.conv1(x)))))),
         inside(lambda b, x: b.bn2(relu(b.conv2(b.bn1(relu(b.conv1(x)))))))),
    slip("no-norm-last", "The last batch norm is missing. Each convolution is followed by one.",
         drops("bn2")),
    slip("one-convolution", "There is only one convolution. A block has two.",
         both(drops("conv2", "bn2"), inside(lambda b, x: b.bn1(b.conv1(x)))),
         both(drops("conv2", "bn2"), inside(lambda b, x: relu(b.bn1(b.conv1(x)))))),
    slip("extra-convolution", "There is one convolution too many: {off} parameters. A block has two.",
         extra_convolution),
)


def shortcut(start: str, end: str) -> Mutation:
    """A block whose shortcut starts and ends after other layers; "" is x itself."""

    def forward(b: Any, x: Tensor) -> Tensor:
        kept = x
        for name in ("conv1", "bn1", "relu1", "conv2", "bn2"):
            x = relu(x) if name == "relu1" else b.get_submodule(name)(x)
            kept = x if name == start else kept
            x = x + kept if name == end else x
        return relu(x)

    return computes(forward)


FIRST_HALF = ("relu1", "bn1", "conv1")
MIDDLE = Slips(  # in a block whose shortcut is x itself
    slip("adds-middle", "What you add is not x: the signal between the convolutions has taken its name.",
         *[shortcut(start, "bn2") for start in FIRST_HALF]),
    slip("adds-before-norm", "What you add is not x: the output of conv2, before bn2, has taken its name.",
         shortcut("conv2", "bn2")),
    slip("adds-too-early", "x is added before the second convolution. The shortcut goes around both.",
         *[shortcut("", end) for end in FIRST_HALF]),
    slip("norm-after-add", "The last batch norm comes after the addition, so it changes the shortcut too.",
         shortcut("", "conv2")),
    together("adds-middle", "norm-after-add", wrong=[shortcut(start, "conv2") for start in FIRST_HALF]),
    slip("first-half-lost", "The second convolution gets x again, so what conv1 and bn1 make of it is lost.",
         computes(lambda b, x: (b.bn1(b.conv1(x)), relu(b.bn2(b.conv2(x)) + x))[1])),
    slip("pre-activation", "This is lesson 07's block. Here norm and ReLU come after the convolution.",
         computes(lambda b, x: x + b.conv2(relu(b.bn2(b.conv1(relu(b.bn1(x)))))))),
)
# Mistakes that a block which keeps the shape cannot make
CHANGES_OF_SHAPE = (
    "channels-not-updated", "no-stride", "pools-for-stride", "stride-on-both", "stride-on-second", "swapped-channels"
)
# fmt: on


# Nets


def in_all_blocks(mutation: Mutation) -> Mutation:
    """The same mistake in every block of a net or stage."""

    def mutate_all(net: Any) -> None:
        for part in list(net.modules()):
            if isinstance(part, Open):
                mutation(part)

    return mutate_all


def with_shortcut(option: str | None) -> Mutation:
    """Every block has the shortcut of an option of the paper."""
    return in_all_blocks(lambda block: setattr(block, "downsample", block.make_shortcut(option)))


def set_stride(block: Any, stride: int) -> None:
    (block.conv2 if isinstance(block, Bottle) else block.conv1).stride = (stride, stride)
    if isinstance(block.downsample, ProjectionShortcut):
        block.downsample[0].stride = (stride, stride)  # type: ignore[assignment]
    elif isinstance(block.downsample, ZeroPadShortcut) or (block.downsample is not None and stride > 1):
        block.downsample = ZeroPadShortcut(block.in_channels, block.out_channels, stride)


def restride(net: Any, block: Any, stride: int) -> None:
    """Another stride of a block, with the shortcut that its net's option gives it then."""
    block.stride = stride
    if isinstance(block.downsample, IdentityShortcut):
        block.downsample = block.make_shortcut(net.config.shortcut)
    set_stride(block, stride)


def stage_strides(*strides: int) -> Mutation:
    """Other strides of the stages; the first block of a stage carries it."""

    def mutate(net: Any) -> None:
        for stage, stride in zip(net.stages(), strides, strict=True):
            restride(net, stage[0], stride)

    return mutate


def every_block_strides(net: Any) -> None:
    for stage in net.stages()[1:]:
        for block in stage:
            restride(net, block, 2)


def another_block(more: int, *stages: int) -> Mutation:
    """More blocks in some stages, or fewer, but one stays."""

    def mutate(net: Any) -> None:
        for stage in (net.stages()[number] for number in stages):
            if more > 0:
                last = stage[-1]
                stage.append(type(last)(last.out_channels, last.channels, shortcut=net.config.shortcut))
            elif len(stage) > 1:
                del stage[-1]

    return mutate


def share_in(stage: Any) -> None:
    """All blocks of the stage except the first are one block."""
    for place in range(2, len(stage)):
        stage[place] = stage[1]


def share_blocks(net: Any) -> None:
    for stage in net.stages():
        share_in(stage)


def of_stages(number: int) -> Slips:
    """What can be wrong with so many stages: their strides, their numbers of blocks, one block in several places."""
    ones, twos, every = (1,) * number, (2,) * number, range(number)
    first, right = (2, *ones[1:]), (1, *twos[1:])
    others = [s for s in product((1, 2), repeat=number) if s not in (ones, twos, first, right)]
    more, fewer = ([another_block(n, *every), *(another_block(n, one) for one in every)] for n in (1, -1))
    # fmt: off
    return Slips(
        slip("no-stage-strides", "No stage strides. Every stage except the first halves the image.",
             stage_strides(*ones)),
        slip("every-stage-strides", "Every stage strides. The first works on the image as the stem leaves it.",
             stage_strides(*twos)),
        slip("only-the-first-strides", "The first stage strides and the later ones do not: it is the other way round.",
             stage_strides(*first)),
        slip("a-stage-strides-wrongly", "A stage has the wrong stride. The first has 1, every later one 2.",
             *[stage_strides(*wrong) for wrong in others]),
        slip("every-block-strides", "Every block of a stage strides. Only its first does.", every_block_strides),
        *[slip(key, f"A stage has one block too {word}: {{off}} parameters. The number of blocks counts the first "
               "block as well.", *wrong)
          for key, word, wrong in (("one-block-more", "many", more), ("one-block-less", "few", fewer))],
        slip("shares-blocks", "One block stands in several places: {off} parameters. Call the class anew for each.",
             share_blocks),
    )
    # fmt: on


def projections(make: Callable[[Any, Any], nn.Module]) -> Mutation:
    """Other projections, by a function of (convolution, block), where there are some."""

    def mutate(block: Any) -> None:
        if isinstance(block.downsample, ProjectionShortcut):
            block.downsample = make(block.downsample[0], block)

    return in_all_blocks(mutate)


def conv_and_norm(conv: nn.Conv2d) -> nn.Module:
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels))


# fmt: off
HEADS = Slips(
    slip("ends-in-softmax", "The net ends in a softmax. Return logits: the cross-entropy has a softmax inside.",
         ends_with(lambda net, x: Net.head(net, x).softmax(1))),
    slip("max-pool-at-the-end", "The classifier gets the maximum of each channel. It should get the mean.",
         ends_with(lambda net, x: net.fc(adaptive_max_pool2d(x, 1).flatten(1)))),
    slip("relu-at-the-end", "A ReLU follows the classifier. Logits may be negative.",
         ends_with(lambda net, x: relu(Net.head(net, x)))),
    slip("no-avgpool", "The average pool before the classifier is missing.",
         ends_with(lambda net, x: net.fc(x.flatten(1)))),
    slip("no-flatten", "The classifier gets maps of 1×1 pixels, (N, C, 1, 1). Flatten them to (N, C) first.",
         ends_with(lambda net, x: net.fc(net.avgpool(x)))),
    slip("classifier-bias", "The classifier has no bias: {off} parameters. No norm follows it, so it needs one.",
         lambda net: setattr(net.fc, "bias", None)),
)
# fmt: on
