"""Photograph to network input: one window, decoded and resampled once."""

import tensorflow as tf

# TensorFlow's default is a fast transform that is up to 10 of 255 off and moves
# a dot by 0.06 pixels; every other decoder shows what this one does.
EXACT = "INTEGER_ACCURATE"


def decode_window(
    encoded: tf.Tensor, window: tf.Tensor, size: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes only the part of a JPEG that a window shows.

    Args:
        encoded: JPEG bytes, a string scalar.
        window: (4,) float32 x1, y1, x2, y2 in pixels; it may leave the
            photograph.
        size: (2,) int32 width and height of the photograph.

    Returns:
        The decoded part, (h, w, 3) uint8, and the window relative to it.
    """
    first, last = _pixels(window, size)
    part = tf.io.decode_and_crop_jpeg(
        encoded,
        [first[1], first[0], last[1] - first[1], last[0] - first[0]],
        channels=3,
        dct_method=EXACT,
    )
    return part, _relative(window, first)


def crop_window(
    image: tf.Tensor, window: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """`decode_window` of a photograph, (h, w, 3), that is decoded already."""
    first, last = _pixels(window, tf.shape(image)[1::-1])
    part = image[first[1] : last[1], first[0] : last[0]]
    return part, _relative(window, first)


def resample(image: tf.Tensor, window: tf.Tensor, image_size: int) -> tf.Tensor:
    """Shows a window of an image as a square, without keeping its aspect.

    Crop and resize are one antialiased resampling at sub-pixel positions;
    what lies outside the image is black.

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


def _pixels(window: tf.Tensor, size: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """First and last (x, y) of the pixels that a window shows, half-open."""
    # A window that misses the photograph still needs one pixel to decode.
    first = tf.clip_by_value(
        tf.cast(tf.floor(window[:2]), tf.int32), 0, size - 1
    )
    last = tf.clip_by_value(
        tf.cast(tf.math.ceil(window[2:]), tf.int32), first + 1, size
    )
    return first, last


def _relative(window: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
    """The window in pixels of the part that starts at `first`."""
    return window - tf.cast(tf.concat([first, first], 0), tf.float32)
