"""Writes the SavedModel that TF Serving loads."""

from pathlib import Path

import tensorflow as tf

from afn_keras.runs import TrainedModel
from exports.serving import ServedModel
from pipelines.writing import fresh_folder


def export_saved_model(trained: TrainedModel, folder: Path) -> Path:
    """Writes the next version below `folder`, as TF Serving expects it.

    Args:
        trained: what `load_model` returned.
        folder: holds one folder a version, named by an integer. The new one
            is written aside and renamed into place, so a server that watches
            the folder never sees half of it.

    Returns:
        The version's folder.
    """
    version = next_version(folder)
    served = ServedModel(trained)
    with fresh_folder(Path(folder) / str(version)) as aside:
        tf.saved_model.save(
            served,
            str(aside),
            signatures={"serving_default": served.serving_default},
        )
        labels = aside / "assets.extra"
        labels.mkdir()
        trained.vocabulary.save(labels)
    return Path(folder) / str(version)


def next_version(folder: Path) -> int:
    """One more than the highest version in `folder`, from 1."""
    folder = Path(folder)
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return 1 + max((int(name) for name in names if name.isdigit()), default=0)
