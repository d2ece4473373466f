"""Writes the HTML report: scores, charts and the worst mistakes."""

import base64
import dataclasses
import functools
import io
import operator
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from afn_keras.drawing import chart_settings
from afn_keras.drawing import drawable
from afn_keras.evaluation import charts
from afn_keras.evaluation import worst_cases
from afn_keras.evaluation.files import write_evaluation
from afn_keras.evaluation.image_results import AttributeScore
from afn_keras.evaluation.image_results import ImageResults
from afn_keras.evaluation.image_results import attribute_scores
from afn_keras.evaluation.tables import Table
from afn_keras.evaluation.tables import group_table
from afn_keras.evaluation.tables import label_table
from afn_keras.evaluation.tables import landmark_table
from afn_keras.evaluation.tables import scoring_summary
from afn_keras.evaluation.tables import top1_line
from pipelines.errors import InputError
from pipelines.folders import fresh_folder
from pipelines.records import Records

PAGE = "report.html"


@dataclasses.dataclass
class _Part:
    heading: str = ""
    text: str = ""
    picture: str = ""
    table: Table | None = None


@dataclasses.dataclass
class _Section:
    anchor: str
    title: str
    parts: list[_Part]


def write_report_page(
    evaluation: dict[str, Any],
    results: ImageResults,
    records: Records,
    name: str,
    folder: Path,
) -> Path:
    """Writes a page with tables, charts and the worst cases.

    Args:
        evaluation: returned by `evaluate`.
        results: the results that its `on_batch` collected.
        records: the data, for the images.
        name: name of the network.
        folder: a new folder for `report.html`, which needs no other file,
            each picture of the page, `evaluation.json` and `evaluation.md`.

    Returns:
        The page.

    Raises:
        InputError: if the folder is not empty or cannot be written.
    """
    split = evaluation["split"]
    sections, pictures = [], {}

    vocabulary = results.vocabulary
    letters = chart_settings(
        *map(drawable, vocabulary.landmarks),
        *map(drawable, vocabulary.categories),
        *map(drawable, vocabulary.attributes),
    )

    def picture(title: str, draw: Callable, *given: Any) -> str:
        with matplotlib.rc_context(letters):
            drawn = draw(*given)
            if drawn is None:
                return ""
            pictures[title] = _png(drawn)
        return base64.b64encode(pictures[title]).decode()

    if evaluation["landmarks"]:
        sections.append(
            _Section(
                "landmarks",
                "Landmarks",
                [
                    _Part(table=landmark_table(evaluation, name)),
                    _Part(
                        "Error of each landmark",
                        picture=picture(
                            "landmarks",
                            charts.landmark_chart,
                            *(results, evaluation),
                        ),
                    ),
                    _Part(
                        "Worst images",
                        picture=picture(
                            "landmark_mistakes",
                            worst_cases.landmark_mistakes,
                            *(results, records, split),
                        ),
                    ),
                ],
            )
        )
    labels = label_table(evaluation, name)
    if evaluation["category"]:
        sections.append(
            _Section(
                "category",
                "Category",
                [
                    _Part(
                        text=top1_line(evaluation),
                        table=_columns(labels, "Category"),
                    ),
                    _Part(
                        "Confusion matrix",
                        picture=picture(
                            "confusion", charts.confusion_chart, results
                        ),
                    ),
                    _Part(
                        "Worst images",
                        picture=picture(
                            "category_mistakes",
                            worst_cases.category_mistakes,
                            *(results, records, split),
                        ),
                    ),
                ],
            )
        )
    if evaluation["attributes"]:
        scores = attribute_scores(results)
        groups = (title for title in labels.header[1:] if title != "Category")
        parts = [_Part("Recall by group", table=_columns(labels, *groups))]
        if first := group_table(evaluation, name):
            parts.append(_Part("Best attribute of each group", table=first))
        if scores:
            parts.append(
                _Part(
                    "Precision and recall of the most frequent",
                    "Dashed: the precision of predicting it for every image.",
                    picture(
                        "precision", charts.precision_chart, results, scores
                    ),
                )
            )
        parts.append(
            _Part(
                "Worst images",
                picture=picture(
                    "attribute_mistakes",
                    worst_cases.attribute_mistakes,
                    *(results, records, split),
                ),
            )
        )
        parts.append(
            _Part("Each attribute", _ATTRIBUTE_NOTE, table=_scores(scores))
        )
        sections.append(_Section("attributes", "Attributes", parts))
    if evaluation["category"] or evaluation["attributes"]:
        sections.append(
            _Section(
                "calibration",
                "Calibration",
                [
                    _Part(
                        text=_CALIBRATION_NOTE,
                        picture=picture(
                            "calibration", charts.calibration_chart, results
                        ),
                    )
                ],
            )
        )
    page = _template().render(
        name=name,
        evaluation=evaluation,
        what=scoring_summary(evaluation),
        numbers=_numbers(evaluation),
        sections=[
            dataclasses.replace(
                section,
                parts=[p for p in section.parts if p.picture or p.table],
            )
            for section in sections
        ],
    )
    try:
        with fresh_folder(folder) as aside:
            (aside / PAGE).write_text(page, encoding="utf-8")
            for title, content in pictures.items():
                (aside / f"{title}.png").write_bytes(content)
            write_evaluation(evaluation, name, aside)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror}); choose another "
            "folder with --report"
        ) from error
    return Path(folder) / PAGE


