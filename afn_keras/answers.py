"""From the network's tensors to answers: points and probabilities."""

from afn_keras.backend import keras
from afn_keras.backend import ops
from afn_keras.heatmaps import decode_heatmaps


def answering(model: keras.Model) -> keras.Model:
    """The same network with what follows it in the graph.

    Everything that shows a person an answer goes through here (prediction,
    SavedModel, TFLite), so that all give the same.

    Args:
        model: what `build_afn` made.

    Returns:
        A model from the same `image` to a dict of those of these that the
        network has: `landmarks` (B, L, 2) x, y in 0..1 of the image,
        `landmark_scores` (B, L) heights of the peaks in 0..1,
        `category` (B, C) and `attributes` (B, A) probabilities.
    """
    outputs = model.output
    answers = {}
    if "heatmaps" in outputs:
        points, heights = decode_heatmaps(outputs["heatmaps"])
        answers["landmarks"] = ops.clip(points, 0.0, 1.0)
        answers["landmark_scores"] = ops.clip(heights, 0.0, 1.0)
    if "category" in outputs:
        answers["category"] = ops.softmax(outputs["category"])
    if "attributes" in outputs:
        answers["attributes"] = ops.sigmoid(outputs["attributes"])
    return keras.Model(model.input, answers, name="afn_answers")
