"""Converts the annotation table to TFRecord shards, and reads them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "convert": ["write_records"],
        "manifest": ["Records", "count_problems", "is_records", "load_records"],
        "parse": ["parse_record"],
        "summary": ["describe"],
    },
)
