"""The only room that knows of Keras versions and backends."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "settings": ["check_jax", "keras_backend", "keras_settled"],
        "versions": [
            "AdamW",
            "Dropout",
            "SwapEMAWeights",
            "keras",
            "mean_over_replicas",
            "needs_keras_3",
            "needs_tensorflow",
            "ops",
            "precision",
            "set_draws",
            "tensorflow_variables",
            "webp_decoder",
            "writes_files_like",
        ],
    },
)
