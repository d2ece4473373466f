"""Devices and clusters: processes that train together.

Clusters need JAX, whose own service coordinates the processes, on one machine
or many; Slurm or Kubernetes starts them.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from typing import NamedTuple

from afn_keras.runs import InterruptedTrainingError
from pipelines.errors import InputError

# Variables with process 0's address, its port (if the address has none), the
# number of processes and the index of this process.
_VARIABLES = {
    "JAX": (
        "JAX_COORDINATOR_ADDRESS",
        "JAX_COORDINATOR_PORT",
        "JAX_NUM_PROCESSES",
        "JAX_PROCESS_ID",
    ),
    "Kubeflow": (
        "COORDINATOR_ADDRESS",
        "COORDINATOR_PORT",
        "NUM_PROCESSES",
        "PROCESS_ID",
    ),
    "PyTorch": ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK"),
}
_SLURM = ("SLURM_STEP_NODELIST", "SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_PROCID")

# Seconds that the first process waits for the last to start.
_START = 300
# Seconds without a heartbeat after which a process is lost, and all stop.
_HEARTBEAT = 30
# Parts of JAX's error messages if another process is lost during a computation.
_LOST = ("Gloo", "NCCL", "coordination service", "UNAVAILABLE", "heartbeat")


Devices = int | Literal["all"]
"""Number of GPUs of a machine, or all."""


class Cluster(NamedTuple):
    """The processes that train together, from the view of one of them.

    Attributes:
        coordinator: HOST:PORT where process 0 listens.
        index: index of this process, from 0.
        count: number of processes.
        device: index of the GPU of this process; all of them if None.
    """

    coordinator: str
    index: int
    count: int
    device: int | None = None


def parse_devices(text: str) -> Devices:
    """Parses `--devices`.

    Raises:
        InputError: if it is neither "all" nor a number from 1.
    """
    if text == "all":
        return "all"
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"--devices {text}: should be all, or 1 or more")
    return int(text)


def find_cluster(text: str, environment: Mapping[str, str]) -> Cluster:
    """Parses `--cluster`.

    Args:
        text: HOST:PORT, index and number of processes, separated by commas; or
            "auto" to read them from the environment, as set by Slurm's `srun`,
            Kubeflow, or launchers of JAX and PyTorch.
        environment: variables.

    Raises:
        InputError: if it is neither, or the environment has no cluster.
    """
    if text == "auto":
        return _from_environment(environment)
    words = text.split(",")
    if len(words) != 3:
        raise InputError(
            f"--cluster {text}: should be auto or HOST:PORT,INDEX,COUNT"
        )
    return _checked(f"--cluster {text}", *words)


def join(cluster: Cluster) -> None:
    """Waits for all processes; must run before any computation on a device.

    If a process is lost, JAX terminates the others within a minute.

    Raises:
        InputError: if not all processes start.
    """
    import jax

    try:
        jax.distributed.initialize(
            cluster.coordinator,
            cluster.count,
            cluster.index,
            local_device_ids=cluster.device,
            cluster_detection_method="deactivate",
            initialization_timeout=_START,
            heartbeat_timeout_seconds=_HEARTBEAT,
        )
    except RuntimeError as error:
        raise startup_error(
            cluster, str(error).strip().splitlines()[0]
        ) from error


def startup_error(cluster: Cluster, reason: str) -> InputError:
    """Returns the error for processes that did not all start."""
    return InputError(
        f"--cluster: the {cluster.count} processes did not all connect to "
        f"{cluster.coordinator} ({reason}); start all of them within "
        f"{_START // 60} minutes, and make that address reachable"
    )


def is_lost_process(error: Exception) -> bool:
    """Returns whether an error of JAX means that another process is lost."""
    text = str(error)
    return any(word in text for word in _LOST)


def lost_process_error(cluster: Cluster, run: Path, reason: str) -> InputError:
    """Returns the error for a lost process."""
    return InterruptedTrainingError(
        f"--cluster: another of the {cluster.count} processes was lost, so "
        f"process {cluster.index} stopped ({reason}); see the output of the "
        f"lost one, then restart all of them: --output {run} --resume"
    )


def _from_environment(environment: Mapping[str, str]) -> Cluster:
    if all(name in environment for name in _SLURM):
        return _from_slurm(environment)
    for host, port, count, index in _VARIABLES.values():
        if host not in environment:
            continue
        for name in (count, index):
            if name not in environment:
                raise InputError(
                    f"--cluster auto: {host} is set, but not {name}"
                )
        address = environment[host]
        if ":" not in address and port in environment:
            address = f"{address}:{environment[port]}"
        return _checked(
            f"--cluster auto: {host}, {index}, {count}",
            address,
            environment[index],
            environment[count],
        )
    known = [names[0] for names in _VARIABLES.values()]
    raise InputError(
        "--cluster auto: no cluster in the environment, no "
        f"{', '.join([_SLURM[0], *known[:-1]])} or {known[-1]}; start with "
        "srun, or use --cluster HOST:PORT,INDEX,COUNT"
    )


def _from_slurm(environment: Mapping[str, str]) -> Cluster:
    nodes, job, tasks, task = (environment[name] for name in _SLURM)
    # The first of node001,node007 or node[001-004,007].
    first = nodes.replace("[", ",", 1).split(",")
    host = first[0]
    if nodes.startswith(f"{host}["):
        host += first[1].split("-")[0].rstrip("]")
    # A port that is usually free, different for each job.
    port = 61440 + int(job) % 4096
    cluster = _checked("--cluster auto: Slurm", f"{host}:{port}", task, tasks)
    count = environment.get("SLURM_NNODES", 1)
    # The step may have fewer nodes than the job.
    count = int(environment.get("SLURM_STEP_NUM_NODES", count))
    local = environment.get("SLURM_LOCALID")
    # If Slurm gives each process its own GPU, it is its first.
    own = environment.get("CUDA_VISIBLE_DEVICES", ",").count(",") == 0
    if math.ceil(cluster.count / count) == 1 or local is None or own:
        return cluster
    return cluster._replace(device=int(local))


def _checked(flag: str, coordinator: str, index: str, count: str) -> Cluster:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"{flag}: {coordinator} is not HOST:PORT")
    if not (index.isdecimal() and count.isdecimal()):
        raise InputError(f"{flag}: {index} of {count} should be numbers from 0")
    if int(index) >= int(count):
        raise InputError(
            f"{flag}: there is no process {index} of {count}; they are "
            "numbered from 0"
        )
    return Cluster(coordinator, int(index), int(count))
