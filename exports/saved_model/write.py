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

# What TensorFlow Serving looks for.
_WARMUP = "tf_serving_warmup_requests"


def export_saved_model(
    trained: TrainedModel, folder: Path, image: bytes
) -> None:
    """Writes one version, with labels, model card and requests to warm up.

    Args:
        trained: what `load_model` returned.
        folder: the version's folder, named by an integer. It is written aside
            and renamed into place, so a server that watches its parent never
            sees half of it.
        image: an encoded image to warm up with.

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
    """Requests that make a server build all it needs before the first user.

    Without a name of the model: the server fills in its own.
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
    """A path under which TensorFlow loads a SavedModel.

    It takes the path of the variables for a pattern: it does not find those
    in `run[1]`. The path of a file stays as it is.
    """
    if not (artifact.is_dir() and re.search(r"[*?\[\\]", artifact.as_posix())):
        yield artifact
        return
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "1"
        try:
            place.symlink_to(artifact.absolute())
        except OSError:
            # On Windows not everybody may make links.
            shutil.copytree(artifact, place)
        yield place


def next_version(folder: Path) -> int:
    """One more than the highest version in `folder`, from 1."""
    return 1 + max(versions(folder), default=0)


def versions(folder: Path) -> list[int]:
    """The versions in `folder`, lowest first; none if there is no folder."""
    folder = Path(folder)
    paths = folder.iterdir() if folder.is_dir() else []
    # "007" and the digits of other scripts are nobody's version.
    return sorted(
        int(path.name)
        for path in paths
        if re.fullmatch("[1-9][0-9]*", path.name) and path.is_dir()
    )
