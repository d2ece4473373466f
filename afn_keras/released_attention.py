"""The attention of the authors' released code, which differs from the paper."""

from typing import Any

from afn_keras.backend import keras
from afn_keras.backend import ops

layers = keras.layers


def released_attention_branch(
    features: Any, heatmaps: Any, channels: Any
) -> Any:
    """Builds the U-Net of the released code: -> A, 28x28x512 in -1..1.

    Two downsamplings and upsamplings with skip connections, between 1x1
    convolutions; batch normalization everywhere but at the ends. It takes the
    maximum of the heatmaps before downsampling; the paper downsamples first.
    """

    def conv(x: Any, count: int, size: int, name: str) -> Any:
        return layers.Conv2D(
            channels(count),
            size,
            1 if size == 1 else 2,
            padding="same",
            use_bias=False,
            name=f"attention_{name}",
        )(x)

    def norm(x: Any, name: str) -> Any:
        # PyTorch's momentum of 0.1 is Keras's 0.9.
        return layers.BatchNormalization(
            momentum=0.9, epsilon=1e-5, name=f"attention_{name}_norm"
        )(x)

    def leaky(x: Any) -> Any:
        return layers.ReLU(negative_slope=0.2)(x)

    def up(x: Any, count: int, name: str) -> Any:
        x = layers.Conv2DTranspose(
            channels(count),
            4,
            2,
            padding="same",
            use_bias=False,
            name=f"attention_{name}",
        )(layers.ReLU()(x))
        return norm(x, name)

    x = features
    if heatmaps is not None:
        size = features.shape[1]
        # Resizing's default is training=True, which a call without `training`
        # would pass on to the normalization below.
        peak = layers.Resizing(size, size, interpolation="bilinear")(
            ops.max(heatmaps, axis=-1, keepdims=True), training=False
        )
        x = layers.Concatenate(name="attention_input")([peak, x])
    outer = conv(x, 32, 1, "conv1x1")  # 28x28x32
    middle = norm(conv(leaky(outer), 64, 4, "down1"), "down1")  # 14x14x64
    inner = norm(conv(leaky(middle), 128, 4, "down2"), "down2")  # 7x7x128
    x = conv(leaky(inner), 128, 1, "inner1")
    x = layers.Conv2D(channels(128), 1, name="attention_inner2")(
        layers.ReLU()(x)
    )
    x = layers.Concatenate()([inner, norm(x, "inner2")])  # 7x7x256
    x = layers.Concatenate()([middle, up(x, 64, "up1")])  # 14x14x128
    x = layers.Concatenate()([outer, up(x, 32, "up2")])  # 28x28x64
    return layers.Conv2D(
        features.shape[-1], 1, activation="tanh", name="attention"
    )(layers.ReLU()(x))
