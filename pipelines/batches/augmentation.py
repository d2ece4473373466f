"""Chance in training: how far images may differ from the photographs."""

import dataclasses

import tensorflow as tf

from pipelines.batches.geometry import jitter
from pipelines.batches.geometry import mirror
from pipelines.batches.geometry import rotate
from pipelines.batches.geometry import scale
from pipelines.batches.geometry import shift
from pipelines.steps import Example
from pipelines.steps import Step
from pipelines.steps import chance


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How far training images may differ from the photographs.

    Args:
        flip: mirror every second image.
        scale: the window's sides change by a factor within 1 -/+ this.
        shift: the window moves by this fraction of its sides at most.
        rotation: the window turns by this many degrees at most.
        jitter: each side of the box moves on its own, by this fraction of
            the box at most; below 0.5.
        color: brightness and contrast change by a factor within 1 -/+ this.
        erasing: in every second image a rectangle of one color, its sides
            this fraction of the image's at most.
    """

    flip: bool = False
    scale: float = 0.0
    shift: float = 0.0
    rotation: float = 0.0
    jitter: float = 0.0
    color: float = 0.0
    erasing: float = 0.0

    def steps(self) -> list[Step]:
        """What comes between `show_box` and `place_landmarks`.

        The box is jittered first, being what is wrong with the data; the
        shift is in units of the box, so it comes before the scale; the
        rotation turns what the others chose.
        """
        steps: list[Step] = []
        if self.jitter:
            steps.append(jitter(self.jitter))
        if self.shift:
            steps.append(shift(self.shift))
        if self.scale:
            steps.append(scale(self.scale))
        if self.rotation:
            steps.append(rotate(self.rotation))
        if self.flip:
            steps.append(mirror)
        if self.color:
            steps.append(change_color(self.color))
        if self.erasing:
            steps.append(erase(self.erasing))
        return steps


def change_color(amount: float) -> Step:
    """Decides on brightness, and contrast about the image's own mean.

    Adds `color` (..., 2), the two factors, for `render`.
    """

    def step(example: Example) -> Example:
        return example | {"color": 1 + amount * chance(example, "color")}

    return step


def erase(amount: float) -> Step:
    """Decides on a rectangle to fill (Zhong et al., "Random Erasing", 2020).

    Landmarks under it stay: a garment's collar is where it is, also behind a
    bag or long hair, and the network should learn to tell from the rest.

    Adds `erased` (..., 4), x1, y1, x2, y2 in fractions of the image, empty in
    every second one, and `fill` (..., 3), its RGB, for `render`.
    """

    def step(example: Example) -> Example:
        numbers = (1 + chance(example, "erasing")) / 2
        sides = amount * numbers[..., 1:3]
        sides = tf.where(numbers[..., :1] < 0.5, sides, 0.0)
        start = numbers[..., 3:5] * (1 - sides)
        return example | {
            "erased": tf.concat([start, start + sides], -1),
            "fill": 255 * numbers[..., 5:],
        }

    return step
