"""Formats predictions as a table, JSON lines, CSV or COCO.

A format takes predictions one at a time and returns text to append: at the
start, for each prediction, and at the end.
"""

import csv
import io
import json
from typing import Protocol

from tabulate import tabulate

from afn_keras.prediction.result import Prediction
from pipelines.annotations import BOX
from pipelines.annotations import TRUNCATED
from pipelines.annotations import VISIBLE
from pipelines.readers import SCORE
from pipelines.vocabulary import Vocabulary

# Lines between landmarks, as annotation tools draw them.
_SKELETON = (
    ("left_collar", "right_collar"),
    ("left_collar", "left_sleeve"),
    ("right_collar", "right_sleeve"),
    ("left_collar", "left_waistline"),
    ("right_collar", "right_waistline"),
    ("left_waistline", "right_waistline"),
    ("left_waistline", "left_hem"),
    ("right_waistline", "right_hem"),
    ("left_hem", "right_hem"),
)


class ResultFormat(Protocol):
    """Converts predictions to text.

    `is_data` is true for formats that can be read as data, in which names of
    images are relative to the file.
    """

    is_data: bool

    def start(self, vocabulary: Vocabulary) -> str:
        """Returns the text before all predictions."""

    def add(self, prediction: Prediction) -> str:
        """Adds a prediction; returns the text that can be written now."""

    def end(self) -> str:
        """Returns the text after all predictions."""


class Table:
    """Text for the terminal: one in full, several as rows of a table."""

    is_data = False

    def __init__(self) -> None:
        self._predictions: list[Prediction] = []

    def start(self, vocabulary: Vocabulary) -> str:
        """Returns no text: the widths of columns are known at the end."""
        return ""

    def add(self, prediction: Prediction) -> str:
        """Stores the prediction; returns no text."""
        self._predictions.append(prediction)
        return ""

    def end(self) -> str:
        """Returns the whole table."""
        if len(self._predictions) == 1:
            return _in_full(self._predictions[0])
        rows = [
            (
                prediction.image,
                _scored(prediction.categories[:1]),
                _scored(prediction.attributes[:3]),
                _clear(prediction),
            )
            for prediction in self._predictions
        ]
        header = ("image", "category", "attributes", "clear landmarks")
        return f"{tabulate(rows, header, 'simple')}\n" if rows else ""


class JsonLines:
    """JSON lines: one object for each prediction."""

    is_data = False

    def start(self, vocabulary: Vocabulary) -> str:
        """Returns no text."""
        return ""

    def add(self, prediction: Prediction) -> str:
        """Returns the prediction's line."""
        return f"{prediction.to_json()}\n"

    def end(self) -> str:
        """Returns no text."""
        return ""


class CsvTable:
    """A labels file, which `afn-train --data` takes once it is corrected.

    It has the best category, and the attributes and landmarks with a score of
    at least one half; other landmarks have visibility 2 and no coordinates.
    Columns that end in `_score` are the network's scores.
    """

    is_data = True

    def start(self, vocabulary: Vocabulary) -> str:
        """Returns the header."""
        self._vocabulary = vocabulary
        columns = ["image", *BOX]
        if self._vocabulary.categories:
            columns += ["category", f"category{SCORE}"]
        if self._vocabulary.attributes:
            columns.append("attributes")
        for name in self._vocabulary.landmarks:
            columns += [f"{name}_x", f"{name}_y", f"{name}_visibility"]
            columns.append(f"{name}{SCORE}")
        return _row(columns)

    def add(self, prediction: Prediction) -> str:
        """Returns the prediction's row."""
        cells = [
            prediction.image,
            *(f"{round(side, 2):.10g}" for side in prediction.box),
        ]
        if self._vocabulary.categories:
            name, score = prediction.categories[0]
            cells += [name, f"{score:.4f}"]
        if self._vocabulary.attributes:
            cells.append("|".join(prediction.present()))
        for name, (x, y, score) in prediction.landmarks.items():
            if prediction.visible(name):
                cells += [f"{x:.2f}", f"{y:.2f}", str(VISIBLE)]
            else:
                cells += ["", "", str(TRUNCATED)]
            cells.append(f"{score:.4f}")
        return _row(cells)

    def end(self) -> str:
        """Returns no text."""
        return ""


