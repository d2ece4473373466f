"""Converts in real processes, kills them, and fills the disk."""

import contextlib
import os
import signal
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

# Shards of 20 images, with a pause before each, so that there is time to kill
# it halfway on any machine.
SCRIPT = """
import resource
import sys
import time

from afn_keras.commands.convert import main
from pipelines.records import convert
from pipelines.records import shard_plan
from pipelines.records.shard_writer import ShardFiles

finished = ShardFiles.finished


def finished_or_pause(self, name):
    notes = finished(self, name)
    if notes is None:
        time.sleep(0.1)
    return notes


if __name__ == "__main__":
    ShardFiles.finished = finished_or_pause
    shard_plan.SHARD_BYTES = 2_400_000
    shard_plan._TASK_ROWS = 4
    convert._ROWS_A_WORKER = 10
    if sys.argv[1] != "unlimited":
        limit = int(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    main(sys.argv[2:])
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Writes 300 images of a megapixel, a few of them truncated."""
    folder = tmp_path_factory.mktemp("conversion") / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = ["image,split,x1,y1,x2,y2"]
    for i in range(300):
        if i % 20 == 0:
            coarse = rng.integers(0, 256, (50, 50, 3), np.uint8)
            pixels = cv2.resize(coarse, (1000, 1000))
            _, jpeg = cv2.imencode(".jpg", pixels)
            jpeg = jpeg.tobytes()
        content = jpeg[: 9000 if i % 50 == 7 else None]
        (folder / f"{i:03d}.jpg").write_bytes(content)
        split = ["train", "train", "train", "test"][i % 4]
        rows.append(f"{i:03d}.jpg,{split},0,0,{990 + i % 20},500")
    (folder / "labels.csv").write_text("\n".join([*rows, ""]))
    return folder


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("conversion") / "script.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture(scope="module")
def undisturbed(script, data, tmp_path_factory):
    """Returns the files of records that one process made, by name."""
    output = tmp_path_factory.mktemp("conversion") / "records"
    code, errors = finish(start(script, data, output, "--workers", "1"))
    assert code == 0, errors
    records = contents(output)
    assert len(records) > 10
    # 7, 57, ..., 257; and boxes of 9 in 20 end beyond 1000, but those of 57,
    # 157 and 257 have no image.
    assert records["problems.csv"].count(b"image truncated") == 6
    assert records["problems.csv"].count(b"box beyond the image") == 132
    return records


