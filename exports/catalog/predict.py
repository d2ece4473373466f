"""Predicts hundreds of millions of images with a SavedModel on Apache Beam.

Names -> distributed to the workers -> `RunInference` -> sharded predictions
and failures. Beam distributes the work, retries, and renames complete files.
"""

import json
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
import pyarrow
from apache_beam.io.filesystems import FileSystems
from apache_beam.io.parquetio import WriteToParquet
from apache_beam.io.textio import WriteToText
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from afn_keras.prediction import Prediction
from exports.catalog.folder import FAILED
from exports.catalog.folder import PREDICTIONS
from exports.catalog.folder import Catalog
from exports.catalog.folder import Finished
from exports.catalog.folder import finish
from exports.catalog.model import Failed
from exports.catalog.model import SavedModelHandler
from exports.catalog.model import find_saved_model
from exports.catalog.model import processes_on_a_machine
from exports.catalog.names import InputSources
from exports.catalog.names import ReadNames
from exports.catalog.names import gather_names
from pipelines.beam import copy_folder
from pipelines.beam import is_url
from pipelines.beam import resolve
from pipelines.beam import run_job

_CORNERS = ("x1", "y1", "x2", "y2")
_NAMED = [("name", pyarrow.string()), ("score", pyarrow.float64())]
SCHEMA = pyarrow.schema(
    [
        ("image", pyarrow.string()),
        ("width", pyarrow.int32()),
        ("height", pyarrow.int32()),
        (
            "box",
            pyarrow.struct([(c, pyarrow.float64()) for c in _CORNERS]),
        ),
        (
            "landmarks",
            pyarrow.list_(
                pyarrow.struct(
                    [
                        ("name", pyarrow.string()),
                        ("x", pyarrow.float64()),
                        ("y", pyarrow.float64()),
                        ("score", pyarrow.float64()),
                    ]
                )
            ),
        ),
        ("categories", pyarrow.list_(pyarrow.struct(_NAMED))),
        ("attributes", pyarrow.list_(pyarrow.struct(_NAMED))),
    ]
)
"""Columns of Parquet: the fields of a line of JSON, as lists of structs."""


def predict_images(
    model: str,
    names: Sequence[str],
    output: str,
    options: PipelineOptions,
    *,
    folder: str,
    lines: Iterable[str] = (),
    box: Sequence[float] | None = None,
    parquet: bool = False,
) -> Finished:
    """Runs a job that predicts images and writes a folder.

    Args:
        model: a path or URL, as `find_saved_model` takes it.
        names: as `gather_names` takes them.
        output: the folder to write, a path or URL.
        options: returned by `job_options`.
        folder: folder that paths of images and of the model are relative to,
            on all workers.
        lines: paths or URLs for `-`, one per line.
        box: x1, y1, x2, y2 for images without their own box.
        parquet: write Parquet, not JSON lines.

    Raises:
        InputError: if the folder is finished or contains other files, there is
            no such model, a name refers to nothing, or the job failed.
    """
    # File systems are used before there is a pipeline.
    FileSystems.set_options(options)
    catalog = Catalog(output)
    found = resolve(find_saved_model(model), folder)
    with catalog:
        sources = gather_names(
            names, lines, folder, catalog.aside("images.jsonl")
        )
        if is_url(catalog.folder) and not is_url(found):
            # Workers elsewhere do not see this machine's files.
            copy_folder(found, catalog.aside("model/1"))
            found = catalog.aside("model/1")
        handler = SavedModelHandler(
            found,
            folder,
            tuple(box) if box else None,
            processes_on_a_machine(options),
        )
        run_job(
            options,
            lambda pipeline: _build(
                pipeline, sources, handler, catalog, parquet
            ),
        )
        return catalog.close()


def _build(
    pipeline: beam.Pipeline,
    sources: InputSources,
    handler: SavedModelHandler,
    catalog: Catalog,
    parquet: bool,
) -> None:
    results = pipeline | ReadNames(sources) | RunInference(handler)
    predictions = results | "Predicted" >> beam.ParDo(_Predicted())
    failed = results | "Failed" >> beam.ParDo(_Failed())
    prefix = catalog.prefix(PREDICTIONS)
    if parquet:
        written = (
            predictions
            | "Rows" >> beam.Map(to_row)
            | "Write"
            >> WriteToParquet(
                prefix,
                SCHEMA,
                codec="snappy",
                use_compliant_nested_type=True,
                file_name_suffix=".parquet",
            )
        )
    else:
        written = (
            predictions
            | "Lines" >> beam.Map(Prediction.to_json)
            | "Write" >> WriteToText(prefix, file_name_suffix=".jsonl")
        )
    reasons = failed | "Reasons" >> WriteToText(
        catalog.prefix(FAILED),
        file_name_suffix=".jsonl",
        skip_if_empty=True,
    )
    _ = (
        pipeline
        | "Once" >> beam.Create([None])
        | "Finish"
        >> beam.Map(
            finish,
            catalog.folder,
            beam.pvalue.AsSingleton(
                predictions | "Count" >> beam.combiners.Count.Globally()
            ),
            beam.pvalue.AsSingleton(
                failed | "CountFailed" >> beam.combiners.Count.Globally()
            ),
            beam.pvalue.AsIter(written),
            beam.pvalue.AsIter(reasons),
        )
    )


def to_row(prediction: Prediction) -> dict[str, Any]:
    """Converts a prediction to a row of `SCHEMA`, rounded as in JSON lines."""
    prediction = prediction.rounded()
    width, height = prediction.size
    # A file name may not be UTF-8; a table's cell must be.
    name = prediction.image.encode("utf-8", "surrogateescape")
    return {
        "image": name.decode("utf-8", "backslashreplace"),
        "width": width,
        "height": height,
        "box": dict(zip(_CORNERS, prediction.box, strict=True)),
        "landmarks": [
            {"name": landmark, "x": x, "y": y, "score": score}
            for landmark, (x, y, score) in prediction.landmarks.items()
        ],
        "categories": _named(prediction.categories),
        "attributes": _named(prediction.attributes),
    }


def _named(scored: tuple[tuple[str, float], ...]) -> list[dict[str, Any]]:
    return [{"name": name, "score": score} for name, score in scored]


class _Predicted(beam.DoFn):
    """Selects and counts predictions, for monitoring of the job."""

    def __init__(self) -> None:
        self._count = Metrics.counter("afn-keras", "predicted")

    def process(self, result: Prediction | Failed) -> Iterator[Prediction]:
        if isinstance(result, Prediction):
            self._count.inc()
            yield result


class _Failed(beam.DoFn):
    """Selects and counts failures, as lines of JSON."""

    def __init__(self) -> None:
        self._count = Metrics.counter("afn-keras", "failed")

    def process(self, result: Prediction | Failed) -> Iterator[str]:
        if isinstance(result, Failed):
            self._count.inc()
            yield json.dumps(result._asdict())
