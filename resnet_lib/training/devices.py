"""Where to compute, and with how many processes."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed

SMALL = 16 * 16  # pixels of an image


def best_device() -> torch.device:
    """CUDA, then MPS, then the CPU. Under torchrun every process takes its own GPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@contextmanager
def process_group(device: torch.device) -> Iterator[int]:
    """Join the other processes if torchrun started this one; gives this process's rank, 0 if it is alone."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield 0
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield distributed.get_rank()
    finally:
        # DistributedDataParallel is part of a reference cycle, and holds on to the group: a group that is still there
        # when Python ends aborts the process, in one of three runs.
        gc.collect()
        distributed.destroy_process_group()


@contextmanager
def threads_for(images: torch.Tensor) -> Iterator[None]:
    """One thread while the images, (N, C, H, W), are small; what was set before comes back after.

    A second thread gains little on layers this small: 8.2 s in place of 9.0 s for lesson 01's residual-56. And while
    another program is busy the two wait for each other at every layer: the same run then took twenty minutes.
    """
    before = torch.get_num_threads()
    if images.shape[-2] * images.shape[-1] <= SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
