"""The loop's step for a GPU that should not wait: one CUDA graph.

A small net's kernels take less time than Python needs to launch them. So the first steps run as ever, then one step is
captured (https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs) and only replayed: the batch is copied to where
the graph reads it, the learning rate as well.
"""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3  # steps before the capture, in which cuDNN chooses its kernels and the optimizer makes its buffers

log = logging.getLogger("resnet_lib")


class GraphedStep:
    """`step`, which takes images and labels on the GPU and returns loss and error (2,), as a graph from step 3 on."""

    def __init__(self, step: Callable[[Tensor, Tensor], Tensor], optimizer: torch.optim.Optimizer):
        self.step, self.optimizer = step, optimizer
        self.taken = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.aside = torch.cuda.Stream()  # a capture wants the steps before it on another stream than the default

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        if self.taken == WARM_UP:
            self._capture(images, labels)
        self.taken += 1
        if self.graph is None:
            with torch.cuda.stream(self.aside):
                self.aside.wait_stream(torch.cuda.default_stream())
                both = self.step(images, labels)
            torch.cuda.default_stream().wait_stream(self.aside)
            return both
        self.images.copy_(images)
        self.labels.copy_(labels)
        self.rate.fill_(self.optimizer.param_groups[0]["lr"])
        self.graph.replay()
        return self.both.clone()  # the next replay writes over it

    def _capture(self, images: Tensor, labels: Tensor) -> None:
        """Record one step, which is not taken: the graph reads the batch and the rate from fixed places."""
        groups = self.optimizer.param_groups
        rates = [group["lr"] for group in groups]
        self.images, self.labels = images.clone(), labels.clone()
        self.rate = torch.tensor(rates[0], device=images.device)
        for group in groups:
            group["lr"] = self.rate
        self.optimizer.zero_grad()
        graph = torch.cuda.CUDAGraph()
        try:
            torch.cuda.synchronize()
            with torch.cuda.graph(graph):
                self.both = self.step(self.images, self.labels)
            self.graph = graph
        except RuntimeError as error:
            log.warning("this step cannot be captured as a CUDA graph, so each is launched: %s", error)
        finally:
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate
