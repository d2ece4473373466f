"""Tests afn-predict --runner with jobs of Beam on this machine."""

import contextlib
import glob
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import apache_beam as beam
import pandas as pd
import pytest
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.filesystem import FileSystem
from apache_beam.ml.inference.base import RunInference
from conftest import ROOT
from conftest import write_image
from filelock import FileLock

from afn_keras.commands import predict
from exports.catalog.model import SavedModelHandler
from exports.catalog.names import ReadNames
from exports.catalog.names import gather_names

TWO = ("--runner", "DirectRunner", "--direct_num_workers=2")
ONE = ("--runner", "DirectRunner")
# As a user has it, without what the tests set.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name != "TF_CPP_MIN_LOG_LEVEL"
}
ENVIRONMENT["PYTHONPATH"] = str(ROOT)


class InMemory(FileSystem):
    """Stands where a bucket would: no folders, and whole files alone."""

    files: dict[str, bytes] = {}  # noqa: RUF012
    reads: dict[str, int] = {}  # noqa: RUF012
    troubled: set[str] = set()  # noqa: RUF012

    @classmethod
    def scheme(cls):
        return "memory"

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path):
        head, _, tail = path.rpartition("/")
        return head, tail

    def mkdirs(self, path):
        pass

    def has_dirs(self):
        return False

    def _list(self, dir_or_prefix):
        for path, content in sorted(self.files.items()):
            if path.startswith(dir_or_prefix):
                yield FileMetadata(path, len(content), 0.0)

    def create(self, path, mime_type="", compression_type="auto"):
        file = io.BytesIO()
        close = file.close

        def keep():
            if not file.closed:
                self.files[path] = file.getvalue()
            close()

        file.close = keep
        return file

    def open(self, path, mime_type="", compression_type="auto"):
        self.reads[path] = self.reads.get(path, 0) + 1
        if path in self.troubled:
            self.troubled.remove(path)
            raise ConnectionError("the line is noisy")
        if path not in self.files:
            raise BeamIOError(f"404 for {path}")
        return io.BytesIO(self.files[path])

    def copy(self, source_file_names, destination_file_names):
        raise NotImplementedError

    def rename(self, source_file_names, destination_file_names):
        for old, new in zip(
            source_file_names, destination_file_names, strict=True
        ):
            self.files[new] = self.files.pop(old)

    def exists(self, path):
        return path in self.files

    def size(self, path):
        return len(self.files[path])

    def last_updated(self, path):
        return 0.0

    def metadata(self, path):
        return FileMetadata(path, self.size(path), 0.0)

    def delete(self, paths):
        for path in paths:
            self.files.pop(path, None)


@pytest.fixture
def bucket():
    InMemory.files.clear()
    InMemory.reads.clear()
    InMemory.troubled.clear()
    return InMemory.files


@pytest.fixture(scope="module")
def saved(run):
    return run / "exports" / "saved_model"


@pytest.fixture
def images(run, tmp_path):
    """Writes seven images of two sizes and four invalid files."""
    folder = tmp_path / "shop"
    samples = sorted((run / "samples").glob("*.jpg"))
    for number in range(5):
        path = folder / f"deep/{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(samples[number % len(samples)].read_bytes())
    write_image(folder / "wide.png", 90, 50, (10, 200, 30))
    write_image(folder / "with blank.jpg", 50, 50)
    (folder / "notes.jpg").write_text("no image at all")
    (folder / "empty.jpg").touch()
    (folder / "half.jpg").write_bytes(samples[0].read_bytes()[:-200])
    header = bytearray(samples[0].read_bytes())
    start = header.index(b"\xff\xc0") + 5
    header[start : start + 4] = b"\xff\xff\xff\xff"
    (folder / "large.jpg").write_bytes(bytes(header))
    return folder


def shell(*arguments, **options):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "afn_keras.commands.predict"),
            *map(str, arguments),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        **options,
    )


def lines(folder, name):
    return [
        json.loads(line)
        for path in sorted(glob.glob(f"{folder}/{name}-*.jsonl"))
        for line in Path(path).read_text().splitlines()
    ]


def by_name(answers):
    assert len({str(answer["image"]) for answer in answers}) == (len(answers))
    return {answer["image"]: answer for answer in answers}


