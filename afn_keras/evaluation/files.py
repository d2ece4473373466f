"""Writes the files of an evaluation."""

import json
from pathlib import Path
from typing import Any

from afn_keras.evaluation.tables import paper_tables
from pipelines.errors import InputError


def write_evaluation(
    evaluation: dict[str, Any], name: str, folder: Path
) -> None:
    """Writes `evaluation.json` and `evaluation.md` into a folder.

    Raises:
        InputError: if the folder cannot be written.
    """
    folder = Path(folder)
    text = json.dumps(evaluation, indent=1) + "\n"
    tables = paper_tables(evaluation, name) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "evaluation.json").write_text(text, encoding="utf-8")
        (folder / "evaluation.md").write_text(tables, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror}); "
            "choose another folder with --output"
        ) from error
