import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import saved_model_c_api
import tensorflow as tf
from PIL import Image
from saved_model_c_api import write_signature

from afn_keras.loading import load_model
from afn_keras.prediction.predictor import Predictor
from exports import verification
from exports.errors import VerificationError
from exports.saved_model.write import export_saved_model
from exports.saved_model.write import next_version
from exports.verification import verify
from pipelines.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def folder(run):
    return run / "exports" / "saved_model" / "1"


@pytest.fixture(scope="module")
def loaded(folder):
    return tf.saved_model.load(str(folder))


@pytest.fixture(scope="module")
def samples(run):
    return sorted((run / "samples").glob("*.jpg"))


@pytest.fixture(scope="module")
def trained(run):
    return load_model(run)


def ask(loaded, contents, signature="serving_default", **inputs):
    answers = loaded.signatures[signature](
        image_bytes=tf.constant(contents, tf.string), **inputs
    )
    return {name: value.numpy() for name, value in answers.items()}


def assert_same(row, other, atol=1e-4):
    assert set(row) == set(other)
    for name, value in row.items():
        if value.dtype == object:
            assert value.tolist() == other[name].tolist()
        else:
            np.testing.assert_allclose(value, other[name], atol=atol)


def row(answers, index):
    return {name: np.array(value[index]) for name, value in answers.items()}


def check_against(prediction, answers, index=0):
    points = np.array(list(prediction.landmarks.values()))
    np.testing.assert_allclose(
        answers["landmarks"][index], points[:, :2], atol=1e-2
    )
    np.testing.assert_allclose(
        answers["landmark_scores"][index], points[:, 2], atol=1e-4
    )
    for kind, scored in (
        ("category", prediction.categories),
        ("attribute", prediction.attributes),
    ):
        names = [name.decode() for name in answers[f"{kind}_names"][index]]
        assert names == [name for name, _ in scored]
        np.testing.assert_allclose(
            answers[f"{kind}_scores"][index],
            [score for _, score in scored],
            atol=1e-4,
        )


def test_answers_points_and_names(loaded, samples, trained):
    answers = ask(loaded, [samples[0].read_bytes()])
    check_against(Predictor(trained).predict(samples[:1])[0], answers)
    assert answers["attribute_scores"].shape == (1, 5)
    assert answers["valid"].tolist() == [True]


def test_boxes(loaded, samples, trained):
    box = (10.5, 20.0, 50.0, 70.25)
    answers = ask(
        loaded,
        [path.read_bytes() for path in samples],
        "boxes",
        boxes=tf.constant([box] * len(samples)),
    )
    predictions = Predictor(trained).predict(samples, [box] * len(samples))
    for index, prediction in enumerate(predictions):
        check_against(prediction, answers, index)


@pytest.mark.parametrize(
    "box",
    [
        (60, 0, 90, 80),  # The images are 60 x 80.
        (5, 5, 5, 9),
        (9, 5, 5, 9),
        (-9, -9, 0, 0),
        (np.nan, 0, 9, 9),
        (0, 0, np.inf, 9),
    ],
)
def test_a_box_that_shows_nothing(loaded, samples, box):
    good = samples[0].read_bytes()
    whole = (0.0, 0.0, 60.0, 80.0)
    answers = ask(
        loaded,
        [good, good],
        "boxes",
        boxes=tf.constant([box, whole], tf.float32),
    )
    assert answers["valid"].tolist() == [False, True]
    assert not answers["landmarks"][0].any()
    assert_same(row(ask(loaded, [good]), 0), row(answers, 1))


def test_tensor(loaded, trained):
    images = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3))
    images = images.astype(np.float32)
    expected = trained.predict_images(images)
    answers = loaded.signatures["tensor"](image=tf.constant(images))
    assert set(answers) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(answers[name], value, atol=1e-5)
    none = loaded.signatures["tensor"](image=tf.zeros([0, 32, 32, 3]))
    assert none["landmarks"].shape == (0, 8, 2)


