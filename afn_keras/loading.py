"""Opens and saves trained networks: numbers and names, never code."""

import dataclasses
import functools
import os
from pathlib import Path
from typing import ClassVar

import numpy as np

from afn_keras.backend import keras
from afn_keras.heatmaps import Decoding
from afn_keras.inference import Inference
from afn_keras.outputs import AnsweringModel
from afn_keras.outputs import MapsModel
from afn_keras.outputs import has_maps
from afn_keras.rebuild import UNREADABLE
from afn_keras.rebuild import rebuild_network
from afn_keras.recipes import load_run_recipe
from afn_keras.runs import CARD
from afn_keras.runs import MODEL
from afn_keras.runs import RECIPE
from afn_keras.runs import check_exists
from afn_keras.training_data import TrainingData
from pipelines.errors import InputError
from pipelines.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A trained network with the names of its labels.

    Args:
        name: the run's or the file's, for tables.
        model: float32, whatever precision it was trained in.
        vocabulary: names of the labels.
        decoding: how points are read off its heatmaps.
        card: its model card, in Markdown; "" if there is none beside it.
        data: what it was trained on; None if that is not known.
    """

    name: str
    model: keras.Model
    vocabulary: Vocabulary
    decoding: Decoding = "subpixel"
    card: str = ""
    data: TrainingData | None = None
    answer_encoded: ClassVar[None] = None

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels."""
        return self.model.input.shape[1]

    def answer(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Answers for images, (B, S, S, 3) float32; see `AnsweringModel`."""
        return self._answering.predict_on_batch(images)

    def maps(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Maps for images; see `MapsModel`. Empty if the network has none."""
        return self._maps.predict_on_batch(images) if self._maps else {}

    @functools.cached_property
    def _maps(self) -> MapsModel | None:
        return MapsModel(self.model) if has_maps(self.model) else None

    @functools.cached_property
    def _answering(self) -> AnsweringModel:
        return AnsweringModel(self.model, self.decoding)


def load_model(path: Path) -> TrainedModel:
    """Opens a run or a `.keras` file, of Keras 3 or Keras 2.15.

    The network is built anew, in float32, from what the file says of its
    layers, and given the numbers in it: a file brings no code along. What
    inference needs lies inside the file; where it does not, as in files of
    version 0.1.0 and those that Keras's own callbacks write, `vocabulary.json`
    and `recipe.yaml` beside it say it.

    Raises:
        InputError: if there is none, or it cannot be read.
    """
    path = Path(path)
    check_exists(path)
    file = path / MODEL if path.is_dir() else path
    if not file.is_file():
        raise InputError(
            f"{path}: holds no {MODEL}; give a folder that afn-train wrote"
        )
    try:
        if file.suffix != ".keras":
            raise ValueError("its name does not end in .keras")
        model = rebuild_network(file)
        inference = Inference.of(file)
    except (*UNREADABLE, TypeError) as error:
        reason = (str(error).strip() or "damaged").splitlines()[0]
        raise InputError(
            f"{file}: is no network of afn-keras ({reason})"
        ) from error
    inference = inference or _beside(file)
    _check_outputs(model, inference.vocabulary, file)
    card = file.parent / CARD
    text = card.read_text(encoding="utf-8") if card.exists() else ""
    # Not resolve(): a run may be reached through a link with a better name.
    name = Path(os.path.abspath(path if path.is_dir() else path.parent)).name
    return TrainedModel(
        name,
        model,
        inference.vocabulary,
        inference.decoding,
        text,
        inference.data,
    )


def save_model(
    model: keras.Model,
    path: Path,
    vocabulary: Vocabulary,
    decoding: Decoding = "subpixel",
    data: TrainingData | None = None,
) -> None:
    """Saves a network with what inference needs, for `load_model` to open.

    Args:
        model: what `build_afn` made, compiled or not.
        path: a file that ends in .keras.
        vocabulary: names of its labels.
        decoding: how points are read off its heatmaps.
        data: what it was trained on.

    Raises:
        OSError: if the file cannot be written.
    """
    model.save(path)
    Inference(vocabulary, decoding, data).add_to(path)


def _beside(file: Path) -> Inference:
    decoding: Decoding = "subpixel"
    if (file.parent / RECIPE).exists():
        decoding = load_run_recipe(file.parent).decoding
    return Inference(
        Vocabulary.load(file.parent), decoding, TrainingData.load(file.parent)
    )


def _check_outputs(
    model: keras.Model, vocabulary: Vocabulary, file: Path
) -> None:
    sizes = {
        "heatmaps": len(vocabulary.landmarks),
        "category": len(vocabulary.categories),
        "attributes": len(vocabulary.attributes),
    }
    if {name: x.shape[-1] for name, x in model.output.items()} != {
        name: size for name, size in sizes.items() if size
    }:
        raise InputError(
            f"{file}: its outputs do not fit the vocabulary beside it; "
            "keep the two files of one run together"
        )
