import io
import json

import numpy as np
import pytest
from conftest import write_image
from PIL import Image
from PIL import ImageOps

from pipelines.annotations import SPLITS
from pipelines.errors import InputError
from pipelines.images.files import inspect_image
from pipelines.problems import Kind
from pipelines.problems import UnusableError
from pipelines.readers.detect import read_annotations
from pipelines.records.convert import write_records
from pipelines.records.fit_labels import fit_labels
from pipelines.records.shard_plan import load_rows
from pipelines.records.shard_plan import plan_shards
from pipelines.records.shard_plan import save_rows
from pipelines.records.shard_plan import stamp_images
from pipelines.records.shard_writer import UnfinishedRecords

WIDTH, HEIGHT = 30, 20


def image_file(orientation=1, form="JPEG", width=WIDTH, height=HEIGHT):
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.new("RGB", (width, height)).save(file, form, exif=exif)
    return inspect_image(file.getvalue(), "a")


def row(size, box=(4, 6, 14, 18), points=((5, 7), (12, 16))):
    landmarks = np.array([[*point, 0] for point in points], np.float32)
    return {
        "image": "a.jpg",
        **dict(zip(("x1", "y1", "x2", "y2"), box, strict=True)),
        **dict(zip(("width", "height"), size, strict=True)),
        "landmarks": landmarks,
        "landmark_names": ("left_hem", "right_hem"),
    }


def upright(orientation, draw):
    """Returns first and last row, first and last column of white pixels."""
    stored = np.zeros((HEIGHT, WIDTH), np.uint8)
    draw(stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(stored)
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif)
    rows, columns = np.nonzero(
        np.asarray(ImageOps.exif_transpose(Image.open(file)))
    )
    return rows.min(), rows.max(), columns.min(), columns.max()


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(5, 9))
def test_labels_of_the_stored_image_are_turned_with_it(orientation, form):
    """Compares with the pixels that Pillow turned."""
    labels = row((WIDTH, HEIGHT))
    before = labels["landmarks"].copy()
    box, landmarks, found = fit_labels(labels, image_file(orientation, form))
    assert found == [(Kind.LABELS_TURNED, "of 30 x 20 pixels, not 20 x 30")]

    def draw_box(stored):
        stored[6:18, 4:14] = 255

    top, bottom, left, right = upright(orientation, draw_box)
    assert box.tolist() == [left, top, right + 1, bottom + 1]
    for index, (x, y) in enumerate(((5, 7), (12, 16))):

        def draw_point(stored, x=x, y=y):
            stored[y, x] = 255

        top, _, left, _ = upright(orientation, draw_point)
        assert landmarks[index].tolist() == [left, top, 0]
    # The table, which others share, is unchanged.
    assert (labels["landmarks"] == before).all()


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (np.nan, np.nan)])
def test_labels_of_the_upright_image_are_not_turned(size):
    box, landmarks, found = fit_labels(row(size), image_file(6))
    assert found == []
    assert box.tolist() == [4, 6, 14, 18]
    assert landmarks.tolist() == [[5, 7, 0], [12, 16, 0]]


def test_labels_of_a_smaller_stored_image_are_turned_and_scaled():
    labels = row((15, 10), box=(2, 3, 7, 9), points=((2, 3),))
    box, landmarks, found = fit_labels(labels, image_file(6))
    assert [kind for kind, _ in found] == [Kind.LABELS_TURNED, Kind.SIZE_SCALED]
    # Turned clockwise, 9 to 3 above the lower edge of 10 is on the left.
    assert box.tolist() == [2, 4, 14, 14]
    # The center of the fourth pixel from the top is 6.5 from the lower edge.
    assert landmarks[0].tolist() == [2 * 6.5 - 0.5, 2 * 2.5 - 0.5, 0]


def test_labels_of_another_size_are_scaled():
    labels = row((60, 40), box=(8, 12, 28, 36), points=((10.5, 14.5), (0, 39)))
    box, landmarks, found = fit_labels(labels, image_file())
    assert found == [(Kind.SIZE_SCALED, "of 60 x 40 pixels, not 30 x 20")]
    assert box.tolist() == [4, 6, 14, 18]
    # (10.5 + .5) / 2 - .5, since pixels are scaled about the image's edge.
    assert landmarks.tolist() == [[5, 7, 0], [-0.25, 19.25, 0]]
    # A missing box is the whole image at any size.
    labels = row((60, 40), box=(np.nan,) * 4)
    assert fit_labels(labels, image_file())[0].tolist() == [0, 0, 30, 20]


def test_a_side_may_be_rounded():
    # 1000 x 667 resized to a width of 30 is 30 x 20.01.
    box, _, found = fit_labels(
        row((1000, 667), box=(100, 66.7, 500, 600.3)), image_file()
    )
    assert box == pytest.approx([3, 2, 15, 18])
    assert found[0][0] == Kind.SIZE_SCALED


@pytest.mark.parametrize("size", [(40, 40), (20, 30), (30, 22)])
def test_labels_of_another_aspect_ratio_are_left_out(size):
    with pytest.raises(UnusableError) as error:
        fit_labels(row(size), image_file())
    assert error.value.kind == Kind.SIZE_STRANGE
    assert error.value.detail == (
        f"of {size[0]} x {size[1]} pixels, not 30 x 20"
    )


