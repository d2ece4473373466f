"""Shows what a network learns while it learns: details, pictures, warnings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tensorflow as tf

from afn_keras.backend import keras
from afn_keras.drawing import draw_point
from afn_keras.heatmaps import Decoding
from afn_keras.outputs import AnsweringModel
from afn_keras.prediction import PRESENT
from afn_keras.training.devices import on_one_device
from pipelines.vocabulary import Vocabulary

# A head whose answers differ less than this between images, in fractions
# of the image or of certainty, answers the same whatever it is shown.
_ALIKE = 1e-3
# Epochs after which that is no longer the beginning.
_BEGINNING = 3
_FEWEST = 4
_PICTURES = 8
_SIDE = 256


class LandmarkDetails(keras.callbacks.Callback):
    """Adds NE of each landmark on the val split to the logs.

    Args:
        metric: the `NormalizedError` that the model was compiled with.
        names: of the landmarks.
    """

    def __init__(self, metric: Any, names: Sequence[str]) -> None:
        super().__init__()
        self.metric = metric
        self.names = names

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Adds them; what the metric holds is of validation, which is last."""
        ratios = self.metric.ratios()
        for name, ratio in zip(self.names, ratios, strict=True):
            logs[f"val_heatmaps_ne_{name}"] = float(ratio)


class Watch(keras.callbacks.Callback):
    """Looks at a few images after each epoch.

    Draws the landmarks that are predicted beside the true ones, for
    TensorBoard, and warns where a head learns nothing: where its answer is
    the same for every image.

    Args:
        image: (N, S, S, 3) RGB 0..255, images that are not trained on.
        targets: as `load_split` gives them.
        vocabulary: names of the labels.
        decoding: how points are read off heatmaps.
        logs: folder for TensorBoard.
    """

    def __init__(
        self,
        image: np.ndarray,
        targets: dict[str, np.ndarray],
        vocabulary: Vocabulary,
        decoding: Decoding,
        logs: Path,
    ) -> None:
        super().__init__()
        self.image = image
        self.targets = targets
        self.vocabulary = vocabulary
        self.decoding = decoding
        self._writer = tf.summary.create_file_writer(str(logs))
        self._alike: dict[str, int] = {}

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Adds to the network what makes answers of its outputs."""
        with on_one_device() as shared:
            network = self.model
            if shared:
                # Not as it was compiled.
                network = keras.Model(network.input, network.output)
                network = self._copy = keras.models.clone_model(network)
            self._answering = AnsweringModel(network, self.decoding)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Draws and warns."""
        with on_one_device() as shared:
            if shared:
                self._copy.set_weights(self.model.get_weights())
            answers = self._answering.predict_on_batch(self.image)
        self._warn(answers)
        with self._writer.as_default(step=epoch):
            tf.summary.image(
                "predictions", self._draw(answers)[None], description=_LEGEND
            )
        self._writer.flush()

    def _warn(self, answers: dict[str, np.ndarray]) -> None:
        for what in same_answers(answers, self.vocabulary):
            self._alike[what] = self._alike.get(what, 0) + 1
            if self._alike[what] == _BEGINNING:
                print(
                    f"warning: {what}: the same answer for every image, "
                    f"in {_BEGINNING} epochs; a larger or smaller "
                    "learning_rate, or more weight for its loss, may help"
                )

    def _draw(self, answers: dict[str, np.ndarray]) -> np.ndarray:
        """Images side by side, truth above and predictions below."""
        columns = []
        for i, image in enumerate(self.image[:_PICTURES]):
            picture = cv2.resize(
                image.round().astype(np.uint8),
                (_SIDE, _SIDE),
                interpolation=cv2.INTER_CUBIC,
            )
            rows = [picture.copy(), picture]
            names = self.vocabulary.landmarks
            if names:
                truth = self.targets["heatmaps"][i]
                points = answers["landmarks"][i]
                unsure = answers["landmark_scores"][i] < PRESENT
                for k in np.flatnonzero(truth[:, 2]):
                    for row, (x, y), mark in (
                        (rows[0], truth[k, :2], "dot"),
                        (rows[1], points[k], "ring" if unsure[k] else "dot"),
                    ):
                        draw_point(row, names[k], x * _SIDE, y * _SIDE, mark)
            columns.append(np.vstack(rows))
        return np.hstack(columns)


_LEGEND = (
    "Images of the val split: above the truth, below predictions, of "
    "landmarks that are labeled; a ring is one with a score below 50%."
)


def same_answers(
    answers: dict[str, np.ndarray], vocabulary: Vocabulary
) -> list[str]:
    """Which heads answer the same whatever they are shown.

    Args:
        answers: as `AnsweringModel` gives them, for several images.
        vocabulary: names of the labels.

    Returns:
        "category", "attributes" and names of landmarks. None of fewer than
        four images, which may well have the same answer.
    """
    alike = []
    if len(next(iter(answers.values()))) < _FEWEST:
        return alike
    if "landmarks" in answers:
        spread = answers["landmarks"].std(axis=0).max(axis=-1)
        alike += [
            name
            for name, value in zip(vocabulary.landmarks, spread, strict=True)
            if value < _ALIKE
        ]
    alike += [
        task
        for task in ("category", "attributes")
        if task in answers and answers[task].std(axis=0).max() < _ALIKE
    ]
    return alike
