"""Where to compute, with how many processes and threads, and in which memory."""

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed

SMALL = 16 * 16  # pixels of an image
# Names and values of glibc's malloc.h; the second argument of mallopt is an int.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, LARGEST = -1, -3, 2**31 - 1


def best_device() -> torch.device:
    """CUDA, then MPS, then the CPU. Under torchrun every process takes its own GPU; ValueError if they are too few."""
    if torch.cuda.is_available():
        here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), torch.cuda.device_count()
        if here > gpus:
            raise ValueError(f"--nproc-per-node must be at most {gpus}, the GPUs of this machine; torchrun got {here}")
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
def reproducible(wanted: bool) -> Iterator[None]:
    """On CUDA only kernels that take sums in a fixed order, as a CPU does; what was set before comes back after."""
    if not wanted or not torch.cuda.is_available():
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        with torch.backends.cudnn.flags(benchmark=False, deterministic=True):
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


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


def keep_freed_memory(size: int) -> None:
    """Let the C library keep what is freed, in this whole process; there is no way back, so only programs call it.

    size: of the images, in pixels. A training step frees and takes the same megabytes again and again. By default
    glibc returns the large pieces to the system, which has to clear every page anew: a tenth of a step at 32 × 32.
    The pieces of small images it keeps anyhow. Elsewhere than on Linux with glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None and size * size > SMALL:
        mallopt(M_MMAP_THRESHOLD, LARGEST)
        mallopt(M_TRIM_THRESHOLD, LARGEST)
