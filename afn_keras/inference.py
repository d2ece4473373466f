"""The data that inference needs besides the weights."""

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import get_args

from afn_keras.heatmaps import Decoding
from afn_keras.training_data import FILE_NAME as TRAINING_DATA
from afn_keras.training_data import TrainingData
from pipelines.vocabulary import FILE_NAME as VOCABULARY
from pipelines.vocabulary import Vocabulary

_FILE_NAME = "inference.json"


@dataclasses.dataclass(frozen=True)
class Inference:
    """Data stored in a `.keras` file, so that the file alone can be used.

    Args:
        vocabulary: names of the labels.
        decoding: how heatmaps are decoded.
        data: the data the network was trained on; None if unknown.
    """

    vocabulary: Vocabulary
    decoding: Decoding = "subpixel"
    data: TrainingData | None = None

    def add_to(self, file: Path) -> None:
        """Adds it to a `.keras` file, which is a zip archive."""
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr(
                _FILE_NAME, json.dumps({"decoding": self.decoding})
            )
            archive.writestr(VOCABULARY, self.vocabulary.to_json())
            if self.data is not None:
                archive.writestr(TRAINING_DATA, self.data.to_json())

    @classmethod
    def from_file(cls, file: Path) -> "Inference | None":
        """Reads it from a `.keras` file; returns None if there is none.

        Raises:
            OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile: if
                the file is damaged.
        """
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            if _FILE_NAME not in names:
                return None
            decoding = json.loads(archive.read(_FILE_NAME))["decoding"]
            if decoding not in get_args(Decoding):
                raise ValueError(f"unknown decoding {decoding!r}")
            data = None
            if TRAINING_DATA in names:
                data = TrainingData.from_json(
                    archive.read(TRAINING_DATA).decode("utf-8")
                )
            vocabulary = Vocabulary.from_json(
                archive.read(VOCABULARY).decode("utf-8")
            )
        return cls(vocabulary, decoding, data)
