"""The notebooks in `examples/` run, small, and show what they promise."""

import base64
import io
import os
import re

import nbclient
import nbformat
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
# The smallest that have every category in each split, for one epoch.
SMALL = {"IMAGES": 190, "OWN_IMAGES": 190, "IMAGE_SIZE": 32}
SMALL |= {"EPOCHS": 1, "OWN_EPOCHS": 1}


def read(path):
    return nbformat.read(path, as_version=4)


def run(name, folder):
    """Runs a notebook in `folder`; returns its code cells by id."""
    notebook = read(EXAMPLES / name)
    (settings,) = (
        cell
        for cell in notebook.cells
        if "parameters" in cell.metadata.get("tags", [])
    )
    settings.source = re.sub(
        r"^(\w+) = \d+$",
        lambda line: f"{line[1]} = {SMALL[line[1]]}",
        settings.source,
        flags=re.MULTILINE,
    )
    nbclient.NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    return {cell.id: cell for cell in notebook.cells if "outputs" in cell}


def text(cell):
    return "".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    )


def pictures(cell):
    return [
        np.asarray(
            Image.open(
                io.BytesIO(base64.b64decode(output.data["image/png"]))
            ).convert("RGB")
        )
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]


def with_pictures(cells):
    """Ids of the cells that show one picture, which is not of one color."""
    shown = set()
    for name, cell in cells.items():
        for picture in pictures(cell):
            assert picture.std() > 5, name
            assert name not in shown
            shown.add(name)
    return shown


@pytest.fixture(autouse=True)
def kernel(monkeypatch):
    """The kernel runs this checkout, with nothing shown on a screen."""
    root = str(EXAMPLES.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    # What the debugger says of frozen modules is not about a notebook.
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    monkeypatch.delenv("MPLBACKEND", raising=False)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_committed_clean(path):
    """No outputs, no machine's traces, and ids that stay as they are."""
    raw = path.read_text(encoding="utf-8")
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata == {
        "kernelspec": {
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        },
        "language_info": {"name": "python"},
    }
    assert not re.search(r"/(home|root|tmp|work|Users)/", raw)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    for cell in notebook.cells:
        # A word of ours, not the random ones of an editor.
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cell.id)
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    # The first cell says what, what is needed and how long.
    opening = notebook.cells[0].source
    assert opening.startswith("# ")
    assert "pip install" in opening
    assert re.search(r"takes about .* on 2 cores", opening)
    settings = notebook.cells[1]
    assert settings.metadata.tags == ["parameters"]
    names = re.findall(r"^(\w+) = \d+$", settings.source, re.MULTILINE)
    assert len(names) == len(settings.source.splitlines())
    assert set(names) <= set(SMALL)


def test_all_are_tested():
    names = [path.stem for path in NOTEBOOKS]
    assert names == ["attention", "fit", "own_labels", "serve"]


@pytest.mark.slow
def test_fit(tmp_path):
    cells = run("fit.ipynb", tmp_path)
    # 19 categories, ten images each: eight, one and one.
    for split, images in (("train", 152), ("val", 19), ("test", 19)):
        assert f"'{split}': {images}" in text(cells["data"])
    shapes = text(cells["head"])
    for name, shape in (
        ("heatmaps", "(None, 32, 32, 8)"),
        ("category", "(None, 19)"),
        ("color", "(None, 4)"),
    ):
        assert f"'{name}': {shape}" in shapes
    assert "val_color_accuracy" in text(cells["fit"])
    assert with_pictures(cells) == {"history", "prediction", "colors"}

    from afn_keras.backend.versions import keras

    model = keras.models.load_model(
        tmp_path / "fit" / "best.keras", compile=False
    )
    assert set(model.output) == {
        "heatmaps",
        "category",
        "attributes",
        "color",
    }
    assert list((tmp_path / "fit" / "logs").rglob("events.*"))


@pytest.mark.slow
def test_own_labels(tmp_path):
    cells = run("own_labels.ipynb", tmp_path)
    for name in ("tops", "trousers", "the rest", "for winter", "patterned"):
        assert repr(name) in text(cells["records"])
    # All but the two layers that answer with names are taken over.
    left = text(cells["before"]).strip().rpartition("left as they started: ")
    assert set(left[2].split(", ")) == {"category", "attributes"}
    rows = text(cells["scores"])
    for row in ("before", "tuned", "from random weights", "baseline"):
        assert row in rows
    assert with_pictures(cells) == {"prediction"}

    from afn_keras import load_model

    tuned = load_model(tmp_path / "own_labels" / "tuned")
    assert set(tuned.vocabulary.categories) == {"tops", "trousers", "the rest"}
    assert set(tuned.vocabulary.attributes) == {"for winter", "patterned"}


@pytest.mark.slow
def test_serve(tmp_path):
    cells = run("serve.ipynb", tmp_path)
    exported = text(cells["export"]).split()
    assert "serve/run/exports/saved_model/1" in exported
    assert "serve/run/exports/serving/compose.yaml" in exported
    # An image, then what is none.
    first, second = text(cells["answer"]).splitlines()
    assert first.startswith("True [b'")
    assert second.startswith("False [b'")
    assert with_pictures(cells) == {"picture"}

    # The served answer is that of the run itself.
    from afn_keras import Predictor
    from afn_keras import load_model

    predictor = Predictor(load_model(tmp_path / "serve" / "run"))
    photograph = tmp_path / "serve" / "photograph.jpg"
    name = predictor.predict([photograph])[0].categories[0][0]
    assert first == f"True [{name.encode()!r}]"


@pytest.mark.slow
def test_attention(tmp_path):
    cells = run("attention.ipynb", tmp_path)
    assert with_pictures(cells) == {"maps", "gate", "landmarks"}
    # The image above its attention, beside two rows of four heatmaps: a
    # garment as wide as high has five panels in a row and two in a column.
    height, width, _ = pictures(cells["maps"])[0].shape
    assert width > height
