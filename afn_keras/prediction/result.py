"""The prediction for one garment, in names and pixels."""

import dataclasses
import json
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np

from afn_keras.prediction.cropping import Box
from afn_keras.prediction.cropping import Crop
from pipelines.vocabulary import Vocabulary

PRESENT = 0.5
"""Score from which an attribute is predicted and a landmark is visible."""


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The network's prediction for one garment.

    Args:
        image: path or name of the image, as given.
        size: width and height of the upright image in pixels.
        box: x1, y1, x2, y2 in pixels of the crop.
        landmarks: for each landmark's name, x and y in pixels of the
            image, 0-based, the first pixel's center at 0.0, and the
            score: the height of its peak in 0..1.
        categories: the five best names with their probabilities, best first.
        attributes: the twenty best names with their probabilities, best
            first.
    """

    image: str
    size: tuple[int, int]
    box: Box
    landmarks: dict[str, tuple[float, float, float]]
    categories: tuple[tuple[str, float], ...]
    attributes: tuple[tuple[str, float], ...]

    def present(self) -> list[str]:
        """Returns the names of the attributes with a score of at least 0.5."""
        return [name for name, score in self.attributes if score >= PRESENT]

    def visible(self, landmark: str) -> bool:
        """Returns whether a landmark's score is at least 0.5."""
        return self.landmarks[landmark][2] >= PRESENT

    def rounded(self) -> "Prediction":
        """Returns the prediction without insignificant digits.

        Rounds pixels to hundredths and scores to ten thousandths.
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
        """Returns the prediction, rounded, as one line of JSON."""
        return json.dumps(dataclasses.asdict(self.rounded()))


def make_prediction(
    image: str,
    crop: Crop,
    outputs: Mapping[str, np.ndarray],
    vocabulary: Vocabulary,
) -> Prediction:
    """Converts the outputs for one crop to names and pixels of the image.

    Args:
        image: path or name of the image.
        crop: the crop of the image.
        outputs: the crop's row of each output of `PredictionModel`.
        vocabulary: names of the labels.
    """
    landmarks = {}
    if "landmarks" in outputs:
        start = np.array(crop.box[:2])
        sides = np.array(crop.box[2:]) - start
        points = start + outputs["landmarks"] * sides - 0.5
        landmarks = {
            landmark: (*map(float, point), float(score))
            for landmark, point, score in zip(
                vocabulary.landmarks,
                points,
                outputs["landmark_scores"],
                strict=True,
            )
        }
    return Prediction(
        image,
        crop.size,
        crop.box,
        landmarks,
        _best(vocabulary.categories, outputs.get("category"), 5),
        _best(vocabulary.attributes, outputs.get("attributes"), 20),
    )


def _best(
    names: Sequence[str], scores: np.ndarray | None, count: int
) -> tuple[tuple[str, float], ...]:
    if scores is None:
        return ()
    order = np.argsort(-scores, kind="stable")[:count]
    return tuple((names[i], float(scores[i])) for i in order)
