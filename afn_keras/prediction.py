"""Using a trained network: from photographs to answers."""

import contextlib
import dataclasses
import functools
import itertools
import json
from collections import deque
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from afn_keras.answers import Answering
from pipelines.errors import InputError
from pipelines.listing import Listed
from pipelines.photographs import read_photograph
from pipelines.photographs import upright_jpeg
from pipelines.resampling import decode_window
from pipelines.resampling import resample
from pipelines.workers import available_cores

Box = tuple[float, float, float, float]

PRESENT = 0.5
"""Probability from which on an attribute is said to be there."""


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the network says of one garment.

    Args:
        photograph: path or name it was given by.
        size: width and height of the upright photograph in pixels.
        box: x1, y1, x2, y2 in pixels of what the network was shown.
        landmarks: for each landmark's name x and y in pixels of the
            photograph, 0-based, the first pixel's centre at 0.0, and the
            height of its peak in 0..1.
        categories: the five best names with their probabilities, best first.
        attributes: the twenty best names with theirs, best first.
    """

    photograph: str
    size: tuple[int, int]
    box: Box
    landmarks: dict[str, tuple[float, float, float]]
    categories: tuple[tuple[str, float], ...]
    attributes: tuple[tuple[str, float], ...]

    def present(self) -> list[str]:
        """Names of the attributes that are more likely there than not."""
        return [name for name, score in self.attributes if score >= PRESENT]

    def to_json(self) -> str:
        """The prediction as one line of JSON."""
        return json.dumps(dataclasses.asdict(self))


class Crop(NamedTuple):
    """What a network is shown of a photograph.

    Attributes:
        image: (S, S, 3) float32 RGB 0..255.
        box: x1, y1, x2, y2 in pixels of the upright photograph.
        size: width and height of the upright photograph in pixels.
    """

    image: np.ndarray
    box: Box
    size: tuple[int, int]


class Maps(NamedTuple):
    """What a network sees in a garment before it answers.

    Attributes:
        photograph: path it was given by.
        box: x1, y1, x2, y2 in pixels of what the network was shown.
        attention: (s, s, F), the weights of the features, 0..1 (-1..1 if it
            is the released code's); None without attention.
        heatmaps: (h, w, L), one for each landmark; None without landmarks.
        landmarks: their names.
    """

    photograph: str
    box: Box
    attention: np.ndarray | None
    heatmaps: np.ndarray | None
    landmarks: tuple[str, ...]


class Predictor:
    """Predicts landmarks, category and attributes of photographs.

    Args:
        answering: what `load_model` returned, or an artifact.

    Examples:
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
            batch_size: photographs a batch; it changes answers by rounding
                alone.

        Raises:
            InputError: if one of them is no photograph.
        """
        if boxes is not None and len(boxes) != len(photographs):
            raise ValueError(
                f"{len(boxes)} boxes for {len(photographs)} photographs"
            )
        listed = map(
            Listed, map(Path, photographs), boxes or itertools.repeat(None)
        )
        predictions = []
        with contextlib.closing(self.stream(listed, batch_size)) as answers:
            for answer in answers:
                if isinstance(answer, InputError):
                    raise answer
                predictions.append(answer)
        return predictions

    def stream(
        self, listed: Iterable[Listed | InputError], batch_size: int = 16
    ) -> Iterator[Prediction | InputError]:
        """Answers for photographs as they come, in the order given.

        While the network looks at a batch, the next ones are decoded. No
        more than a few batches are held at a time.

        Args:
            listed: garments, as `list_photographs` gives them; taken shortly
                before they are needed.
            batch_size: photographs a batch; it changes answers by rounding
                alone.

        Yields:
            For each a prediction, or the error that says why there is none.

        Raises:
            InputError: what `listed` raised, after all before it is answered.
        """
        failed: list[InputError] = []

        def asked() -> Iterator[Listed | InputError]:
            try:
                yield from listed
            except InputError as error:
                failed.append(error)

        crops = _ahead(self._crop, asked(), 3 * batch_size)
        with contextlib.closing(crops):
            while batch := list(itertools.islice(crops, batch_size)):
                yield from self._answer(batch)
        # Not before what was listed ahead of it is answered.
        if failed:
            raise failed[0]

    @functools.cached_property
    def has_maps(self) -> bool:
        """Whether `maps` gives any: of TFLite and ONNX files it does not."""
        side = self.answering.image_size
        return bool(self.answering.maps(np.zeros((1, side, side, 3), "f4")))

    def maps(
        self, photograph: str | Path, box: Box | None = None
    ) -> Maps | None:
        """What the network sees in a photograph; None if it does not show it.

        A run, a `.keras` file and a SavedModel do.

        Args:
            photograph: path of the file.
            box: x1, y1, x2, y2 in pixels; the whole photograph if left out.

        Raises:
            InputError: if it is no photograph, or the box lies outside it.
        """
        shown = crop(photograph, self.answering.image_size, box)
        maps = self.answering.maps(shown.image[None])
        if not maps:
            return None
        attention, heatmaps = maps.get("attention"), maps.get("heatmaps")
        return Maps(
            str(photograph),
            shown.box,
            None if attention is None else attention[0],
            None if heatmaps is None else heatmaps[0],
            self.answering.vocabulary.landmarks,
        )

    def _crop(
        self, asked: Listed | InputError
    ) -> tuple[str, Crop | InputError]:
        if isinstance(asked, InputError):
            return "", asked
        name = str(asked.photograph)
        try:
            return name, crop(name, self.answering.image_size, asked.box)
        except InputError as error:
            return name, error

    def _answer(
        self, batch: list[tuple[str, Crop | InputError]]
    ) -> Iterator[Prediction | InputError]:
        images = [c.image for _, c in batch if isinstance(c, Crop)]
        answers = self.answering.answer(np.stack(images)) if images else {}
        row = 0
        for name, result in batch:
            if isinstance(result, InputError):
                yield result
                continue
            answer = {task: value[row] for task, value in answers.items()}
            yield self._prediction(name, result, answer)
            row += 1

    def _prediction(
        self, name: str, shown: Crop, answers: dict[str, np.ndarray]
    ) -> Prediction:
        vocabulary = self.answering.vocabulary
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
            name,
            shown.size,
            shown.box,
            landmarks,
            _best(vocabulary.categories, answers.get("category"), 5),
            _best(vocabulary.attributes, answers.get("attributes"), 20),
        )


def crop(
    photograph: str | Path, image_size: int, box: Box | None = None
) -> Crop:
    """Shows a network one garment of a photograph.

    Args:
        photograph: path of the file.
        image_size: side of the network's input in pixels.
        box: x1, y1, x2, y2 in pixels; the whole photograph if left out.

    Raises:
        InputError: if it is no photograph, or the box lies outside it.
    """
    encoded, width, height, _ = upright_jpeg(
        read_photograph(Path(photograph)), str(photograph)
    )
    box = box or (0.0, 0.0, float(width), float(height))
    x1, y1, x2, y2 = map(float, box)
    shown = f"{photograph}: the box {x1:g} {y1:g} {x2:g} {y2:g}"
    if not (max(x1, 0) < min(x2, width) and max(y1, 0) < min(y2, height)):
        raise InputError(
            f"{shown} shows nothing of its {width} x {height} pixels"
        )
    # Also, what is drawn of it takes no more memory than nine photographs.
    if not (
        min(x1 + width, y1 + height) >= 0
        and x2 <= 2 * width
        and y2 <= 2 * height
    ):
        raise InputError(
            f"{shown} leaves its {width} x {height} pixels by more than they "
            "are wide or high"
        )
    image = _show(
        tf.constant(encoded),
        tf.constant([x1, y1, x2, y2]),
        tf.constant([width, height]),
        image_size,
    )
    return Crop(image.numpy(), (x1, y1, x2, y2), (width, height))


# As one graph: called one by one, its operations wait for Python's lock,
# which the other threads hold.
@tf.function(reduce_retracing=True)
def _show(
    encoded: tf.Tensor, box: tf.Tensor, size: tf.Tensor, image_size: int
) -> tf.Tensor:
    part, window = decode_window(encoded, box, size)
    return resample(part, window, image_size)


def _ahead(function: Callable, items: Iterable, count: int) -> Iterator:
    """`map(function, items)` in threads, `count` results ahead, in order."""
    items = iter(items)
    waiting: deque[Future] = deque()
    pool = ThreadPoolExecutor(available_cores())
    try:
        while True:
            for item in itertools.islice(items, count - len(waiting)):
                waiting.append(pool.submit(function, item))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        # Also when whoever asked has left: nobody needs the rest.
        pool.shutdown(cancel_futures=True)


def _best(
    names: Sequence[str], scores: np.ndarray | None, count: int
) -> tuple[tuple[str, float], ...]:
    if scores is None:
        return ()
    order = np.argsort(-scores, kind="stable")[:count]
    return tuple((names[i], float(scores[i])) for i in order)
