"""The Attentive Fashion Network: how it learns, is judged and used."""

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "AttributeRecall": "metrics",
    "AttributesLoss": "losses",
    "CategoryLoss": "losses",
    "CorrectKeypoints": "metrics",
    "HeatmapLoss": "losses",
    "NormalizedError": "metrics",
    "Prediction": "predicted",
    "Predictor": "prediction",
    "Recipe": "recipes",
    "TopKAccuracy": "metrics",
    "TrainedModel": "loading",
    "build_afn": "network",
    "evaluate": "evaluation",
    "load_model": "loading",
    "load_recipe": "recipes",
    "save_model": "loading",
    "train": "training",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    # TensorFlow takes seconds to import; `--help` must not wait for it.
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_PUBLIC[name]}")
    return getattr(module, name)
