import numpy as np
import pytest

from afn_keras.backend.versions import keras
from afn_keras.backend.versions import ops
from afn_keras.losses import AttributesLoss
from afn_keras.losses import CategoryLoss
from afn_keras.losses import HeatmapLoss
from afn_keras.network import build_afn
from pipelines.annotations import make_vocabulary

TINY = {"num_categories": 3, "num_attributes": 5, "width": 0.05}


@pytest.fixture(scope="module")
def full():
    return build_afn(num_categories=46, num_attributes=1000)


@pytest.fixture(scope="module")
def vgg16():
    return keras.applications.VGG16(weights=None, include_top=False)


@pytest.fixture(scope="module")
def tiny():
    keras.utils.set_random_seed(1)
    return build_afn(**TINY, image_size=64)


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    return random.uniform(0, 255, (2, 64, 64, 3)).astype("float32")


def inside(model, *names):
    """Returns a model with the outputs of the named layers."""
    outputs = [model.get_layer(name).output for name in names]
    return keras.Model(model.input, outputs)


# What the paper prints: sections 3.1 to 3.3 and Fig. 1.
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("block1_conv2", (224, 224, 64)),
        ("block2_conv2", (112, 112, 128)),
        ("block3_conv3", (56, 56, 256)),
        ("block4_conv3", (28, 28, 512)),
        ("landmark_conv1x1", (28, 28, 64)),
        ("landmark1_conv1", (28, 28, 64)),
        ("landmark1_conv2", (28, 28, 64)),
        ("landmark1_upsample", (56, 56, 64)),
        ("landmark2_upsample", (112, 112, 32)),
        ("landmark3_upsample", (224, 224, 16)),
        ("heatmaps", (224, 224, 8)),
        ("heatmaps_downsampled", (28, 28, 8)),
        ("attention_input", (28, 28, 513)),
        ("attention_conv1x1", (28, 28, 32)),
        ("attention_pool2", (7, 7, 28)),
        ("attention", (28, 28, 512)),
        ("attended_features", (28, 28, 512)),
        ("block4_pool", (14, 14, 512)),
        ("block5_conv3", (14, 14, 512)),
        ("block5_pool", (7, 7, 512)),
        ("category_hidden", (1024,)),
        ("category", (46,)),
        ("attributes_hidden", (1024,)),
        ("attributes", (1000,)),
    ],
)
def test_shapes_are_those_of_the_paper(full, name, shape):
    assert full.get_layer(name).output.shape == (None, *shape)


def test_model_takes_and_answers_what_the_contract_says(full):
    assert full.input.name == "image"
    assert full.input_shape == (None, 224, 224, 3)
    shapes = {name: output.shape for name, output in full.output.items()}
    assert shapes == {
        "heatmaps": (None, 224, 224, 8),
        "category": (None, 46),
        "attributes": (None, 1000),
    }


def test_upsampling_doubles_by_4x4_transposed_convolutions(full):
    transposed = [
        layer
        for layer in full.layers
        if isinstance(layer, keras.layers.Conv2DTranspose)
    ]
    assert [layer.name for layer in transposed] == [
        *(f"landmark{stage}_upsample" for stage in (1, 2, 3)),
        *("attention_upsample1", "attention"),
    ]
    for layer in transposed:
        assert layer.kernel_size == (4, 4)
        assert layer.strides == (2, 2)


def test_each_landmark_stage_has_two_3x3_convolutions(full):
    for stage in (1, 2, 3):
        for conv in (1, 2):
            layer = full.get_layer(f"landmark{stage}_conv{conv}")
            assert layer.kernel_size == (3, 3)
    for name in ("landmark_conv1x1", "heatmaps", "attention_conv1x1"):
        assert full.get_layer(name).kernel_size == (1, 1)


def test_backbone_is_vgg16(full, vgg16):
    theirs = {
        layer.name: tuple(layer.kernel.shape)
        for layer in vgg16.layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    ours = {
        layer.name: tuple(layer.kernel.shape)
        for layer in full.layers
        if layer.name.startswith("block")
        and isinstance(layer, keras.layers.Conv2D)
    }
    assert len(theirs) == 13
    assert ours == theirs


def test_with_vgg16s_weights_it_computes_what_vgg16_does(vgg16):
    random = np.random.default_rng(1)
    image = random.uniform(0, 255, (1, 32, 32, 3)).astype("float32")
    model = build_afn(num_categories=1, num_attributes=0, image_size=32)
    for layer in vgg16.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())
    (expected,) = inside(vgg16, "block4_conv3")(
        keras.applications.vgg16.preprocess_input(image.copy())
    )
    (answer,) = inside(model, "block4_conv3")(image)
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-4)


