"""Loads batches from TFRecord shards with `tf.data`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "augmentation": ["Augmentation"],
        "load": [
            "check_split",
            "epoch_steps",
            "load_encoded",
            "load_split",
        ],
        "order": ["ALONE", "Part", "woven_images"],
        "samples": [
            "SAMPLES",
            "augment",
            "draw_lots",
            "examples_at",
            "extract_samples",
        ],
    },
)
