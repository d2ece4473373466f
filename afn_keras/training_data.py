"""What a network was trained on, as far as it matters to those who use it."""

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
    """Is kept in a run, and in what is exported of it.

    Args:
        origin: whose images they were; see `Annotations`. "synthetic" only if
            the network, wherever it started from, has seen no others.
        baseline: the baseline, in the network's vocabulary; see `Records`.
    """

    origin: Origin
    baseline: dict[str, Any] | None

    @classmethod
    def of(cls, records: Records, weights: str) -> "TrainingData":
        """Describes a training.

        Args:
            records: what the network is trained on.
            weights: what it starts from, as `load_weights` takes it.
        """
        origin = records.origin
        path = Path(weights)
        if path.is_dir() or path.suffix == ".keras":
            before = cls.load(path)
            if before is None or before.origin != origin:
                origin = "other"
        return cls(origin, records.baseline)

    def to_json(self) -> str:
        """JSON text; `from_json` reads it back."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "TrainingData":
        """Reads what `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: if the text is something else.
        """
        fields = json.loads(text)
        # 0.1.0 called it `guess`.
        name = "guess" if "guess" in fields else "baseline"
        return cls(fields["origin"], fields[name])

    def save(self, folder: Path) -> None:
        """Writes `training_data.json` into `folder`."""
        (Path(folder) / FILE_NAME).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "TrainingData | None":
        """Reads `training_data.json`; None if there is none.

        Args:
            path: the folder it lies in, or a `.keras` file that holds it or
                lies beside it.

        Raises:
            InputError: if the file holds something else.
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
