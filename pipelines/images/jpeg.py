"""Images in records to pixels, upright, in TensorFlow.

What a JPEG shows depends on the transform and the upsampling of its decoder;
everything here decodes as every other decoder does, so that training,
evaluation, prediction and a server see the same pixels.
"""

import tensorflow as tf

# TensorFlow's default is a fast transform that is up to 10 of 255 off and moves
# a dot by 0.06 pixels; every other decoder shows what this one does.
EXACT = "INTEGER_ACCURATE"


def is_plain(encoded: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Tells what can be decoded in part: JPEGs that are stored upright.

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
    """Decodes all of an image and turns it upright: (h, w, 3) uint8 RGB."""
    image = tf.cond(
        tf.strings.substr(encoded, 0, 2) == b"\xff\xd8",
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method=EXACT),
        lambda: tf.io.decode_png(encoded, channels=3),
    )
    image.set_shape([None, None, 3])
    return turn_upright(image, tf.cast(orientation, tf.int32))


def turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an image, (h, w, c), as an orientation of 1 to 8 asks."""

    def when(values: tuple[int, ...]) -> tf.Tensor:
        return tf.reduce_any(orientation == tf.constant(values))

    # Orientations 5 to 8 are stored with rows for columns.
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
