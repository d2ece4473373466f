"""Backbones of the network, one file each: the paper's and those for phones."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "backbone": ["Backbone", "Channels", "Front"],
        "by_name": ["get_backbone"],
        "efficientnet_lite": ["LITE_VARIANTS", "EfficientNetLite"],
    },
)
