"""Decodes and crops images inside a graph, and marks invalid ones.

Does with TensorFlow's own ops, since a server has nothing else, what
`pipelines.images.files` does with Pillow.
"""

from typing import NamedTuple

import tensorflow as tf

from afn_keras.backend import webp_decoder
from exports.saved_model.exif import JPEG_MARK
from exports.saved_model.exif import PNG_MARK
from exports.saved_model.exif import WEBP_MARK
from exports.saved_model.exif import orientation
from pipelines.images import EXACT
from pipelines.images import MAX_PIXELS
from pipelines.images import crop_window
from pipelines.images import resample
from pipelines.images import turn_upright

# More would decode faster, but hold the pixels of more images in memory.
_DECODED_AT_ONCE = 4

_CHUNK_HEADER = 4  # Bytes of a WebP chunk's length, after its name.


class NetworkInput(NamedTuple):
    """A batch of crops, as input of the network.

    Attributes:
        images: (B, S, S, 3) float32 RGB 0..255, zeros where not valid.
        boxes: (B, 4) float32 x1, y1, x2, y2 in pixels of the upright
            image.
        valid: (B,) bool, whether it decoded.
    """

    images: tf.Tensor
    boxes: tf.Tensor
    valid: tf.Tensor


def preprocess_images(
    image_bytes: tf.Tensor, boxes: tf.Tensor | None, side: int
) -> NetworkInput:
    """Decodes and resamples each image of a batch.

    A graph cannot catch a decoder's error, but a tf.data pipeline inside it
    can: it drops the image and continues.

    Args:
        image_bytes: (B,) JPEG, PNG or WebP files. EXIF orientation is applied.
        boxes: (B, 4) x1, y1, x2, y2 in pixels of the upright image;
            None for the whole image.
        side: side of the network's input, in pixels.

    Returns:
        One row per image, and one row for an empty batch, since not every
        convolution runs on an empty batch.
    """
    batch = tf.shape(image_bytes)[0]

    def show(index: tf.Tensor, encoded: tf.Tensor, *box: tf.Tensor) -> tuple:
        image = decode(encoded)
        size = tf.cast(tf.shape(image)[1::-1], tf.float32)
        window = box[0] if box else tf.concat([[0.0, 0.0], size], 0)
        # Also false for NaN.
        shows_something = tf.reduce_all(
            (window[:2] < window[2:]) & (window[:2] < size) & (window[2:] > 0)
        )
        shows_something &= tf.reduce_all(tf.math.is_finite(window))
        with tf.control_dependencies(
            [tf.debugging.Assert(shows_something, [window])]
        ):
            part, inside = crop_window(image, window, side)
        return index, resample(part, inside, side), window

    rows = (tf.range(batch), image_bytes)
    shown = (
        tf.data.Dataset.from_tensor_slices(
            rows if boxes is None else (*rows, boxes)
        )
        .map(show, _DECODED_AT_ONCE)
        .ignore_errors()
    )
    # One row more than the batch, so that there is always at least one.
    spare = tf.data.Dataset.from_tensors(
        (batch, tf.zeros([side, side, 3]), tf.constant([0.0, 0.0, 1.0, 1.0]))
    )
    index, images, windows = (
        shown.concatenate(spare)
        .batch(tf.cast(batch, tf.int64) + 1)
        .get_single_element()
    )
    place = index[:, None]
    images = tf.scatter_nd(place, images, [batch + 1, side, side, 3])
    windows = tf.scatter_nd(place, windows, [batch + 1, 4])
    valid = tf.scatter_nd(place, tf.ones_like(index), [batch + 1]) > 0
    rows = tf.maximum(batch, 1)
    return NetworkInput(images[:rows], windows[:rows], valid[:rows])


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes one image upright: (h, w, 3) uint8 RGB.

    Fails unless it is a complete JPEG, PNG or WebP file of at most
    `MAX_PIXELS`; TensorFlow 2.15 has no WebP decoder. GIF, BMP and animated
    WebP are rejected: their headers do not limit how much TensorFlow would
    decode.
    """
    is_jpeg = tf.strings.substr(encoded, 0, 2) == b"\xff\xd8"
    is_png = tf.strings.substr(encoded, 0, 8) == b"\x89PNG\r\n\x1a\n"
    kind = tf.where(is_jpeg, 0, tf.where(is_png, 1, 2))
    image = tf.switch_case(
        kind,
        [
            lambda: _decode_jpeg(encoded),
            lambda: _decode_png(encoded),
            lambda: _decode_webp(encoded) if webp_decoder() else _no_decoder(),
        ],
    )
    image.set_shape([None, None, 3])
    return image


def _decode_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    size = tf.io.extract_jpeg_shape(encoded)[:2]
    with tf.control_dependencies([_check_size(size)]):
        image = tf.io.decode_jpeg(encoded, channels=3, dct_method=EXACT)
    return turn_upright(image, orientation(encoded, JPEG_MARK))


def _decode_png(encoded: tf.Tensor) -> tf.Tensor:
    # Width and height are the two big-endian words after the signature and
    # the first chunk's name.
    header = tf.strings.substr(encoded, 16, 8)
    size = tf.io.decode_raw(header, tf.int32, little_endian=False)
    with tf.control_dependencies([_check_size(size)]):
        image = tf.io.decode_png(encoded, channels=4)
    image = turn_upright(image, orientation(encoded, PNG_MARK))
    return tf.cond(
        _has_alpha(encoded), lambda: _on_white(image), lambda: image[..., :3]
    )


def _has_alpha(encoded: tf.Tensor) -> tf.Tensor:
    """Returns whether a PNG has transparency.

    Without it, TensorFlow sets alpha to the largest value of a pixel in the
    file: 1, 3 or 15 of 255 if there are fewer than 8 bits per pixel.
    """
    header = tf.io.decode_raw(tf.strings.substr(encoded, 24, 2), tf.uint8)
    before_pixels = tf.strings.split(encoded, "IDAT", maxsplit=1)[0]
    names_one = tf.size(tf.strings.split(before_pixels, "tRNS")) > 1
    return (header[0] >= 8) | names_one


def _decode_webp(encoded: tf.Tensor) -> tf.Tensor:
    def number(start: int, count: int) -> tf.Tensor:
        digits = tf.strings.substr(encoded, start, count)
        digits = tf.cast(tf.io.decode_raw(digits, tf.uint8), tf.int32)
        digits = tf.ensure_shape(digits, [count])
        return tf.reduce_sum(digits * 256 ** tf.range(count))

    # Three layouts, each with the size at another offset. Source: WebP
    # container specification; RFC 6386, 9.1; WebP lossless, 3.
    chunk = tf.strings.substr(encoded, 12, 4)
    extended = chunk == b"VP8X"
    size = tf.case(
        [
            (
                extended,
                lambda: tf.stack([number(24, 3) + 1, number(27, 3) + 1]),
            ),
            (
                chunk == b"VP8L",
                lambda: tf.stack(
                    [
                        number(21, 2) % 2**14 + 1,
                        number(22, 3) // 2**6 % 2**14 + 1,
                    ]
                ),
            ),
        ],
        default=lambda: tf.stack(
            [number(26, 2) % 2**14, number(28, 2) % 2**14]
        ),
    )
    # All frames of an animation would be decoded: its flag must be 0.
    animated = tf.cond(extended, lambda: number(20, 1) // 2 % 2, lambda: 0)
    with tf.control_dependencies(
        [_check_size(size), tf.debugging.assert_equal(animated, 0)]
    ):
        image = webp_decoder()(encoded)[0]
    turn = orientation(encoded, WEBP_MARK, _CHUNK_HEADER)
    image = turn_upright(image, turn)
    return tf.cond(
        tf.shape(image)[2] == 4,
        lambda: _on_white(image),
        lambda: tf.ensure_shape(image, [None, None, 3]),
    )


def _no_decoder() -> tf.Tensor:
    fails = tf.debugging.Assert(False, ["no decoder"])
    with tf.control_dependencies([fails]):
        return tf.zeros([1, 1, 3], tf.uint8)


def _check_size(size: tf.Tensor) -> tf.Operation:
    """Fails before a decoder allocates memory for too many pixels."""
    pixels = tf.reduce_prod(tf.cast(size, tf.int64))
    return tf.debugging.assert_less_equal(
        pixels, tf.constant(MAX_PIXELS, tf.int64)
    )


def _on_white(image: tf.Tensor) -> tf.Tensor:
    """Blends (h, w, 4) uint8 RGBA with white, as in training."""

    def blended() -> tf.Tensor:
        color = tf.cast(image[..., :3], tf.float32)
        alpha = tf.cast(image[..., 3:], tf.float32) / 255.0
        return tf.cast(
            tf.round(color * alpha + 255.0 * (1.0 - alpha)), tf.uint8
        )

    image = tf.ensure_shape(image, [None, None, 4])
    opaque = tf.reduce_all(image[..., 3] == 255)
    return tf.cond(opaque, lambda: image[..., :3], blended)