_ATTRIBUTE_NOTE = (
    "An attribute is predicted if its probability is 50% or more. AP is the "
    "area under precision over recall, ECE the expected calibration error."
)
_CALIBRATION_NOTE = (
    "On the dashed line, predictions with a probability of 70% are right in 70 "
    "of 100 cases; below it, the network is overconfident. Bars count "
    "predictions; pale bars and crosses are bins of fewer than "
    f"{charts.FEW} predictions, which are unreliable."
)


def _columns(table: Table, *titles: str) -> Table:
    """Selects a table's first column and some others; drops empty rows."""
    kept = [0, *(table.header.index(title) for title in titles)]
    rows = [[row[column] for column in kept] for row in table.body]
    return Table(
        [table.header[column] for column in kept],
        [row for row in rows if any(cell != "-" for cell in row[1:])],
    )


def _scores(scores: list[AttributeScore]) -> Table:
    header = [
        *("attribute", "group", "images", "AP"),
        *("precision, %", "recall, %", "ECE, %"),
    ]
    body = [
        [
            score.name,
            score.group,
            str(score.images),
            f"{score.average_precision:.3f}",
            "-" if score.precision is None else f"{100 * score.precision:.1f}",
            f"{100 * score.recall:.1f}",
            f"{100 * score.calibration_error:.1f}",
        ]
        for score in scores
    ]
    return Table(header, body)


def _numbers(evaluation: dict[str, Any]) -> list[dict[str, str]]:
    """Returns the headline scores, each with the baseline's if there is one."""
    chosen = []
    if evaluation["landmarks"]:
        chosen.append(("normalized error", ("landmarks", "ne"), "{:.4f}", 1))
        chosen.append(("PCK@0.1", ("landmarks", "pck@0.1"), "{:.1f}%", 100))
    if evaluation["category"]:
        for k in ("top1", "top3"):
            title = f"category {k[:3]}-{k[3:]}"
            chosen.append((title, ("category", k), "{:.1f}%", 100))
    if evaluation["attributes"]:
        keys = ("attributes", "recall@5", "all")
        chosen.append(("attribute recall@5", keys, "{:.1f}%", 100))
    baseline = evaluation["baseline"]
    return [
        {
            "title": title,
            "value": _shown(_at(evaluation, keys), form, factor),
            "baseline": _shown(_at(baseline, keys), form, factor)
            if baseline
            else "",
        }
        for title, keys, form, factor in chosen
    ]


def _at(scores: dict[str, Any], keys: Sequence[str]) -> float | None:
    return functools.reduce(operator.getitem, keys, scores)


def _shown(value: float | None, form: str, factor: float) -> str:
    return "-" if value is None else form.format(factor * value)


def _png(drawn: Figure | np.ndarray) -> bytes:
    if isinstance(drawn, Figure):
        return charts.png(drawn)
    stored = io.BytesIO()
    Image.fromarray(drawn).save(stored, "PNG", optimize=True)
    return stored.getvalue()


def _template() -> jinja2.Template:
    # Names of labels come from the data, so they are escaped.
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("afn_keras"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template(PAGE)
