import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import write_image

from afn_keras.prediction.inputs import ImageInput
from afn_keras.prediction.inputs import first_images
from afn_keras.prediction.inputs import list_images
from pipelines.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """Makes empty files, which are not read here."""
    for name in (
        *("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg"),
        *("deep/er/c.webp", ".git/d.jpg", "e [1].jpeg"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(listed, folder):
    return [str(item.image.relative_to(folder)) for item in listed]


def test_a_folder_is_all_its_images_in_order(folder):
    found = names(list_images([str(folder)]), folder)
    assert found == ["a.PNG", "b.jpg", "deep/er/c.webp", "e [1].jpeg"]


def test_a_pattern(folder):
    found = names(list_images([f"{folder}/**/*.[jw]*"]), folder)
    assert found == ["b.jpg", "deep/er/c.webp", "e [1].jpeg"]
    # A file whose name looks like a pattern is that file.
    assert names(list_images([f"{folder}/e [1].jpeg"]), folder) == (
        ["e [1].jpeg"]
    )


def test_the_order_is_that_of_the_names(folder):
    given = [str(folder / "deep"), str(folder / "b.jpg"), str(folder / "x.jpg")]
    assert names(list_images(given), folder) == (
        ["deep/er/c.webp", "b.jpg", "x.jpg"]
    )


def test_lines_are_taken_as_they_come(folder):
    taken = []

    def lines():
        for name in ("b.jpg\n", "\n", "with blank .jpg\r\n"):
            taken.append(name)
            yield name

    listed = list_images(["-"], lines())
    assert str(next(listed).image) == "b.jpg"
    assert len(taken) == 1
    assert [str(item.image) for item in listed] == ["with blank .jpg"]


def test_names_in_tables_and_lists_as_tools_spell_them(tmp_path, monkeypatch):
    write_image(tmp_path / "img" / "a b.jpg")
    names = [
        "img\\a b.jpg",
        "img/a%20b.jpg",
        f"file://{tmp_path}/img/a%20b.jpg",
    ]
    (tmp_path / "names.csv").write_text("\n".join(["image", *names]))
    (tmp_path / "names.txt").write_text("\n".join(names))
    monkeypatch.chdir(tmp_path)
    for source in ("names.csv", "names.txt"):
        listed = [item.image for item in list_images([source])]
        assert listed == [Path("img/a b.jpg")] * 2 + [tmp_path / "img/a b.jpg"]


def test_a_table_of_paths_and_boxes(folder):
    table = folder / "table.csv"
    table.write_text(
        "image,split,x1,y1,x2,y2,remark\n"
        "b.jpg,nowhere,1,2,30.5,40,red\n"
        "a.PNG,,,,,,\n"
        "b.jpg,,1,2,x,4,\n"
        ",,1,2,3,4,\n"
        "b.jpg,,5,6,7,8,\n"
    )
    listed = list(list_images([str(table)], box=[0, 0, 9, 9]))
    errors = [str(item) for item in listed if isinstance(item, InputError)]
    assert [item for item in listed if isinstance(item, ImageInput)] == [
        ImageInput(folder / "b.jpg", (1, 2, 30.5, 40)),
        # What has no box of its own gets the one for all.
        ImageInput(folder / "a.PNG", (0, 0, 9, 9)),
        ImageInput(folder / "b.jpg", (5, 6, 7, 8)),
    ]
    assert len(errors) == 2
    assert any("table.csv, line 4: b.jpg: row does not" in e for e in errors)
    assert any("table.csv, line 5: row does not parse" in e for e in errors)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("file,x1\n", "has no column 'image'"),
        ("image,x1,y1,x2\nb.jpg,1,2,3\n", "y2 is missing"),
        ("image\n", "has no row that names an image"),
    ],
)
def test_a_table_that_is_none(content, expected, folder):
    table = folder / "table.csv"
    table.write_text(content)
    with pytest.raises(InputError, match=expected):
        list(list_images([str(table)]))


def test_a_folder_of_many_formats(tmp_path):
    read = [
        "a.JFIF",
        "b.tif",
        "c.tiff",
        "d.avif",
        "e.heic",
        "f.jp2",
        "g.jpe",
        "h.webp",
    ]
    others = ["i.svg", "j.psd", "k.nef", "l.dng", "m.ico", "n.jxl"]
    for name in [*read, *others, "notes.txt", ".hidden.jpg", "Thumbs.db"]:
        (tmp_path / name).write_bytes(b"?")
    listed = list(list_images([str(tmp_path)]))
    assert [
        item.image.name if isinstance(item, ImageInput) else str(item)
        for item in listed
    ] == [
        *read,
        *(
            f"{tmp_path / name}: {name[1:]} is not a supported format; "
            "convert it to JPEG or PNG"
            for name in others
        ),
    ]


