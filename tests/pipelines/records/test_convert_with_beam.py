"""Converts with workers of Apache Beam, and kills them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import contents
from conftest import finish

from afn_keras.commands import convert
from pipelines.errors import InputError
from pipelines.images.store import ImageStore
from pipelines.records.encode import Prepared
from pipelines.records.shard_writer import InterruptedConversionError
from pipelines.records.shard_writer import UnfinishedRecords

# The main process plans shards; workers do not see this script.
SCRIPT = """
from afn_keras.commands.convert import main
from pipelines.records import shard_plan

if __name__ == "__main__":
    shard_plan.SHARD_BYTES = 6_000_000
    main()
"""
BEAM = ("--runner", "DirectRunner", "--direct_num_workers", "2")
LEFT = "resuming with "

pytestmark = pytest.mark.skipif(
    not Path("/proc").exists(), reason="looks for processes"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Writes 120 images of 16 megapixels, a few of them truncated."""
    folder = tmp_path_factory.mktemp("beam") / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (4, 4, 3), np.uint8)
    _, jpeg = cv2.imencode(".jpg", cv2.resize(coarse, (4000, 4000)))
    jpeg = jpeg.tobytes()
    rows = ["image,split,category,attributes,x1,y1,x2,y2"]
    for i in range(120):
        if i % 50 == 7:
            (folder / f"{i:03d}.jpg").write_bytes(jpeg[:9000])
        elif i:
            os.link(folder / "000.jpg", folder / f"{i:03d}.jpg")
        else:
            (folder / "000.jpg").write_bytes(jpeg)
        split = ["train", "train", "train", "test"][i % 4]
        kind, look = ("Hat", "Shoe")[i % 2], ("red", "red|worn", "")[i % 3]
        rows.append(f"{i:03d}.jpg,{split},{kind},{look},0,0,{3981 + i},500")
    rows.append("none.jpg,test,Hat,red,0,0,9,9")
    (folder / "labels.csv").write_text("\n".join([*rows, ""]))
    return folder


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("beam") / "script.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture(scope="module")
def undisturbed(script, data, tmp_path_factory):
    """Returns the files of records that one process made, by name."""
    output = tmp_path_factory.mktemp("beam") / "records"
    code, errors = finish(start(script, data, output, "--workers", "1"))
    assert (code, errors) == (0, [])
    records = contents(output)
    assert sum(name.endswith(".tfrecord") for name in records) > 8
    # 7, 57 and 107. Boxes from 20 on end beyond 4000, but those of 57 and 107
    # have no image.
    assert records["problems.csv"].count(b"image truncated") == 3
    assert records["problems.csv"].count(b"image missing") == 1
    assert records["problems.csv"].count(b"box beyond the image") == 98
    return records


