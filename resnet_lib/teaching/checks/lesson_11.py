"""Lesson 11: the six parts of a small project, each judged by what it must do."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, mse_loss, multi_margin_loss, nll_loss, one_hot

from resnet_lib.teaching.checking import Case, Exercise, ModuleExercise, noise
from resnet_lib.teaching.checks.mutations import ADDITION, BASIC, CHANGES_OF_SHAPE, MIDDLE, Basic

# fmt: off
split = Exercise(
    "split(order, validation)",
    praise="several lengths: every index on one side, none on both.",
    right=lambda order, validation: (order[:-validation], order[-validation:]),
    cases=[(torch.tensor(order), count) for order, count in
           ((range(9, -1, -1), 3), ((4, 0, 2, 1, 3), 1), (range(20), 5), ((5, 3, 0, 1, 4, 2), 5))],
    view=lambda returned, args: {"other": returned},
)
split.slip("keeps-all", "The images to choose with are also trained on: both parts together are longer than `order`.",
    lambda order, v: (order, order[-v:]))
split.slip("first-for-last", "The first `validation` entries are held back. The docstring says the last.",
    lambda order, v: (order[v:], order[:v]))
split.slip("order-exchanged", "The two parts have changed places: first the one to train on, then the one to choose "
    "with.",
    lambda order, v: (order[-v:], order[:-v]))
split.slip("one-lost", "An index is in neither part. The second slice begins with the number at which the first ends.",
    lambda order, v: (order[: len(order) - v - 1], order[-v:]),
    lambda order, v: (order[:-v], order[len(order) - v + 1 :]))
split.slip("one-on-both-sides", "One index is in both parts. A slice ends *before* its second number.",
    lambda order, v: (order[: len(order) - v + 1], order[-v:]), lambda order, v: (order[: -v + 1], order[-v:]))
split.slip("length-for-training", "`validation` counts the images to choose with, not those to train on.",
    lambda order, v: (order[:v], order[v:]))
split.slip("lists", "The parts are lists. Slice `order` itself: tensors index the data.",
    lambda order, v: (order[:-v].tolist(), order[-v:].tolist()))
split.slip("one-part", "Only one part is returned. Two are asked for, in a tuple.",
    lambda order, v: order[:-v], lambda order, v: order[-v:])
split.slip("other", "These are not the two parts: all but the last `validation` entries of `order`, and then those.",
    lambda order, v: (order[:-v].sort().values, order[-v:].sort().values), lambda order, v: (order[:-v], order[:-v]))

loss_of = Exercise(
    "loss_of(logits, labels)",
    praise="a certain and right answer costs nothing, and gradients pass.",
    right=lambda logits, labels: cross_entropy(logits, labels),
    cases=[(scale * noise(n, 10, seed=n), torch.arange(n) % 10) for n, scale in ((5, 1.0), (1, 4.0), (12, 0.1))],
    traps=[(300 * noise(4, 10), torch.arange(4))],
    gradients=True,
)
loss_of.slip("softmax-twice", "There is still a softmax (or sigmoid) before `cross_entropy`, which has one inside.",
    lambda x, y: cross_entropy(x.softmax(1), y), lambda x, y: cross_entropy(x.sigmoid(), y))
loss_of.slip("log-softmax-of-softmax", "`nll_loss` wants log-probabilities: log_softmax where the softmax is.",
    lambda x, y: nll_loss(x.softmax(1), y))
loss_of.slip("summed-loss", "Your loss is the sum over the batch. Take the mean, as `cross_entropy` does.",
    lambda x, y: cross_entropy(x, y, reduction="sum"))
loss_of.slip("not-averaged", "There is a loss for each image. One number is asked for: their mean.",
    lambda x, y: cross_entropy(x, y, reduction="none"))
loss_of.slip("squared-error", "That is a squared error. For classes the loss is the cross-entropy.",
    lambda x, y: mse_loss(x.softmax(1), one_hot(y, 10).float()), lambda x, y: mse_loss(x, one_hot(y, 10).float()))
loss_of.slip("wrong-axis", "The probabilities add up to 1 over the images, not over the classes: use `dim=1`.",
    lambda x, y: nll_loss(log_softmax(x, 0), y), lambda x, y: cross_entropy(x.softmax(0), y))
loss_of.slip("smoothed", "With label smoothing a correct answer given with certainty still costs something.",
    lambda x, y: cross_entropy(x, y, label_smoothing=0.1))
loss_of.slip("logits-picked", "Those are the logits of the right classes. Take the log-softmax of the logits first.",
    lambda x, y: nll_loss(x, y))
loss_of.slip("labels-ignored", "The labels do not enter: that is the loss of the answers which the net itself prefers.",
    lambda x, y: cross_entropy(x, x.argmax(1)))


def descend(net: nn.Module, images: Tensor, labels: Tensor, rate: float, loss_of: Callable, *, clear: bool = True,
            scale: float = 1.0, after: bool = False) -> float:
    """One step, with the slips as settings. `after`: the loss is taken again after the step."""
    loss = loss_of(net(images), labels)
    if clear:
        net.zero_grad()
    loss.backward()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.sub_(scale * rate * parameter.grad)  # type: ignore[operator]
    return loss_of(net(images), labels).item() if after else loss.item()


def steps() -> list[Sequence[Any]]:
    """Nets as they are on the way: without gradients, and with those of an earlier batch; with batch norm, without."""
    cases: list[Sequence[Any]] = []
    for seed, (norm, loss) in enumerate(((nn.Identity(), cross_entropy), (nn.BatchNorm1d(6), cross_entropy),
                                         (nn.Identity(), multi_margin_loss))):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(4, 6), norm, nn.ReLU(), nn.Linear(6, 3))
        images, labels = noise(8, 4, seed=seed), torch.arange(8) % 3
        if seed:
            cross_entropy(net(noise(8, 4, seed=9)), labels).backward()
        cases.append((net, images, labels, 0.1 * (seed + 1), loss))
    return cases


def weights_and_loss(returned: Any, args: Sequence[Any]) -> dict[str, Any]:
    """What counts of a step: the weights it leaves, and the loss it returns (None where that is no float)."""
    loss = returned if isinstance(returned, float) else None
    return {"other-weights": [parameter.detach() for parameter in args[0].parameters()], "other-loss": loss}


training_step = Exercise(
    "training_step(net, images, labels, rate, loss_of)",
    praise="three nets, two of them with old gradients: loss and new weights are the reference's.",
    right=descend,
    cases=steps,
    view=weights_and_loss,
    seconds=30,  # the first optimizer of a session takes long to import
)
training_step.slip("old-gradients", "The gradients that a net had already still count: clear them before `backward`.",
    lambda *a: descend(*a, clear=False))
training_step.slip("no-step", "The weights are as they were. After `backward` each moves against its gradient, which "
    "must still be there: in place, in this net and not in a copy.",
    lambda *a: descend(*a, scale=0.0))
training_step.slip("uphill", "The step goes uphill: the loss grows. Subtract the gradient.",
    lambda *a: descend(*a, scale=-1.0))
training_step.slip("rate-left-out", "The weights move by the whole gradient. The rate is missing.",
    lambda net, x, y, rate, loss: descend(net, x, y, 1.0, loss))
training_step.slip("no-loss", "The step is right. It should return the loss as a float: `loss.item()`.",
    lambda *a: descend(*a) and None)
training_step.slip("loss-after", "The loss returned is that after the step. Return the one you went backward from.",
    lambda *a: descend(*a, after=True))
training_step.slip("fixed-loss", "You always use the cross-entropy. Use the `loss_of` that is handed over.",
    lambda net, x, y, rate, loss: descend(net, x, y, rate, cross_entropy))
training_step.slip("batch-size-twice", "You divide the gradient by the size of the batch. The loss is a mean already.",
    lambda net, x, y, rate, loss: descend(net, x, y, rate, loss, scale=1 / len(x)))
training_step.slip("other-weights", "The weights after the step are not w − rate · gradient of the loss on this batch.",
    lambda *a: descend(*a, scale=0.5))
training_step.slip("other-loss", "The step is right, but the loss returned is not the mean over this batch.",
    lambda *a: descend(*a) * 2)


def rates(steps: int, peak: float, *, warm: int = 10, end: float = 0.1, at: float = 0.75) -> list[float]:
    return [peak * (end if step >= int(steps * at) else 0.1 if step < warm else 1.0) for step in range(steps)]


plan = Exercise(
    "plan(steps, peak)",
    praise="plans of several lengths: warm-up, peak and last quarter are where they belong.",
    right=lambda steps, peak: [peak / 10 if s < 10 or s >= steps * 3 // 4 else peak for s in range(steps)],
    cases=[(120, 0.3), (40, 0.1), (43, 1.0), (200, 0.05)],
    floats=True,
    seconds=30,
)
plan.slip("never-arrives", "The peak is never reached: nothing multiplies the warm-up's tenth back.",
    lambda n, peak: [peak / 100 if s >= n * 3 // 4 else peak / 10 for s in range(n)],
    lambda n, peak: [peak / 1000 if s >= n * 3 // 4 else peak / 100 if s >= 10 else peak / 10 for s in range(n)])
plan.slip("no-warm-up", "The warm-up is missing: the first ten steps go at a tenth of the peak.",
    lambda n, peak: rates(n, peak, warm=0))
plan.slip("no-last-quarter", "The rate stays at its peak to the end. In the last quarter it should be a tenth.",
    lambda n, peak: rates(n, peak, at=1), lambda n, peak: [peak for s in range(n)])
plan.slip("warm-up-length", "The warm-up has the wrong length. Steps 0 to 9 are ten, however long the plan is.",
    lambda n, peak: rates(n, peak, warm=11), lambda n, peak: rates(n, peak, warm=9),
    lambda n, peak: rates(n, peak, warm=n // 10), lambda n, peak: rates(n, peak, warm=n // 12))
plan.slip("counts-from-one", "The steps are counted from 1. The first is step 0.",
    lambda n, peak: [*plan.right(n, peak)[1:], peak / 10])
plan.slip("fixed-rate", "A rate is fixed. Compute both from `peak`.",
    lambda n, peak: plan.right(n, 0.3), *[lambda n, peak, low=low: [low if rate < peak else peak
                                          for rate in plan.right(n, peak)] for low in (0.1, 0.03)])
plan.slip("exchanged", "The peak and its tenth have changed places.",
    lambda n, peak: [peak if rate < peak else peak / 10 for rate in plan.right(n, peak)])
plan.slip("falls-elsewhere", "It does not fall at step `steps * 3 // 4`, that step included.",
    lambda n, peak: [peak / 10 if s < 10 or s > n * 3 // 4 else peak for s in range(n)],
    *[lambda n, peak, at=at: rates(n, peak, at=at) for at in (0.5, 0.25)],
    *[lambda n, peak, at=at: rates(n, peak, at=at / n) for at in (90, 30)],
    lambda n, peak: [peak / 10 if s < 10 or s >= n // 4 * 3 else peak for s in range(n)])
plan.slip("hundredth-at-the-end", "The last quarter goes at a hundredth of the peak. The docstring says a tenth.",
    lambda n, peak: rates(n, peak, end=0.01))
plan.slip("rises-in-stages", "Your warm-up rises step by step. Here ten steps at a tenth are asked for.",
    lambda n, peak: [peak / 10 if s >= n * 3 // 4 else peak * min((s + 1) / 10, 1) for s in range(n)])
plan.slip("one-rate", "That is one rate. A list with one rate for each step is asked for.",
    lambda n, peak: peak, lambda n, peak: peak / 10)


class ProjectBlock(Basic):
    """Two convolutions around an identity shortcut. (N, channels, H, W) -> the same"""

    def __init__(self, channels: int):
        super().__init__(channels, channels)


project_block = ModuleExercise(
    "Block(channels)",
    praise="with the last γ at 0 it is the identity of a non-negative input, and otherwise the reference.",
    reference=ProjectBlock,
    cases=[Case((8,), (2, 8, 5, 5)), Case((3,), (1, 3, 4, 6))],
    slips=[*MIDDLE, *ADDITION, *BASIC.without(*CHANGES_OF_SHAPE)],
)


def measuring(
    train: bool | None = False, of: Callable[[int, int, int], float] = lambda wrong, n, size: wrong / n
) -> Callable[..., float]:
    """An evaluation in one mode (None: as it is), which leaves the net as it was."""

    def measure(net: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 20) -> float:
        was = net.training
        net.train(was if train is None else train)
        with torch.no_grad():
            batches = zip(images.split(batch_size), labels.split(batch_size), strict=True)
            wrong = sum(int((net(some).argmax(1) != right).sum()) for some, right in batches)
        net.train(was)
        return of(wrong, len(images), batch_size)

    return measure


def averaged(net: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 20) -> float:
    """The mean over batches, which is another number where the last batch is smaller."""
    parts = list(zip(images.split(batch_size), labels.split(batch_size), strict=True))
    return sum(measuring()(net, some, right) for some, right in parts) / len(parts)


def without_the_rest(net: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 20) -> float:
    whole = len(images) // batch_size * batch_size
    return measuring()(net, images[:whole], labels[:whole]) * whole / len(images) if whole else 0.0


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
    right=measuring(),
    cases=evaluations,
    floats=True,
)
error_on.slip("train-mode", "The net answers in train mode, so batch norm uses each batch's statistics: `net.eval()`.",
    measuring(None), measuring(True))
error_on.slip("batches-averaged", "You average the errors of batches, though the last is smaller. Count, then divide.",
    averaged)
error_on.slip("last-batch-lost", "The last batch, which is smaller, is left out.",
    without_the_rest)
error_on.slip("divided-by-another-number", "Divide the number of wrong answers by the number of images.",
    measuring(of=lambda wrong, n, size: wrong), measuring(of=lambda wrong, n, size: wrong / size))
# fmt: on
