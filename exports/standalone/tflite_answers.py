"""Asks a TFLite file for its answers, with nothing but the LiteRT runtime.

Usage: python tflite_answers.py FILE.tflite OUT.npz THREADS REPEATS IMAGES.npy

IMAGES.npy holds (B, S, S, 3) float32 RGB 0..255. Neither TensorFlow, Keras
nor this project is imported: a phone has none of them.
"""

import sys
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def main() -> None:
    """Writes every answer, and milliseconds an image, to an .npz file."""
    path, output, threads, repeats, images = sys.argv[1:]
    images = np.load(images)
    answer = Interpreter(path, num_threads=int(threads)).get_signature_runner()
    if answer.get_input_details()["image"]["dtype"] == np.uint8:
        images = np.rint(np.clip(images, 0, 255)).astype(np.uint8)
    answers = [answer(image=image[None]) for image in images]
    seconds = []
    for _ in range(int(repeats)):
        start = time.perf_counter()
        answer(image=images[:1])
        seconds.append(time.perf_counter() - start)
    together = {
        name: np.concatenate([single[name] for single in answers])
        for name in answers[0]
    }
    np.savez(output, **together, milliseconds=1000 * np.median(seconds))
    foreign = {"tensorflow", "keras", "afn_keras", "exports", "pipelines"}
    foreign &= set(sys.modules)
    if foreign:
        sys.exit(f"imported what a phone does not have: {sorted(foreign)}")


if __name__ == "__main__":
    main()
