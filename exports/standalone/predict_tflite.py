"""Predicts images with a TFLite file, with only the LiteRT runtime.

Usage: python predict_tflite.py FILE.tflite OUT.npz THREADS REPEATS IMAGES.npy

IMAGES.npy holds (B, S, S, 3) float32 RGB 0..255. Neither TensorFlow, Keras
nor this project is imported, as on a phone.
"""

import sys
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def main() -> None:
    """Writes the outputs, and milliseconds per image, to an .npz file."""
    path, output, threads, repeats, images = sys.argv[1:]
    images = np.load(images)
    predict = Interpreter(path, num_threads=int(threads)).get_signature_runner()
    if predict.get_input_details()["image"]["dtype"] == np.uint8:
        images = np.rint(np.clip(images, 0, 255)).astype(np.uint8)
    outputs = [predict(image=image[None]) for image in images]
    seconds = []
    for _ in range(int(repeats)):
        start = time.perf_counter()
        predict(image=images[:1])
        seconds.append(time.perf_counter() - start)
    by_name = {
        name: np.concatenate([single[name] for single in outputs])
        for name in outputs[0]
    }
    np.savez(output, **by_name, milliseconds=1000 * np.median(seconds))
    foreign = {"tensorflow", "keras", "afn_keras", "exports", "pipelines"}
    foreign &= set(sys.modules)
    if foreign:
        sys.exit(f"imported what a phone does not have: {sorted(foreign)}")


if __name__ == "__main__":
    main()
