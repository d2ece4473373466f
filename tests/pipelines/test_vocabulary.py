import json

import pytest

from pipelines.annotations import make_vocabulary
from pipelines.errors import InputError
from pipelines.vocabulary import Vocabulary


@pytest.fixture
def vocabulary():
    return make_vocabulary(
        ("Tee", "Über Coat"), ("red", "v-neck"), ("style", "part"), True
    )


def test_save_and_load(vocabulary, tmp_path):
    vocabulary.save(tmp_path)
    assert Vocabulary.load(tmp_path) == vocabulary


def test_left_and_right_swap(vocabulary):
    assert vocabulary.flipped_landmarks() == [1, 0, 3, 2, 5, 4, 7, 6]
    for index, other in enumerate(vocabulary.flipped_landmarks()):
        name = vocabulary.landmarks[index]
        side, part = name.split("_")
        swapped = {"left": "right", "right": "left"}[side]
        assert vocabulary.landmarks[other] == f"{swapped}_{part}"


def test_a_part_of_the_landmarks(vocabulary):
    part = vocabulary.with_landmarks([1, 4, 6, 7])
    assert part.landmarks == (
        *("right_collar", "left_waistline", "left_hem", "right_hem"),
    )
    assert part.landmark_pairs == ((2, 3),)
    # A flipped image has no label if the other side has none.
    assert part.flipped_landmarks() == [-1, -1, 3, 2]
    middle = Vocabulary(landmarks=("neck",))
    assert middle.flipped_landmarks() == [0]
    assert vocabulary.with_landmarks([]).flipped_landmarks() == []


def test_invalid_vocabulary_files(tmp_path):
    with pytest.raises(InputError, match="vocabulary.json: cannot be read"):
        Vocabulary.load(tmp_path)
    for text in (
        *("{}", "[]", "{", "null", '"landmark_pairs"'),
        '{"categories": "Tee", "landmark_pairs": []}',
    ):
        (tmp_path / "vocabulary.json").write_text(text)
        with pytest.raises(InputError, match="is no vocabulary"):
            Vocabulary.load(tmp_path)
    with pytest.raises(ValueError, match="1 attributes but 0"):
        Vocabulary(attributes=("red",))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        (
            "landmark_pairs",
            [[0, 1], [2, 8]],
            "landmark pair [2, 8] is not of the 8 landmarks, which count from "
            "0",
        ),
        (
            "landmark_pairs",
            [[0, -1]],
            "landmark pair [0, -1] is not of the 8 landmarks, which count "
            "from 0",
        ),
        (
            "landmark_pairs",
            [[0, 1], [1, 2]],
            "paired landmark 1 is there twice",
        ),
        ("landmark_pairs", [[3, 3]], "paired landmark 3 is there twice"),
        (
            "landmark_pairs",
            [[0, 0.5]],
            "'float' object cannot be interpreted as an integer",
        ),
        ("attribute_groups", ["style"], "2 attributes but 1 attribute groups"),
        ("attributes", ["red"], "1 attributes but 2 attribute groups"),
        ("categories", ["Tee", "Tee"], "category 'Tee' is there twice"),
        ("landmarks", ["hem", "hem"], "landmark 'hem' is there twice"),
    ],
)
def test_invalid_vocabulary(vocabulary, tmp_path, field, value, reason):
    fields = json.loads(vocabulary.to_json())
    path = tmp_path / "vocabulary.json"
    path.write_text(json.dumps({**fields, field: value}))
    with pytest.raises(InputError) as error:
        Vocabulary.load(tmp_path)
    assert str(error.value) == f"{path}: is no vocabulary ({reason})"


def test_an_attribute_of_two_groups(vocabulary):
    Vocabulary(attributes=("long", "long"), attribute_groups=("hem", "sleeve"))
    with pytest.raises(ValueError, match="attribute 'hem long' is there twice"):
        Vocabulary(attributes=("long", "long"), attribute_groups=("hem", "hem"))