def test_maps(loaded, samples, trained):
    from afn_keras.prediction.cropping import crop

    image = crop(samples[0], 32).image
    maps = ask(loaded, [samples[0].read_bytes(), b"no"], "maps")
    expected = trained.model.predict_on_batch(image[None])["heatmaps"]
    np.testing.assert_allclose(maps["heatmaps"][:1], expected, atol=1e-4)
    assert maps["attention"].shape[:3] == (2, 4, 4)
    assert 0 < maps["attention"][0].min() < maps["attention"][0].max() < 1
    assert maps["valid"].tolist() == [True, False]
    assert not maps["heatmaps"][1].any()


def turned(orientation, kind):
    """Returns an image with EXIF orientation, and the upright image."""
    upright = np.zeros((48, 30, 3), np.uint8)
    upright[:10, :6] = 255  # Asymmetric both ways.
    upright[20:40, 15:] = (200, 40, 90)
    undo = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, 1),
        7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
        8: lambda x: np.rot90(x, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x010F] = "a maker, so that the entry is not the first"
    exif[0x0112] = orientation
    file = io.BytesIO()
    stored = Image.fromarray(np.ascontiguousarray(undo(upright)))
    # Colors at full size: halved, their blocks fall elsewhere when turned,
    # and a network that learnt nothing has peaks that this may move.
    quality = {
        "JPEG": {"quality": 100, "subsampling": 0},
        "WEBP": {"lossless": True},
    }
    stored.save(file, kind, exif=exif, **quality.get(kind, {}))
    plain = io.BytesIO()
    Image.fromarray(upright).save(plain, kind, **quality.get(kind, {}))
    return file.getvalue(), plain.getvalue()


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", pytest.param("WEBP", marks=pytest.mark.keras3)]
)
def test_exif_rotation_is_honoured(loaded, kind):
    stored, plain = zip(*[turned(i, kind) for i in range(1, 9)], strict=True)
    answers = ask(loaded, stored)
    expected = ask(loaded, plain)
    assert answers["valid"].all()
    for index in range(8):
        # A turned JPEG is rounded otherwise.
        assert_same(row(answers, index), row(expected, index), atol=0.7)


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", pytest.param("WEBP", marks=pytest.mark.keras3)]
)
def test_turned_images_decode_to_the_same_pixels(kind):
    from exports.saved_model.decode import decode

    for orientation in range(1, 9):
        stored, plain = turned(orientation, kind)
        image = decode(tf.constant(stored)).numpy().astype(int)
        assert image.shape == (48, 30, 3)
        difference = np.abs(image - decode(tf.constant(plain)).numpy())
        assert np.median(difference) <= 1
        assert difference.mean() < 3


def test_motorola_order_and_damage():
    from exports.saved_model.exif import JPEG_MARK
    from exports.saved_model.exif import orientation

    def turn(block):
        return int(
            orientation(tf.constant(b"x" + JPEG_MARK + block), JPEG_MARK)
        )

    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
    block = b"MM\x00\x2a\x00\x00\x00\x08\x00\x01" + entry
    assert turn(block) == 6
    assert turn(block[:-3]) == 1  # Cut off.
    assert turn(block[:5]) == 1
    assert turn(b"") == 1
    assert turn(block.replace(b"\x00\x06\x00\x00", b"\x00\x09\x00\x00")) == 1
    # A directory beyond the block; more entries than there are.
    assert turn(block.replace(b"\x00\x00\x00\x08", b"\xff\xff\xff\xff")) == 1
    assert turn(block.replace(b"\x00\x01" + entry, b"\xff\xff" + entry)) == 6
    assert int(orientation(tf.constant(b"none"), JPEG_MARK)) == 1


