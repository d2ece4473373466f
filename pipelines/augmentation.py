"""Chance in training: each step takes one example, a dict, and returns it.

The steps only change `window` (which part of the photograph is shown),
`mirrored` and, at the end, the colours: the photograph is resampled once, by
`show`, and the landmarks go through the same map.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from pipelines.resampling import decode_window
from pipelines.resampling import resample
from pipelines.vocabulary import Vocabulary

Example = dict[str, tf.Tensor]
Step = Callable[[Example], Example]


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How far training images may differ from the photographs.

    Args:
        flip: mirror every second image.
        scale: the window's sides change by a factor within 1 -/+ this.
        shift: the window moves by this fraction of its sides at most.
        colour: brightness and contrast change by a factor within 1 -/+ this.
    """

    flip: bool = False
    scale: float = 0.0
    shift: float = 0.0
    colour: float = 0.0

    def window_steps(self) -> list[Step]:
        """What comes before `show`."""
        steps = []
        if self.scale or self.shift:
            steps.append(move_window(self.scale, self.shift))
        if self.flip:
            steps.append(mirror)
        return steps

    def colour_steps(self) -> list[Step]:
        """What comes after `show`."""
        return [change_colour(self.colour)] if self.colour else []


def move_window(scale: float, shift: float) -> Step:
    """Scales width and height of the window alike, and moves it."""

    def step(example: Example) -> Example:
        window = example["window"]
        chance = _uniform(example, 1, [3])
        sides = window[2:] - window[:2]
        centre = (window[:2] + window[2:]) / 2 + shift * chance[:2] * sides
        half = sides / 2 * (1 + scale * chance[2])
        return example | {
            "window": tf.concat([centre - half, centre + half], 0)
        }

    return step


def mirror(example: Example) -> Example:
    """Marks every second image for `show` to mirror."""
    return example | {"mirrored": _uniform(example, 2, []) < 0}


def change_colour(amount: float) -> Step:
    """Changes brightness, and contrast around the image's own mean."""

    def step(example: Example) -> Example:
        image = example["image"]
        brightness, contrast = tf.unstack(
            1 + amount * _uniform(example, 3, [2])
        )
        mean = tf.reduce_mean(image)
        image = ((image - mean) * contrast + mean) * brightness
        return example | {"image": tf.clip_by_value(image, 0.0, 255.0)}

    return step


def show(vocabulary: Vocabulary, image_size: int) -> Step:
    """Decodes and resamples the window, and places the landmarks in it.

    Adds `image`, (image_size, image_size, 3) float32 RGB 0..255, and turns
    `landmarks` from pixels, (L, 2), to fractions of the image.
    """
    flipped = tf.constant(vocabulary.flipped_landmarks(), tf.int32)

    def step(example: Example) -> Example:
        part, window = decode_window(
            example["encoded"], example["window"], example["size"]
        )
        image = resample(part, window, image_size)
        start, end = example["window"][:2], example["window"][2:]
        landmarks = (example["landmarks"] - start) / (end - start)
        visible = example["visible"]
        if "mirrored" in example:
            mirrored = example["mirrored"]
            image = tf.where(mirrored, image[:, ::-1], image)
            other = tf.gather(landmarks, flipped)
            other = tf.stack([1 - other[:, 0], other[:, 1]], -1)
            landmarks = tf.where(mirrored, other, landmarks)
            visible = tf.where(mirrored, tf.gather(visible, flipped), visible)
        return example | {
            "image": image,
            "landmarks": landmarks,
            "visible": visible,
        }

    return step


def _uniform(example: Example, step: int, shape: list[int]) -> tf.Tensor:
    """Chance in -1..1 that only the example's seed and the step decide."""
    seed = tf.stack([example["seed"], step])
    return tf.random.stateless_uniform(shape, seed, -1.0, 1.0)
