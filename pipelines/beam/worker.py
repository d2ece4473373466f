"""Runs workers of Beam's DirectRunner that end when their job does.

Beam's own workers outlive a killed job, and a job waits forever for a killed
worker. These have a connection to their job that carries only their start and
their end: when either process dies, the other one notices.
"""

import contextlib
import logging
import os
import shlex
import signal
import socket
import sys
import threading
from types import TracebackType

# A worker sends these when it starts, and when it has nothing left to do.
_STARTED = b"+"
_FINISHED = b"."


class Lifeline:
    """The job's end of the connections, for use in a `with` block.

    Attributes:
        lost: set when a worker died before it had finished.
    """

    def __init__(self) -> None:
        self.lost = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._lines: list[socket.socket] = []

    @property
    def command(self) -> str:
        """Returns the shell command that starts a worker."""
        port = self._server.getsockname()[1]
        # `exec` replaces the shell, so there is one process per worker.
        return f"exec {shlex.quote(sys.executable)} -m {__name__} {port}"

    def __enter__(self) -> "Lifeline":
        import grpc

        hook = threading.excepthook

        def notice(found: threading.ExceptHookArgs) -> None:
            # Beam's threads end with a traceback when a worker dies.
            if found.thread and found.thread.name == "run_worker":
                self.lost.set()
            elif not issubclass(found.exc_type, grpc.RpcError):
                hook(found)

        self._hook, threading.excepthook = hook, notice
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the remaining workers."""
        if error is None:
            threading.excepthook = self._hook
        for line in (self._server, *self._lines):
            # It may be closed already.
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._server.accept()
                self._lines.append(line)
                threading.Thread(
                    target=self._watch, args=[line], daemon=True
                ).start()

    def _watch(self, line: socket.socket) -> None:
        received = b""
        with contextlib.suppress(OSError):
            # Other programs may connect to the port, too.
            if line.recv(1) != _STARTED:
                return
            received = line.recv(1)
        if received != _FINISHED:
            self.lost.set()


def main(port: int) -> None:
    """Serves the job that listens on a port of this machine."""
    # Ctrl-C in a terminal reaches all processes; only the job handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Beam sends its log to the job; without a handler it would log here, too.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        line = socket.create_connection(("127.0.0.1", port))
        line.sendall(_STARTED)
    except OSError:
        # The job ended before this process started.
        sys.exit(1)
    threading.Thread(target=_end_with, args=[line], daemon=True).start()

    from apache_beam.runners.worker import sdk_worker_main

    # Tracebacks go to the job, which reports one line. The descriptor is
    # redirected, since TensorFlow logs from C++.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sdk_worker_main.main([])
    line.sendall(_FINISHED)


def _end_with(line: socket.socket) -> None:
    """Ends this process immediately when the job is gone."""
    try:
        line.recv(1)
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
