"""Fixtures that several test files share; the expensive ones run once."""

import os
import shutil
import signal
import sys
from importlib import metadata
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The folders of tests bear the names of the packages they test, and must not
# hide those of an editable installation. Last, so that another one is tested.
sys.path.append(str(Path(__file__).parents[1]))

import cv2
import numpy as np
import pytest
from filelock import FileLock

from pipelines.readers.detect import read_annotations
from pipelines.records.convert import write_records
from pipelines.records.manifest import load_records

# A shell starts what runs in the background deaf to Ctrl-C, which the processes
# that tests start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
KERAS_3 = metadata.version("keras").startswith("3.")
TINY = ["image_size=32", "width=0.1", "epochs=2", "batch_size=8"]


def write_image(path, width=60, height=80, color=(200, 30, 90)):
    """A JPEG of one RGB color."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((height, width, 3), color[::-1], np.uint8)
    assert cv2.imwrite(str(path), image)


def write_benchmark(folder: Path, images: int = 12) -> Path:
    """A benchmark folder in the coarse layout, written out by hand here.

    Image i is of category i % 3 + 1, its clothes type too; its box is
    (11, 21) to (50, 70) in the benchmark's 1-based, inclusive pixels; its
    k-th landmark lies at (15 + k, 25 + k). Every sixth is val, test.
    """
    names = [f"img/a b/{i:03d}.jpg".replace(" ", "_") for i in range(images)]
    for i, name in enumerate(names):
        write_image(folder / name, color=(20 * i % 256, 90, 200))
    splits = ["train", "train", "train", "train", "val", "test"]
    points = {1: 6, 2: 4, 3: 8}

    def table(path, header, rows):
        path = folder / path
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join([str(len(rows)), header, *rows, ""]))

    kinds = [i % 3 + 1 for i in range(images)]
    table(
        "Eval/list_eval_partition.txt",
        "image_name  evaluation_status",
        [f"{n}   {splits[i % 6]}" for i, n in enumerate(names)],
    )
    table(
        "Anno/list_bbox.txt",
        "image_name  x_1  y_1  x_2  y_2",
        [f"{n}  011 021 050 070" for n in names],
    )
    table(
        "Anno/list_category_cloth.txt",
        "category_name  category_type",
        ["Tee      1", "Jeans   2", "Long Dress   3  "],
    )
    table(
        "Anno/list_category_img.txt",
        "image_name  category_label",
        [f"{n}  {kind}" for n, kind in zip(names, kinds, strict=True)],
    )
    table(
        "Anno/list_attr_cloth.txt",
        "attribute_name  attribute_type",
        ["floral print  1", "denim  2", "maxi  3", "v-neck  4", "red  5"],
    )
    table(
        "Anno/list_attr_img.txt",
        "image_name  attribute_labels",
        [
            f"{n}  " + " ".join("1" if j == i % 5 else "-1" for j in range(5))
            for i, n in enumerate(names)
        ],
    )
    table(
        "Anno/list_landmarks.txt",
        "image_name  clothes_type  landmark_visibility_1 ...",
        [
            f"{n}  {kind}  "
            + " ".join(
                f"0 {15 + k:03d} {25 + k:03d}" for k in range(points[kind])
            )
            for n, kind in zip(names, kinds, strict=True)
        ],
    )
    return folder


def finish(process):
    """Exit code and lines of standard error, without the progress bar."""
    _, errors = process.communicate(timeout=60)
    lines = errors.replace("\r", "\n").splitlines()
    # Below one image a second, the bar shows "s/ images", not "images/s".
    lines = [line for line in lines if line and "%|" not in line]
    return process.returncode, lines


def contents(folder):
    """Bytes of each file by its name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# On Keras 2.15, too, each would do the same, or take minutes.
collect_ignore = (
    []
    if KERAS_3
    else [
        "test_demo.py",
        "test_notebooks.py",
        "afn_keras/test_demo_page.py",
        "afn_keras/commands/test_export_command.py",
        "afn_keras/commands/test_inspect.py",
        "afn_keras/prediction/test_inputs.py",
        "afn_keras/training/test_checkpoints.py",
        "exports/catalog",
        "pipelines",
    ]
)


def pytest_collection_modifyitems(items):
    """Skips, on Keras 2.15, the tests of features that need Keras 3."""
    if KERAS_3:
        return
    for item in items:
        if item.get_closest_marker("keras3"):
            item.add_marker(
                pytest.mark.skip("Keras 2.15 does not have what it tests")
            )


@pytest.fixture(scope="session")
def hand_written(tmp_path_factory):
    """A benchmark of 12 plain images: for reading only."""
    return write_benchmark(tmp_path_factory.mktemp("data") / "benchmark")


@pytest.fixture
def benchmark(tmp_path):
    """A benchmark of 12 plain images that a test may break."""
    return write_benchmark(tmp_path / "benchmark")


@pytest.fixture(scope="session")
def records(hand_written, tmp_path_factory):
    """Records of the hand-written benchmark."""
    folder = tmp_path_factory.mktemp("data") / "records"
    write_records(read_annotations(hand_written), folder)
    return load_records(folder)


@pytest.fixture
def real_data():
    """The folder of real images, where there is one."""
    folder = os.environ.get("AFN_REAL_DATA")
    if not folder:
        pytest.skip("AFN_REAL_DATA names no folder of real images")
    return Path(folder)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Chromium without a window, 1200 x 1400 pixels."""
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    names = "chromium", "google-chrome", "chrome"
    found = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if not (found and driver):
        pytest.skip("no Chromium and chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = found
    profile = tmp_path_factory.mktemp("browser")
    for flag in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "window-size=1200,1400",
        f"user-data-dir={profile}",
    ):
        options.add_argument(f"--{flag}")
    with webdriver.Chrome(options, Service(driver)) as browser:
        yield browser


@pytest.fixture(scope="session")
def run(hand_written, tmp_path_factory):
    """A run, for reading only: all of afn-train on the hand-written benchmark.

    Both processes of pytest-xdist share it.
    """
    from afn_keras.commands.train import main

    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "runs" / "tiny"
    with FileLock(shared / "run.lock"):
        if not (folder / "exports" / "report.md").exists():
            main(
                [
                    *("--data", str(hand_written), "--recipe", "small"),
                    *("--output", str(folder), "--set", *TINY),
                ]
            )
    return folder
