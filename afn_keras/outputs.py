"""Converts the network's tensors to predictions: points and probabilities."""

import dataclasses
from collections.abc import Callable
from typing import Any
from typing import ClassVar
from typing import Protocol

import numpy as np

from afn_keras.backend import keras
from afn_keras.backend import ops
from afn_keras.heatmaps import Decoding
from afn_keras.heatmaps import decode_heatmaps
from pipelines.vocabulary import Vocabulary


class ImageModel(Protocol):
    """A trained network or an artifact of one, which predicts images.

    `Predictor` and `evaluate` take any.
    """

    name: str
    vocabulary: Vocabulary

    predict_encoded: Callable[[np.ndarray, np.ndarray], dict] | None
    """Predicts encoded images; None if the model does not decode images.

    Takes (B,) encoded images and (B, 4) boxes, x1, y1, x2, y2 in pixels of the
    upright image; returns the same as `predict_images`.
    """

    @property
    def image_size(self) -> int:
        """Returns the side of the square input in pixels."""

    def predict_images(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Predicts a batch; returns the outputs of `PredictionModel`.

        Args:
            images: (B, S, S, 3) float32 RGB 0..255.
        """

    def maps(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the outputs of `MapsModel` for a batch; empty without maps.

        Args:
            images: (B, S, S, 3) float32 RGB 0..255.
        """


class PredictionModel(keras.Model):
    """A network with its postprocessing in the graph.

    Prediction, SavedModel, TFLite and ONNX all use it, so that their
    predictions are the same.

    Args:
        network: a network from `build_afn`.
        decoding: how heatmaps are decoded.

    Takes the network's `image` and returns a dict with those of these outputs
    that the network has: `landmarks` (B, L, 2) x, y in 0..1 of the image,
    `landmark_scores` (B, L) heights of the peaks in 0..1, `category` (B, C)
    and `attributes` (B, A) probabilities.
    """

    def __init__(
        self, network: keras.Model, decoding: Decoding = "subpixel"
    ) -> None:
        super().__init__(name="afn_predictions")
        self.network = network
        self.decoding = decoding
        self.build(network.input_shape)

    def call(self, image: Any, training: bool = False) -> dict[str, Any]:
        """Predicts a batch of images."""
        outputs = self.network(image, training=training)
        predictions = {}
        if "heatmaps" in outputs:
            points, heights = decode_heatmaps(
                outputs["heatmaps"], self.decoding
            )
            predictions["landmarks"] = ops.clip(points, 0.0, 1.0)
            predictions["landmark_scores"] = ops.clip(heights, 0.0, 1.0)
        if "category" in outputs:
            logits = outputs["category"]
            predictions["category"] = (
                ops.softmax(logits)
                if logits.shape[-1] > 1
                # For a single category, Keras would warn about softmax.
                else ops.ones_like(logits)
            )
        if "attributes" in outputs:
            predictions["attributes"] = ops.sigmoid(outputs["attributes"])
        return predictions


@dataclasses.dataclass(frozen=True)
class FlipAveraged:
    """A model that averages the predictions of an image and its mirror image.

    Averages points, not heatmaps, and probabilities. It takes twice as long.
    Artifacts are served without it.

    Args:
        model: the model to average.
    """

    model: ImageModel
    predict_encoded: ClassVar[None] = None  # A file is not mirrored.

    @property
    def name(self) -> str:
        """Returns the model's name with a note."""
        return f"{self.model.name} (flip)"

    @property
    def vocabulary(self) -> Vocabulary:
        """Returns the names of the labels."""
        return self.model.vocabulary

    @property
    def image_size(self) -> int:
        """Returns the side of the square input in pixels."""
        return self.model.image_size

    def predict_images(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Predicts a batch; see `PredictionModel`."""
        predictions = self.model.predict_images(images)
        mirrored = self.model.predict_images(
            np.ascontiguousarray(images[:, :, ::-1])
        )
        if "landmarks" in mirrored:
            # Mirroring swaps left and right landmarks. A landmark without its
            # partner has no prediction in the mirrored image.
            order = np.array(self.vocabulary.flipped_landmarks(), int)
            points = mirrored["landmarks"][:, order] * [-1, 1] + [1, 0]
            scores = mirrored["landmark_scores"][:, order]
            paired = order >= 0
            mirrored["landmarks"] = np.where(
                paired[:, None], points, predictions["landmarks"]
            )
            mirrored["landmark_scores"] = np.where(
                paired, scores, predictions["landmark_scores"]
            )
        return {
            name: ((value + mirrored[name]) / 2).astype(np.float32)
            for name, value in predictions.items()
        }

    def maps(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Returns maps of a batch, not averaged; see `MapsModel`."""
        return self.model.maps(images)


class MapsModel(keras.Model):
    """A network's attention and heatmaps, for visualization.

    Args:
        network: a network from `build_afn`.

    Takes the network's `image` and returns a dict with those of these outputs
    that the network has: `attention` (B, S/8, S/8, F), in 0..1 (-1..1 for the
    released code's), and `heatmaps` (B, S, S, L), or (B, S/8, S/8, L) without
    upsampling.

    Raises:
        ValueError: if it has neither; see `has_maps`.
    """

    def __init__(self, network: keras.Model) -> None:
        super().__init__(name="afn_maps")
        outputs = _maps(network)
        if not outputs:
            raise ValueError("the network has neither attention nor heatmaps")
        self.network = keras.Model(network.input, outputs)
        self.build(network.input_shape)

    def call(self, image: Any, training: bool = False) -> dict[str, Any]:
        """Returns the maps of a batch of images."""
        return self.network(image, training=training)


def has_maps(network: keras.Model) -> bool:
    """Returns whether a network has any map for `MapsModel`."""
    return bool(_maps(network))


def _maps(network: keras.Model) -> dict[str, Any]:
    maps = {
        layer.name: layer.output
        for layer in network.layers
        if layer.name == "attention"
    }
    if "heatmaps" in network.output:
        maps["heatmaps"] = network.output["heatmaps"]
    return maps
