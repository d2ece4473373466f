"""Records: TFRecord shards with everything that training needs.

A folder of records holds `train-00000-of-00012.tfrecord` and so on,
`vocabulary.json`, `records.json` (what is in it) and `problems.csv` (what was
found wrong on the way in).
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from pipelines.annotations import Origin
from pipelines.errors import InputError
from pipelines.vocabulary import Vocabulary

FILE_NAME = "records.json"
VERSION = 1


@dataclasses.dataclass(frozen=True)
class Records:
    """A folder of records and what `records.json` says of it.

    Args:
        folder: where the shards lie.
        vocabulary: names of the labels.
        images: images of each split.
        shards: file names of each split's shards, in order.
        counts: images of each of them.
        baseline: the mean landmarks and label frequencies of the train split:
            `landmarks` (L, 2) in units of the box, `category` (C,) and
            `attributes` (A,) frequencies. The baseline of `afn-evaluate`;
            None without a train split.
        origin: whose labels they are; see `Annotations`.
    """

    folder: Path
    vocabulary: Vocabulary
    images: dict[str, int]
    shards: dict[str, list[str]]
    counts: dict[str, list[int]]
    baseline: dict[str, Any] | None
    origin: Origin = "other"


def is_records(folder: Path) -> bool:
    """Whether `folder` holds records."""
    return (Path(folder) / FILE_NAME).is_file()


def load_records(folder: Path) -> Records:
    """Opens a folder of records.

    Raises:
        InputError: if it holds none, or a shard is missing.
    """
    folder = Path(folder)
    path = folder / FILE_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["versions"]["records"]
        if version != VERSION:
            raise InputError(
                f"{path}: is of version {version}, this is for {VERSION}; "
                "run afn-convert again"
            )
        shards, counts = (
            {
                split: [shard[field] for shard in shards]
                for split, shards in content["shards"].items()
            }
            for field in ("file", "images")
        )
        records = Records(
            folder,
            Vocabulary.load(folder),
            content["images"],
            shards,
            counts,
            # 0.1.0 called it `guess`.
            content["guess" if "guess" in content else "baseline"],
            # Older records do not say.
            content.get("origin", "other"),
        )
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); "
            "afn-convert DATA RECORDS makes it"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: does not describe records ({error!r})"
        ) from error
    for names in records.shards.values():
        for name in names:
            if not (folder / name).is_file():
                raise InputError(
                    f"{folder / name}: the shard is missing; "
                    "copy it again or rerun afn-convert"
                )
    return records


def count_problems(folder: Path) -> dict[str, int]:
    """How many problems of each kind `problems.csv` lists."""
    content = json.loads((Path(folder) / FILE_NAME).read_text("utf-8"))
    return content["problems"]
