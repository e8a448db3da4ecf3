"""Where to compute, and with how many processes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed


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
        distributed.destroy_process_group()
