"""Reads EXIF orientation inside a graph, without a library."""

import tensorflow as tf

_ORIENTATION = 0x0112
_SHORT = 3

# The bytes before the block, which is TIFF, in each container format.
JPEG_MARK = b"Exif\x00\x00"
PNG_MARK = b"eXIf"
WEBP_MARK = b"EXIF"

# Maximum size of a JPEG segment; the tag is in the block's first part.
_BLOCK_BYTES = 65_536


def orientation(encoded: tf.Tensor, mark: bytes, skip: int = 0) -> tf.Tensor:
    """Reads the orientation in the EXIF block of an image.

    Args:
        encoded: the file, a string scalar.
        mark: the bytes before the block in files of its format.
        skip: number of bytes between the mark and the block.

    Returns:
        1 to 8, an int32 scalar; 1, upright, if there is no such block or it
        is damaged. Source: EXIF 2.32, 4.6.5 (0x0112); TIFF 6.0, section 2.
    """
    parts = tf.strings.split(encoded, mark, maxsplit=1)

    def read() -> tf.Tensor:
        block = tf.strings.substr(parts[1], skip, _BLOCK_BYTES)
        # Some programs copy a JPEG's mark into the other containers; readers
        # such as Pillow accept it.
        block = tf.strings.regex_replace(block, r"\AExif\x00\x00", "")
        return _first_orientation(tf.io.decode_raw(block, tf.uint8))

    return tf.cond(tf.size(parts) > 1, read, lambda: 1)


def _first_orientation(block: tf.Tensor) -> tf.Tensor:
    """Reads the orientation in the first directory of a TIFF block."""
    # Padded, so that a truncated block reads as zeros.
    block = tf.cast(tf.pad(block, [[0, 16]]), tf.int64)
    big_endian = block[0] == ord("M")

    def number(digits: tf.Tensor, count: int) -> tf.Tensor:
        """Converts the last axis of (..., count) bytes to numbers."""
        digits = tf.cond(
            big_endian, lambda: digits, lambda: tf.reverse(digits, [-1])
        )
        powers = [256**power for power in range(count - 1, -1, -1)]
        return tf.reduce_sum(digits * tf.constant(powers, tf.int64), -1)

    length = tf.size(block, tf.int64)
    start = tf.minimum(number(block[4:8], 4), length - 2)
    count = number(block[start : start + 2], 2)
    count = tf.minimum(count, (length - start - 2) // 12)
    entries = block[start + 2 : start + 2 + 12 * count]
    entries = tf.reshape(entries, [-1, 12])
    # A two-byte value is in the first two of its four bytes.
    value = tf.where(
        number(entries[:, 2:4], 2) == _SHORT,
        number(entries[:, 8:10], 2),
        number(entries[:, 8:12], 4),
    )
    valid = (number(entries[:, :2], 2) == _ORIENTATION) & (value >= 1)
    valid &= value <= 8
    found = tf.boolean_mask(value, valid)
    return tf.cast(tf.concat([found, [1]], 0)[0], tf.int32)
