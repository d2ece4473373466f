"""Asks an artifact what the network is asked, and compares the answers."""

import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from afn_keras.loading import TrainedModel
from afn_keras.prediction import Prediction
from afn_keras.prediction import Predictor
from afn_keras.prediction import crop
from exports.errors import VerificationError
from exports.saved_model import loadable

BOUND = 1e-3
"""Largest difference of a score, and of a landmark in units of the image.

Kernels of other libraries add up in another order; on the networks here that
moves answers by some 1e-6.
"""

QUANTIZED_BOUND = 0.05
"""Largest median difference of a score where weights have fewer bits.

A landmark may jump where two peaks of its heatmap are nearly equal, so that
single answers prove nothing; the report scores a whole split.
"""

_QUANTIZED = ("afn_float16", "afn_dynamic", "afn_int8")
_STANDALONE = Path(__file__).parent / "standalone"
_REPEATS = 7


class Check(NamedTuple):
    """What came out when an artifact was asked in a process of its own.

    Attributes:
        difference: the largest from the network's answers, of a score or of a
            landmark in units of the image.
        milliseconds: for each number of threads the median for one
            image; for a SavedModel from its bytes on.
    """

    difference: float
    milliseconds: dict[int, float]


@dataclasses.dataclass(frozen=True)
class _Asked:
    answers: dict[str, np.ndarray]
    milliseconds: float


def verify(
    trained: TrainedModel,
    artifact: Path,
    images: Sequence[Path],
    threads: Sequence[int] = (2,),
) -> Check:
    """Compares an artifact with the network it came from.

    Args:
        trained: the network that was exported.
        artifact: a SavedModel's version folder, a TFLite or an ONNX file.
        images: JPEG files, each shown whole.
        threads: numbers of threads to time it with, a process each.

    Raises:
        VerificationError: if the artifact fails or answers otherwise.
    """
    if artifact.is_dir():
        ask, differences = _saved_model, _file_differences
    else:
        ask, differences = _file, _image_differences
    asked = {count: ask(trained, artifact, images, count) for count in threads}
    different = differences(
        trained, artifact, images, asked[threads[-1]].answers
    )
    every = np.concatenate([np.ravel(values) for values in different.values()])
    scores = np.concatenate(
        [
            np.ravel(values)
            for name, values in different.items()
            if name != "landmarks"
        ]
        or [every]
    )
    difference = float(every.max(initial=0.0))
    bound, measured = BOUND, difference
    if artifact.stem in _QUANTIZED:
        # NaN does not vanish in a median either.
        bound, measured = QUANTIZED_BOUND, float(np.median(scores))
    # Not `measured > bound`, which a NaN would pass.
    if not measured <= bound:
        raise VerificationError(
            f"{artifact}: its answers differ from the network's by "
            f"{measured:.2g}, more than {bound:g}; it should not be used"
        )
    return Check(
        difference,
        {count: asked[count].milliseconds for count in threads},
    )


def _saved_model(
    trained: TrainedModel,
    folder: Path,
    images: Sequence[Path],
    threads: int,
) -> _Asked:
    asked = _ask("saved_model_answers.py", folder, threads, images)
    if not asked.answers["valid"].all():
        raise VerificationError(f"{folder}: refuses a valid image")
    return asked


def _file(
    trained: TrainedModel,
    path: Path,
    images: Sequence[Path],
    threads: int,
) -> _Asked:
    script = {".tflite": "tflite_answers.py", ".onnx": "onnx_answers.py"}
    with tempfile.TemporaryDirectory() as scratch:
        pixels = Path(scratch) / "images.npy"
        np.save(pixels, _images(trained, images))
        return _ask(script[path.suffix], path, threads, [pixels])


def _images(trained: TrainedModel, images: Sequence[Path]) -> np.ndarray:
    return np.stack([crop(image, trained.image_size).image for image in images])


def _ask(
    script: str, artifact: Path, threads: int, inputs: Sequence[Path]
) -> _Asked:
    """Runs a script that knows neither Keras nor this project."""
    with (
        tempfile.TemporaryDirectory() as folder,
        loadable(Path(artifact).absolute()) as place,
    ):
        output = f"{folder}/answers.npz"
        # -I: no PYTHONPATH, nor the folder one stands in, to import from.
        command = [sys.executable, "-I", _STANDALONE / script]
        command += [place, output, threads, _REPEATS]
        command += [Path(name).absolute() for name in inputs]
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            # A path in a message of TensorFlow is in UTF-8 everywhere.
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1:]
            raise VerificationError(
                f"{artifact}: fails in a clean process: {' '.join(reason)}"
            )
        with np.load(output) as file:
            answers = dict(file)
    return _Asked(answers, float(answers.pop("milliseconds")))


def _file_differences(
    trained: TrainedModel,
    artifact: Path,
    images: Sequence[Path],
    answers: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """How far a SavedModel's answers are from the network's."""
    rows = [
        _differences(
            prediction, {name: value[index] for name, value in answers.items()}
        )
        for index, prediction in enumerate(Predictor(trained).predict(images))
    ]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _differences(prediction: Prediction, answers: dict) -> dict:
    sides = np.array(prediction.box[2:]) - prediction.box[:2]
    points = np.array(list(prediction.landmarks.values())).reshape(-1, 3)
    differences = {
        "landmarks": np.abs((answers["landmarks"] - points[:, :2]) / sides),
        "landmark_scores": np.abs(answers["landmark_scores"] - points[:, 2]),
    }
    for kind, expected in (
        ("category", prediction.categories),
        ("attribute", prediction.attributes),
    ):
        scores = dict(expected)
        names = np.char.decode(answers[f"{kind}_names"], "utf-8")
        # A name that only one of them lists had an equal rival.
        differences[kind] = np.array(
            [
                abs(score - scores.get(name, expected[-1][1]))
                for name, score in zip(
                    names, answers[f"{kind}_scores"], strict=True
                )
            ]
        )
    return differences


def _image_differences(
    trained: TrainedModel,
    artifact: Path,
    images: Sequence[Path],
    answers: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """How far the answers of a TFLite or ONNX file are from the network's."""
    expected = trained.answer(_images(trained, images))
    if set(answers) != set(expected):
        raise VerificationError(
            f"{artifact}: answers {sorted(answers)}, not {sorted(expected)}"
        )
    return {
        name: np.abs(answers[name] - value) for name, value in expected.items()
    }
