"""Asks a TFLite file for its answers, with nothing but the LiteRT runtime.

Usage: python tflite_answers.py FILE.tflite OUT.npz IMAGES.npy

IMAGES.npy holds (B, S, S, 3) float32 RGB 0..255. Neither TensorFlow, Keras
nor this project is imported: a phone has none of them.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def main() -> None:
    """Writes every answer, by name, to an .npz file."""
    path, output, images = sys.argv[1:]
    answer = Interpreter(path, num_threads=2).get_signature_runner()
    answers = [answer(image=image[None]) for image in np.load(images)]
    np.savez(
        output,
        **{
            name: np.concatenate([single[name] for single in answers])
            for name in answers[0]
        },
    )
    foreign = {"tensorflow", "keras", "afn_keras", "exports", "pipelines"}
    foreign &= set(sys.modules)
    if foreign:
        sys.exit(f"imported what a phone has not: {sorted(foreign)}")


if __name__ == "__main__":
    main()
