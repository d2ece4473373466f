"""The first command that a new user types, as a real process."""

import json
import subprocess
import sys

import numpy as np
import pytest


@pytest.mark.slow
@pytest.mark.timeout(1800)  # Minutes on a quiet machine, more on a busy one.
def test_afn_train_with_no_arguments(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "afn_keras.commands.train"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    run = tmp_path / "runs" / "demo"
    evaluation = json.loads((run / "evaluation.json").read_text())
    landmarks = evaluation["landmarks"]
    # .029 of .196 where it was measured: a quarter worse is a fault.
    assert landmarks["ne"] <= landmarks["baseline_ne"] / 5.5
    assert evaluation["category"]["top1"] >= 0.8
    assert len(list((run / "pictures").glob("*.png"))) == 8
    assert "afn-predict runs/demo runs/demo/samples/00.jpg" in done.stdout
    report = (run / "exports" / "report.md").read_text()
    assert "saved_model/1" in report
    assert "tflite/afn_float32.tflite" in report


def test_data_that_is_really_there(real_data):
    """Every image of the real sample is read; nothing is lost."""
    from pipelines.readers.detect import read_annotations

    annotations = read_annotations(real_data / "deepfashion_sample")
    counts = annotations.table["split"].value_counts().to_dict()
    assert counts == {"train": 4853, "val": 250, "test": 250}
    assert annotations.vocabulary.groups == (
        *("texture", "sleeve", "length", "neckline", "fabric", "fit"),
    )
    box = annotations.table[["x1", "y1", "x2", "y2"]].to_numpy()
    assert box.min() == 0
    # Left is left in the image, on average at least.
    points = np.stack(annotations.table["landmarks"].to_list())
    for left, right in annotations.vocabulary.landmark_pairs:
        both = (points[:, [left, right], 2] == 0).all(1)
        assert (points[both, left, 0] < points[both, right, 0]).mean() > 0.5
