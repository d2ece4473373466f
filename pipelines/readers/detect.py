"""Detects the layout of a data set, and reads it."""

from pathlib import Path

from pipelines.annotations import Annotations
from pipelines.errors import InputError
from pipelines.problems import ProblemLog
from pipelines.readers.checks import note_shared_images
from pipelines.readers.coco import coco_files
from pipelines.readers.coco import read_coco
from pipelines.readers.deepfashion_coarse import COARSE_FOLDERS
from pipelines.readers.deepfashion_coarse import is_landmark_benchmark
from pipelines.readers.deepfashion_coarse import read_coarse
from pipelines.readers.deepfashion_fine import FINE_FOLDER
from pipelines.readers.deepfashion_fine import is_fine
from pipelines.readers.deepfashion_fine import read_fine
from pipelines.readers.labels_csv import read_labels_csv

_OTHER_BENCHMARKS = {
    "*_inshop.txt": "In-shop Clothes Retrieval",
    "*_consumer2shop.txt": "Consumer-to-shop Clothes Retrieval",
}


def read_annotations(
    data: Path, strict: bool = False, follow_links: bool = False
) -> Annotations:
    """Reads annotations in any of the known layouts.

    If a folder has several, the first of these is read: the coarse annotation
    of DeepFashion (`Anno/` or `Anno_coarse/`), which the paper uses, or its
    landmark benchmark (`Anno/`); its fine annotation (`Anno_fine/`);
    `labels.csv`; COCO files (`annotations/*.json`, `*.json`, or `train/*.json`
    and so on). To read another one, name it: `DeepFashion/Anno_fine`,
    `folder/annotations/train.json`.

    Args:
        data: the folder or file.
        strict: stop at the first problem, instead of fixing it or leaving the
            row out and listing it in the result.
        follow_links: follow links that lead out of the folder, such as an
            `img` that links to another disk.

    Raises:
        InputError: if there is no such file or folder, its layout is unknown,
            a file is missing, no row can be used, or there is any problem at
            all and `strict` is set.
    """
    data = Path(data)
    if not data.exists():
        raise InputError(f"{data}: no such file or folder")
    if data.name in ("", ".."):
        # Layouts are detected by names, which "." does not have.
        data = data.resolve()
    if (data / "records.json").is_file():
        raise InputError(
            f"{data}: holds records; name what they were made from"
        )
    log = ProblemLog(strict)
    annotations = _read(data, log)
    if not len(annotations.table):
        problems = annotations.problems
        reason = (
            f"the first problem is {problems[0]}"
            if problems
            else "none is named"
        )
        raise InputError(f"{data}: no row can be used; {reason}")
    note_shared_images(annotations.table, log)
    annotations.follow_links = follow_links
    return annotations


def _read(data: Path, log: ProblemLog) -> Annotations:
    if not data.is_dir():
        if data.suffix.lower() == ".json":
            return read_coco([data], log)
        return read_labels_csv(data, log)
    if data.name in COARSE_FOLDERS:
        return _read_lists(data.parent, log)
    if is_fine(data):
        return read_fine(data, log)
    if any((data / name).is_dir() for name in COARSE_FOLDERS):
        return _read_lists(data, log)
    if (data / FINE_FOLDER).is_dir():
        return read_fine(data / FINE_FOLDER, log)
    if (labels := data / "labels.csv").exists():
        return read_labels_csv(labels, log)
    if files := coco_files(data):
        return read_coco(files, log)
    if any(data.glob("annos")) or any(data.glob("*/annos")):
        raise InputError(
            f"{data}: is DeepFashion2, which has other landmarks than the "
            "eight and a file for each image; write what you need of it into "
            "a labels.csv"
        )
    raise InputError(
        f"{data}: is no data set; looked for Anno/ and Anno_fine/ (the "
        "DeepFashion benchmark), labels.csv (own labels), *.json (COCO) and "
        "records.json (records)"
    )


def _read_lists(folder: Path, log: ProblemLog) -> Annotations:
    """Reads the DeepFashion benchmark whose lists `folder` holds."""
    for pattern, name in _OTHER_BENCHMARKS.items():
        found = sorted(folder.glob(f"Anno/{pattern}"))
        if found and not is_landmark_benchmark(folder):
            raise InputError(
                f"{folder}: is DeepFashion's {name} benchmark (it has "
                f"{found[0].name}), which lacks a category of each image and "
                "a train, val and test split of images; download Category "
                "and Attribute Prediction or Fashion Landmark Detection"
            )
    return read_coarse(folder, log)
