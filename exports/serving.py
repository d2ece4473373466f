"""The network as TF Serving sees it: photographs in, points and names out."""

import numpy as np
import tensorflow as tf

from afn_keras.answers import AnsweringModel
from afn_keras.runs import TrainedModel
from pipelines.photographs import MAX_PIXELS
from pipelines.resampling import EXACT
from pipelines.resampling import resample

TOP_CATEGORIES = 5
TOP_ATTRIBUTES = 20


class ServedModel(tf.Module):
    """Preprocessing, network, postprocessing and labels in one graph.

    Args:
        trained: what `load_model` returned.
    """

    def __init__(self, trained: TrainedModel) -> None:
        super().__init__(name="afn")
        self._model = AnsweringModel(trained.model)
        self._image_size = trained.image_size
        vocabulary = trained.vocabulary
        self._landmarks = len(vocabulary.landmarks)
        self._categories = np.array(vocabulary.categories, dtype=object)
        self._attributes = np.array(vocabulary.attributes, dtype=object)

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")]
    )
    def serving_default(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Answers for encoded photographs, each shown whole.

        Args:
            image_bytes: (B,) JPEG, PNG, GIF or BMP files. EXIF rotation is
                not looked at.

        Returns:
            `landmarks` (B, L, 2) in pixels of the photograph,
            `landmark_scores` (B, L), `category_names` and `category_scores`
            (B, 5), `attribute_names` and `attribute_scores` (B, 20), best
            first, `valid` (B,). Fewer names where the vocabulary has fewer.
            A photograph that does not decode has `valid` false and zeros; its
            neighbours' answers do not change.
        """
        images, sizes, valid = self._decode(image_bytes)
        batch = tf.shape(image_bytes)[0]
        answers = {
            name: value[:batch]
            for name, value in self._model(images, training=False).items()
        }
        sizes, valid = sizes[:batch], valid[:batch]
        landmarks = tf.zeros([batch, 0, 2])
        landmark_scores = tf.zeros([batch, 0])
        if self._landmarks:
            # Pixel indices: the first pixel's centre is at 0.0.
            landmarks = answers["landmarks"] * sizes[:, None, :] - 0.5
            landmark_scores = answers["landmark_scores"]
        category_names, category_scores = _best(
            self._categories, answers.get("category"), TOP_CATEGORIES, batch
        )
        attribute_names, attribute_scores = _best(
            self._attributes, answers.get("attributes"), TOP_ATTRIBUTES, batch
        )
        results = {
            "landmarks": landmarks,
            "landmark_scores": landmark_scores,
            "category_names": category_names,
            "category_scores": category_scores,
            "attribute_names": attribute_names,
            "attribute_scores": attribute_scores,
        }
        results = {
            name: _blank_unless(valid, value) for name, value in results.items()
        }
        return results | {"valid": valid}

    def _decode(
        self, image_bytes: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Images, (width, height) of the photographs, and which decoded.

        At least one row, even of an empty batch.

        A graph cannot catch a decoder's error, but a tf.data pipeline inside
        it can: it drops the photograph and goes on.
        """
        side = self._image_size
        batch = tf.shape(image_bytes)[0]

        def decode(index: tf.Tensor, encoded: tf.Tensor) -> tuple:
            with tf.control_dependencies([_check_size(encoded)]):
                image = tf.cond(
                    _is_jpeg(encoded),
                    lambda: tf.io.decode_jpeg(
                        encoded, channels=3, dct_method=EXACT
                    ),
                    lambda: tf.io.decode_image(
                        encoded, channels=3, expand_animations=False
                    ),
                )
            image.set_shape([None, None, 3])
            size = tf.cast(tf.shape(image)[1::-1], tf.float32)
            window = tf.concat([[0.0, 0.0], size], 0)
            return index, resample(image, window, side), size

        decoded = (
            tf.data.Dataset.from_tensor_slices((tf.range(batch), image_bytes))
            .map(decode, tf.data.AUTOTUNE)
            .ignore_errors()
        )
        # One row more than the batch, so that there is always one to take.
        spare = tf.data.Dataset.from_tensors(
            (batch, tf.zeros([side, side, 3]), tf.ones([2]))
        )
        decoded = decoded.concatenate(spare)
        rows, images, sizes = decoded.batch(
            tf.cast(batch, tf.int64) + 1
        ).get_single_element()
        place = rows[:, None]
        images = tf.scatter_nd(place, images, [batch + 1, side, side, 3])
        sizes = tf.scatter_nd(place, sizes, [batch + 1, 2])
        valid = tf.scatter_nd(place, tf.ones_like(rows), [batch + 1]) > 0
        # The spare row stays where it is the only one: not every convolution
        # runs on an empty batch.
        rows = tf.maximum(batch, 1)
        return images[:rows], sizes[:rows], valid[:rows]


def _is_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    return tf.strings.substr(encoded, 0, 2) == b"\xff\xd8"


def _check_size(encoded: tf.Tensor) -> tf.Operation:
    """Stops a JPEG or PNG that would decode to more than `MAX_PIXELS`."""
    png = tf.strings.substr(encoded, 0, 8) == b"\x89PNG\r\n\x1a\n"

    def of_jpeg() -> tf.Tensor:
        return tf.cast(tf.io.extract_jpeg_shape(encoded)[:2], tf.int64)

    def of_png() -> tf.Tensor:
        # Width and height are the two big-endian words behind the header.
        words = tf.io.decode_raw(
            tf.strings.substr(encoded, 16, 8), tf.int32, little_endian=False
        )
        return tf.cast(words, tf.int64)

    size = tf.cond(
        _is_jpeg(encoded),
        of_jpeg,
        lambda: tf.cond(png, of_png, lambda: tf.ones([2], tf.int64)),
    )
    return tf.debugging.assert_less_equal(
        tf.reduce_prod(size), tf.constant(MAX_PIXELS, tf.int64)
    )


def _best(
    names: np.ndarray, scores: tf.Tensor | None, count: int, batch: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The best names and scores, (B, k) each, best first."""
    if scores is None:
        return tf.zeros([batch, 0], tf.string), tf.zeros([batch, 0])
    best, order = tf.math.top_k(scores, min(count, len(names)))
    return tf.gather(tf.constant(names), order), best


def _blank_unless(valid: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    shape = tf.concat(
        [tf.shape(valid), tf.ones([tf.rank(value) - 1], tf.int32)], 0
    )
    return tf.where(tf.reshape(valid, shape), value, tf.zeros_like(value))
