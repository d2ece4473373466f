"""Photographs and annotations in, batches out.

A data set becomes an annotation table (`sources`), the table becomes TFRecord
shards (`records`), shards become batches (`batches`).
"""

import importlib
from typing import Any

_PUBLIC = {
    "Annotations": "annotations",
    "Augmentation": "augmentation",
    "InputError": "errors",
    "Records": "records",
    "Vocabulary": "vocabulary",
    "draw_benchmark": "drawn.benchmark",
    "load_records": "records",
    "load_split": "batches",
    "read_annotations": "sources",
    "write_records": "conversion",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    # TensorFlow takes seconds to import; `--help` must not wait for it.
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_PUBLIC[name]}")
    return getattr(module, name)
