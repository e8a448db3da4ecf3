"""Lesson 11: the six parts of a small project, each judged by what it must do."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, mse_loss, nll_loss, one_hot

from resnet_lib.teaching.checking import Case, Exercise, ModuleExercise, noise, slip


def indices(part: Any) -> Tensor | None:
    """A list or tensor of indices as one tensor; None for anything else, which may have no end."""
    if isinstance(part, (list, tuple)) and len(part) < 1000 and all(isinstance(index, (int, Tensor)) for index in part):
        return torch.tensor([int(index) for index in part], dtype=torch.float64)
    return part.flatten().double() if isinstance(part, Tensor) and part.ndim == 1 and len(part) < 1000 else None


def both_parts(returned: Any, args: Sequence[Any]) -> dict[str, Tensor]:
    """The two parts in one tensor, with a mark between them; a single part has none, and what is no part is empty."""
    pair = returned if isinstance(returned, (tuple, list)) and len(returned) == 2 else ()
    parts = [indices(part) for part in pair]
    if len(parts) == 2 and parts[0] is not None and parts[1] is not None:
        return {"other": torch.cat([parts[0], torch.tensor([-100.0]), parts[1]])}
    single = indices(returned)
    return {"other": torch.zeros(0, dtype=torch.float64) if single is None else single}


# fmt: off
split = Exercise(
    "split(order, validation)",
    praise="lists and tensors of several lengths: every index on one side, none on both.",
    right=lambda order, validation: (order[:-validation], order[-validation:]),
    cases=[(list(range(10)), 3), ([4, 0, 2, 1, 3], 1), (torch.arange(20).flip(0), 5), (list(range(6)), 5)],
    view=both_parts,
)
split.slip("keeps-all", "The images to choose with are also trained on: for {case} both parts together are longer than "
    "`order`. Then validation measures what the net knows by heart.",
    lambda order, v: (order[:], order[-v:]), lambda order, v: (order, order[-v:]))
split.slip("first-for-last", "The first `validation` entries are held back. The docstring says the last.",
    lambda order, v: (order[v:], order[:v]))
split.slip("order-exchanged", "The two parts have changed places: first the one to train on, then the one to choose "
    "with.",
    lambda order, v: (order[-v:], order[:-v]))
split.slip("one-lost", "An index is in neither part. A slice ends *before* its second number, so the second part "
    "begins with the number at which the first one ends.",
    lambda order, v: (order[: len(order) - v - 1], order[-v:]),
    lambda order, v: (order[:-v], order[len(order) - v + 1 :]))
split.slip("one-on-both-sides", "One index is in both parts. A slice ends *before* its second number.",
    lambda order, v: (order[: len(order) - v + 1], order[-v:]))
split.slip("length-for-training", "`validation` counts the images to choose with, not those to train on.",
    lambda order, v: (order[:v], order[v:]))
split.slip("other", "The parts are not the ones in the docstring: first all but the last `validation` entries of "
    "`order`, then those.",
    lambda order, v: (sorted(order[:-v]), sorted(order[-v:])), lambda order, v: (order[:-v], order[:-v]))
split.slip("one-part", "Only one part is returned. Two are asked for, in a tuple.",
    lambda order, v: order[:-v], lambda order, v: order[-v:])

loss_of = Exercise(
    "loss_of(logits, labels)",
    praise="a certain and right answer costs nothing, and gradients pass.",
    right=lambda logits, labels: cross_entropy(logits, labels),
    cases=[(scale * noise(n, 10, seed=n), torch.arange(n) % 10) for n, scale in ((5, 1.0), (1, 4.0), (12, 0.1))],
    gradients=True,
)
loss_of.slip("softmax-twice", "There is still a softmax before `cross_entropy`, which has one inside. Logits between 0 "
    "and 1 can never be certain.",
    lambda x, y: cross_entropy(x.softmax(1), y))
loss_of.slip("log-softmax-of-softmax", "`nll_loss` wants log-probabilities. There is a softmax where its "
    "logarithm belongs.",
    lambda x, y: nll_loss(x.softmax(1), y))
loss_of.slip("summed-loss", "Your loss is the sum over the batch, so the step grows with the batch. Take the mean, as "
    "`cross_entropy` does.",
    lambda x, y: cross_entropy(x, y, reduction="sum"))
loss_of.slip("not-averaged", "There is a loss for each image. One number is asked for: their mean.",
    lambda x, y: cross_entropy(x, y, reduction="none"))
loss_of.slip("squared-error", "That is a squared error. For classes the loss is the cross-entropy: minus the "
    "logarithm of the right class's probability.",
    lambda x, y: mse_loss(x.softmax(1), one_hot(y, 10).float()), lambda x, y: mse_loss(x, one_hot(y, 10).float()))
loss_of.slip("wrong-axis", "The probabilities add up to 1 over the images. They should over the classes: use `dim=1`.",
    lambda x, y: nll_loss(log_softmax(x, 0), y))
loss_of.slip("smoothed", "Some of the probability is meant for wrong classes (label smoothing). Then a correct answer "
    "given with certainty still costs something.",
    lambda x, y: cross_entropy(x, y, label_smoothing=0.1))
loss_of.slip("logits-picked", "Those are the logits of the right classes. The other classes count too: take the "
    "log-softmax first.",
    lambda x, y: nll_loss(x, y))


def descend(net: nn.Module, images: Tensor, labels: Tensor, rate: float, loss_of: Callable, *, clear: Any = True,
            scale: float = 1.0, weights_only: bool = False, before: bool = False) -> float:
    """One step, with the slips as settings."""
    if before and clear:
        net.zero_grad()
    loss = loss_of(net(images), labels)
    if clear and not before:
        net.zero_grad()
    loss.backward()
    if clear == "late":
        net.zero_grad()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.grad is not None and (parameter.ndim > 1 or not weights_only):
                parameter.sub_(scale * rate * parameter.grad)
    return loss.item()


def steps() -> list[Sequence[Any]]:
    """Nets as they are on the way: without gradients, and with those of an earlier batch; with batch norm or "
    "without."""
    cases: list[Sequence[Any]] = []
    for seed, norm in ((0, False), (1, True), (2, False)):
        torch.manual_seed(seed)
        layers = [nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)]
        net = nn.Sequential(*(layer for layer in layers if norm or not isinstance(layer, nn.BatchNorm1d)))
        images, labels = noise(8, 4, seed=seed), torch.arange(8) % 3
        if seed:
            cross_entropy(net(noise(8, 4, seed=9)), labels).backward()
        cases.append((net, images, labels, 0.1 * (seed + 1), cross_entropy))
    return cases


