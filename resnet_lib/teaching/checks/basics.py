"""Checks of the small functions of lessons 00, 01 and 03."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from resnet_lib.models.blocks import BasicBlock
from resnet_lib.teaching.checks.engine import Mistake, call, exercise, kind
from resnet_lib.teaching.checks.functions import close, compare, difference, random, show
from resnet_lib.teaching.checks.room import borrow


@exercise("pixels(images)")
def check_pixels(learners: Any) -> str:
    """pixels(images): how many numbers a batch of shape (N, C, H, W) holds."""
    cases = [[random(*shape)] for shape in ((4, 1, 28, 28), (2, 3, 5, 7), (1, 1, 2, 2))]
    slips = {
        "forgets-a-size": [
            lambda x: len(x), lambda x: x[0].numel(), lambda x: x[0, 0].numel(), lambda x: x.shape[0] * x[0, 0].numel(),
            lambda x: x.shape[-1], lambda x: x.shape[0] * x.shape[1],
        ],
        "adds-sizes": lambda x: sum(x.shape),
        "returns-sizes": lambda x: list(x.shape),
        "sums-values": lambda x: x.sum().item(),
        "fixed-size": [lambda x: len(x) * 784, lambda x: x.shape[0] * x.shape[1] * 784],
        "counts-bytes": lambda x: x.nbytes,
    }  # fmt: skip
    return compare(learners, cases, lambda x: x.numel(), slips)


@exercise("blocks_for_depth(depth)")
def check_blocks_for_depth(learners: Any) -> str:
    """blocks_for_depth(depth): the number n of blocks per stage of a net of depth 6n + 2."""
    slips = {
        "off-by-stem": [lambda depth: depth / 6, lambda depth: depth // 6 + 1],
        "blocks-not-convolutions": [lambda depth, k=k: (depth - 2) // k for k in (1, 2, 3, 9)]
        + [lambda depth, k=k: (depth - 2) / k for k in (2, 3, 9)],
        "off-by-stem, blocks-not-convolutions": [lambda depth, k=k: depth // k for k in (2, 3, 9)]
        + [lambda depth, k=k: depth / k for k in (2, 3, 9)],
        "returns-stages": lambda depth: [(depth - 2) // 6] * 3,
        "turned-round": lambda depth: 6 * depth + 2,
    }  # fmt: skip
    return compare(learners, [[depth] for depth in (8, 20, 32, 56, 110, 1202)], lambda d: (d - 2) // 6, slips)


@exercise("identity_conv(channels)")
def check_identity_conv(learners: Any) -> str:
    """identity_conv(channels): a 3×3 nn.Conv2d without bias that returns its input."""
    for channels in (3, 5):
        conv = call(learners, channels)
        if not isinstance(conv, nn.Conv2d):
            raise Mistake("returns-none" if conv is None else "not-a-conv", got=kind(conv))
        x = random(2, channels, 6, 7)
        given = call(borrow(conv), x)
        if not isinstance(given, Tensor):
            raise Mistake("not-a-tensor", given=show(given))
        if conv.bias is not None and close(given - conv.bias.view(1, -1, 1, 1), x):
            raise Mistake("has-bias")
        if not close(given, x):
            raise Mistake(_why_no_identity(conv, given, x), **difference([x], given, x))
        if conv.kernel_size != (3, 3):
            raise Mistake("wrong-kernel")
    return "its output equals its input, for 3 and for 5 channels."


def _why_no_identity(conv: nn.Conv2d, given: Tensor, x: Tensor) -> str:
    if given.shape != x.shape:
        return "no-padding" if conv.padding == (0, 0) and conv.kernel_size == (3, 3) else "wrong-shape"
    if conv.kernel_size != (3, 3):
        return "wrong-kernel"
    weight, own = conv.weight.detach(), torch.eye(conv.out_channels, conv.weight.shape[1], dtype=torch.bool)
    centre, around = weight[:, :, 1, 1], weight.clone()
    around[:, :, 1, 1] = 0
    if not weight.any() or bool((weight == 1).all()):
        return "all-ones" if weight.any() else "all-zeros"
    if not around.any():
        return "mixes-channels" if centre[~own].any() else "wrong-centre"
    if not centre.any() and around.count_nonzero() <= centre.numel():
        return "wrong-corner"
    if not weight[~own].any():
        return "whole-kernel"
    return "not-zeroed" if bool((centre[own] == 1).all()) else "still-random"


@exercise("residual_sum(branch, x)")
def check_residual_sum(learners: Any) -> str:
    """residual_sum(branch, x): the branch's output plus x. x stays as it is."""
    branches = [torch.sin, lambda x: 2 * x - 1, lambda x: relu(x)]
    cases = [[branch, random(3, 4, seed=seed)] for seed, branch in enumerate(branches)]
    slips = {
        "forgets-plus": lambda branch, x: branch(x),
        "returns-input": lambda branch, x: x,
        "adds-itself": lambda branch, x: 2 * branch(x),
        "doubles-the-signal": lambda branch, x: 2 * x,
        "calls-twice": [lambda branch, x: branch(branch(x)) + x, lambda branch, x: branch(branch(x) + x),
                        lambda branch, x: 2 * branch(x) + x],
        "concatenates": [lambda branch, x, axis=axis, turn=turn: torch.cat([branch(x), x][::turn], axis)
                         for axis in (0, 1) for turn in (1, -1)],
        "relu-too-many": [lambda branch, x: relu(branch(x) + x), lambda branch, x: relu(branch(x)) + x],
        "subtracts": [lambda branch, x: branch(x) - x, lambda branch, x: x - branch(x)],
        "multiplies": lambda branch, x: branch(x) * x,
        "relu-on-shortcut": lambda branch, x: branch(x) + relu(x),
        "scaled-shortcut": lambda branch, x: branch(x) + 0.5 * x,
        "scaled-sum": lambda branch, x: (branch(x) + x) / 2,
    }  # fmt: skip
    return compare(learners, cases, lambda branch, x: branch(x) + x, slips)


