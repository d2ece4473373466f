"""Renders the paper's two tables: published rows, the run's, the baseline's."""

from typing import Any
from typing import NamedTuple

from tabulate import tabulate

# Normalized error, as printed in the paper's Table 1, by year, then later
# publications, of which only the averages are known.
_PUBLISHED_NE = {
    "FashionNet, 2016": (
        (0.0854, 0.0902, 0.0973, 0.0935, 0.0854, 0.0845, 0.0812, 0.0823),
        0.0872,
    ),
    "DFA, 2016": (
        (0.0628, 0.0637, 0.0658, 0.0621, 0.0726, 0.0702, 0.0658, 0.0663),
        0.0660,
    ),
    "DLAN, 2017": (
        (0.0570, 0.0611, 0.0672, 0.0647, 0.0703, 0.0694, 0.0624, 0.0627),
        0.0643,
    ),
    "Wang et al., 2018": (
        (0.0415, 0.0404, 0.0496, 0.0449, 0.0502, 0.0523, 0.0537, 0.0551),
        0.0484,
    ),
    "AFN (paper), 2018": (
        (0.0332, 0.0346, 0.0487, 0.0519, 0.0422, 0.0429, 0.0620, 0.0639),
        0.0474,
    ),
    "SANL, 2019": ((None,) * 8, 0.0299),
    "MDDNet, 2020": ((None,) * 8, 0.0251),
}
_LANDMARKS = {
    "left_collar": "L.Col",
    "right_collar": "R.Col",
    "left_sleeve": "L.Sle",
    "right_sleeve": "R.Sle",
    "left_waistline": "L.Wai",
    "right_waistline": "R.Wai",
    "left_hem": "L.Hem",
    "right_hem": "R.Hem",
}

# Top-3 / top-5 in percent, as printed in the paper's Table 2.
_GROUPS = ("texture", "fabric", "shape", "part", "style")
_PUBLISHED_LABELS = {
    "WTBI": (
        "43.73 / 66.26",
        "24.21 / 32.65",
        "25.38 / 36.06",
        "23.39 / 31.26",
        "26.31 / 33.24",
        "49.85 / 58.68",
        "27.46 / 35.37",
    ),
    "DARN, 2015": (
        "59.48 / 79.58",
        "36.15 / 48.15",
        "36.64 / 48.52",
        "35.89 / 46.93",
        "39.17 / 50.14",
        "66.11 / 71.36",
        "42.35 / 51.95",
    ),
    "FashionNet, 2016": (
        "82.58 / 90.17",
        "37.46 / 49.52",
        "39.30 / 49.84",
        "39.47 / 48.59",
        "44.13 / 54.02",
        "66.43 / 73.16",
        "45.52 / 54.61",
    ),
    "Lu et al., 2017": ("86.72 / 92.51", "-", "-", "-", "-", "-", "-"),
    "Corbiere et al., 2017": (
        "86.30 / 92.80",
        "53.60 / 63.20",
        "39.10 / 48.80",
        "50.10 / 59.50",
        "38.80 / 48.90",
        "30.50 / 38.30",
        "23.10 / 30.40",
    ),
    "Wang et al., 2018": (
        "90.99 / 95.78",
        "50.31 / 65.48",
        "40.31 / 48.23",
        "53.32 / 61.05",
        "40.65 / 56.32",
        "68.70 / 74.25",
        "51.53 / 60.95",
    ),
    "AFN (paper), 2018": (
        "91.16 / 96.12",
        "56.17 / 65.83",
        "43.20 / 53.52",
        "58.28 / 67.80",
        "46.97 / 57.42",
        "68.82 / 74.13",
        "54.69 / 63.74",
    ),
}


class Table(NamedTuple):
    """A table of text.

    Attributes:
        header: titles of the columns.
        body: rows of as many cells; the first names the method.
    """

    header: list[str]
    body: list[list[str]]


def paper_tables(evaluation: dict[str, Any], name: str) -> str:
    """Renders an evaluation as the paper's two tables, in Markdown.

    The published rows are above this run's if `evaluation` includes them, the
    baseline's below it if there is one.

    Args:
        evaluation: returned by `evaluate`.
        name: name of this run's row.
    """
    parts = [scoring_summary(evaluation)]
    tables = [
        landmark_table(evaluation, name),
        label_table(evaluation, name),
        group_table(evaluation, name),
    ]
    parts += [_markdown(table) for table in tables if table]
    if line := top1_line(evaluation):
        parts.append(line)
    return "\n\n".join(parts)


