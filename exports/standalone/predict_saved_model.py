"""Predicts images with a SavedModel, with only TensorFlow.

Usage: python predict_saved_model.py VERSION_FOLDER OUT.npz THREADS REPEATS
           IMAGE...

Each IMAGE is an encoded file. Neither Keras nor this project is imported, as
in a server.
"""

import sys
import time

# TensorFlow imports Keras if it is installed, but does not need it.
sys.modules["keras"] = None

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402


def main() -> None:
    """Writes the outputs, and milliseconds per image, to an .npz file."""
    folder, output, threads, repeats, *images = sys.argv[1:]
    tf.config.threading.set_intra_op_parallelism_threads(int(threads))
    tf.config.threading.set_inter_op_parallelism_threads(int(threads))
    contents = []
    for image in images:
        with open(image, "rb") as file:
            contents.append(file.read())
    # Keeps the variables alive.
    loaded = tf.saved_model.load(folder)
    predict = loaded.signatures["serving_default"]
    outputs = {
        name: value.numpy()
        for name, value in predict(image_bytes=tf.constant(contents)).items()
    }
    # Bytes of a fixed length: an array of objects would be pickled.
    outputs = {
        name: value.astype("S") if value.dtype == object else value
        for name, value in outputs.items()
    }
    first = tf.constant(contents[:1])
    predict(image_bytes=first)
    seconds = []
    for _ in range(int(repeats)):
        start = time.perf_counter()
        # Waits for a GPU to finish.
        for value in predict(image_bytes=first).values():
            value.numpy()
        seconds.append(time.perf_counter() - start)
    np.savez(output, **outputs, milliseconds=1000 * np.median(seconds))
    foreign = {"afn_keras", "exports", "pipelines"} & set(sys.modules)
    if foreign:
        sys.exit(f"imported what a server does not have: {sorted(foreign)}")


if __name__ == "__main__":
    main()