@exercise("zero_init(block)")
def check_zero_init(learners: Any) -> str:
    """zero_init(block): change a BasicBlock in place so that F(x) = 0 at the start and it can still learn."""
    block = BasicBlock(6, 6)
    with torch.no_grad():
        block.bn1.bias.copy_(random(6, seed=2))  # so that F is not zero by chance
    before = {name: value.detach().clone() for name, value in block.named_parameters()}
    beta, version = block.bn2.bias, block.bn2.bias._version
    returned = call(learners, block)
    block = returned if isinstance(returned, BasicBlock) else block
    gamma = getattr(getattr(block, "bn2", None), "weight", None)
    after: dict[str, Any] = {**dict(block.named_parameters()), "bn2.weight": gamma}
    if any(getattr(after.get(name), "shape", None) != value.shape for name, value in before.items()):
        raise Mistake("removes-a-layer")
    changed = {name for name, value in before.items() if not torch.equal(value, after[name].detach())}
    zeroed = {name for name in changed if not after[name].detach().any()}
    if not changed:
        raise Mistake("zero-beta" if beta._version != version else "returns-nothing-useful")
    if zeroed - {"bn2.weight", "bn2.bias", "bn1.bias"}:
        first, convs = "bn1.weight" in zeroed, {"conv1.weight", "conv2.weight"} & zeroed
        raise Mistake("zero-all" if first and len(zeroed) > 1 else "zero-first-gamma" if not convs else "zero-conv")
    x = random(4, 6, 5, 5, seed=1)
    if not torch.equal(block.train()(x), relu(x)):
        raise Mistake("still-not-identity" if "bn2.weight" in zeroed else "ones-gamma")
    if not isinstance(gamma, nn.Parameter) or not gamma.requires_grad:
        raise Mistake("frozen")
    return "the block starts as relu(x), and its γ has a gradient, so it can learn."


@exercise("block_jacobian(branch, x)")
def check_block_jacobian(learners: Any) -> str:
    """block_jacobian(branch, x): for a vector x the matrix of derivatives of x + branch(x)."""
    weight = random(5, 5, seed=4)
    branches = [lambda v: torch.tanh(weight @ v), lambda v: torch.sin(v) * v.roll(1)]

    def jacobian(branch: Any, x: Tensor) -> Tensor:
        return torch.autograd.functional.jacobian(branch, x)

    slips = {
        "forgets-identity": jacobian,
        "identity-only": lambda branch, x: torch.eye(len(x)),
        "transposed": lambda branch, x: jacobian(branch, x).T + torch.eye(len(x)),
        "gradient-of-sum": [
            lambda branch, x: jacobian(branch, x).sum(0) + 1,
            lambda branch, x: jacobian(branch, x).sum(0),
        ],
        "adds-one": lambda branch, x: jacobian(branch, x) + 1,
        "adds-x": [lambda branch, x: jacobian(branch, x) + x, lambda branch, x: jacobian(branch, x) + x.diag()],
        "subtracts": lambda branch, x: jacobian(branch, x) - torch.eye(len(x)),
        "diagonal-only": [lambda branch, x: jacobian(branch, x).diag() + 1,
                          lambda branch, x: (jacobian(branch, x).diag() + 1).diag()],
        "not-the-derivative": [lambda branch, x: branch(x) + x, lambda branch, x: branch(x)],
    }  # fmt: skip
    cases = [[branch, random(5, seed=seed)] for seed, branch in enumerate(branches)]
    return compare(learners, cases, lambda b, x: jacobian(b, x) + torch.eye(len(x)), slips, gradients=False)
