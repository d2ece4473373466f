"""Weights to start from: a backbone's or another run's, by layer name."""

from pathlib import Path

from afn_keras.backbones import get_backbone
from afn_keras.backend import keras
from afn_keras.loading import load_model
from pipelines.errors import InputError


def load_weights(
    model: keras.Model, weights: str, backbone: str = "vgg16"
) -> str:
    """Gives a network pretrained weights.

    Args:
        model: what `build_afn` returns.
        weights: "imagenet" or a file of the backbone's weights, or a run or
            `.keras` file of this project, for `load_run`.
        backbone: of the model, as `build_afn` names it.

    Returns:
        What was loaded and what was left, in one line.

    Raises:
        InputError: if the weights cannot be had or do not fit.
    """
    path = Path(weights)
    if path.is_dir() or path.suffix == ".keras":
        return load_run(model, path)
    return get_backbone(backbone).load_weights(model, weights)


def load_run(model: keras.Model, path: Path) -> str:
    """Copies every layer of the same name and shape from another run.

    So a network can be fine-tuned for another vocabulary: only the last layer
    of each head differs.

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
