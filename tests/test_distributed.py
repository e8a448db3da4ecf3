"""Two processes share each batch. Without batch norm that changes nothing; with it, each sees its own statistics."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

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