def test_preprocessing_is_vgg16s(tiny, images):
    model = keras.Model(tiny.input, tiny.get_layer("block1_conv1").input)
    expected = keras.applications.vgg16.preprocess_input(images.copy())
    np.testing.assert_allclose(model(images), expected, atol=1e-4)


def test_attention_filters_out_and_magnifies(tiny, images):
    attention, features, attended = inside(
        tiny, "attention", "block4_conv3", "attended_features"
    )(images)
    attention, features = np.array(attention), np.array(features)
    assert attention.shape == features.shape
    assert attention.min() > 0
    assert attention.max() < 1
    assert np.ptp(attention) > 0
    assert np.abs(features).max() > 0
    np.testing.assert_allclose(
        attended, (0.5 + attention) * features, rtol=1e-5
    )


def test_landmark_information_is_the_largest_of_the_small_heatmaps(
    tiny, images
):
    heatmaps, small, features, joined = map(
        np.array,
        inside(
            tiny,
            "heatmaps",
            "heatmaps_downsampled",
            "block4_conv3",
            "attention_input",
        )(images),
    )
    # Eight pixels become one; their center lies between the two in the
    # middle, where bilinear sampling weighs both alike.
    expected = np.zeros((2, 8, 8, 8))
    for row in range(8):
        for column in range(8):
            y, x = 8 * row + 3, 8 * column + 3
            middle = heatmaps[:, y : y + 2, x : x + 2]
            expected[:, row, column] = middle.mean((1, 2))
    np.testing.assert_allclose(small, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(joined[..., :-1], features)
    np.testing.assert_allclose(
        joined[..., -1], expected.max(-1), rtol=1e-4, atol=1e-5
    )


def test_outputs_are_float32_under_mixed_precision(images):
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = build_afn(**TINY, image_size=64)
    finally:
        keras.mixed_precision.set_global_policy(before)
    assert model.get_layer("block5_conv3").compute_dtype == "bfloat16"
    for output in model(images).values():
        assert np.array(output).dtype == np.float32
        assert np.isfinite(output).all()


@pytest.mark.parametrize(
    ("counts", "outputs"),
    [
        ((0, 5, 8), {"heatmaps", "attributes"}),
        ((3, 0, 8), {"heatmaps", "category"}),
        ((3, 5, 0), {"category", "attributes"}),
        ((0, 0, 2), {"heatmaps"}),
        ((3, 0, 0), {"category"}),
    ],
)
def test_task_without_labels_has_no_output(counts, outputs):
    tasks = ("category", "attributes", "heatmaps")
    sizes = dict(zip(tasks, counts, strict=True))
    model = build_afn(
        num_categories=sizes["category"],
        num_attributes=sizes["attributes"],
        num_landmarks=sizes["heatmaps"],
        image_size=32,
        width=0.05,
    )
    assert set(model.output) == outputs
    answer = model(np.zeros((1, 32, 32, 3), "float32"))
    sizes = dict(
        zip(("category", "attributes", "heatmaps"), counts, strict=True)
    )
    for name in outputs:
        assert answer[name].shape[-1] == sizes[name]


def test_vocabulary_gives_the_numbers():
    vocabulary = make_vocabulary(("Tee", "Jeans"), ("red",), ("style",), True)
    model = build_afn(vocabulary, image_size=32, width=0.05)
    counts = {name: tensor.shape[-1] for name, tensor in model.output.items()}
    assert counts == {"heatmaps": 8, "category": 2, "attributes": 1}
    without = make_vocabulary(("Tee",), (), (), False)
    model = build_afn(without, image_size=32, width=0.05)
    assert set(model.output) == {"category"}


def test_width_leaves_the_landmark_branch_alone():
    model = build_afn(**{**TINY, "width": 0.25}, image_size=32)
    channels = {
        "block1_conv1": 16,
        "block4_conv3": 128,
        "landmark1_upsample": 64,
        "landmark3_upsample": 16,
        "attention_conv1x1": 8,
        "attention": 128,
        "block5_conv3": 128,
        "category_hidden": 256,
    }
    for name, count in channels.items():
        assert model.get_layer(name).output.shape[-1] == count


def test_dropout_changes_training_alone(images):
    model = build_afn(**TINY, image_size=64, dropout=0.5)
    rates = [
        layer.rate
        for layer in model.layers
        if isinstance(layer, keras.layers.Dropout)
    ]
    assert rates == [0.5] * 4
    twice = [np.array(model(images)["category"]) for _ in range(2)]
    np.testing.assert_array_equal(*twice)
    trained = np.array(model(images, training=True)["category"])
    assert np.abs(trained - twice[0]).max() > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 100}, "image_size must be a multiple of 32: 100"),
        ({"image_size": 0}, "image_size must be a multiple of 32: 0"),
        ({"image_size": -32}, "image_size must be a multiple of 32: -32"),
        ({"width": 0}, "width must be positive: 0"),
        ({"width": -0.5}, "width must be positive: -0.5"),
        (
            {"num_categories": 0, "num_attributes": 0, "num_landmarks": 0},
            "no landmark, category or attribute to predict",
        ),
    ],
)
def test_what_cannot_be_built(changes, message):
    with pytest.raises(ValueError, match=message):
        build_afn(**{**TINY, "image_size": 32, **changes})


