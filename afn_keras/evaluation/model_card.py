"""Writes the model card: intended use, scores and limitations of a network.

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

_SYNTHETIC = "none: the images are synthetic."
_UNKNOWN = (
    "unknown. It applies to the network too: one trained on DeepFashion is for "
    "non-commercial research only. `--set license=...` states the license."
)
# Names that the card lists before "and N more".
_NAMED = 30


def write_model_card(
    run: Path,
    trained: TrainedModel,
    recipe: Recipe,
    records: Records,
    evaluation: dict[str, Any],
) -> None:
    """Writes `model_card.md` into a run; its exports contain it too.

    Args:
        run: the folder.
        trained: the network in it.
        recipe: the recipe it was trained with.
        records: the data it was trained on.
        evaluation: returned by `evaluate`.

    Raises:
        InputError: if it cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("afn_keras"),
        # The card is Markdown, not HTML.
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    weights = recipe.weights
    if weights not in ("none", "imagenet"):
        weights = Path(weights).name
    synthetic = synthetic_warning(trained.data)
    unlicensed = _SYNTHETIC if synthetic and weights == "none" else _UNKNOWN
    warnings = [synthetic] if synthetic else []
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
        weights=weights,
        # Not the whole path, which is private.
        data=Path(recipe.data).name if recipe.data else "synthetic garments",
        images=records.images,
        license=recipe.license or unlicensed,
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
    """Returns the first names and the number of the others."""
    shown = ", ".join(names[:_NAMED])
    more = len(names) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown
