"""From the network's tensors to answers: points and probabilities."""

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


class Answering(Protocol):
    """What answers for images: a trained network, or an artifact of one.

    `Predictor` and `evaluate` take any.
    """

    name: str
    vocabulary: Vocabulary

    answer_encoded: Callable[[np.ndarray, np.ndarray], dict] | None
    """As `answer`, of what decodes and crops images itself; else None.

    Takes (B,) encoded images and (B, 4) boxes, x1, y1, x2, y2 in pixels of the
    upright image.
    """

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels."""

    def answer(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Answers for a batch, as `AnsweringModel` gives them.

        Args:
            images: (B, S, S, 3) float32 RGB 0..255.
        """

    def maps(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Maps for a batch, as `MapsModel` gives them; empty without any.

        Args:
            images: (B, S, S, 3) float32 RGB 0..255.
        """


class AnsweringModel(keras.Model):
    """A network with what follows it in the graph.

    Everything that shows a person an answer goes through here (prediction,
    SavedModel, TFLite, ONNX), so that all give the same.

    Args:
        network: what `build_afn` made.
        decoding: how points are read off heatmaps.

    Calling it takes the network's `image` and gives a dict of those of these
    that the network has: `landmarks` (B, L, 2) x, y in 0..1 of the image,
    `landmark_scores` (B, L) heights of the peaks in 0..1, `category` (B, C)
    and `attributes` (B, A) probabilities.
    """

    def __init__(
        self, network: keras.Model, decoding: Decoding = "subpixel"
    ) -> None:
        super().__init__(name="afn_answers")
        self.network = network
        self.decoding = decoding
        self.build(network.input_shape)

    def call(self, image: Any, training: bool = False) -> dict[str, Any]:
        """Answers for a batch of images."""
        outputs = self.network(image, training=training)
        answers = {}
        if "heatmaps" in outputs:
            points, heights = decode_heatmaps(
                outputs["heatmaps"], self.decoding
            )
            answers["landmarks"] = ops.clip(points, 0.0, 1.0)
            answers["landmark_scores"] = ops.clip(heights, 0.0, 1.0)
        if "category" in outputs:
            logits = outputs["category"]
            answers["category"] = (
                ops.softmax(logits)
                if logits.shape[-1] > 1
                # Of one category it is 1, which Keras would warn of.
                else ops.ones_like(logits)
            )
        if "attributes" in outputs:
            answers["attributes"] = ops.sigmoid(outputs["attributes"])
        return answers


@dataclasses.dataclass(frozen=True)
class FlipAveraged:
    """Answers with the average of an image's and its mirror image's.

    Points are averaged, not heatmaps, and probabilities. It costs twice as
    much; how a network is evaluated without it is how it is served.

    Args:
        answering: what answers for both.
    """

    answering: Answering
    answer_encoded: ClassVar[None] = None  # A file is not mirrored.

    @property
    def name(self) -> str:
        """Says what was done."""
        return f"{self.answering.name} (flip)"

    @property
    def vocabulary(self) -> Vocabulary:
        """Names of the labels."""
        return self.answering.vocabulary

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels."""
        return self.answering.image_size

    def answer(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Answers for a batch; see `AnsweringModel`."""
        answers = self.answering.answer(images)
        mirrored = self.answering.answer(
            np.ascontiguousarray(images[:, :, ::-1])
        )
        if "landmarks" in mirrored:
            # In a mirrored image each left landmark is its pair's right one.
            # Where there is none, that image does not know the landmark.
            order = np.array(self.vocabulary.flipped_landmarks(), int)
            points = mirrored["landmarks"][:, order] * [-1, 1] + [1, 0]
            scores = mirrored["landmark_scores"][:, order]
            paired = order >= 0
            mirrored["landmarks"] = np.where(
                paired[:, None], points, answers["landmarks"]
            )
            mirrored["landmark_scores"] = np.where(
                paired, scores, answers["landmark_scores"]
            )
        return {
            name: ((value + mirrored[name]) / 2).astype(np.float32)
            for name, value in answers.items()
        }

    def maps(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Maps for a batch, not averaged; see `MapsModel`."""
        return self.answering.maps(images)


class MapsModel(keras.Model):
    """A network's maps instead of its answers, for those who want to see.

    Args:
        network: what `build_afn` made.

    Calling it takes the network's `image` and gives what it has of
    `attention` (B, S/8, S/8, F), in 0..1 (-1..1 if it is the released
    code's), and `heatmaps` (B, S, S, L), an eighth of it without upsampling.

    Raises:
        ValueError: if it has neither; `has_maps` tells.
    """

    def __init__(self, network: keras.Model) -> None:
        super().__init__(name="afn_maps")
        outputs = _maps(network)
        if not outputs:
            raise ValueError("the network has neither attention nor heatmaps")
        self.network = keras.Model(network.input, outputs)
        self.build(network.input_shape)

    def call(self, image: Any, training: bool = False) -> dict[str, Any]:
        """Maps for a batch of images."""
        return self.network(image, training=training)


def has_maps(network: keras.Model) -> bool:
    """Whether a network has any map for `MapsModel` to show."""
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
