"""Tests that pipes and devices among data are listed or refused."""

import csv
import os
import shutil

import pytest

from pipelines.errors import InputError
from pipelines.readers.detect import read_annotations
from pipelines.records.convert import write_records


@pytest.mark.parametrize(
    "name", ["Anno/list_bbox.txt", "labels.csv", "annotations/train.json"]
)
def test_annotations_that_are_a_pipe(benchmark, name):
    if not name.startswith("Anno/"):
        shutil.rmtree(benchmark / "Anno")
    path = benchmark / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    for data in (benchmark, path):
        if name.startswith("Anno/") and data == path:
            continue
        with pytest.raises(InputError) as error:
            read_annotations(data)
        assert str(error.value) == f"{path}: is a pipe; name a file"


def test_a_pipe_among_the_images_is_listed(benchmark, tmp_path):
    annotations = read_annotations(benchmark)
    image = annotations.table["image"].iat[2]
    (benchmark / image).unlink()
    os.mkfifo(benchmark / image)
    records = write_records(annotations, tmp_path / "records")
    assert sum(records.images.values()) == 11
    with (records.folder / "problems.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["image"], row["kind"]) == (image, "not a file")
    assert (row["detail"], row["action"]) == ("it is a pipe", "left out")


def test_a_device_is_no_data_set():
    with pytest.raises(InputError, match="/dev/zero: is a device; name a file"):
        read_annotations("/dev/zero")
