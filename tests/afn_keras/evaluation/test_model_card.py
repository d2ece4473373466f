"""Tests the model card in a run and in its exports."""

import zipfile

import yaml

from afn_keras.evaluation.model_card import write_model_card
from afn_keras.evaluation.scores import evaluate
from afn_keras.loading import load_model
from afn_keras.recipes import load_recipe


def test_it_says_what_it_was_made_of(run):
    card = (run / "model_card.md").read_text()
    _, front, text = card.split("---\n", 2)
    assert yaml.safe_load(front)["library_name"] == "keras"
    # Twelve images: eight to train on, two each of val and test.
    assert "Trained on benchmark: 8 images of train, 2 images of val" in text
    assert "one of 3 categories: Tee, Jeans, Long Dress;" in text
    assert "AFN (paper)" in text
    assert "License of the data: unknown" in text
    # Where the trainer keeps the data is nobody's business.
    assert str(run.parent.parent) not in card
    assert "{" not in text


def test_every_export_carries_it(run):
    card = (run / "model_card.md").read_text()
    exports = run / "exports"
    extra = exports / "saved_model" / "1" / "assets.extra"
    assert (extra / "model_card.md").read_text() == card
    with zipfile.ZipFile(exports / "tflite" / "afn_float32.tflite") as archive:
        assert archive.read("model_card.md").decode() == card


def test_a_stated_license_and_long_lists(run, records, tmp_path):
    trained = load_model(run)
    recipe = load_recipe(
        str(run / "recipe.yaml"), {"license": "CC0", "data": None}
    )
    evaluation = evaluate(trained, records, "test")
    write_model_card(tmp_path, trained, recipe, records, evaluation)
    card = (tmp_path / "model_card.md").read_text()
    assert "License of the data: CC0\n" in card
    assert "draws the same data" in card
    assert "It started from random weights." in card


def test_whose_weights_it_started_from(run, records, tmp_path):
    """Drawings are nobody's; a network that went on from images is not."""
    trained = load_model(run)
    changes = {"data": None, "weights": "/home/me/runs/bought"}
    recipe = load_recipe(str(run / "recipe.yaml"), changes)
    evaluation = evaluate(trained, records, "test")
    write_model_card(tmp_path, trained, recipe, records, evaluation)
    card = (tmp_path / "model_card.md").read_text()
    assert "It started from the weights of bought, whose data" in card
    assert "License of the data: unknown" in card
    assert "/home/me" not in card