@pytest.mark.parametrize("prefix", [b"", b"Exif\x00\x00"])
def test_exif_of_webp_with_and_without_the_prefix_of_jpeg(prefix):
    from exports.saved_model.exif import WEBP_MARK
    from exports.saved_model.exif import orientation

    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
    block = b"MM\x00\x2a\x00\x00\x00\x08\x00\x01" + entry
    content = b"x" + WEBP_MARK + b"\x20\x00\x00\x00" + prefix + block
    assert int(orientation(tf.constant(content), WEBP_MARK, 4)) == 6


def test_a_bad_image_leaves_its_neighbors_alone(loaded, samples):
    good = samples[0].read_bytes()
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    gif = io.BytesIO()
    Image.new("RGB", (20, 20)).save(gif, "GIF")
    film = io.BytesIO()
    frames = [Image.new("RGB", (20, 20), c) for c in ("red", "blue")]
    frames[0].save(film, "WEBP", save_all=True, append_images=frames[1:])
    alone = ask(loaded, [good])
    bad = [b"", b"hello", good[: len(good) // 2], bomb.getvalue()]
    bad += [gif.getvalue(), film.getvalue()]
    contents = [good, good]
    for content in bad:
        contents.insert(1, content)
    answers = ask(loaded, contents)
    # Half a JPEG may decode to half a picture; TensorFlow refuses it.
    assert answers["valid"].tolist() == [True, *[False] * len(bad), True]
    for index in (0, -1):
        assert_same(row(alone, 0), row(answers, index))
    assert not answers["landmark_scores"][1].any()
    assert answers["category_names"][1].tolist() == [b"", b"", b""]


@pytest.mark.parametrize("count", [0, 1, 64])
@pytest.mark.parametrize("signature", ["serving_default", "boxes", "maps"])
def test_any_batch(loaded, samples, count, signature):
    content = samples[0].read_bytes()
    inputs = {}
    if signature == "boxes":
        inputs = {"boxes": tf.constant([[0.0, 0.0, 60.0, 80.0]] * count)}
        inputs["boxes"] = tf.reshape(inputs["boxes"], [count, 4])
    answers = ask(loaded, [content] * count, signature, **inputs)
    assert all(len(value) == count for value in answers.values())
    assert answers["valid"].tolist() == [True] * count
    if count:
        for index in (0, count - 1):
            assert_same(
                row(answers, index),
                row(ask(loaded, [content], "maps"), 0)
                if signature == "maps"
                else row(ask(loaded, [content]), 0),
            )


def test_order_does_not_matter(loaded, samples):
    contents = [path.read_bytes() for path in samples]
    contents.append(turned(1, "JPEG")[0])
    forth = ask(loaded, contents)
    back = ask(loaded, contents[::-1])
    for index in range(len(contents)):
        assert_same(row(forth, index), row(back, -1 - index))


def test_all_bad(loaded):
    answers = ask(loaded, [b"no", b"none"])
    assert answers["valid"].tolist() == [False, False]
    assert answers["landmarks"].shape == (2, 8, 2)


@pytest.mark.parametrize(
    "kind", ["PNG", pytest.param("WEBP", marks=pytest.mark.keras3)]
)
def test_other_formats_and_transparency(loaded, samples, kind):
    image = Image.open(samples[0])
    file = io.BytesIO()
    image.save(file, kind, lossless=True)
    answers = ask(loaded, [file.getvalue(), samples[0].read_bytes()])
    assert answers["valid"].tolist() == [True, True]
    assert_same(row(answers, 0), row(answers, 1), atol=1e-2)

    # Transparent is white, as in training.
    clear = Image.new("RGBA", (40, 60), (255, 0, 0, 0))
    clear.paste((0, 0, 255, 128), (0, 0, 20, 60))
    white = Image.new("RGB", (40, 60), "white")
    white.paste((127, 127, 255), (0, 0, 20, 60))
    contents = []
    for image in (clear, white):
        file = io.BytesIO()
        image.save(file, kind, lossless=True, exact=True)
        contents.append(file.getvalue())
    answers = ask(loaded, contents)
    assert answers["valid"].tolist() == [True, True]
    assert_same(row(answers, 0), row(answers, 1), atol=1e-3)


def test_weights_are_stored_once(folder, trained):
    # The graph's 0.8 MB outweigh this tiny network; of the full one they are
    # 0.3%.
    weights = 4 * trained.model.count_params()
    files = [path for path in folder.rglob("*") if path.is_file()]
    stored = sum(path.stat().st_size for path in files)
    assert weights <= stored < 1.05 * weights + 1_000_000
    variables = sum(
        path.stat().st_size for path in (folder / "variables").iterdir()
    )
    assert weights <= variables < 1.05 * weights + 10_000


def test_labels_are_inside(folder, run):
    assert Vocabulary.load(folder / "assets.extra") == Vocabulary.load(run)


def test_next_version(tmp_path):
    assert next_version(tmp_path / "none") == 1
    for name in ("1", "12", ".13.partial", "old"):
        (tmp_path / name).mkdir()
    assert next_version(tmp_path) == 13


def test_verified_in_a_process_without_keras(folder, trained, samples):
    check = verify(trained, folder, samples, threads=(1, 2))
    assert check.difference < 1e-4
    assert all(check.milliseconds[count] > 0 for count in (1, 2))


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the library's name there"
)
def test_through_the_c_api(folder, loaded, samples, tmp_path):
    """Runs it like a server in another language."""
    write_signature(folder, tmp_path / "signature.json")
    done = subprocess.run(
        [
            *(sys.executable, "-I", saved_model_c_api.__file__, folder),
            *(tmp_path / "out.npz", tmp_path / "signature.json", *samples),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    expected = ask(loaded, [path.read_bytes() for path in samples])
    with np.load(tmp_path / "out.npz") as answers:
        assert set(answers) == set(expected)
        for name, value in expected.items():
            if value.dtype == object:
                assert answers[name].tolist() == value.tolist()
            else:
                np.testing.assert_allclose(answers[name], value, atol=1e-5)


def test_saved_model_cli(folder, samples, tmp_path):
    tool = Path(sys.executable).with_name("saved_model_cli")
    subprocess.run(
        [
            *(tool, "run", "--dir", folder, "--tag_set", "serve"),
            *("--signature_def", "serving_default"),
            *("--input_exprs", f"image_bytes=[{samples[0].read_bytes()!r}]"),
            *("--outdir", tmp_path),
        ],
        check=True,
        capture_output=True,
    )
    answers = ask(tf.saved_model.load(str(folder)), [samples[0].read_bytes()])
    np.testing.assert_allclose(
        np.load(tmp_path / "landmarks.npy"), answers["landmarks"], atol=1e-3
    )


def test_an_artifact_of_another_network_is_refused(run, folder, samples):
    other = load_model(run)
    layer = other.model.get_layer("category")
    layer.bias.assign(layer.bias + np.array([3.0, 0.0, 0.0]))
    with pytest.raises(VerificationError, match="differ from the network's"):
        verify(other, folder, samples)


def test_a_broken_artifact_is_refused(folder, trained, samples, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "1")
    for path in (copy / "variables").iterdir():
        path.unlink()
    with pytest.raises(VerificationError, match="fails in a clean process"):
        verify(trained, copy, samples)


def test_categories_alone(tmp_path, samples):
    from afn_keras import build_afn
    from afn_keras.loading import TrainedModel

    vocabulary = Vocabulary(categories=("Jeans", "Tee"))
    model = build_afn(vocabulary, image_size=32, width=0.05)
    trained = TrainedModel("alone", model, vocabulary)
    export_saved_model(trained, tmp_path / "1", samples[0].read_bytes())
    assert verify(trained, tmp_path / "1", samples).difference < (
        verification.BOUND
    )
    answers = ask(
        tf.saved_model.load(str(tmp_path / "1")), [samples[0].read_bytes()]
    )
    assert answers["landmarks"].shape == (1, 0, 2)
    assert answers["attribute_names"].shape == (1, 0)
    assert answers["category_scores"].sum() == pytest.approx(1, abs=1e-5)