def start(script, data, output, *options, limit="unlimited"):
    return subprocess.Popen(
        [sys.executable, script, limit, data, output, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_shards(process, output, count):
    """Waits until `count` shards are finished."""
    shards = Path(f"{output}.partial") / "records"
    while process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            if len(os.listdir(shards)) >= count:
                return
        time.sleep(0.002)
    raise AssertionError(f"ended before: {finish(process)}")


def workers_of(process):
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [
        int(child)
        for child in children.read_text().split()
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def test_bytes_do_not_depend_on_the_workers(
    script, data, undisturbed, tmp_path
):
    for workers in ("2", "3"):
        output = tmp_path / workers
        code, errors = finish(start(script, data, output, "--workers", workers))
        assert (code, errors) == (0, [])
        assert contents(output) == undisturbed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes")
def test_killed_again_and_again(script, data, undisturbed, tmp_path):
    output = tmp_path / "records"

    def begin(shards):
        process = start(script, data, output, "--workers", "2")
        wait_for_shards(process, output, shards)
        return process, workers_of(process)

    # The main process, as soon as it started, and later.
    for shards in (0, 2):
        process, workers = begin(shards)
        assert len(workers) == 2 or not shards
        process.kill()
        finish(process)
        assert not output.exists()
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{worker}").exists() for worker in workers):
            assert time.monotonic() < deadline, "a worker outlived its parent"
            time.sleep(0.01)

    # A worker, as the system kills it when memory runs out.
    process, workers = begin(4)
    os.kill(workers[0], signal.SIGKILL)
    code, errors = finish(process)
    assert code == 2
    assert errors[0].startswith("resuming with ")
    assert errors[1:] == [
        f"afn-convert: {data}: a process that converts was killed, perhaps "
        "for memory; run it again to resume"
    ]

    # Ctrl-C in a terminal reaches all processes.
    process, _ = begin(6)
    os.killpg(process.pid, signal.SIGINT)
    code, errors = finish(process)
    assert code == 130
    assert errors[1:] == ["afn-convert: interrupted"]

    # No space for another shard; finished ones are kept.
    assert not output.exists()
    code, errors = finish(start(script, data, output, limit="1000000"))
    assert code == 2
    assert errors[1:] == [
        f"afn-convert: {output}: cannot be written (File too large); make "
        "room or choose another folder, then run it again"
    ]

    code, errors = finish(start(script, data, output))
    assert code == 0
    assert contents(output) == undisturbed
    assert list(tmp_path.iterdir()) == [output]


def test_other_input_than_before_starts_over(
    script, data, undisturbed, tmp_path
):
    labels = data / "labels.csv"
    before = labels.read_text()
    output = tmp_path / "records"
    try:
        labels.write_text(before.replace("000.jpg,train", "000.jpg,test"))
        process = start(script, data, output)
        wait_for_shards(process, output, 2)
        process.kill()
        finish(process)
    finally:
        labels.write_text(before)
    code, errors = finish(start(script, data, output))
    assert (code, errors) == (
        0,
        [
            "data or options changed since the run that was interrupted; "
            "starting over"
        ],
    )
    assert contents(output) == undisturbed


def test_two_at_once(script, data, undisturbed, tmp_path):
    output = tmp_path / "records"
    process = start(script, data, output)
    wait_for_shards(process, output, 1)
    code, errors = finish(start(script, data, output))
    assert (code, errors) == (
        2,
        [
            f"afn-convert: {output}: is just being written by another "
            "process; wait for it, or choose another folder"
        ],
    )
    assert finish(process) == (0, [])
    assert contents(output) == undisturbed


def fails(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        convert.main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    return capsys.readouterr().err.replace("\r", "\n").splitlines()[-1]


def test_strict_stops_at_the_first_problem(benchmark, tmp_path, capsys):
    output = tmp_path / "records"
    for i in (5, 11):
        (benchmark / f"img/a_b/{i:03d}.jpg").write_bytes(b"")
    message = fails([benchmark, output, "--strict"], capsys)
    assert message == (
        f"afn-convert: {benchmark}/Eval/list_eval_partition.txt, line 8: "
        "img/a_b/005.jpg: image empty (the file has no bytes); "
        "without --strict: left out"
    )
    assert list(tmp_path.iterdir()) == [benchmark]


def test_problems_are_counted_by_kind(benchmark, tmp_path, capsys):
    for i in (0, 1, 5):
        (benchmark / f"img/a_b/{i:03d}.jpg").write_bytes(b"")
    (benchmark / "img/a_b/002.jpg").write_bytes(b"hello")
    convert.main([str(benchmark), str(tmp_path / "records")])
    assert capsys.readouterr().out == (
        "train: 5 images\n"
        "val: 2 images\n"
        "test: 1 images\n"
        "\n"
        "  number  problem       action\n"
        "--------  ------------  --------\n"
        "       3  image empty   left out\n"
        "       1  not an image  left out\n"
        "\n"
        f"Each is listed in {tmp_path}/records/problems.csv\n"
    )


def test_workers_are_at_least_one(benchmark, tmp_path, capsys):
    message = fails([benchmark, tmp_path / "out", "--workers", "0"], capsys)
    assert message == "afn-convert: --workers 0: choose 1 or more"


def test_a_partial_folder_of_others(benchmark, tmp_path, capsys):
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "thesis.txt").write_text("do not touch")
    message = fails([benchmark, tmp_path / "out"], capsys)
    assert message == (
        f"afn-convert: {tmp_path}/out.partial: is needed for unfinished "
        "records, but holds something else; move it away"
    )
    assert (tmp_path / "out.partial" / "thesis.txt").exists()


def test_an_output_that_cannot_be_made(benchmark, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    output = tmp_path / "file" / "records"
    message = fails([benchmark, output], capsys)
    assert message == (
        f"afn-convert: {output}: cannot be written (Not a directory); make "
        "room or choose another folder, then run it again"
    )


def test_images_behind_a_link(benchmark, tmp_path, capsys):
    (benchmark / "img").rename(tmp_path / "disk")
    (benchmark / "img").symlink_to(tmp_path / "disk")
    records = tmp_path / "records"
    message = fails([benchmark, records], capsys)
    assert message == (
        f"afn-convert: {benchmark}: no image of the split train can be used; "
        "the first is img/a_b/000.jpg: path leaves the folder (a link leads "
        f"to {tmp_path}/disk/a_b/000.jpg; afn-convert --follow-links reads it)"
    )
    convert.main([str(benchmark), str(records), "--follow-links"])
    assert "test: 2 images\nno problems\n" in capsys.readouterr().out
