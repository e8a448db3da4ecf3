"""Lesson 03: the plus, the block around it, its derivative, and starts near a copy."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian
from torch.nn.functional import relu

from resnet_lib.models.blocks import BasicBlock
from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.teaching.checking import Case, Exercise, ModuleExercise, call, noise, slip
from resnet_lib.teaching.checks.mutations import ADDITION, BASIC, CHANGES_OF_SHAPE, MIDDLE, Basic, computes

# fmt: off
PLUS: dict[str, list[Callable[[Tensor, Tensor], Tensor]]] = {  # formulas of (F(x), x) for mistakes of the block
    "relu-on-shortcut": [lambda f, x: f + relu(x)],
    "subtracts": [lambda f, x: f - x, lambda f, x: x - f],
    "multiplies": [lambda f, x: f * x],
    "concatenates": [lambda f, x, axis=axis: torch.cat([f, x], axis) for axis in (0, 1)],
    "adds-itself": [lambda f, x: 2 * f],
    "adds-x-twice": [lambda f, x: f + 2 * x],
    "scaled-shortcut": [lambda f, x: f + 0.5 * x],
    "scaled-residual": [lambda f, x: 2 * f + x, lambda f, x: 0.5 * f + x],
    "scaled-sum": [lambda f, x: (f + x) / 2],
}
BRANCHES = [torch.sin, lambda x: 2 * x - 1, lambda x: relu(x), lambda x: x.roll(1, -1)]
residual_sum = Exercise(
    "residual_sum(branch, x)",
    praise="four branches: the sum, its gradient, and x as it was.",
    right=lambda branch, x: branch(x) + x,
    cases=[(branch, noise(3, 4, seed=seed)) for seed, branch in enumerate(BRANCHES)],
    gradients=True,
    slips=[
        slip("forgets-plus", "It returns the branch alone. Where is x?", lambda branch, x: branch(x)),
        slip("returns-input", "It returns x as it came. The result of the branch is lost.", lambda branch, x: x),
        slip("calls-twice", "The branch is called twice. Call it once and add x.",
             lambda branch, x: branch(branch(x)) + x, lambda branch, x: branch(branch(x) + x)),
        slip("branch-of-sum", "x is added before the branch runs, not after.", lambda branch, x: branch(x + x)),
        slip("relu-too-many", "There is a ReLU. Here only the sum is asked for: branch(x) + x.",
             lambda branch, x: relu(branch(x) + x), lambda branch, x: relu(branch(x)) + x),
        slip("doubles-x", "You added x to itself. One of the two should be branch(x).", lambda branch, x: 2 * x),
        *[slip(*one.keys, one.text, *[lambda branch, x, plus=plus: plus(branch(x), x) for plus in PLUS[one.keys[0]]])
          for one in ADDITION.only(*PLUS)],
    ],
)


basic_block = ModuleExercise(
    "BasicBlock(in_channels, channels)",
    reference=lambda in_channels, channels: Basic(in_channels, channels, shortcut=nn.Identity()),
    cases=[Case((6, 6), (4, 6, 7, 6)), Case((5, 5), (1, 5, 5, 8)), Case((4, 4), (2, 4, 6, 6), scale=8)],
    slips=[
        *ADDITION,
        *BASIC.without(*CHANGES_OF_SHAPE),
        *MIDDLE,
        slip("shortcut-each", "There is a shortcut around each convolution. The block has one, around both.",
             computes(lambda b, x: relu(b.bn2(b.conv2(y := relu(b.bn1(b.conv1(x)) + x))) + y))),
        slip("projects-without-need", "There is a projection where the shape does not change: {off} parameters.",
             lambda b: setattr(b, "downsample", b.make_shortcut("C")),
             lambda b: setattr(b, "downsample", nn.Conv2d(b.in_channels, b.channels, 1, bias=False))),
    ],
)


def blocks_to_change() -> list[tuple[nn.Module]]:
    """A block whose F is not zero by chance, and one as it is made."""
    blocks = BasicBlock(6, 6), BasicBlock(5, 5)
    with torch.no_grad():
        blocks[0].bn1.bias.copy_(noise(6, seed=2))
    return [(block,) for block in blocks]


def what_it_does(returned: Any, args: Sequence[Any]) -> dict[str, Any]:
    """The block's output, and whether any weight of the branch has a gradient."""
    twin = deepcopy(args[0]).requires_grad_()
    out = call(twin, noise(4, twin.in_channels, 5, 5, seed=1), doing="the block that it leaves")
    (out * noise(*out.shape, seed=4)).sum().backward()
    learns = [name for name, p in twin.named_parameters() if "weight" in name and p.grad.abs().max() > 1e-6]
    return {"not-zero": out.detach(), "zero-all": bool(learns)}


