"""What the network says of one garment, in names and pixels."""

import dataclasses
import json
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np

from afn_keras.prediction.cropping import Box
from afn_keras.prediction.cropping import Crop
from pipelines.vocabulary import Vocabulary

PRESENT = 0.5
"""Score from which on an attribute is there and a landmark is visible."""


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the network says of one garment.

    Args:
        image: path or name it was given by.
        size: width and height of the upright image in pixels.
        box: x1, y1, x2, y2 in pixels of what the network was shown.
        landmarks: for each landmark's name x and y in pixels of the
            image, 0-based, the first pixel's center at 0.0, and the
            height of its peak in 0..1.
        categories: the five best names with their probabilities, best first.
        attributes: the twenty best names with theirs, best first.
    """

    image: str
    size: tuple[int, int]
    box: Box
    landmarks: dict[str, tuple[float, float, float]]
    categories: tuple[tuple[str, float], ...]
    attributes: tuple[tuple[str, float], ...]

    def present(self) -> list[str]:
        """Names of the attributes that are more likely there than not."""
        return [name for name, score in self.attributes if score >= PRESENT]

    def visible(self, landmark: str) -> bool:
        """Whether a landmark is more likely to be seen than not."""
        return self.landmarks[landmark][2] >= PRESENT

    def rounded(self) -> "Prediction":
        """The prediction without digits that say nothing.

        Hundredths of a pixel, ten thousandths of a score.
        """
        x1, y1, x2, y2 = self.box
        return dataclasses.replace(
            self,
            box=(round(x1, 2), round(y1, 2), round(x2, 2), round(y2, 2)),
            landmarks={
                name: (round(x, 2), round(y, 2), round(score, 4))
                for name, (x, y, score) in self.landmarks.items()
            },
            categories=tuple((n, round(p, 4)) for n, p in self.categories),
            attributes=tuple((n, round(p, 4)) for n, p in self.attributes),
        )

    def to_json(self) -> str:
        """The prediction as one line of JSON, rounded."""
        return json.dumps(dataclasses.asdict(self.rounded()))


def predicted(
    image: str,
    shown: Crop,
    answers: Mapping[str, np.ndarray],
    vocabulary: Vocabulary,
) -> Prediction:
    """Names what a network answered for one crop.

    Args:
        image: path or name of the image.
        shown: what the network was shown of it.
        answers: for each task its row, as `AnsweringModel` gives it.
        vocabulary: names of the labels.
    """
    landmarks = {}
    if "landmarks" in answers:
        start = np.array(shown.box[:2])
        sides = np.array(shown.box[2:]) - start
        points = start + answers["landmarks"] * sides - 0.5
        landmarks = {
            landmark: (*map(float, point), float(score))
            for landmark, point, score in zip(
                vocabulary.landmarks,
                points,
                answers["landmark_scores"],
                strict=True,
            )
        }
    return Prediction(
        image,
        shown.size,
        shown.box,
        landmarks,
        _best(vocabulary.categories, answers.get("category"), 5),
        _best(vocabulary.attributes, answers.get("attributes"), 20),
    )


def _best(
    names: Sequence[str], scores: np.ndarray | None, count: int
) -> tuple[tuple[str, float], ...]:
    if scores is None:
        return ()
    order = np.argsort(-scores, kind="stable")[:count]
    return tuple((names[i], float(scores[i])) for i in order)
