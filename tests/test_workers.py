"""Trainings side by side: at the same time, with their share of the threads, with the results of one after another."""

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch

from resnet_lib.experiments.workers import side_by_side


def wait_until(reached: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < give_up, "waited a minute in vain"
        time.sleep(0.05)


def meet(folder: Path, own: str, other: str) -> tuple[int, int]:
    """Wait for the task that runs at the same time; alone, give up."""
    (folder / own).touch()
    wait_until((folder / other).exists)
    return os.getpid(), torch.get_num_threads()


def fail_on(number: int, folder: Path) -> int:
    if number == 0:
        raise ValueError("task 0 fails")
    (folder / str(number)).touch()
    return number


def tell(number: int, progress: tuple[str, int]) -> tuple[int, str, int, int]:
    return number, *progress, os.getpid()


def label_and_line(label: str, line: int) -> tuple[str, int]:
    return label, line


def test_two_workers_run_at_the_same_time(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        (a, threads_a), (b, threads_b) = side_by_side(
            meet, [("a", tmp_path, "a", "b"), ("b", tmp_path, "b", "a")], workers=2
        )
    finally:
        torch.set_num_threads(before)
    assert len({a, b, os.getpid()}) == 3
    assert (threads_a, threads_b) == (2, 2)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_with_each_task_s_own_progress(workers: int) -> None:
    tasks = [(f"task {number}", number) for number in range(4)]
    results = side_by_side(tell, tasks, workers, progress=label_and_line)
    assert [result[:2] for result in results] == [(number, f"task {number}") for number in range(4)]
    lines = {(pid, line) for *_, line, pid in results}
    assert len(lines) <= workers and {line for _, line in lines} <= set(range(workers))
    assert (os.getpid() in {pid for pid, _ in lines}) == (workers == 1)


def test_an_error_stops_no_other_task(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="task 0 fails"):
        side_by_side(fail_on, [(str(number), number, tmp_path) for number in range(3)], workers=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


STOPPED = """
import os, signal, sys, time
from pathlib import Path
from resnet_lib.experiments.workers import side_by_side

def hang(folder):
    (folder / str(os.getpid())).touch()
    time.sleep(600)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever starts in the background ignores Ctrl-C
    side_by_side(hang, [("a", Path(sys.argv[1])), ("b", Path(sys.argv[1]))], workers=2)
"""


def runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to send to one process")
@pytest.mark.parametrize("sent", ["SIGINT", "SIGKILL"])
def test_workers_end_with_their_parent(sent: str, tmp_path: Path) -> None:
    """After Ctrl-C, and even if the parent had no time to tell them."""
    script, folder = tmp_path / "stopped.py", tmp_path / "pids"
    script.write_text(STOPPED)
    folder.mkdir()
    with subprocess.Popen([sys.executable, script, folder], stderr=subprocess.DEVNULL) as parent:
        wait_until(lambda: len(list(folder.iterdir())) == 2)
        workers = [int(path.name) for path in folder.iterdir()]
        assert all(map(runs, workers))
        parent.send_signal(getattr(signal, sent))
        parent.wait(60)
    wait_until(lambda: not any(map(runs, workers)))


KEEP = """
import sys
import torch
from benchmarks._memory import resident
from resnet_lib.training.devices import keep_freed_memory
if sys.argv[1] != "never":
    keep_freed_memory(int(sys.argv[1]))
torch.ones(16, 2**20)
print(resident("VmRSS") / 2**20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep freed memory")
def test_freed_memory_is_kept_for_large_images_only() -> None:
    """64 MB are taken and freed; who keeps them still holds them."""

    def held(choice: str) -> float:
        command = [sys.executable, "-c", KEEP, choice]
        root = Path(__file__).parents[1]
        return float(subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout)

    never, small, large = held("never"), held("14"), held("32")
    assert abs(small - never) < 20
    assert large - never > 50
