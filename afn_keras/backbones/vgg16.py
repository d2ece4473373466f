"""VGG-16, the backbone of the paper; layers are named as Keras names them.

Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", ICLR 2015. Shapes in the comments are those of 224x224 images.
"""

from pathlib import Path
from typing import Any

from afn_keras.backbones.backbone import Channels
from afn_keras.backbones.backbone import Front
from afn_keras.backend import keras
from afn_keras.backend import ops
from pipelines.errors import InputError

layers = keras.layers

# ImageNet's mean color, which the weights expect to be subtracted.
_MEAN_RGB = (123.68, 116.779, 103.939)

_FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"


class VGG16:
    """VGG-16 up to conv4_3 and from pool4; see `Backbone`."""

    name = "vgg16"
    prefixes = ("block",)
    # Upsampled to 56x56x64, 112x112x32, 224x224x16; the middle width is not
    # printed in the paper, its released code has 32.
    branch_channels = ((64, 64), (64, 32), (32, 16))
    squeezes = 2
    hidden = 1024
    scales = True
    normalizes = False

    def front(self, image: Any, channels: Channels) -> Front:
        """Applies preprocessing to conv4_3: 224x224x3 -> 28x28x512."""
        x = layers.Rescaling(
            1.0, offset=[-mean for mean in _MEAN_RGB], name="subtract_mean"
        )(image)
        x = ops.flip(x, axis=-1)  # The weights were trained on BGR.
        x = _block(x, 1, 2, channels(64))
        x = layers.MaxPooling2D(name="block1_pool")(x)  # 112x112x64
        x = _block(x, 2, 2, channels(128))
        x = layers.MaxPooling2D(name="block2_pool")(x)  # 56x56x128
        x = _block(x, 3, 3, channels(256))
        x = layers.MaxPooling2D(name="block3_pool")(x)  # 28x28x256
        return Front(_block(x, 4, 3, channels(512)))  # 28x28x512

    def rear(self, attended: Any, channels: Channels) -> Any:
        """Applies the other convolutions: 28x28x512 -> 7x7x512."""
        x = layers.MaxPooling2D(name="block4_pool")(attended)  # 14x14x512
        x = _block(x, 5, 3, channels(512))
        return layers.MaxPooling2D(name="block5_pool")(x)  # 7x7x512

    def load_weights(self, model: keras.Model, weights: str) -> str:
        """Copies VGG16's convolutions into the layers of the same name.

        Args:
            model: what `build_afn` returns, with width 1.
            weights: "imagenet", which Keras downloads once, or a file of
                VGG16's weights without its top, as Keras saves them
                (.weights.h5, .h5).

        Returns:
            What was loaded, in one line.

        Raises:
            InputError: if the weights cannot be had or do not fit.
        """
        if weights != "imagenet" and not Path(weights).is_file():
            raise InputError(
                f"{weights}: no such file; weights are none, imagenet, a file "
                f"such as {_FILE}, or a run"
            )
        for source in _pretrained(weights).layers:
            if not source.weights:
                continue
            target = model.get_layer(source.name)
            if target.weights[0].shape != source.weights[0].shape:
                raise InputError(
                    f"weights: {source.name} has {source.weights[0].shape}, "
                    f"the network {target.weights[0].shape}; VGG16's weights "
                    "need width=1"
                )
            target.set_weights(source.get_weights())
        return f"weights: VGG16's convolutions from {weights}"


def _pretrained(weights: str) -> keras.Model:
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
    return vgg16


def _block(x: Any, block: int, convs: int, count: int) -> Any:
    for conv in range(1, convs + 1):
        x = layers.Conv2D(
            count,
            3,
            padding="same",
            activation="relu",
            name=f"block{block}_conv{conv}",
        )(x)
    return x
