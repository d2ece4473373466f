"""The Attentive Fashion Network, Fig. 1 of the paper, in the order data flows.

Liu & Lu, "Deep Fashion Analysis with Feature Map Upsampling and
Landmark-Driven Attention", ECCV Workshops 2018. Shapes in the comments are
those of the paper: 224x224 input, VGG-16 and width 1. On another backbone the
same branches leave where its features are a sixteenth of the image's size.
"""

from collections.abc import Sequence
from typing import Any
from typing import Literal
from typing import get_args

from afn_keras.backbones import Channels
from afn_keras.backbones import Front
from afn_keras.backbones import get_backbone
from afn_keras.backend import Dropout
from afn_keras.backend import keras
from afn_keras.backend import ops
from afn_keras.released_attention import released_attention_branch
from pipelines.vocabulary import LANDMARKS
from pipelines.vocabulary import Vocabulary

layers = keras.layers

Attention = Literal["paper", "released", "none"]

# Keras's default start halves the signal's variance at each ReLU. VGG16's
# inputs of some 60 in size outlast that; the landmark branch, nine layers
# deeper, would start with flat heatmaps and stay with them.
_KEEP = "he_normal"


def build_afn(
    vocabulary: Vocabulary | None = None,
    *,
    num_categories: int | None = None,
    num_attributes: int | None = None,
    num_landmarks: int | None = None,
    backbone: str = "vgg16",
    image_size: int = 224,
    width: float = 1.0,
    dropout: float = 0.0,
    attention: Attention = "paper",
    upsampling: bool = True,
) -> keras.Model:
    """Builds the network of the paper as a functional model.

    Args:
        vocabulary: names of the labels; gives the three numbers below.
        num_categories: categories, if there is no vocabulary. 0 leaves out
            the head, as for each of the three.
        num_attributes: attributes, if there is no vocabulary.
        num_landmarks: landmarks, if there is no vocabulary; the benchmark's 8
            if left open. With 0 there is no landmark branch, and the
            attention sees the features alone.
        backbone: "vgg16", the paper's, or one of "efficientnet_lite0",
            "efficientnet_lite1" and "efficientnet_lite2", for phones.
        image_size: side of the square input in pixels; a multiple of 32.
        width: factor on the channels of VGG16, the attention branch and the
            heads' hidden layers; 1 with another backbone.
        dropout: rate before and after the hidden layer of each head. The
            paper has none; it helps where images are few.
        attention: "paper", as printed; "released", the U-Net of its authors'
            code; or "none", to see what attention is worth.
        upsampling: whether heatmaps are upsampled to the image's size, as in
            the paper (a quarter of it with EfficientNet-Lite), or stay at an
            eighth (a sixteenth) of it, to see what that is worth.

    Returns:
        A model from `image`, (B, image_size, image_size, 3) RGB in 0..255, to
        a dict with `heatmaps` (B, h, w, L) of the size that `upsampling`
        says, `category` (B, C) logits and `attributes` (B, A) logits, all
        float32 under any precision policy. A task without labels has no
        entry.

    Raises:
        ValueError: if `image_size` is no multiple of 32, there is no such
            `backbone` or `attention`, `width` is not positive or the backbone
            cannot have it, or nothing is to be predicted.

    Examples:
        >>> model = build_afn(num_categories=46, num_attributes=1000)
        >>> model.output["heatmaps"].shape
        (None, 224, 224, 8)
    """
    if vocabulary is not None:
        num_categories = len(vocabulary.categories)
        num_attributes = len(vocabulary.attributes)
        num_landmarks = len(vocabulary.landmarks)
    elif num_landmarks is None:
        num_landmarks = len(LANDMARKS)
    if image_size % 32 or image_size <= 0:
        raise ValueError(f"image_size must be a multiple of 32: {image_size}")
    if width <= 0:
        raise ValueError(f"width must be positive: {width}")
    trunk = get_backbone(backbone)
    if width != 1 and not trunk.scales:
        raise ValueError(f"width must be 1 with {backbone}: {width}")

    def channels(count: int) -> int:
        return max(1, round(count * width))

    if attention not in get_args(Attention):
        raise ValueError(
            f"attention must be one of {get_args(Attention)}: {attention!r}"
        )
    if attention == "released" and backbone != "vgg16":
        raise ValueError(f"attention='released' needs vgg16, not {backbone}")

    image = layers.Input((image_size, image_size, 3), name="image")
    front = trunk.front(image, channels)
    features = front.features  # 28x28x512, F
    outputs = {}
    heatmaps = None
    if num_landmarks:
        heatmaps = landmark_branch(
            front,
            num_landmarks,
            trunk.branch_channels,
            upsampling,
            trunk.normalizes,
        )
        outputs["heatmaps"] = heatmaps  # 224x224x8, M'
    if attention == "paper":
        # Below 1 filters out, above 1 magnifies: (1/2 + A) * F, 0 < A < 1.
        weights = attention_branch(
            features, heatmaps, channels, trunk.squeezes, trunk.normalizes
        )
        attended = _attend(features, weights, offset=0.5)
    elif attention == "released":
        # (1 + A) * F, -1 < A < 1.
        weights = released_attention_branch(features, heatmaps, channels)
        attended = _attend(features, weights, offset=1.0)
    else:
        attended = features
    pooled = trunk.rear(attended, channels)  # 7x7x512
    hidden = channels(trunk.hidden) if trunk.hidden else 0
    if num_categories:
        outputs["category"] = label_head(
            pooled, num_categories, "category", hidden, dropout
        )
    if num_attributes:
        outputs["attributes"] = label_head(
            pooled, num_attributes, "attributes", hidden, dropout
        )
    if not outputs:
        raise ValueError("no landmark, category or attribute to predict")
    return keras.Model(image, outputs, name="afn")


