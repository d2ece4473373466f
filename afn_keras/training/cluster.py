"""What a network is trained on: devices, and processes that train together.

The latter on JAX alone: its own service keeps them together, on one machine or
many; Slurm or Kubernetes starts them.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from typing import NamedTuple

from afn_keras.runs import InterruptedTrainingError
from pipelines.errors import InputError

# Names under which process 0's address, its port (if the address has none),
# the number of processes and a process's own number are told.
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

# How long the first waits for the last.
_START = 300
# After as long without a sign of life a process is given up, and all stop.
_HEARTBEAT = 30
# What errors of JAX have in them when it happens to one that computes.
_LOSS = ("Gloo", "NCCL", "coordination service", "UNAVAILABLE", "heartbeat")


Devices = int | Literal["all"]
"""GPUs of a machine: how many, or all."""


class Cluster(NamedTuple):
    """The processes that train together, as one of them sees them.

    Attributes:
        coordinator: HOST:PORT where process 0 listens.
        index: this process's number, from 0.
        count: how many there are.
        device: the one GPU of its machine that is this process's; all if None.
    """

    coordinator: str
    index: int
    count: int
    device: int | None = None


def parse_devices(text: str) -> Devices:
    """What `--devices` names.

    Raises:
        InputError: if it is neither "all" nor a number from 1.
    """
    if text == "all":
        return "all"
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"--devices {text}: say all, or how many, from 1")
    return int(text)


def find_cluster(text: str, environment: Mapping[str, str]) -> Cluster:
    """The cluster that `--cluster` names.

    Args:
        text: HOST:PORT, the process's number and the number of processes, with
            commas; or "auto" for what the environment says, as Slurm's `srun`,
            Kubeflow and whatever sets JAX's or PyTorch's variables tell it.
        environment: variables.

    Raises:
        InputError: if it is neither, or the environment says nothing.
    """
    if text == "auto":
        return _from_environment(environment)
    words = text.split(",")
    if len(words) != 3:
        raise InputError(
            f"--cluster {text}: say auto, or HOST:PORT,INDEX,COUNT"
        )
    return _checked(f"--cluster {text}", *words)


def join(cluster: Cluster) -> None:
    """Waits for all processes; before anything runs on a device.

    When one of them is gone JAX ends the others, within a minute.

    Raises:
        InputError: if they do not come together.
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
        raise apart(cluster, str(error).strip().splitlines()[0]) from error


def apart(cluster: Cluster, reason: str) -> InputError:
    """What to say when the processes did not come together."""
    return InputError(
        f"--cluster: the {cluster.count} processes did not come together at "
        f"{cluster.coordinator} ({reason}); start all of them within "
        f"{_START // 60} minutes, and let them reach that address"
    )


def is_loss(error: Exception) -> bool:
    """Whether what JAX raised says that another process is gone."""
    text = str(error)
    return any(word in text for word in _LOSS)


def lost_another(cluster: Cluster, run: Path, reason: str) -> InputError:
    """What to say when another process is gone."""
    return InterruptedTrainingError(
        f"--cluster: another of the {cluster.count} processes is gone, so "
        f"process {cluster.index} stopped ({reason}); see what that one says, "
        f"then start all of them again: --output {run} --resume"
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
                    f"--cluster auto: there is {host}, but no {name}"
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
        "--cluster auto: the environment says nothing of a cluster, no "
        f"{', '.join([_SLURM[0], *known[:-1]])} or {known[-1]}; start this "
        "with srun, or say --cluster HOST:PORT,INDEX,COUNT"
    )


def _from_slurm(environment: Mapping[str, str]) -> Cluster:
    nodes, job, tasks, task = (environment[name] for name in _SLURM)
    # node001,node007 or node[001-004,007]: the first.
    first = nodes.replace("[", ",", 1).split(",")
    host = first[0]
    if nodes.startswith(f"{host}["):
        host += first[1].split("-")[0].rstrip("]")
    # Some port that is free on most machines, and another for another job.
    port = 61440 + int(job) % 4096
    cluster = _checked("--cluster auto: Slurm", f"{host}:{port}", task, tasks)
    count = environment.get("SLURM_NNODES", 1)
    # Of the step, where the job has more.
    count = int(environment.get("SLURM_STEP_NUM_NODES", count))
    local = environment.get("SLURM_LOCALID")
    # Slurm may have given each its own, which is then its first.
    own = environment.get("CUDA_VISIBLE_DEVICES", ",").count(",") == 0
    if math.ceil(cluster.count / count) == 1 or local is None or own:
        return cluster
    return cluster._replace(device=int(local))


def _checked(flag: str, coordinator: str, index: str, count: str) -> Cluster:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"{flag}: {coordinator} is no HOST:PORT")
    if not (index.isdecimal() and count.isdecimal()):
        raise InputError(f"{flag}: {index} of {count} are no numbers from 0")
    if int(index) >= int(count):
        raise InputError(
            f"{flag}: there is no process {index} of {count}; they are "
            "numbered from 0"
        )
    return Cluster(coordinator, int(index), int(count))
