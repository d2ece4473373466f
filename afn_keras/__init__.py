"""The Attentive Fashion Network: how it learns, is judged and used."""

import importlib
import importlib.util
import os
import sys
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


def _check_neighbors() -> None:
    """Raises ImportError where another `pipelines` or `exports` hides ours.

    The folder one stands in comes first in a notebook and with `python -m`.
    """
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for name in ("pipelines", "exports"):
        spec = importlib.util.find_spec(name)
        file = spec and spec.origin
        if not file or file == os.path.join(ours, name, "__init__.py"):
            continue
        if os.path.realpath(os.path.dirname(os.path.dirname(file))) == (
            os.path.realpath(ours)
        ):
            continue
        reason = (
            f"{file} hides the package {name} of afn-keras; rename it, or "
            "work in another folder"
        )
        if sys.argv[:1] == ["-m"]:
            # `python -m afn_keras...`, which would print a traceback.
            sys.stderr.write(f"afn-keras: {reason}\n")
            raise SystemExit(2)
        raise ImportError(reason)


_check_neighbors()


def __getattr__(name: str) -> Any:
    # TensorFlow takes seconds to import; `--help` must not wait for it.
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_PUBLIC[name]}")
    return getattr(module, name)
