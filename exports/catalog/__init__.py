"""Distributed batch prediction with Apache Beam."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "predict": ["predict_images"],
    },
)
