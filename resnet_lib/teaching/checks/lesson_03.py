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
from resnet_lib.teaching.checking import Case, Exercise, Mistake, ModuleExercise, noise, slip
from resnet_lib.teaching.checks.mutations import ADDITION, BASIC, CHANGES_OF_SHAPE, Basic, computes, shortcut_for

# fmt: off
BRANCHES = [torch.sin, lambda x: 2 * x - 1, lambda x: relu(x), lambda x: x.roll(1, -1)]
residual_sum = Exercise(
    "residual_sum(branch, x)",
    praise="four branches: the sum, its gradient, and x as it was.",
    right=lambda branch, x: branch(x) + x,
    cases=[(branch, noise(3, 4, seed=seed)) for seed, branch in enumerate(BRANCHES)],
    gradients=True,
)
residual_sum.slip("forgets-plus", "It returns the branch alone. Where is x?",
    lambda branch, x: branch(x))
residual_sum.slip("returns-input", "It returns x as it came. The branch is never called, or its result is lost.",
    lambda branch, x: x)
residual_sum.slip("calls-twice", "The branch is called twice, so its result is added twice, or x passes through it "
    "twice. Call it once and add x.",
    lambda branch, x: branch(branch(x)) + x, lambda branch, x: branch(branch(x) + x),
    lambda branch, x: 2 * branch(x) + x)
residual_sum.slip("concatenates", "You put the branches side by side. DenseNet concatenates; ResNet adds, so the "
    "number of channels stays.",
    *[lambda branch, x, axis=axis, turn=turn: torch.cat([branch(x), x][::turn], axis) for axis in (0, 1)
    for turn in (1, -1)])
residual_sum.slip("relu-too-many", "There is a ReLU. Here only the sum is asked for: branch(x) + x.",
    lambda branch, x: relu(branch(x) + x), lambda branch, x: relu(branch(x)) + x)
residual_sum.slip("subtracts", "You subtract where the block adds. H(x) − x is what F has to *learn*; what the block "
    "*computes* is F(x) + x.",
    lambda branch, x: branch(x) - x, lambda branch, x: x - branch(x))
residual_sum.slip("multiplies", "You multiply the two branches. The block adds them: a gate is a different idea (He et "
    "al. 2016, section 3.1).",
    lambda branch, x: branch(x) * x)
residual_sum.slip("relu-on-shortcut", "The shortcut passes through a ReLU before the addition. Then negative values "
    "are lost on the path that should carry everything.",
    lambda branch, x: branch(x) + relu(x))
residual_sum.slip("scaled-sum", "The sum is scaled, and with it the shortcut. Through L blocks the factor becomes its "
    "L-th power. Add without a factor.",
    lambda branch, x: (branch(x) + x) / 2)
residual_sum.slip("adds-itself", "The branch is added to itself, and x is lost. Keep x under its own name until the "
    "addition.",
    lambda branch, x: 2 * branch(x))
residual_sum.slip("doubles-the-signal", "You added x to itself. One of the two should be branch(x).",
    lambda branch, x: 2 * x)
residual_sum.slip("adds-x-twice", "x is added twice. Once is enough.",
    lambda branch, x: branch(x) + 2 * x)
residual_sum.slip("scaled-shortcut", "The shortcut is scaled. Through L blocks the factor becomes its L-th power: it "
    "dies out or explodes. He et al. 2016 (table 1): 6.61 % → 12.35 % with 0.5.",
    lambda branch, x: branch(x) + 0.5 * x)


def plain_norms_of(block: Any) -> None:
    """The shortcut's projection, without its norm."""
    block.downsample = nn.Conv2d(block.in_channels, block.channels, 1, bias=False)


def identity_block(in_channels: int, channels: int) -> Basic:
    return Basic(in_channels, channels, downsample=nn.Identity())


