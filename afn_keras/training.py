"""Training: Keras's own compile and fit, put together from a recipe."""

from pathlib import Path
from typing import Any

from afn_keras.backend import keras
from afn_keras.losses import AttributesLoss
from afn_keras.losses import CategoryLoss
from afn_keras.losses import HeatmapLoss
from afn_keras.metrics import headline_metrics
from afn_keras.network import build_afn
from afn_keras.pretrained import load_backbone
from afn_keras.progress import ProgressLine
from afn_keras.recipes import Recipe
from pipelines.batches import load_split
from pipelines.records import Records
from pipelines.vocabulary import Vocabulary


def train(recipe: Recipe, records: Records, folder: Path) -> None:
    """Trains a network and leaves the best one in the run's folder.

    The best epoch is chosen on the val split by the mean of the headline
    metrics that the data has (1 - NE, category top-1, attribute recall@5).
    Without a val split the last epoch is kept.

    Args:
        recipe: how to train.
        records: what to train on.
        folder: an existing folder; gets `model.keras`, `history.csv` and
            `logs/` for TensorBoard.

    Raises:
        InputError: if there is no image of the train split, or the weights
            to start from cannot be had.
    """
    keras.utils.set_random_seed(recipe.seed)
    data = load_split(
        records,
        "train",
        image_size=recipe.image_size,
        batch_size=recipe.batch_size,
        training=True,
        augmentation=recipe.augmentation,
        seed=recipe.seed,
    )
    validation = None
    if records.images.get("val"):
        validation = load_split(
            records,
            "val",
            image_size=recipe.image_size,
            batch_size=recipe.batch_size,
        )
    model = compiled_model(recipe, records.vocabulary, len(data))
    model.fit(
        data,
        validation_data=validation,
        epochs=recipe.epochs,
        verbose=0,
        shuffle=False,  # The data are shuffled already.
        callbacks=[
            # First, since it adds the score that the checkpoint watches.
            ProgressLine(),
            keras.callbacks.ModelCheckpoint(
                folder / "model.keras",
                monitor="val_score",
                mode="max",
                save_best_only=validation is not None,
            ),
            keras.callbacks.CSVLogger(folder / "history.csv"),
            keras.callbacks.TensorBoard(folder / "logs", write_graph=False),
        ],
    )


def compiled_model(
    recipe: Recipe, vocabulary: Vocabulary, steps_per_epoch: int
) -> keras.Model:
    """The recipe's network with its losses, metrics and optimizer."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.precision)
    try:
        model = build_afn(
            vocabulary,
            image_size=recipe.image_size,
            width=recipe.width,
            dropout=recipe.dropout,
        )
    finally:
        keras.config.set_dtype_policy(before)
    if recipe.weights != "none":
        load_backbone(model, recipe.weights)
    losses = {
        "heatmaps": HeatmapLoss(recipe.sigma),
        "category": CategoryLoss(),
        "attributes": AttributesLoss(recipe.negative_weight),
    }
    weights = {
        "heatmaps": recipe.landmark_weight,
        "category": recipe.category_weight,
        "attributes": recipe.attribute_weight,
    }
    tasks = list(model.output)
    model.compile(
        optimizer=_optimizer(recipe, steps_per_epoch),
        loss={task: losses[task] for task in tasks},
        loss_weights={task: weights[task] for task in tasks},
        metrics=headline_metrics(vocabulary),
    )
    return model


def _optimizer(recipe: Recipe, steps_per_epoch: int) -> Any:
    steps = steps_per_epoch * recipe.epochs
    if recipe.schedule == "cosine":
        warmup = min(int(recipe.warmup * steps_per_epoch), steps - 1)
        rate = keras.optimizers.schedules.CosineDecay(
            recipe.learning_rate / 20 if warmup else recipe.learning_rate,
            decay_steps=steps - warmup,
            warmup_target=recipe.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    else:
        rate = keras.optimizers.schedules.ExponentialDecay(
            recipe.learning_rate,
            decay_steps=steps_per_epoch,
            decay_rate=recipe.decay,
            staircase=True,
        )
    # With a weight decay of 0 AdamW is Adam.
    return keras.optimizers.AdamW(
        rate,
        weight_decay=recipe.weight_decay,
        global_clipnorm=recipe.clip_norm,
    )
