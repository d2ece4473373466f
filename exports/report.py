"""Writes the report: size, speed and scores of each artifact of a run."""

import math
from collections.abc import Mapping
from pathlib import Path

from tabulate import tabulate
from tqdm import tqdm

from afn_keras.backend import webp_decoder
from afn_keras.evaluation import evaluate
from afn_keras.loading import load_model
from afn_keras.outputs import ImageModel
from exports.artifacts import THREADS
from exports.artifacts import existing_artifacts
from exports.artifacts import sample_images
from exports.opening import open_model
from exports.verification import Check
from exports.verification import verify
from pipelines.records import Records

_HEADER = (
    *("artifact", "MB"),
    *(f"ms, {count} thread{'s' * (count > 1)}" for count in THREADS),
    *("largest difference", "NE"),
    *("category top-1, %", "top-3, %", "recall@5, %"),
)

_NO_WEBP = (
    "The SavedModel does not accept WebP: this version of TensorFlow has no "
    "decoder for it.\n"
)


def write_report(
    run: Path,
    checks: Mapping[Path, Check],
    records: Records | None,
    split: str,
    progress: bool = False,
) -> str:
    """Measures all artifacts of a run and writes `RUN/exports/report.md`.

    Args:
        run: a folder that `afn-train` wrote, with artifacts.
        checks: the checks of artifacts that are already verified.
        records: data to score the network and each artifact on; no scores
            if None.
        split: the split to score on.
        progress: show a progress bar on a terminal.

    Returns:
        The report, as Markdown.
    """
    run = Path(run)
    trained = load_model(run)
    images = sample_images(run)
    size = 4 * trained.model.count_params()
    rows = [_row("network (Keras)", size, None, trained, records, split)]
    bar = tqdm(
        existing_artifacts(run),
        "measuring",
        unit=" files",
        disable=None if progress else True,
    )
    for path in bar:
        check = checks.get(path) or verify(trained, path, images, THREADS)
        name = str(path.relative_to(run / "exports"))
        files = [path] if path.is_file() else path.rglob("*")
        size = sum(file.stat().st_size for file in files if file.is_file())
        rows.append(_row(name, size, check, open_model(path), records, split))
    table = tabulate(
        rows, _HEADER, "github", disable_numparse=True, missingval="-"
    )
    text = (
        f"# Artifacts of {trained.name}\n\n{table}\n\n{_notes(records, split)}"
    )
    (run / "exports" / "report.md").write_text(text, encoding="utf-8")
    return text


def _row(
    name: str,
    size: int,
    check: Check | None,
    model: ImageModel,
    records: Records | None,
    split: str,
) -> list[str | None]:
    row = [name, f"{size / 1e6:.2f}"]
    row += [check and f"{check.milliseconds[count]:.1f}" for count in THREADS]
    row += [check and f"{check.difference:.1e}"]
    if records is None:
        return [*row, None, None, None, None]
    scores = evaluate(model, records, split)
    landmarks = scores["landmarks"] or {}
    category = scores["category"] or {}
    attributes = scores["attributes"] or {"recall@5": {}}
    return [
        *row,
        _number(landmarks.get("ne"), 1, 4),
        _number(category.get("top1"), 100, 2),
        _number(category.get("top3"), 100, 2),
        _number(attributes["recall@5"].get("all"), 100, 2),
    ]


def _number(value: float | None, factor: float, digits: int) -> str | None:
    if value is None or math.isnan(value):
        return None
    return f"{factor * value:.{digits}f}"


def _notes(records: Records | None, split: str) -> str:
    scored = (
        f"Scored on {records.images[split]} images of the {split} split. "
        if records
        else "Not scored: name data with --data. "
    )
    return (
        "Milliseconds are medians for one image in a clean process, for the "
        "SavedModel from the file's bytes to names. Differences are the "
        "largest from the network's predictions on the run's samples, of a "
        f"score or of a landmark in units of the image. {scored.strip()}\n"
        + ("" if webp_decoder() else _NO_WEBP)
    )