def loss_and_weights(returned: Any, args: Sequence[Any]) -> dict[str, Any]:
    """What counts of a step: the loss it returns (None where that is no number), and the weights it leaves."""
    number = isinstance(returned, float) or (isinstance(returned, Tensor) and returned.ndim == 0)
    weights = [parameter.detach() for parameter in args[0].parameters()]
    return {"other": weights, "no-loss": float(returned) if number else None}


def without_loss(*args: Any) -> None:
    descend(*args)


training_step = Exercise(
    "training_step(net, images, labels, rate, loss_of)",
    praise="three nets, two of them with old gradients: loss and new weights are the reference's.",
    right=descend,
    cases=steps,
    view=loss_and_weights,
)
training_step.slip("old-gradients", "For a net without gradients it is right. The others had some already, and "
    "`backward` adds to them: each step repeats the earlier ones. Clear them before `backward`.",
    lambda *a: descend(*a, clear=False))
training_step.slip("no-step", "The weights are as they were. After `backward`, every parameter moves against its "
    "gradient, which must still be there.",
    lambda *a: descend(*a, scale=0.0), lambda *a: descend(*a, clear="late"))
training_step.slip("uphill", "The step goes uphill: the loss grows. Subtract the gradient.",
    lambda *a: descend(*a, scale=-1.0))
training_step.slip("rate-left-out", "The weights move by the whole gradient. The rate is missing.",
    lambda net, x, y, rate, loss: descend(net, x, y, 1.0, loss))
training_step.slip("biases-left-out", "Only the matrices move. Biases and batch norm's γ and β learn too.",
    lambda *a: descend(*a, weights_only=True))
