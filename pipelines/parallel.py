"""Maps a function in several processes, with results in order.

Pools of the standard library wait forever if a process is killed while it
sends a result; here that is an error. Each process has its own pipe, which
closes when either end dies.
"""

import contextlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.connection import wait
from typing import Any
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Results per process that may wait for an earlier one: enough to keep all
# processes busy, and few enough for memory.
_AHEAD = 4


class WorkerDiedError(RuntimeError):
    """A process was killed, by a person or for memory."""


def available_cores() -> int:
    """Returns the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def starting_without_ctrl_c() -> Iterator[None]:
    """Blocks Ctrl-C in processes that start inside the `with` block.

    They inherit the blocked signal; in this process it is blocked only while
    they start. Windows cannot block it; processes call `ignore_ctrl_c` there.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # It starts with the first process, and would unblock Ctrl-C.
    resource_tracker.ensure_running()
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def ignore_ctrl_c() -> None:
    """Ignores Ctrl-C, which the parent process handles."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Iterator[Result]]:
    """Does `map(function, items)` in several processes, in a `with` block.

    Processes are spawned, not forked, since forks of a process with
    TensorFlow's threads may hang. They end when this process ends, however it
    does, and leave Ctrl-C to it.

    Args:
        function: function that can be pickled; once for each process.
        items: arguments, taken only shortly before they are needed.
        workers: number of processes; with 1, this process does everything.

    Raises:
        WorkerDiedError: from the iterator, if a process was killed.
    """
    if workers <= 1:
        yield map(function, items)
        return
    context = multiprocessing.get_context("spawn")
    processes, connections = [], []
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(theirs, function), daemon=True
            )
            with starting_without_ctrl_c():
                process.start()
            theirs.close()
            processes.append(process)
            connections.append(ours)
        yield _results(connections, items)
    finally:
        for connection in connections:
            connection.close()
        for process in processes:
            process.join()


def _results(
    connections: list[Connection], items: Iterable[Item]
) -> Iterator[Any]:
    numbered = enumerate(items)
    idle = list(connections)
    working: dict[Connection, int] = {}
    done: dict[int, Any] = {}
    wanted = sent = 0
    while True:
        # To idle ones only: two processes that send to each other deadlock.
        while idle and sent < wanted + _AHEAD * len(connections):
            sent, item = next(numbered, (sent, None))
            if item is None:
                break
            with _noticing_death():
                idle[-1].send(item)
            working[idle.pop()] = sent
        if wanted in done:
            result, error, trace = done.pop(wanted)
            if error is not None:
                raise error from RuntimeError(trace)
            yield result
            wanted += 1
        elif working:
            for connection in wait(list(working)):
                with _noticing_death():
                    done[working.pop(connection)] = connection.recv()
                idle.append(connection)
        else:
            return


@contextlib.contextmanager
def _noticing_death() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise WorkerDiedError("a process was killed") from error


def _serve(connection: Connection, function: Callable) -> None:
    ignore_ctrl_c()
    with contextlib.suppress(EOFError, OSError):
        while True:
            item = connection.recv()
            try:
                result = function(item), None, ""
            except Exception as error:
                result = None, error, traceback.format_exc()
            connection.send(result)