def zeroes(*names: str) -> Callable[[nn.Module], None]:
    def change(block: nn.Module) -> None:
        for name in names:
            nn.init.zeros_(block.get_parameter(name))

    return change


zero_init = Exercise(
    "zero_init(block)",
    praise="the block starts as relu(x), and what makes F zero has a gradient, so it can learn.",
    right=zeroes("bn2.weight"),
    cases=blocks_to_change,
    view=what_it_does,
    slips=[
        slip("nothing-changed", "The block computes what it did before: γ is 1 and β is 0 from the start. Change the "
             "one of this block that scales the branch, in place and not in a clone.",
             zeroes("bn2.bias"), lambda block: 0 * block.bn2.weight),
        slip("zero-first-layers", "You zeroed a layer before the last. The norm's β or the convolution after it make "
             "F constant, not zero.",
             zeroes("bn1.weight"), zeroes("conv1.weight")),
        slip("zero-all", "F(x) is zero, and so are all gradients: each zero hides the other. Zero only one thing.",
             zeroes("conv2.weight", "bn2.weight"), zeroes("conv1.weight", "conv2.weight")),
        slip("not-zero", "F(x) is not zero. Which layer comes last in the branch, and which parameter scales it?",
             lambda block: nn.init.ones_(block.bn2.bias), lambda block: nn.init.constant_(block.bn2.weight, 0.1),
             lambda block: setattr(block, "bn2", nn.Identity())),
    ],
)


WEIGHT = noise(5, 5, seed=4)


