"""Tells which layout a user's data is in, and reads it."""

from pathlib import Path

from pipelines import deepfashion_coarse
from pipelines import deepfashion_fine
from pipelines.annotations import Annotations
from pipelines.coco import coco_files
from pipelines.coco import read_coco
from pipelines.errors import InputError
from pipelines.labels_csv import read_labels_csv
from pipelines.problem_log import ProblemLog
from pipelines.records import is_records


def read_annotations(data: Path, strict: bool = False) -> Annotations:
    """Reads annotations in any of the known layouts.

    Of a folder that has several, the first of these is read: the coarse
    annotation of DeepFashion (`Anno/` or `Anno_coarse/`), which the paper
    uses; its fine one (`Anno_fine/`); `labels.csv`; COCO files
    (`annotations/*.json` or `*.json`). Each can be named itself:
    `DeepFashion/Anno_fine`, `folder/annotations/train.json`.

    Args:
        data: the folder or file.
        strict: stop at the first problem, instead of mending it or leaving
            the row out and listing it in the result.

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
    if is_records(data):
        raise InputError(
            f"{data}: holds records; name what they were made from"
        )
    annotations = _read(data, ProblemLog(strict))
    if not len(annotations.table):
        problems = annotations.problems
        reason = (
            f"the first problem is {problems[0]}"
            if problems
            else "none is named"
        )
        raise InputError(f"{data}: no row can be used; {reason}")
    return annotations


def _read(data: Path, log: ProblemLog) -> Annotations:
    if not data.is_dir():
        if data.suffix.lower() == ".json":
            return read_coco([data], log)
        return read_labels_csv(data, log)
    if data.name in deepfashion_coarse.FOLDERS:
        return deepfashion_coarse.read_coarse(data.parent, log)
    if deepfashion_fine.is_fine(data):
        return deepfashion_fine.read_fine(data, log)
    if any((data / name).is_dir() for name in deepfashion_coarse.FOLDERS):
        return deepfashion_coarse.read_coarse(data, log)
    if (data / deepfashion_fine.FOLDER).is_dir():
        return deepfashion_fine.read_fine(data / deepfashion_fine.FOLDER, log)
    if (labels := data / "labels.csv").exists():
        return read_labels_csv(labels, log)
    if files := coco_files(data):
        return read_coco(files, log)
    raise InputError(
        f"{data}: is no data set; looked for Anno/ and Anno_fine/ (the "
        "DeepFashion benchmark), labels.csv (own labels), *.json (COCO) and "
        "records.json (records)"
    )