def test_linked_folders_are_entered_once(tmp_path):
    write_image(tmp_path / "elsewhere" / "a.jpg")
    write_image(tmp_path / "photos" / "b.jpg")
    (tmp_path / "photos" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "loop").symlink_to(tmp_path / "photos")
    (tmp_path / "elsewhere" / "up").symlink_to(tmp_path)
    listed = list_images([str(tmp_path / "photos")])
    found = [str(item.image.relative_to(tmp_path)) for item in listed]
    assert found == ["photos/again/a.jpg", "photos/b.jpg"]


def test_nothing_there(folder):
    with pytest.raises(InputError, match="no file matches this pattern"):
        list(list_images([f"{folder}/*.tiff"]))
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: has no image; .*.png"):
        list(list_images([str(folder / "empty")]))


def test_the_first_are_looked_at(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        write_image(tmp_path / "some" / name)
    some = tmp_path / "some"
    first = first_images([str(some)], 2)
    assert first == [ImageInput(some / "a.jpg"), ImageInput(some / "b.jpg")]
    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear network,")
    for name, message in (
        (str(letter), "letter.jpg: not an image"),
        (str(tmp_path / "none.jpg"), "none.jpg: cannot be read"),
        ("-", "-: name the images themselves"),
    ):
        with pytest.raises(InputError, match=message):
            first_images([name], 2)


def test_a_folder_that_may_not_be_read(folder):
    (folder / "deep" / "er").chmod(0)
    program = (
        "from afn_keras.prediction.inputs import list_images\n"
        f"try: list(list_images([{str(folder)!r}]))\n"
        "except ValueError as error: print(error)"
    )
    command = [sys.executable, "-c", program]
    if os.geteuid() == 0:
        # Who may read everything gives that right up.
        rights = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={rights}", *command]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no setpriv to give up rights with")
    finally:
        (folder / "deep" / "er").chmod(0o755)
    assert done.stdout == (
        f"{folder}/deep/er: cannot be read (Permission denied); change its "
        "permissions, or name the images themselves\n"
    ), done.stderr


def test_a_text_list(folder):
    path = folder / "list.txt"
    path.write_bytes(b"\xef\xbb\xbfb.jpg\r\n\n with blank.jpg\ncaf\xe9.jpg")
    listed = [item.image for item in list_images([str(path)])]
    # As on standard input: relative to where the command is run.
    assert [os.fsencode(path) for path in listed] == (
        [b"b.jpg", b" with blank.jpg", b"caf\xe9.jpg"]
    )
    (folder / "more.txt").write_text("c.jpg")
    listed = names(list_images([f"{folder}/[lm]*.txt"]), Path())
    assert len(listed) == 4
    assert listed[-1] == "c.jpg"
    with pytest.raises(InputError, match=r"none.txt: cannot be read .No such"):
        list(list_images([f"{folder}/none.txt"]))


def test_a_list_of_objects(folder):
    path = folder / "failed.jsonl"
    path.write_text(
        '{"image": "a.jpg", "box": [1, 2, 3.5, 4], "reason": "moon"}\n'
        '{"image": "b.jpg"}\n'
        '{"image": "c.jpg", "box": [1, 2, 3]}\n'
        '{"image": "c.jpg", "box": [1, 2, 3, NaN]}\n'
        '["image"]\n'
        "b.jpg\n"
    )
    first, second, *errors = list_images([str(path)], box=[0, 0, 9, 9])
    assert first == ImageInput(Path("a.jpg"), (1, 2, 3.5, 4))
    assert second == ImageInput(Path("b.jpg"), (0, 0, 9, 9))
    assert [str(error).split(": ")[0] for error in errors] == (
        [f"{path}, line {number}" for number in (3, 4, 5, 6)]
    )
    assert "'b.jpg' should be an object such as" in str(errors[-1])


def test_a_list_of_version_0_1_0(folder):
    path = folder / "failed-00000-of-00001.jsonl"
    path.write_text(
        '{"photograph": "a.jpg", "box": [1, 2, 3, 4], "reason": "moon"}\n'
        '{"photograph": "b.jpg", "box": null, "reason": "moon"}\n'
        '{"photograph": 3}\n'
    )
    first, second, error = list_images([str(path)])
    assert first == ImageInput(Path("a.jpg"), (1, 2, 3, 4))
    assert second == ImageInput(Path("b.jpg"))
    assert str(error).startswith(f"{path}, line 3: ")
