"""One training loop for everything in the course, over images that fit in memory.

Progress bars and live curves are callbacks; this file knows no plots. Under torchrun every process takes its share
of each batch. On one CUDA device the same steps are taken by a graph (fast.py), and read back `READ_EVERY` at a time.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import cross_entropy

from resnet_lib.data.images import ImageSet
from resnet_lib.training.batches import batches, count_classes, loss_and_error, require_outputs
from resnet_lib.training.checkpoints import CheckpointFolder
from resnet_lib.training.devices import reproducible, threads_for
from resnet_lib.training.fast import GraphedStep
from resnet_lib.training.history import EpochRecord, History, Run
from resnet_lib.training.recipe import Recipe

Progress = Callable[[History, int], object]  # called with the history so far and the number of all steps
Step = Callable[[Tensor, Tensor], Tensor]  # images (N, C, H, W) and labels (N,) -> loss and error (2,)
READ_EVERY = 50  # steps on a GPU, which would wait for Python at each loss that is read


class Evaluation(NamedTuple):
    """Both are means over all images; `error` is a fraction."""

    error: float
    loss: float


def train(
    model: nn.Module,
    data: ImageSet,
    recipe: Recipe | None = None,
    *,
    seed: int = 0,
    progress: Progress | Sequence[Progress] | None = None,
    test_data: ImageSet | None = None,
    checkpoints: CheckpointFolder | None = None,
) -> History:
    """Train `model` in place on `data` and return what happened.

    `seed` fixes the order of the images and their augmentation; the weights are the model's own (see `seeded`).
    With `test_data` every epoch ends with the error on it and on as many training images, both in eval mode.
    With `checkpoints` an interrupted run continues where its last whole epoch ended. The model is left in train mode,
    except for modules whose parameters are all frozen. Raises TypeError or ValueError for data that don't fit.
    """
    recipe, classes, device = recipe or Recipe(), count_classes(data), device_of(model)
    callbacks = progress if isinstance(progress, Sequence) else [progress] if progress else []
    per_epoch, total = recipe.steps_per_epoch(len(data)), recipe.total_steps(len(data))
    here = replace(data, images=data.images.to(device), labels=data.labels.to(device))
    run = start(model, recipe, total)
    if checkpoints:
        checkpoints.restore(run)
    began = time.perf_counter() - run.history.seconds
    step: Step = partial(take_step, run, shared(model, recipe), classes, recipe.precision)
    read_every = 1
    if device.type == "cuda" and not distributed.is_initialized():
        step, read_every = GraphedStep(step, run.optimizer), READ_EVERY
    with threads_for(data.images), reproducible(recipe.deterministic):
        while len(run.history) < total:
            epoch = len(run.history) // per_epoch
            train_mode(model)
            of_epoch = batches(here, recipe, seed, epoch, total - len(run.history))
            for _ in take_steps(run, step, of_epoch, read_every):
                for callback in callbacks:
                    callback(run.history, total)
            run.history.seconds = time.perf_counter() - began
            if test_data is not None:
                run.history.epochs.append(examine(model, data, test_data, epoch + 1, len(run.history)))
            if checkpoints:
                checkpoints.save(run)
    train_mode(model)
    return run.history


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


def shared(model: nn.Module, recipe: Recipe) -> nn.Module:
    """`model`; with several processes, one that averages the gradients of their equal shares of a batch."""
    processes = distributed.get_world_size() if distributed.is_initialized() else 1
    if recipe.batch_size % processes:
        raise ValueError(
            f"batch_size must be a multiple of the {processes} processes that share each batch, got {recipe.batch_size}"
        )
    return nn.parallel.DistributedDataParallel(model) if processes > 1 else model


def take_step(run: Run, forward: nn.Module, classes: int, precision: str, images: Tensor, labels: Tensor) -> Tensor:
    """One step on images (N, C, H, W) and labels (N,): the batch's loss and error before it, (2,)."""
    run.optimizer.zero_grad()  # first: the last step's gradients would lie beside this one's activations
    loss, wrong = loss_and_error(forward, images, labels, classes, precision)
    loss.backward()
    run.optimizer.step()
    return torch.stack([loss.detach(), wrong])


def take_steps(run: Run, step: Step, batches: Iterator[tuple[Tensor, Tensor]], read_every: int) -> Iterator[None]:
    """A step with each batch. Yields after every `read_every` of them, when their losses and errors have been read."""

    def one(images: Tensor, labels: Tensor) -> Tensor:
        run.history.lr.append(run.optimizer.param_groups[0]["lr"])
        both = step(images, labels)
        run.scheduler.step()
        return both

    while taken := [one(*batch) for batch in islice(batches, read_every)]:
        for loss, error in mean_over_processes(torch.stack(taken)).tolist():
            run.history.loss.append(loss)
            run.history.error.append(error)
        yield


@torch.no_grad()
def evaluate(model: nn.Module, data: ImageSet, *, batch_size: int = 500) -> Evaluation:
    """Error and loss on `data` in eval mode (running statistics). The mode of each module is restored."""
    classes = count_classes(data)
    modes, device = [(module, module.training) for module in model.modules()], device_of(model)
    model.eval()
    try:
        wrong, loss = 0, 0.0
        with threads_for(data.images):
            for images, labels in zip(data.images.split(batch_size), data.labels.split(batch_size), strict=True):
                logits, labels = model(images.to(device)), labels.to(device)
                require_outputs(logits, classes)
                wrong += int((logits.argmax(1) != labels).sum())
                loss += float(cross_entropy(logits, labels, reduction="sum"))
    finally:
        for module, mode in modes:
            module.training = mode
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
