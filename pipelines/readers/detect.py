"""Tells which layout a user's data is in, and reads it."""

from pathlib import Path

from pipelines.annotations import Annotations
from pipelines.errors import InputError
from pipelines.problems import ProblemLog
from pipelines.readers import deepfashion_coarse
from pipelines.readers import deepfashion_fine
from pipelines.readers.checks import note_shared_images
from pipelines.readers.coco import coco_files
from pipelines.readers.coco import read_coco
from pipelines.readers.deepfashion_coarse import is_landmark_benchmark
from pipelines.readers.deepfashion_coarse import read_landmark_benchmark
from pipelines.readers.labels_csv import read_labels_csv

_OTHER_BENCHMARKS = {
    "*_inshop.txt": "In-shop Clothes Retrieval",
    "*_consumer2shop.txt": "Consumer-to-shop Clothes Retrieval",
}


def read_annotations(
    data: Path, strict: bool = False, follow_links: bool = False
) -> Annotations:
    """Reads annotations in any of the known layouts.

    Of a folder that has several, the first of these is read: the coarse
    annotation of DeepFashion (`Anno/` or `Anno_coarse/`), which the paper uses,
    or its benchmark of landmarks alone (`Anno/`); its fine one (`Anno_fine/`);
    `labels.csv`; COCO files (`annotations/*.json`, `*.json`, or `train/*.json`
    and so on). Each can be named itself: `DeepFashion/Anno_fine`,
    `folder/annotations/train.json`.

    Args:
        data: the folder or file.
        strict: stop at the first problem, instead of mending it or leaving
            the row out and listing it in the result.
        follow_links: read images, too, to which links in the folder lead out
            of it, as where `img` is a link to another disk.

    Raises:
        InputError: if there is no such file or folder, it is none of these,
            a file is missing, no row can be used, or there is any problem at
            all and `strict` is set.
    """
    data = Path(data)
    if not data.exists():
        raise InputError(f"{data}: no such file or folder")
    if data.name in ("", ".."):
        # Layouts are told by names, which "." has not.
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
    if data.name in deepfashion_coarse.FOLDERS:
        return _read_lists(data.parent, log)
    if deepfashion_fine.is_fine(data):
        return deepfashion_fine.read_fine(data, log)
    if any((data / name).is_dir() for name in deepfashion_coarse.FOLDERS):
        return _read_lists(data, log)
    if (data / deepfashion_fine.FOLDER).is_dir():
        return deepfashion_fine.read_fine(data / deepfashion_fine.FOLDER, log)
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
    """Reads the benchmark of DeepFashion whose lists `folder` holds."""
    if is_landmark_benchmark(folder):
        return read_landmark_benchmark(folder, log)
    for pattern, name in _OTHER_BENCHMARKS.items():
        if found := sorted(folder.glob(f"Anno/{pattern}")):
            raise InputError(
                f"{folder}: is DeepFashion's {name} benchmark (it has "
                f"{found[0].name}), which lacks a category of each image and "
                "a train, val and test split of images; download Category "
                "and Attribute Prediction or Fashion Landmark Detection"
            )
    return deepfashion_coarse.read_coarse(folder, log)
