"""The Attentive Fashion Network: build, train, evaluate and use it."""

import importlib.util
import os
import sys

import lazy_loader

__version__ = "0.1.0"


def _check_neighbors() -> None:
    """Raises ImportError where another `pipelines` or `exports` shadows ours.

    In a notebook and with `python -m`, the current folder is searched first.
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


# TensorFlow takes seconds to import; `--help` must not wait for it.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "evaluation": ["evaluate"],
        "loading": ["TrainedModel", "load_model", "save_model"],
        "losses": ["AttributesLoss", "CategoryLoss", "HeatmapLoss"],
        "metrics": [
            "AttributeRecall",
            "CorrectKeypoints",
            "NormalizedError",
            "TopKAccuracy",
        ],
        "network": ["build_afn"],
        "prediction": ["Prediction", "Predictor"],
        "recipes": ["Recipe", "load_recipe"],
        "training": ["train"],
    },
)
