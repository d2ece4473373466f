"""Training on JAX, in a process of its own.

What comes after training, evaluation and export, runs on TensorFlow. And where
several processes train together, JAX ends each of them the moment another is
gone, sometimes without a word: whoever started this one outlives it, and says
what happened.
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
from afn_keras.training.cluster import apart
from afn_keras.training.cluster import is_loss
from afn_keras.training.cluster import join
from afn_keras.training.cluster import lost_another
from pipelines.errors import InputError
from pipelines.parallel import ignore_ctrl_c
from pipelines.parallel import starting_without_ctrl_c

_TOGETHER = "together"


def train_on_jax(
    run: Path,
    resume: bool,
    devices: Devices = 1,
    cluster: Cluster | None = None,
) -> None:
    """Trains a run as `train` does, in another process.

    Args:
        run: with `recipe.yaml`, and `records/` unless the recipe's data are
            records; made by process 0 alone, before it comes here.
        resume: as of `train`.
        devices: as of `train`.
        cluster: the processes that train this run together, of which this one
            starts its own.

    Raises:
        InputError: what `train` raises, or if the process or another one of
            the cluster was killed.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory() as scratch:
        # By name: Windows lets no other process open a file of this one.
        said = Path(scratch) / "errors"
        process = context.Process(
            target=_work,
            args=(theirs, said, run, resume, devices, cluster),
            daemon=True,
        )
        _start(process)
        theirs.close()
        together = False
        try:
            while (failure := ours.recv()) == _TOGETHER:
                together = True
        except EOFError:
            process.join()
            failure = _death(process.exitcode, run, cluster, together)
        finally:
            # The process ends with the connection.
            ours.close()
            process.join()
        if isinstance(failure, (InputError, OSError)):
            raise failure
        if failure is not None:
            if said.exists():
                sys.stderr.write(said.read_text("utf-8", errors="replace"))
            raise RuntimeError(failure)


def _start(process: BaseProcess) -> None:
    """Starts a process on JAX, which Ctrl-C is kept from."""
    # Before the caller's script, which it imports first, imports Keras.
    backend = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = "jax"
    try:
        with starting_without_ctrl_c():
            process.start()
    finally:
        del os.environ["KERAS_BACKEND"]
        if backend is not None:
            os.environ["KERAS_BACKEND"] = backend


def _death(
    code: int, run: Path, cluster: Cluster | None, together: bool
) -> InputError | str:
    if cluster and code == -signal.SIGABRT:
        # So JAX ends a process.
        if together:
            return lost_another(cluster, run, "JAX ended it")
        return apart(cluster, "not all came in time")
    if code == -9:  # SIGKILL, which Windows does not know.
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
    # JAX writes a page where another process is gone.
    with open(errors, "wb") as file:
        os.dup2(file.fileno(), 2)
    code = 1
    try:
        if cluster:
            join(cluster)
            connection.send(_TOGETHER)
        _train(run, resume, devices, cluster)
        connection.send(None)
        code = 0
    except (InputError, OSError) as error:
        connection.send(error)
    except Exception as error:
        if cluster and is_loss(error):
            # What failed last, at the end of what it was asked for.
            reason = str(error).splitlines()[0].split("computation: ")[-1]
            connection.send(lost_another(cluster, run, reason))
        else:
            traceback.print_exc()
            connection.send(str(error))
    finally:
        # At once: JAX would wait for processes that are gone.
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
            f"{run}: process 0 has made it, this machine does not see it; let "
            "--output lie in a folder that all share"
        )
    recipe = load_run_recipe(run)
    folder = run / "records"
    records = load_records(folder if folder.exists() else Path(recipe.data))
    part = Part(cluster.index, cluster.count) if cluster else Part()
    train(recipe, records, run, resume, devices, part)
    if cluster:
        import jax

        # All together: whoever left before would be missed.
        jax.distributed.shutdown()


def _end_with(connection: Connection) -> None:
    """Waits for the one that started this to end, and ends this one too."""
    with contextlib.suppress(EOFError, OSError):
        connection.recv()
    os._exit(1)