def landmark_branch(
    front: Front,
    num_landmarks: int,
    stages: Sequence[tuple[int, int]],
    upsampling: bool = True,
    norm: bool = False,
) -> Any:
    """Upsamples feature maps to heatmaps M': 28x28x512 -> 224x224x8.

    Its 64 to 16 channels are few already, so `width` leaves them alone: at a
    quarter of them, some landmarks' heatmaps stayed flat. Without upsampling
    the convolutions are the same, all at 28x28. Features of a backbone that
    are coarser than the paper's get back what finer ones have seen, by skips.
    """
    x = _conv(
        front.features, 64, 1, "landmark_conv1x1", norm, _KEEP
    )  # 28x28x64
    # 56x56x64, 112x112x32, 224x224x16.
    for stage, (count, upsampled) in enumerate(stages, start=1):
        name = f"landmark{stage}"
        x = _conv(x, count, 3, f"{name}_conv1", norm, _KEEP)
        x = _conv(x, count, 3, f"{name}_conv2", norm, _KEEP)
        if upsampling:
            x = _upsample(x, upsampled, f"{name}_upsample", norm)
            if front.skips:
                finer = front.skips[stage - 1]
                skip = _conv(finer, upsampled, 1, f"{name}_skip", norm, _KEEP)
                x = layers.Add(name=f"{name}_add")([x, skip])
    initializer = "glorot_uniform"
    if norm:
        # Normalized features would start heatmaps fifty times too large.
        initializer = keras.initializers.RandomNormal(stddev=0.001)
    return layers.Conv2D(
        num_landmarks,
        1,
        kernel_initializer=initializer,
        dtype="float32",
        name="heatmaps",
    )(x)


def landmark_information(heatmaps: Any, size: int) -> Any:
    """Merges heatmaps: 224x224x8 -> M'' 28x28x8 -> max, 28x28x1."""
    x = layers.Resizing(
        size, size, interpolation="bilinear", name="heatmaps_downsampled"
    )(heatmaps)
    return ops.max(x, axis=-1, keepdims=True)


def attention_branch(
    features: Any,
    heatmaps: Any,
    channels: Channels,
    squeezes: int = 2,
    norm: bool = False,
) -> Any:
    """Computes the attention A: 28x28x(512 + 1) -> 28x28x512 in 0..1.

    The squeeze to 7x7 lets the attention at one place see most of the image;
    features of 14x14 need one. The paper prints its last width (28); 32 before
    it, and 128 between the two transposed convolutions, are this project's
    choice.
    """
    x = features
    if heatmaps is not None:
        where = landmark_information(heatmaps, features.shape[1])  # 28x28x1
        x = layers.Concatenate(name="attention_input")([x, where])
    x = _conv(x, channels(32), 1, "attention_conv1x1", norm)  # 28x28x32
    x = _conv(x, channels(32), 3, "attention_conv1", norm)
    x = layers.MaxPooling2D(name="attention_pool1")(x)  # 14x14x32
    x = _conv(x, channels(28), 3, "attention_conv2", norm)
    if squeezes == 2:
        x = layers.MaxPooling2D(name="attention_pool2")(x)  # 7x7x28
        x = _upsample(
            x, channels(128), "attention_upsample1", norm
        )  # 14x14x128
    return _upsample(x, features.shape[-1], "attention", False, "sigmoid")


def label_head(
    pooled: Any, count: int, name: str, hidden: int, dropout: float
) -> Any:
    """Computes logits of categories or attributes: 7x7x512 -> `count`."""
    x = pooled
    if len(x.shape) > 2:
        x = layers.Flatten(name=f"{name}_flatten")(x)
    if dropout:
        x = Dropout(dropout, name=f"{name}_dropout1")(x)
    if hidden:
        x = layers.Dense(hidden, activation="relu", name=f"{name}_hidden")(x)
        if dropout:
            x = Dropout(dropout, name=f"{name}_dropout2")(x)
    return layers.Dense(count, dtype="float32", name=name)(x)


def _attend(features: Any, attention: Any, offset: float) -> Any:
    gate = layers.Rescaling(1.0, offset=offset, name="attention_gate")(
        attention
    )
    return layers.Multiply(name="attended_features")([gate, features])


def _conv(
    x: Any,
    count: int,
    size: int,
    name: str,
    norm: bool,
    initializer: str = "glorot_uniform",
) -> Any:
    """Applies a convolution, perhaps batch normalization, and ReLU."""
    x = layers.Conv2D(
        count,
        size,
        padding="same",
        activation=None if norm else "relu",
        use_bias=not norm,
        kernel_initializer=initializer,
        name=name,
    )(x)
    return _normalize(x, name) if norm else x


def _upsample(
    x: Any, count: int, name: str, norm: bool, activation: str = "relu"
) -> Any:
    """Doubles height and width: a transposed 4x4 convolution of stride 2."""
    # He's variance, 2 / inputs: of 16 taps 4 meet at a pixel, and what Keras
    # calls a transposed kernel's fan_out are its inputs.
    initializer = keras.initializers.VarianceScaling(8.0, "fan_out")
    x = layers.Conv2DTranspose(
        count,
        4,
        2,
        padding="same",
        activation=None if norm else activation,
        use_bias=not norm,
        kernel_initializer=initializer,
        name=name,
    )(x)
    return _normalize(x, name) if norm else x


def _normalize(x: Any, name: str) -> Any:
    # Keras's momentum of 0.99 would take three short epochs to forget where
    # the statistics begin, and validation would be of another network.
    x = layers.BatchNormalization(
        momentum=0.9, epsilon=1e-3, name=f"{name}_bn"
    )(x)
    return layers.ReLU(6.0, name=f"{name}_relu6")(x)
