"""The description of a network's training data that its users need."""

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

from pipelines.annotations import Origin
from pipelines.errors import InputError
from pipelines.records import Records

FILE_NAME = "training_data.json"


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Origin and baseline of the data, stored in a run and its exports.

    Args:
        origin: origin of the images; see `Annotations`. "synthetic" only if
            the pretrained weights are from synthetic images, too.
        baseline: the baseline, in the network's vocabulary; see `Records`.
    """

    origin: Origin
    baseline: dict[str, Any] | None

    @classmethod
    def from_records(cls, records: Records, weights: str) -> "TrainingData":
        """Describes the data of a run.

        Args:
            records: the data the network is trained on.
            weights: the weights it starts from, see `load_weights`.
        """
        origin = records.origin
        path = Path(weights)
        if path.is_dir() or path.suffix == ".keras":
            before = cls.load(path)
            if before is None or before.origin != origin:
                origin = "other"
        return cls(origin, records.baseline)

    def to_json(self) -> str:
        """Returns JSON text, for `from_json`."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "TrainingData":
        """Parses the text of `to_json`.

        Raises:
            ValueError, KeyError, TypeError: if it is other text.
        """
        fields = json.loads(text)
        # The key of 0.1.0 is `guess`.
        name = "guess" if "guess" in fields else "baseline"
        return cls(fields["origin"], fields[name])

    def save(self, folder: Path) -> None:
        """Writes `training_data.json` into `folder`."""
        (Path(folder) / FILE_NAME).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "TrainingData | None":
        """Reads `training_data.json`; returns None if there is none.

        Args:
            path: its folder, or a `.keras` file that contains it or is beside
                it.

        Raises:
            InputError: if the file has other content.
        """
        path = Path(path)
        try:
            if path.is_file():
                with zipfile.ZipFile(path) as archive:
                    if FILE_NAME in archive.namelist():
                        return cls.from_json(archive.read(FILE_NAME).decode())
                path = path.parent
            path /= FILE_NAME
            if not path.exists():
                return None
            return cls.from_json(path.read_text(encoding="utf-8"))
        except (
            *(OSError, ValueError, KeyError, TypeError),
            zipfile.BadZipFile,
        ) as error:
            raise InputError(
                f"{path}: does not describe training data ({error!r}); remove "
                "it or copy it again"
            ) from error
