"""Blocks and nets that can be got wrong, and the sets of mistakes that several exercises share, with their texts.

A mutation makes one mistake in a right module: it changes the module, or returns another. The modules here compute
what the library's do; their parts are open to change, and no text depends on how the library is written.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d, avg_pool2d, dropout, max_pool2d, relu

from resnet_lib.models.shortcuts import ProjectionShortcut, ZeroPadShortcut
from resnet_lib.teaching.checking import Slips, slip, together

Mutation = Callable[[Any], Any]


# The modules


def conv(kernel: int, in_channels: int, out_channels: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=bias)


class Basic(nn.Module):
    """V1's basic block. `downsample=None` makes it plain; nn.Identity() is x itself."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int = 1, downsample: nn.Module | None = None):
        super().__init__()
        self.in_channels, self.channels, self.stride = in_channels, channels, stride
        self.out_channels = channels * self.expansion
        self._make_layers()
        self.downsample = downsample

    def _make_layers(self) -> None:
        self.conv1, self.bn1 = conv(3, self.in_channels, self.channels, self.stride), nn.BatchNorm2d(self.channels)
        self.conv2, self.bn2 = conv(3, self.channels, self.channels), nn.BatchNorm2d(self.channels)

    def residual(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))

    def shortcut(self, x: Tensor) -> Tensor:
        assert self.downsample is not None
        return self.downsample(x)

    def forward(self, x: Tensor) -> Tensor:
        f = self.residual(x)
        return relu(f if self.downsample is None else f + self.shortcut(x))


class Bottle(Basic):
    """V1.5's bottleneck: the 3×3 strides."""

    expansion = 4

    def _make_layers(self) -> None:
        width = self.channels
        self.conv1, self.bn1 = conv(1, self.in_channels, width), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(3, width, width, self.stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv(1, width, self.out_channels), nn.BatchNorm2d(self.out_channels)

    def residual(self, x: Tensor) -> Tensor:
        x = relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))))
        return self.bn3(self.conv3(x))


class PreAct(Basic):
    """V2's basic block. `activated`: does the shortcut start after the first norm and ReLU?"""

    activated = False

    def _make_layers(self) -> None:
        self.bn1, self.conv1 = nn.BatchNorm2d(self.in_channels), conv(3, self.in_channels, self.channels, self.stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(self.channels), conv(3, self.channels, self.channels)

    def residual(self, a: Tensor) -> Tensor:
        return self.conv2(relu(self.bn2(self.conv1(a))))

    def forward(self, x: Tensor) -> Tensor:
        a = relu(self.bn1(x))
        return self.residual(a) + self.shortcut(a if self.activated else x)


class PreActBottle(PreAct):
    """Keras's V2 bottleneck: the last convolution has a bias."""

    expansion = 4

    def _make_layers(self) -> None:
        width = self.channels
        self.bn1, self.conv1 = nn.BatchNorm2d(self.in_channels), conv(1, self.in_channels, width)
        self.bn2, self.conv2 = nn.BatchNorm2d(width), conv(3, width, width, self.stride)
        self.bn3, self.conv3 = nn.BatchNorm2d(width), conv(1, width, self.out_channels, bias=True)

    def residual(self, a: Tensor) -> Tensor:
        return self.conv3(relu(self.bn3(self.conv2(relu(self.bn2(self.conv1(a)))))))


def shortcut_for(block: Any, option: str | None) -> nn.Module | None:
    """The shortcut of a block under an option of the paper; None is a plain block."""
    fits = block.in_channels == block.out_channels and block.stride == 1
    if option is None or (fits and option != "C"):
        return None if option is None else nn.Identity()
    kind = ZeroPadShortcut if option == "A" else ProjectionShortcut
    return kind(block.in_channels, block.out_channels, block.stride)


class Net(nn.Module):
    """Stem, stages of blocks, pool, classifier; `remade` builds another one from other arguments."""

    def __init__(
        self,
        block: type[Basic],
        layers: Sequence[int],
        in_channels: int = 3,
        num_classes: int = 1000,
        width: int = 64,
        stem: str = "imagenet",
        option: str | None = "B",
    ):
        super().__init__()
        self.made: dict[str, Any] = {
            "block": block,
            "layers": layers,
            "in_channels": in_channels,
            "num_classes": num_classes,
        }
        self.made |= {"width": width, "stem": stem, "option": option}
        large = stem == "imagenet"
        self.conv1 = conv(7, in_channels, width, 2) if large else conv(3, in_channels, width)
        if not issubclass(block, PreAct):
            self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        inputs = width
        for number, count in enumerate(layers):
            stage = []
            for place in range(count):
                made = block(inputs, width * 2**number, 2 if number and not place else 1)
                made.downsample, inputs = shortcut_for(made, option), made.out_channels
                stage.append(made)
            self.add_module(f"layer{number + 1}", nn.Sequential(*stage))
        if issubclass(block, PreAct):
            for one in self.blocks():
                one.activated = one.in_channels != one.out_channels
            self.blocks()[0].activated = True
            self.norm = nn.BatchNorm2d(inputs)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, num_classes)

    def remade(self, **changes: Any) -> "Net":
        return Net(**{**self.made, **changes})

    def stages(self) -> list[Any]:
        return [self.get_submodule(f"layer{number + 1}") for number in range(len(self.made["layers"]))]

    def blocks(self) -> list[Any]:
        return [block for stage in self.stages() for block in stage]

    def stem(self, x: Tensor) -> Tensor:
        return self.maxpool(relu(self.bn1(self.conv1(x))) if hasattr(self, "bn1") else self.conv1(x))

    def head(self, x: Tensor) -> Tensor:
        x = relu(self.norm(x)) if hasattr(self, "norm") else x
        return self.fc(self.avgpool(x).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.Sequential(*self.stages())(self.stem(x)))


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
    return nn.Conv2d(c.out_channels, c.in_channels, c.kernel_size, c.stride, c.padding, bias=False)  # type: ignore


