"""One training loop for everything in the course: SGD with momentum over images that fit in memory.

Progress bars and live curves are callbacks; this file knows no plots. Under torchrun every process takes its share
of each batch.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import cross_entropy, pad
from torch.optim.lr_scheduler import ConstantLR, LambdaLR, LRScheduler, MultiStepLR, OneCycleLR

from resnet_lib.arguments import require_choice, require_int, require_positive
from resnet_lib.data.images import ImageSet
from resnet_lib.training.devices import threads_for
from resnet_lib.training.history import EpochRecord, History

WARM_STEPS = 400  # of the schedule "paper"
STEPS_LIMIT = "RESNET_LIB_STEPS"  # an environment variable: at most so many steps a training
Progress = Callable[[History, int], object]  # called after every step with the history and the number of steps to come


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are lesson 01's: 150 steps of 64 images, enough to see who learns."""

    batch_size: int = 64  # of all processes together
    steps: int = 150
    epochs: int | None = None  # instead of steps: so many passes over the data
    peak_lr: float = 0.1
    schedule: str = "one-cycle"  # or "constant", "milestones" (a tenth at 50 % and 75 %), "paper" (these, warmed up)
    momentum: float = 0.9
    weight_decay: float = 1e-4
    decayed: str = "all"  # parameters, or "weights" (no norms, no biases), or "gammas" (the scales of batch norms)
    optimizer: str = "sgd"  # with momentum; or "adamw", where momentum is the first of its two betas
    augment: bool = False  # pad by 4, crop, flip left to right (He et al. 2015, section 4.2)

    def __post_init__(self) -> None:
        require_int("batch_size", self.batch_size)
        require_int("steps", self.steps)
        if self.epochs is not None:
            require_int("epochs", self.epochs)
        require_positive("peak_lr", self.peak_lr)
        require_choice("schedule", self.schedule, ("one-cycle", "constant", "milestones", "paper"))
        require_choice("decayed", self.decayed, ("all", "weights", "gammas"))
        require_choice("optimizer", self.optimizer, ("sgd", "adamw"))

    def steps_per_epoch(self, images: int) -> int:
        """Whole batches only: a small last batch would make noisy batch statistics."""
        if images < self.batch_size:
            raise ValueError(f"batch_size must be at most the {images} images there are, got {self.batch_size}")
        return images // self.batch_size

    def total_steps(self, images: int) -> int:
        """As declared, or fewer where the environment says so: tests of the lessons' editions train for a moment."""
        steps = self.steps if self.epochs is None else self.epochs * self.steps_per_epoch(images)
        return min(steps, int(os.environ.get(STEPS_LIMIT, steps)))

    def make_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """SGD or AdamW over all parameters, those that decay and those that don't."""
        gammas = {id(m.weight) for m in model.modules() if isinstance(m, nn.BatchNorm2d) and m.affine}
        decays = {
            "all": lambda _: True,
            "weights": lambda parameter: parameter.ndim > 1,
            "gammas": lambda parameter: id(parameter) in gammas,
        }[self.decayed]
        groups = [
            {"params": [p for p in model.parameters() if decays(p) is yes], "weight_decay": self.weight_decay * yes}
            for yes in (True, False)
        ]
        groups = [group for group in groups if group["params"]]
        if self.optimizer == "adamw":
            return torch.optim.AdamW(groups, self.peak_lr, betas=(self.momentum, 0.999))
        return torch.optim.SGD(groups, self.peak_lr, momentum=self.momentum)

    def scheduler(self, optimizer: torch.optim.Optimizer, total: int) -> LRScheduler:
        if self.schedule == "one-cycle":
            return OneCycleLR(optimizer, self.peak_lr, total, cycle_momentum=False)
        if self.schedule == "milestones":
            return MultiStepLR(optimizer, [total // 2, total * 3 // 4])
        if self.schedule == "paper":  # He et al. 2015, section 4.2, with the 400 steps of warm-up of their 110 layers
            tenths = (total // 2, total * 3 // 4)
            return LambdaLR(optimizer, lambda step: 0.1 ** (step < WARM_STEPS or sum(step >= at for at in tenths)))
        return ConstantLR(optimizer, factor=1.0)


class Evaluation(NamedTuple):
    """Both are means over all images; `error` is a fraction."""

    error: float
    loss: float


@dataclass
class Run:
    """All that changes while a net trains. A checkpoint is one of these, written down."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: LRScheduler
    history: History


class Checkpoints(Protocol):
    """Where a run is kept, see checkpoints.py."""

    def restore(self, run: Run) -> None: ...

    def save(self, run: Run) -> None: ...


def train(
    model: nn.Module,
    data: ImageSet,
    recipe: Recipe | None = None,
    *,
    seed: int = 0,
    progress: Progress | Sequence[Progress] | None = None,
    test_data: ImageSet | None = None,
    checkpoints: Checkpoints | None = None,
) -> History:
    """Train `model` in place on `data` and return what happened.

    `seed` fixes the order of the images and their augmentation; the weights are the model's own (see `seeded`).
    With `test_data` every epoch ends with the error on it and on as many training images, both in eval mode.
    With `checkpoints` an interrupted run continues where its last whole epoch ended. The model is left in train mode.
    """
    with threads_for(data.images):
        return _train(model, data, recipe or Recipe(), seed, _listed(progress), test_data, checkpoints)


def _train(
    model: nn.Module,
    data: ImageSet,
    recipe: Recipe,
    seed: int,
    callbacks: Sequence[Progress],
    test_data: ImageSet | None,
    checkpoints: Checkpoints | None,
) -> History:
    per_epoch, total = recipe.steps_per_epoch(len(data)), recipe.total_steps(len(data))
    run = start(model, recipe, total)
    if checkpoints:
        checkpoints.restore(run)
    parallel = nn.parallel.DistributedDataParallel(model) if distributed.is_initialized() else model
    began = time.perf_counter() - run.history.seconds
    while len(run.history) < total:
        epoch = len(run.history) // per_epoch
        train_mode(model)
        for images, labels in batches(data, recipe, seed, epoch, total - len(run.history), device_of(model)):
            training_step(run, parallel, images, labels)
            for callback in callbacks:
                callback(run.history, total)
        run.history.seconds = time.perf_counter() - began
        if test_data is not None:
            run.history.epochs.append(examine(model, data, test_data, epoch + 1, len(run.history)))
        if checkpoints:
            checkpoints.save(run)
    model.train()
    return run.history


def _listed(progress: Progress | Sequence[Progress] | None) -> Sequence[Progress]:
    """One callback, several or none, as a sequence."""
    return progress if isinstance(progress, Sequence) else [progress] if progress else []


def start(model: nn.Module, recipe: Recipe, total_steps: int) -> Run:
    """A run at step 0. Channels-last is the layout in which CPUs and GPUs convolve fastest."""
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = recipe.make_optimizer(model)
    return Run(model, optimizer, recipe.scheduler(optimizer, total_steps), History())


def train_mode(model: nn.Module) -> None:
    """Train mode, except for modules whose parameters are all frozen: their batch norms go on using the statistics
    that they have, and don't count. Otherwise a frozen body would be a different one after training."""
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def training_step(run: Run, forward: nn.Module, images: Tensor, labels: Tensor) -> None:
    """One step of SGD on one batch; what it saw goes into the history."""
    run.optimizer.zero_grad()  # first: the last step's gradients would lie beside this one's activations
    logits = forward(images)
    loss = cross_entropy(logits, labels)
    loss.backward()
    run.history.lr.append(run.optimizer.param_groups[0]["lr"])
    run.optimizer.step()
    run.scheduler.step()
    wrong = (logits.argmax(1) != labels).float().mean()
    both = mean_over_processes(torch.stack([loss.detach(), wrong]))
    run.history.loss.append(both[0].item())
    run.history.error.append(both[1].item())


def batches(
    data: ImageSet, recipe: Recipe, seed: int, epoch: int, limit: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one epoch, at most `limit`: this process's share of each.

    Order and augmentation depend on (seed, epoch) alone, so a run that continues sees what it would have seen.
    """
    generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
    order = torch.randperm(len(data), generator=generator)
    rank, processes = (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)
    for step in range(min(limit, recipe.steps_per_epoch(len(data)))):
        picked = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
        images = data.images[picked]
        if recipe.augment:
            images = augmented(images, generator)
        share = slice(rank, None, processes)
        images = images[share].contiguous(memory_format=torch.channels_last)
        yield images.to(device), data.labels[picked[share]].to(device)


def augmented(images: Tensor, generator: torch.Generator, border: int = 4) -> Tensor:
    """Every image shifted by up to `border` pixels and half of them mirrored. (N, C, H, W) -> the same."""
    count, _, height, width = images.shape
    background = images.amin().item()
    rows = torch.randint(2 * border + 1, (count, 1, 1), generator=generator) + torch.arange(height)[:, None]
    columns = torch.randint(2 * border + 1, (count, 1, 1), generator=generator) + torch.arange(width)
    mirrored = torch.rand(count, 1, 1, generator=generator) < 0.5
    columns = torch.where(mirrored, columns.flip(-1), columns)
    padded = pad(images, (border,) * 4, value=background)
    return padded[torch.arange(count)[:, None, None], :, rows, columns].permute(0, 3, 1, 2)


@torch.no_grad()
def evaluate(model: nn.Module, data: ImageSet, *, batch_size: int = 500) -> Evaluation:
    """Error and loss on `data` in eval mode (running statistics). The model's mode is restored."""
    was_training, device = model.training, device_of(model)
    model.eval()
    try:
        wrong, loss = 0, 0.0
        with threads_for(data.images):
            for images, labels in zip(data.images.split(batch_size), data.labels.split(batch_size), strict=True):
                logits, labels = model(images.to(device)), labels.to(device)
                wrong += int((logits.argmax(1) != labels).sum())
                loss += float(cross_entropy(logits, labels, reduction="sum"))
    finally:
        model.train(was_training)
    return Evaluation(wrong / len(data), loss / len(data))


def examine(model: nn.Module, data: ImageSet, test_data: ImageSet, epoch: int, step: int) -> EpochRecord:
    """Training and test error on equally many images, in eval mode."""
    on_train = evaluate(model, data.first(min(len(data), len(test_data))))
    on_test = evaluate(model, test_data)
    return EpochRecord(epoch, step, on_train.loss, on_train.error, on_test.loss, on_test.error)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers inside the block depend on `seed` alone; outside nothing has changed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean over all processes of this run; with one process, the values themselves."""
    if distributed.is_initialized():
        distributed.all_reduce(values)
        values /= distributed.get_world_size()
    return values


def device_of(model: nn.Module) -> torch.device:
    """Where the model's weights are."""
    return next(model.parameters()).device
