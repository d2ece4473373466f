"""The SavedModel in a worker of Beam: how it is found, opened and asked."""

import contextlib
import logging
import re
import tempfile
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
from afn_keras.prediction import Listed
from afn_keras.prediction import Prediction
from afn_keras.prediction import Predictor
from exports.catalog.names import parse_asked
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

# Images over a network are waited for, not worked on.
_READERS = 16
_BATCH = 16

_GRAPH = "saved_model.pb"
_VERSION = re.compile(rf"(?:(.*)/)?([1-9][0-9]*)/{re.escape(_GRAPH)}")


class Failed(NamedTuple):
    """An image that could not be used.

    Attributes:
        image: as it was named; empty where a row of a table names none.
        box: what was asked for of it; None for all of it.
        reason: one line, as `afn-predict` prints it.
    """

    image: str
    box: Box | None
    reason: str


class SavedModelHandler(ModelHandler[bytes, Prediction | Failed, Predictor]):
    """Answers for lines of `ReadNames` as `afn-predict` does, by one code.

    The elements are names, not pixels: a batch is read, decoded and shown to
    the network as the files of a folder are, side by side.

    Args:
        model: folder of a SavedModel, a path or URL.
        folder: what paths of images are relative to.
        box: of whatever has none of its own.
        processes: workers that share a machine; 0 for one on each core.
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
        with _here(self._model) as folder:
            return Predictor(open_model(folder), read, max(share, _READERS))

    def run_inference(
        self,
        batch: Sequence[bytes],
        model: Predictor,
        inference_args: dict[str, Any] | None = None,
    ) -> list[Prediction | Failed]:
        """Answers for images, or says why there is no answer."""
        asked: list[Listed | InputError] = []
        for line in batch:
            try:
                named = parse_asked(line)
                asked.append(Listed(named.image, named.box or self._box))
            except InputError as error:
                asked.append(error)
        answers = model.stream(asked, _BATCH)
        return [
            answer if isinstance(answer, Prediction) else _failed(item, answer)
            for item, answer in zip(asked, answers, strict=True)
        ]


def find_saved_model(model: str) -> str:
    """The folder of the SavedModel that a person means.

    Args:
        model: a path or URL of a run, of a SavedModel or of the folder of its
            versions, of which the highest is taken.

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
        f"{model}: holds no SavedModel with its labels, which --runner needs; "
        "afn-export RUN --formats saved_model makes one"
    )


def processes_on_a_machine(options: PipelineOptions) -> int:
    """How many workers share the cores of one; 0 for one on each core."""
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


def _failed(asked: Listed | InputError, error: InputError) -> Failed:
    if isinstance(asked, InputError):
        return Failed("", None, str(error))
    return Failed(asked.image, asked.box, str(error))


def _use_threads(count: int) -> None:
    """Has TensorFlow use this many threads for an operation; 0 for all."""
    import tensorflow as tf

    # It takes calls that wait for a first one's trace for traces of their own.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # Where it runs already it has what it has.
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(count)
    for device in tf.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):
            # The other workers of the machine need some, too.
            tf.config.experimental.set_memory_growth(device, True)


@contextlib.contextmanager
def _here(model: str) -> Path:
    """The folder of a SavedModel on this machine."""
    if not is_url(model):
        yield Path(model)
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, Path(model).name)
        copy_folder(model, str(place))
        yield place