def norms(**values: Any) -> Mutation:
    """Other settings of every batch norm."""

    def mutate(module: nn.Module) -> None:
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                for name, value in values.items():
                    setattr(part, name, value)

    return mutate


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


def dropped(*names: str, branch: Callable[[Any, Tensor], Tensor]) -> Mutation:
    """Layers that are gone, and the branch that is left."""
    return both(drops(*names), inside(branch))


FACTORS = (0.5, 0.1, 0.9, 0.2, 0.25, 0.3, 1 / 3, 0.7, sqrt(0.5), 0.8)
RATES = (0.5, 0.2, 0.1, 0.3, 0.05, 0.15, 0.25, 0.4)


def weighted(residual: float, shortcut: float) -> Mutation:
    return adds(lambda f, s: relu(residual * f + shortcut * s))


def drops_shortcut(p: float) -> Mutation:
    return computes(lambda b, x: relu(b.residual(x) + dropout(b.shortcut(x), p, b.training)))


def downsampled_first(block: Any) -> None:
    """x is overwritten by its shortcut before the branch gets it."""
    if isinstance(block.downsample, nn.Identity):
        return
    computes(lambda b, x: relu(b.residual(s := b.shortcut(x)) + s))(block)


# fmt: off
ADDITION = Slips(  # around the plus of a V1 block
    slip("relu-before-add", "You apply ReLU to the residual before the addition. The block can then only add, never "
         "take away: on the probe input {below_yours} of the outputs fell below the input, in the reference "
         "{below_right}. He et al. 2016 (figure 4c) measured the price: 6.61 % → 7.84 % error. Look at the last line "
         "of forward: where does the activation go?",
         adds(lambda f, s: relu(relu(f) + s))),
    together("relu-before-add", "no-relu-after", wrong=[
         adds(lambda f, s: relu(f) + s)]),
    slip("no-relu-after", "There is no ReLU after the addition. In V1 the sum goes through one: here {negative_yours} "
         "of the outputs are negative, in the reference {negative_right}.",
         adds(lambda f, s: f + s)),
    slip("no-shortcut", "Nothing is added: this is the plain block. Where is the `+ x`?",
         adds(lambda f, s: relu(f))),
    together("no-shortcut", "no-relu-after", wrong=[
         adds(lambda f, s: f)]),
    slip("relu-on-shortcut", "The shortcut passes through a ReLU before the addition. Then negative values are lost on "
         "the path that should carry everything.",
         adds(lambda f, s: relu(f + relu(s)))),
    slip("subtracts", "You subtract where the block adds. H(x) − x is what F has to *learn*; what the block *computes* "
         "is F(x) + x.",
         adds(lambda f, s: relu(f - s)), adds(lambda f, s: relu(s - f))),
    slip("multiplies", "You multiply the two branches. The block adds them: a gate is a different idea (He et al. "
         "2016, section 3.1).",
         adds(lambda f, s: relu(f * s))),
    slip("concatenates", "You put the branches side by side. DenseNet concatenates; ResNet adds, so the number of "
         "channels stays.",
         adds(lambda f, s: relu(torch.cat([f, s], 1))), adds(lambda f, s: relu(torch.cat([s, f], 1)))),
    slip("learned-scale", "There is a learnable factor on a branch. The paper adds F(x) as it is; such factors came "
         "later (Fixup, SkipInit).",
         learned_scale(lambda f, s, k: k * f + s), learned_scale(lambda f, s, k: f + k * s)),
    slip("dropout-on-shortcut", "There is dropout on the shortcut. It blocks the one path that should always be open; "
         "He et al. 2016 (table 1) could not train with it.",
         *[drops_shortcut(p) for p in RATES]),
    slip("adds-itself", "The residual is added to itself, and x is lost: `out += out`, or a name that was overwritten. "
         "Keep x under its own name until the addition.",
         adds(lambda f, s: relu(2 * f)), adds(lambda f, s: 2 * relu(f))),
    together("adds-itself", "no-relu-after", wrong=[adds(lambda f, s: 2 * f)]),
    slip("adds-x-twice", "x is added twice. Once is enough: with 2x the signal doubles in every block.",
         weighted(1, 2), adds(lambda f, s: relu(f + s) + s)),
    slip("scaled-shortcut", "The shortcut is scaled. Through L blocks the factor becomes its L-th power: it dies out "
         "or explodes. He et al. 2016 (table 1): 6.61 % → 12.35 % with 0.5.",
         *[weighted(1, k) for k in FACTORS]),
    slip("scaled-residual", "The residual is scaled. The paper adds F(x) as it is.",
         *[weighted(k, 1) for k in (2, *FACTORS)]),
    slip("scaled-sum", "The sum is scaled, and with it the shortcut. Through L blocks the factor becomes its L-th "
         "power. Add without a factor.",
         *[weighted(k, k) for k in (2, *FACTORS)]),
    slip("norm-on-shortcut", "There is a batch norm on the shortcut of a block that keeps its shape: {off} parameters. "
         "x should pass unchanged.",
         norm_on_shortcut),
)
LAYERS = Slips(  # in any block with conv1, bn1, conv2, bn2, …
    slip("no-norm", "The batch norms are missing. Each convolution is followed by one; without them the variance "
         "doubles from block to block.",
         drops("bn1", "bn2", "bn3"), drops("bn1", "bn2")),
    slip("no-norm-first", "The first batch norm is missing. Each convolution is followed by one.",
         drops("bn1")),
    slip("shared-convolution", "One convolution does the work of two. Each layer needs its own weights.",
         shares("conv1", "conv2")),
    slip("shared-norm", "One batch norm serves two convolutions. Its running statistics then mix two signals, and eval "
         "mode goes wrong. Each convolution needs its own.",
         shares("bn1", "bn2")),
    slip("norm-without-gamma", "The batch norms have no γ and β: {off} parameters. Leave out affine=False.",
         norms(weight=None, bias=None)),
    slip("pools-for-stride", "A pool shrinks the image before the convolutions. In the paper the convolution itself "
         "strides.",
         pooled(max_pool2d), pooled(avg_pool2d)),
    slip("conv-bias", "A convolution keeps its bias: {off} parameters. The batch norm after it subtracts the mean and "
         "the bias with it, so it learns nothing. Use bias=False.",
         biased(), *[biased(*names) for names in (("conv1", "conv2", "conv3"), ("conv1", "conv2"), ("conv1",),
                                                  ("conv2",), ("conv3",))]),
    slip("swapped-channels", "A convolution's numbers of channels are swapped: nn.Conv2d(in, out, …) takes the "
         "channels that come first.",
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
    slip("stride-on-second", "The stride sits on the second convolution. In the paper the first one strides, and the "
         "second works on the small image.",
         strides("conv2")),
    slip("no-stride", "The stride is not used: the image keeps its size. Which convolution should get it?",
         strides()),
    slip("channels-not-updated", "The second convolution takes in_channels. After the first one there are `channels` "
         "of them.",
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
    slip("no-norm-last", "The last batch norm is missing. It keeps the size of F(x) in check before the addition.",
         drops("bn2")),
    slip("one-convolution", "There is only one convolution. A block has two; with one, F is linear in x up to its "
         "ReLU, and He et al. saw no gain (section 3.2).",
         dropped("conv2", "bn2", branch=lambda b, x: b.bn1(b.conv1(x))),
         dropped("conv2", "bn2", branch=lambda b, x: relu(b.bn1(b.conv1(x))))),
    slip("extra-convolution", "There is one convolution too many: {off} parameters. A block has two.",
         extra_convolution),
)


# Mistakes that a block which keeps the shape cannot make
CHANGES_OF_SHAPE = (
    "channels-not-updated", "no-stride", "pools-for-stride", "stride-on-both", "stride-on-second", "swapped-channels"
)
# fmt: on


def in_all_blocks(mutation: Mutation) -> Mutation:
    """The same mistake in every block of a net or stage."""

    def mutate_all(net: Any) -> None:
        for part in list(net.modules()):
            if isinstance(part, Basic):
                mutation(part)

    return mutate_all


# Nets


def set_stride(block: Any, stride: int) -> None:
    (block.conv2 if isinstance(block, Bottle) else block.conv1).stride = (stride, stride)
    if isinstance(block.downsample, ProjectionShortcut):
        block.downsample[0].stride = (stride, stride)  # type: ignore[assignment]
    elif isinstance(block.downsample, ZeroPadShortcut) or (isinstance(block.downsample, nn.Identity) and stride > 1):
        block.downsample = ZeroPadShortcut(block.in_channels, block.out_channels, stride)


def stage_strides(*strides: int) -> Mutation:
    """Other strides of the stages; the first block of a stage carries it."""

    def mutate(net: Any) -> None:
        for stage, stride in zip(net.stages(), strides, strict=True):
            first = stage[0]
            first.stride = stride
            if isinstance(first.downsample, nn.Identity):
                first.downsample = shortcut_for(first, net.made["option"])
            set_stride(first, stride)

    return mutate


def wrong_strides(stages: int) -> Slips:
    """All wrong strides of so many stages, under their names."""
    first = (2, *(1,) * (stages - 1))
    right = (1, *(2,) * (stages - 1))
    named = ((1,) * stages, (2,) * stages, first, right)
    return Slips(
        slip(
            "no-stage-strides",
            "No stage strides. Every stage except the first halves the image.",
            stage_strides(*(1,) * stages),
        ),
        slip(
            "every-stage-strides",
            "Every stage strides. The first does not: it works on the image as the stem leaves it.",
            stage_strides(*(2,) * stages),
        ),
        slip(
            "only-the-first-strides",
            "The first stage strides and the later ones do not. The first works on the image as the stem leaves it, "
            "and every later one halves it again.",
            stage_strides(*first),
        ),
        slip(
            "a-stage-strides-wrongly",
            "A stage has the wrong stride. The first has 1, every later one 2.",
            *[stage_strides(*s) for s in product((1, 2), repeat=stages) if s not in named],
        ),
    )


def every_block_strides(net: Any) -> None:
    for stage in net.stages()[1:]:
        for block in stage:
            if isinstance(block.downsample, nn.Identity):
                block.downsample = shortcut_for(_with_stride(block), net.made["option"])
            set_stride(block, 2)


def _with_stride(block: Any) -> Any:
    block.stride = 2
    return block


def another_block(more: int, *stages: int) -> Mutation:
    """More blocks in some stages, or fewer, but one stays."""

    def mutate(net: Any) -> None:
        for stage in (net.stages()[number] for number in stages):
            if more > 0:
                new = type(stage[0])(stage[-1].out_channels, stage[-1].channels)
                new.downsample = shortcut_for(new, net.made["option"])
                stage.append(new)
            elif len(stage) > 1:
                del stage[-1]

    return mutate


def block_counts(stages: int) -> Slips:
    every = range(stages)
    more, fewer = ([another_block(n, *every), *(another_block(n, one) for one in every)] for n in (1, -1))
    last = "{off} parameters. The number of blocks counts the first block as well."
    return Slips(
        slip("one-block-more", f"A stage has one block too many: {last}", *more),
        slip("one-block-less", f"A stage has one block too few: {last}", *fewer),
    )


def share_in(stage: Any) -> None:
    """All blocks of the stage except the first are one block."""
    for place in range(2, len(stage)):
        stage[place] = stage[1]


def share_blocks(net: Any) -> None:
    for stage in net.stages():
        share_in(stage)


def projections(make: Callable[[Any, Any], nn.Module]) -> Mutation:
    """Other projections, by a function of (convolution, block), where there are some."""

    def mutate(block: Any) -> None:
        if isinstance(block.downsample, ProjectionShortcut):
            block.downsample = make(block.downsample[0], block)

    return in_all_blocks(mutate)


def with_shortcut(option: str | None) -> Mutation:
    return in_all_blocks(lambda block: setattr(block, "downsample", shortcut_for(block, option)))


def remade(**changes: Any) -> Mutation:
    """Another net, from other arguments."""
    return lambda net: net.remade(**changes)


def conv_and_norm(conv: nn.Conv2d) -> nn.Module:
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels))


# fmt: off
HEADS = Slips(
    slip("ends-in-softmax", "The net ends in a softmax. It should return logits: the cross-entropy has a softmax "
         "inside.",
         ends_with(lambda net, x: Net.head(net, x).softmax(1))),
    slip("max-pool-at-the-end", "The classifier gets the maximum of each channel. It should get the mean: global "
         "*average* pooling.",
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
