"""Monitors training: details, pictures, warnings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tensorflow as tf

from afn_keras.backend import keras
from afn_keras.drawing import draw_point
from afn_keras.heatmaps import Decoding
from afn_keras.outputs import PredictionModel
from afn_keras.prediction import PRESENT
from afn_keras.training.devices import on_one_device
from pipelines.vocabulary import Vocabulary

# A head is constant if its predictions differ less than this between images,
# in fractions of the image or in probability.
_TOLERANCE = 1e-3
# Epochs with constant predictions after which to warn.
_EPOCHS = 3
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
        """Adds them; validation is last, so the metric holds its errors."""
        ratios = self.metric.ratios()
        for name, ratio in zip(self.names, ratios, strict=True):
            logs[f"val_heatmaps_ne_{name}"] = float(ratio)


class PredictionMonitor(keras.callbacks.Callback):
    """Predicts a few images after each epoch.

    Draws true and predicted landmarks for TensorBoard, and warns if a head
    does not learn: if it predicts the same for every image.

    Args:
        image: (N, S, S, 3) RGB 0..255, images that are not trained on.
        targets: as in `load_split`.
        vocabulary: names of the labels.
        decoding: how heatmaps are decoded.
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
        self._constant: dict[str, int] = {}

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Builds the model that decodes the network's outputs."""
        with on_one_device() as shared:
            network = self.model
            if shared:
                # Without the compiled training.
                network = keras.Model(network.input, network.output)
                network = self._copy = keras.models.clone_model(network)
            self._prediction_model = PredictionModel(network, self.decoding)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Draws and warns."""
        with on_one_device() as shared:
            if shared:
                self._copy.set_weights(self.model.get_weights())
            predictions = self._prediction_model.predict_on_batch(self.image)
        self._warn(predictions)
        with self._writer.as_default(step=epoch):
            tf.summary.image(
                "predictions",
                self._draw(predictions)[None],
                description=_LEGEND,
            )
        self._writer.flush()

    def _warn(self, predictions: dict[str, np.ndarray]) -> None:
        for what in constant_heads(predictions, self.vocabulary):
            self._constant[what] = self._constant.get(what, 0) + 1
            if self._constant[what] == _EPOCHS:
                print(
                    f"warning: {what}: the same prediction for every image "
                    f"in {_EPOCHS} epochs; a higher or lower learning_rate, "
                    "or more weight for its loss, may help"
                )

    def _draw(self, predictions: dict[str, np.ndarray]) -> np.ndarray:
        """Draws images side by side, truth above and predictions below."""
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
                points = predictions["landmarks"][i]
                unsure = predictions["landmark_scores"][i] < PRESENT
                for k in np.flatnonzero(truth[:, 2]):
                    for row, (x, y), mark in (
                        (rows[0], truth[k, :2], "dot"),
                        (rows[1], points[k], "ring" if unsure[k] else "dot"),
                    ):
                        draw_point(row, names[k], x * _SIDE, y * _SIDE, mark)
            columns.append(np.vstack(rows))
        return np.hstack(columns)


_LEGEND = (
    "Images of the val split: truth above, predictions below, of labeled "
    "landmarks; a ring has a score below 50%."
)


def constant_heads(
    predictions: dict[str, np.ndarray], vocabulary: Vocabulary
) -> list[str]:
    """Finds heads that predict the same for every image.

    Args:
        predictions: outputs of `PredictionModel`, for several images.
        vocabulary: names of the labels.

    Returns:
        "category", "attributes" and names of landmarks. Empty for fewer than
        four images, whose predictions may well be equal.
    """
    constant = []
    if len(next(iter(predictions.values()))) < _FEWEST:
        return constant
    if "landmarks" in predictions:
        spread = predictions["landmarks"].std(axis=0).max(axis=-1)
        constant += [
            name
            for name, value in zip(vocabulary.landmarks, spread, strict=True)
            if value < _TOLERANCE
        ]
    constant += [
        task
        for task in ("category", "attributes")
        if task in predictions
        and predictions[task].std(axis=0).max() < _TOLERANCE
    ]
    return constant
