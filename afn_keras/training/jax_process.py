"""Trains on JAX, in a child process.

Evaluation and export, after training, run on TensorFlow. In a cluster, JAX
terminates a process when another is lost, sometimes without a message; the
parent process survives and reports it.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import traceback
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from afn_keras.runs import InterruptedTrainingError
from afn_keras.terminal import print_any_character
from afn_keras.training.cluster import Cluster
from afn_keras.training.cluster import Devices
from afn_keras.training.cluster import is_lost_process
from afn_keras.training.cluster import join
from afn_keras.training.cluster import lost_process_error
from afn_keras.training.cluster import startup_error
from pipelines.errors import InputError
from pipelines.parallel import ignore_ctrl_c
from pipelines.parallel import starting_without_ctrl_c

_CONNECTED = "connected"


def train_on_jax(
    run: Path,
    resume: bool,
    devices: Devices = 1,
    cluster: Cluster | None = None,
) -> None:
    """Trains a run like `train`, in a child process.

    Args:
        run: with `recipe.yaml`, and `records/` unless the recipe's data are
            records; created by process 0 before it calls this.
        resume: see `train`.
        devices: see `train`.
        cluster: the processes that train this run together; this call starts
            one of them.

    Raises:
        InputError: as `train`, or if the process or another one of the cluster
            was killed.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory() as scratch:
        # By name: on Windows, another process cannot use an open file.
        errors = Path(scratch) / "errors"
        process = context.Process(
            target=_work,
            args=(theirs, errors, run, resume, devices, cluster),
            daemon=True,
        )
        _start(process)
        theirs.close()
        connected = False
        try:
            while (failure := ours.recv()) == _CONNECTED:
                connected = True
        except EOFError:
            process.join()
            failure = _exit_error(process.exitcode, run, cluster, connected)
        finally:
            # The process ends with the connection.
            ours.close()
            process.join()
        if isinstance(failure, (InputError, OSError)):
            raise failure
        if failure is not None:
            if errors.exists():
                sys.stderr.write(errors.read_text("utf-8", errors="replace"))
            raise RuntimeError(failure)


def _start(process: BaseProcess) -> None:
    """Starts a process on JAX that Ctrl-C does not interrupt."""
    # Set in the environment, since the process may import Keras with the
    # caller's script.
    backend = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = "jax"
    try:
        with starting_without_ctrl_c():
            process.start()
    finally:
        del os.environ["KERAS_BACKEND"]
        if backend is not None:
            os.environ["KERAS_BACKEND"] = backend


def _exit_error(
    code: int, run: Path, cluster: Cluster | None, connected: bool
) -> InputError | str:
    if cluster and code == -signal.SIGABRT:
        # JAX aborts a process if another is lost.
        if connected:
            return lost_process_error(cluster, run, "JAX ended it")
        return startup_error(cluster, "not all started in time")
    if code == -9:  # SIGKILL, which is not defined on Windows.
        return InterruptedTrainingError(
            f"{run}: the process that trains was killed, perhaps for memory; "
            f"resume: --output {run} --resume"
        )
    return f"the process that trains ended with code {code}"


def _work(
    connection: Connection,
    errors: Path,
    run: Path,
    resume: bool,
    devices: Devices,
    cluster: Cluster | None,
) -> None:
    ignore_ctrl_c()
    print_any_character()
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    # JAX writes a long message if another process is lost.
    with open(errors, "wb") as file:
        os.dup2(file.fileno(), 2)
    code = 1
    try:
        if cluster:
            join(cluster)
            connection.send(_CONNECTED)
        _train(run, resume, devices, cluster)
        connection.send(None)
        code = 0
    except (InputError, OSError) as error:
        connection.send(error)
    except Exception as error:
        if cluster and is_lost_process(error):
            # The last cause is at the end of the message.
            reason = str(error).splitlines()[0].split("computation: ")[-1]
            connection.send(lost_process_error(cluster, run, reason))
        else:
            traceback.print_exc()
            connection.send(str(error))
    finally:
        # Exits at once: JAX would wait for lost processes.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _train(
    run: Path, resume: bool, devices: Devices, cluster: Cluster | None
) -> None:
    from afn_keras.recipes import load_run_recipe
    from afn_keras.training.fit import train
    from pipelines.batches import Part
    from pipelines.records import load_records

    recipe_file = run / "recipe.yaml"
    if cluster and not recipe_file.exists():
        raise InputError(
            f"{run}: process 0 created it, but this machine does not see it; "
            "use a shared folder for --output"
        )
    recipe = load_run_recipe(run)
    folder = run / "records"
    records = load_records(folder if folder.exists() else Path(recipe.data))
    part = Part(cluster.index, cluster.count) if cluster else Part()
    train(recipe, records, run, resume, devices, part)
    if cluster:
        import jax

        # Waits for the others, which would report this process as lost.
        jax.distributed.shutdown()


def _end_with(connection: Connection) -> None:
    """Ends this process when its parent ends."""
    with contextlib.suppress(EOFError, OSError):
        connection.recv()
    os._exit(1)
