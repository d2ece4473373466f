"""Compares the predictions of an artifact with those of the network."""

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

Kernels of other libraries sum in another order, which changes predictions by
about 1e-6 for the networks here.
"""

QUANTIZED_BOUND = 0.05
"""Largest median difference of a score if weights are quantized.

A landmark may jump if two peaks of its heatmap are nearly equal, so single
predictions prove nothing; the report scores a whole split.
"""

_QUANTIZED = ("afn_float16", "afn_dynamic", "afn_int8")
_STANDALONE = Path(__file__).parent / "standalone"
_REPEATS = 7


class Check(NamedTuple):
    """Result of running an artifact in a clean process.

    Attributes:
        difference: the largest from the network's predictions, of a score or
            of a landmark in units of the image.
        milliseconds: for each number of threads, the median for one image;
            for a SavedModel, including decoding.
    """

    difference: float
    milliseconds: dict[int, float]


@dataclasses.dataclass(frozen=True)
class _Result:
    outputs: dict[str, np.ndarray]
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
        images: JPEG files, predicted without boxes.
        threads: numbers of threads to time it with, each in a new process.

    Raises:
        VerificationError: if the artifact fails or its predictions differ.
    """
    if artifact.is_dir():
        run, differences = _run_saved_model, _saved_model_differences
    else:
        run, differences = _run_file, _file_differences
    results = {
        count: run(trained, artifact, images, count) for count in threads
    }
    different = differences(
        trained, artifact, images, results[threads[-1]].outputs
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
        # The median of NaN is NaN, too.
        bound, measured = QUANTIZED_BOUND, float(np.median(scores))
    # Not `measured > bound`, which a NaN would pass.
    if not measured <= bound:
        raise VerificationError(
            f"{artifact}: its predictions differ from the network's by "
            f"{measured:.2g}, more than {bound:g}; do not use it"
        )
    return Check(
        difference,
        {count: results[count].milliseconds for count in threads},
    )


def _run_saved_model(
    trained: TrainedModel,
    folder: Path,
    images: Sequence[Path],
    threads: int,
) -> _Result:
    result = _run_script("predict_saved_model.py", folder, threads, images)
    if not result.outputs["valid"].all():
        raise VerificationError(f"{folder}: rejects a valid image")
    return result


def _run_file(
    trained: TrainedModel,
    path: Path,
    images: Sequence[Path],
    threads: int,
) -> _Result:
    script = {".tflite": "predict_tflite.py", ".onnx": "predict_onnx.py"}
    with tempfile.TemporaryDirectory() as scratch:
        pixels = Path(scratch) / "images.npy"
        np.save(pixels, _images(trained, images))
        return _run_script(script[path.suffix], path, threads, [pixels])


def _images(trained: TrainedModel, images: Sequence[Path]) -> np.ndarray:
    return np.stack([crop(image, trained.image_size).image for image in images])


def _run_script(
    script: str, artifact: Path, threads: int, inputs: Sequence[Path]
) -> _Result:
    """Runs a script that imports neither Keras nor this project."""
    with (
        tempfile.TemporaryDirectory() as folder,
        loadable(Path(artifact).absolute()) as place,
    ):
        output = f"{folder}/outputs.npz"
        # -I: imports from neither PYTHONPATH nor the current folder.
        command = [sys.executable, "-I", _STANDALONE / script]
        command += [place, output, threads, _REPEATS]
        command += [Path(name).absolute() for name in inputs]
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            # TensorFlow's messages are in UTF-8 on every system.
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
            outputs = dict(file)
    return _Result(outputs, float(outputs.pop("milliseconds")))


def _saved_model_differences(
    trained: TrainedModel,
    artifact: Path,
    images: Sequence[Path],
    outputs: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Returns the differences of a SavedModel from the network, by output."""
    rows = [
        _differences(
            prediction, {name: value[index] for name, value in outputs.items()}
        )
        for index, prediction in enumerate(Predictor(trained).predict(images))
    ]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _differences(prediction: Prediction, outputs: dict) -> dict:
    sides = np.array(prediction.box[2:]) - prediction.box[:2]
    points = np.array(list(prediction.landmarks.values())).reshape(-1, 3)
    differences = {
        "landmarks": np.abs((outputs["landmarks"] - points[:, :2]) / sides),
        "landmark_scores": np.abs(outputs["landmark_scores"] - points[:, 2]),
    }
    for kind, expected in (
        ("category", prediction.categories),
        ("attribute", prediction.attributes),
    ):
        scores = dict(expected)
        names = np.char.decode(outputs[f"{kind}_names"], "utf-8")
        # A name that only one of them lists has the score of the last one.
        differences[kind] = np.array(
            [
                abs(score - scores.get(name, expected[-1][1]))
                for name, score in zip(
                    names, outputs[f"{kind}_scores"], strict=True
                )
            ]
        )
    return differences


def _file_differences(
    trained: TrainedModel,
    artifact: Path,
    images: Sequence[Path],
    outputs: dict[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Returns the differences of a TFLite or ONNX file from the network."""
    expected = trained.predict_images(_images(trained, images))
    if set(outputs) != set(expected):
        raise VerificationError(
            f"{artifact}: has outputs {sorted(outputs)}, not {sorted(expected)}"
        )
    return {
        name: np.abs(outputs[name] - value) for name, value in expected.items()
    }
