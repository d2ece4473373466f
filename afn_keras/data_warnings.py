"""Warnings about data and about scores that mean little on them."""

from collections.abc import Sequence

from afn_keras.training_data import TrainingData
from pipelines.records import Records
from pipelines.vocabulary import Vocabulary

# Names that a warning lists before "and N more".
_NAMED = 3


def training_warnings(records: Records) -> list[str]:
    """Returns a line for each problem of the data to train on."""
    vocabulary, baseline = records.vocabulary, records.baseline
    warnings = []
    if not records.images.get("val"):
        warnings.append(
            "no val split: the best epoch cannot be chosen, the last one is "
            "kept"
        )
    if not records.images.get("test"):
        seen = (
            "val, on which the best epoch is chosen"
            if records.images.get("val")
            else "the images that it is trained on"
        )
        warnings.append(f"no test split: the network is evaluated on {seen}")
    for what, names, frequencies in (
        ("categories", vocabulary.categories, baseline["category"]),
        ("attributes", vocabulary.attributes, baseline["attributes"]),
    ):
        share = dict(zip(names, frequencies, strict=True))
        if never := [name for name in names if share[name] == 0]:
            warnings.append(
                f"{what} that no image of train has, so that they cannot be "
                f"learned: {_some(never)}"
            )
        always = [name for name in names if share[name] == 1]
        if always and what == "attributes":
            warnings.append(
                "attributes that every labeled image of train has, so that "
                f"nothing shows where they are absent: {_some(always)}"
            )
    return warnings + score_warnings(vocabulary)


def score_warnings(vocabulary: Vocabulary) -> list[str]:
    """Returns a line for each score that means little with so few labels."""
    warnings = []
    if len(vocabulary.categories) == 1:
        warnings.append(
            f"one category ({vocabulary.categories[0]}): its loss is 0 and "
            "its top-1 100% whatever the image shows"
        )
    if len(vocabulary.landmarks) == 1:
        name = vocabulary.landmarks[0].replace("_", " ")
        warnings.append(f"one landmark ({name}): NE and PCK are of it alone")
    if 1 <= len(vocabulary.attributes) <= 5:
        warnings.append(
            f"no more than 5 attributes ({len(vocabulary.attributes)}): "
            "recall@5 is 100% whatever the image shows"
        )
    return warnings


def synthetic_warning(data: TrainingData | None) -> str | None:
    """Returns the warning about a network trained only on synthetic images."""
    if data is None or data.origin != "synthetic":
        return None
    return (
        "the network was trained on synthetic images alone: its predictions "
        "for photos are not to be trusted"
    )


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown
