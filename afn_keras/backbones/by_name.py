"""Finds a backbone by the name that `build_afn` and recipes give it."""

from afn_keras.backbones.backbone import Backbone
from afn_keras.backbones.efficientnet_lite import LITE_VARIANTS
from afn_keras.backbones.efficientnet_lite import EfficientNetLite
from afn_keras.backbones.vgg16 import VGG16


def get_backbone(name: str) -> Backbone:
    """Returns a backbone by its name.

    Raises:
        ValueError: if there is none of this name.
    """
    if name == VGG16.name:
        return VGG16()
    if name in LITE_VARIANTS:
        return EfficientNetLite(name)
    names = (VGG16.name, *LITE_VARIANTS)
    raise ValueError(f"backbone must be one of {names}: {name!r}")
