"""The network for TF Serving: takes images, returns points and names."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from afn_keras.backend import tensorflow_variables
from afn_keras.loading import TrainedModel
from afn_keras.outputs import MapsModel
from afn_keras.outputs import PredictionModel
from afn_keras.outputs import has_maps
from exports.saved_model.decode import NetworkInput
from exports.saved_model.decode import preprocess_images

TOP_CATEGORIES = 5
TOP_ATTRIBUTES = 20

_BYTES = tf.TensorSpec([None], tf.string, name="image_bytes")
_BOXES = tf.TensorSpec([None, 4], tf.float32, name="boxes")


class ServedModel(tf.Module):
    """Preprocessing, network, postprocessing and labels in one graph.

    `signatures` has five entries:

    - `serving_default` takes `image_bytes` (B,), JPEG, PNG or WebP files,
      turned upright by their EXIF orientation. It returns `landmarks`
      (B, L, 2) in pixels of the upright image, the first pixel's center at
      0.0; `landmark_scores` (B, L); `category_names` and `category_scores`
      (B, 5), `attribute_names` and `attribute_scores` (B, 20), best first,
      fewer if the vocabulary has fewer; `valid` (B,). An image that does not
      decode, or has too many pixels, has `valid` false, zeros and empty
      names, and does not affect the others of the batch.
    - `boxes` takes also `boxes` (B, 4), x1, y1, x2, y2 of the garment in
      pixels of the upright image, and returns the same. A box outside the
      image has `valid` false.
    - `tensor` takes `image` (B, S, S, 3) float32 RGB 0..255, a garment's box
      resized. It returns `landmarks` (B, L, 2) in 0..1 of the image,
      `landmark_scores` (B, L), and the probabilities `category` (B, C) and
      `attributes` (B, A), like the TFLite and ONNX files.
    - `raw` takes `image_bytes` and `boxes` like `boxes`. It returns the
      outputs of `tensor`, landmarks in 0..1 of the box, and `valid` (B,).
    - `maps` takes `image_bytes` (B,). It returns `heatmaps` (B, S, S, L) and
      `attention` (B, S/8, S/8, F) in 0..1, both of the whole image resized to
      the square input, and `valid` (B,).

    Args:
        trained: a model from `load_model`.
    """

    def __init__(self, trained: TrainedModel) -> None:
        super().__init__(name="afn")
        self._side = trained.image_size
        # Functions that the signatures share. They are closures, because Keras
        # adds half a megabyte to a SavedModel that contains a model.
        model = PredictionModel(trained.model, trained.decoding)
        images = [
            tf.TensorSpec(
                [None, self._side, self._side, 3], tf.float32, name="image"
            )
        ]
        self._predict = tf.function(
            lambda image: model(image, training=False),
            input_signature=images,
        )
        self._maps = None
        if has_maps(trained.model):
            maps = MapsModel(trained.model)
            self._network_maps = tf.function(
                lambda image: maps(image, training=False),
                input_signature=images,
            )
            self._maps = tf.function(self._show_maps, input_signature=[_BYTES])
        self._tensor = tf.function(self._predict_tensor, input_signature=images)
        self._weights = tensorflow_variables(trained.model)
        vocabulary = trained.vocabulary
        self._landmarks = len(vocabulary.landmarks)
        self._categories = np.array(vocabulary.categories, dtype=object)
        self._attributes = np.array(vocabulary.attributes, dtype=object)

    @property
    def signatures(self) -> dict[str, Callable]:
        """Returns the functions to save, by signature name."""
        signatures = {
            "serving_default": self.serving_default,
            "boxes": self.boxes,
            "tensor": self._tensor,
            "raw": self.raw,
        }
        if self._maps is not None:
            signatures["maps"] = self._maps
        return signatures

    @tf.function(input_signature=[_BYTES])
    def serving_default(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Predicts whole images."""
        inputs = preprocess_images(image_bytes, None, self._side)
        return self._decode(inputs, tf.shape(image_bytes)[0])

    @tf.function(input_signature=[_BYTES, _BOXES])
    def boxes(
        self, image_bytes: tf.Tensor, boxes: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Predicts one box in each image."""
        inputs = preprocess_images(image_bytes, boxes, self._side)
        return self._decode(inputs, tf.shape(image_bytes)[0])

    @tf.function(input_signature=[_BYTES, _BOXES])
    def raw(
        self, image_bytes: tf.Tensor, boxes: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Predicts all probabilities for one box in each image."""
        inputs = preprocess_images(image_bytes, boxes, self._side)
        outputs = self._predict(inputs.images)
        return _mask_invalid(inputs.valid, outputs, tf.shape(image_bytes)[0])

    def _show_maps(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the maps of whole images."""
        inputs = preprocess_images(image_bytes, None, self._side)
        maps = self._network_maps(inputs.images)
        batch = tf.shape(image_bytes)[0]
        return _mask_invalid(inputs.valid, maps, batch)

    def _predict_tensor(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = tf.shape(image)[0]
        # Not every convolution runs on an empty batch.
        image = tf.cond(
            batch > 0,
            lambda: image,
            lambda: tf.zeros([1, self._side, self._side, 3]),
        )
        outputs = self._predict(image)
        return {name: value[:batch] for name, value in outputs.items()}

    def _decode(
        self, inputs: NetworkInput, batch: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        outputs = self._predict(inputs.images)
        rows = tf.shape(inputs.images)[0]
        landmarks = tf.zeros([rows, 0, 2])
        landmark_scores = tf.zeros([rows, 0])
        if self._landmarks:
            start, end = inputs.boxes[:, None, :2], inputs.boxes[:, None, 2:]
            # Pixel indices: the first pixel's center is at 0.0.
            landmarks = start + outputs["landmarks"] * (end - start) - 0.5
            landmark_scores = outputs["landmark_scores"]
        category_names, category_scores = _best(
            self._categories, outputs.get("category"), TOP_CATEGORIES, rows
        )
        attribute_names, attribute_scores = _best(
            self._attributes, outputs.get("attributes"), TOP_ATTRIBUTES, rows
        )
        return _mask_invalid(
            inputs.valid,
            {
                "landmarks": landmarks,
                "landmark_scores": landmark_scores,
                "category_names": category_names,
                "category_scores": category_scores,
                "attribute_names": attribute_names,
                "attribute_scores": attribute_scores,
            },
            batch,
        )


def _best(
    names: np.ndarray, scores: tf.Tensor | None, count: int, rows: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the best names and scores, (rows, k) each, best first."""
    if scores is None:
        return tf.zeros([rows, 0], tf.string), tf.zeros([rows, 0])
    best, order = tf.math.top_k(scores, min(count, len(names)))
    return tf.gather(tf.constant(names), order), best


def _mask_invalid(
    valid: tf.Tensor, values: dict[str, tf.Tensor], batch: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Returns `batch` rows, zeros or "" if not valid, and `valid`."""
    outputs = {"valid": valid[:batch]}
    for name, value in values.items():
        shape = tf.concat(
            [tf.shape(valid), tf.ones([tf.rank(value) - 1], tf.int32)], 0
        )
        blank = tf.where(tf.reshape(valid, shape), value, tf.zeros_like(value))
        outputs[name] = blank[:batch]
    return outputs
