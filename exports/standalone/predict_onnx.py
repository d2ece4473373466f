"""Predicts images with an ONNX file, with only ONNX Runtime.

Usage: python predict_onnx.py FILE.onnx OUT.npz THREADS REPEATS IMAGES.npy

IMAGES.npy holds (B, S, S, 3) float32 RGB 0..255.
"""

import sys
import time

import numpy as np
import onnxruntime


def main() -> None:
    """Writes the outputs, and milliseconds per image, to an .npz file."""
    path, output, threads, repeats, images = sys.argv[1:]
    images = np.load(images)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )
    names = [item.name for item in session.get_outputs()]
    outputs = session.run(names, {"image": images})
    session.run(names, {"image": images[:1]})
    seconds = []
    for _ in range(int(repeats)):
        start = time.perf_counter()
        session.run(names, {"image": images[:1]})
        seconds.append(time.perf_counter() - start)
    by_name = dict(zip(names, outputs, strict=True))
    np.savez(output, **by_name, milliseconds=1000 * np.median(seconds))
    foreign = {"tensorflow", "keras", "afn_keras", "exports", "pipelines"}
    foreign &= set(sys.modules)
    if foreign:
        sys.exit(f"imported what a device does not have: {sorted(foreign)}")


if __name__ == "__main__":
    main()
