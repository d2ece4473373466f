"""Exports a trained network to artifacts that run without this project.

`saved_model` writes the SavedModel for TF Serving, `tflite` the files for
phones, and `verification` compares each with the network, in a clean process.
"""

import lazy_loader

# TensorFlow takes seconds to import; `--help` must not wait for it.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "artifacts": ["export_run"],
        "opening": ["open_model"],
        "report": ["write_report"],
    },
)
