"""A drawn benchmark: garments whose every label is right by construction."""
