"""Using a trained network: from images to answers."""

import contextlib
import functools
import itertools
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

from afn_keras.outputs import Answering
from afn_keras.prediction.cropping import Box
from afn_keras.prediction.cropping import Crop
from afn_keras.prediction.cropping import crop
from afn_keras.prediction.cropping import crop_encoded
from afn_keras.prediction.inputs import Listed
from afn_keras.prediction.result import Prediction
from afn_keras.prediction.result import predicted
from pipelines.errors import InputError
from pipelines.images import read_image
from pipelines.parallel import available_cores

__all__ = ["Box", "Crop", "Maps", "Prediction", "Predictor", "crop"]


class Maps(NamedTuple):
    """What a network sees in a garment before it answers.

    Attributes:
        image: path it was given by.
        box: x1, y1, x2, y2 in pixels of what the network was shown.
        attention: (s, s, F), the weights of the features, 0..1 (-1..1 if it
            is the released code's); None without attention.
        heatmaps: (h, w, L), one for each landmark; None without landmarks.
        landmarks: their names.
    """

    image: str
    box: Box
    attention: np.ndarray | None
    heatmaps: np.ndarray | None
    landmarks: tuple[str, ...]


class Predictor:
    """Predicts landmarks, category and attributes of images.

    Args:
        answering: what `load_model` returned, or an artifact.
        read: gives the bytes of an image, or raises `InputError`; by
            default those of a file of this machine.
        threads: how many images to read and decode at a time; one for
            each core by default.

    Examples:
        >>> predictor = Predictor(load_model("runs/demo"))
        >>> predictor.predict(["photo.jpg"])[0].categories[0]
        ('Dress', 0.93)
    """

    def __init__(
        self,
        answering: Answering,
        read: Callable[[str], bytes] | None = None,
        threads: int | None = None,
    ) -> None:
        self.answering = answering
        self._read = read or read_image
        self._threads = threads or available_cores()

    def predict(
        self,
        images: str | Path | Sequence[str | Path],
        boxes: Sequence[Box] | np.ndarray | None = None,
        batch_size: int = 16,
    ) -> list[Prediction]:
        """Answers for each image, in the order given.

        Args:
            images: paths of images, or a single one.
            boxes: the garment in each image, x1, y1, x2, y2 in pixels,
                an array (N, 4) for instance, or a single one for a single
                path; the whole image if left out.
            batch_size: images a batch; it changes answers by rounding
                alone.

        Raises:
            InputError: if one of them is no image.
            ValueError: if there are not as many boxes, of four numbers.
        """
        if isinstance(images, str | Path):
            images = [images]
        given: Iterable[Box | None] = itertools.repeat(None)
        if boxes is not None:
            corners = np.asarray(boxes, np.float64)
            if not len(images):
                corners = corners.reshape(-1, 4)
            if corners.ndim == 1 and len(images) == 1:
                corners = corners[None]
            if corners.shape != (len(images), 4):
                raise ValueError(
                    f"boxes of the shape {corners.shape} for "
                    f"{len(images)} images; it should be "
                    f"({len(images)}, 4)"
                )
            given = map(tuple, corners.tolist())
        listed = map(Listed, map(Path, images), given)
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
        """Answers for images as they come, in the order given.

        While the network looks at a batch, the next ones are decoded. No
        more than a few batches are held at a time.

        Args:
            listed: garments, as `list_images` gives them; taken shortly
                before they are needed.
            batch_size: images a batch; it changes answers by rounding
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

        crops = _ahead(self._crop, asked(), 3 * batch_size, self._threads)
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

    def maps(self, image: str | Path, box: Box | None = None) -> Maps | None:
        """What the network sees in an image; None if it does not show it.

        A run, a `.keras` file and a SavedModel do.

        Args:
            image: path of the file.
            box: x1, y1, x2, y2 in pixels; the whole image if left out.

        Raises:
            InputError: if it is no image, or the box lies outside it.
        """
        shown = self._show(str(image), box)
        maps = self.answering.maps(shown.image[None])
        if not maps:
            return None
        attention, heatmaps = maps.get("attention"), maps.get("heatmaps")
        return Maps(
            str(image),
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
        name = str(asked.image)
        try:
            return name, self._show(name, asked.box)
        except InputError as error:
            return name, error

    def _show(self, name: str, box: Box | None) -> Crop:
        encoded = self._read(name)
        return crop_encoded(encoded, name, self.answering.image_size, box)

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
            yield predicted(name, result, answer, self.answering.vocabulary)
            row += 1


def _ahead(
    function: Callable, items: Iterable, count: int, threads: int
) -> Iterator:
    """`map(function, items)` in threads, `count` results ahead, in order."""
    items = iter(items)
    waiting: deque[Future] = deque()
    pool = ThreadPoolExecutor(threads)
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
