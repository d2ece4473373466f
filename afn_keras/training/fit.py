"""Training: Keras's own compile and fit, put together from a recipe."""

import contextlib
from pathlib import Path
from typing import Any
from typing import NamedTuple

from afn_keras.backend import SwapEMAWeights
from afn_keras.backend import keras
from afn_keras.backend import precision
from afn_keras.data_warnings import training_warnings
from afn_keras.inference import Inference
from afn_keras.losses import AttributesLoss
from afn_keras.losses import CategoryLoss
from afn_keras.losses import HeatmapLoss
from afn_keras.metrics import headline_metrics
from afn_keras.network import build_afn
from afn_keras.recipes import Recipe
from afn_keras.runs import MODEL
from afn_keras.training.addons import SwapAverages
from afn_keras.training.addons import uses_addons
from afn_keras.training.checkpoints import HISTORY
from afn_keras.training.checkpoints import DropoutByEpoch
from afn_keras.training.checkpoints import RunCheckpoint
from afn_keras.training.checkpoints import restore
from afn_keras.training.cluster import Devices
from afn_keras.training.devices import device_name
from afn_keras.training.devices import on_devices
from afn_keras.training.devices import synchronize
from afn_keras.training.monitor import LandmarkDetails
from afn_keras.training.monitor import PredictionMonitor
from afn_keras.training.optimizers import make_optimizer
from afn_keras.training.pretrained import load_weights
from afn_keras.training.progress import ProgressBar
from afn_keras.training.progress import ProgressLine
from afn_keras.training.trackers import tracking
from afn_keras.training_data import TrainingData
from pipelines.batches import ALONE
from pipelines.batches import Part
from pipelines.batches import check_split
from pipelines.batches import epoch_steps
from pipelines.batches import load_split
from pipelines.batches import woven_images
from pipelines.errors import InputError
from pipelines.records import Records
from pipelines.vocabulary import Vocabulary


def train(
    recipe: Recipe,
    records: Records,
    folder: Path,
    resume: bool = False,
    devices: Devices = 1,
    part: Part = ALONE,
) -> None:
    """Trains a network and leaves the best and the last one in the run.

    The best epoch is chosen on the val split by the mean of the headline
    metrics that the data has (1 - NE, category top-1, attribute recall@5).
    Without a val split the last epoch is kept.

    Args:
        recipe: how to train.
        records: what to train on.
        folder: the run, made if it is missing; gets `recipe.yaml`,
            `vocabulary.json` and `training_data.json`, so that `load_model`
            opens it with all that is known of it, `model.keras`,
            `last-N.keras`, `history.csv` and `logs/` for TensorBoard.
        resume: resume where training in this folder stopped, and end where it
            would have ended.
        devices: how many GPUs share each batch, or "all"; without GPUs parts
            of the processor, to try it out.
        part: this process's among those of a cluster that train together, on
            JAX, with all devices that each has. The first one writes.

    Raises:
        InputError: if there is no image of the train split, the weights to
            start from cannot be had, a batch cannot be shared evenly, the
            loss becomes NaN, or a network cannot be written.
    """
    check_split(records, "train")
    with on_devices(devices, part) as count:
        check_shares(recipe, records, count * part.count)
        keras.utils.set_random_seed(recipe.seed)
        _train(_Job(recipe, records, Path(folder), part), resume)


def check_shares(recipe: Recipe, records: Records, count: int) -> None:
    """Raises InputError unless each of the devices has as many images."""
    size = recipe.batch_size
    if size % count:
        raise InputError(
            f"batch_size={size}: cannot be shared by {count} devices; choose "
            f"{-(-size // count) * count}"
        )
    images = woven_images(records, "train")
    if count > 1 and images < size:
        raise InputError(
            f"batch_size={size}: there are only {images} images to train on; "
            f"choose fewer, a multiple of {count} devices"
        )


class _Job(NamedTuple):
    """One run, as one of the processes that train it sees it."""

    recipe: Recipe
    records: Records
    folder: Path
    part: Part

    @property
    def writes(self) -> bool:
        """Returns whether this process writes the run."""
        return self.part.index == 0

    def dataset(self, split: str, **options: Any) -> Any:
        """Returns the batches of a split, as `load_split` does."""
        return load_split(
            self.records,
            split,
            image_size=self.recipe.image_size,
            batch_size=self.recipe.batch_size,
            **options,
        )


