"""Asks a SavedModel for its answers, with nothing but TensorFlow.

Usage: python saved_model_answers.py VERSION_FOLDER OUT.npz PHOTO...

Neither Keras nor this project can be imported here: what serves the artifact
has neither.
"""

import sys
from typing import Any

import numpy as np


class _Without:
    """An import finder that does not find some packages."""

    def __init__(self, finder: Any, hidden: set[str]) -> None:
        self._finder, self._hidden = finder, hidden

    def find_spec(self, name: str, *args: Any) -> Any:
        if name.partition(".")[0] in self._hidden:
            return None
        return self._finder.find_spec(name, *args)


def main() -> None:
    """Writes every answer, by name, to an .npz file."""
    # TensorFlow imports Keras where there is one.
    hidden = {"keras", "tf_keras", "afn_keras", "exports", "pipelines"}
    sys.meta_path[:] = [_Without(finder, hidden) for finder in sys.meta_path]
    import tensorflow as tf

    folder, output, *photographs = sys.argv[1:]
    served = tf.saved_model.load(folder).signatures["serving_default"]
    contents = []
    for photograph in photographs:
        with open(photograph, "rb") as file:
            contents.append(file.read())
    answers = served(image_bytes=tf.constant(contents))
    np.savez(
        output,
        **{name: _plain(value.numpy()) for name, value in answers.items()},
    )
    if hidden & set(sys.modules):
        sys.exit("imported what a server has not")


def _plain(value: np.ndarray) -> np.ndarray:
    # Names come as objects of bytes, which only pickle would store.
    return value.astype("S") if value.dtype == object else value


if __name__ == "__main__":
    main()