def block_derivative(branch: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return jacobian(branch, x) + torch.eye(len(x))


def of_jacobian(change: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """Another formula of (the branch's Jacobian, the identity matrix, x)."""
    return lambda branch, x: change(jacobian(branch, x), torch.eye(len(x)), x)


block_jacobian = Exercise(
    "block_jacobian(branch, x)",
    praise="three branches: row i holds the derivatives of output i.",
    right=block_derivative,
    cases=[(branch, noise(n, seed=seed)) for seed, (n, branch) in enumerate([
        (5, lambda v: torch.tanh(WEIGHT @ v)), (5, lambda v: torch.sin(v) * v.roll(1)), (1, lambda v: v**3)])],
    seconds=30,  # importing torch.func may take ten
    slips=[
        slip("forgets-identity", "That is the Jacobian of the branch alone. What is the derivative of x?", jacobian),
        slip("identity-only", "The branch has a derivative too.", of_jacobian(lambda j, eye, x: eye)),
        slip("transposed", "Row i should hold the derivatives of output i.", of_jacobian(lambda j, eye, x: j.T + eye)),
        slip("gradient-of-sum", "That is the gradient of the summed outputs. The Jacobian has a row for every output.",
             of_jacobian(lambda j, eye, x: j.sum(0) + 1), of_jacobian(lambda j, eye, x: j.sum(0))),
        slip("adds-another", "What you add is not the identity matrix: ones on the diagonal, zeros elsewhere.",
             of_jacobian(lambda j, eye, x: j + 1), of_jacobian(lambda j, eye, x: j + x),
             of_jacobian(lambda j, eye, x: j + x.diag())),
        slip("diagonal-only", "Only the diagonal is left. Each output depends on every input.",
             of_jacobian(lambda j, eye, x: j.diag() + 1), of_jacobian(lambda j, eye, x: (j + eye).diag().diag()),
             of_jacobian(lambda j, eye, x: j * eye)),
        slip("not-the-derivative", "That is what the block computes. Its derivative is asked for.",
             lambda branch, x: branch(x) + x, lambda branch, x: branch(x)),
        slip("subtracts", "You subtract. The block computes x + branch(x), so the derivatives add up.",
             of_jacobian(lambda j, eye, x: j - eye), of_jacobian(lambda j, eye, x: eye - j)),
        slip("gradients-add-up", "A row holds the rows before it: every `backward` adds to `x.grad`. Clear it.",
             of_jacobian(lambda j, eye, x: (j + eye).cumsum(0)), of_jacobian(lambda j, eye, x: j.cumsum(0) + eye),
             of_jacobian(lambda j, eye, x: (j.sum(0) + 1).expand(len(x), -1).clone())),
        slip("relu-too-many", "There is a ReLU. The Jacobian of x + branch(x) is asked for, without one.",
             lambda branch, x: jacobian(lambda u: relu(u + branch(u)), x)),
    ],
)


def near(identity: Callable[[Tensor, float], Tensor], only: str = "layer") -> Callable[[Any, float], None]:
    """The 3×3 convolutions of the net whose name has `only` in it start as `identity` makes it of (weight, ε)."""

    def change(net: Any, epsilon: float) -> None:
        for name, conv in net.named_modules():
            if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3) and only in name:
                conv.weight.data = identity(conv.weight.data, epsilon)

    return change


def dirac(weight: Tensor) -> Tensor:
    return nn.init.dirac_(torch.empty_like(weight))


def near_copy(weight: Tensor, epsilon: float) -> Tensor:
    return dirac(weight) + epsilon * weight


near_identity = Exercise(
    "near_identity(net, epsilon)",
    praise="every 3×3 convolution of the blocks is the identity plus ε times what it was; nothing else has changed.",
    right=near(near_copy),
    cases=lambda: [(cifar_resnet(8, shortcut=shortcut, width=3, in_channels=1), epsilon)
                   for shortcut, epsilon in ((None, 0.1), ("B", 0.5))],
    changes=lambda net: dict(net.named_parameters()),
    slips=[
        slip("forgets-noise", "The weights that were there are lost. Add epsilon times them to the identity.",
             near(lambda w, e: dirac(w)), near(lambda w, e: (1 + e) * dirac(w))),
        slip("forgets-identity", "The weights are scaled, but the identity is missing.", near(lambda w, e: e * w)),
        slip("forgets-epsilon", "The old weight is not multiplied by epsilon.", near(lambda w, e: dirac(w) + w)),
        slip("scales-identity", "The identity is scaled. Only the weight that was there should be.",
             near(lambda w, e: e * (dirac(w) + w)), near(lambda w, e: e * dirac(w) + w),
             near(lambda w, e: (1 - e) * dirac(w) + e * w)),
        slip("mixes-channels", "There are 1s elsewhere than in the middle of weight[c, c], which alone copies.",
             near(lambda w, e: (torch.arange(9).view(3, 3) == 4) + e * w), near(lambda w, e: 1 + e * w)),
        slip("fixed-epsilon", "There is a number in the place of epsilon.", near(lambda w, e: near_copy(w, 0.1))),
        slip("one-convolution", "Only some convolutions of the blocks have changed. Each block has two 3×3 ones.",
             *[near(near_copy, only=name) for name in ("0.conv1", "conv2", "layer1", "layer1.0.conv1")],
             near(lambda w, e: near_copy(w, e) if w.shape[0] == w.shape[1] else w)),
        slip("changes-the-stem", "The stem has changed too. It is outside the blocks.", near(near_copy, only="")),
    ],
)
