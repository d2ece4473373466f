"""Asks an artifact what the network is asked, and compares the answers."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from afn_keras.answers import AnsweringModel
from afn_keras.prediction import Prediction
from afn_keras.prediction import Predictor
from afn_keras.prediction import shown
from afn_keras.runs import TrainedModel
from exports.errors import VerificationError

BOUND = 1e-3
"""Largest difference of a score, and of a landmark in units of the image.

Kernels of other libraries add up in another order; on the networks here that
moves answers by some 1e-6.
"""

_STANDALONE = Path(__file__).parent / "standalone"


def verify_saved_model(
    trained: TrainedModel, folder: Path, photographs: Sequence[Path]
) -> float:
    """Compares a SavedModel with the network on whole photographs.

    Args:
        trained: the network that was exported.
        folder: the version's folder.
        photographs: JPEG files without EXIF rotation.

    Returns:
        The largest difference, in the unit of `BOUND`.

    Raises:
        VerificationError: if the artifact fails or differs by more.
    """
    answers = _ask("saved_model_answers.py", folder, photographs)
    if not answers["valid"].all():
        raise VerificationError(f"{folder}: refuses a valid photograph")
    expected = Predictor(trained).predict(photographs)
    differences = []
    for index, prediction in enumerate(expected):
        differences += _differences(
            prediction, {name: value[index] for name, value in answers.items()}
        )
    return _judged(folder, differences)


def verify_tflite(
    trained: TrainedModel, path: Path, photographs: Sequence[Path]
) -> float:
    """Compares a TFLite file with the network; see `verify_saved_model`."""
    images = np.stack(
        [shown(photograph, trained.image_size)[0] for photograph in photographs]
    )
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/images.npy", images)
        answers = _ask("tflite_answers.py", path, [f"{folder}/images.npy"])
    expected = AnsweringModel(trained.model).predict_on_batch(images)
    if set(answers) != set(expected):
        raise VerificationError(
            f"{path}: answers {sorted(answers)}, not {sorted(expected)}"
        )
    return _judged(
        path,
        [np.abs(answers[name] - value) for name, value in expected.items()],
    )


def _ask(script: str, artifact: Path, inputs: Sequence) -> dict:
    """Runs a script that knows neither Keras nor this project."""
    with tempfile.TemporaryDirectory() as folder:
        output = f"{folder}/answers.npz"
        # -I: no PYTHONPATH, nor the folder one stands in, to import from.
        command = [sys.executable, "-I", _STANDALONE / script]
        command += [Path(artifact).absolute(), output]
        command += [Path(name).absolute() for name in inputs]
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1:]
            raise VerificationError(
                f"{artifact}: fails in a clean process: {' '.join(reason)}"
            )
        with np.load(output) as answers:
            return dict(answers)


def _differences(prediction: Prediction, answers: dict) -> list[np.ndarray]:
    """How far a SavedModel's answers are from the network's."""
    sides = np.array(prediction.box[2:]) - prediction.box[:2]
    points = np.array(list(prediction.landmarks.values())).reshape(-1, 3)
    differences = [
        np.abs((answers["landmarks"] - points[:, :2]) / sides),
        np.abs(answers["landmark_scores"] - points[:, 2]),
    ]
    for kind, expected in (
        ("category", prediction.categories),
        ("attribute", prediction.attributes),
    ):
        scores = dict(expected)
        names = np.char.decode(answers[f"{kind}_names"].astype("S"), "utf-8")
        for name, score in zip(names, answers[f"{kind}_scores"], strict=True):
            # A name that only one of them lists had an equal rival.
            last = expected[-1][1]
            differences.append(np.abs(score - scores.get(name, last)))
    return differences


def _judged(artifact: Path, differences: list[np.ndarray]) -> float:
    every = np.concatenate([np.ravel(difference) for difference in differences])
    difference = float(every.max(initial=0.0))
    # Not `difference > BOUND`, which a NaN would pass.
    if not difference <= BOUND:
        raise VerificationError(
            f"{artifact}: its answers differ from the network's by "
            f"{difference:.2g}, more than {BOUND:g}; it should not be used"
        )
    return difference
