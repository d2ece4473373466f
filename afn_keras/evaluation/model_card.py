"""The model card: what a network is for, what it is worth, what it cannot do.

After Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

import afn_keras
from afn_keras.data_warnings import synthetic_warning
from afn_keras.data_warnings import training_warnings
from afn_keras.evaluation.tables import paper_tables
from afn_keras.loading import TrainedModel
from afn_keras.recipes import Recipe
from afn_keras.runs import CARD
from pipelines.errors import InputError
from pipelines.records import Records

_DRAWN = "none: the images were drawn."
_UNSTATED = (
    "not stated. A network inherits it: one that saw DeepFashion is for "
    "non-commercial research only. `--set license=...` states it."
)
# Names of a list that are spelt out.
_NAMED = 30


def write_model_card(
    run: Path,
    trained: TrainedModel,
    recipe: Recipe,
    records: Records,
    evaluation: dict[str, Any],
) -> None:
    """Writes `model_card.md` into a run; its exports carry it too.

    Args:
        run: the folder.
        trained: the network in it.
        recipe: how it was trained.
        records: what it was trained on.
        evaluation: what `evaluate` returned.

    Raises:
        InputError: if it cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("afn_keras"),
        # Markdown, and nobody's page.
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    begun = recipe.weights
    if begun not in ("none", "imagenet"):
        begun = Path(begun).name
    unseen = synthetic_warning(trained.data)
    unlabeled = _DRAWN if unseen and begun == "none" else _UNSTATED
    warnings = [unseen] if unseen else []
    warnings += [
        line
        for line in training_warnings(records)
        if line not in evaluation["warnings"]
    ]
    text = environment.get_template(CARD).render(
        name=trained.name,
        version=afn_keras.__version__,
        recipe=recipe,
        vocabulary=trained.vocabulary,
        begun=begun,
        # Not the whole path, which is the trainer's own affair.
        data=Path(recipe.data).name if recipe.data else "drawn garments",
        images=records.images,
        license=recipe.license or unlabeled,
        warnings=warnings,
        tables=paper_tables(evaluation, trained.name),
        parameters=trained.model.count_params(),
        some=_some,
    )
    path = Path(run) / CARD
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); make room"
        ) from error


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:_NAMED])
    more = len(names) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown
