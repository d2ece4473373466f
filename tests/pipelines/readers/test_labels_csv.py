import numpy as np
import pytest

from pipelines.errors import InputError
from pipelines.readers.detect import read_annotations
from pipelines.readers.splits import split_of_path


def write(folder, *lines):
    path = folder / "labels.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_category_alone(tmp_path):
    path = write(
        tmp_path,
        "image,split,category",
        "a.jpg,train,Skirt",
        "b.jpg,val,Dress",
        "c.jpg,test,",
    )
    annotations = read_annotations(path)
    assert annotations.vocabulary.categories == ("Dress", "Skirt")
    assert annotations.vocabulary.attributes == ()
    assert annotations.vocabulary.landmarks == ()
    assert annotations.table["category"].tolist() == [1, 0, -1]
    assert annotations.table["x1"].isna().all()


def test_every_column(tmp_path):
    path = write(
        tmp_path,
        "image,split,category,attributes,x1,y1,x2,y2,"
        "left_hem_x,left_hem_y,left_hem_visibility,right_hem_x,right_hem_y",
        "a.jpg,train,Skirt,red|long hem,1,2,30,40,5,6,1,7.5,8",
        "b.jpg,val,Skirt,,,,,,,,,,",
        "c.jpg,test,Skirt,red,1,2,30,40,,,,9,9",
    )
    annotations = read_annotations(path)
    table = annotations.table
    assert annotations.vocabulary.attributes == ("long hem", "red")
    assert [list(row) for row in table["attributes"]] == [
        [1, 1],
        [-1, -1],
        [0, 1],
    ]
    landmarks = np.stack(table["landmarks"])
    assert landmarks[0, 6].tolist() == [5, 6, 1]
    assert landmarks[0, 7].tolist() == [7.5, 8, 0]
    # Without columns, there are no landmarks.
    assert (landmarks[1, :, 2] == 2).all()
    assert landmarks[2, :, 2].tolist() == [2, 2, 2, 2, 2, 2, 2, 0]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["picture,split", "a.jpg,train"], "line 1: has no column 'image'"),
        (
            ["image,Categry", "a,Tee"],
            "line 1: unknown column 'categry'; rename it if it is 'category', "
            "or remove it",
        ),
        (["sep=;", "image;x1", "a;1"], "line 2: a box needs the columns"),
        (["file,split", "a,b"], "columns are file, split"),
        (["image,Image", "a,b"], "line 1: has the column 'image' twice"),
        (["image,split,x1", "a,train,1"], "y1 is missing"),
        (["image,split,left_hem_x", "a,train,1"], "needs both left_hem_x and"),
        (["image,left_hem_visibility", "a,1"], "needs both left_hem_x and"),
        (["image,split", "a,tr ain", '"b', "c"], "no row can be used"),
        # The message depends on the version of Python.
        (["image,split", "a,tr\0ain"], "labels.csv"),
        (["image,split"], "no row can be used; none is named"),
    ],
)
def test_file_that_cannot_be_read(tmp_path, lines, message):
    path = write(tmp_path, *lines)
    with pytest.raises(InputError) as error:
        read_annotations(path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_not_utf_8(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes("image,split\nä.jpg,train\n".encode("utf-16"))
    with pytest.raises(InputError, match="table in UTF-8 .*; save it as UTF-8"):
        read_annotations(path)


BOX = "image,split,x1,y1,x2,y2"
HEM = "image,split,left_hem_x,left_hem_y,left_hem_visibility"


@pytest.mark.parametrize(
    ("header", "row", "kind", "detail"),
    [
        (
            "image,split",
            "a,dev",
            "row does not parse",
            "split 'dev' is none of train, val, test",
        ),
        (
            "image,split",
            "a,",
            "row does not parse",
            "split '' is none of train, val, test",
        ),
        ("image,split", ",val", "row does not parse", "no image is named"),
        (
            "image,split",
            "a,val,1,2",
            "row does not parse",
            "4 cells for 2 columns",
        ),
        ("image,split", "a", "row does not parse", "1 cells for 2 columns"),
        (
            BOX,
            "a,val,1,2,3,wide",
            "row does not parse",
            "y2 is not a number: 'wide'",
        ),
        (
            BOX,
            "a,val,1,2,3,inf",
            "row does not parse",
            "y2 is not a number: 'inf'",
        ),
        (
            HEM,
            "a,val,1,-1e300,0",
            "row does not parse",
            "left_hem_y is not a number: '-1e300'",
        ),
        (
            BOX,
            "a,val,1,2,,4",
            "row does not parse",
            "give all of x1, y1, x2, y2 or none",
        ),
        (
            HEM,
            "a,val,1,,",
            "row does not parse",
            "give all of left_hem_x, left_hem_y or none",
        ),
        (
            HEM,
            "a,val,1,2,3",
            "row does not parse",
            "left_hem_visibility is none of 0, 1, 2",
        ),
        (BOX, "a,val,1,2,1,5", "box without area", "1 2 1 5"),
        ("image,split", "b,val", "duplicate row", "also in {path}, line 2"),
        (BOX, "b,val,1,2,10,20", "duplicate row", "also in {path}, line 2"),
    ],
)
def test_row_that_is_left_out(tmp_path, header, row, kind, detail):
    good = {
        "image,split": "b,train",
        BOX: "b,train,1,2,10,20",
        HEM: "b,train,3,4,",
    }[header]
    path = write(tmp_path, header, good, "", row)
    annotations = read_annotations(path)
    assert annotations.table["image"].tolist() == ["b"]
    (problem,) = annotations.problems
    assert problem == (
        kind,
        # With a wrong number of cells, their columns are unknown.
        "" if "cells for" in detail else row.split(",")[0],
        f"{path}, line 4",
        detail.format(path=path),
    )
    with pytest.raises(InputError) as error:
        read_annotations(path, strict=True)
    assert str(error.value) == f"{problem}; mend it or leave out --strict"


def test_row_that_is_fixed(tmp_path):
    path = write(
        tmp_path,
        "image,split,x1,y1,x2,y2,left_hem_x,left_hem_y",
        "a,train,30,2,10,40,0,0",
        "b,train,10,2,30,40,30,40",
        "c,train,10,2,30,40,29.5,39.5",
        "c,train,,,,,5,5",
    )
    annotations = read_annotations(path)
    assert [tuple(problem) for problem in annotations.problems] == [
        ("box swapped", "a", f"{path}, line 2", "30 2 10 40"),
        (
            "absent landmark at (0, 0)",
            "a",
            f"{path}, line 2",
            "left_hem 0 0",
        ),
        (
            "landmark beyond the box",
            "b",
            f"{path}, line 3",
            "left_hem 30 40 off 10 2 30 40",
        ),
    ]
    table = annotations.table
    assert table[["x1", "y1", "x2", "y2"]].iloc[0].tolist() == [10, 2, 30, 40]
    landmarks = np.stack(table["landmarks"])
    # The second stays visible; the crop decides whether it counts.
    assert landmarks[:, 6, 2].tolist() == [2, 0, 0, 0]


def test_garments_of_one_image(tmp_path):
    path = write(tmp_path, BOX, "a,train,1,2,10,20", "a,train,30,2,40,20")
    assert len(read_annotations(path, strict=True).table) == 2


def test_row_that_is_left_out_is_no_first_row(tmp_path):
    path = write(tmp_path, BOX, "a,train,1,2,1,5", "a,train,,,,")
    annotations = read_annotations(path)
    assert [p.kind.value for p in annotations.problems] == ["box without area"]
    assert annotations.table["source"].tolist() == [f"{path}, line 3"]


def test_line_numbers_with_line_feeds_in_cells(tmp_path):
    path = write(
        tmp_path,
        "image,split,category",
        'a,train,"Long',
        'Dress"',
        "b,dev,Tee",
    )
    (problem,) = read_annotations(path).problems
    assert problem.source == f"{path}, line 4"


def test_written_by_excel(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(b'\xef\xbb\xbf"image",split\r\na.jpg,train\r\n')
    annotations = read_annotations(path)
    assert annotations.table["image"].tolist() == ["a.jpg"]
    # Line ends of CSV are CRLF anyway (RFC 4180).
    assert [tuple(problem) for problem in annotations.problems] == [
        ("byte order mark", "", f"{path}, line 1", "UTF-8")
    ]


def test_without_splits_the_path_decides(tmp_path):
    images = [f"img/{i}.jpg" for i in range(2000)]
    path = write(tmp_path, "image", *images)
    table = read_annotations(path, strict=True).table
    counts = table["split"].value_counts()
    # 5 percent of 2,000: 100, plus or minus 3 times 9.7.
    assert 70 < counts["val"] < 130
    assert 70 < counts["test"] < 130
    # Another order and fewer images change nothing.
    path = write(tmp_path, "image", *reversed(images[:500]))
    again = read_annotations(path).table.set_index("image")["split"]
    assert again.to_dict() == dict(
        zip(images[:500], table["split"][:500], strict=True)
    )
    # The first 16 digits of md5sum, taken modulo 100 by bc.
    numbers = {"a": 8, "t44": 89, "t57": 90, "t60": 94, "t34": 96}
    for name, number in numbers.items():
        split = "train" if number < 90 else "val" if number < 95 else "test"
        assert split_of_path(f"{name}.jpg") == split


def test_splits_from_names_of_folders(tmp_path):
    # By their hashes, "c.jpg" and every a.jpg here would be train.
    images = ["train/a.jpg", "x/Valid/a.jpg", "testing/y/a.jpg", "c.jpg"]
    path = write(tmp_path, "image", *images)
    table = read_annotations(path, strict=True).table
    assert table["split"].tolist() == ["train", "val", "test", "train"]
    # A single such folder is ignored.
    path = write(tmp_path, "image", "test/a.jpg", "test/b.jpg")
    table = read_annotations(path, strict=True).table
    assert table["split"].tolist() == ["train", "train"]


def test_spellings_of_splits(tmp_path):
    path = write(
        tmp_path,
        "image,split",
        "a,Train",
        "b,training",
        "c,valid",
        "d,VALIDATION",
        "e, Test ",
        "f,testing",
    )
    table = read_annotations(path, strict=True).table
    assert table["split"].tolist() == [
        *("train", "train", "val", "val", "test", "test")
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ["image;split;category;x1;y1;x2;y2", "a;val;Tee, red;1,5;2;30;40,25"],
        ["image\tsplit\tcategory\tx1\ty1\tx2\ty2"]
        + ["a\tval\tTee, red\t1.5\t2\t30\t40,25"],
        ["sep=;", "image;split;category;x1;y1;x2;y2"]
        + ["a;val;Tee, red;1.5;2;30;40.25"],
        ['"sep=,"', "image,split,category,x1,y1,x2,y2"]
        + ['a,val,"Tee, red",1.5,2,30,40.25'],
        # Only the first line names the separator.
        ["sep=|", "image|split|category|x1|y1|x2|y2"]
        + ["a|val|Tee, red|1.5|2|30|40.25"],
        ["Image,SPLIT, Category,X1,Y1,X2,Y2"]
        + ['a,val,"Tee, red",1.5,2,30,40.25'],
    ],
)
def test_separators(tmp_path, lines):
    annotations = read_annotations(write(tmp_path, *lines), strict=True)
    assert annotations.vocabulary.categories == ("Tee, red",)
    (row,) = annotations.table.itertuples()
    assert (row.image, row.split) == ("a", "val")
    assert (row.x1, row.y1, row.x2, row.y2) == (1.5, 2, 30, 40.25)
    assert row.source == f"{tmp_path / 'labels.csv'}, line {len(lines)}"


def test_a_comma_in_a_number_between_commas_is_no_number(tmp_path):
    # It may separate thousands.
    lines = ["image,split,x1,y1,x2,y2", 'a,val,1,2,"1,250",4', "b,val,,,,"]
    (problem,) = read_annotations(write(tmp_path, *lines)).problems
    assert problem.detail == "x2 is not a number: '1,250'"


@pytest.mark.parametrize(
    ("lines", "details"),
    [
        (
            # A spreadsheet with empty columns and rows.
            ["image,split,,", "a,train,,", ",,,", "b,val,,"],
            ["column 3 has no name", "column 4 has no name"],
        ),
        (
            # pandas writes its index.
            [",image,split", "0,a,train", "1,b,val"],
            ["column 1 has no name"],
        ),
        # Trailing commas only in rows.
        (["image,split", "a,train,", "b,val,,"], []),
        (
            ["image,split,color,color", "a,train,red,1", "b,val,,"],
            ["'color'", "'color'"],
        ),
    ],
)
def test_columns_that_are_ignored(tmp_path, lines, details):
    path = write(tmp_path, *lines)
    annotations = read_annotations(path)
    assert annotations.table["image"].tolist() == ["a", "b"]
    assert annotations.table["split"].tolist() == ["train", "val"]
    assert [tuple(problem) for problem in annotations.problems] == [
        ("unknown column", "", f"{path}, line 1", detail) for detail in details
    ]


def test_words_for_an_empty_cell(tmp_path):
    path = write(
        tmp_path,
        "image,split,category,attributes,x1,y1,x2,y2",
        "a,train,Tee,red|nan,1,2,3,4",
        "b,train,nan,nan,NaN,NaN,NaN,NaN",
        "c,train,None,None|N/A,1,2,3,4",
        # Words that may be labels.
        "NA,train,none,none,1,2,3,4",
    )
    annotations = read_annotations(path)
    assert annotations.vocabulary.categories == ("Tee", "none")
    assert annotations.vocabulary.attributes == ("none", "red")
    table = annotations.table
    assert table["image"].tolist() == ["a", "b", "c", "NA"]
    assert table["category"].tolist() == [0, -1, -1, 1]
    assert np.stack(table["attributes"]).tolist() == [
        *([0, 1], [-1, -1], [-1, -1], [1, 0])
    ]
    assert table["x1"].isna().tolist() == [False, True, False, False]
    kind = "word for an empty cell"
    assert [tuple(problem) for problem in annotations.problems] == [
        (kind, "", f"{path}, line {line}", f"{detail}, first here")
        for line, detail in (
            (3, "category: 2 cells such as 'nan'"),
            *((3, f"{name}: 1 cells such as 'NaN'") for name in BOX_COLUMNS),
            (2, "attributes: 3 cells such as 'red|nan'"),
        )
    ]


BOX_COLUMNS = ("x1", "y1", "x2", "y2")


def attributes_of(tmp_path, *cells):
    lines = [f'{i},train,"{cell}"' for i, cell in enumerate(cells)]
    path = write(tmp_path, "image,split,attributes", *lines)
    annotations = read_annotations(path)
    names = np.array(annotations.vocabulary.attributes)
    rows = np.stack(annotations.table["attributes"])
    return (
        [names[row == 1].tolist() for row in rows],
        [problem[:1] + problem[2:] for problem in annotations.problems],
    )


def test_attributes_joined_by_commas(tmp_path):
    named, problems = attributes_of(tmp_path, "red", "red, long", "long;wide ")
    assert named == [["red"], ["long", "red"], ["long", "wide"]]
    assert problems == [
        (
            "attributes joined by commas",
            f"{tmp_path / 'labels.csv'}, line 3",
            "attributes: 2 cells such as 'red, long', first here",
        )
    ]
    # If names are joined by "|", a comma is part of a name.
    named, problems = attributes_of(tmp_path, "red, dark", "red, dark|long")
    assert named == [["red, dark"], ["long", "red, dark"]]
    assert problems == []


def test_attributes_as_a_list(tmp_path):
    named, problems = attributes_of(
        tmp_path, "['red', 'long']", '[""men\'s"", ""red""]', "[]", "['a' 'b']"
    )
    assert named == [["long", "red"], ["men's", "red"], [], []]
    assert problems == [
        (
            "attribute value",
            f"{tmp_path / 'labels.csv'}, line 5",
            "\"['a' 'b']\" is no list of names",
        )
    ]


def test_attribute_groups(tmp_path):
    """An empty cell is unknown for its group alone; a name may be in two."""
    path = write(
        tmp_path,
        "image,split,attributes.sleeve,Attributes.Length,attributes",
        "a,train,long,,warm",
        "b,train,,long,",
        "c,train,short|rolled,nan,",
    )
    annotations = read_annotations(path)
    vocabulary = annotations.vocabulary
    assert vocabulary.attributes == ("long", "rolled", "short", "long", "warm")
    assert vocabulary.attribute_groups == (
        *["sleeve"] * 3,
        *["length", "other"],
    )
    # In records.json and evaluation.json they are in this order, too.
    assert vocabulary.groups == ("sleeve", "length", "other")
    assert np.stack(annotations.table["attributes"].to_list()).tolist() == [
        [1, 0, 0, -1, 1],
        [-1, -1, -1, 1, -1],
        [0, 1, 1, -1, -1],
    ]
    assert [problem.detail for problem in annotations.problems] == [
        "attributes.length: 1 cells such as 'nan', first here"
    ]


@pytest.mark.parametrize("column", ["attribute.sleeve", "atributes.sleeve"])
def test_a_misspelled_group(column, tmp_path):
    path = write(tmp_path, f"image,split,{column}", "a,train,long")
    with pytest.raises(InputError, match=r"if it is 'attributes\.sleeve'"):
        read_annotations(path)


def test_a_group_without_a_name_is_no_group(tmp_path):
    path = write(tmp_path, "image,split,attributes.", "a,train,long")
    with pytest.raises(InputError, match="rename it if it is 'attributes'"):
        read_annotations(path)


def test_an_image_in_two_splits(tmp_path):
    path = write(
        tmp_path,
        BOX,
        "a,train,1,2,10,20",
        "b,train,1,2,10,20",
        "./a,test,30,2,40,20",
        "a,Test,50,2,60,20",
        "a,train,70,2,80,20",
    )
    annotations = read_annotations(path)
    assert len(annotations.table) == 5
    assert [tuple(problem) for problem in annotations.problems] == [
        (
            "image in two splits",
            "./a",
            f"{path}, line 4",
            f"test, but train in {path}, line 2",
        )
    ]