def scoring_summary(evaluation: dict[str, Any]) -> str:
    """Describes the scored data and the warnings, in sentences."""
    sentences = [
        f"{evaluation['images']} images of the {evaluation['split']} split, "
        f"{evaluation['protocol']} protocol."
    ]
    if evaluation["published"]:
        sentences.append(
            "Published rows are for the full DeepFashion benchmark."
        )
    if evaluation["baseline"]:
        sentences.append(
            "The baseline always predicts the mean landmark and the most "
            "frequent labels of the train split."
        )
    sentences += [f"Warning: {line}." for line in evaluation["warnings"]]
    return " ".join(sentences)


def landmark_table(evaluation: dict[str, Any], name: str) -> Table | None:
    """Returns the paper's Table 1 with this run's row; None if no landmarks."""
    if not evaluation["landmarks"]:
        return None
    body = []
    if evaluation["published"]:
        body += [
            [method, *map(_error, each), _error(average)]
            for method, (each, average) in _PUBLISHED_NE.items()
        ]
    for method, scores in _own(evaluation, name):
        each = scores["landmarks"]["per_landmark"]
        body.append(
            [
                method,
                *(_error(each.get(name)) for name in _LANDMARKS),
                _error(scores["landmarks"]["ne"]),
            ]
        )
    return Table(["normalized error", *_LANDMARKS.values(), "Avg"], body)


def label_table(evaluation: dict[str, Any], name: str) -> Table | None:
    """Returns the paper's Table 2 with this run's row; None without labels.

    The columns are the groups of attributes in the data and, with published
    rows, those in the paper.
    """
    if not evaluation["category"] and not evaluation["attributes"]:
        return None
    groups = list((evaluation["attributes"] or {}).get("recall@3", ()))
    body = []
    if evaluation["published"]:
        own = [group for group in groups if group not in (*_GROUPS, "all")]
        groups = [*_GROUPS, *own, "all"]
        body += [
            [method, *values[:-1], *["-"] * len(own), values[-1]]
            for method, values in _PUBLISHED_LABELS.items()
        ]
    elif groups:
        groups = [*(group for group in groups if group != "all"), "all"]
    for method, scores in _own(evaluation, name):
        category = scores["category"] or {}
        recall = scores["attributes"] or {"recall@3": {}, "recall@5": {}}
        cells = [_percents(category.get("top3"), category.get("top5"))]
        cells += [
            _percents(recall["recall@3"].get(g), recall["recall@5"].get(g))
            for g in groups
        ]
        body.append([method, *cells])
    titles = [group.capitalize() for group in groups]
    return Table(["top-3 / top-5, %", "Category", *titles], body)


def group_table(evaluation: dict[str, Any], name: str) -> Table | None:
    """Returns recall@1 by group of attributes; None without groups.

    Where a garment has one attribute of a group, it is the accuracy.
    """
    attributes = evaluation["attributes"] or {}
    groups = [name for name in attributes.get("recall@1", ()) if name != "all"]
    if len(groups) < 2:
        return None
    body = []
    for method, scores in _own(evaluation, name):
        recall = scores["attributes"].get("recall@1", {})
        body.append([method, *(_percent(recall.get(g)) for g in groups)])
    titles = [group.capitalize() for group in groups]
    return Table(["recall@1, %", *titles], body)


def top1_line(evaluation: dict[str, Any]) -> str:
    """Returns a line with category top-1, which is not in the paper's tables.

    "" if it is unknown.
    """
    top1 = (evaluation["category"] or {}).get("top1")
    if top1 is None:
        return ""
    line = f"Category top-1: {100 * top1:.2f}%"
    if evaluation["baseline"]:
        baseline = evaluation["baseline"]["category"]["top1"]
        line += f" (baseline: {100 * baseline:.2f}%)"
    return f"{line}."


def _own(evaluation: dict[str, Any], name: str) -> list[tuple[str, dict]]:
    rows = [(name, evaluation)]
    if evaluation["baseline"]:
        rows.append(("baseline", evaluation["baseline"]))
    return rows


def _markdown(table: Table) -> str:
    return tabulate(
        table.body,
        table.header,
        tablefmt="github",
        disable_numparse=True,
        colalign=("left", *["right"] * (len(table.header) - 1)),
    )


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}".lstrip("0")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _percents(top3: float | None, top5: float | None) -> str:
    if top3 is None or top5 is None:
        return "-"
    return f"{_percent(top3)} / {_percent(top5)}"