training_step.slip("other", "The weights after the step, or the loss that it returns, are not those of gradient "
    "descent on this batch. Compare with the formula: w − rate · gradient.",
    lambda *a: descend(*a, scale=0.5))
training_step.slip("no-loss", "The step is right. It should return the loss as a float: `loss.item()`.",
    without_loss)
training_step.slip("batch-size-twice", "You divide the gradient by the size of the batch. The loss is a mean already.",
    lambda net, x, y, rate, loss: descend(net, x, y, rate, loss, scale=1 / len(x)))


def rates(steps: int, peak: float, *, warm: int = 10, end: float = 0.1, at: float = 0.75) -> list[float]:
    last = int(steps * at)
    return [peak * (end if step >= last else 0.1 if step < warm else 1.0) for step in range(steps)]


plan = Exercise(
    "plan(steps, peak)",
    praise="plans of several lengths: warm-up, peak and last quarter are where they belong.",
    right=lambda steps, peak: [peak / 10 if s < 10 or s >= steps * 3 // 4 else peak for s in range(steps)],
    cases=[(120, 0.3), (40, 0.1), (41, 1.0), (200, 0.05)],
    floats=True,
)
plan.slip("never-arrives", "The peak is never reached: the warm-up's tenth is never multiplied back. So the last "
    "quarter has a hundredth of the peak.",
    lambda n, peak: [peak / 100 if s >= n * 3 // 4 else peak / 10 for s in range(n)])
plan.slip("no-warm-up", "The warm-up is missing: the first ten steps go at a tenth of the peak.",
    lambda n, peak: rates(n, peak, warm=0))
plan.slip("no-last-quarter", "The rate stays at its peak to the end. In the last quarter it should be a tenth.",
    lambda n, peak: [peak / 10 if s < 10 else peak for s in range(n)])
plan.slip("warm-up-of-eleven", "Eleven steps are warm-up. Steps 0 to 9 are ten.",
    lambda n, peak: rates(n, peak, warm=11))
plan.slip("warm-up-of-nine", "Nine steps are warm-up. Steps 0 to 9 are ten.",
    lambda n, peak: rates(n, peak, warm=9))
plan.slip("falls-late", "It falls one step late: from step `steps * 3 // 4` on, that step included.",
    lambda n, peak: [peak / 10 if s < 10 or s > n * 3 // 4 else peak for s in range(n)])
plan.slip("falls-at-half", "It does not fall three quarters of the way through. The *last quarter* goes slowly.",
    lambda n, peak: rates(n, peak, at=0.5), lambda n, peak: rates(n, peak, at=0.25))
plan.slip("hundredth-at-the-end", "The last quarter goes at a hundredth of the peak. The docstring says a tenth.",
    lambda n, peak: rates(n, peak, end=0.01))
plan.slip("rises-in-stages", "Your warm-up rises step by step. That is a good plan (lesson 09), but not this one: ten "
    "steps at a tenth.",
    lambda n, peak: [peak / 10 if s >= n * 3 // 4 else peak * min((s + 1) / 10, 1) for s in range(n)])
plan.slip("one-rate", "That is one rate. A list with one rate for each step is asked for.",
    lambda n, peak: peak)


class ProjectBlock(nn.Module):
    """Two convolutions around an identity shortcut. (N, channels, H, W) -> the same"""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn1(self.conv1(x)).relu()
        return (self.bn2(self.conv2(inner)) + x).relu()


def runs(forward: Callable[[Any, Tensor], Tensor]) -> Callable[[nn.Module], None]:
    """A mutation that changes how a block's layers are put together."""
    def mutate(block: nn.Module) -> None:
        block.forward = lambda x: forward(block, x)
    return mutate


def inner(b: Any, x: Tensor) -> Tensor:
    return b.bn1(b.conv1(x)).relu()


def branch(b: Any, x: Tensor) -> Tensor:
    return b.bn2(b.conv2(inner(b, x)))


project_block = ModuleExercise(
    "Block(channels)",
    praise="with the last γ at 0 it is the identity of a non-negative input, and otherwise the reference.",
    reference=ProjectBlock,
    cases=[Case((8,), (2, 8, 5, 5)), Case((3,), (1, 3, 4, 6))],
    slips=[
        slip("adds-its-own-inside", "The shortcut carries what the first convolution made of x, not x: the name `x` "
             "was given to something else before the addition.",
             runs(lambda b, x: (b.bn2(b.conv2(inner(b, x))) + inner(b, x)).relu())),
        slip("nothing-added", "Nothing is added: this is the plain block. Where is the `+ x`?",
             runs(lambda b, x: branch(b, x).relu())),
        slip("adds-the-sum-to-itself", "The branch is added to itself. Keep what came in under another name.",
             runs(lambda b, x: (branch(b, x) + branch(b, x)).relu())),
        slip("relu-before-addition", "A ReLU stands before the addition. The block can then only add, never subtract.",
             runs(lambda b, x: (branch(b, x).relu() + x).relu()), runs(lambda b, x: branch(b, x).relu() + x)),
        slip("no-last-relu", "The ReLU after the addition is missing.",
             runs(lambda b, x: branch(b, x) + x)),
        slip("no-inner-relu", "The ReLU between the two convolutions is missing. Without it they are one linear map.",
             runs(lambda b, x: (b.bn2(b.conv2(b.bn1(b.conv1(x)))) + x).relu())),
        slip("adds-twice", "x is added twice.",
             runs(lambda b, x: (branch(b, x) + 2 * x).relu())),
        slip("x-activated-first", "The shortcut carries relu(x). It should carry x as it came.",
             runs(lambda b, x: (branch(b, x) + x.relu()).relu())),
    ],
)


def wrong_answers(net: nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> int:
    pairs = zip(images.split(batch_size), labels.split(batch_size), strict=True)
    with torch.no_grad():
        return sum(int((net(some).argmax(1) != right).sum()) for some, right in pairs)


def fraction(wrong: int, n: int) -> float:
    return wrong / n


def in_mode(training: bool | None, of: Callable[[int, int], float] = fraction) -> Callable[..., float]:
    """An evaluation in one mode (None: as it is), which leaves the net as it was."""

    def measure(net: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 20) -> float:
        was = net.training
        net.train(was if training is None else training)
        wrong = wrong_answers(net, images, labels, batch_size)
        net.train(was)
        return of(wrong, len(images))
    return measure


def averaged(net: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 20) -> float:
    """The mean over batches, which is another number where the last batch is smaller."""
    parts = list(zip(images.split(batch_size), labels.split(batch_size), strict=True))
    return sum(in_mode(False)(net, some, right) for some, right in parts) / len(parts)


def evaluations() -> list[Sequence[Any]]:
    cases: list[Sequence[Any]] = []
    for seed, (training, n, size) in enumerate(((True, 30, 4), (False, 23, 10), (True, 9, 20))):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                            nn.Linear(4, 3))
        net(3 * noise(16, 1, 6, 6, seed=seed) + 1)  # running statistics unlike any batch's
        images = noise(n, 1, 6, 6, seed=seed + 5) * torch.linspace(0.2, 3, n).view(-1, 1, 1, 1)
        cases.append((net.train(training), images, torch.arange(n) % 3, size))
    return cases


error_on = Exercise(
    "error_on(net, images, labels, batch_size=20)",
    praise="the same error for every batch size; mode and running statistics are as they were.",
    right=in_mode(False),
    cases=evaluations,
)
error_on.slip("train-mode", "The net is left in train mode while it answers, so batch norm uses each batch's own "
    "statistics, and moves its running ones. Look for `net.eval()`.",
    in_mode(None), in_mode(True))
error_on.slip("batches-averaged", "You average the errors of the batches. The last batch is smaller, so its images "
    "count for more. Count wrong answers, and divide once.",
    averaged)
error_on.slip("accuracy", "That is the fraction of right answers. The error is the fraction of wrong ones.",
    in_mode(False, of=lambda wrong, n: 1 - wrong / n))
error_on.slip("count-for-fraction", "That is the number of wrong answers. Divide by the number of images.",
    in_mode(False, of=lambda wrong, n: wrong))
error_on.slip("percent", "That is in percent. A fraction between 0 and 1 is asked for.",
    in_mode(False, of=lambda wrong, n: 100 * wrong / n))
