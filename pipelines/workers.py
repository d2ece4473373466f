"""Work shared among processes, with results in order and in flat memory."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import ProcessPoolExecutor
from typing import Any
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Tasks at hand for each process: enough that none waits for the next, and few
# enough that results do not pile up where they are taken slowly.
_AHEAD = 4


def available_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Iterator[Result]]:
    """`map(function, items)` in several processes, to use in a `with`.

    Processes are spawned, not forked: a fork of a process that runs
    TensorFlow's threads may hang. They end with the one that started them,
    however it ends.

    Args:
        function: can be pickled, and is, once for each process.
        items: arguments; they are taken only shortly before they are needed.
        workers: number of processes; with 1 all happens in this one.

    Raises:
        concurrent.futures.process.BrokenProcessPool: from the iterator, if a
            process was killed.
    """
    if workers <= 1:
        yield map(function, items)
        return
    pool = ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(function,),
    )
    try:
        yield _results(pool, items, workers * _AHEAD)
    finally:
        pool.shutdown(cancel_futures=True)


def _results(
    pool: ProcessPoolExecutor, items: Iterable[Item], ahead: int
) -> Iterator[Any]:
    pending: deque[Future] = deque()
    for item in items:
        # Ctrl-C goes to all processes of a terminal. Those that start now
        # leave it to this one; here it waits until they have started.
        old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        pending.append(pool.submit(_work, item))
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
        if len(pending) >= ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


_function: Callable | None = None


def _start(function: Callable) -> None:
    global _function
    _function = function
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A process whose parent was killed would wait for its next task for ever.
    multiprocessing.parent_process().join()
    os._exit(1)


def _work(item: Any) -> Any:
    return _function(item)
