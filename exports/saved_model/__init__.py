"""The SavedModel that TF Serving loads."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "write": [
            "EXTRA",
            "export_saved_model",
            "loadable",
            "next_version",
            "versions",
        ],
    },
)
