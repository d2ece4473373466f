"""Augments training images: settings, colors and erasing."""

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
    """Strengths of augmentation; 0 and False switch a step off.

    Args:
        flip: mirror every second image.
        scale: scale the window's sides by a factor within 1 -/+ this.
        shift: move the window by at most this fraction of its sides.
        rotation: turn the window by at most this many degrees.
        jitter: move each side of the box independently, by at most this
            fraction of the box; below 0.5.
        color: scale brightness and contrast by a factor within 1 -/+ this.
        erasing: fill a rectangle in every second image with one color; its
            sides are at most this fraction of the image's.
    """

    flip: bool = False
    scale: float = 0.0
    shift: float = 0.0
    rotation: float = 0.0
    jitter: float = 0.0
    color: float = 0.0
    erasing: float = 0.0

    def steps(self) -> list[Step]:
        """Returns the steps between `show_box` and `place_landmarks`.

        Jitter comes first, since it imitates errors of the box. The shift is
        in units of the box, so it precedes the scale. The rotation turns the
        window that the others chose.
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
    """Chooses brightness, and contrast about the image's own mean.

    Adds `color` (..., 2), the two factors, for `render`.
    """

    def step(example: Example) -> Example:
        return example | {"color": 1 + amount * chance(example, "color")}

    return step


def erase(amount: float) -> Step:
    """Chooses a rectangle to fill (Zhong et al., "Random Erasing", 2020).

    Landmarks under it stay: the network should learn to infer a collar behind
    a bag or long hair from the rest of the garment.

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
