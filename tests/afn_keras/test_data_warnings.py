"""Tests the warnings about data and scores."""

import dataclasses
import shutil

import pytest
from conftest import TINY
from conftest import write_image

from afn_keras.commands import predict
from afn_keras.commands import train
from afn_keras.data_warnings import score_warnings
from afn_keras.data_warnings import synthetic_warning
from afn_keras.data_warnings import training_warnings
from afn_keras.evaluation.model_card import write_model_card
from afn_keras.evaluation.scores import evaluate
from afn_keras.loading import load_model
from afn_keras.loading import save_model
from afn_keras.recipes import load_recipe
from afn_keras.training_data import TrainingData
from pipelines.readers.detect import read_annotations
from pipelines.records.convert import write_records


def records_of(folder, header, *rows):
    for row in rows:
        write_image(folder / "data" / row.split(",")[0])
    path = folder / "data" / "labels.csv"
    path.write_text("\n".join([header, *rows]))
    return write_records(read_annotations(path), folder / "records")


def test_good_data_need_no_warning(records):
    # It has five attributes, of which five are always found.
    (warning,) = training_warnings(records)
    assert warning == (
        "no more than 5 attributes (5): recall@5 is 100% whatever the image "
        "shows"
    )


def test_splits_that_are_missing(tmp_path):
    records = records_of(
        *(tmp_path / "a", "image,split,category"),
        *("a.jpg,train,Tee", "b.jpg,train,Hat"),
    )
    no_val, no_test = training_warnings(records)
    assert no_val.startswith("no val split: the best epoch cannot be chosen")
    assert no_test == (
        "no test split: the network is evaluated on the images that it is "
        "trained on"
    )
    records = records_of(
        *(tmp_path / "b", "image,split,category"),
        *("a.jpg,train,Tee", "b.jpg,train,Hat", "c.jpg,val,Hat"),
    )
    (no_test,) = training_warnings(records)
    assert no_test.endswith(
        "evaluated on val, on which the best epoch is chosen"
    )


def test_labels_that_teach_nothing(tmp_path):
    records = records_of(
        *(tmp_path, "image,split,category,attributes,left_hem_x,left_hem_y"),
        "a.jpg,train,Tee,red,5,6",
        "b.jpg,train,Tee,red|long,5,6",
        "c.jpg,val,Hat,red|new,5,6",
        "d.jpg,test,Tee,red,5,6",
    )
    assert training_warnings(records) == [
        "categories that no image of train has, so that they cannot be "
        "learned: Hat",
        "attributes that no image of train has, so that they cannot be "
        "learned: new",
        "attributes that every labeled image of train has, so that nothing "
        "shows where they are absent: red",
        "one landmark (left hem): NE and PCK are of it alone",
        "no more than 5 attributes (3): recall@5 is 100% whatever the image "
        "shows",
    ]


def test_one_category(tmp_path):
    records = records_of(
        *(tmp_path, "image,split,category"),
        *("a.jpg,train,Dress", "b.jpg,val,Dress", "c.jpg,test,Dress"),
    )
    expected = [
        "one category (Dress): its loss is 0 and its top-1 100% whatever the "
        "image shows"
    ]
    assert training_warnings(records) == expected
    assert score_warnings(records.vocabulary) == expected


def test_training_and_what_it_writes_warn(tmp_path, capsys):
    for i in range(8):
        write_image(tmp_path / f"{i}.jpg", color=(28 * i, 90, 90))
    rows = [f"{i}.jpg,train,Dress" for i in range(8)]
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(["image,split,category", *rows]))
    run = tmp_path / "run"
    train.main(
        [
            *("--data", str(labels), "--output", str(run)),
            *("--set", *TINY, "epochs=1"),
        ]
    )
    said = capsys.readouterr().out
    first = said.index("epoch 1/1")
    card = (run / "model_card.md").read_text()
    for warning in ("no val split", "no test split", "one category (Dress)"):
        assert 0 <= said.index(f"warning: {warning}") < first
        assert card.count(warning) == 1
    assert "one category (Dress)" in (run / "evaluation.md").read_text()


@pytest.fixture(scope="module")
def synthetic(run, tmp_path_factory):
    """Makes a run whose images are synthetic."""
    folder = tmp_path_factory.mktemp("synthetic") / "drawn"
    shutil.copytree(run, folder)
    trained = load_model(folder)
    data = dataclasses.replace(trained.data, origin="synthetic")
    data.save(folder)
    save_model(
        *(trained.model, folder / "model.keras", trained.vocabulary),
        data=data,
    )
    return folder


def test_a_network_that_saw_no_photo_says_so(run, synthetic, capsys):
    photo = str(run / "samples" / "00.jpg")
    predict.main([str(run), photo])
    assert capsys.readouterr().err == ""
    predict.main([str(synthetic), photo])
    shown = capsys.readouterr()
    assert shown.err == (
        f"warning: {synthetic}: the network was trained on synthetic images "
        "alone: its predictions for photos are not to be trusted\n"
    )
    assert "warning" not in shown.out


def test_scores_and_card_of_a_network_that_saw_no_photo(
    synthetic, records, tmp_path
):
    trained = load_model(synthetic)
    warning = synthetic_warning(trained.data)
    scores = evaluate(trained, records, "test", trained_on=trained.data)
    assert warning in scores["warnings"]
    drawn = dataclasses.replace(records, origin="synthetic")
    scores = evaluate(trained, drawn, "test", trained_on=trained.data)
    assert warning not in scores["warnings"]
    recipe = load_recipe(str(synthetic / "recipe.yaml"))
    write_model_card(tmp_path, trained, recipe, drawn, scores)
    card = (tmp_path / "model_card.md").read_text()
    assert f"- In these data: {warning}.\n" in card
    assert "License of the data: none: the images are synthetic." in card


def test_what_a_network_has_seen_before_counts(
    run, synthetic, records, tmp_path
):
    alone = shutil.copy(synthetic / "model.keras", tmp_path)
    drawn = dataclasses.replace(records, origin="synthetic")
    for weights, origin in (
        ("none", "synthetic"),
        ("imagenet", "synthetic"),
        (str(synthetic), "synthetic"),
        (str(synthetic / "model.keras"), "synthetic"),
        (str(alone), "synthetic"),
        (str(run), "other"),
    ):
        assert TrainingData.from_records(drawn, weights).origin == origin