def middle(b: Any, x: Tensor, taken: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """A block whose shortcut starts after the first convolution: `taken` makes it of (conv1(x), its norm)."""
    first = b.conv1(x)
    normed = b.bn1(first)
    return relu(b.bn2(b.conv2(relu(normed))) + taken(first, normed))


basic_block = ModuleExercise(
    "BasicBlock(in_channels, channels)",
    reference=identity_block,
    cases=[Case((6, 6), (4, 6, 7, 6)), Case((5, 5), (1, 5, 5, 8)), Case((4, 4), (2, 4, 6, 6), scale=8)],
    slips=[
        *ADDITION,
        *BASIC.without(*CHANGES_OF_SHAPE),
        slip("adds-middle", "What you add is not x: the name was overwritten by the signal between the two "
             "convolutions. Keep x under its own name until the addition.",
             computes(lambda b, x: middle(b, x, lambda first, normed: relu(normed))),
             computes(lambda b, x: middle(b, x, lambda first, normed: normed)),
             computes(lambda b, x: middle(b, x, lambda first, normed: first))),
        slip("norm-after-add", "The last batch norm comes after the addition. It then changes the shortcut too; He et "
             "al. 2016 (figure 4b): 6.61 % → 8.17 %.",
             computes(lambda b, x: relu(b.bn2(b.conv2(relu(b.bn1(b.conv1(x)))) + x)))),
        slip("projects-without-need", "There is a projection where the shape does not change: {off} parameters. The "
             "identity does that without parameters.",
             lambda b: setattr(b, "downsample", shortcut_for(b, "C")), plain_norms_of),
        slip("pre-activation", "This is the pre-activation block (V2, lesson 07): norm and ReLU come before the "
             "convolutions. Here the V1 block is asked for.",
             computes(lambda b, x: x + b.conv2(relu(b.bn2(b.conv1(relu(b.bn1(x)))))))),
    ],
)


def block_to_change() -> list[tuple[nn.Module]]:
    """A block whose F is not zero by chance, and one as it is made."""
    torch.manual_seed(0)
    blocks = BasicBlock(6, 6), BasicBlock(5, 5)
    with torch.no_grad():
        blocks[0].bn1.bias.copy_(noise(6, seed=2))
    return [(block,) for block in blocks]


def start_problem(returned: Any, before: Sequence[Any], after: Sequence[Any]) -> Mistake | None:
    """Is F(x) = 0 now, and can the block still learn?"""
    old, now = (dict(args[0].named_parameters()) for args in (before, after))
    block = after[0]
    gone = [name for name, p in old.items() if getattr(_at(block, name), "shape", None) != p.shape]
    if gone:
        return Mistake("removes-a-layer", name=gone[0])
    if frozen := [name for name in old if name not in now or not now[name].requires_grad]:
        return Mistake("frozen", name=frozen[0])
    changed = {name for name, p in old.items() if not torch.equal(p.detach(), now[name].detach())}
    zeroed = {name for name in changed if not now[name].detach().any()}
    if not changed:
        if isinstance(returned, nn.Module) and returned is not block:
            return Mistake("changes-a-copy")
        return Mistake("zero-beta" if block.bn2.bias._version > before[0].bn2.bias._version else "nothing-changed")
    if modes := [part for part in block.modules() if not part.training]:
        return Mistake("changes-mode", mode="eval", what=type(modes[0]).__name__)
    x = noise(4, block.bn2.num_features, 5, 5, seed=1)
    out = deepcopy(block)(x)
    if not torch.allclose(out, relu(x), atol=1e-6):
        if "bn2.weight" in zeroed:
            return Mistake("still-not-identity")
        first = {"bn1.weight": "zero-first-gamma", "conv1.weight": "zero-first-convolution"}
        return Mistake(next((key for name, key in first.items() if name in zeroed), "ones-gamma"))
    probe = deepcopy(block)
    (probe(x) * noise(*x.shape, seed=4)).sum().backward()
    learns = [name for name, p in probe.named_parameters() if "weight" in name and p.grad.abs().max() > 1e-6]
    return None if learns else Mistake("zero-all")


def _at(block: nn.Module, name: str) -> Any:
    for part in name.split("."):
        block = getattr(block, part, None)  # type: ignore[assignment]
    return block


def zeroes(*names: str) -> Callable[[nn.Module], None]:
    def change(block: nn.Module) -> None:
        for name in names:
            nn.init.zeros_(block.get_parameter(name))

    return change


def freezes(block: nn.Module) -> None:
    zeroes("bn2.weight")(block)
    block.get_parameter("bn2.weight").requires_grad_(False)


def zero_copy(block: nn.Module) -> nn.Module:
    twin = deepcopy(block)
    zeroes("bn2.weight")(twin)
    return twin


def zero_and_shift(block: Any) -> None:
    zeroes("bn2.weight")(block)
    nn.init.ones_(block.bn2.bias)


zero_init = Exercise(
    "zero_init(block)",
    praise="the block starts as relu(x), and what makes F zero has a gradient, so it can learn.",
    right=zeroes("bn2.weight"),
    cases=block_to_change,
    problem=start_problem,
)
zero_init.slip("removes-a-layer", "A layer or parameter of the block is gone (`{name}`). Keep all of them and change "
    "values.",
    lambda block: setattr(block, "bn2", nn.Identity()))
zero_init.slip("frozen", "`{name}` cannot learn any more: it is not an nn.Parameter, or its requires_grad is off. "
    "Change "
    "the values of the one that is there.",
    freezes)
zero_init.slip("changes-a-copy", "You changed a copy and returned it. The block that was handed over is as it was; "
    "change that one.",
    zero_copy)
zero_init.slip("zero-beta", "You zeroed β, which is zero at the start anyway. γ scales the branch.",
    zeroes("bn2.bias"))
zero_init.slip("nothing-changed", "The block came out as it went in. Change its values in place; what you return is "
    "ignored.",
    lambda block: 0 * block.bn2.weight)
zero_init.slip("still-not-identity", "The block's output still differs from relu(x): F(x) is not zero.",
    zero_and_shift)
zero_init.slip("zero-first-gamma", "You zeroed γ of the first batch norm. F is then constant, not zero: conv2 of "
    "relu(β) is left. Which norm comes last?",
    zeroes("bn1.weight"))
zero_init.slip("zero-first-convolution", "You zeroed the first convolution. F is then constant, not zero: the norm's β "
    "and the second convolution are left. Which layer comes last in the branch?",
    zeroes("conv1.weight"))
zero_init.slip("ones-gamma", "F(x) is not zero yet. Which layer comes last in the branch, and which of its parameters "
    "scales what it returns?",
    lambda block: nn.init.ones_(block.bn2.bias) is None, lambda block: nn.init.constant_(block.bn2.weight, 0.1))
zero_init.slip("zero-all", "F(x) is zero, and so are all gradients of its weights: each zero hides the other. Zero "
    "only one thing, and the block can wake up.",
    zeroes("conv1.weight", "conv2.weight", "bn1.weight", "bn2.weight"), zeroes("conv2.weight", "bn2.weight"),
    zeroes("bn1.weight", "bn2.weight"))


WEIGHT = noise(5, 5, seed=4)


def of_sum(branch: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """x.grad after `backward` of the summed outputs."""
    return jacobian(branch, x).sum(0) + 1


def block_derivative(branch: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return jacobian(branch, x) + torch.eye(len(x))


block_jacobian = Exercise(
    "block_jacobian(branch, x)",
    praise="three branches: row i holds the derivatives of output i.",
    right=block_derivative,
    cases=[(branch, noise(n, seed=seed)) for seed, (n, branch) in enumerate([
        (5, lambda v: torch.tanh(WEIGHT @ v)), (5, lambda v: torch.sin(v) * v.roll(1)), (1, lambda v: v**3)])],
)
block_jacobian.slip("forgets-identity", "You return the Jacobian of the branch alone. The derivative of x is the "
    "identity matrix: add it.",
    jacobian)
block_jacobian.slip("identity-only", "You return the identity matrix. The branch has a derivative too.",
    lambda branch, x: torch.eye(len(x)))
block_jacobian.slip("transposed", "The matrix is transposed. Row i holds the derivatives of output i.",
    lambda branch, x: jacobian(branch, x).T + torch.eye(len(x)))
block_jacobian.slip("gradient-of-sum", "You return the gradient of the summed outputs, a vector. The Jacobian has a "
    "row for every output.",
    lambda branch, x: jacobian(branch, x).sum(0) + 1, lambda branch, x: jacobian(branch, x).sum(0))
block_jacobian.slip("adds-one", "You add 1 to every entry of the matrix. The identity matrix has ones only on the "
    "diagonal.",
    lambda branch, x: jacobian(branch, x) + 1)
block_jacobian.slip("adds-x", "You add x itself. Its derivative is asked for: the derivative of x with respect to x is "
    "the identity matrix.",
    lambda branch, x: jacobian(branch, x) + x, lambda branch, x: jacobian(branch, x) + x.diag())
block_jacobian.slip("diagonal-only", "You keep only the diagonal. Each output depends on every input: the Jacobian is "
    "a matrix, {wanted_shape}.",
    lambda branch, x: jacobian(branch, x).diag() + 1, lambda branch, x: (jacobian(branch, x).diag() + 1).diag())
block_jacobian.slip("not-the-derivative", "You return what the block computes. Its derivative with respect to each "
    "entry of x is asked for.",
    lambda branch, x: branch(x) + x, lambda branch, x: branch(x))
block_jacobian.slip("subtracts", "You subtract the identity matrix. The block computes x + branch(x), so the "
    "derivatives add up.",
    lambda branch, x: jacobian(branch, x) - torch.eye(len(x)),
    lambda branch, x: torch.eye(len(x)) - jacobian(branch, x))
block_jacobian.slip("gradients-add-up", "The rows hold more than their own derivatives: `x.grad` is added to by every "
    "`backward`. Clear it after each row, or use torch.autograd.grad.",
    lambda branch, x: block_derivative(branch, x).cumsum(0),
    lambda branch, x: of_sum(branch, x).expand(len(x), -1).clone(),
    lambda branch, x: jacobian(branch, x).cumsum(0) + torch.eye(len(x)))
block_jacobian.slip("multiplies", "You multiply by the identity matrix, which changes nothing or keeps only the "
    "diagonal. The derivative of a sum is a sum.",
    lambda branch, x: jacobian(branch, x) * torch.eye(len(x)))


# A start is judged by the weights that it leaves: those of the right start, or of a wrong one that has a name.


def starts_as(exercise: Exercise, before: Sequence[Any], after: Sequence[Any], returned: Any) -> Mistake | None:
    """None if the net was changed in place as the right answer changes it; else the mistake, by name if it has one."""

    def left_by(change: Callable[..., Any]) -> nn.Module:
        args = deepcopy(tuple(before))
        change(*args)
        return args[0]

    net, wanted = after[0], left_by(exercise.right)
    if _same_weights(net, wanted):
        return None
    if isinstance(returned, nn.Module) and _same_weights(returned, wanted):
        return Mistake("changes-a-copy")
    named = (one.keys for one, wrong in exercise.each_wrong() if _same_weights(net, left_by(wrong)))
    differing = _differing(net, wanted) or ["none"]
    return Mistake(*next(named, ("other-start",)), name=differing[0], count=len(differing))


def _differing(net: nn.Module, wanted: nn.Module) -> list[str]:
    given = dict(net.named_parameters())
    return [
        name
        for name, p in wanted.named_parameters()
        if name not in given
        or given[name].shape != p.shape
        or not torch.allclose(given[name], p, atol=1e-6)
        or not given[name].requires_grad
    ]


def _same_weights(net: nn.Module, wanted: nn.Module) -> bool:
    return not _differing(net, wanted) and len(list(net.parameters())) == len(list(wanted.parameters()))


def near(identity: Callable[[Tensor, float], Tensor], only: str = "") -> Callable[[Any, float], None]:
    """Every 3×3 convolution of the blocks starts as `identity` makes it of (its weight, ε)."""

    def change(net: Any, epsilon: float) -> None:
        for block in net.blocks().values():
            for name, conv in block.named_modules():
                if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3) and only in name:
                    conv.weight.data = identity(conv.weight.data, epsilon)

    return change


def dirac(weight: Tensor) -> Tensor:
    return nn.init.dirac_(torch.empty_like(weight))


def everywhere_one(weight: Tensor) -> Tensor:
    ones = torch.zeros_like(weight)
    ones[:, :, 1, 1] = 1
    return ones


def stem_too(net: Any, epsilon: float) -> None:
    near(lambda w, e: dirac(w) + e * w)(net, epsilon)
    net.conv1.weight.data = dirac(net.conv1.weight.data) + epsilon * net.conv1.weight.data


near_identity: Exercise = Exercise(
    "near_identity(net, epsilon)",
    praise="every 3×3 convolution of the blocks is the identity plus ε times what it was; nothing else has changed.",
    right=near(lambda w, e: dirac(w) + e * w),
    cases=lambda: [
        (cifar_resnet(8, shortcut=None, width=3, in_channels=1), 0.1),
        (cifar_resnet(8, shortcut="B", width=3, in_channels=1), 0.5),
    ],
    problem=lambda returned, before, after: starts_as(near_identity, before, after, returned),
)
near_identity.slip("nothing-changed", "The net came out as it went in. Change the values of its weights in place, "
    "under torch.no_grad(); what you return is ignored.",
    near(lambda w, e: w))
near_identity.slip("changes-a-copy", "You changed a copy and returned it. The net that was handed over is as it was; "
    "change that one.",
    lambda net, epsilon: near(lambda w, e: dirac(w) + e * w)(twin := deepcopy(net), epsilon) or twin)
near_identity.slip("forgets-noise", "The weights are only the identity. Added channels then stay dead, and "
    "all kernels are equal: add epsilon times the weight that was there.",
    near(lambda w, e: dirac(w)))
near_identity.slip("forgets-identity", "The weights are epsilon times what they were: the identity is missing.",
    near(lambda w, e: e * w))
near_identity.slip("forgets-epsilon", "The identity is added to the whole weight, so the noise is as large as in the "
    "usual start. Multiply the weight by epsilon.",
    near(lambda w, e: dirac(w) + w))
near_identity.slip("scales-identity", "The identity is multiplied by epsilon. Only the weight that was there should "
    "be.",
    near(lambda w, e: e * (dirac(w) + w)), near(lambda w, e: e * dirac(w) + w))
near_identity.slip("mixes-channels", "The kernel's middle is 1 for every pair of channels, so each output channel is "
    "the sum of all input channels. A copy has a 1 only where both are the same.",
    near(lambda w, e: everywhere_one(w) + e * w))
near_identity.slip("one-convolution", "Only one of the two convolutions of a block has changed. The other one is as "
    "far from a copy as before.",
    near(lambda w, e: dirac(w) + e * w, only="conv1"), near(lambda w, e: dirac(w) + e * w, only="conv2"))
near_identity.slip("changes-the-stem", "The net's first convolution has changed too. It is outside the blocks: leave "
    "it.",
    stem_too)
near_identity.slip("other-start", "{count} weights are not what they should be, `{name}` is the first. Wanted: the "
    "identity kernel plus epsilon times the weight that was there, in each 3×3 convolution of the blocks, and "
    "nothing else changed.",
    near(lambda w, e: dirac(w) + e * torch.ones_like(w)))
