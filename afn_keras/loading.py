"""Loads and saves trained networks: numbers and names, never code."""

import dataclasses
import functools
import os
from pathlib import Path
from typing import ClassVar

import numpy as np

from afn_keras.backend import keras
from afn_keras.heatmaps import Decoding
from afn_keras.inference import Inference
from afn_keras.outputs import MapsModel
from afn_keras.outputs import PredictionModel
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
        name: name of the run or file, for tables.
        model: the network, in float32 whatever precision it was trained in.
        vocabulary: names of the labels.
        decoding: how heatmaps are decoded.
        card: its model card, in Markdown; "" if there is none beside it.
        data: the data it was trained on; None if unknown.
    """

    name: str
    model: keras.Model
    vocabulary: Vocabulary
    decoding: Decoding = "subpixel"
    card: str = ""
    data: TrainingData | None = None
    predict_encoded: ClassVar[None] = None

    @property
    def image_size(self) -> int:
        """Returns the side of the square input in pixels."""
        return self.model.input.shape[1]

    def predict_images(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Predicts images, (B, S, S, 3) float32; see `PredictionModel`."""
        return self._prediction_model.predict_on_batch(images)

    def maps(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Returns maps of images; see `MapsModel`. Empty if there are none."""
        return self._maps.predict_on_batch(images) if self._maps else {}

    @functools.cached_property
    def _maps(self) -> MapsModel | None:
        return MapsModel(self.model) if has_maps(self.model) else None

    @functools.cached_property
    def _prediction_model(self) -> PredictionModel:
        return PredictionModel(self.model, self.decoding)


def load_model(path: Path) -> TrainedModel:
    """Loads a run or a `.keras` file, of Keras 3 or Keras 2.15.

    Rebuilds the network in float32 from the layers' configuration and loads
    the weights; never runs code from the file. The data for inference are in
    the file. For files without them, which version 0.1.0 and Keras's own
    callbacks write, `vocabulary.json` and `recipe.yaml` beside the file are
    used.

    Raises:
        InputError: if there is no such model, or it cannot be read.
    """
    path = Path(path)
    check_exists(path)
    file = path / MODEL if path.is_dir() else path
    if not file.is_file():
        raise InputError(
            f"{path}: has no {MODEL}; give a folder that afn-train wrote"
        )
    try:
        if file.suffix != ".keras":
            raise ValueError("its name does not end in .keras")
        model = rebuild_network(file)
        inference = Inference.from_file(file)
    except (*UNREADABLE, TypeError) as error:
        reason = (str(error).strip() or "damaged").splitlines()[0]
        raise InputError(
            f"{file}: not a network of afn-keras ({reason})"
        ) from error
    inference = inference or _beside(file)
    _check_outputs(model, inference.vocabulary, file)
    card = file.parent / CARD
    text = card.read_text(encoding="utf-8") if card.exists() else ""
    # Not resolve(): a link to a run may have a better name.
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
    """Saves a network with the data for inference, for `load_model`.

    Args:
        model: a network from `build_afn`, compiled or not.
        path: a file that ends in .keras.
        vocabulary: names of its labels.
        decoding: how heatmaps are decoded.
        data: the data it was trained on.

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
