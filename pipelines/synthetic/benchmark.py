"""Draws a benchmark folder in DeepFashion's coarse layout.

`afn-synthesize synthetic --images 2000 --seed 1` takes about 15 seconds.
"""

import functools
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from pipelines.annotations import TRUNCATED
from pipelines.errors import InputError
from pipelines.folders import fresh_folder
from pipelines.readers import SYNTHETIC
from pipelines.synthetic.categories import CATEGORIES
from pipelines.synthetic.designs import ATTRIBUTES
from pipelines.synthetic.scenes import draw_picture

_FEWEST = 10
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 90)
_NAMES = tuple(CATEGORIES)

# Files and the names of their columns in the benchmark.
_HEADERS = {
    "Anno/list_category_img.txt": "image_name  category_label",
    "Anno/list_attr_img.txt": "image_name  attribute_labels",
    "Anno/list_landmarks.txt": (
        "image_name  clothes_type  landmark_visibility_1  "
        "landmark_location_x_1  landmark_location_y_1  ..."
    ),
    "Anno/list_bbox.txt": "image_name  x_1  y_1  x_2  y_2",
    "Eval/list_eval_partition.txt": "image_name  evaluation_status",
}


def draw_benchmark(
    output: Path, images: int, seed: int = 0, progress: bool = False
) -> None:
    """Draws a benchmark folder.

    All categories are equally frequent. Of every ten images of a category,
    eight are in the train split, one in val and one in test.

    Args:
        output: folder to make.
        images: number of images, at least 10.
        seed: seed, not negative; it and the number determine all bytes.
        progress: show a progress bar.

    Raises:
        InputError: if there are too few images for three splits, the seed is
            negative, or the folder is not empty.
    """
    if images < _FEWEST:
        raise InputError(
            f"--images {images}: too few for train, val and test; "
            f"draw {_FEWEST} or more"
        )
    if seed < 0:
        raise InputError(f"--seed {seed}: negative; choose 0 or more")
    with fresh_folder(Path(output)) as folder:
        for name in ("Anno", "Eval", *(f"img/{name}" for name in _NAMES)):
            (folder / name).mkdir(parents=True)
        draw = functools.partial(_draw_one, folder, seed)
        # Threads, since OpenCV and NumPy release the GIL while drawing, and
        # processes would import the caller's script again. More than a few
        # would wait for the GIL.
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            rows = pool.map(draw, range(images))
            rows = list(tqdm(rows, total=images, disable=not progress))
        for row, split in zip(rows, _splits(images), strict=True):
            row["Eval/list_eval_partition.txt"] = split
        for file in _HEADERS:
            columns = [(row["image"], row[file]) for row in rows]
            _write_rows(folder / file, _HEADERS[file], columns)
        _write_names(folder / "Anno")
        made_of = json.dumps({"images": images, "seed": seed}) + "\n"
        (folder / SYNTHETIC).write_text(made_of, encoding="utf-8")


def _draw_one(folder: Path, seed: int, index: int) -> dict[str, str]:
    """Draws and writes an image; returns its path and its row by file."""
    # One generator per image: it depends on no other image or thread.
    rng = np.random.default_rng([seed, index])
    name = _NAMES[index % len(_NAMES)]
    picture = draw_picture(rng, name)
    path = f"img/{name}/img_{index + 1:08d}.jpg"
    _, jpeg = cv2.imencode(".jpg", picture.image[..., ::-1], _JPEG)
    (folder / path).write_bytes(jpeg.tobytes())
    # The benchmark counts pixels from 1, and boxes include the last one.
    x1, y1, x2, y2 = picture.box
    landmarks = (
        "2 000 000"
        if visibility == TRUNCATED
        else f"{visibility} {x + 1:03d} {y + 1:03d}"
        for visibility, x, y in picture.landmarks
    )
    clothes_type = picture.design.clothes_type
    attributes = (
        " 1" if attribute in picture.design.attributes else "-1"
        for group in ATTRIBUTES.values()
        for attribute in group
    )
    return {
        "image": path,
        "Anno/list_category_img.txt": str(_NAMES.index(name) + 1),
        "Anno/list_attr_img.txt": " ".join(attributes),
        "Anno/list_landmarks.txt": "  ".join([str(clothes_type), *landmarks]),
        "Anno/list_bbox.txt": f"{x1 + 1:03d} {y1 + 1:03d} {x2:03d} {y2:03d}",
    }


def _splits(images: int) -> list[str]:
    """Returns the split of each image, in equal shares of each category."""
    by_category = sorted(range(images), key=lambda i: (i % len(_NAMES), i))
    splits = ["train"] * images
    for place, index in enumerate(by_category):
        splits[index] = {8: "val", 9: "test"}.get(place % 10, "train")
    return splits


def _write_names(folder: Path) -> None:
    _write_rows(
        folder / "list_category_cloth.txt",
        "category_name  category_type",
        [(name, str(row.clothes_type)) for name, row in CATEGORIES.items()],
    )
    _write_rows(
        folder / "list_attr_cloth.txt",
        "attribute_name  attribute_type",
        [
            (name, str(number))
            for number, names in enumerate(ATTRIBUTES.values(), start=1)
            for name in names
        ],
    )


def _write_rows(
    path: Path, header: str, rows: Iterable[tuple[str, str]]
) -> None:
    """Writes the number of rows, the header and the rows in two columns."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows) + 2
    lines = [str(len(rows)), header]
    lines += [f"{name:<{width}}{value}" for name, value in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