def start(script, data, output, *options):
    return subprocess.Popen(
        [sys.executable, script, data, output, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(output):
    with contextlib.suppress(FileNotFoundError):
        return len(os.listdir(Path(f"{output}.partial") / "records"))
    return 0


def wait_for_shards(process, output, more):
    """Waits until `more` shards are finished than at the start."""
    count = finished(output) + more
    while process.poll() is None:
        if finished(output) >= count:
            return
        time.sleep(0.002)
    raise AssertionError(f"ended before: {finish(process)}")


def workers_of(process):
    """Returns ids of the processes that Beam started."""
    found = []
    for task in Path(f"/proc/{process.pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"pipelines.beam.worker" in command:
                found.append(int(child))
    return found


def wait_for_end(workers):
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "a worker outlived its job"
        time.sleep(0.01)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def wait_for_server(port):
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("localhost", port)).close()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_two_processes_write_the_same_bytes(
    script, data, undisturbed, tmp_path
):
    output = tmp_path / "records"
    process = start(script, data, output, *BEAM)
    wait_for_shards(process, output, 2)
    assert len(workers_of(process)) == 2
    # A second process on the same folder is refused, with or without Beam.
    code, errors = finish(start(script, data, output))
    assert code == 2
    assert "is just being written by another process" in errors[-1]
    assert finish(process) == (0, [])
    assert contents(output) == undisturbed
    assert list(tmp_path.iterdir()) == [output]


def test_killed_again_and_again(script, data, undisturbed, tmp_path):
    output = tmp_path / "records"
    killed_worker = (
        2,
        [
            "afn-convert: --runner DirectRunner: a worker was killed, perhaps "
            "for memory; run it again to resume"
        ],
    )

    # A worker that has not started its work.
    process = start(script, data, output, *BEAM)
    while not (workers := workers_of(process)):
        assert process.poll() is None, finish(process)
    os.kill(workers[0], signal.SIGKILL)
    assert finish(process) == killed_worker

    # A worker, as the system kills it when memory runs out.
    process = start(script, data, output, *BEAM)
    wait_for_shards(process, output, 1)
    workers = workers_of(process)
    os.kill(workers[0], signal.SIGKILL)
    killed = time.monotonic()
    assert finish(process) == killed_worker
    assert time.monotonic() - killed < 30
    wait_for_end(workers)
    assert not output.exists()

    # The main process.
    process = start(script, data, output, *BEAM)
    wait_for_shards(process, output, 1)
    workers = workers_of(process)
    assert len(workers) == 2
    process.kill()
    _, errors = finish(process)
    assert errors[0].startswith(LEFT)
    wait_for_end(workers)

    # Resumed without Beam; Ctrl-C reaches all processes.
    process = start(script, data, output, "--workers", "1")
    wait_for_shards(process, output, 1)
    os.killpg(process.pid, signal.SIGINT)
    code, errors = finish(process)
    assert code == 130
    assert errors[0].startswith(LEFT)

    process = start(script, data, output, *BEAM)
    wait_for_shards(process, output, 1)
    workers = workers_of(process)
    os.killpg(process.pid, signal.SIGINT)
    code, errors = finish(process)
    assert code == 130
    assert errors[0].startswith(LEFT)
    assert errors[1:] == ["afn-convert: interrupted"]
    wait_for_end(workers)

    code, errors = finish(start(script, data, output, *BEAM))
    assert code == 0
    assert errors[0].startswith(LEFT)
    assert len(errors) == 1
    assert contents(output) == undisturbed
    assert list(tmp_path.iterdir()) == [output]


def test_external_workers(script, data, undisturbed, tmp_path):
    """Uses a job server and a pool of workers, as Flink and Spark do."""
    ports = [str(free_port()) for _ in range(2)]
    # The pool starts the first `python` in PATH.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    servers = [
        subprocess.Popen(
            [sys.executable, "-m", f"apache_beam.runners.{module}", port],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PATH": path},
        )
        for module, port in zip(
            ("portability.local_job_service_main", "worker.worker_pool_main"),
            [f"--port={ports[0]}", f"--service_port={ports[1]}"],
            strict=True,
        )
    ]
    output = tmp_path / "records"
    job = (
        *("--runner", "PortableRunner", "--environment_type", "EXTERNAL"),
        f"--job_endpoint=localhost:{ports[0]}",
    )
    try:
        for port in ports:
            wait_for_server(int(port))
        code, errors = finish(
            start(script, data, output, *job, "--environment_config=nowhere:1")
        )
        assert code == 2
        assert len(errors) == 1
        assert "--runner PortableRunner: the job failed: " in errors[0]
        pool = f"--environment_config=localhost:{ports[1]}"
        assert finish(start(script, data, output, *job, pool)) == (0, [])
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait(20)
    assert contents(output) == undisturbed
    assert list(tmp_path.iterdir()) == [output]


def test_strict_stops_at_a_problem(script, data, tmp_path):
    output = tmp_path / "records"
    code, errors = finish(start(script, data, output, "--strict", *BEAM))
    assert code == 2
    assert len(errors) == 1
    assert errors[0].startswith(f"afn-convert: {data}/labels.csv, line ")
    assert "without --strict: " in errors[0]
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_cannot_write(script, data, tmp_path):
    """Simulates a full disk: one line of error, and shards are kept."""
    output = tmp_path / "records"
    limit = 'ulimit -f 3000; exec "$@"'
    process = subprocess.Popen(
        ["bash", "-c", limit, "-", sys.executable, script, data, output, *BEAM],
        stderr=subprocess.PIPE,
        text=True,
    )
    code, errors = finish(process)
    assert (code, errors) == (
        2,
        [
            f"afn-convert: {output}: cannot be written (File too large); make "
            "room or choose another folder, then run it again"
        ],
    )
    assert (tmp_path / "records.partial").exists()


def test_a_worker_of_an_earlier_plan_writes_nothing(tmp_path):
    """Checks a worker that lives on, on a machine out of reach."""
    part = Prepared(b"old", 1, [], 0)
    with (
        contextlib.suppress(KeyboardInterrupt),
        UnfinishedRecords(tmp_path / "records") as unfinished,
    ):
        unfinished.resume("1" * 64)
        earlier = unfinished.files
        raise KeyboardInterrupt
    with UnfinishedRecords(tmp_path / "records") as unfinished:

        def parts():
            yield part
            # Halfway, it is started again with other data.
            unfinished.resume("2" * 64)
            yield part

        with pytest.raises(InterruptedConversionError):
            earlier.write("shard", parts())
        assert list(unfinished.records.iterdir()) == []
        with pytest.raises(InterruptedConversionError):
            earlier.write("shard", [part])
        notes = unfinished.files.write("shard", [Prepared(b"new!", 1, [], 0)])
        assert notes["bytes"] == 4
        with pytest.raises(InterruptedConversionError):
            earlier.write("shard", [part])
        assert unfinished.files.finished("shard") == notes
        unfinished.publish()
    assert contents(tmp_path / "records") == {"shard": b"new!"}
    assert list(tmp_path.iterdir()) == [tmp_path / "records"]


def test_two_that_write_the_same_shard(tmp_path):
    with UnfinishedRecords(tmp_path / "records") as unfinished:
        unfinished.resume("plan")
        files = unfinished.files

        def parts():
            yield Prepared(b"one", 1, [], 0)
            files.write("shard", [Prepared(b"one", 1, [], 0)])

        files.write("shard", parts())
        unfinished.publish()
    assert contents(tmp_path / "records") == {"shard": b"one"}
    assert list(tmp_path.iterdir()) == [tmp_path / "records"]


def fails(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        convert.main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--runner", "Nope"], "--runner Nope: no such runner; choose one of"),
        (["--runner", "Nope"], " DirectRunner, "),
        (["--runner", "Nope"], " FlinkRunner, "),
        (["--runner", "no.such.Runner"], "No module named 'no'"),
        (
            ["--runner", "DirectRunner", "--color", "red"],
            "--color red: no such flag, here or in Beam",
        ),
        (
            ["--runner", "DirectRunner", "--direct_num_workers", "many"],
            "--direct_num_workers: invalid int value: 'many'",
        ),
        (
            ["--runner", "DirectRunner", "--workers", "2"],
            "--workers 2: is not for --runner; DirectRunner takes "
            "--direct_num_workers N",
        ),
        (
            ["--direct_num_workers", "2"],
            "unrecognized arguments: --direct_num_workers 2; see afn-convert",
        ),
    ],
)
def test_flags_that_do_not_fit(flags, expected, benchmark, tmp_path, capsys):
    message = fails([benchmark, tmp_path / "records", *flags], capsys)
    assert expected in message
    assert list(tmp_path.iterdir()) == [benchmark]


