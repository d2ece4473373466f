"""The TFLite files for phones."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "write": [
            "KINDS",
            "export_tflite",
            "read_labels",
            "read_training_data",
        ],
    },
)
