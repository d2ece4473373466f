"""Resamples a window of an image to network input.

Without augmentation, every network input is made here, in training, evaluation,
prediction and the SavedModel. `resampling_numpy` does the same without
TensorFlow.
"""

import tensorflow as tf

from pipelines.images.jpeg import decode_part


def show(
    encoded: tf.Tensor,
    orientation: tf.Tensor,
    size: tf.Tensor,
    window: tf.Tensor,
    image_size: int,
) -> tf.Tensor:
    """Decodes and resamples a window of an encoded image.

    Args:
        encoded: JPEG or PNG bytes, a string scalar.
        orientation: EXIF orientation, 1 to 8, an integer scalar.
        size: (2,) int32 width and height of the upright image.
        window: (4,) float32 x1, y1, x2, y2 in pixels of the upright image; it
            may extend beyond the image.
        image_size: side of the result in pixels.

    Returns:
        (image_size, image_size, 3) float32 RGB, 0..255.
    """
    part, inside = decode_window(encoded, orientation, size, window, image_size)
    return resample(part, inside, image_size)


def decode_window(
    encoded: tf.Tensor,
    orientation: tf.Tensor,
    size: tf.Tensor,
    window: tf.Tensor,
    image_size: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes only the part of an image that a window needs.

    It has the arguments of `show`.

    Returns:
        The decoded part, (h, w, 3) uint8, and the window relative to it.
    """
    first, last = _needed(window, size, image_size)
    part = decode_part(encoded, orientation, first, last)
    return part, _relative(window, first)


def crop_window(
    image: tf.Tensor, window: tf.Tensor, image_size: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Does `decode_window` for an image (h, w, 3) that is decoded already."""
    first, last = _needed(window, tf.shape(image)[1::-1], image_size)
    part = image[first[1] : last[1], first[0] : last[0]]
    return part, _relative(window, first)


def resample(image: tf.Tensor, window: tf.Tensor, image_size: int) -> tf.Tensor:
    """Resamples a window to a square, without keeping its aspect ratio.

    Crop and resize are one antialiased resampling at sub-pixel positions: each
    pixel is the mean of those around its center, weighted by a triangle that
    extends to the next pixel's center. Pixels outside the image are black.

    Args:
        image: (h, w, 3), RGB 0..255.
        window: (4,) float32 x1, y1, x2, y2 in pixels of the image.
        image_size: side of the result in pixels.

    Returns:
        (image_size, image_size, 3) float32, 0..255.
    """
    scale = image_size / (window[2:] - window[:2])
    resampled = tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=[image_size, image_size],
        scale=scale[::-1],
        translation=(-window[:2] * scale)[::-1],
        kernel_type="triangle",
        antialias=True,
    )[0]
    resampled.set_shape([image_size, image_size, 3])
    return resampled


def _needed(
    window: tf.Tensor, size: tf.Tensor, image_size: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns first and last (x, y), half-open, of pixels with any weight."""
    # The triangle about an outermost pixel's center extends beyond the window.
    reach = tf.maximum((window[2:] - window[:2]) / image_size, 1.0)
    # A window outside the image still needs one pixel to decode.
    first = tf.clip_by_value(
        tf.cast(tf.floor(window[:2] - reach), tf.int32), 0, size - 1
    )
    last = tf.clip_by_value(
        tf.cast(tf.math.ceil(window[2:] + reach), tf.int32), first + 1, size
    )
    return first, last


def _relative(window: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
    """Returns the window in pixels of the part that starts at `first`."""
    return window - tf.cast(tf.concat([first, first], 0), tf.float32)
