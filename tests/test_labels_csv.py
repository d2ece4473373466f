import numpy as np
import pytest

from pipelines.errors import InputError
from pipelines.labels_csv import read_labels_csv


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
    annotations = read_labels_csv(path)
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
    annotations = read_labels_csv(path)
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
    # No landmark is guessed where there is none.
    assert (landmarks[1, :, 2] == 2).all()
    assert landmarks[2, :, 2].tolist() == [2, 2, 2, 2, 2, 2, 2, 0]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["picture,split", "a.jpg,train"], "line 1: has no column 'image'"),
        (["image,split,colour", "a,train,red"], "unknown column 'colour'"),
        (["image,split,x1", "a,train,1"], "y1 is missing"),
        (["image,split,left_hem_x", "a,train,1"], "needs both left_hem_x and"),
        (["image,split", "a,train", "b,dev"], "line 3: split 'dev' is none of"),
        (["image,split", "a,train", ",val"], "line 3: no image is named"),
        (["image,split", "a,train", "a,val"], "line 3: a is named twice"),
        (
            ["image,split,x1,y1,x2,y2", "a,train,1,2,3,wide"],
            "line 2: y2 is no number: 'wide'",
        ),
        (
            ["image,split,x1,y1,x2,y2", "a,train,1,2,,4"],
            "line 2: give all of x1, y1, x2, y2 or none",
        ),
        (["image,split", "a,train,b,c", "a"], "is no CSV table"),
    ],
)
def test_bad_row_is_named(tmp_path, lines, message):
    path = write(tmp_path, *lines)
    with pytest.raises(InputError) as error:
        read_labels_csv(path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
