"""Lesson 01: plain blocks, a plain net, and a convolution that does nothing."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from resnet_lib.teaching.checking import Case, Exercise, Mistake, ModuleExercise, Slip, Slips, call, noise, slip
from resnet_lib.teaching.checks import mutations as m
from resnet_lib.teaching.checks.mutations import Basic, Mutation, Net, computes, conv, in_all_blocks, remade

# fmt: off
blocks_for_depth = Exercise(
    "blocks_for_depth(depth)",
    praise="six depths, from 8 to 1202.",
    right=lambda depth: (depth - 2) // 6,
    cases=[(depth,) for depth in (8, 20, 32, 56, 110, 1202)],
    slips=[
        slip("off-by-stem", "Stem and classifier belong to no block: take them, the 2 in 6n + 2, away first.",
             lambda depth: depth / 6, lambda depth: depth // 6 + 1),
        slip("returns-blocks-of-all", "That is the number of blocks in all three stages. One stage is asked for.",
             lambda depth: (depth - 2) // 2, lambda depth: (depth - 2) / 2, lambda depth: depth // 2),
        slip("blocks-not-convolutions", "You divide by the wrong number: there are three stages, and a block has two "
             "convolutions.",
             *[lambda depth, k=k: (depth - 2) // k for k in (1, 3, 9, 12)], lambda depth: depth // 3,
             *[lambda depth, k=k, off=off: (depth - off) / k for k in (3, 9) for off in (0, 2)]),
        slip("brackets-missing", "Brackets are missing: `/` and `//` come before −, so only the 2 is divided.",
             lambda depth: depth - 2 // 6, lambda depth: depth - 2 / 6),
        slip("returns-stages", "You return a list, not one number.", lambda depth: [(depth - 2) // 6] * 3),
        slip("depth-for-blocks", "You compute the depth. Here it is given.", lambda depth: 6 * depth + 2),
    ],
)


def has_shortcut(*wrong: Mutation) -> Slip:
    return slip("has-shortcut", "There is a shortcut. The plain block is the same without: nothing is added.", *wrong)


class PlainBlock(Basic):
    def __init__(self, in_channels: int, channels: int, stride: int = 1):
        super().__init__(in_channels, channels, stride=stride, shortcut=None)


plain_block = ModuleExercise(
    "PlainBlock(in_channels, channels, stride=1)",
    reference=PlainBlock,
    cases=[Case((4, 6, 2), (4, 4, 9, 8)), Case((5, 5, 1), (4, 5, 7, 6)), Case((6, 3), (1, 6, 6, 5)),
           Case((3, 4, 3), (2, 3, 8, 7))],
    slips=[
        *m.BASIC.adding("relu-before-norm",
             computes(lambda b, x: b.bn2(relu(b.conv2(b.bn1(relu(b.conv1(x)))))))),
        slip("no-last-relu", "The last ReLU is missing: {negative_yours} of the outputs are negative.",
             computes(lambda b, x: b.residual(x))),
        has_shortcut(
             computes(lambda b, x: relu(b.residual(x) + x)), computes(lambda b, x: relu(b.residual(x)) + x),
             computes(lambda b, x: relu(f + x if (f := b.residual(x)).shape == x.shape else f)),
             *[lambda b, option=option: setattr(b, "downsample", b.make_shortcut(option)) for option in "BA"]),
        slip("norm-of-inputs", "The first norm is made for in_channels. It comes after a convolution to `channels`.",
             lambda b: setattr(b, "bn1", nn.BatchNorm2d(b.in_channels))),
    ],
)


def identity_of(channels: int, **options: Any) -> nn.Conv2d:
    made = nn.Conv2d(channels, channels, **{"kernel_size": 3, "padding": 1, "bias": False, **options})
    nn.init.dirac_(made.weight)
    return made


def filled(change: Callable[[Tensor], object], weights: str = "oihw->oihw") -> Callable[[int], nn.Conv2d]:
    """A convolution whose weights are zero, and changed where the einsum `weights` looks."""

    def build(channels: int) -> nn.Conv2d:
        made = conv(3, channels, channels)
        nn.init.zeros_(made.weight)
        change(torch.einsum(weights, made.weight.data))
        return made

    return build


def only_a_kernel(returned: Any, before: Sequence[Any], after: Sequence[Any]) -> Mistake | None:
    """Is it a 3×3 convolution without bias whose weights were written?"""
    if returned is None:
        return Mistake("returns-none")
    if not isinstance(returned, nn.Conv2d):
        return Mistake("other-layer", got=f"a value of type {type(returned).__name__}")
    if returned.kernel_size != (3, 3) or returned.bias is not None:
        return Mistake("other-layer", got="one with a bias" if returned.bias is not None else "another kernel")
    return Mistake("still-random") if len(returned.weight.unique()) > 5 else None


def response(returned: nn.Conv2d, args: Sequence[Any]) -> dict[str, Any]:
    """What becomes of one bright pixel in each channel."""
    channels = range(args[0])
    pixels = torch.zeros(len(channels), len(channels), 6, 6)
    pixels[channels, channels, 2, 2] = 1
    out = call(returned, pixels).detach()
    return {"wrong-size": out.shape, "does-not-copy": out}


class WithoutDirac(Exercise):
    def _accept(self, learners: Any) -> None:
        super()._accept(learners)
        if "dirac_" in getattr(getattr(learners, "__code__", None), "co_names", ()):
            raise Mistake("forbidden")


identity_conv = WithoutDirac(
    "identity_conv(channels)",
    praise="its output equals its input, for 1, 3 and 5 channels.",
    right=lambda channels: identity_of(channels),
    cases=[(3,), (5,), (1,)],
    problem=only_a_kernel,
    view=response,
    slips=[
        slip("forbidden", "The task is to do it without `dirac_`.", identity_of),
        slip("other-layer", "A 3×3 nn.Conv2d without bias is wanted; it returns {got}.",
             lambda c: identity_of(c).weight, lambda c: nn.Sequential(identity_of(c)), lambda c: nn.Identity(),
             lambda c: identity_of(c, kernel_size=1, padding=0), lambda c: identity_of(c, bias=True)),
        slip("still-random", "Some weights are still random. Set all to 0 first.", lambda c: conv(3, c, c)),
        slip("wrong-size", "The output is smaller than the input. A copy needs padding=1 and no stride.",
             lambda c: identity_of(c, padding=0), lambda c: identity_of(c, stride=2)),
        slip("mixes-channels", "Output channel c is more than input channel c. Only weight[c, c] copies that one.",
             filled(lambda w: w[:, :, 1, 1].fill_(1)), filled(lambda w: w[0, :, 1, 1].fill_(1))),
        slip("wrong-corner", "The 1 is not in the middle of the kernel, so the image moves by a pixel.",
             *[filled(lambda w, at=at: w[(..., *at)].fill_(1), "iihw->ihw")
               for at in ((0, 0), (2, 2), (0, 1), (1, 0), (1, 2), (2, 1))]),
        slip("whole-kernel", "Each output sums up nine pixels. Which element of the kernel lies on the pixel itself?",
             *[filled(lambda w, k=k: w.fill_(k), at) for k in (1, 1 / 9) for at in ("oihw->oihw", "iihw->ihw")]),
        slip("does-not-copy", "Weights are set, but it does not copy. Where should the 1s be? All other weights are 0.",
             filled(lambda w: None), filled(lambda w: w[0, 1, 1].fill_(1), "iihw->ihw")),
    ],
)


def without_stem(first: Callable[[Tensor], Tensor]) -> Mutation:
    def first_block(net: Any) -> None:
        net.layer1[0].conv1 = m.resized(3, 1, in_channels=1)(net.layer1[0].conv1)

    return m.both(m.drops("conv1", "bn1"), first_block, m.begins_with(lambda net, x: first(x)))


def widths(*channels: int) -> Mutation:
    """Other widths of the last two stages."""

    def mutate(net: Any) -> None:
        inputs = 8
        for stage, width in zip(net.stages()[1:], channels, strict=True):
            for n in range(len(stage)):
                stage[n], inputs = Basic(inputs, width, stride=1 if n else 2, shortcut=None), width
        net.fc = nn.Linear(inputs, 10)

    return mutate


def plain(depth: int) -> Net:
    layers = [(depth - 2) // 6] * 3
    return Net(Basic, layers, in_channels=1, num_classes=10, width=8, stem="cifar", shortcut=None)


SMALL_NETS = Slips(  # in nets of three stages for small images
    slip("no-stem-norm", "The stem has no batch norm.",
         m.drops("bn1"), m.both(m.drops("bn1"), m.begins_with(lambda net, x: net.conv1(x)))),
    slip("stem-of-imagenet", "The stem is that of large images, not one 3×3 convolution.", remade(stem="imagenet")),
    slip("ignores-depth", "The depth is fixed. Compute the number of blocks from it.",
         *[remade(layers=(n, n, n)) for n in (1, 3, 9)]),
    slip("convolutions-for-blocks", "A stage has twice as many blocks as it should: {off} parameters. A block has two "
         "convolutions.",
         lambda net: remade(layers=(2 * net.config.layers[0],) * 3)(net)),
    *m.of_stages(3),
    slip("wrong-width", "The widths are not 8, 16, 32: {off} parameters.",
         *[remade(width=width) for width in (16, 64, 4, 32)]),
    slip("wrong-image-channels", "The stem takes 3 channels. These images are grey, with 1.", remade(in_channels=3)),
    slip("wrong-classes", "The classifier has the wrong number of outputs: {off} parameters. There are ten classes.",
         *[remade(num_classes=number) for number in (1000, 100, 1)]),
    *m.HEADS,
)
plain_net = ModuleExercise(
    "plain_net(depth)",
    reference=plain,
    cases=[Case((8,), (4, 1, 14, 14)), Case((14,), (1, 1, 12, 12)), Case((20,), (3, 1, 9, 9))],
    pairs=False,
    seconds=20,
    slips=[
        has_shortcut(*map(m.with_shortcut, "ABC")),
        slip("no-block-relu", "The blocks do not end in a ReLU.",
             in_all_blocks(computes(lambda block, x: block.residual(x)))),
        *m.BASIC.only("no-inner-relu", "conv-bias").each(in_all_blocks).adding(
             "conv-bias", m.biased(), m.biased("conv1"), m.replaces(conv1=lambda c: m.resized(3, 1, bias=True)(c))),
        slip("no-stem-relu", "The ReLU after the first convolution and its norm is missing.",
             m.begins_with(lambda net, x: net.bn1(net.conv1(x)))),
        slip("no-stem", "The stem is missing: one 3×3 convolution with norm and ReLU, before the blocks.",
             without_stem(relu), without_stem(nn.Identity())),
        slip("same-width", "The channels do not double from stage to stage, 8, 16, 32: {off} parameters.",
             widths(8, 8), widths(16, 24)),
        slip("no-norm", "The batch norms are missing. Each convolution is followed by one.",
             m.both(m.drops("bn1"), in_all_blocks(m.drops("bn1", "bn2")))),
        slip("no-classifier", "The linear layer at the end is missing: {off} parameters.",
             m.both(m.drops("fc"), m.ends_with(lambda net, x: net.avgpool(x).flatten(1)))),
        *SMALL_NETS,
    ],
)


def idle(
    gamma: Callable[[nn.BatchNorm2d], float] = lambda norm: (1 + norm.eps) ** 0.5,
    kernel: Callable[[Tensor], object] = nn.init.dirac_,
    beta: float = 0,
    layers: Sequence[int] = (1, 2),
) -> Callable[[Any], Any]:
    """Makes a plain block that does nothing, or nearly."""

    def change(block: Any) -> Any:
        for number in layers:
            norm = block.get_submodule(f"bn{number}")
            nn.init.constant_(norm.weight, gamma(norm))
            nn.init.constant_(norm.bias, beta)
            kernel(block.get_submodule(f"conv{number}").weight)
        return block

    return change


def block_problem(returned: Any, before: Sequence[Any], after: Sequence[Any]) -> Mistake | None:
    """Do 24 of these blocks in a row return what goes in? One alone is too near for a wrong γ to be seen."""
    block, shapes = after[0], [[p.shape for p in args[0].parameters()] for args in (before, after)]
    if returned is not block:
        if type(returned) is type(block):
            return Mistake("changes-a-copy")
        return Mistake("returns-none" if returned is None else "another-object", got=type(returned).__name__)
    if shapes[0] != shapes[1] or "forward" in vars(block) or not all(p.requires_grad for p in block.parameters()):
        return Mistake("other-layers")
    x = noise(2, block.in_channels, 6, 5).abs()
    once = given = call(block.eval(), x).detach()
    for _ in range(23):
        given = call(block, given).detach()
    if torch.allclose(given, x, rtol=5e-5, atol=1e-6):
        return None
    if not once.any():
        return Mistake("returns-zeros")
    if any(norm.bias.any() for norm in (block.bn1, block.bn2)):
        return Mistake("norm-shifts")
    factor = (once.sum() / x.sum()).item()
    if torch.allclose(once, factor * x, rtol=1e-5, atol=1e-6):
        return Mistake("forgets-eps" if abs(factor - 1) < 2e-3 else "scales", factor=f"{factor:.6g}")
    return Mistake("still-random")


make_identity = Exercise(
    "make_identity(block)",
    praise="24 of them in a row return what goes in.",
    right=idle(),
    cases=lambda: [(Basic(n, n, shortcut=None),) for n in (4, 6)],
    problem=block_problem,
    slips=[
        slip("forgets-eps", "Nearly: it multiplies its input by {factor}, and 24 in a row add up. In eval mode a new "
             "norm divides by √(1 + eps). Which γ makes up for it?",
             idle(gamma=lambda norm: 1), *[idle(gamma=lambda norm, k=k: (1 + norm.eps) ** k) for k in (1, -0.5)]),
        slip("still-random", "A convolution still mixes pixels or channels. Both convolutions have to copy.",
             idle(layers=(1,)), idle(layers=(2,)), idle(layers=())),
        slip("returns-zeros", "The block returns zeros. Doing nothing means returning the input.",
             idle(gamma=lambda norm: 0), idle(kernel=nn.init.zeros_)),
        slip("scales", "The block multiplies its input by {factor}.", idle(gamma=lambda norm: 2)),
        slip("norm-shifts", "A norm adds something: its β should be 0.", idle(beta=0.1)),
        slip("another-object", "It returns another object ({got}). Change the block that was handed over; return that.",
             lambda block: nn.Identity(), lambda block: [idle()(block)], lambda block: idle()(block).conv1.weight),
        slip("other-layers", "The block should keep its layers and its forward. Change only the values of its weights.",
             lambda block: setattr(block, "bn1", nn.Identity()) or block,
             lambda block: setattr(block, "forward", lambda x: x) or block,
             lambda block: idle()(block).requires_grad_(False)),
    ],
)
