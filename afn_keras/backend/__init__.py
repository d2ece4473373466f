"""The only room that handles differences of Keras versions and backends."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "settings": ["check_jax", "keras_backend", "supported_backend"],
        "versions": [
            "AdamW",
            "Dropout",
            "SwapEMAWeights",
            "keras",
            "mean_over_replicas",
            "require_keras_3",
            "require_tensorflow",
            "ops",
            "precision",
            "set_draws",
            "tensorflow_variables",
            "webp_decoder",
            "has_file_format_of",
        ],
    },
)
