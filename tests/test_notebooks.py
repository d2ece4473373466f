"""The notebooks in `examples/`: their stored outputs and small runs."""

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
# Cells that show a picture.
PICTURES = {
    "attention": {"maps", "gate", "landmarks"},
    "fit": {"history", "prediction", "colors"},
    "own_labels": {"prediction"},
    "serve": {"picture"},
}
OLD_NAMES = ("photograph", "answer", "guess", "outcome", "drawn")


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
    # The debugger's warning about frozen modules is not about a notebook.
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    monkeypatch.delenv("MPLBACKEND", raising=False)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_stored_with_clean_outputs(path):
    """Outputs without errors, machine paths or old names; stable ids."""
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
    assert path.stat().st_size < 300_000
    assert not re.search(r"/(home|root|tmp|work|opt|usr|Users)/", raw)
    assert not re.search(rf"\b({'|'.join(OLD_NAMES)})", raw, re.IGNORECASE)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    number = 0
    for cell in notebook.cells:
        # A word of ours, not the random ones of an editor.
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cell.id)
        assert not set(cell.metadata) - {"tags"}
        if cell.cell_type == "code":
            # All were run once, in order.
            number += 1
            assert cell.execution_count == number
            for output in cell.outputs:
                check_output(output)
    # The first cell describes the notebook, its requirements and duration.
    opening = notebook.cells[0].source
    assert opening.startswith("# ")
    assert "pip install" in opening
    assert re.search(r"takes about .* on 2 cores", opening)
    settings = notebook.cells[1]
    assert settings.metadata.tags == ["parameters"]
    names = re.findall(r"^(\w+) = \d+$", settings.source, re.MULTILINE)
    assert len(names) == len(settings.source.splitlines())
    assert set(names) <= set(SMALL)
    cells = {cell.id: cell for cell in notebook.cells if "outputs" in cell}
    assert with_pictures(cells) == PICTURES[path.stem]


def check_output(output):
    """Asserts that an output is a result, without warnings or a bar."""
    assert output.output_type != "error"
    if output.output_type == "stream":
        assert output.name == "stdout"
        assert "\r" not in output.text
        assert "it/s]" not in output.text
    else:
        assert set(output.data) <= {"text/plain", "text/html", "image/png"}
        # Addresses of objects differ from run to run.
        assert " at 0x" not in output.data["text/plain"]


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
    assert with_pictures(cells) == PICTURES["fit"]

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
    for name in ("tops", "trousers", "other", "for winter", "patterned"):
        assert repr(name) in text(cells["records"])
    # All but the last layers of the two heads are loaded.
    left = text(cells["before"]).strip().rpartition("left as they started: ")
    assert set(left[2].split(", ")) == {"category", "attributes"}
    rows = text(cells["scores"])
    for row in ("before", "tuned", "from random weights", "baseline"):
        assert row in rows
    assert with_pictures(cells) == PICTURES["own_labels"]

    from afn_keras import load_model

    tuned = load_model(tmp_path / "own_labels" / "tuned")
    assert set(tuned.vocabulary.categories) == {"tops", "trousers", "other"}
    assert set(tuned.vocabulary.attributes) == {"for winter", "patterned"}


@pytest.mark.slow
def test_serve(tmp_path):
    cells = run("serve.ipynb", tmp_path)
    exported = text(cells["export"]).split()
    assert "serve/run/exports/saved_model/1" in exported
    assert "serve/run/exports/serving/compose.yaml" in exported
    # An image, then what is none.
    first, second = text(cells["response"]).splitlines()
    assert first.startswith("True [b'")
    assert second.startswith("False [b'")
    assert with_pictures(cells) == PICTURES["serve"]

    # The served prediction is that of the run itself.
    from afn_keras import Predictor
    from afn_keras import load_model

    predictor = Predictor(load_model(tmp_path / "serve" / "run"))
    photo = tmp_path / "serve" / "photo.jpg"
    name = predictor.predict([photo])[0].categories[0][0]
    assert first == f"True [{name.encode()!r}]"


@pytest.mark.slow
def test_attention(tmp_path):
    cells = run("attention.ipynb", tmp_path)
    assert with_pictures(cells) == PICTURES["attention"]
    # The image above its attention, beside two rows of four heatmaps: a
    # garment as wide as high has five panels in a row and two in a column.
    height, width, _ = pictures(cells["maps"])[0].shape
    assert width > height
