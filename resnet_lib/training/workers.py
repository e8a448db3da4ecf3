"""Several trainings side by side, each in a process of its own with its share of the threads.

One net of 14 × 14 images cannot use two cores well: every layer is too short. Two nets can.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from multiprocessing import get_context
from multiprocessing.queues import Queue
from typing import Any

import torch
from tqdm.auto import tqdm

_number = 0  # this process's, among the workers: the line of its progress bar


def side_by_side(
    run: Callable[..., Any],
    tasks: Sequence[tuple],
    workers: int = 1,
    prepare: Callable[[], None] | None = None,
    progress: Callable[[str, int], Any] | None = None,
) -> list[Any]:
    """`run(*task)` for every task, at most `workers` at once; the results in the order of the tasks.

    prepare: called first in each process. progress: with it, run also gets `progress=progress(label, line)`; the label
    is the task's own (its first part). An error does not stop the other tasks: it is raised when all have ended.
    With one worker everything happens in this process. What crosses over must be picklable.
    """
    workers = min(workers, len(tasks))
    if workers <= 1:
        if prepare:
            prepare()
        return [_one(run, task, progress) for task in tasks]
    context = get_context("spawn")  # a fork would copy locks that torch's threads hold
    numbers = context.Queue()
    for number in range(workers):
        numbers.put(number)
    threads = max(1, torch.get_num_threads() // workers)
    pool = ProcessPoolExecutor(workers, context, _begin, (prepare, threads, numbers, context.RLock()))
    try:
        futures = [pool.submit(_one, run, task, progress) for task in tasks]
        wait(futures)
        return [future.result() for future in futures]
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C no further task starts


def _begin(prepare: Callable[[], None] | None, threads: int, numbers: Queue, lock: Any) -> None:
    global _number
    _number = numbers.get()
    torch.set_num_threads(threads)
    tqdm.set_lock(lock)  # so that bars don't write into each other's lines
    if prepare:
        prepare()


def _one(run: Callable[..., Any], task: tuple, progress: Callable[[str, int], Any] | None) -> Any:
    label, *arguments = task
    return run(*arguments, **({"progress": progress(label, _number)} if progress else {}))