def test_saved_and_loaded_it_answers_the_same(tiny, images, tmp_path):
    tiny.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    expected, answer = tiny(images), loaded(images)
    assert set(answer) == set(expected)
    for name in expected:
        np.testing.assert_allclose(answer[name], expected[name], rtol=1e-6)


def test_one_step_of_training_moves_every_weight(images):
    # Width 0.25, that no layer is too small to have an active unit.
    keras.utils.set_random_seed(0)
    model = build_afn(**{**TINY, "width": 0.25}, image_size=64)
    model.compile(
        "sgd",
        loss={
            "heatmaps": HeatmapLoss(),
            "category": CategoryLoss(),
            "attributes": AttributesLoss(),
        },
    )
    before = [np.array(weight) for weight in model.trainable_weights]
    targets = {
        "heatmaps": np.full((2, 8, 3), 0.5, "float32"),
        "category": np.array([0, 2]),
        "attributes": np.eye(5, dtype="float32")[:2],
    }
    targets["heatmaps"][..., 2] = 1
    history = model.fit(images, targets, batch_size=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    for old, weight in zip(before, model.trainable_weights, strict=True):
        assert ops.any(weight != old), weight.path
        assert np.isfinite(weight).all()


# The authors' released code: channels and sizes of its U-Net.
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("attention_input", (28, 28, 513)),
        ("attention_conv1x1", (28, 28, 32)),
        ("attention_down1", (14, 14, 64)),
        ("attention_down2", (7, 7, 128)),
        ("attention_inner2", (7, 7, 128)),
        ("attention_up1", (14, 14, 64)),
        ("attention_up2", (28, 28, 32)),
        ("attention", (28, 28, 512)),
    ],
)
def test_shapes_of_the_released_attention(released, name, shape):
    assert released.get_layer(name).output.shape == (None, *shape)


@pytest.fixture(scope="module")
def released():
    return build_afn(
        num_categories=46, num_attributes=1000, attention="released"
    )


def test_released_attention_is_between_minus_one_and_one(images):
    model = build_afn(**TINY, image_size=64, attention="released")
    names = ("attention", "attention_gate", "block4_conv3", "attended_features")
    attention, gate, features, attended = inside(model, *names)(images)
    attention = np.array(attention)
    assert attention.min() < 0 < attention.max()
    np.testing.assert_allclose(gate, 1 + attention, atol=1e-6)
    np.testing.assert_allclose(attended, gate * features, rtol=1e-5, atol=1e-5)


def test_without_attention_features_go_on_as_they_are(images):
    model = build_afn(**TINY, image_size=64, attention="none")
    assert not [
        layer.name for layer in model.layers if "attention" in layer.name
    ]
    features, pooled = inside(model, "block4_conv3", "block4_pool")(images)
    expected = np.array(features).reshape(2, 4, 2, 4, 2, -1).max((2, 4))
    np.testing.assert_array_equal(np.array(pooled), expected)


@pytest.mark.parametrize("attention", ["paper", "released"])
def test_without_upsampling_heatmaps_are_an_eighth(images, attention):
    model = build_afn(
        **TINY, image_size=64, attention=attention, upsampling=False
    )
    assert model(images)["heatmaps"].shape == (2, 8, 8, 8)
    full = build_afn(**TINY, image_size=64, attention=attention)
    # What upsamples is left out, and nothing else.
    names = {layer.name for layer in full.layers if layer.weights}
    mine = {layer.name for layer in model.layers if layer.weights}
    assert names - mine == {f"landmark{stage}_upsample" for stage in (1, 2, 3)}
    assert not mine - names


def test_no_such_attention():
    with pytest.raises(ValueError, match="attention must be one of"):
        build_afn(**TINY, attention="soft")


def test_a_call_that_leaves_training_open_is_inference(images):
    model = build_afn(**TINY, image_size=64, attention="released")
    before = model.get_weights()
    open_, inference = model(images), model(images, training=False)
    np.testing.assert_array_equal(open_["category"], inference["category"])
    for mine, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    training = model(images, training=True)
    assert np.abs(training["category"] - inference["category"]).max() > 1e-3
