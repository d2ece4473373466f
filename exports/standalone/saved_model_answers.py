"""Asks a SavedModel for its answers, with nothing but TensorFlow.

Usage: python saved_model_answers.py VERSION_FOLDER OUT.npz THREADS REPEATS
           IMAGE...

Each IMAGE is an encoded file. Neither Keras nor this project is imported: a
server has none of them.
"""

import sys
import time

# TensorFlow imports Keras where there is one, and does without elsewhere.
sys.modules["keras"] = None

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402


def main() -> None:
    """Writes every answer, and milliseconds an image, to an .npz file."""
    folder, output, threads, repeats, *images = sys.argv[1:]
    tf.config.threading.set_intra_op_parallelism_threads(int(threads))
    tf.config.threading.set_inter_op_parallelism_threads(int(threads))
    contents = []
    for image in images:
        with open(image, "rb") as file:
            contents.append(file.read())
    # Held here, or its variables go.
    loaded = tf.saved_model.load(folder)
    ask = loaded.signatures["serving_default"]
    answers = {
        name: value.numpy()
        for name, value in ask(image_bytes=tf.constant(contents)).items()
    }
    # Bytes of a fixed length: an array of objects would be pickled.
    answers = {
        name: value.astype("S") if value.dtype == object else value
        for name, value in answers.items()
    }
    first = tf.constant(contents[:1])
    ask(image_bytes=first)
    seconds = []
    for _ in range(int(repeats)):
        start = time.perf_counter()
        # NumPy waits for what a GPU has not finished.
        for value in ask(image_bytes=first).values():
            value.numpy()
        seconds.append(time.perf_counter() - start)
    np.savez(output, **answers, milliseconds=1000 * np.median(seconds))
    foreign = {"afn_keras", "exports", "pipelines"} & set(sys.modules)
    if foreign:
        sys.exit(f"imported what a server does not have: {sorted(foreign)}")


if __name__ == "__main__":
    main()
