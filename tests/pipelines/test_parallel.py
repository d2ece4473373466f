import operator
import os
import time

import pytest

from pipelines.parallel import WorkerDiedError
from pipelines.parallel import ordered_map


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_in_order(workers):
    # Earlier items take longer.
    items = [0.08, 0.04, 0.02, 0.01, 0, 0, 0]
    with ordered_map(time.sleep, items, workers) as results:
        assert list(results) == [None] * 7
    with ordered_map(operator.neg, range(50), workers) as results:
        assert list(results) == [-i for i in range(50)]
    with ordered_map(operator.neg, [], workers) as results:
        assert list(results) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_items_are_taken_when_they_are_needed(workers):
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    with ordered_map(operator.neg, items(), workers) as results:
        for expected in range(20):
            assert next(results) == -expected
            # Four per process may wait.
            assert len(taken) <= expected + 2 + 4 * workers


def test_large_results_and_items_do_not_block():
    # Far more than a pipe holds, in both directions.
    items = [bytes([i]) * 3_000_000 for i in range(12)]
    with ordered_map(bytes.upper, items, 2) as results:
        assert list(results) == [item.upper() for item in items]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_is_raised_in_order(workers):
    with ordered_map(operator.index, [1, 2, "3", 4], workers) as results:
        assert [next(results), next(results)] == [1, 2]
        with pytest.raises(TypeError, match="cannot be interpreted as an int"):
            next(results)


def test_death_of_a_process_is_an_error():
    with (
        pytest.raises(WorkerDiedError),
        ordered_map(os._exit, [1, 2, 3], 2) as results,
    ):
        list(results)
