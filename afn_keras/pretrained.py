"""Weights to start from: VGG16's, by layer name."""

from pathlib import Path

from afn_keras.backend import keras
from pipelines.errors import InputError

_FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"


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
            f"{weights}: no such file; weights are none, imagenet, or a file "
            f"such as {_FILE}"
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
                "with --set weights=none"
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
