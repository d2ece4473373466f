"""Worker processes of Beam's DirectRunner that end when their job does.

Beam's own outlive a job that is killed, and a job waits for ever for one of
Beam's own that is. Between these and their job there is a connection on which
only beginning and end are said: if one of the two is gone, the other knows.
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

# What a worker says at its beginning, and when it has nothing left to do.
_HERE = b"+"
_FINISHED = b"."


class Lifeline:
    """The job's end of the connections, to use in a `with`.

    Attributes:
        lost: set when a worker ended before it had nothing left to do.
    """

    def __init__(self) -> None:
        self.lost = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._lines: list[socket.socket] = []

    @property
    def command(self) -> str:
        """What starts a worker, for a shell."""
        port = self._server.getsockname()[1]
        # The shell makes room, so that there is one process for each worker.
        return f"exec {shlex.quote(sys.executable)} -m {__name__} {port}"

    def __enter__(self) -> "Lifeline":
        import grpc

        hook = threading.excepthook

        def notice(found: threading.ExceptHookArgs) -> None:
            # The tracebacks that Beam's threads end in with a worker.
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
        """Ends the workers that there still are."""
        if error is None:
            threading.excepthook = self._hook
        for line in (self._server, *self._lines):
            # It may have ended by itself.
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
        said = b""
        with contextlib.suppress(OSError):
            # Anybody may knock at a port.
            if line.recv(1) != _HERE:
                return
            said = line.recv(1)
        if said != _FINISHED:
            self.lost.set()


def main(port: int) -> None:
    """Serves the job that listens on a port of this machine."""
    # Ctrl-C in a terminal goes to all; the job decides what comes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Beam sends its log to the job; without this it writes it here, too.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        line = socket.create_connection(("127.0.0.1", port))
        line.sendall(_HERE)
    except OSError:
        # The job has ended before this process could begin.
        sys.exit(1)
    threading.Thread(target=_end_with, args=[line], daemon=True).start()

    from apache_beam.runners.worker import sdk_worker_main

    # A traceback goes to the job, which makes one line of it. Not in Python
    # alone: TensorFlow greets from elsewhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sdk_worker_main.main([])
    line.sendall(_FINISHED)


def _end_with(line: socket.socket) -> None:
    """Ends this process, whatever it is doing, when the job is gone."""
    try:
        line.recv(1)
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
