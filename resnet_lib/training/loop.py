"""One training loop for everything in the course, over images that fit in memory.

Progress bars and live curves are callbacks; this file knows no plots. Under torchrun every process takes its share
of each batch. On one CUDA device fast.py takes the same steps without waiting for each.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import cross_entropy

from resnet_lib.data.images import ImageSet
from resnet_lib.training.batches import augmented, batches, count_classes, loss_and_error, require_outputs
from resnet_lib.training.devices import reproducible, threads_for
from resnet_lib.training.fast import without_waiting
from resnet_lib.training.history import EpochRecord, History, Run
from resnet_lib.training.recipe import Recipe

__all__ = ["Recipe", "Run", "augmented", "batches", "device_of", "evaluate", "seeded", "start", "train"]
Progress = Callable[[History, int], object]  # called with the history so far and the number of steps to come


class Evaluation(NamedTuple):
    """Both are means over all images; `error` is a fraction."""

    error: float
    loss: float


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
    With `checkpoints` an interrupted run continues where its last whole epoch ended. The model is left in train mode,
    except for modules whose parameters are all frozen. Raises TypeError or ValueError for data that don't fit.
    """
    recipe, callbacks = recipe or Recipe(), _listed(progress)
    count_classes(data)
    per_epoch, total = recipe.steps_per_epoch(len(data)), recipe.total_steps(len(data))
    run = start(model, recipe, total)
    if checkpoints:
        checkpoints.restore(run)
    alone_on_cuda = device_of(model).type == "cuda" and not distributed.is_initialized()
    began = time.perf_counter() - run.history.seconds
    with threads_for(data.images), reproducible(recipe.deterministic):
        steps_of = (without_waiting if alone_on_cuda else one_by_one)(run, data, recipe, seed)
        while len(run.history) < total:
            epoch = len(run.history) // per_epoch
            train_mode(model)
            for _ in steps_of(epoch, total - len(run.history)):
                for callback in callbacks:
                    callback(run.history, total)
            run.history.seconds = time.perf_counter() - began
            if test_data is not None:
                run.history.epochs.append(examine(model, data, test_data, epoch + 1, len(run.history)))
            if checkpoints:
                checkpoints.save(run)
    train_mode(model)
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


def one_by_one(run: Run, data: ImageSet, recipe: Recipe, seed: int) -> Callable[[int, int], Iterator[None]]:
    """A function that takes the steps of one epoch, at most `limit`, and yields after each."""
    processes = distributed.get_world_size() if distributed.is_initialized() else 1
    if recipe.batch_size % processes:
        raise ValueError(
            f"batch_size must be a multiple of the {processes} processes that share each batch, got {recipe.batch_size}"
        )
    classes = count_classes(data)
    forward = nn.parallel.DistributedDataParallel(run.model) if processes > 1 else run.model

    def steps(epoch: int, limit: int) -> Iterator[None]:
        for images, labels in batches(data, recipe, seed, epoch, limit, device_of(run.model)):
            run.optimizer.zero_grad()  # first: the last step's gradients would lie beside this one's activations
            loss, wrong = loss_and_error(forward, images, labels, classes, recipe.precision)
            loss.backward()
            run.history.lr.append(run.optimizer.param_groups[0]["lr"])
            run.optimizer.step()
            run.scheduler.step()
            both = mean_over_processes(torch.stack([loss.detach(), wrong])).tolist()
            run.history.loss.append(both[0])
            run.history.error.append(both[1])
            yield

    return steps


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
