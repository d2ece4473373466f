"""Draws charts of an evaluation: errors, confusion, calibration, precision."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix
from sklearn.metrics import precision_recall_curve

from afn_keras.drawing import color
from afn_keras.drawing import drawable
from afn_keras.evaluation.image_results import AttributeScore
from afn_keras.evaluation.image_results import ImageResults
from afn_keras.evaluation.image_results import calibration
from afn_keras.evaluation.image_results import calibration_error

# Okabe and Ito's, as in all pictures.
_BLUE = "#0072b2"
_GRAY = "#777777"
_PALE = "#cccccc"
_MAP = "cividis"

FEW = 10
"""Number of predictions below which a bin's frequency is unreliable."""

_SMALL_MULTIPLES = 24
_COUNTED = 25


def landmark_chart(results: ImageResults, evaluation: dict[str, Any]) -> Figure:
    """Draws NE of each landmark and the baseline's, and PCK over thresholds."""
    names = results.vocabulary.landmarks
    titles = [drawable(name.replace("_", " ")) for name in names]
    inks = [_ink(name) for name in names]
    figure = Figure((10, 4), layout="constrained")
    bars, curves = figure.subplots(1, 2)
    mine = evaluation["landmarks"]["per_landmark"]
    rows = np.arange(len(names))[::-1]
    values = [_or_nan(mine[name]) for name in names]
    bars.barh(rows, values, 0.6, color=inks)
    if evaluation["baseline"]:
        baseline = evaluation["baseline"]["landmarks"]["per_landmark"]
        bars.plot(
            [_or_nan(baseline[name]) for name in names],
            rows,
            "|",
            color="black",
            markersize=14,
            markeredgewidth=2,
        )
        bars.set_title("mark: baseline, the mean landmark", fontsize=10)
    bars.set_yticks(rows, titles)
    bars.set_xlabel("normalized error")
    curves.set_title("share of landmarks within a threshold", fontsize=10)
    thresholds = np.linspace(0, 0.3, 61)
    for column, (title, ink) in enumerate(zip(titles, inks, strict=True)):
        distance = results.distances[:, column]
        distance = np.sort(distance[~np.isnan(distance)])
        if len(distance):
            share = np.searchsorted(distance, thresholds) / len(distance)
            style = ("-", "--", "-.", ":")[column // 2 % 4]
            curves.plot(thresholds, share, style, color=ink, label=title)
    curves.set_xlabel("threshold, in units of the box")
    curves.set_ylabel("PCK")
    curves.set_ylim(0, 1)
    curves.set_xlim(0, thresholds[-1])
    curves.grid(alpha=0.3)
    curves.legend(loc="lower right", fontsize=8, frameon=False)
    return figure


def confusion_chart(results: ImageResults) -> Figure:
    """Draws the confusion matrix: rows are the truth, and sum to 1."""
    truth, scores = results.category
    known = truth >= 0
    predicted = scores[known].argmax(axis=1)
    count = scores.shape[1]
    matrix = confusion_matrix(truth[known], predicted, labels=np.arange(count))
    used = matrix.sum(1) + matrix.sum(0) > 0
    matrix = matrix[used][:, used]
    names = np.array(results.vocabulary.categories, object)[used]
    names = [_short(name, 24) for name in names]
    totals = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    few = len(names) <= _COUNTED
    side = 2.6 + (0.36 if few else 0.2) * len(names)
    figure = Figure((side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    # A power scale keeps rare confusions visible.
    drawn = axes.imshow(matrix / totals, cmap=_MAP, norm=PowerNorm(0.5, 0, 1))
    figure.colorbar(
        drawn, ax=axes, shrink=0.6, aspect=30, label="share of the truth"
    )
    size = 9 if few else 8
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    if few:
        for row, column in zip(*np.nonzero(matrix), strict=True):
            bright = matrix[row, column] > 0.3 * totals[row, 0]
            axes.text(
                column,
                row,
                str(matrix[row, column]),
                ha="center",
                va="center",
                fontsize=8,
                color="black" if bright else "white",
            )
    return figure


def calibration_chart(results: ImageResults) -> Figure:
    """Draws a reliability diagram: observed over predicted frequency.

    Bins of fewer than `FEW` predictions are crosses, with pale bars below.
    """
    series = []
    if results.vocabulary.categories:
        truth, scores = results.category
        known = truth >= 0
        if known.any():
            right = scores[known].argmax(axis=1) == truth[known]
            best = scores[known].max(axis=1)
            series.append(("best category", right, best))
    if results.vocabulary.attributes:
        truth, scores = results.attributes
        known = truth >= 0
        if known.any():
            series.append(("all attributes", truth[known] == 1, scores[known]))
    figure = Figure((4.6 * len(series), 5), layout="constrained")
    grid = figure.subplots(
        2, len(series), height_ratios=(3, 1), sharex=True, squeeze=False
    )
    for (above, below), (title, right, score) in zip(
        grid.T, series, strict=True
    ):
        count, predicted, observed = calibration(right, score)
        above.plot((0, 1), (0, 1), "--", color=_GRAY, linewidth=1)
        many, few = count >= FEW, (count > 0) & (count < FEW)
        some = many | few
        above.plot(predicted[some], observed[some], "-", color=_BLUE)
        # Markers at 0 and 1 are not clipped.
        whole = {"clip_on": False, "zorder": 3, "markeredgewidth": 2}
        if many.any():
            above.plot(
                predicted[many], observed[many], "o", color=_BLUE, **whole
            )
        if few.any():
            above.plot(
                predicted[few],
                observed[few],
                "x",
                color=_GRAY,
                label=f"fewer than {FEW} predictions",
                **whole,
            )
            above.legend(loc="upper left", fontsize=8, frameon=False)
        error = calibration_error(right, score)
        above.set_title(f"{title}: ECE {100 * error:.1f}%", fontsize=10)
        above.set_ylabel("observed frequency")
        above.set_ylim(0, 1)
        above.set_xlim(0, 1)
        above.grid(alpha=0.3)
        places = (np.arange(len(count)) + 0.5) / len(count)
        inks = np.where(few, _PALE, _GRAY)
        below.bar(places, count, 0.9 / len(count), color=inks)
        below.set_yscale("symlog")
        # Its default labels are formulas, which `chart_settings` disables.
        below.yaxis.set_major_formatter("{x:,.0f}")
        below.set_ylabel("predictions")
        below.set_xlabel("predicted probability")
    return figure


def precision_chart(
    results: ImageResults, scores: Sequence[AttributeScore]
) -> Figure:
    """Draws precision over recall, a small chart per frequent attribute.

    The dashed line is the share of images that have the attribute, which is
    the precision of predicting it for every image.
    """
    shown = scores[:_SMALL_MULTIPLES]
    columns = min(6, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure((1.75 * columns + 0.4, 1.85 * rows), layout="constrained")
    grid = figure.subplots(
        rows, columns, sharex=True, sharey=True, squeeze=False
    )
    truth, probabilities = results.attributes
    names = results.vocabulary.attributes
    for axes, score in zip(grid.flat, shown, strict=False):
        column = names.index(score.name)
        known = truth[:, column] >= 0
        precision, recall, _ = precision_recall_curve(
            truth[known, column] == 1, probabilities[known, column]
        )
        axes.step(recall, precision, color=_BLUE, where="post", linewidth=1.5)
        axes.axhline(
            score.images / score.known, ls="--", color=_GRAY, linewidth=1
        )
        name = _short(score.name, 20)
        axes.set_title(
            f"{name}\nAP {score.average_precision:.2f}, {score.images} images",
            fontsize=8,
        )
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.tick_params(labelsize=7)
    for axes in grid.flat[len(shown) :]:
        axes.axis("off")
    figure.supxlabel("recall", fontsize=9)
    figure.supylabel("precision", fontsize=9)
    return figure


def png(figure: Figure) -> bytes:
    """Encodes a chart as a PNG file."""
    stored = io.BytesIO()
    figure.savefig(stored, format="png", dpi=100)
    return stored.getvalue()


def _short(name: str, most: int) -> str:
    name = drawable(name)
    return name if len(name) <= most else f"{name[: most - 2]}.."


def _ink(name: str) -> str:
    return "#" + "".join(f"{part:02x}" for part in color(name))


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value
