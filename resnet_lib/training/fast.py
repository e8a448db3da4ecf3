"""The same steps as loop.py's, for a GPU that should not wait.

The data are on the device, nothing is read back after a step, and one CUDA graph takes the steps. A small net's kernels
take less time than Python needs to launch them. So the first steps run as ever, then one step is captured
(https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs) and only replayed: the batch is copied to where the graph
reads it, the learning rate as well. Losses stay on the device until `READ_EVERY` steps are done.
"""

import logging
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from resnet_lib.data.images import ImageSet
from resnet_lib.training.batches import count_classes, cut_out, loss_and_error, picks
from resnet_lib.training.history import Run
from resnet_lib.training.recipe import Recipe

READ_EVERY = 50  # steps
WARM_UP = 3  # steps before the capture, in which cuDNN chooses its kernels and the optimizer makes its buffers

log = logging.getLogger("resnet_lib")


def without_waiting(run: Run, data: ImageSet, recipe: Recipe, seed: int) -> Callable[[int, int], Iterator[None]]:
    """A function that takes the steps of one epoch, at most `limit`, and yields after every `READ_EVERY` of them.

    On a CPU it takes the same steps without a graph, so that a test can hold it to the loop's.
    """
    device = next(run.model.parameters()).device
    images, labels = data.images.to(device), data.labels.to(device)
    step = Step(run, recipe, count_classes(data))

    def steps(epoch: int, limit: int) -> Iterator[None]:
        waiting: list[Tensor] = []
        for picked, variation in picks(data, recipe, seed, epoch, limit):
            here = picked.to(device, non_blocking=True)
            batch = images[here]
            if variation:
                rows, columns = (part.to(device, non_blocking=True) for part in variation)
                batch = cut_out(batch, rows, columns)
            run.history.lr.append(run.optimizer.param_groups[0]["lr"])
            waiting.append(step(batch.contiguous(memory_format=torch.channels_last), labels[here]))
            run.scheduler.step()
            if len(waiting) == READ_EVERY:
                read(waiting)
                yield
        if waiting:
            read(waiting)
            yield

    def read(waiting: list[Tensor]) -> None:
        """Loss and error of the last steps, in one transfer."""
        for loss, error in torch.stack(waiting).tolist():
            run.history.loss.append(loss)
            run.history.error.append(error)
        waiting.clear()

    return steps


class Step:
    """One step of training: images and labels on the device -> loss and error (2,), on the device."""

    def __init__(self, run: Run, recipe: Recipe, classes: int):
        self.run, self.classes, self.precision = run, classes, recipe.precision
        self.taken = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        if next(run.model.parameters()).is_cuda:
            self.aside = torch.cuda.Stream()  # a capture wants the steps before it on another stream than the default

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        if images.is_cuda and self.taken == WARM_UP:
            self._capture(images, labels)
        self.taken += 1
        if not images.is_cuda:
            return self._compute(images, labels)
        if self.graph is None:
            with torch.cuda.stream(self.aside):
                self.aside.wait_stream(torch.cuda.default_stream())
                both = self._compute(images, labels)
            torch.cuda.default_stream().wait_stream(self.aside)
            return both
        self.images.copy_(images)
        self.labels.copy_(labels)
        self.rate.fill_(self.run.optimizer.param_groups[0]["lr"])
        self.graph.replay()
        return self.both.clone()  # the next replay writes over it

    def _compute(self, images: Tensor, labels: Tensor) -> Tensor:
        self.run.optimizer.zero_grad()
        loss, wrong = loss_and_error(self.run.model, images, labels, self.classes, self.precision)
        loss.backward()
        self.run.optimizer.step()
        return torch.stack([loss.detach(), wrong])

    def _capture(self, images: Tensor, labels: Tensor) -> None:
        """Record one step, which is not taken: the graph reads the batch and the rate from fixed places."""
        groups = self.run.optimizer.param_groups
        rates = [group["lr"] for group in groups]
        self.images, self.labels = images.clone(), labels.clone()
        self.rate = torch.tensor(rates[0], device=images.device)
        for group in groups:
            group["lr"] = self.rate
        self.run.optimizer.zero_grad()
        graph = torch.cuda.CUDAGraph()
        try:
            torch.cuda.synchronize()
            with torch.cuda.graph(graph):
                self.both = self._compute(self.images, self.labels)
            self.graph = graph
        except RuntimeError as error:
            log.warning("this step cannot be captured as a CUDA graph, so each is launched: %s", error)
        finally:
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate
