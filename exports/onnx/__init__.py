"""The ONNX file."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "write": [
            "export_onnx",
            "read_labels",
            "read_training_data",
            "without_extra",
        ],
    },
)