def here(arguments, capsys):
    """Returns the predictions of afn-predict, and why it skips others."""
    capsys.readouterr()
    predict.main([*map(str, arguments), "--json"])
    out, errors = capsys.readouterr()
    skipped = [
        line.removeprefix("skipped: ")
        for line in errors.splitlines()
        if line.startswith("skipped: ")
    ]
    return [json.loads(line) for line in out.splitlines()], sorted(skipped)


def assert_same(one, other):
    assert list(one) == list(other)
    for key in ("image", "size", "box"):
        assert one[key] == other[key]
    for name, (x, y, score) in other["landmarks"].items():
        assert one["landmarks"][name][:2] == pytest.approx([x, y], abs=1e-4)
        assert one["landmarks"][name][2] == pytest.approx(score, abs=1e-5)
    for task in ("categories", "attributes"):
        assert dict(one[task]) == pytest.approx(dict(other[task]), abs=1e-5)


def test_two_processes_answer_as_one_without_beam(
    saved, images, tmp_path, capsys, monkeypatch
):
    # A name that is not there, one twice, and one relative to where it runs.
    names = ["shop", "none.jpg", "shop/wide.png"]
    process = shell(*(saved, *names, *TWO, "--output", "out"), cwd=tmp_path)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert out == ""
    assert errors == "skipped 5 of 13; see out/failed-* for the reasons\n"
    monkeypatch.chdir(tmp_path)
    answers, skipped = here([saved, *names], capsys)
    found = lines(tmp_path / "out", "predictions")
    assert len(answers) == len(found) == 8
    order = [answer["image"] for answer in answers]
    for one, other in zip(
        sorted(found, key=lambda item: item["image"]),
        sorted(answers, key=lambda item: item["image"]),
        strict=True,
    ):
        assert_same(one, other)
    failed = lines(tmp_path / "out", "failed")
    assert sorted(item["reason"] for item in failed) == skipped
    assert {item["image"] for item in failed} == {
        *("none.jpg", "shop/notes.jpg", "shop/empty.jpg", "shop/half.jpg"),
        "shop/large.jpg",
    }
    assert order.count("shop/wide.png") == 2
    # Both worked, and nothing of the job is left.
    assert sorted(os.listdir(tmp_path / "out")) == [
        *("failed-00000-of-00002.jsonl", "failed-00001-of-00002.jsonl"),
        "finished.json",
        *(f"predictions-0000{i}-of-00002.jsonl" for i in (0, 1)),
    ]
    finished = json.loads((tmp_path / "out" / "finished.json").read_text())
    assert (finished["predictions"], finished["failed"]) == (8, 5)


