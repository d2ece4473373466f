"""Turns images and annotations into batches.

`readers` turn a data set into an annotation table, `records` turn the table
into TFRecord shards, `batches` turn shards into `tf.data`.
"""

import lazy_loader

# TensorFlow takes seconds to import; `--help` must not wait for it.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "annotations": ["Annotations"],
        "batches": ["Augmentation", "load_split"],
        "errors": ["InputError"],
        "readers": ["read_annotations"],
        "records": ["Records", "load_records", "write_records"],
        "synthetic": ["draw_benchmark"],
        "vocabulary": ["Vocabulary"],
    },
)
