"""Asks a SavedModel for its answers, with nothing but TensorFlow.

Usage: python saved_model_answers.py VERSION_FOLDER OUT.npz PHOTO...

Neither Keras nor this project is imported: what serves the artifact has
neither.
"""

import sys

import numpy as np
import tensorflow as tf


def main() -> None:
    """Writes every answer, by name, to an .npz file."""
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
    foreign = {"keras", "afn_keras", "exports", "pipelines"} & set(sys.modules)
    if foreign:
        sys.exit(f"imported what a server has not: {sorted(foreign)}")


def _plain(value: np.ndarray) -> np.ndarray:
    # Names come as objects of bytes, which only pickle would store.
    return value.astype("S") if value.dtype == object else value


if __name__ == "__main__":
    main()
