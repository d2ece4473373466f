"""Images by the hundred million: a SavedModel in a job of Apache Beam.

Names -> spread over the workers -> `RunInference` -> sharded answers, and
beside them what could not be used. Beam distributes, tries again and renames
into place what is complete; here is what an image and an answer are.
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
from exports.catalog.names import Asked
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
"""The columns of Parquet: those of a line of JSON, as lists of structs."""


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
    """Runs a job from names to a finished folder.

    Args:
        model: a path or URL, as `find_saved_model` takes it.
        names: as `gather_names` takes them.
        output: the folder to write, a path or URL.
        options: what `job_options` returned.
        folder: what paths of images and of the model are relative to,
            on all workers.
        lines: paths or URLs for `-`, one a line.
        box: x1, y1, x2, y2 of whatever has none of its own.
        parquet: write answers as Parquet, not as lines of JSON.

    Raises:
        InputError: if the folder is finished or foreign, there is no such
            model, a name stands for nothing, or the job failed.
    """
    # Before there is a pipeline, files are looked for already.
    FileSystems.set_options(options)
    catalog = Catalog(output)
    found = resolve(find_saved_model(model), folder)
    with catalog:
        asked = gather_names(
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
            lambda pipeline: _build(pipeline, asked, handler, catalog, parquet),
        )
        return catalog.close()


def _build(
    pipeline: beam.Pipeline,
    asked: Asked,
    handler: SavedModelHandler,
    catalog: Catalog,
    parquet: bool,
) -> None:
    outcomes = pipeline | ReadNames(asked) | RunInference(handler)
    predictions = outcomes | "Answered" >> beam.ParDo(_Answered())
    failed = outcomes | "Failed" >> beam.ParDo(_Failed())
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
    """A prediction as a row of `SCHEMA`, rounded as a line of JSON is."""
    prediction = prediction.rounded()
    width, height = prediction.size
    # A file's name may be no text; a table's cell is.
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


class _Answered(beam.DoFn):
    """Passes predictions on, counted for whoever watches the job."""

    def __init__(self) -> None:
        self._count = Metrics.counter("afn-keras", "answered")

    def process(self, outcome: Prediction | Failed) -> Iterator[Prediction]:
        if isinstance(outcome, Prediction):
            self._count.inc()
            yield outcome


class _Failed(beam.DoFn):
    """Passes on, as lines of JSON, what could not be used."""

    def __init__(self) -> None:
        self._count = Metrics.counter("afn-keras", "failed")

    def process(self, outcome: Prediction | Failed) -> Iterator[str]:
        if isinstance(outcome, Failed):
            self._count.inc()
            yield json.dumps(outcome._asdict())
