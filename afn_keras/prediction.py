"""Using a trained network: from photographs to answers."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from afn_keras.answers import Answering
from pipelines.errors import InputError
from pipelines.photographs import read_photograph
from pipelines.photographs import upright_jpeg
from pipelines.resampling import decode_window
from pipelines.resampling import resample

Box = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the network says of one photograph.

    Args:
        photograph: path or name it was given by.
        box: x1, y1, x2, y2 in pixels of what the network was shown.
        landmarks: for each landmark's name x and y in pixels of the
            photograph, 0-based, the first pixel's centre at 0.0, and the
            height of its peak in 0..1.
        categories: the five best names with their probabilities, best first.
        attributes: the twenty best names with theirs, best first.
    """

    photograph: str
    box: Box
    landmarks: dict[str, tuple[float, float, float]]
    categories: tuple[tuple[str, float], ...]
    attributes: tuple[tuple[str, float], ...]

    def to_json(self) -> str:
        """The prediction as one line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    def describe(self) -> str:
        """The prediction for a person to read, five attributes of it."""
        lines = [self.photograph]
        for title, scored in (
            ("category", self.categories),
            ("attributes", self.attributes[:5]),
        ):
            if scored:
                names = (f"{name} {100 * score:.0f}%" for name, score in scored)
                lines.append(f"  {title:<16}{', '.join(names)}")
        for name, (x, y, score) in self.landmarks.items():
            lines.append(
                f"  {name:<16}x {x:6.1f}  y {y:6.1f}  {100 * score:.0f}%"
            )
        return "\n".join(lines)


class Predictor:
    """Predicts landmarks, category and attributes of photographs.

    Args:
        answering: what `load_model` returned, or an artifact.

    Example:
        >>> predictor = Predictor(load_model("runs/demo"))
        >>> predictor.predict(["photo.jpg"])[0].categories[0]
        ('Dress', 0.93)
    """

    def __init__(self, answering: Answering) -> None:
        self.answering = answering

    def predict(
        self,
        photographs: Sequence[str | Path],
        boxes: Sequence[Box] | None = None,
        batch_size: int = 16,
    ) -> list[Prediction]:
        """Answers for each photograph, in the order given.

        Args:
            photographs: paths of JPEG, PNG, WebP, GIF or BMP files.
            boxes: the garment in each photograph, x1, y1, x2, y2 in pixels;
                the whole photograph if left out.
            batch_size: photographs a batch; it changes no answer.

        Raises:
            InputError: if one of them is no photograph.
        """
        if boxes is not None and len(boxes) != len(photographs):
            raise ValueError(
                f"{len(boxes)} boxes for {len(photographs)} photographs"
            )
        predictions = []
        for start in range(0, len(photographs), batch_size):
            chosen = photographs[start : start + batch_size]
            inputs = [
                shown(path, self.answering.image_size, boxes and boxes[index])
                for index, path in enumerate(chosen, start=start)
            ]
            answers = self.answering.answer(
                np.stack([image for image, _ in inputs])
            )
            predictions += [
                self._prediction(
                    str(path),
                    box,
                    {name: value[i] for name, value in answers.items()},
                )
                for i, (path, (_, box)) in enumerate(
                    zip(chosen, inputs, strict=True)
                )
            ]
        return predictions

    def _prediction(self, name: str, box: Box, answers: dict) -> Prediction:
        landmarks = {}
        if "landmarks" in answers:
            start = np.array(box[:2])
            sides = np.array(box[2:]) - start
            points = start + answers["landmarks"] * sides - 0.5
            scores = answers["landmark_scores"]
            landmarks = {
                landmark: (*map(float, point), float(score))
                for landmark, point, score in zip(
                    self.answering.vocabulary.landmarks,
                    points,
                    scores,
                    strict=True,
                )
            }
        return Prediction(
            name,
            box,
            landmarks,
            _best(
                self.answering.vocabulary.categories, answers.get("category"), 5
            ),
            _best(
                self.answering.vocabulary.attributes,
                answers.get("attributes"),
                20,
            ),
        )


def shown(
    photograph: str | Path, image_size: int, box: Box | None = None
) -> tuple[np.ndarray, Box]:
    """What the network is shown of a photograph.

    Args:
        photograph: path of the file.
        image_size: side of the network's input in pixels.
        box: x1, y1, x2, y2 in pixels; the whole photograph if left out.

    Returns:
        (image_size, image_size, 3) float32 RGB 0..255, and the box.

    Raises:
        InputError: if it is no photograph, or the box lies outside it.
    """
    encoded, width, height, _ = upright_jpeg(
        read_photograph(Path(photograph)), str(photograph)
    )
    box = box or (0.0, 0.0, float(width), float(height))
    x1, y1, x2, y2 = map(float, box)
    if not (x1 < x2 and y1 < y2 and x1 < width and y1 < height):
        raise InputError(
            f"{photograph}: the box {x1:g} {y1:g} {x2:g} {y2:g} shows nothing "
            f"of its {width} x {height} pixels"
        )
    part, window = decode_window(
        tf.constant(encoded),
        tf.constant([x1, y1, x2, y2]),
        tf.constant([width, height]),
    )
    return resample(part, window, image_size).numpy(), (x1, y1, x2, y2)


def _best(
    names: Sequence[str], scores: np.ndarray | None, count: int
) -> tuple[tuple[str, float], ...]:
    if scores is None:
        return ()
    order = np.argsort(-scores, kind="stable")[:count]
    return tuple((names[i], float(scores[i])) for i in order)