def test_without_beam(benchmark, tmp_path, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("apache_b")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    arguments = [benchmark, tmp_path / "records", "--runner", "FlinkRunner"]
    message = fails(arguments, capsys)
    assert message.startswith("afn-convert: --runner FlinkRunner: needs Apache")
    assert message.endswith("; pip install 'afn-keras[beam]'")


def test_a_machine_with_other_packages_or_folders(data, tmp_path):
    from pipelines.annotations import SPLITS
    from pipelines.readers.detect import read_annotations
    from pipelines.records.convert_with_beam import write_one
    from pipelines.records.manifest import versions
    from pipelines.records.shard_plan import plan_shards
    from pipelines.records.shard_plan import save_rows
    from pipelines.records.shard_plan import stamp_images

    annotations = read_annotations(data)
    sizes = stamp_images(annotations, SPLITS)[:, 0]
    shard = plan_shards(annotations, sizes, SPLITS)[0]
    with UnfinishedRecords(tmp_path / "records") as unfinished:
        unfinished.resume("plan")
        files = unfinished.files
        with pytest.raises(InputError, match="does not see the folder beside"):
            write_one(files, ImageStore(data), versions(), shard.name)
        save_rows(files, annotations, shard)
        # A folder of that name exists, like a mount point.
        with pytest.raises(InputError, match=r"does not see \d+.jpg in it"):
            write_one(files, ImageStore(tmp_path), versions(), shard.name)
        store, other = ImageStore(data), {"pillow": "1.0"}
        with pytest.raises(InputError, match="has other packages than"):
            write_one(files, store, other, shard.name)
        assert unfinished.files.finished(shard.name) is None
