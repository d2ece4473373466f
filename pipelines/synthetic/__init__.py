"""Draws the synthetic benchmark: garments with exact labels."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "benchmark": ["draw_benchmark"],
    },
)
