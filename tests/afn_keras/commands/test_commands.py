"""Tests that bad input gives one line, exit code 2 and no partial files."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from afn_keras import __version__
from afn_keras.commands import afn
from afn_keras.commands import convert
from afn_keras.commands import demo
from afn_keras.commands import evaluate
from afn_keras.commands import export
from afn_keras.commands import inspect
from afn_keras.commands import predict
from afn_keras.commands import synthesize
from afn_keras.commands import train
from afn_keras.recipes import load_recipe

COMMANDS = [
    convert,
    demo,
    evaluate,
    export,
    inspect,
    predict,
    synthesize,
    train,
]


def fails(command, arguments, capsys):
    """Runs a command that fails; returns its one line."""
    with pytest.raises(SystemExit) as stop:
        command.main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    name = command.__name__.rpartition(".")[2]
    assert f"example:\n  afn-{name} " in text
    # It fits the smallest screen that terminals open with.
    assert len(text.splitlines()) <= 24
    assert max(map(len, text.splitlines())) < 80


@pytest.mark.parametrize("command", COMMANDS)
def test_version(command, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["--version"])
    assert stop.value.code == 0
    name = command.__name__.rpartition(".")[2]
    assert capsys.readouterr().out == f"afn-{name} {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_flags(shell, capsys):
    with pytest.raises(SystemExit) as stop:
        train.main(["--print-completion", shell])
    assert stop.value.code == 0
    assert "learning-rate" in capsys.readouterr().out
    message = fails(train, ["--print-completion", "dos"], capsys)
    assert "no 'dos'; there are bash, zsh" in message


def test_afn_lists_and_runs_the_commands(capsys):
    afn.main([])
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n  {command.__name__.rpartition('.')[2]} " in text
    with pytest.raises(SystemExit) as stop:
        afn.main(["inspect", "--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"afn-inspect {__version__}\n"
    afn.main(["--version"])
    assert capsys.readouterr().out == f"afn {__version__}\n"
    assert fails(afn, ["trian"], capsys).startswith(
        "afn: trian: no such command; did you mean train?; there are inspect,"
    )


def test_python_m_runs_it():
    done = subprocess.run(
        [sys.executable, "-m", "afn_keras", "predict", "--version"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, f"afn-predict {__version__}\n")


def test_model_and_images_swapped(tmp_path, capsys):
    (tmp_path / "model.keras").touch()
    photo = tmp_path / "a b.jpg"
    photo.touch()
    message = fails(predict, [photo, tmp_path], capsys)
    assert message == (
        f"afn-predict: {photo}: not a model, but {tmp_path} is; put the "
        f"model first: afn-predict {tmp_path} '{photo}'\n"
    )
    assert fails(predict, [tmp_path], capsys) == (
        f"afn-predict: no image given; try: afn-predict {tmp_path} photo.jpg\n"
    )


def test_flags_of_recipe_fields(tmp_path, monkeypatch):
    """They change what `--set` would change, and leave the rest alone."""
    made = []
    monkeypatch.setattr(train, "_train", lambda recipe, *_: made.append(recipe))
    train.main(
        [
            *("--epochs", "7", "--batch-size", "3", "--learning-rate", "0.5"),
            *("--image-size", "32", "--set", "width=0.1"),
            *("--output", str(tmp_path / "run")),
        ]
    )
    (recipe,) = made
    changes = {"epochs": 7, "batch_size": 3, "learning_rate": 0.5}
    changes |= {"image_size": 32, "width": 0.1}
    assert recipe == dataclasses.replace(load_recipe("demo"), **changes)


def test_help_does_not_wait_for_tensorflow():
    # A real process: what it imports is what the user waits for.
    program = (
        "import sys; from afn_keras.commands.train import main\n"
        "try: main(['--help'])\n"
        "finally: print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    modules = done.stdout.split()
    assert "argparse" in modules
    assert not {"tensorflow", "keras", "cv2", "pandas"} & set(modules)


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("train", "--recipe finest", "--recipe finest: no such recipe"),
        ("train", "--set epoch=3", "epoch: no such field"),
        (
            "train",
            "--data nowhere --output run",
            "nowhere: no such file or folder",
        ),
        ("train", "--data empty --output run", "empty: is no data set"),
        ("train", "--resume --output empty", "empty: no run"),
        ("evaluate", "run --data nowhere", "run: no such run or model"),
        ("evaluate", "empty --data nowhere", "nowhere: no such file or folder"),
        ("export", "empty --data nowhere", "nowhere: no such file or folder"),
        ("inspect", "nowhere", "nowhere: no such file or folder"),
        ("inspect", "nowhere --recipe finest", "--recipe finest: no such"),
        ("convert", "nowhere out", "nowhere: no such file or folder"),
        ("train", "--recipe smal", "no such recipe; did you mean small?"),
        ("train", "--set epoch=3", "a recipe; did you mean epochs?"),
        ("train", "--epochs many", "epochs of the recipe: "),
        ("train", "--epoch 3", "did you mean --epochs?"),
        ("evaluate", "m --data d --split tset", "did you mean test?"),
        ("predict", "a.jpg", "before the images: afn-predict MODEL a.jpg"),
    ],
)
def test_says_what_is_wrong_before_tensorflow_is_loaded(
    command, arguments, message, tmp_path
):
    (tmp_path / "empty").mkdir()
    program = (
        f"import sys; from afn_keras.commands.{command} import main\n"
        f"try: main({arguments.split()!r})\n"
        "finally: print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"afn-{command}: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not {"tensorflow", "keras"} & set(done.stdout.split())
    assert list(tmp_path.iterdir()) == [tmp_path / "empty"]


def test_no_such_folder(tmp_path, capsys):
    output = tmp_path / "run"
    message = fails(
        train, ["--data", tmp_path / "no", "--output", output], capsys
    )
    assert f"{tmp_path}/no: no such file or folder" in message
    assert not output.exists()


def test_a_folder_that_is_no_benchmark(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    output = tmp_path / "run"
    message = fails(
        train, ["--data", tmp_path / "empty", "--output", output], capsys
    )
    assert "is no data set; looked for Anno/" in message
    assert "labels.csv" in message
    assert not output.exists()


def test_an_annotation_file_missing(benchmark, tmp_path, capsys):
    missing = benchmark / "Anno" / "list_bbox.txt"
    missing.unlink()
    output = tmp_path / "records"
    message = fails(convert, [benchmark, output], capsys)
    assert f"{missing}: cannot be read" in message
    assert not output.exists()


def test_a_file_that_is_no_list(benchmark, tmp_path, capsys):
    path = benchmark / "Anno" / "list_bbox.txt"
    path.write_text(path.read_text().replace("12", "twelve", 1))
    output = tmp_path / "run"
    message = fails(train, ["--data", benchmark, "--output", output], capsys)
    assert f"{path}, line 1: should be the number of rows" in message
    assert list(tmp_path.iterdir()) == [benchmark]


def test_no_image_of_a_split(benchmark, tmp_path, capsys):
    for index in (4, 10):
        (benchmark / f"img/a_b/{index:03d}.jpg").unlink()
    output = tmp_path / "run"
    arguments = ["--data", benchmark, "--output", output]
    with pytest.raises(SystemExit) as stop:
        train.main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "no image of the split val can be used" in message
    assert "img/a_b/004.jpg: image missing (no such file)" in message
    assert list(tmp_path.iterdir()) == [benchmark]


def test_an_output_folder_that_holds_another_run(run, hand_written, capsys):
    before = sorted(run.rglob("*"))
    message = fails(train, ["--data", hand_written, "--output", run], capsys)
    assert f"{run}: contains another run; choose another folder" in message
    assert sorted(run.rglob("*")) == before


def test_an_output_folder_that_holds_anything(benchmark, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not touch")
    message = fails(
        train, ["--data", benchmark, "--output", tmp_path / "mine"], capsys
    )
    assert "exists already" in message
    message = fails(convert, [benchmark, tmp_path / "mine"], capsys)
    assert "exists already" in message
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "do not touch"


def test_an_unknown_recipe(tmp_path, capsys):
    output = tmp_path / "run"
    message = fails(train, ["--recipe", "finest", "--output", output], capsys)
    assert "--recipe finest: no such recipe" in message
    assert "demo, mobile, small, best, paper, released" in message
    assert not output.exists()


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("epochs=0", "epochs of the recipe: input should be greater than 0"),
        ("epochs=many", "epochs of the recipe: input should be a valid int"),
        ("image_size=100", "should be a multiple of 32"),
        ("epoch=3", "epoch: no such field of a recipe"),
        ("epochs", "--set epochs: should be FIELD=VALUE"),
        ("precision=double", "precision of the recipe"),
    ],
)
def test_a_setting_that_does_not_fit(setting, expected, tmp_path, capsys):
    output = tmp_path / "run"
    message = fails(train, ["--output", output, "--set", setting], capsys)
    assert expected in message
    assert not output.exists()


def test_a_image_that_is_none(run, tmp_path, capsys):
    image = tmp_path / "notes.jpg"
    image.write_text("no image at all")
    message = fails(predict, [run, image, "--draw", tmp_path / "drawn"], capsys)
    assert f"{image}: not an image (no known" in message
    assert not (tmp_path / "drawn").exists()
    message = fails(predict, [run, tmp_path / "none.jpg"], capsys)
    assert "none.jpg: cannot be read" in message


def test_a_box_outside_the_image(run, capsys):
    image = run / "samples" / "00.jpg"
    arguments = [run, image, "--box", 900, 900, 950, 950]
    message = fails(predict, arguments, capsys)
    assert "the box 900 900 950 950 shows nothing" in message


@pytest.mark.parametrize("command", [evaluate, export, predict])
def test_what_is_no_run(command, tmp_path, hand_written, capsys):
    extra = {
        evaluate: ["--data", hand_written],
        predict: ["photo.jpg"],
        export: [],
    }[command]
    message = fails(command, [tmp_path / "none", *extra], capsys)
    assert "none: no such run or model" in message
    message = fails(command, [tmp_path, *extra], capsys)
    assert "has no model.keras" in message
    (tmp_path / "model.keras").write_text("garbage")
    message = fails(command, [tmp_path, *extra], capsys)
    assert "model.keras: not a network of afn-keras" in message


def test_evaluating_on_other_labels(run, benchmark, capsys):
    path = benchmark / "Anno" / "list_category_cloth.txt"
    path.write_text(path.read_text().replace("Jeans", "Trousers"))
    message = fails(evaluate, [run, "--data", benchmark], capsys)
    assert (
        "the model was not trained on the categories Trousers; evaluate it on "
        "data without them"
    ) in message


def test_wrong_flags_are_one_line(capsys):
    assert "unrecognized arguments" in fails(train, ["--color"], capsys)
    assert "see afn-export --help" in fails(export, [], capsys)


def test_synthesize_then_convert(tmp_path, capsys):
    drawn, records = tmp_path / "drawn", tmp_path / "records"
    synthesize.main([str(drawn), "--images", "12", "--seed", "1"])
    convert.main([str(drawn), str(records)])
    content = json.loads((records / "records.json").read_text())
    assert sum(content["images"].values()) == 12
    assert content["problems"] == {}
    assert capsys.readouterr().out.endswith("images\nno problems\n")


def test_evaluate_writes_what_it_prints(run, hand_written, tmp_path, capsys):
    evaluate.main(
        [str(run), "--data", str(hand_written), "--output", str(tmp_path)]
    )
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "evaluation.md").read_text()
    # The same scores as at the end of the training.
    assert json.loads((tmp_path / "evaluation.json").read_text()) == (
        json.loads((run / "evaluation.json").read_text())
    )


def test_the_run_has_all_its_parts(run):
    for name in (
        *("recipe.yaml", "vocabulary.json", "model.keras", "history.csv"),
        *("evaluation.json", "evaluation.md", "logs", "pictures/00.png"),
        *("exports/saved_model/1", "exports/tflite/afn_float32.tflite"),
    ):
        assert (run / name).exists(), name
    assert len((run / "history.csv").read_text().splitlines()) == 1 + 2


def test_categories_alone(tmp_path, capsys):
    """A labels file with nothing but categories goes all the way."""
    from conftest import TINY
    from conftest import write_image

    rows = ["image,split,category"]
    for i in range(9):
        write_image(tmp_path / f"{i}.jpg", color=(28 * i, 90, 90))
        split = ("train", "val", "test")[i % 3]
        rows.append(f"{i}.jpg,{split},{('Hat', 'Shoe')[i % 2]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    folder = tmp_path / "run"
    train.main(
        [
            *("--data", str(tmp_path / "labels.csv")),
            *("--output", str(folder), "--set", *TINY),
        ]
    )
    assert "epoch 2/2" in capsys.readouterr().out
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["landmarks"] is None
    assert evaluation["attributes"] is None
    assert 0 <= evaluation["category"]["top1"] <= 1
    predict.main([str(folder), str(tmp_path / "0.jpg"), "--json"])
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {name for name, _ in answer["categories"]} == {"Hat", "Shoe"}
    assert answer["landmarks"] == {}
    assert Path(folder / "exports" / "tflite" / "afn_float32.tflite").exists()


def test_one_landmark_alone(tmp_path, capsys):
    """Labels that no image of train has have no output, in any file."""
    from conftest import TINY
    from conftest import write_image

    names = ("left_hem", "right_hem", "left_collar")
    columns = [f"{name}_{axis}" for name in names for axis in "xy"]
    rows = [",".join(["image", "split", *columns])]
    for i in range(9):
        write_image(tmp_path / f"{i}.jpg", color=(28 * i, 90, 90))
        split = ("train", "val", "test")[i % 3]
        right = "40,60" if split == "val" else ","
        rows.append(f"{i}.jpg,{split},{10 + i},60,{right},,")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    folder = tmp_path / "run"
    train.main(
        [
            *("--data", str(tmp_path / "labels.csv")),
            *("--output", str(folder), "--set", *TINY),
        ]
    )
    capsys.readouterr()
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert list(evaluation["landmarks"]["per_landmark"]) == ["left_hem"]
    (row,) = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (folder / "evaluation.md").read_text().splitlines()
        if line.startswith("| run")
    ]
    assert [cell == "-" for cell in row[1:]] == [
        *[True] * 6,
        False,
        True,
        False,
    ]
    card = (folder / "model_card.md").read_text()
    assert "- 1 landmark: left hem" in card
    photo = str(tmp_path / "0.jpg")
    for model in (
        folder,
        folder / "exports" / "saved_model",
        folder / "exports" / "tflite" / "afn_float32.tflite",
    ):
        predict.main([str(model), photo, "--json"])
        answer = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert list(answer["landmarks"]) == ["left_hem"], model
    predict.main([str(folder), photo, "--csv"])
    header = capsys.readouterr().out.splitlines()[0].split(",")
    assert [name for name in header if name.endswith("_x")] == ["left_hem_x"]
    predict.main([str(folder), photo, "--coco"])
    (category,) = json.loads(capsys.readouterr().out)["categories"]
    assert category["keypoints"] == ["left_hem"]
    report = tmp_path / "report"
    evaluate.main(
        [
            *(str(folder), "--data", str(tmp_path / "labels.csv")),
            *("--flip", "--report", str(report)),
        ]
    )
    assert (report / "landmarks.png").is_file()
