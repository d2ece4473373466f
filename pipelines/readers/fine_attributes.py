"""The two ways in which copies of the fine annotation write attributes."""

import numpy as np

from pipelines.annotations import UNKNOWN
from pipelines.problem_log import ProblemLog
from pipelines.problems import Kind
from pipelines.readers.deepfashion_names import Names
from pipelines.readers.text_rows import Rows


def first_place(files: list[Rows], names: Names) -> int:
    """Whether places in a group count from 0 or from 1 in a copy's files.

    If from 0, no place is as high as its group is large; if from 1, none is
    0. The copy is taken for the one with fewer places that are wrong.

    Args:
        files: of all splits, read as `fine_labels` takes them.
        names: the attributes' groups.
    """
    sizes = np.array([names.groups.count(name) for name in names.group_order])
    zeros = highest = 0
    for rows in files:
        places = _places(rows, len(sizes), len(names.groups))
        zeros += (places == 0).sum()
        highest += (places == sizes).sum()
    return 0 if zeros > highest else 1


def fine_labels(
    rows: Rows, names: Names, first: int, log: ProblemLog
) -> np.ndarray:
    """Labels of attributes, from either form.

    Args:
        rows: values (N, A), either A of 0 and 1, or a place in each of the
            G groups and NaN behind.
        names: the attributes' names and groups.
        first: the first place of a group.
        log: where values that are no such number are noted.

    Returns:
        (N, A) int8 of 1, 0, and `UNKNOWN` where the value was none.
    """
    groups = names.group_order
    columns = np.isfinite(rows.values).all(1)
    labels = np.full(rows.values.shape, UNKNOWN, np.int8)
    binary = np.isin(rows.values, (0, 1))
    labels[columns] = np.where(binary, rows.values, UNKNOWN)[columns]
    for row in np.flatnonzero(columns & ~binary.all(1)):
        wrong = np.flatnonzero(~binary[row])
        log.note(
            Kind.ATTRIBUTE_VALUE,
            rows.images[row],
            rows.source(row),
            ", ".join(
                f"{rows.values[row, column]:g} for {names.attributes[column]}"
                for column in wrong
            ),
        )
    places = _places(rows, len(groups), len(names.groups)) - first
    for index, group in enumerate(groups):
        members = np.flatnonzero(np.array(names.groups) == group)
        place = places[:, index]
        known = np.isin(place, np.arange(len(members)))
        one_hot = place[:, None] == np.arange(len(members))
        labels[np.ix_(known, members)] = one_hot[known]
        for row in np.flatnonzero(~known & ~np.isnan(place)):
            log.note(
                Kind.ATTRIBUTE_OUT_OF_RANGE,
                rows.images[row],
                rows.source(row),
                f"{group} {place[row] + first:g} is not in "
                f"{first}..{first + len(members) - 1}",
            )
    return labels


def _places(rows: Rows, groups: int, attributes: int) -> np.ndarray:
    """(N, G) places in groups; NaN in rows of the other form."""
    if groups == attributes:
        return np.full((len(rows.values), groups), np.nan)
    other = np.isfinite(rows.values).all(1)
    return np.where(other[:, None], np.nan, rows.values[:, :groups])
