"""Whether Keras 3 and Keras 2.15 give the same, each in its own process.

Usage: python benchmarks/stacks.py PYTHON PYTHON

The two are Pythons in whose environments afn-keras is installed, one of them
with the extra `addons`. Each sets a network to the same weights, answers for
the same images, trains twenty steps on the same batches, and writes
network, weights and a SavedModel; then each opens what the other wrote. It
takes two minutes on 2 cores and prints the largest differences.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

STEPS = 20
_CHANGES = {
    "image_size": 96,
    "width": 0.25,
    "precision": "float32",
    "weights": "none",
    "epochs": STEPS,
    "batch_size": 8,
}
_KINDS = ("paper", "released", "none")


def compare(pythons: tuple[str, str], folder: Path) -> dict[str, Any]:
    """Runs both, and gives the largest difference of each comparison.

    Args:
        pythons: the two environments' interpreters.
        folder: empty, for what they write.
    """
    sides = [folder / "0", folder / "1"]
    drawn = folder / "drawn"
    _run(
        pythons[0], "-m", "afn_keras.commands.synthesize", drawn, "--images=10"
    )
    for python, mine in zip(pythons, sides, strict=True):
        mine.mkdir()
        _run(python, __file__, "--write", mine, drawn)
    for python, theirs in zip(pythons, sides[::-1], strict=True):
        _run(python, __file__, "--read", theirs, drawn)
    result = {
        "versions": [(side / "versions").read_text() for side in sides],
        "largest output": _size(sides[0] / "answers.npz"),
        "largest loss": _size(sides[0] / "losses.npz"),
        "outputs": _largest(*(side / "answers.npz" for side in sides)),
        f"losses of {STEPS} steps, relative": _relative(
            *(side / "losses.npz" for side in sides)
        ),
    }
    for name in ("keras", "weights"):
        result[f"{name} file in the other"] = max(
            _largest(side / "answers.npz", side / f"{name}.npz")
            for side in sides
        )
    for side, version in zip(sides, result["versions"], strict=True):
        text = (side / "served").read_text()
        result[f"SavedModel of {version} in the other"] = text
    return result


def _largest(*files: Path) -> float:
    mine, theirs = map(np.load, files)
    assert set(mine) == set(theirs)
    return max(float(np.abs(mine[key] - theirs[key]).max()) for key in mine)


def _relative(*files: Path) -> float:
    mine, theirs = map(np.load, files)
    return max(float(np.abs(mine[key] / theirs[key] - 1).max()) for key in mine)


def _size(file: Path) -> float:
    with np.load(file) as values:
        return max(float(np.abs(values[key]).max()) for key in values)


def _run(*command: str | Path) -> None:
    # Its own folder comes first: there lies no package.
    root = str(Path(__file__).parents[1])
    subprocess.run(
        list(map(str, command)),
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": root, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def _recipe(attention: str) -> Any:
    from afn_keras.recipes import load_recipe

    return load_recipe("paper", _CHANGES | {"attention": attention})


def _images(drawn: Path) -> np.ndarray:
    from afn_keras.prediction.cropping import crop

    photographs = sorted(drawn.rglob("*.jpg"))
    return np.stack([crop(path, 96).image for path in photographs])


def _network(kind: str, vocabulary: Any) -> Any:
    """The recipe's compiled network, with weights that are NumPy's."""
    from afn_keras.training.fit import compiled_model

    model = compiled_model(_recipe(kind), vocabulary, steps_per_epoch=1)
    random = np.random.default_rng(0)
    for layer in sorted(model.layers, key=lambda layer: layer.name):
        arrays = layer.get_weights()
        weights = [0.1 * random.random(array.shape) for array in arrays]
        if len(arrays) == 4:
            # Batch normalization's, with variances.
            weights = [1 + array for array in weights]
        elif arrays:
            # As large as at the start of training, so that outputs are too.
            scale = 1.0 / np.sqrt(arrays[0][..., 0].size)
            weights[0] = scale * random.normal(size=arrays[0].shape)
        layer.set_weights([array.astype("float32") for array in weights])
    return model


def write(folder: Path, drawn: Path) -> None:
    """What one of the two does by itself."""
    import tensorflow as tf

    from afn_keras.backend.versions import keras
    from afn_keras.loading import TrainedModel
    from exports.saved_model.write import export_saved_model
    from pipelines.readers.detect import read_annotations

    annotations = read_annotations(drawn)
    vocabulary = annotations.vocabulary
    images = _images(drawn)
    answers, losses = {}, {}
    for kind in _KINDS:
        model = _network(kind, vocabulary)
        run = folder / kind
        run.mkdir()
        vocabulary.save(run)
        model.save(run / "model.keras")
        model.save_weights(str(run / "afn.weights.h5"))
        for name, value in model.predict(images, verbose=0).items():
            answers[f"{kind} {name}"] = value
        random = np.random.default_rng(1)
        size = (STEPS * len(images), len(vocabulary.attributes))
        landmarks = random.random((size[0], len(vocabulary.landmarks), 3))
        landmarks[..., 2] = landmarks[..., 2] > 0.3
        targets = {
            "heatmaps": landmarks.astype("float32"),
            "category": random.integers(-1, 3, size[0]),
            "attributes": random.integers(-1, 2, size).astype("float32"),
        }
        data = tf.data.Dataset.from_tensor_slices(
            (np.concatenate([images] * STEPS), targets)
        ).batch(len(images))
        trained = TrainedModel(kind, model, vocabulary)
        if kind == "paper":
            photograph = next(drawn.rglob("*.jpg")).read_bytes()
            export_saved_model(trained, run / "1", photograph)
        # An epoch of one step each, so that each loss is told.
        losses[kind] = np.array(
            model.fit(
                data, epochs=STEPS, steps_per_epoch=1, verbose=0, shuffle=False
            ).history["loss"]
        )
    np.savez(folder / "answers.npz", **answers)
    np.savez(folder / "losses.npz", **losses)
    (folder / "versions").write_text(
        f"Keras {keras.__version__}, TensorFlow {tf.__version__}"
    )


def read(folder: Path, drawn: Path) -> None:
    """What one of the two makes of the other's files."""
    from afn_keras.loading import load_model
    from exports.errors import VerificationError
    from exports.verification import verify

    images = _images(drawn)
    found: dict[str, dict] = {"keras": {}, "weights": {}}
    for kind in _KINDS:
        trained = load_model(folder / kind)
        model = _network(kind, trained.vocabulary)
        model.load_weights(str(folder / kind / "afn.weights.h5"))
        for way, network in (("keras", trained.model), ("weights", model)):
            for name, value in network.predict(images, verbose=0).items():
                found[way][f"{kind} {name}"] = value
    for way, answers in found.items():
        np.savez(folder / f"{way}.npz", **answers)
    photographs = sorted(drawn.rglob("*.jpg"))
    try:
        check = verify(
            load_model(folder / "paper"), folder / "paper" / "1", photographs
        )
        text = f"{check.difference:.1e}"
    except VerificationError as error:
        text = str(error)
    (folder / "served").write_text(text)


def main() -> None:
    """Runs the comparison, or one side's part of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--read", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("paths", metavar="PYTHON", nargs=2)
    options = parser.parse_args()
    if options.write or options.read:
        part = write if options.write else read
        part(*map(Path, options.paths))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(compare(tuple(options.paths), Path(folder)), indent=1))


if __name__ == "__main__":
    sys.exit(main())
