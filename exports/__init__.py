"""From a trained network to artifacts that run without this project.

`saved_model` writes what TF Serving loads, `tflite` what a phone loads, and
`verification` compares each with the network, in a process of its own.
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
