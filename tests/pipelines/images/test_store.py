import os
import pickle
import random
import socket
import zipfile
from pathlib import Path

import pytest

from pipelines.errors import InputError
from pipelines.images.store import ImageStore
from pipelines.problems import Kind
from pipelines.problems import UnusableError

NAME = "img/Red_Dress/1.jpg"


def write(path, content=b"image data"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write_zip(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)


def refused(store, name):
    with pytest.raises(UnusableError) as error:
        store.read(name)
    assert store.stamp(name) == (0, 0)
    return error.value.kind


@pytest.mark.parametrize("prefix", ["", "Img/", "img-001/"])
def test_unpacked_anywhere_in_the_folder(tmp_path, prefix):
    write(tmp_path / prefix / NAME)
    store = ImageStore(tmp_path)
    assert store.read(NAME) == (b"image data", [])
    assert store.size(NAME) == 10
    assert refused(store, "img/Red_Dress/2.jpg") == Kind.IMAGE_MISSING


def test_pieces_of_a_download(tmp_path):
    write(tmp_path / "img-001" / NAME)
    write(tmp_path / "img-002" / "img/Tee/1.jpg", b"other")
    store = ImageStore(tmp_path)
    assert store.read(NAME)[0] == b"image data"
    assert store.read("img/Tee/1.jpg")[0] == b"other"


@pytest.mark.parametrize("archive", ["img.zip", "Img/img.zip"])
@pytest.mark.parametrize("inner", ["img/", ""])
def test_read_in_place_from_a_zip_file(tmp_path, archive, inner):
    members = {
        f"{inner}Red_Dress/1.jpg": b"image data",
        "../outside.jpg": b"secret",
    }
    write_zip(tmp_path / archive, members)
    store = ImageStore(tmp_path)
    for _ in range(2):
        assert store.read(NAME) == (b"image data", [])
        assert store.size(NAME) == 10
        # A pickled store opens the file again.
        store = pickle.loads(pickle.dumps(store))
    assert refused(store, "img/Red_Dress/2.jpg") == Kind.IMAGE_MISSING
    assert refused(store, "../outside.jpg") == Kind.PATH_OUTSIDE
    assert refused(store, "img/../../outside.jpg") == Kind.PATH_OUTSIDE
    assert store.read("img/red_dress/1.JPG") == (
        b"image data",
        [(Kind.PATH_CASE, f"{inner}Red_Dress/1.jpg")],
    )


def test_a_damaged_member_does_not_affect_others(tmp_path):
    write_zip(tmp_path / "img.zip", {"img/a.jpg": b"a" * 99, "img/b.jpg": b"b"})
    whole = (tmp_path / "img.zip").read_bytes()
    # Data follow a local header of 30 bytes and the name.
    place = 30 + len("img/a.jpg")
    damaged = whole[:place] + b"\xff" + whole[place + 1 :]
    (tmp_path / "img.zip").write_bytes(damaged)
    store = ImageStore(tmp_path)
    with pytest.raises(UnusableError, match="damaged in its zip file") as error:
        store.read("img/a.jpg")
    assert error.value.kind == Kind.IMAGE_TRUNCATED
    assert store.read("img/b.jpg") == (b"b", [])


def test_damaged_lzma_does_not_affect_others(tmp_path):
    noise = random.Random(0).randbytes(999)
    with zipfile.ZipFile(tmp_path / "img.zip", "w", zipfile.ZIP_LZMA) as file:
        file.writestr("img/a.jpg", noise)
        file.writestr("img/b.jpg", b"b")
    content = bytearray((tmp_path / "img.zip").read_bytes())
    for place in range(60, 400):
        content[place] ^= 0xFF
    (tmp_path / "img.zip").write_bytes(content)
    store = ImageStore(tmp_path)
    with pytest.raises(UnusableError, match="damaged in its zip file"):
        store.read("img/a.jpg")
    assert store.read("img/b.jpg") == (b"b", [])


def test_a_broken_zip_file_stops_everything(tmp_path):
    write(tmp_path / "img.zip", b"<html>quota exceeded</html>")
    with pytest.raises(InputError) as error:
        ImageStore(tmp_path).read(NAME)
    assert not isinstance(error.value, UnusableError)
    assert str(error.value) == (
        f"{tmp_path}/img.zip: is no zip file that can be read "
        "(File is not a zip file); download it again"
    )


def test_an_encrypted_zip_file_stops_everything(tmp_path):
    write_zip(tmp_path / "img.zip", {"img/a.jpg": b"a"})
    content = bytearray((tmp_path / "img.zip").read_bytes())
    # Bit 0 of the flags, 8 bytes into the central directory's entry.
    content[content.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "img.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"img\.zip: is encrypted; unpack it"):
        ImageStore(tmp_path).read("img/a.jpg")


def test_a_compression_that_python_lacks_stops_everything(tmp_path):
    write_zip(tmp_path / "img.zip", {"img/a.jpg": b"a" * 99})
    content = bytearray((tmp_path / "img.zip").read_bytes())
    # Deflate64 is number 9, 8 and 10 bytes into the two headers.
    content[content.index(b"PK\3\4") + 8] = 9
    content[content.index(b"PK\1\2") + 10] = 9
    (tmp_path / "img.zip").write_bytes(content)
    with pytest.raises(InputError) as error:
        ImageStore(tmp_path).read("img/a.jpg")
    assert not isinstance(error.value, UnusableError)
    assert str(error.value) == (
        f"{tmp_path}/img.zip: cannot be read in place (That compression "
        f"method is not supported); unpack it to {tmp_path}/img"
    )


@pytest.mark.parametrize(
    "name",
    ["../secret.jpg", "img/../../secret.jpg", "..", "{folder}/secret.jpg"],
)
def test_a_name_that_leaves_the_folder(tmp_path, name):
    write(tmp_path / "secret.jpg")
    write(tmp_path / "data" / NAME)
    store = ImageStore(tmp_path / "data")
    name = name.format(folder=tmp_path)
    assert refused(store, name) == Kind.PATH_OUTSIDE


def test_a_name_with_dots_that_stays_inside(tmp_path):
    write(tmp_path / NAME)
    store = ImageStore(tmp_path)
    assert store.read(f"img/../{NAME}") == (b"image data", [])
    assert store.read(f"./{NAME}") == (b"image data", [])


def test_links_that_leave_the_folder_and_links_that_stay(tmp_path):
    data = tmp_path / "data"
    write(tmp_path / "elsewhere" / "1.jpg", b"secret")
    write(data / NAME)
    (data / "file.jpg").symlink_to(tmp_path / "elsewhere" / "1.jpg")
    (data / "folder").symlink_to(tmp_path / "elsewhere")
    (data / "Folder").symlink_to(tmp_path / "elsewhere")
    (data / "inside.jpg").symlink_to(data / NAME)
    (data / "nowhere.jpg").symlink_to(data / "none.jpg")
    store = ImageStore(data)
    assert refused(store, "file.jpg") == Kind.PATH_OUTSIDE
    assert refused(store, "folder/1.jpg") == Kind.PATH_OUTSIDE
    assert refused(store, "FOLDER/1.jpg") == Kind.PATH_OUTSIDE
    assert refused(store, "nowhere.jpg") == Kind.IMAGE_MISSING
    assert store.read("inside.jpg") == (b"image data", [])
    # The folder itself may be a link.
    (tmp_path / "link").symlink_to(data)
    assert ImageStore(tmp_path / "link").read(NAME)[0] == b"image data"


def test_links_that_may_leave_the_folder(tmp_path):
    data = tmp_path / "data"
    write(tmp_path / "disk" / "1.jpg")
    data.mkdir()
    (data / "img").symlink_to(tmp_path / "disk")
    (data / "file.jpg").symlink_to(tmp_path / "disk" / "1.jpg")
    with pytest.raises(UnusableError) as error:
        ImageStore(data).read("img/1.jpg")
    assert error.value.detail == (
        f"a link leads to {tmp_path}/disk/1.jpg; afn-convert --follow-links "
        "reads it"
    )
    store = ImageStore(data, follow_links=True)
    for found in (store, pickle.loads(pickle.dumps(store))):
        for name in ("img/1.jpg", "file.jpg"):
            assert found.read(name) == (b"image data", [])
        # Names come from the annotations, not from the owner.
        assert refused(found, "../disk/1.jpg") == Kind.PATH_OUTSIDE


def test_pipes_and_devices_are_not_opened(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to("pipe.jpg")
    # The path of a socket must be short.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.jpg")
        store = ImageStore(tmp_path)
        for name, kind in (
            ("pipe.jpg", "pipe"),
            ("PIPE.jpg", "pipe"),
            ("link.jpg", "pipe"),
            ("socket.jpg", "socket"),
        ):
            with pytest.raises(UnusableError, match=f"it is a {kind}") as error:
                store.read(name)
            assert error.value.kind == Kind.NOT_A_FILE
            assert store.size(name) == 0
    with pytest.raises(UnusableError, match="it is a device"):
        ImageStore(Path("/dev")).read("zero")


def test_other_capitals_are_found(tmp_path):
    write(tmp_path / NAME)
    write(tmp_path / "img/Red_Dress/2.JPG", b"second")
    store = ImageStore(tmp_path)
    assert store.read("IMG/red_dress/2.jpg") == (
        b"second",
        [(Kind.PATH_CASE, "img/Red_Dress/2.JPG")],
    )
    assert store.size("IMG/red_dress/2.jpg") == 6
    assert store.read(NAME) == (b"image data", [])


# "é" as one character, as most systems write it, and as macOS used to: an e
# and an accent.
COMPOSED, DECOMPOSED = "img/Caf\u00e9.jpg", "img/Cafe\u0301.jpg"


@pytest.mark.parametrize(
    ("there", "name"),
    [
        ("img/a b.jpg", "img\\a b.jpg"),
        ("img/a b.jpg", ".\\x\\..\\img\\a b.jpg"),
        ("img/a b.jpg", "img/a%20b.jpg"),
        ("img/a b.jpg", "img%2Fa%20b.jpg"),
        ("img/a b.jpg", "img%5Ca%20b.jpg"),
        ("img/a b.jpg", "IMG\\A%20B.JPG"),
        ("img/a b.jpg", "{folder}/img/a b.jpg"),
        ("img/a b.jpg", "file://{folder}/img/a%20b.jpg"),
        (COMPOSED, DECOMPOSED),
        (DECOMPOSED, COMPOSED),
        (DECOMPOSED, "IMG/caf%C3%A9.JPG"),
    ],
)
def test_a_file_is_found_under_another_spelling(tmp_path, there, name):
    write(tmp_path / there)
    name = name.format(folder=tmp_path)
    store = ImageStore(tmp_path)
    listed = [(Kind.PATH_SPELLING, there)]
    assert store.read(name) == (b"image data", listed)
    assert store.size(name) == 10


def test_another_spelling_is_found_in_a_zip_file(tmp_path):
    write_zip(tmp_path / "img.zip", {COMPOSED: b"image data"})
    store = ImageStore(tmp_path)
    for name in (DECOMPOSED, "img\\Caf\u00e9.jpg", "img/Caf%C3%A9.jpg"):
        assert store.read(name) == (
            b"image data",
            [(Kind.PATH_SPELLING, COMPOSED)],
        )


def test_an_absolute_path_through_a_link_to_the_folder(tmp_path):
    write(tmp_path / "data" / NAME)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    store = ImageStore(tmp_path / "link")
    for folder in ("data", "link"):
        assert store.read(f"{tmp_path}/{folder}/{NAME}")[0] == b"image data"


def test_a_file_of_exactly_that_name_comes_first(tmp_path):
    write(tmp_path / "50%20off.jpg", b"as it is")
    write(tmp_path / "50 off.jpg", b"decoded")
    store = ImageStore(tmp_path)
    assert store.read("50%20off.jpg") == (b"as it is", [])
    assert store.read("50 off.jpg") == (b"decoded", [])


@pytest.mark.parametrize(
    ("name", "kind", "detail"),
    [
        ("..\\secret.jpg", Kind.PATH_OUTSIDE, "its name leads out"),
        ("%2e%2e/secret.jpg", Kind.PATH_OUTSIDE, "its name leads out"),
        ("..%5csecret.jpg", Kind.PATH_OUTSIDE, "its name leads out"),
        ("{folder}/data/../s.jpg", Kind.PATH_OUTSIDE, "its name leads out"),
        ("file://{folder}/secret.jpg", Kind.PATH_OUTSIDE, "its name leads out"),
        ("D:\\secret.jpg", Kind.PATH_OUTSIDE, "its name leads out"),
        ("{folder}/data/none.jpg", Kind.IMAGE_MISSING, "no such file"),
        ("img%00.jpg", Kind.IMAGE_MISSING, "embedded null byte"),
        (
            "https://example.org/secret.jpg",
            Kind.IMAGE_MISSING,
            "it is a URL; download it and name the file",
        ),
    ],
)
def test_no_spelling_leads_out(tmp_path, name, kind, detail):
    write(tmp_path / "secret.jpg")
    write(tmp_path / "data" / NAME)
    store = ImageStore(tmp_path / "data")
    with pytest.raises(UnusableError) as error:
        store.read(name.format(folder=tmp_path))
    assert (error.value.kind, error.value.detail) == (kind, detail)


def test_two_files_that_differ_by_case_are_ambiguous(tmp_path):
    write(tmp_path / "img/Tee/1.jpg", b"one")
    write(tmp_path / "img/TEE/1.jpg", b"other")
    store = ImageStore(tmp_path)
    assert store.read("img/Tee/1.jpg") == (b"one", [])
    with pytest.raises(UnusableError) as error:
        store.read("img/tee/1.jpg")
    assert error.value.kind == Kind.IMAGE_MISSING
    assert error.value.detail == "may be any of img/TEE/1.jpg, img/Tee/1.jpg"


@pytest.mark.parametrize(
    "name", ["img/\0.jpg", "img/" + 300 * "a", "img/Red_Dress", "img/\ud800"]
)
def test_names_that_no_file_can_have(tmp_path, name):
    write(tmp_path / NAME)
    with pytest.raises(UnusableError) as error:
        ImageStore(tmp_path).read(name)
    assert error.value.kind == Kind.IMAGE_MISSING


def test_a_file_that_would_fill_the_memory(tmp_path):
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(2**40)
    assert refused_large(ImageStore(tmp_path), "a.jpg")
    with (
        zipfile.ZipFile(
            tmp_path / "img.zip", "w", zipfile.ZIP_DEFLATED
        ) as file,
        file.open("img/b.jpg", "w", force_zip64=True) as member,
    ):
        for _ in range(257):
            member.write(bytes(2**20))
    assert refused_large(ImageStore(tmp_path), "img/b.jpg")


def refused_large(store, name):
    with pytest.raises(UnusableError) as error:
        store.read(name)
    return error.value.kind == Kind.IMAGE_TOO_LARGE
