"""Finds, opens and runs the SavedModel in the workers of Beam."""

import contextlib
import logging
import re
import tempfile
from collections.abc import Iterator
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from typing import NamedTuple

from apache_beam.ml.inference.base import ModelHandler
from apache_beam.options.pipeline_options import DebugOptions
from apache_beam.options.pipeline_options import DirectOptions
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.options.pipeline_options import PortableOptions
from apache_beam.options.pipeline_options import StandardOptions

from afn_keras.prediction import Box
from afn_keras.prediction import ImageInput
from afn_keras.prediction import Prediction
from afn_keras.prediction import Predictor
from exports.catalog.names import parse_input
from exports.opening import open_model
from exports.saved_model import EXTRA
from pipelines.beam import check_url
from pipelines.beam import copy_folder
from pipelines.beam import files_in
from pipelines.beam import is_url
from pipelines.beam import join
from pipelines.beam import read_anywhere
from pipelines.errors import InputError
from pipelines.parallel import available_cores
from pipelines.vocabulary import FILE_NAME

# Reading images over a network mostly waits, so more threads than cores.
_READERS = 16
_BATCH = 16

_GRAPH = "saved_model.pb"
_VERSION = re.compile(rf"(?:(.*)/)?([1-9][0-9]*)/{re.escape(_GRAPH)}")


class Failed(NamedTuple):
    """An image that could not be used.

    Attributes:
        image: its path or URL, as given; empty if a row of a table has none.
        box: its box; None for the whole image.
        reason: one line, as `afn-predict` prints it.
    """

    image: str
    box: Box | None
    reason: str


class SavedModelHandler(ModelHandler[bytes, Prediction | Failed, Predictor]):
    """Predicts images from `ReadNames` with the code of `afn-predict`.

    The elements are names, not pixels: the files of a batch are read and
    decoded in parallel.

    Args:
        model: folder of a SavedModel, a path or URL.
        folder: folder that paths of images are relative to.
        box: box for images without their own.
        processes: number of workers that share a machine; 0 for one per core.
    """

    def __init__(
        self, model: str, folder: str, box: Box | None, processes: int
    ) -> None:
        super().__init__(min_batch_size=_BATCH, max_batch_size=16 * _BATCH)
        self._model = model
        self._folder = folder
        self._box = box
        self._processes = processes

    def load_model(self) -> Predictor:
        """Opens the SavedModel, once in each worker."""
        cores = available_cores()
        share = max(1, cores // (self._processes or cores))
        _use_threads(share if self._processes != 1 else 0)
        read = partial(read_anywhere, folder=self._folder)
        with _local_copy(self._model) as folder:
            return Predictor(open_model(folder), read, max(share, _READERS))

    def run_inference(
        self,
        batch: Sequence[bytes],
        model: Predictor,
        inference_args: dict[str, Any] | None = None,
    ) -> list[Prediction | Failed]:
        """Predicts images; returns a `Failed` for each that has an error."""
        inputs: list[ImageInput | InputError] = []
        for line in batch:
            try:
                entry = parse_input(line)
                inputs.append(ImageInput(entry.image, entry.box or self._box))
            except InputError as error:
                inputs.append(error)
        results = model.stream(inputs, _BATCH)
        return [
            result if isinstance(result, Prediction) else _failed(item, result)
            for item, result in zip(inputs, results, strict=True)
        ]


def find_saved_model(model: str) -> str:
    """Finds the folder of a SavedModel.

    Args:
        model: a path or URL of a run, of a SavedModel or of the folder of its
            versions, of which the highest is used.

    Raises:
        InputError: if there is none.
    """
    if is_url(model):
        check_url(model)
    elif not Path(model).exists():
        raise InputError(f"{model}: no such run or model")
    names = [] if Path(model).is_file() else files_in(model)
    for inside in ("", "exports/saved_model"):
        found = [
            int(match[2])
            for match in map(_VERSION.fullmatch, names)
            if match and (match[1] or "") == inside
        ]
        place = f"{inside}/{max(found)}".lstrip("/") if found else inside
        prefix = f"{place}/" if place else ""
        if f"{prefix}{_GRAPH}" in names:
            if f"{prefix}{EXTRA}/{FILE_NAME}" not in names:
                break
            return join(model, place) if place else model
    raise InputError(
        f"{model}: has no SavedModel with its labels, which --runner needs; "
        "afn-export RUN --formats saved_model writes one"
    )


def processes_on_a_machine(options: PipelineOptions) -> int:
    """Returns the number of workers on a machine; 0 for one per core."""
    runner = (options.view_as(StandardOptions).runner or "").lower()
    if runner.startswith("dataflow"):
        whole = "no_use_multiple_sdk_containers"
        experiments = options.view_as(DebugOptions).experiments or []
        return int(whole in experiments)
    if runner.startswith(("direct", "fnapi")):
        direct = options.view_as(DirectOptions)
        if direct.direct_running_mode == "multi_processing":
            return direct.direct_num_workers
        return 1
    return int(options.view_as(PortableOptions).sdk_worker_parallelism)


def _failed(item: ImageInput | InputError, error: InputError) -> Failed:
    if isinstance(item, InputError):
        return Failed("", None, str(error))
    return Failed(item.image, item.box, str(error))


def _use_threads(count: int) -> None:
    """Sets the number of TensorFlow's threads; 0 for all cores."""
    import tensorflow as tf

    # TensorFlow counts calls that wait for a trace as traces, and warns.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # Cannot be changed once TensorFlow is initialized.
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(count)
    for device in tf.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):
            # Leaves memory for the other workers of the machine.
            tf.config.experimental.set_memory_growth(device, True)


@contextlib.contextmanager
def _local_copy(model: str) -> Iterator[Path]:
    """Yields a local folder of a SavedModel."""
    if not is_url(model):
        yield Path(model)
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, Path(model).name)
        copy_folder(model, str(place))
        yield place
