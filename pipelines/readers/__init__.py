"""Reads any layout of annotations into the annotation table."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "deepfashion_names": ["SYNTHETIC"],
        "detect": ["read_annotations"],
        "labels_csv": ["Cells", "SCORE"],
    },
)