def test_lists_tables_and_boxes(saved, images, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("shop/wide.png\n\nshop/none.jpg\n")
    table = images / "table.csv"
    table.write_text(
        "image,x1,y1,x2,y2\n"
        "wide.png,10,5,60,45\n"
        "deep/1.jpg,,,,\n"
        "deep/2.jpg,70,0,80,80\n"
        "deep/2.jpg,0,0,x,80\n"
    )
    names = ["list.txt", "shop/table.csv", "shop/deep/[3].*", "-"]
    names += ["--box", "0", "0", "40", "40"]
    output = tmp_path / "out"
    monkeypatch.setattr("sys.stdin", io.StringIO("shop/deep/4.jpg\n"))
    predict.main([str(saved), *names, *ONE, "--output", "out"])
    monkeypatch.setattr("sys.stdin", io.StringIO("shop/deep/4.jpg\n"))
    answers, skipped = here([saved, *names], capsys)
    found = lines(output, "predictions")

    def key(answer):
        return answer["image"], answer["box"]

    assert sorted(map(key, found)) == [
        ("shop/deep/1.jpg", [0, 0, 40, 40]),
        ("shop/deep/3.jpg", [0, 0, 40, 40]),
        ("shop/deep/4.jpg", [0, 0, 40, 40]),
        ("shop/wide.png", [0, 0, 40, 40]),
        ("shop/wide.png", [10, 5, 60, 45]),
    ]
    for one, other in zip(
        sorted(found, key=key), sorted(answers, key=key), strict=True
    ):
        assert_same(one, other)
    failed = lines(output, "failed")
    assert sorted(item["reason"] for item in failed) == skipped
    assert len(skipped) == 3
    # Failures are a list of images to retry, with their boxes.
    write_image(images / "none.jpg")
    again = "out/failed-*.jsonl"
    rows = by_name([f for f in failed if f["image"]])
    assert rows["shop/deep/2.jpg"]["box"] == [70, 0, 80, 80]
    predict.main([str(saved), again, *ONE, "--output", "again"])
    assert [key(item) for item in lines("again", "predictions")] == (
        [("shop/none.jpg", [0, 0, 40, 40])]
    )
    assert len(lines("again", "failed")) == 2


def test_parquet_says_what_json_says(saved, images, tmp_path):
    for form in ("--json", "--parquet"):
        predict.main(
            [
                *(str(saved), str(images), *ONE, form),
                *("--output", str(tmp_path / form)),
            ]
        )
    answers = by_name(lines(tmp_path / "--json", "predictions"))
    table = pd.read_parquet(glob.glob(f"{tmp_path}/--parquet/*.parquet"))
    assert list(table.columns) == (
        ["image", "width", "height", "box", "landmarks", "categories"]
        + ["attributes"]
    )
    assert set(table["image"]) == set(answers)
    assert len(table) == len(answers) == 7
    for row in table.to_dict("records"):
        answer = answers[row["image"]]
        assert [row["width"], row["height"]] == answer["size"]
        assert [row["box"][c] for c in ("x1", "y1", "x2", "y2")] == (
            answer["box"]
        )
        assert {
            point["name"]: [point["x"], point["y"], point["score"]]
            for point in row["landmarks"]
        } == {
            name: pytest.approx(place, abs=1e-4)
            for name, place in answer["landmarks"].items()
        }
        for task in ("categories", "attributes"):
            assert {item["name"]: item["score"] for item in row[task]} == (
                pytest.approx(dict(answer[task]), abs=1e-5)
            )
    assert not glob.glob(f"{tmp_path}/--parquet/predictions-*.jsonl")
    assert len(lines(tmp_path / "--parquet", "failed")) == 4


def test_another_file_system(
    saved, images, tmp_path, bucket, capsys, monkeypatch
):
    """Everything is there: network, images, lists, tables, predictions."""
    for path in sorted(saved.rglob("*")):
        if path.is_file():
            name = path.relative_to(saved).as_posix()
            bucket[f"memory://b/model/{name}"] = path.read_bytes()
    for path in images.rglob("*.*"):
        name = path.relative_to(images).as_posix()
        bucket[f"memory://b/shop/{name}"] = path.read_bytes()
    bucket["memory://b/shop/readme.txt"] = b"no image"
    bucket["memory://b/list.txt"] = b"memory://b/shop/wide.png\r\n"
    bucket["memory://b/table.csv"] = (
        b"image,x1,y1,x2,y2\nshop/wide.png,1,2,30,40\nshop/no.jpg,,,,\n"
    )
    monkeypatch.setattr("pipelines.beam.files._PAUSES", (0.01, 0.01))
    InMemory.troubled.add("memory://b/shop/deep/2.jpg")
    names = ["memory://b/shop/**.jpg", "memory://b/list.txt"]
    names += ["memory://b/table.csv", str(images / "wide.png")]
    output = "memory://b/out"
    predict.main(["memory://b/model", *names, *ONE, "--output", output])
    written = {
        name.removeprefix(f"{output}/"): content
        for name, content in bucket.items()
        if name.startswith(f"{output}/")
    }
    assert sorted(written) == [
        "failed-00000-of-00001.jsonl",
        "finished.json",
        "predictions-00000-of-00001.jsonl",
    ]
    found = map(
        json.loads, written["predictions-00000-of-00001.jsonl"].splitlines()
    )
    found = {(item["image"], tuple(item["box"])): item for item in found}
    whole = (0, 0, 90, 50)
    assert set(found) == {
        *((f"memory://b/shop/deep/{i}.jpg", (0, 0, 60, 80)) for i in range(5)),
        ("memory://b/shop/with blank.jpg", (0, 0, 50, 50)),
        ("memory://b/shop/wide.png", whole),
        ("memory://b/shop/wide.png", (1, 2, 30, 40)),
        (str(images / "wide.png"), whole),
    }
    failed = written["failed-00000-of-00001.jsonl"].splitlines()
    reasons = by_name(list(map(json.loads, failed)))
    assert len(reasons) == 5
    assert reasons["memory://b/shop/no.jpg"]["reason"].startswith(
        "memory://b/shop/no.jpg: cannot be read (404 for memory://b/shop/no.jpg"
    )
    # Missing files are not retried, temporary failures are.
    assert InMemory.reads["memory://b/shop/no.jpg"] == 1
    assert InMemory.reads["memory://b/shop/deep/2.jpg"] == 2
    answers, _ = here([saved, images / "wide.png"], capsys)
    assert_same(found[str(images / "wide.png"), whole], *answers)
    # It is finished; a network of this machine is lent to workers elsewhere.
    message = fails(
        [str(saved), *names, *ONE, "--output", f"{output}/"], capsys
    )
    assert f"--output {output}: is finished already" in message
    predict.main(
        [
            *(str(saved), "memory://b/shop/", *ONE),
            *("--output", "memory://b/new/"),
        ]
    )
    left = [name for name in bucket if name.startswith("memory://b/new/")]
    assert len(left) == 3
    counts = json.loads(bucket["memory://b/new/finished.json"])
    assert (counts["predictions"], counts["failed"]) == (7, 4)


def fails(arguments, capsys):
    """Runs the command, which fails; returns its one line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        predict.main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1, message
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MODEL", "PHOTO", *ONE], "needs --output, a folder or URL"),
        (
            ["MODEL", "PHOTO", *ONE, "--output", "out", "--draw", "d"],
            "--draw: not with --runner",
        ),
        (
            ["MODEL", "PHOTO", *ONE, "--output", "out", "--coco"],
            "--coco: not with --runner",
        ),
        (["MODEL", "PHOTO", "--parquet"], "--parquet: needs --runner"),
        (
            ["MODEL", "PHOTO", "--runner", "Moon", "--output", "out"],
            "--runner Moon: no such runner",
        ),
        (
            ["MODEL", "PHOTO", *ONE, "--output", "out", "--moon=1"],
            "--moon=1: no such flag",
        ),
        (
            ["RUN/model.keras", "PHOTO", *ONE, "--output", "out"],
            "afn-export RUN --formats saved_model writes one",
        ),
        (["none", "PHOTO", *ONE, "--output", "out"], "none: no such run"),
        (
            ["MODEL", "PHOTO", *ONE, "--output", "RUN"],
            "contains other files",
        ),
        (
            ["MODEL", "PHOTO", *ONE, "--output", "o[1]"],
            "may not contain any of",
        ),
        (["MODEL", "PHOTO", *ONE, "--output", "PHOTO"], "cannot be written"),
        (
            ["MODEL", "PHOTO", *ONE, "--output", "moon://out"],
            "moon://out: Beam has no such file system",
        ),
        (
            ["moon://model", "PHOTO", *ONE, "--output", "out"],
            "moon://model: Beam has no such file system",
        ),
        (
            ["MODEL", "none*.jpg", *ONE, "--output", "out"],
            "none*.jpg: no file matches this pattern",
        ),
        (
            ["MODEL", "none.txt", *ONE, "--output", "out"],
            "none.txt: there is no such list",
        ),
        (
            ["MODEL", "memory://b/*.jpg", *ONE, "--output", "out"],
            "memory://b/*.jpg: no file matches this",
        ),
        (
            ["MODEL", "memory://b/none.csv", *ONE, "--output", "out"],
            "memory://b/none.csv: cannot be read (404",
        ),
        (
            ["MODEL", "none.jpg", *ONE, "--output", "out"],
            "none of 1 images can be used; ",
        ),
    ],
)
def test_one_line_says_what_is_wrong(
    run, saved, bucket, tmp_path, capsys, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    stand = {
        "MODEL": saved,
        "RUN": run,
        "RUN/model.keras": run / "model.keras",
        "PHOTO": run / "samples" / "00.jpg",
    }
    arguments = [stand.get(item, item) for item in arguments]
    assert message in fails(arguments, capsys)


def test_two_jobs_do_not_write_one_folder(saved, run, tmp_path, capsys):
    folder = tmp_path / "out" / "unfinished"
    folder.mkdir(parents=True)
    with FileLock(folder / "lock"):
        message = fails(
            [saved, run / "samples", *ONE, "--output", tmp_path / "out"], capsys
        )
    assert "is being written by another process" in message


def test_names_are_not_in_the_graph(saved, tmp_path):
    """A job's description has a limit, 20 MB for some."""
    sizes = []
    for count in (10, 20_000):
        path = tmp_path / "list.txt"
        path.write_text("".join(f"photo-{i}.jpg\n" for i in range(count)))
        folder = tmp_path / "photos"
        folder.mkdir(exist_ok=True)
        for number in range(count // 100):
            (folder / f"{number}.jpg").touch()
        (folder / "0.jpg").touch()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            asked = gather_names(
                [str(path), "photos"],
                [],
                str(tmp_path),
                str(tmp_path / "spool.jsonl"),
            )
            pipeline = beam.Pipeline()
            handler = SavedModelHandler(str(saved), str(tmp_path), None, 1)
            _ = pipeline | ReadNames(asked) | RunInference(handler)
            sizes.append(pipeline.to_runner_api().ByteSize())
    assert sizes[0] == pytest.approx(sizes[1], abs=100)
    assert sizes[1] < 100_000


def test_a_network_that_does_not_open(saved, run, tmp_path, capsys):
    folder = tmp_path / "model"
    (folder / "assets.extra").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"half a network")
    labels = (run / "vocabulary.json").read_text()
    (folder / "assets.extra" / "vocabulary.json").write_text(labels)
    output = tmp_path / "out"
    arguments = [run / "samples", *ONE, "--output", output]
    assert "not a valid SavedModel from afn-export" in (
        fails([folder, *arguments], capsys)
    )
    # What it left is no hindrance.
    predict.main([str(saved), *map(str, arguments)])
    assert (output / "finished.json").exists()


@pytest.mark.slow
def test_workers_that_were_started_elsewhere(
    saved, images, tmp_path, monkeypatch
):
    """Through Beam's job server, as with Flink: all travels as messages."""
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as server:
            ports.append(server.getsockname()[1])
    folder = Path(sys.executable).parent
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    servers = [
        subprocess.Popen(
            [sys.executable, "-m", f"apache_beam.runners.{module}", flag, port],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Paths are relative to where the command runs all the same.
            cwd="/",
            env={**ENVIRONMENT, "PATH": path},
        )
        for module, flag, port in (
            ("portability.local_job_service_main", "--port", str(ports[0])),
            ("worker.worker_pool_main", "--service_port", str(ports[1])),
        )
    ]
    try:
        for port in ports:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                time.sleep(0.1)
        process = shell(
            *(saved, "shop", "none.jpg", "--output", "out", "--parquet"),
            *("--runner", "PortableRunner", "--environment_type=EXTERNAL"),
            f"--job_endpoint=localhost:{ports[0]}",
            f"--environment_config=localhost:{ports[1]}",
            cwd=tmp_path,
        )
        _, errors = process.communicate(timeout=240)
    finally:
        for server in servers:
            server.terminate()
            server.wait()
    assert process.returncode == 0, errors
    assert errors == "skipped 5 of 12; see out/failed-* for the reasons\n"
    monkeypatch.chdir(tmp_path)
    table = pd.read_parquet(glob.glob("out/predictions-*.parquet"))
    assert len(table) == 7
    assert "shop/wide.png" in set(table["image"])


def children(pid):
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def begun(process, output):
    """Waits until a job writes predictions; returns its workers."""
    for _ in range(1200):
        if glob.glob(f"{output}/beam-temp-predictions-*/*"):
            return children(process.pid)
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(process.communicate())


def test_killed_and_run_again(saved, run, tmp_path):
    """A worker with -9, then the job itself, then neither."""
    samples = sorted((run / "samples").glob("*.jpg"))
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(2000):
        os.link(samples[number % 2], folder / f"{number}.jpg")
    output = tmp_path / "out"
    job = (saved, folder, *TWO, "--output", output)

    process = shell(*job)
    workers = begun(process, output)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    start = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - start < 60
    assert process.returncode == 2
    assert errors.count("\n") == 1
    assert "a worker was killed" in errors
    assert not (output / "finished.json").exists()

    process = shell(*job)
    workers = begun(process, output)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert not (output / "finished.json").exists()

    process = shell(*job)
    # Those of the killed job are gone before long.
    for _ in range(200):
        if not any(Path(f"/proc/{pid}").exists() for pid in workers):
            break
        time.sleep(0.05)
    else:
        raise AssertionError("workers outlive their job")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert errors == ""
    answers = by_name(lines(output, "predictions"))
    assert set(answers) == {str(path) for path in folder.iterdir()}
    assert not lines(output, "failed")
    assert not glob.glob(f"{output}/beam-temp*")
    assert not (output / "unfinished").exists()
