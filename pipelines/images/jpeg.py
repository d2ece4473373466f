"""Decodes images of records to upright pixels, in TensorFlow.

The pixels of a JPEG depend on the decoder's transform and upsampling. Here they
are those of all other decoders, so that training, evaluation, prediction and a
server see the same pixels.
"""

import tensorflow as tf

# TensorFlow's default is a fast transform that is off by up to 10 of 255 and
# moves a dot by 0.06 pixels; other decoders agree with this one.
EXACT = "INTEGER_ACCURATE"


def is_plain(encoded: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Returns which images can be decoded in part: upright JPEGs.

    Args:
        encoded: (...) JPEG or PNG bytes.
        orientation: (...) EXIF orientation, 1 to 8.

    Returns:
        (...) bool.
    """
    is_jpeg = tf.strings.substr(encoded, 0, 2) == b"\xff\xd8"
    return is_jpeg & (orientation == 1)


def decode_part(
    encoded: tf.Tensor,
    orientation: tf.Tensor,
    first: tf.Tensor,
    last: tf.Tensor,
) -> tf.Tensor:
    """Decodes the pixels from `first` to `last`, half-open, of an image.

    Args:
        encoded: JPEG or PNG bytes, a string scalar.
        orientation: EXIF orientation, 1 to 8, an integer scalar.
        first: (2,) int32 x, y in pixels of the upright image.
        last: (2,) int32 x, y.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    return tf.cond(
        is_plain(encoded, orientation),
        lambda: decode_jpeg_part(encoded, first, last),
        lambda: decode_whole(encoded, orientation)[
            first[1] : last[1], first[0] : last[0]
        ],
    )


def decode_jpeg_part(
    encoded: tf.Tensor, first: tf.Tensor, last: tf.Tensor, ratio: int = 1
) -> tf.Tensor:
    """Decodes a part of a JPEG, at a half, quarter or eighth of its size.

    Args:
        encoded: JPEG bytes, a string scalar.
        first: (2,) int32 x, y in pixels of the reduced image.
        last: (2,) int32 x, y.
        ratio: 1, 2, 4 or 8.
    """
    return tf.raw_ops.DecodeAndCropJpeg(
        contents=encoded,
        crop_window=tf.stack(
            [first[1], first[0], last[1] - first[1], last[0] - first[0]]
        ),
        channels=3,
        ratio=ratio,
        dct_method=EXACT,
    )


def decode_whole(encoded: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Decodes a whole image, and turns it upright: (h, w, 3) uint8 RGB."""
    image = tf.cond(
        tf.strings.substr(encoded, 0, 2) == b"\xff\xd8",
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method=EXACT),
        lambda: tf.io.decode_png(encoded, channels=3),
    )
    image.set_shape([None, None, 3])
    return turn_upright(image, tf.cast(orientation, tf.int32))


def turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an image (h, w, c) upright, given its EXIF orientation 1 to 8."""

    def when(values: tuple[int, ...]) -> tf.Tensor:
        return tf.reduce_any(orientation == tf.constant(values))

    # Orientations 5 to 8 swap rows and columns.
    image = tf.cond(
        when((5, 6, 7, 8)),
        lambda: tf.transpose(image, [1, 0, 2]),
        lambda: image,
    )
    image = tf.cond(
        when((2, 3, 6, 7)), lambda: tf.reverse(image, [1]), lambda: image
    )
    return tf.cond(
        when((3, 4, 7, 8)), lambda: tf.reverse(image, [0]), lambda: image
    )
