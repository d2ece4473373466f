"""Predicts images with a trained network."""

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

from afn_keras.outputs import ImageModel
from afn_keras.prediction.cropping import Box
from afn_keras.prediction.cropping import Crop
from afn_keras.prediction.cropping import crop
from afn_keras.prediction.cropping import crop_encoded
from afn_keras.prediction.inputs import ImageInput
from afn_keras.prediction.result import Prediction
from afn_keras.prediction.result import make_prediction
from pipelines.errors import InputError
from pipelines.images import read_image
from pipelines.parallel import available_cores

__all__ = ["Box", "Crop", "Maps", "Prediction", "Predictor", "crop"]


class Maps(NamedTuple):
    """The attention and the heatmaps for a garment.

    Attributes:
        image: path of the image, as given.
        box: x1, y1, x2, y2 in pixels of the crop.
        attention: (s, s, F), the weights of the features, 0..1 (-1..1 for the
            released code's); None without attention.
        heatmaps: (h, w, L), one for each landmark; None without landmarks.
        landmarks: names of the landmarks.
    """

    image: str
    box: Box
    attention: np.ndarray | None
    heatmaps: np.ndarray | None
    landmarks: tuple[str, ...]


class Predictor:
    """Predicts landmarks, category and attributes of images.

    Args:
        model: a model from `load_model`, or an artifact from `open_model`.
        read: returns the bytes of an image, or raises `InputError`; reads
            local files by default.
        threads: number of images to read and decode in parallel; one for
            each core by default.

    Examples:
        >>> predictor = Predictor(load_model("runs/demo"))
        >>> predictor.predict(["photo.jpg"])[0].categories[0]
        ('Dress', 0.93)
    """

    def __init__(
        self,
        model: ImageModel,
        read: Callable[[str], bytes] | None = None,
        threads: int | None = None,
    ) -> None:
        self.model = model
        self._read = read or read_image
        self._threads = threads or available_cores()

    def predict(
        self,
        images: str | Path | Sequence[str | Path],
        boxes: Sequence[Box] | np.ndarray | None = None,
        batch_size: int = 16,
    ) -> list[Prediction]:
        """Predicts each image, in the order given.

        Args:
            images: paths of images, or a single one.
            boxes: the garment in each image, x1, y1, x2, y2 in pixels,
                an array (N, 4) for instance, or a single one for a single
                path; the whole image if left out.
            batch_size: images per batch; affects predictions only by
                rounding.

        Raises:
            InputError: if one of them is not an image.
            ValueError: if the boxes are not of the shape (N, 4).
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
        inputs = map(ImageInput, map(Path, images), given)
        predictions = []
        with contextlib.closing(self.stream(inputs, batch_size)) as results:
            for result in results:
                if isinstance(result, InputError):
                    raise result
                predictions.append(result)
        return predictions

    def stream(
        self, inputs: Iterable[ImageInput | InputError], batch_size: int = 16
    ) -> Iterator[Prediction | InputError]:
        """Predicts images lazily, in the order given.

        Decodes the next images while the network runs on a batch. Holds no
        more than a few batches in memory.

        Args:
            inputs: images, as from `list_images`; read shortly before they
                are needed.
            batch_size: images per batch; affects predictions only by
                rounding.

        Yields:
            For each input a prediction, or the error that prevents it.

        Raises:
            InputError: an error that `inputs` raised, after the predictions
                of all inputs before it.
        """
        failed: list[InputError] = []

        def until_error() -> Iterator[ImageInput | InputError]:
            try:
                yield from inputs
            except InputError as error:
                failed.append(error)

        crops = _ahead(self._load, until_error(), 3 * batch_size, self._threads)
        with contextlib.closing(crops):
            while batch := list(itertools.islice(crops, batch_size)):
                yield from self._predict(batch)
        # Raised after the predictions of the inputs before it.
        if failed:
            raise failed[0]

    @functools.cached_property
    def has_maps(self) -> bool:
        """Returns whether `maps` works; it does not for TFLite and ONNX."""
        side = self.model.image_size
        return bool(self.model.maps(np.zeros((1, side, side, 3), "f4")))

    def maps(self, image: str | Path, box: Box | None = None) -> Maps | None:
        """Returns attention and heatmaps of an image; None without maps.

        A run, a `.keras` file and a SavedModel have maps.

        Args:
            image: path of the file.
            box: x1, y1, x2, y2 in pixels; the whole image if left out.

        Raises:
            InputError: if it is not an image, or the box is outside it.
        """
        crop = self._crop(str(image), box)
        maps = self.model.maps(crop.image[None])
        if not maps:
            return None
        attention, heatmaps = maps.get("attention"), maps.get("heatmaps")
        return Maps(
            str(image),
            crop.box,
            None if attention is None else attention[0],
            None if heatmaps is None else heatmaps[0],
            self.model.vocabulary.landmarks,
        )

    def _load(
        self, item: ImageInput | InputError
    ) -> tuple[str, Crop | InputError]:
        if isinstance(item, InputError):
            return "", item
        name = str(item.image)
        try:
            return name, self._crop(name, item.box)
        except InputError as error:
            return name, error

    def _crop(self, name: str, box: Box | None) -> Crop:
        encoded = self._read(name)
        return crop_encoded(encoded, name, self.model.image_size, box)

    def _predict(
        self, batch: list[tuple[str, Crop | InputError]]
    ) -> Iterator[Prediction | InputError]:
        images = [c.image for _, c in batch if isinstance(c, Crop)]
        outputs = self.model.predict_images(np.stack(images)) if images else {}
        row = 0
        for name, result in batch:
            if isinstance(result, InputError):
                yield result
                continue
            output = {task: value[row] for task, value in outputs.items()}
            yield make_prediction(name, result, output, self.model.vocabulary)
            row += 1


def _ahead(
    function: Callable, items: Iterable, count: int, threads: int
) -> Iterator:
    """Maps a function in threads, `count` results ahead, in order."""
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
        # If the consumer stops early, the rest is canceled.
        pool.shutdown(cancel_futures=True)
