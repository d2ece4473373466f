import pickle

import pytest
from conftest import ROOT

from pipelines.errors import InputError
from pipelines.problems import RULES
from pipelines.problems import Kind
from pipelines.problems import ProblemLog
from pipelines.problems import UnusableError

PAGE = ROOT / "docs" / "data.md"


def test_every_kind_has_a_rule_and_a_row_in_the_documents():
    assert set(RULES) == set(Kind)
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index("| problem | what is done |") + 2
    rows = lines[start : start + len(RULES) + 1]
    assert rows == [
        *(f"| {kind.value} | {rule} |" for kind, rule in RULES.items()),
        "",
    ]


def test_strict_stops_at_the_first():
    problem = (
        Kind.BOX_SWAPPED,
        "img/a.jpg",
        "list_bbox.txt, line 3",
        "9 1 2 3",
    )
    log = ProblemLog()
    log.note(*problem)
    assert log.problems == [problem]
    assert log.problems[0].action == "corners put in order"
    with pytest.raises(InputError) as error:
        ProblemLog(strict=True).note(*problem)
    assert str(error.value) == (
        "list_bbox.txt, line 3: img/a.jpg: box swapped (9 1 2 3); "
        "mend it or leave out --strict"
    )


def test_an_unusable_image_error_can_be_pickled():
    error = UnusableError("a.jpg", Kind.IMAGE_EMPTY, "no bytes")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == "a.jpg: image empty (no bytes)"
    assert (copy.kind, copy.detail) == (Kind.IMAGE_EMPTY, "no bytes")
