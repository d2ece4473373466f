"""Writes the SavedModel that TF Serving loads."""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from afn_keras.loading import TrainedModel
from afn_keras.runs import CARD
from exports.saved_model.served import ServedModel
from pipelines.folders import fresh_folder

EXTRA = "assets.extra"
"""Subfolder of a version for files that are not part of the graph."""

# The file name that TensorFlow Serving expects.
_WARMUP = "tf_serving_warmup_requests"


def export_saved_model(
    trained: TrainedModel, folder: Path, image: bytes
) -> None:
    """Writes one version, with labels, model card and warmup requests.

    Args:
        trained: a model from `load_model`.
        folder: the version's folder, named by an integer. It is written aside
            and renamed, so that a server that polls its parent never loads a
            partial version.
        image: an encoded image for the warmup requests.

    Raises:
        InputError: if the version exists.
    """
    served = ServedModel(trained)
    with fresh_folder(Path(folder)) as aside:
        tf.saved_model.save(served, str(aside), signatures=served.signatures)
        extra = aside / EXTRA
        extra.mkdir()
        trained.vocabulary.save(extra)
        if trained.data:
            trained.data.save(extra)
        if trained.card:
            (extra / CARD).write_text(trained.card, encoding="utf-8")
        with tf.io.TFRecordWriter(str(extra / _WARMUP)) as writer:
            for log in warmup_requests(image):
                writer.write(log.SerializeToString())


def warmup_requests(image: bytes) -> list[PredictionLog]:
    """Creates requests that warm up a server before its first client.

    They have no model name: the server fills in its own.
    """
    logs = []
    for signature in ("serving_default", "boxes"):
        log = PredictionLog()
        request = log.predict_log.request
        request.model_spec.signature_name = signature
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([image]))
        if signature == "boxes":
            request.inputs["boxes"].CopyFrom(
                tf.make_tensor_proto([[0.0, 0.0, 9.0, 9.0]])
            )
        logs.append(log)
    return logs


@contextlib.contextmanager
def loadable(artifact: Path) -> Iterator[Path]:
    """Yields a path from which TensorFlow can load a SavedModel.

    TensorFlow takes the path of the variables for a pattern, and would not
    find those in `run[1]`. The path of a file does not change.
    """
    if not (artifact.is_dir() and re.search(r"[*?\[\\]", artifact.as_posix())):
        yield artifact
        return
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "1"
        try:
            place.symlink_to(artifact.absolute())
        except OSError:
            # On Windows, creating links needs a permission.
            shutil.copytree(artifact, place)
        yield place


def next_version(folder: Path) -> int:
    """Returns one more than the highest version in `folder`, from 1."""
    return 1 + max(versions(folder), default=0)


def versions(folder: Path) -> list[int]:
    """Returns the versions in `folder`, lowest first; empty if missing."""
    folder = Path(folder)
    paths = folder.iterdir() if folder.is_dir() else []
    # Not "007", nor digits of other scripts.
    return sorted(
        int(path.name)
        for path in paths
        if re.fullmatch("[1-9][0-9]*", path.name) and path.is_dir()
    )
