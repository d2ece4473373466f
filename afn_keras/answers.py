"""From the network's tensors to answers: points and probabilities."""

from typing import Any

from afn_keras.backend import keras
from afn_keras.backend import ops
from afn_keras.heatmaps import decode_heatmaps


class AnsweringModel(keras.Model):
    """A network with what follows it in the graph.

    Everything that shows a person an answer goes through here (prediction,
    SavedModel, TFLite), so that all give the same.

    Args:
        network: what `build_afn` made.

    Calling it takes the network's `image` and gives a dict of those of these
    that the network has: `landmarks` (B, L, 2) x, y in 0..1 of the image,
    `landmark_scores` (B, L) heights of the peaks in 0..1, `category` (B, C)
    and `attributes` (B, A) probabilities.
    """

    def __init__(self, network: keras.Model) -> None:
        super().__init__(name="afn_answers")
        self.network = network
        self.build(network.input_shape)

    def call(self, image: Any, training: bool = False) -> dict[str, Any]:
        """Answers for a batch of images."""
        outputs = self.network(image, training=training)
        answers = {}
        if "heatmaps" in outputs:
            points, heights = decode_heatmaps(outputs["heatmaps"])
            answers["landmarks"] = ops.clip(points, 0.0, 1.0)
            answers["landmark_scores"] = ops.clip(heights, 0.0, 1.0)
        if "category" in outputs:
            answers["category"] = ops.softmax(outputs["category"])
        if "attributes" in outputs:
            answers["attributes"] = ops.sigmoid(outputs["attributes"])
        return answers
