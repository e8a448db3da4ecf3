"""Several trainings side by side, each in its own process with its share of the threads.

One net of 14 × 14 images cannot use two cores well: every layer is too short. Two nets can.
"""

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.queues import Queue
from threading import Thread
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
    """`run(*arguments)` for every task (label, *arguments), at most `workers` at once, results in that order.

    prepare: called first in each process. progress: with it, run also gets `progress=progress(label, line)`. An error
    does not stop the other tasks: it is raised when all have ended. With one worker everything happens in this
    process. What crosses over must be picklable.
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
    others = set(active_children())
    pool = ProcessPoolExecutor(workers, context, _begin, (prepare, threads, numbers, context.RLock()))
    try:
        futures = [pool.submit(_one, run, task, progress) for task in tasks]
        wait(futures)
        return [future.result() for future in futures]
    except KeyboardInterrupt:
        for worker in set(active_children()) - others:
            worker.terminate()  # a task may have hours to go
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(prepare: Callable[[], None] | None, threads: int, numbers: Queue, lock: Any) -> None:
    """In a new worker. It ends with the process that started it, even if that was killed, and leaves Ctrl-C to it."""
    global _number
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    _number = numbers.get()
    torch.set_num_threads(threads)
    tqdm.set_lock(lock)  # so that bars don't write into each other's lines
    if prepare:
        prepare()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # not sys.exit: that would only end this thread


def _one(run: Callable[..., Any], task: tuple, progress: Callable[[str, int], Any] | None) -> Any:
    label, *arguments = task
    return run(*arguments, **({"progress": progress(label, _number)} if progress else {}))
