"""Tests that folders are written atomically, and never deleted."""

import os
import shutil

import numpy as np
import pytest

from afn_keras.drawing.sheets import save_sheet
from afn_keras.runs import new_run
from pipelines.errors import InputError
from pipelines.folders import fresh_folder
from pipelines.readers.detect import read_annotations
from pipelines.records.convert import write_records
from pipelines.records.manifest import load_records
from pipelines.records.shard_writer import UnfinishedRecords


def test_a_folder_is_written_atomically(tmp_path):
    with fresh_folder(tmp_path / "a" / "new") as aside:
        (aside / "file").write_text("text")
        assert not (tmp_path / "a" / "new").exists()
    assert (tmp_path / "a" / "new" / "file").read_text() == "text"

    def interrupted():
        with fresh_folder(tmp_path / "b") as aside:
            (aside / "file").write_text("text")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    with (
        pytest.raises(InputError, match="exists already"),
        fresh_folder(tmp_path / "a"),
    ):
        pass
    (tmp_path / "file").write_text("text")
    with (
        pytest.raises(InputError, match="cannot be written"),
        fresh_folder(tmp_path / "file" / "below"),
    ):
        pass


@pytest.fixture
def existing(tmp_path):
    """Makes an empty folder with mode 700, and returns its inode, too."""
    folder = tmp_path / "out"
    folder.mkdir(mode=0o700)
    return folder, identity(folder)


def identity(folder):
    status = os.stat(folder)
    return status.st_ino, status.st_mode


def write_something(aside, error=None, beside=None):
    (aside / "part").mkdir()
    (aside / "part" / "file").write_text("text")
    (aside / "last").write_text("all is there")
    if beside:
        beside.write_text("text")
    if error:
        raise error


def test_an_empty_folder_is_filled(existing, tmp_path):
    folder, before = existing
    (tmp_path / "link").symlink_to(folder)
    with fresh_folder(tmp_path / "link") as aside:
        write_something(aside)
    assert identity(folder) == before
    assert (folder / "part" / "file").read_text() == "text"
    assert sorted(path.name for path in folder.iterdir()) == ["last", "part"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_empty_folder_stays_where_writing_fails(existing, tmp_path, error):
    folder, before = existing
    with pytest.raises(error), fresh_folder(folder) as aside:
        write_something(aside, error)
    assert identity(folder) == before
    assert [*folder.iterdir()] == []
    assert [*tmp_path.iterdir()] == [folder]


def test_an_empty_folder_stays_where_the_move_fails(existing, monkeypatch):
    folder, before = existing
    move = shutil.move

    def interrupted(source, target):
        if source.name == "last":
            raise KeyboardInterrupt
        return move(source, target)

    monkeypatch.setattr(shutil, "move", interrupted)
    with pytest.raises(KeyboardInterrupt), fresh_folder(folder) as aside:
        write_something(aside)
    assert identity(folder) == before
    assert [*folder.iterdir()] == []


def test_files_that_others_add_meanwhile_stay(existing):
    folder, _ = existing
    with (
        pytest.raises(OSError, match="not empty"),
        fresh_folder(folder) as aside,
    ):
        write_something(aside, beside=folder / "theirs")
    assert [path.name for path in folder.iterdir()] == ["theirs"]


def test_a_link_that_leads_nowhere_is_in_the_way(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "none")
    with (
        pytest.raises(InputError, match="link: exists already"),
        fresh_folder(tmp_path / "link"),
    ):
        pass


def test_records_in_a_folder_that_existed(existing, hand_written):
    folder, before = existing
    annotations = read_annotations(hand_written)
    write_records(annotations, folder)
    assert identity(folder) == before
    assert sum(load_records(folder).images.values()) == 12
    assert not folder.with_name("out.partial").exists()


def test_records_that_cannot_be_made_leave_the_folder(existing, benchmark):
    folder, before = existing
    annotations = read_annotations(benchmark)
    shutil.rmtree(benchmark / "img")
    with pytest.raises(InputError, match="can be used"):
        write_records(annotations, folder)
    assert identity(folder) == before


def test_a_folder_with_a_lock_may_be_of_others(tmp_path):
    theirs = tmp_path / "out.partial"
    theirs.mkdir()
    (theirs / "lock").touch()
    (theirs / "thesis.txt").write_text("do not touch")
    with (
        pytest.raises(InputError, match="holds something else; move it away"),
        UnfinishedRecords(tmp_path / "out"),
    ):
        pass
    assert (theirs / "thesis.txt").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError])
def test_a_run_without_a_network(existing, tmp_path, error):
    folder, before = existing
    for output in (folder, tmp_path / "runs" / "new"):
        with pytest.raises(error), new_run(output) as run:
            write_something(run, error)
    assert identity(folder) == before
    assert [*folder.iterdir()] == []
    assert not (tmp_path / "runs" / "new").exists()


def test_a_link_where_a_sheet_should_be_stays(tmp_path):
    (tmp_path / "sheet.png").symlink_to(tmp_path / "none" / "sheet.png")
    with pytest.raises(InputError, match="--draw .* cannot be written"):
        save_sheet(np.zeros((4, 4, 3), np.uint8), tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").is_symlink()
