"""Renders augmented images: decodes the crop they need, and resamples it once.

TensorFlow's resampling, which images without augmentation go through, takes
1.5 ms per image, five times as long as decoding it, and cannot rotate. OpenCV
takes 0.15 ms. It is called once per batch, since calls of Python wait for each
other.
"""

import cv2
import numpy as np
import tensorflow as tf

from pipelines.images import decode_jpeg_part
from pipelines.images import decode_whole
from pipelines.images import is_plain
from pipelines.steps import Example
from pipelines.steps import Step

# Boxes are stored as fractions, so whole pixels come back slightly off.
_ROUNDING = 1e-3


def plan_crop(image_size: int) -> Step:
    """Chooses the pixels to decode: only those that the matrix shows.

    If less than every second pixel is needed, the image is decoded at a half,
    a quarter or an eighth of its size. libjpeg does so in the JPEG's transform,
    without shift or aliasing.

    Adds `crop` (..., 4) int32, x, y, width and height in pixels of the reduced
    image, and `halvings` (...) int32; `matrix` now leads to the crop.
    """

    def step(example: Example) -> Example:
        matrix = example["matrix"]
        # Pixels of the image to a pixel of the image, in x and y.
        strides = tf.norm(matrix[..., :2], axis=-1) / image_size
        stride = tf.reduce_min(strides, -1)
        halvings = sum(
            tf.cast(stride >= reduction, tf.int32) for reduction in (2, 4, 8)
        )
        plain = is_plain(example["encoded"], example["orientation"])
        halvings = tf.where(plain, halvings, 0)
        factor = tf.cast(2**halvings, tf.float32)
        matrix /= factor[..., None, None]
        size = tf.cast(example["size"], tf.float32) / factor[..., None]
        size = tf.math.ceil(size)

        corners = tf.constant([[0.0, 1, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1]])
        corners = matrix @ corners
        first = tf.floor(tf.reduce_min(corners, -1) + _ROUNDING)
        last = tf.math.ceil(tf.reduce_max(corners, -1) - _ROUNDING)
        # A window outside the image still needs one pixel to decode.
        first = tf.clip_by_value(first, 0.0, size - 1)
        last = tf.clip_by_value(last, first + 1, size)
        offset = matrix[..., 2:] - first[..., None]
        return example | {
            "matrix": tf.concat([matrix[..., :2], offset], -1),
            "crop": tf.cast(tf.concat([first, last - first], -1), tf.int32),
            "halvings": halvings,
        }

    return step


def decode_crop(example: Example) -> Example:
    """Decodes the crop of one example.

    `encoded` becomes `part`, (height, width, 3) uint8 RGB.
    """
    example = dict(example)
    encoded = example.pop("encoded")
    orientation = example.pop("orientation")
    first = example["crop"][:2]
    last = first + example["crop"][2:]
    reduced = [
        lambda ratio=ratio: decode_jpeg_part(encoded, first, last, ratio)
        for ratio in (1, 2, 4, 8)
    ]
    halvings = example.pop("halvings")
    part = tf.cond(
        is_plain(encoded, orientation),
        lambda: tf.switch_case(halvings, reduced),
        lambda: decode_whole(encoded, orientation)[
            first[1] : last[1], first[0] : last[0]
        ],
    )
    return example | {"part": part}


def render(image_size: int) -> Step:
    """Resamples a batch of crops, and changes colors.

    Crop, resize and augmentation are one affine map. `part` (B, H, W, 3) may
    be padded at its right and bottom. Adds `image`, (B, image_size,
    image_size, 3) float32 RGB 0..255; pixels outside the image are black.
    """
    # Batches are rendered in parallel already; OpenCV's own threads would
    # busy-wait for a core.
    cv2.setNumThreads(1)

    def step(example: Example) -> Example:
        names = ["part", "crop", "matrix", "color", "erased", "fill"]
        names = [name for name in names if name in example]

        def draw(*arrays: np.ndarray) -> np.ndarray:
            return _draw(dict(zip(names, arrays, strict=True)), image_size)

        image = tf.numpy_function(
            draw, [example[name] for name in names], tf.uint8, stateful=False
        )
        image.set_shape([None, image_size, image_size, 3])
        return example | {"image": tf.cast(image, tf.float32)}

    return step


def _draw(batch: dict[str, np.ndarray], image_size: int) -> np.ndarray:
    matrices = batch["matrix"].astype(np.float64)
    linear = matrices[..., :2] / image_size
    # OpenCV's coordinates are those of pixel centers.
    offset = matrices[..., 2:] + linear.sum(-1, keepdims=True) / 2 - 0.5
    affine = np.concatenate([linear, offset], -1)
    strides = np.hypot(linear[..., 0], linear[..., 1])
    sizes = batch["crop"][:, 2:]

    images = np.empty((len(sizes), image_size, image_size, 3), np.uint8)
    for index, image in enumerate(images):
        width, height = sizes[index]
        part = batch["part"][index, :height, :width]
        part = _smoothed(part, *strides[index])
        _warp(part, affine[index], image)
        if "color" in batch:
            _change_color(image, *batch["color"][index])
        if "erased" in batch:
            corners = np.rint(batch["erased"][index] * image_size)
            x1, y1, x2, y2 = corners.astype(int)
            image[y1:y2, x1:x2] = batch["fill"][index]
    return images


def _warp(part: np.ndarray, affine: np.ndarray, image: np.ndarray) -> None:
    # One more pixel at each side, so that nothing fades before the edge.
    # OpenCV resamples four channels in half the time of three.
    part = cv2.copyMakeBorder(part, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    part = cv2.cvtColor(part, cv2.COLOR_RGB2RGBA)
    warped = cv2.warpAffine(
        part,
        affine + [[0, 0, 1], [0, 0, 1]],
        image.shape[:2],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB, dst=image)


def _smoothed(part: np.ndarray, x: float, y: float) -> np.ndarray:
    """Smooths an image as strides of x and y pixels require."""
    kernels = _antialiasing(x), _antialiasing(y)
    if all(len(kernel) == 1 for kernel in kernels):
        return part
    return cv2.sepFilter2D(part, -1, *kernels, borderType=cv2.BORDER_REPLICATE)


def _antialiasing(stride: float) -> np.ndarray:
    """Returns a smoothing kernel for taking every `stride`-th pixel.

    Together with the bilinear step after it, it is as wide as a triangle of
    radius `stride` (whose variance is stride^2 / 6). Unlike a sampled triangle,
    it keeps gradients exactly at any stride; a sampled one, scaled to a sum of
    1, would be off by up to 0.075 pixels.
    """
    variance = max(0.0, (stride**2 - 1) / 6)
    # Up to a stride of 1.2 there is hardly anything to smooth away.
    if variance < 0.075:
        return np.ones(1)
    if variance <= 0.5:
        return np.array([variance / 2, 1 - variance, variance / 2])
    radius = int(np.ceil(3 * variance**0.5))
    return cv2.getGaussianKernel(2 * radius + 1, variance**0.5)[:, 0]


def _change_color(
    image: np.ndarray, brightness: float, contrast: float
) -> None:
    mean = np.mean(cv2.mean(image)[:3])
    levels = ((np.arange(256) - mean) * contrast + mean) * brightness
    table = np.rint(levels.clip(0, 255)).astype(np.uint8)
    cv2.LUT(image, table, dst=image)
