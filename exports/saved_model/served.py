"""The network as TF Serving sees it: images in, points and names out."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from afn_keras.backend import tensorflow_variables
from afn_keras.loading import TrainedModel
from afn_keras.outputs import AnsweringModel
from afn_keras.outputs import MapsModel
from afn_keras.outputs import has_maps
from exports.saved_model.decode import Shown
from exports.saved_model.decode import show_images

TOP_CATEGORIES = 5
TOP_ATTRIBUTES = 20

_BYTES = tf.TensorSpec([None], tf.string, name="image_bytes")
_BOXES = tf.TensorSpec([None, 4], tf.float32, name="boxes")


class ServedModel(tf.Module):
    """Preprocessing, network, postprocessing and labels in one graph.

    `signatures` has five entries:

    - `serving_default`: `image_bytes` (B,), JPEG, PNG or WebP files, each
      shown whole and upright, as its EXIF says. Answers `landmarks` (B, L, 2)
      in pixels of the upright image, the first pixel's center at 0.0;
      `landmark_scores` (B, L); `category_names` and `category_scores` (B, 5),
      `attribute_names` and `attribute_scores` (B, 20), best first, fewer
      where the vocabulary has fewer; `valid` (B,). An image that does not
      decode, or has too many pixels, has `valid` false, zeros and empty
      names; its neighbors' answers do not change.
    - `boxes`: the same, and `boxes` (B, 4), x1, y1, x2, y2 of the garment in
      pixels of the upright image. A box that shows nothing of it has
      `valid` false.
    - `tensor`: `image` (B, S, S, 3) float32 RGB 0..255, a garment's box
      resized. Answers `landmarks` (B, L, 2) in 0..1 of the image,
      `landmark_scores` (B, L), and the probabilities `category` (B, C) and
      `attributes` (B, A): what the TFLite and ONNX files answer.
    - `raw`: `image_bytes` and `boxes` as of `boxes`. Answers what `tensor`
      does, landmarks in 0..1 of the box, and `valid` (B,).
    - `maps`: `image_bytes` (B,). Answers `heatmaps` (B, S, S, L), `attention`
      (B, S/8, S/8, F) in 0..1, both of the whole image squeezed into the
      square input, and `valid` (B,).

    Args:
        trained: what `load_model` returned.
    """

    def __init__(self, trained: TrainedModel) -> None:
        super().__init__(name="afn")
        self._side = trained.image_size
        # One function each, which the signatures share. As closures: what
        # Keras adds to a SavedModel that holds a model is half a megabyte.
        answering = AnsweringModel(trained.model, trained.decoding)
        images = [
            tf.TensorSpec(
                [None, self._side, self._side, 3], tf.float32, name="image"
            )
        ]
        self._ask = tf.function(
            lambda image: answering(image, training=False),
            input_signature=images,
        )
        self._maps = None
        if has_maps(trained.model):
            maps = MapsModel(trained.model)
            self._see = tf.function(
                lambda image: maps(image, training=False),
                input_signature=images,
            )
            self._maps = tf.function(self._show, input_signature=[_BYTES])
        self._tensor = tf.function(self._answer_tensor, input_signature=images)
        self._weights = tensorflow_variables(trained.model)
        vocabulary = trained.vocabulary
        self._landmarks = len(vocabulary.landmarks)
        self._categories = np.array(vocabulary.categories, dtype=object)
        self._attributes = np.array(vocabulary.attributes, dtype=object)

    @property
    def signatures(self) -> dict[str, Callable]:
        """The functions to save, by the names that clients ask for."""
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
        """Answers for images, each shown whole."""
        shown = show_images(image_bytes, None, self._side)
        return self._answers(shown, tf.shape(image_bytes)[0])

    @tf.function(input_signature=[_BYTES, _BOXES])
    def boxes(
        self, image_bytes: tf.Tensor, boxes: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Answers for one box in each image."""
        shown = show_images(image_bytes, boxes, self._side)
        return self._answers(shown, tf.shape(image_bytes)[0])

    @tf.function(input_signature=[_BYTES, _BOXES])
    def raw(
        self, image_bytes: tf.Tensor, boxes: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """All probabilities for one box in each image."""
        shown = show_images(image_bytes, boxes, self._side)
        answers = self._ask(shown.images)
        return _answered(shown.valid, answers, tf.shape(image_bytes)[0])

    def _show(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the network saw in images, each shown whole."""
        shown = show_images(image_bytes, None, self._side)
        maps = self._see(shown.images)
        batch = tf.shape(image_bytes)[0]
        return _answered(shown.valid, maps, batch)

    def _answer_tensor(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        batch = tf.shape(image)[0]
        # Not every convolution runs on an empty batch.
        image = tf.cond(
            batch > 0,
            lambda: image,
            lambda: tf.zeros([1, self._side, self._side, 3]),
        )
        answers = self._ask(image)
        return {name: value[:batch] for name, value in answers.items()}

    def _answers(self, shown: Shown, batch: tf.Tensor) -> dict[str, tf.Tensor]:
        answers = self._ask(shown.images)
        rows = tf.shape(shown.images)[0]
        landmarks = tf.zeros([rows, 0, 2])
        landmark_scores = tf.zeros([rows, 0])
        if self._landmarks:
            start, end = shown.boxes[:, None, :2], shown.boxes[:, None, 2:]
            # Pixel indices: the first pixel's center is at 0.0.
            landmarks = start + answers["landmarks"] * (end - start) - 0.5
            landmark_scores = answers["landmark_scores"]
        category_names, category_scores = _best(
            self._categories, answers.get("category"), TOP_CATEGORIES, rows
        )
        attribute_names, attribute_scores = _best(
            self._attributes, answers.get("attributes"), TOP_ATTRIBUTES, rows
        )
        return _answered(
            shown.valid,
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
    """The best names and scores, (rows, k) each, best first."""
    if scores is None:
        return tf.zeros([rows, 0], tf.string), tf.zeros([rows, 0])
    best, order = tf.math.top_k(scores, min(count, len(names)))
    return tf.gather(tf.constant(names), order), best


def _answered(
    valid: tf.Tensor, values: dict[str, tf.Tensor], batch: tf.Tensor
) -> dict[str, tf.Tensor]:
    """The first `batch` rows, zeros or "" where not valid, and `valid`."""
    answers = {"valid": valid[:batch]}
    for name, value in values.items():
        shape = tf.concat(
            [tf.shape(valid), tf.ones([tf.rank(value) - 1], tf.int32)], 0
        )
        blank = tf.where(tf.reshape(valid, shape), value, tf.zeros_like(value))
        answers[name] = blank[:batch]
    return answers
