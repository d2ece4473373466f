"""The run: one folder with a trained network and all that belongs to it."""

import contextlib
import dataclasses
import functools
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from afn_keras.answers import AnsweringModel
from afn_keras.answers import MapsModel
from afn_keras.answers import has_maps
from afn_keras.backend import keras
from afn_keras.backend import writes_files_like
from afn_keras.cluster import InterruptedTrainingError
from afn_keras.heatmaps import Decoding
from afn_keras.rebuilding import UNREADABLE
from afn_keras.rebuilding import keras_version
from afn_keras.rebuilding import rebuild_network
from afn_keras.recipes import FILE_NAME as RECIPE
from afn_keras.recipes import load_recipe
from pipelines.errors import InputError
from pipelines.vocabulary import Vocabulary
from pipelines.writing import check_new
from pipelines.writing import remove_contents

MODEL = "model.keras"
CARD = "model_card.md"


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A trained network with the names of its labels.

    Args:
        name: the run's or the file's, for tables.
        model: float32, whatever precision it was trained in.
        vocabulary: names of the labels.
        decoding: how points are read off its heatmaps.
        card: its model card, in Markdown; "" if there is none beside it.
    """

    name: str
    model: keras.Model
    vocabulary: Vocabulary
    decoding: Decoding = "subpixel"
    card: str = ""

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
    """Opens a run, or a `.keras` file that lies beside its vocabulary.

    Keras 3 and Keras 2.15 open each other's.

    Points are read off heatmaps as the recipe beside it says, else to a
    fraction of a pixel.

    Raises:
        InputError: if there is none, or it cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such run or model")
    file = path / MODEL if path.is_dir() else path
    if not file.is_file():
        raise InputError(
            f"{path}: holds no {MODEL}; give a folder that afn-train wrote"
        )
    try:
        if file.suffix != ".keras" or not zipfile.is_zipfile(file):
            # Keras would take it for HDF5, by its name or by what is in it,
            # and that has no safe mode.
            raise ValueError("not in the format .keras")
        if writes_files_like(keras_version(file)):
            # Safe mode: no code that the file brings along is run.
            model = keras.models.load_model(file, compile=False, safe_mode=True)
            model = _as_float32(model)
        else:
            model = rebuild_network(file)
    except (*UNREADABLE, TypeError) as error:
        reason = (str(error).strip() or "damaged").splitlines()[0]
        raise InputError(f"{file}: is no model of Keras ({reason})") from error
    vocabulary = Vocabulary.load(file.parent)
    sizes = {
        "heatmaps": len(vocabulary.landmarks),
        "category": len(vocabulary.categories),
        "attributes": len(vocabulary.attributes),
    }
    outputs = model.output if isinstance(model.output, dict) else {}
    if {name: x.shape[-1] for name, x in outputs.items()} != {
        name: size for name, size in sizes.items() if size
    }:
        raise InputError(
            f"{file}: its outputs do not fit the vocabulary beside it; "
            "keep the two files of one run together"
        )
    decoding: Decoding = "subpixel"
    if (file.parent / RECIPE).exists():
        decoding = load_recipe(str(file.parent / RECIPE)).decoding
    card = file.parent / CARD
    text = card.read_text(encoding="utf-8") if card.exists() else ""
    # Not resolve(): a run may be reached through a link with a better name.
    name = Path(os.path.abspath(path if path.is_dir() else path.parent)).name
    return TrainedModel(name, model, vocabulary, decoding, text)


@contextlib.contextmanager
def new_run(folder: Path) -> Iterator[Path]:
    """Makes the folder of a run; removes it if no network comes of it.

    A folder that existed, and was empty, is emptied again and not removed.

    Raises:
        InputError: if the folder holds another run, or anything else.
    """
    folder = Path(folder)
    if (folder / RECIPE).exists():
        raise InputError(
            f"{folder}: holds another run; choose another folder with "
            "--output, or go on with this one: --resume"
        )
    check_new(folder)
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be made ({error.strerror}); choose another "
            "folder with --output"
        ) from error
    try:
        yield folder
    except BaseException as error:
        # A network that finished an epoch is worth keeping, and what others
        # are told to go on with.
        told = isinstance(error, InterruptedTrainingError)
        if not (folder / MODEL).exists() and not told:
            remove_contents(folder)
            if not existed:
                with contextlib.suppress(OSError):
                    folder.rmdir()
        raise


def existing_run(folder: Path | None, changed: bool) -> Path:
    """Finds the run to go on with.

    Args:
        folder: the run.
        changed: whether settings were given too, which it cannot take.

    Raises:
        InputError: if there is no run, or settings were given.
    """
    if folder is None:
        raise InputError("--resume: say which run with --output RUN")
    if not (folder / RECIPE).exists():
        raise InputError(
            f"{folder}: holds no run to go on with; leave out --resume"
        )
    if changed:
        raise InputError(
            f"--resume: goes on with the settings in {folder / RECIPE}; leave "
            "out --data, --recipe, --weights, --optimizer, --precision, "
            "--seed and --set"
        )
    return folder


def free_folder(folder: Path) -> Path:
    """`folder`, or with a number behind it the first that is not taken."""
    folder, number = Path(folder), 2
    free = folder
    while free.exists():
        free, number = folder.with_name(f"{folder.name}-{number}"), number + 1
    return free


def _as_float32(model: keras.Model) -> keras.Model:
    """The same network in float32: mixed precision's weights are float32.

    Neither TFLite nor a CPU without bfloat16 runs a mixed-precision graph.
    """
    config = json.dumps(model.get_config())
    for policy in ("mixed_bfloat16", "mixed_float16"):
        config = config.replace(f'"{policy}"', '"float32"')
    result = model.__class__.from_config(json.loads(config))
    result.set_weights(model.get_weights())
    return result