def write_coco(path, size, box, points):
    keypoints = [value for x, y in points for value in (x, y, 2)]
    content = {
        "images": [
            {
                "id": 1,
                "file_name": "a.jpg",
                "width": size[0],
                "height": size[1],
            }
        ],
        "annotations": [{"image_id": 1, "bbox": box, "keypoints": keypoints}],
    }
    path.write_text(json.dumps(content))
    return path


POINTS = ((0.25, 0.25), (0.5, 0.25), (0.25, 0.75), (0.5, 0.75))


@pytest.mark.parametrize("size", [(60, 80), (None, 0), (1, 1)])
def test_fractions_in_a_coco_file(tmp_path, size):
    path = write_coco(
        tmp_path / "train.json", size, [0.1, 0.1, 0.5, 0.8], POINTS
    )
    write_image(tmp_path / "a.jpg", 60, 80)
    check_fractions(tmp_path, path, f"{path}, annotations[0]")


def test_fractions_in_a_csv_file(tmp_path):
    names = ("left_waistline", "right_waistline", "left_hem", "right_hem")
    header = ",".join(f"{name}_x,{name}_y" for name in names)
    points = ",".join(f"{x},{y}" for x, y in POINTS)
    path = tmp_path / "labels.csv"
    path.write_text(
        f"image,split,x1,y1,x2,y2,{header}\na.jpg,train,.1,.1,.6,.9,{points}\n"
    )
    write_image(tmp_path / "a.jpg", 60, 80)
    check_fractions(tmp_path, path, f"{path}, line 2")


def check_fractions(folder, path, source):
    annotations = read_annotations(path)
    assert [tuple(problem) for problem in annotations.problems] == [
        (
            *("coordinates are fractions", "", source),
            "all boxes and landmarks lie within 0 and 1",
        )
    ]
    labels = annotations.table.iloc[0].to_dict()
    labels["landmark_names"] = annotations.vocabulary.landmarks
    image = inspect_image((folder / "a.jpg").read_bytes(), "a.jpg")
    box, landmarks, found = fit_labels(labels, image)
    assert found == []
    assert box == pytest.approx([6, 8, 36, 72])
    # 0.25 of 60 is the edge between the pixels 14 and 15.
    expected = [(14.5, 19.5), (29.5, 19.5), (14.5, 59.5), (29.5, 59.5)]
    assert landmarks[4:, :2] == pytest.approx(np.array(expected))
    with pytest.raises(InputError, match="leave out --strict"):
        read_annotations(path, strict=True)
    records = write_records(annotations, folder / "records")
    # The baseline, in units of the box: (15 - 6) / 30 and (20 - 8) / 64.
    assert records.baseline["landmarks"][0] == pytest.approx([0.3, 0.1875])


def test_sizes_reach_workers_on_other_machines(tmp_path):
    points = ((20, 40), (40, 40), (20, 60), (40, 60))
    path = write_coco(
        tmp_path / "train.json", (120, 160), [10, 20, 60, 80], points
    )
    write_image(tmp_path / "a.jpg", 60, 80)
    annotations = read_annotations(path)
    stamps = stamp_images(annotations, SPLITS)
    (shard,) = plan_shards(annotations, stamps[:, 0], SPLITS)
    with UnfinishedRecords(tmp_path / "records") as unfinished:
        unfinished.resume("plan")
        save_rows(unfinished.files, annotations, shard)
        (labels,) = load_rows(unfinished.files, shard.name)
    assert labels["bytes"] == (tmp_path / "a.jpg").stat().st_size
    image = inspect_image((tmp_path / "a.jpg").read_bytes(), "a.jpg")
    box, _, found = fit_labels(labels, image)
    assert box.tolist() == [5, 10, 35, 50]
    assert found == [(Kind.SIZE_SCALED, "of 120 x 160 pixels, not 60 x 80")]


def test_fractions_beside_pixels_stop(tmp_path):
    path = write_coco(tmp_path / "train.json", (60, 80), [6, 8, 30, 64], POINTS)
    with pytest.raises(InputError) as error:
        read_annotations(path)
    assert str(error.value) == (
        f"{path}, annotations[0]: landmarks are fractions of the image here "
        "and in all rows, but boxes are not; write both in pixels"
    )


def test_the_baseline_is_of_labels_as_they_were_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGB", (80, 60))
    image.save(tmp_path / "a.jpg", exif=exif)
    points = ((20, 10), (40, 10), (20, 50), (40, 50))
    path = write_coco(
        tmp_path / "train.json", (80, 60), [10, 5, 40, 50], points
    )
    records = write_records(read_annotations(path), tmp_path / "records")
    # Turned clockwise, the box is 5 to 55 and 10 to 50, the first point is at
    # 60 - 10.5 and 20.5.
    assert records.baseline["landmarks"][0] == pytest.approx(
        [(49.5 - 5) / 50, (20.5 - 10) / 40], abs=1e-5
    )