def _train(job: _Job, resume: bool) -> None:
    recipe, records, folder, part = job
    if job.writes:
        folder.mkdir(parents=True, exist_ok=True)
        recipe.save(folder)
        records.vocabulary.save(folder)
    steps = epoch_steps(records, "train", recipe.batch_size)
    metrics = headline_metrics(records.vocabulary, recipe.decoding)
    model = compiled_model(recipe, records.vocabulary, steps, metrics)
    done = 0
    if resume:
        done = restore(model, folder, job.writes)
        if 0 < done < recipe.epochs and uses_addons(recipe):
            raise InputError(
                f"--resume: Keras keeps no state of {recipe.optimizer}; go on "
                f"from the weights: --weights {folder} and another --output"
            )
    elif job.writes:
        (folder / HISTORY).unlink(missing_ok=True)
        TrainingData.from_records(records, recipe.weights).save(folder)
    # Of a run that is resumed, what it started from may be gone.
    trained_on = TrainingData.load(folder) or TrainingData.from_records(
        records, recipe.weights
    )
    if not done and recipe.weights != "none":
        loaded = load_weights(model, recipe.weights, recipe.backbone)
        if job.writes:
            print(loaded)
    keeping = RunCheckpoint(
        folder,
        recipe.patience,
        done,
        job.writes,
        Inference(records.vocabulary, recipe.decoding, trained_on),
    )
    if done >= recipe.epochs or keeping.out_of_patience(done):
        return
    if job.writes:
        for warning in training_warnings(records):
            print(f"warning: {warning}")
        print(
            f"training on {device_name()}: {woven_images(records, 'train'):,} "
            f"images of {recipe.image_size} pixels, "
            f"{model.count_params():,} parameters",
            flush=True,
        )
    data = job.dataset(
        "train",
        training=True,
        augmentation=recipe.augmentation,
        seed=recipe.seed,
        epochs=range(done, recipe.epochs),
        part=part,
    )
    validation = None
    if records.images.get("val"):
        validation = job.dataset("val", whole=True, part=part)
    synchronize(model, True)
    with contextlib.ExitStack() as stack:
        trackers = []
        if job.writes:
            trackers = stack.enter_context(tracking(recipe, folder))
        model.fit(
            data,
            validation_data=validation,
            initial_epoch=done,
            epochs=recipe.epochs,
            steps_per_epoch=steps,
            verbose=0,
            shuffle=False,  # The data are shuffled already.
            callbacks=[
                *_callbacks(job, metrics, steps, done),
                *trackers,
                keeping,
            ],
        )
    if keeping.failure:
        raise keeping.failure
    if keeping.diverged:
        kept = ""
        if (folder / MODEL).exists():
            kept = f"{folder / MODEL} is the best network before it; "
        raise InputError(
            f"{folder}: the loss became NaN in epoch {keeping.diverged}; "
            f"{kept}train again with a lower learning_rate (now "
            f"{recipe.learning_rate:g}), a clip_norm or precision=float32"
        )


def _callbacks(
    job: _Job, metrics: dict[str, list], steps: int, done: int
) -> list[keras.callbacks.Callback]:
    """Returns callbacks, in this order, as some add to the logs."""
    recipe, records, folder, _ = job
    vocabulary, validates = records.vocabulary, bool(records.images.get("val"))
    callbacks: list[keras.callbacks.Callback] = []
    if validates and vocabulary.landmarks:
        error = metrics["heatmaps"][0]
        callbacks.append(LandmarkDetails(error, vocabulary.landmarks))
    callbacks.append(DropoutByEpoch())
    if job.writes:
        callbacks.append(ProgressBar(steps, recipe.batch_size))
    callbacks += [
        ProgressLine(job.writes),
        keras.callbacks.TerminateOnNaN(),
    ]
    if job.writes:
        callbacks += [
            keras.callbacks.CSVLogger(folder / HISTORY, append=True),
            keras.callbacks.TensorBoard(folder / "logs", write_graph=False),
        ]
    if uses_addons(recipe):
        callbacks.append(SwapAverages())
    elif recipe.ema is not None:
        averages = SwapEMAWeights(swap_on_epoch=True)
        # What was saved after an epoch has them in place already.
        averages._ema_weights_in_model = done > 0
        callbacks.append(averages)
    if validates and job.writes:
        image, targets = next(iter(job.dataset("val")))
        callbacks.append(
            PredictionMonitor(
                image.numpy(),
                {name: value.numpy() for name, value in targets.items()},
                vocabulary,
                recipe.decoding,
                folder / "logs" / "pictures",
            )
        )
    return callbacks


def compiled_model(
    recipe: Recipe,
    vocabulary: Vocabulary,
    steps_per_epoch: int,
    metrics: dict[str, list] | None = None,
) -> keras.Model:
    """Builds the recipe's network with its losses, metrics and optimizer."""
    with precision(recipe.precision):
        model = build_afn(
            vocabulary,
            backbone=recipe.backbone,
            image_size=recipe.image_size,
            width=recipe.width,
            dropout=recipe.dropout,
            attention=recipe.attention,
            upsampling=recipe.upsampling,
        )
    losses = {
        "heatmaps": HeatmapLoss(
            recipe.sigma, recipe.target, recipe.heatmap_error
        ),
        "category": CategoryLoss(recipe.label_smoothing),
        "attributes": AttributesLoss(
            recipe.negative_weight, recipe.attribute_loss
        ),
    }
    weights = {
        "heatmaps": recipe.landmark_weight,
        "category": recipe.category_weight,
        "attributes": recipe.attribute_weight,
    }
    tasks = list(model.output)
    model.compile(
        optimizer=make_optimizer(recipe, model, steps_per_epoch),
        loss={task: losses[task] for task in tasks},
        loss_weights={task: weights[task] for task in tasks},
        metrics=metrics,
    )
    if not uses_addons(recipe):
        # What compile made of it, with a scale of the loss around it perhaps.
        model.optimizer.build(model.trainable_variables)
    return model
