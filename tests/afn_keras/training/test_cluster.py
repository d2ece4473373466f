"""Tests the flags and variables that select devices and clusters."""

import pytest

from afn_keras.backend.settings import keras_backend
from afn_keras.training.cluster import Cluster
from afn_keras.training.cluster import find_cluster

pytest.importorskip("jax")
pytestmark = pytest.mark.keras3


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("10.0.0.7:7000,1,3", {}, Cluster("10.0.0.7:7000", 1, 3)),
        (
            "auto",
            {
                "JAX_COORDINATOR_ADDRESS": "first:7000",
                "JAX_NUM_PROCESSES": "4",
                "JAX_PROCESS_ID": "3",
            },
            Cluster("first:7000", 3, 4),
        ),
        (
            "auto",
            {
                "COORDINATOR_ADDRESS": "job-worker-0",
                "COORDINATOR_PORT": "6666",
                "NUM_PROCESSES": "2",
                "PROCESS_ID": "0",
            },
            Cluster("job-worker-0:6666", 0, 2),
        ),
        (
            "auto",
            {
                "MASTER_ADDR": "job-master-0",
                "MASTER_PORT": "23456",
                "WORLD_SIZE": "2",
                "RANK": "1",
            },
            Cluster("job-master-0:23456", 1, 2),
        ),
        *(
            (
                "auto",
                {
                    "SLURM_STEP_NODELIST": nodes,
                    "SLURM_JOB_ID": "4099",
                    "SLURM_NTASKS": "8",
                    "SLURM_PROCID": "5",
                    "SLURM_LOCALID": "1",
                    "SLURM_NNODES": count,
                },
                # 4099 is 4096 + 3.
                Cluster(f"{first}:61443", 5, 8, device),
            )
            for nodes, first, count, device in (
                ("node7", "node7", "1", 1),
                ("a,b", "a", "2", 1),
                ("node[001-008]", "node001", "8", None),
                ("gpu-[3,7-9]", "gpu-3", "4", 1),
                ("rack1-n[12]", "rack1-n12", "1", 1),
            )
        ),
    ],
)
def test_clusters(text, environment, expected):
    assert find_cluster(text, environment) == expected


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (
            ["--cluster", "auto"],
            {},
            "--cluster auto: no cluster in the environment, no "
            "SLURM_STEP_NODELIST, JAX_COORDINATOR_ADDRESS, COORDINATOR_ADDRESS "
            "or MASTER_ADDR; start with srun, or use --cluster "
            "HOST:PORT,INDEX,COUNT",
        ),
        (
            ["--cluster", "auto"],
            {"MASTER_ADDR": "a", "MASTER_PORT": "1", "RANK": "0"},
            "--cluster auto: MASTER_ADDR is set, but not WORLD_SIZE",
        ),
        (
            ["--cluster", "host:1,0"],
            {},
            "--cluster host:1,0: should be auto or HOST:PORT,INDEX,COUNT",
        ),
        (
            ["--cluster", "host,0,2"],
            {},
            "--cluster host,0,2: host is not HOST:PORT",
        ),
        (
            ["--cluster", "host:1,2,2"],
            {},
            "--cluster host:1,2,2: there is no process 2 of 2; they are "
            "numbered from 0",
        ),
        (
            ["--cluster", "host:1,0,2"],
            {},
            "--cluster: give every process the same --output RUN, and leave "
            "out --devices, as each takes all that it sees",
        ),
        (
            ["--devices", "none"],
            {},
            "--devices none: should be all, or 1 or more",
        ),
        (
            [],
            {"KERAS_BACKEND": "torch"},
            "KERAS_BACKEND=torch: the network runs on tensorflow or jax",
        ),
    ],
)
def test_what_cannot_be(arguments, environment, message, monkeypatch, capsys):
    from afn_keras.commands.train import main

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"afn-train: {message}\n"


def test_keras_json_names_the_backend(tmp_path):
    assert keras_backend({"KERAS_HOME": str(tmp_path)}) == "tensorflow"
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    assert keras_backend({"KERAS_HOME": str(tmp_path)}) == "jax"
    # Of another project: it keeps nobody from working with this one.
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    assert keras_backend({"KERAS_HOME": str(tmp_path)}) == "tensorflow"
    named = {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "tensorflow"}
    assert keras_backend(named) == "tensorflow"
