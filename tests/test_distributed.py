"""Two processes share each batch. Without batch norm that changes nothing; with it, each sees its own statistics."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from resnet_lib.training.devices import best_device

CHILD = Path(__file__).parent / "distributed_child.py"


def train_with(processes: int, kind: str, result: Path) -> dict[str, torch.Tensor]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [sys.executable, *launcher, str(CHILD), kind, str(result)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return load_file(result)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, str], dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("distributed")
    return {
        (processes, kind): train_with(processes, kind, folder / f"{kind}-{processes}.safetensors")
        for processes in (1, 2)
        for kind in ("without-norm", "with-norm")
    }


def test_without_batch_norm_two_processes_equal_one(results: dict) -> None:
    one, two = results[1, "without-norm"], results[2, "without-norm"]
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-4, atol=1e-6)


def test_with_batch_norm_the_statistics_differ(results: dict) -> None:
    """The control: each process normalises over its own 8 images, so the runs part from the first step on."""
    one, two = results[1, "with-norm"]["history.loss"], results[2, "with-norm"]["history.loss"]
    assert (one[0] - two[0]).abs() > 1e-4
    assert (one[0] - two[0]).abs() < 0.5  # the same weights and the same images, only other statistics


@pytest.mark.parametrize("batch_size", [1, 3])
def test_shares_that_differ_are_refused_in_one_sentence(batch_size: int) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "resnet_lib"]
    command += ["train", "--depth", "8", "--width", "4", "--size", "14", "--batch-size", str(batch_size)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    sentence = f"batch_size must be a multiple of the 2 processes that share each batch, got {batch_size}"
    assert sentence in done.stderr.splitlines() and "loop.py" not in done.stderr and not done.stdout


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert best_device() == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(
        ValueError, match="--nproc-per-node must be at most 1, the GPUs of this machine; torchrun got 2"
    ):
        best_device()
