"""Lesson 01: plain blocks, a plain net, and a convolution that does nothing."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from resnet_lib.teaching.checking import Case, Exercise, Mistake, ModuleExercise, Slips, call, noise, slip
from resnet_lib.teaching.checks.mutations import (
    BASIC,
    HEADS,
    Basic,
    Mutation,
    Net,
    begins_with,
    biased,
    block_counts,
    both,
    computes,
    conv,
    drops,
    every_block_strides,
    in_all_blocks,
    inside,
    remade,
    resized,
    share_blocks,
    shortcut_for,
    with_shortcut,
    wrong_strides,
)

# fmt: off
blocks_for_depth = Exercise(
    "blocks_for_depth(depth)",
    praise="six depths, from 8 to 1202.",
    right=lambda depth: (depth - 2) // 6,
    cases=[(depth,) for depth in (8, 20, 32, 56, 110, 1202)],
)
blocks_for_depth.slip("off-by-stem", "Stem and classifier are counted as layers of the blocks: for {case} it gives "
    "{given}. They are the 2 in 6n + 2, so take them away first.",
    lambda depth: depth / 6, lambda depth: depth // 6 + 1)
blocks_for_depth.slip("blocks-not-convolutions", "You divide by the wrong number: for {case} it gives {given}. There "
    "are three stages, and a block has two convolutions.",
    *[lambda depth, k=k: (depth - 2) // k for k in (1, 3, 9)], *[lambda depth, k=k: (depth - 2) / k for k in (3, 9)])
blocks_for_depth.together("off-by-stem", "blocks-not-convolutions", wrong=[
    lambda depth: depth // 2, *[lambda depth, k=k: depth / k for k in (2, 3, 9)]])
blocks_for_depth.slip("brackets-missing", "Brackets are missing: for {case} it gives {given}. `/` and `//` bind more "
    "strongly than −, so only the 2 is divided.",
    lambda depth: depth - 2 // 6, lambda depth: depth - 2 / 6)
blocks_for_depth.slip("returns-blocks-of-all", "That is the number of blocks in all three stages: for {case} it gives "
    "{given}. One stage is asked for.",
    lambda depth: (depth - 2) // 2, lambda depth: (depth - 2) / 2)
blocks_for_depth.slip("returns-stages", "You return one number for each stage. All three stages have the same number "
    "of blocks, and that number is asked for.",
    lambda depth: [(depth - 2) // 6] * 3)
blocks_for_depth.slip("depth-for-blocks", "You compute the depth from the number of blocks. It is the other way round: "
    "the depth is given.",
    lambda depth: 6 * depth + 2)


def norm_of_inputs(block: Any) -> None:
    if block.in_channels == block.channels:
        raise ValueError("no difference")
    block.bn1 = nn.BatchNorm2d(block.in_channels)


PLAIN_SHORTCUTS: Sequence[Mutation] = (
    computes(lambda b, x: relu(b.residual(x) + x)),
    computes(lambda b, x: relu(b.residual(x)) + x),
    computes(lambda b, x: relu(r + x if (r := b.residual(x)).shape == x.shape else r)),
    lambda b: setattr(b, "downsample", nn.Identity()),
    lambda b: setattr(b, "downsample", shortcut_for(b, "B")),
    lambda b: setattr(b, "downsample", shortcut_for(b, "A")),
)
plain_block = ModuleExercise(
    "PlainBlock(in_channels, channels, stride=1)",
    reference=Basic,
    cases=[Case((4, 6, 2), (4, 4, 9, 8)), Case((5, 5, 1), (4, 5, 7, 6)), Case((6, 3), (1, 6, 6, 5)),
           Case((3, 4, 3), (2, 3, 8, 7))],
    slips=[
        *BASIC.without("relu-before-norm"),
        slip("no-last-relu", "The last ReLU is missing: {negative_yours} of the outputs are negative, in the reference "
             "none are.",
             computes(lambda b, x: b.residual(x))),
        slip("relu-before-norm", "ReLU and batch norm are in the wrong order. The norm comes first, then ReLU.",
             inside(lambda b, x: b.bn2(b.conv2(b.bn1(relu(b.conv1(x)))))),
             inside(lambda b, x: b.bn2(relu(b.conv2(b.bn1(relu(b.conv1(x))))))),
             computes(lambda b, x: b.bn2(relu(b.conv2(b.bn1(relu(b.conv1(x)))))))),
        slip("has-shortcut", "There is a shortcut. The plain block is asked for: the same layers with nothing added.",
             *PLAIN_SHORTCUTS),
        slip("norm-of-inputs", "The first norm is made for in_channels. It follows the convolution, so it gets "
             "`channels` of them.",
             norm_of_inputs),
    ],
)


def identity_of(channels: int, bias: bool = False) -> nn.Conv2d:
    made = conv(3, channels, channels, bias=bias)
    nn.init.dirac_(made.weight)
    return made


def filled_with(change: Callable[[Tensor], object], zero: bool = True) -> Callable[[int], nn.Conv2d]:
    """A convolution whose weight is zero, then changed."""

    def build(channels: int) -> nn.Conv2d:
        made = conv(3, channels, channels)
        with torch.no_grad():
            if zero:
                made.weight.zero_()
            change(made.weight)
        return made

    return build


def own(weight: Tensor) -> Tensor:
    """The kernels from each channel to itself, (channels, 3, 3), as a view."""
    return weight.diagonal().permute(2, 0, 1)


def conv_problem(returned: Any, before: Sequence[Any], after: Sequence[Any]) -> Mistake | None:
    """Does the convolution return its input?"""
    channels = before[0]
    if not isinstance(returned, nn.Conv2d):
        return Mistake("returns-none" if returned is None else "not-a-conv", got=type(returned).__name__)
    x = noise(2, channels, 6, 7)
    given = call(returned, x).detach()
    if returned.bias is not None and given.shape == x.shape and returned.bias.any():
        given = given - returned.bias.detach().view(1, -1, 1, 1)
    same = given.shape == x.shape and torch.allclose(given, x, atol=1e-5)
    if returned.kernel_size != (3, 3):
        return Mistake("wrong-kernel", got="×".join(map(str, returned.kernel_size)))
    if same:
        return None if returned.bias is None else Mistake("has-bias")
    if given.shape != x.shape:
        key = "no-padding" if returned.padding == (0, 0) else "wrong-shape"
        return Mistake(key, case=f"({channels})", given_shape=tuple(given.shape), wanted_shape=tuple(x.shape))
    weight, share = returned.weight.detach(), f"{(given - x).abs().gt(1e-5).float().mean().item():.0%}"
    own = torch.eye(returned.out_channels, weight.shape[1], dtype=torch.bool)
    centre, around = weight[:, :, 1, 1], weight.clone()
    around[:, :, 1, 1] = 0
    if not weight.any() or bool((weight == 1).all()):
        return Mistake("all-ones" if weight.any() else "all-zeros")
    if not around.any():
        return Mistake("mixes-channels" if centre[~own].any() else "wrong-centre", share=share)
    if not centre.any() and around.count_nonzero() <= centre.numel():
        return Mistake("wrong-corner")
    if not weight[~own].any():
        return Mistake("whole-kernel")
    return Mistake("not-zeroed" if bool((centre[own] == 1).all()) else "still-random", share=share)


identity_conv = Exercise(
    "identity_conv(channels)",
    praise="its output equals its input, for 1, 3 and 5 channels.",
    right=identity_of,
    cases=[(3,), (5,), (1,)],
    problem=conv_problem,
)
identity_conv.slip("not-a-conv", "An nn.Conv2d is wanted; it returns a value of type {got}.",
    lambda c: identity_of(c).weight,
    lambda c: nn.Sequential(identity_of(c)),
    lambda c: nn.Identity())
identity_conv.slip("has-bias", "The convolution has a bias. It is zero or changes the signal; use bias=False.",
    lambda c: identity_of(c, bias=True))
identity_conv.slip("wrong-kernel", "The kernel is {got}. A 3×3 convolution that does nothing is asked for.",
    lambda c: nn.init.dirac_(conv(1, c, c).weight) is None or conv(1, c, c), lambda c: conv(5, c, c))
identity_conv.slip("no-padding", "Without padding the image shrinks by two pixels: the output cannot equal the input.",
    lambda c: nn.Conv2d(c, c, 3, bias=False))
identity_conv.slip("all-ones", "The whole kernel is one. It then adds up nine pixels of every channel. One weight of "
    "each output channel is 1, all others 0.",
    filled_with(lambda w: w.fill_(1)))
identity_conv.slip("all-zeros", "Every weight is zero, and so is the output. One weight of each output channel must be "
    "1.",
    filled_with(lambda w: None))
identity_conv.slip("mixes-channels", "Output channel c does not take input channel c alone. It should copy that one "
    "and ignore the others: weight[c, c].",
    filled_with(lambda w: w[:, :, 1, 1].fill_(1)),
    filled_with(lambda w: w[0, :, 1, 1].fill_(1)))
identity_conv.slip("wrong-centre", "Only the middles are set, but not all of them are 1: {share} of the outputs differ "
    "from the inputs.",
    filled_with(lambda w: w[0, 0, 1, 1].fill_(0.5)),
    filled_with(lambda w: own(w)[:, 1, 1].fill_(2)))
identity_conv.slip("wrong-corner", "The 1 sits in a corner of the kernel, so the image moves by a pixel. The middle is "
    "[1, 1].",
    filled_with(lambda w: own(w)[:, 0, 0].fill_(1)))
identity_conv.slip("whole-kernel", "The channels are kept apart, but each sums up nine pixels. Only the middle of the "
    "kernel, [1, 1], is 1.",
    filled_with(lambda w: own(w).fill_(1)))
identity_conv.slip("not-zeroed", "The middle is right; the other weights are still random, as nn.Conv2d made them. Set "
    "all to zero first.",
    filled_with(lambda w: own(w)[:, 1, 1].fill_(1), zero=False))
identity_conv.slip("still-random", "The weights are random still: {share} of the outputs differ from the inputs.",
    lambda c: conv(3, c, c))


def without_stem(first: Callable[[Tensor], Tensor]) -> Mutation:
    def first_block(net: Any) -> None:
        net.layer1[0].conv1 = resized(3, 1, in_channels=1)(net.layer1[0].conv1)

    return both(drops("conv1", "bn1"), first_block, begins_with(lambda net, x: first(x)))


def same_width(net: Net) -> None:
    for stage in net.stages()[1:]:
        for n in range(len(stage)):
            stage[n] = Basic(8, 8, 1 if n else 2)
    net.fc = nn.Linear(8, 10)


def plain(depth: int) -> Net:
    return Net(Basic, [(depth - 2) // 6] * 3, in_channels=1, num_classes=10, width=8, stem="cifar", option=None)


SMALL_NETS = Slips(  # in nets of three stages for small images
    *wrong_strides(3),
    slip("no-stem-norm", "The stem has no batch norm.",
         drops("bn1")),
    slip("stem-of-imagenet", "The stem is that of the ImageNet nets, with stride and max-pool. Images of 28 or 32 "
         "pixels start with a 3×3 convolution at stride 1.",
         remade(stem="imagenet")),
    slip("every-block-strides", "Every block of a stage strides. Only its first does.",
         every_block_strides),
    slip("ignores-depth", "The depth is fixed. Compute the number of blocks from it.",
         *[remade(layers=(n, n, n)) for n in (1, 3, 9)]),
    slip("convolutions-for-blocks", "You build as many blocks as the stage has convolutions: {off} parameters. A block "
         "has two, so divide by 6, not by 3.",
         lambda net: net.remade(layers=(2 * net.made["layers"][0],) * 3)),
    *block_counts(3),
    slip("shares-blocks", "One block appears several times in a stage: {off} parameters. Call the class anew for each "
         "block, so that each has its own weights.",
         share_blocks),
    slip("wrong-width", "The widths are not 8, 16, 32: {off} parameters. The first stage has `width` channels, here 8; "
         "each later one doubles them.",
         *[remade(width=width) for width in (16, 64, 4, 32)]),
    slip("wrong-image-channels", "The first convolution is made for images of 3 channels. These are grey, with 1.",
         remade(in_channels=3)),
    slip("wrong-classes", "The classifier has the wrong number of outputs: {off} parameters. Ten classes are asked "
         "for.",
         *[remade(num_classes=number) for number in (1000, 100, 1)]),
    *HEADS,
)
plain_net = ModuleExercise(
    "plain_net(depth)",
    reference=plain,
    cases=[Case((8,), (4, 1, 14, 14)), Case((14,), (1, 1, 12, 12)), Case((20,), (3, 1, 9, 9))],
    pairs=False,
    seconds=20,
    slips=[
        slip("has-shortcut", "There is a shortcut. The plain block is asked for: the same layers with nothing added.",
             *[with_shortcut(option) for option in "ABC"]),
        slip("no-block-relu", "The blocks do not end in a ReLU.",
             in_all_blocks(computes(lambda block, x: block.residual(x)))),
        slip("no-inner-relu", "A ReLU between the convolutions of a block is missing. Two convolutions in a row are "
             "one "
             "linear map.",
             in_all_blocks(inside(lambda b, x: b.bn2(b.conv2(b.bn1(b.conv1(x))))))),
        slip("no-stem-relu", "The ReLU after the first convolution and its norm is missing.",
             begins_with(lambda net, x: net.bn1(net.conv1(x)))),
        slip("no-stem", "The stem is missing: one 3×3 convolution with norm and ReLU before the blocks. It is one of "
             "the 2 in 6n + 2.",
             without_stem(relu), without_stem(nn.Identity())),
        slip("same-width", "Every stage has 8 channels: {off} parameters. Each stage doubles them: 8, 16, 32.",
             same_width),
        slip("conv-bias", "A convolution keeps its bias: {off} parameters. The batch norm after it subtracts the mean "
             "and the bias with it, so it learns nothing. Use bias=False.",
             biased(), in_all_blocks(biased()), biased("conv1")),
        slip("no-norm", "The batch norms are missing. Each convolution is followed by one.",
             both(drops("bn1"), in_all_blocks(drops("bn1", "bn2")))),
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
        for number in (1, 2):
            norm = block.get_submodule(f"bn{number}")
            nn.init.constant_(norm.weight, gamma(norm))
            nn.init.constant_(norm.bias, beta)
        for number in layers:
            kernel(block.get_submodule(f"conv{number}").weight)
        return block

    return change


def block_problem(returned: Any, before: Sequence[Any], after: Sequence[Any]) -> Mistake | None:
    """Do 24 of these blocks in a row return what goes in? One alone is too near for a wrong γ to be seen."""
    if not isinstance(returned, nn.Module):
        return Mistake("returns-none" if returned is None else "not-a-block", got=type(returned).__name__)
    if [p.shape for p in returned.parameters()] != [p.shape for p in before[0].parameters()]:
        return Mistake("another-module", got=type(returned).__name__)
    x = noise(2, before[0].conv1.in_channels, 6, 5).abs()
    once = call(returned.eval(), x).detach()
    given = once
    for _ in range(23):
        given = call(returned, given).detach()
    if given.shape == x.shape and torch.allclose(given, x, rtol=5e-5, atol=1e-6):
        return None
    if not given.any():
        return Mistake("returns-zeros")
    factor = (once.sum() / x.sum()).item()
    if torch.allclose(once, factor * x, rtol=1e-5, atol=1e-6):
        return Mistake("forgets-eps" if abs(factor - 1) < 1e-3 else "scales", factor=f"{factor:.6f}".rstrip("0"))
    kernels = [m.weight.detach() for m in returned.modules() if isinstance(m, nn.Conv2d)]
    if all(torch.equal(kernel, nn.init.dirac_(torch.empty_like(kernel))) for kernel in kernels):
        return Mistake("norm-shifts")
    return Mistake("still-random", share=f"{(once - x).abs().gt(1e-5).float().mean().item():.0%}")


def new_blocks() -> list[Sequence[Any]]:
    torch.manual_seed(0)
    return [(Basic(4, 4),), (Basic(6, 6),)]


make_identity = Exercise(
    "make_identity(block)",
    praise="24 of them in a row return what goes in.",
    right=idle(),
    cases=new_blocks,
    problem=block_problem,
)
make_identity.slip("forgets-eps", "Nearly: the block multiplies its input by {factor}, and 24 in a row add up. In eval "
    "mode a new batch norm divides by √(1 + eps). Which γ makes up for it?",
    idle(gamma=lambda norm: 1), idle(gamma=lambda norm: 1 + norm.eps))
make_identity.slip("still-random", "A convolution still mixes pixels or channels: {share} of the outputs differ from "
    "the inputs. Both convolutions have to copy.",
    idle(layers=(1,)), idle(layers=(2,)), idle(layers=()))
make_identity.slip("returns-zeros", "The block returns zeros. Doing nothing means returning the input: the middle of "
    "each kernel and each γ are near 1.",
    idle(gamma=lambda norm: 0), idle(kernel=nn.init.zeros_))
make_identity.slip("scales", "The block multiplies its input by {factor}. It should return it as it is.",
    idle(gamma=lambda norm: 2), idle(gamma=lambda norm: 0.5))
make_identity.slip("norm-shifts", "The kernels copy, but a norm adds something: β should be 0.",
    idle(beta=0.1))
make_identity.slip("another-module", "It returns another module (a {got}) in place of the block. The block keeps its "
    "two convolutions and norms: that is the point. Change their values.",
    lambda block: nn.Identity(), lambda block: nn.Sequential(nn.ReLU()))
make_identity.slip("not-a-block", "The block should be returned; it returns a value of type {got}.",
    lambda block: [idle()(block)], lambda block: idle()(block).conv1.weight)
