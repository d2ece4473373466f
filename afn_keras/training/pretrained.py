"""Weights to start from: VGG16's or another run's, by layer name."""

from pathlib import Path

from afn_keras.backend import keras
from afn_keras.loading import load_model
from pipelines.errors import InputError

_FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"


def load_weights(model: keras.Model, weights: str) -> str:
    """Gives a network weights that were trained before.

    Args:
        model: what `build_afn` made.
        weights: "imagenet" or a file of VGG16's weights, for `load_backbone`,
            or a run or `.keras` file of this project, for `load_run`.

    Returns:
        What was taken and what was left, in one line.

    Raises:
        InputError: if the weights cannot be had or do not fit.
    """
    path = Path(weights)
    if path.is_dir() or path.suffix == ".keras":
        return load_run(model, path)
    load_backbone(model, weights)
    return f"weights: VGG16's convolutions from {weights}"


def load_run(model: keras.Model, path: Path) -> str:
    """Copies every layer of the same name and shape from another run.

    So a network goes on with another vocabulary: only the layers that answer
    with its names differ.

    Returns:
        What was taken and what was left, in one line.

    Raises:
        InputError: if it is no run, or no layer fits.
    """
    source = load_model(path).model
    names = {layer.name for layer in source.layers}
    taken, left = [], []
    for layer in model.layers:
        if not layer.weights:
            continue
        theirs = []
        if layer.name in names:
            theirs = source.get_layer(layer.name).get_weights()
        shapes = [array.shape for array in theirs]
        if shapes == [tuple(variable.shape) for variable in layer.weights]:
            layer.set_weights(theirs)
            taken.append(layer.name)
        else:
            left.append(layer.name)
    if not taken:
        raise InputError(
            f"{path}: no layer of it fits the network; --weights needs a run "
            "of the same width"
        )
    return (
        f"weights: {len(taken)} layers from {path}; "
        f"left as they started: {', '.join(left) or 'none'}"
    )


def load_backbone(model: keras.Model, weights: str) -> None:
    """Copies VGG16's convolutions into the layers of the same name.

    Args:
        model: what `build_afn` made, with width 1.
        weights: "imagenet", which Keras downloads once, or a file of VGG16's
            weights without its top, as Keras saves them (.weights.h5, .h5).

    Raises:
        InputError: if the weights cannot be had or do not fit.
    """
    if weights != "imagenet" and not Path(weights).is_file():
        raise InputError(
            f"{weights}: no such file; weights are none, imagenet, a file "
            f"such as {_FILE}, or a run"
        )
    try:
        vgg16 = keras.applications.VGG16(
            include_top=False,
            weights="imagenet" if weights == "imagenet" else None,
        )
        if weights != "imagenet":
            vgg16.load_weights(weights)
    except Exception as error:
        # Keras raises a bare Exception where a download fails.
        if weights == "imagenet":
            raise InputError(
                "imagenet: the weights could not be downloaded; put "
                f"{_FILE} into ~/.keras/models/, or start from random weights "
                "with --weights none"
            ) from error
        raise InputError(
            f"{weights}: holds no weights of VGG16 without its top ({error})"
        ) from error
    for source in vgg16.layers:
        if not source.weights:
            continue
        target = model.get_layer(source.name)
        if target.weights[0].shape != source.weights[0].shape:
            raise InputError(
                f"weights: {source.name} has {source.weights[0].shape}, the "
                f"network {target.weights[0].shape}; VGG16's weights need "
                "width=1"
            )
        target.set_weights(source.get_weights())
