"""Checks of the small functions of lessons 00, 01 and 03."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from resnet_lib.models.blocks import BasicBlock
from resnet_lib.teaching.checks.engine import Mistake, borrow, call, exercise
from resnet_lib.teaching.checks.functions import close, compare, random


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
    }  # fmt: skip
    return compare(learners, cases, lambda x: x.numel(), slips)


@exercise("blocks_for_depth(depth)")
def check_blocks_for_depth(learners: Any) -> str:
    """blocks_for_depth(depth): the number n of blocks per stage of a net of depth 6n + 2."""
    slips = {
        "a-float": lambda depth: (depth - 2) / 6,
        "off-by-stem": [lambda depth: depth // 6, lambda depth: (depth - 1) // 6, lambda depth: depth / 6,
                        lambda depth: round(depth / 6), lambda depth: depth // 6 + 1],
        "blocks-not-convolutions": [lambda depth, k=k: (depth - 2) // k for k in (2, 3)]
        + [lambda depth, k=k: (depth - 2) / k for k in (2, 3)],
    }  # fmt: skip
    return compare(learners, [[depth] for depth in (8, 20, 32, 56, 110, 1202)], lambda d: (d - 2) // 6, slips)


@exercise("identity_conv(channels)")
def check_identity_conv(learners: Any) -> str:
    """identity_conv(channels): a 3×3 nn.Conv2d without bias that returns its input."""
    for channels in (3, 5):
        conv = call(learners, channels)
        if not isinstance(conv, nn.Conv2d):
            raise Mistake(
                "returns-none" if conv is None else "not-a-module", got=f"a value of type {type(conv).__name__}"
            )
        x = random(2, channels, 6, 7)
        given = call(borrow(conv), x)
        if not close(given, x):
            raise Mistake(_why_no_identity(conv, given, x), **_shapes(given, x))
        if conv.bias is not None:
            raise Mistake("has-bias")
        if conv.kernel_size != (3, 3):
            raise Mistake("wrong-kernel")
    return "its output equals its input, for 3 and for 5 channels."


def _why_no_identity(conv: nn.Conv2d, given: Tensor, x: Tensor) -> str:
    if given.shape != x.shape:
        return "no-padding" if conv.padding == (0, 0) and conv.kernel_size == (3, 3) else "wrong-shape"
    weight = conv.weight.detach()
    if bool((weight == 1).all()):
        return "all-ones"
    if weight.shape[-1] == 3 and bool((weight[:, :, 1, 1] == 1).all()):
        return "mixes-channels"
    if int((weight != 0).sum()) <= weight.shape[0]:
        return "wrong-corner"
    return "still-random"


def _shapes(given: Tensor, wanted: Tensor) -> dict[str, object]:
    facts: dict[str, object] = {"given_shape": tuple(given.shape), "wanted_shape": tuple(wanted.shape)}
    if given.shape == wanted.shape:
        facts["share"] = f"{((given - wanted).abs() > 1e-4).float().mean().item():.0%}"
    return {**facts, "case": f"an input of shape {tuple(wanted.shape)}"}


@exercise("residual_sum(branch, x)")
def check_residual_sum(learners: Any) -> str:
    """residual_sum(branch, x): the branch's output plus x. x stays as it is."""
    branches = [torch.sin, lambda x: 2 * x - 1, lambda x: relu(x)]
    cases = [[branch, random(3, 4, seed=seed)] for seed, branch in enumerate(branches)]
    slips = {
        "forgets-plus": lambda branch, x: branch(x),
        "returns-input": lambda branch, x: x,
        "calls-twice": [lambda branch, x: branch(x) + branch(x), lambda branch, x: branch(branch(x)) + x,
                        lambda branch, x: branch(branch(x) + x)],
        "subtracts": [lambda branch, x: branch(x) - x, lambda branch, x: x - branch(x)],
        "multiplies": lambda branch, x: branch(x) * x,
        "relu-on-shortcut": lambda branch, x: branch(x) + relu(x),
        "scaled-shortcut": lambda branch, x: branch(x) + 0.5 * x,
    }  # fmt: skip
    return compare(learners, cases, lambda branch, x: branch(x) + x, slips)


@exercise("zero_init(block)")
def check_zero_init(learners: Any) -> str:
    """zero_init(block): change a BasicBlock in place so that F(x) = 0 at the start and it can still learn."""
    block = BasicBlock(6, 6)
    before = {name: value.detach().clone() for name, value in block.named_parameters()}
    with torch.no_grad():
        before["bn1.bias"].copy_(random(6, seed=2))  # so that F is not zero by chance
        block.bn1.bias.copy_(before["bn1.bias"])
    returned = call(learners, block)
    block = returned if isinstance(returned, BasicBlock) else block
    changed = {name for name, value in block.named_parameters() if not torch.equal(value.detach(), before[name])}
    zero = {name for name, value in block.named_parameters() if not value.detach().any()}
    if not changed:
        raise Mistake("zero-beta" if isinstance(returned, Tensor) else "returns-nothing-useful")
    if {"conv2.weight"} & zero or {"conv1.weight"} & zero:
        raise Mistake("zero-conv")
    if "bn1.weight" in zero:
        raise Mistake("zero-first-gamma" if "bn2.weight" not in zero else "zero-all")
    x = random(4, 6, 5, 5, seed=1)
    if not torch.equal(block.train()(x), relu(x)):
        raise Mistake("ones-gamma" if "bn2.weight" not in zero else "still-not-identity")
    if changed - {"bn2.weight", "bn2.bias", "bn1.bias"}:
        raise Mistake("zero-all")
    (block(x) * random(4, 6, 5, 5, seed=3)).sum().backward()
    gamma = block.bn2.weight.grad
    if gamma is None or not gamma.any():
        raise Mistake("no-gradient")
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
        "subtracts": lambda branch, x: jacobian(branch, x) - torch.eye(len(x)),
    }
    cases = [[branch, random(5, seed=seed)] for seed, branch in enumerate(branches)]
    return compare(learners, cases, lambda b, x: jacobian(b, x) + torch.eye(len(x)), slips, gradients=False)