class CocoFile:
    """A COCO data set of predictions, for annotation tools and viewers.

    Attributes are as in Fashionpedia: `attribute_ids` of those with a score of
    at least one half. A keypoint with a lower score is 0, 0, 0, which means
    unlabeled in COCO. Each annotation has the best category's `score`, and the
    box as its `segmentation`.
    """

    is_data = True

    def start(self, vocabulary: Vocabulary) -> str:
        """Returns no text: images come before annotations in the file."""
        self._vocabulary = vocabulary
        self._images: dict[str, dict] = {}
        self._annotations: list[dict] = []
        # COCO needs a category, even if the network has none.
        names = vocabulary.categories or ("garment",)
        self._categories = {name: i for i, name in enumerate(names, start=1)}
        self._attributes = {
            name: i for i, name in enumerate(vocabulary.attributes, start=1)
        }
        return ""

    def add(self, prediction: Prediction) -> str:
        """Stores the prediction; returns no text."""
        width, height = prediction.size
        image = self._images.setdefault(
            prediction.image,
            {
                "id": len(self._images) + 1,
                "file_name": prediction.image,
                "width": width,
                "height": height,
                "license": 1,
            },
        )
        x1, y1, x2, y2 = (round(side, 2) for side in prediction.box)
        name, score = (prediction.categories or (("garment", 1.0),))[0]
        keypoints: list[float] = []
        for landmark, (x, y, _) in prediction.landmarks.items():
            seen = prediction.visible(landmark)
            keypoints += [round(x, 2), round(y, 2), 2] if seen else [0, 0, 0]
        self._annotations.append(
            {
                "id": len(self._annotations) + 1,
                "image_id": image["id"],
                "category_id": self._categories[name],
                "bbox": [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
                "area": round((x2 - x1) * (y2 - y1), 2),
                "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]],
                "iscrowd": 0,
                "score": round(score, 4),
                "keypoints": keypoints,
                "num_keypoints": sum(n > 0 for n in keypoints[2::3]),
                "attribute_ids": [
                    self._attributes[name] for name in prediction.present()
                ],
            }
        )
        return ""

    def end(self) -> str:
        """Returns the whole file."""
        keypoints = list(self._vocabulary.landmarks)
        # Counted from 1.
        skeleton = [
            [keypoints.index(one) + 1, keypoints.index(other) + 1]
            for one, other in _SKELETON
            if one in keypoints and other in keypoints
        ]
        content = {
            "info": {"description": "predictions of afn-keras"},
            "licenses": [{"id": 1, "name": "unknown", "url": ""}],
            "images": list(self._images.values()),
            "annotations": self._annotations,
            "categories": [
                {
                    "id": key,
                    "name": name,
                    "supercategory": "clothing",
                    "keypoints": keypoints,
                    "skeleton": skeleton,
                }
                for name, key in self._categories.items()
            ],
            "attributes": [
                {"id": key, "name": name, "supercategory": group}
                for (name, key), group in zip(
                    self._attributes.items(),
                    self._vocabulary.attribute_groups,
                    strict=True,
                )
            ],
        }
        return f"{json.dumps(content)}\n"


FORMATS = {
    "table": Table,
    "json": JsonLines,
    "csv": CsvTable,
    "coco": CocoFile,
}
"""Formats by the names of their flags."""


def _in_full(prediction: Prediction) -> str:
    lines = [prediction.image]
    for title, scored in (
        ("category", prediction.categories),
        ("attributes", prediction.attributes[:5]),
    ):
        if scored:
            lines.append(f"  {title:<16}{_scored(scored)}")
    for name, (x, y, score) in prediction.landmarks.items():
        lines.append(f"  {name:<16}x {x:6.1f}  y {y:6.1f}  {100 * score:.0f}%")
    return "\n".join([*lines, ""])


def _scored(scored: tuple[tuple[str, float], ...]) -> str:
    return ", ".join(f"{name} {100 * score:.0f}%" for name, score in scored)


def _clear(prediction: Prediction) -> str:
    seen = [prediction.visible(name) for name in prediction.landmarks]
    return f"{sum(seen)} of {len(seen)}"


def _row(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
