"""Tests afn-demo as a process, with a browser."""

import base64
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import write_image
from PIL import Image

from afn_keras.demo_page import _parse
from afn_keras.demo_page import serve
from afn_keras.loading import load_model
from afn_keras.prediction.predictor import Predictor
from pipelines.errors import InputError

pytest.importorskip("selenium.webdriver")
pytest.importorskip("gradio")

from selenium.webdriver import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

PATIENCE = 60
YELLOW = (240, 228, 66)


def start_demo(*arguments, scratch=None, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "afn_keras.commands.demo", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ
        | environment
        | ({"TMPDIR": str(scratch)} if scratch else {}),
    )


@pytest.fixture(scope="module")
def address(run, tmp_path_factory):
    scratch = tmp_path_factory.mktemp("scratch")
    process = start_demo(run, scratch=scratch)
    line = process.stdout.readline()
    assert line.endswith("in a browser; Ctrl-C stops it.\n"), line
    yield line.split()[1]
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "afn-demo: interrupted"
    # Nothing that was dropped is left behind.
    assert not list(scratch.glob("afn-demo-*"))


def open_page(browser, address):
    browser.get(address)
    wait(browser, lambda: button(browser, "Predict"))


def wait(browser, until):
    return WebDriverWait(browser, PATIENCE).until(lambda _: until())


def button(browser, text):
    found = browser.find_elements(By.XPATH, f"//button[contains(., '{text}')]")
    return found[0] if found else None


def drop(browser, path):
    # What a dropped file ends in, too.
    files = By.CSS_SELECTOR, "input[type=file]"
    wait(browser, lambda: browser.find_elements(*files))[0].send_keys(str(path))


def canvas(browser):
    """Waits for the image on the page; returns it."""
    found = wait(
        browser, lambda: browser.find_elements(By.TAG_NAME, "canvas") or None
    )[0]
    sizes = []

    def settled():
        sizes.append(found.rect["height"])
        return len(sizes) > 3 and sizes[-1] == sizes[-4] > 60

    wait(browser, settled)
    return found


def shown_scale(element, width, height):
    """Pixels of the page for one of an image that fills an element."""
    rect = element.rect
    return min(rect["width"] / width, rect["height"] / height)


def address_shown(browser):
    """Returns the URL of the picture on the page; None without one."""
    script = "return document.querySelector('#landmarks img')?.src"
    return browser.execute_script(script)


def predicted(browser, before=None):
    """Returns the picture of the next prediction, (h, w, 3) RGB."""
    found = wait(
        browser,
        lambda: (
            address_shown(browser) not in (None, before)
            and address_shown(browser)
        ),
    )
    with urllib.request.urlopen(found) as answer:
        return np.array(Image.open(io.BytesIO(answer.read())).convert("RGB"))


def predict(browser):
    """Presses the button; gives the picture that comes, (h, w, 3) RGB."""
    script = "arguments[0].scrollIntoView({block: 'center'})"
    pressed = button(browser, "Predict")
    before = address_shown(browser)
    browser.execute_script(script, pressed)
    pressed.click()
    return predicted(browser, before)


def box_in(picture):
    """Returns the first and last column and row of the yellow outline."""
    yellow = (picture == YELLOW).all(axis=-1)
    # Other yellow is at most a spot.
    columns = np.nonzero(yellow.sum(axis=0) > 100)[0]
    rows = np.nonzero(yellow.sum(axis=1) > 100)[0]
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def read_labels(browser):
    """Returns the labels on the page with their percentages."""
    text = browser.find_element(By.TAG_NAME, "body").text
    return dict(re.findall(r"^(.+)\n(\d+)%$", text, re.MULTILINE))


def test_drop_drag_and_read(run, browser, address, tmp_path):
    width, height = 1200, 1500
    image = np.full((height, width, 3), 90, np.uint8)
    image[..., 0] = np.linspace(0, 255, width)
    path = tmp_path / "large.png"
    assert cv2.imwrite(str(path), image)
    open_page(browser, address)
    drop(browser, path)
    on_page = canvas(browser)
    # At once, of the whole image.
    assert predicted(browser).shape == (1280, 1024, 3)
    scale = shown_scale(on_page, width, height)
    # From a quarter to three quarters of it; ActionChains counts from the
    # middle of the element.
    half = round(width / 4 * scale), round(height / 4 * scale)
    steps = ActionChains(browser)
    steps.move_to_element_with_offset(on_page, -half[0], -half[1])
    steps.click_and_hold().move_by_offset(half[0], half[1])
    steps.move_by_offset(half[0], half[1]).release().perform()
    picture = predict(browser)
    # The picture's long side is 1280, the page's whole pixels are 1 / scale.
    drawn = np.array(box_in(picture)) * height / 1280
    expected = [width / 4, height / 4, 3 * width / 4, 3 * height / 4]
    np.testing.assert_allclose(drawn, expected, atol=2 / scale + 3)
    prediction = Predictor(load_model(run)).predict([path], [expected])[0]
    labels = read_labels(browser)
    for name, score in (*prediction.categories, *prediction.attributes):
        # Of this network, the box's edge is worth less than that.
        assert int(labels[name]) == pytest.approx(100 * score, abs=2)
    assert len(browser.get_screenshot_as_png()) > 10_000
    maps = wait(browser, lambda: button(browser, "Heatmaps and"))
    assert maps.is_displayed()


def test_a_sample_has_its_box(browser, address):
    open_page(browser, address)
    sample = wait(
        browser,
        lambda: browser.find_elements(By.CSS_SELECTOR, "button.gallery-item"),
    )[0]

    def picked():
        # It may be drawn before it listens.
        sample.click()
        return browser.find_elements(By.TAG_NAME, "canvas")

    wait(browser, picked)
    canvas(browser)
    # 60 x 80 pixels, shown 16 times as large; the benchmark's box.
    assert box_in(predicted(browser)) == (160, 320, 800, 1120)


def test_errors_are_named_one_at_a_time(browser, address, tmp_path):
    path = tmp_path / "letter.jpg"
    path.write_text("Dear network,")
    open_page(browser, address)

    def errors():
        script = """return [...document.querySelectorAll(".toast-message-item")]
            .map(error => error.innerText)"""
        return browser.execute_script(script)

    def pressed():
        # It may be drawn before it listens.
        button(browser, "Predict").click()
        return errors()

    wait(browser, pressed)
    wait(browser, lambda: errors() == ["there is no image yet"])
    drop(browser, path)
    expected = "letter.jpg: not an image (no known image format)"
    # It takes the place of the first.
    wait(browser, lambda: expected in errors())
    assert errors() == [expected]


def test_a_new_image_clears_old_predictions(browser, address, tmp_path):
    write_image(tmp_path / "photo.jpg", 300, 400)
    (tmp_path / "letter.jpg").write_text("Dear network,")
    open_page(browser, address)
    title = browser.find_element(By.TAG_NAME, "h1").text
    assert title == browser.title
    assert title == (
        "Attentive Fashion Network: landmarks, category and attributes of a "
        "garment"
    )
    drop(browser, tmp_path / "photo.jpg")
    assert predicted(browser).shape == (1280, 960, 3)
    assert read_labels(browser)
    canvas(browser)
    # Removes the image on the page first, with its predictions.
    browser.find_element(By.CSS_SELECTOR, "[aria-label='Remove Image']").click()
    wait(browser, lambda: address_shown(browser) is None)
    wait(browser, lambda: not read_labels(browser))
    drop(browser, tmp_path / "photo.jpg")
    assert predicted(browser).shape == (1280, 960, 3)


def test_on_a_phone(browser, address, tmp_path):
    path = tmp_path / "photo.jpg"
    write_image(path, 300, 400)
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True},
    )
    browser.execute_cdp_cmd(
        "Emulation.setTouchEmulationEnabled", {"enabled": True}
    )
    try:
        open_page(browser, address)
        drop(browser, path)
        on_page = canvas(browser)
        scale = shown_scale(on_page, 300, 400)
        script = "return arguments[0].getBoundingClientRect().toJSON()"
        rect = browser.execute_script(script, on_page)
        middle = (
            rect["left"] + rect["width"] / 2,
            rect["top"] + rect["height"] / 2,
        )
        for kind, move in (
            ("touchStart", -100),
            ("touchMove", 0),
            ("touchMove", 100),
            ("touchEnd", None),
        ):
            points = (
                [] if move is None else [[m + move * scale for m in middle]]
            )
            browser.execute_cdp_cmd(
                "Input.dispatchTouchEvent",
                {
                    "type": kind,
                    "touchPoints": [{"x": x, "y": y} for x, y in points],
                },
            )
        drawn = np.array(box_in(predict(browser))) * 400 / 1280
        np.testing.assert_allclose(
            drawn, (50, 100, 250, 300), atol=2 / scale + 2
        )
        width = "return document.documentElement.scrollWidth"
        assert browser.execute_script(width) <= 390
        screen = browser.execute_cdp_cmd("Page.captureScreenshot", {})
        shot = Image.open(io.BytesIO(base64.b64decode(screen["data"])))
        assert shot.size == (780, 1688)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd(
            "Emulation.setTouchEmulationEnabled", {"enabled": False}
        )


@pytest.mark.skipif(
    not Path("/proc/net/tcp").exists(), reason="Linux says who listens where"
)
def test_only_this_machine_is_let_in(address):
    port = int(address.rstrip("/").rpartition(":")[2])
    listening = [
        line.split()[1]
        for name in ("tcp", "tcp6")
        for line in Path("/proc/net", name).read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
    ]
    # 127.0.0.1 in the byte order of this machine.
    number = int.from_bytes(socket.inet_aton("127.0.0.1"), sys.byteorder)
    assert listening == [f"{number:08X}:{port:04X}"]


def test_a_port_that_is_taken(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start_demo(run, "--port", port)
        output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert output == ""
    assert errors.splitlines()[-1] == (
        f"afn-demo: cannot listen on 127.0.0.1:{port}; choose others with "
        "--host and --port"
    )


@pytest.mark.parametrize(
    ("host", "port"),
    [("nohost.invalid", None), ("127.0.0.1", 99999), ("203.0.113.1", 7860)],
)
def test_places_where_nobody_can_listen(host, port):
    with pytest.raises(InputError) as error:
        serve(None, host, port)
    assert str(error.value) == (
        f"cannot listen on {host}:{port or 'any port'}; choose others with "
        "--host and --port"
    )


def test_only_what_was_dropped_is_looked_at(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    os.symlink(tmp_path / "other.jpg", scratch / "link.jpg")
    for path in (
        "/etc/passwd",
        f"{scratch}/../other.jpg",
        f"{scratch}/link.jpg",
    ):
        with pytest.raises(InputError, match="was not uploaded here"):
            _parse({"image": {"path": path}, "boxes": []}, scratch)
    for nothing in (None, {"image": None, "boxes": []}):
        with pytest.raises(InputError, match="there is no image yet"):
            _parse(nothing, scratch)


FILE = {"path": "somewhere.jpg"}
BOX = {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}


@pytest.mark.parametrize(
    ("shown", "field"),
    [
        ("a text", "all of it"),
        ([1, 2], "all of it"),
        (7, "all of it"),
        ({"image": "a.jpg"}, "image"),
        ({"image": {}}, "image.path"),
        ({"image": {"path": 7}}, "image.path"),
        ({"image": {"path": None}}, "image.path"),
        ({"image": {"path": "a" * 10_000}}, "image.path"),
        ({"image": FILE, "boxes": 7}, "boxes"),
        ({"image": FILE, "boxes": [7]}, "boxes.0"),
        ({"image": FILE, "boxes": [BOX] * 9}, "boxes"),
        ({"image": FILE, "boxes": [{}]}, "boxes.0.xmin"),
        ({"image": FILE, "boxes": [BOX | {"ymax": "x"}]}, "boxes.0.ymax"),
        (
            {"image": FILE, "boxes": [BOX | {"ymin": float("nan")}]},
            "boxes.0.ymin",
        ),
        (
            {"image": FILE, "boxes": [BOX | {"scaleFactor": 0}]},
            "boxes.0.scaleFactor",
        ),
    ],
)
def test_requests_that_the_page_never_sends(shown, field, tmp_path):
    with pytest.raises(InputError) as error:
        _parse(shown, tmp_path)
    assert str(error.value).startswith(f"malformed request ({field}: ")
    assert "\n" not in str(error.value)


def test_a_name_that_no_file_has(tmp_path):
    with pytest.raises(InputError, match="no file has such a name"):
        _parse({"image": {"path": "a\0b"}}, tmp_path)


def test_a_malformed_request_gets_an_error(address):
    """A program that sends a malformed request gets an error."""

    def send(data):
        request = urllib.request.Request(
            f"{address}gradio_api/call/predict",
            json.dumps({"data": data}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
            event = json.load(reply)["event_id"]
        with urllib.request.urlopen(
            f"{address}gradio_api/call/predict/{event}", timeout=PATIENCE
        ) as reply:
            return reply.read().decode()

    for data in (
        ["a text"],
        [{"image": {"path": "/etc/passwd"}, "boxes": []}],
        [{"image": FILE, "boxes": [BOX | {"xmin": "x"}]}],
    ):
        reply = send(data)
        assert "event: error" in reply
        assert "Traceback" not in reply
        assert "afn_keras" not in reply
    with urllib.request.urlopen(address, timeout=PATIENCE) as page:
        assert page.status == 200


def test_proxies_are_bypassed(run, tmp_path):
    # No proxy listens there: any request through it fails.
    environment = dict.fromkeys(
        ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"),
        "http://127.0.0.1:9",
    )
    environment |= dict.fromkeys(
        ("ALL_PROXY", "all_proxy"), "socks5://127.0.0.1:9"
    )
    with start_demo(run, scratch=tmp_path, **environment) as process:
        line = process.stdout.readline()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            assert line.endswith("in a browser; Ctrl-C stops it.\n")
            with opener.open(line.split()[1], timeout=PATIENCE) as page:
                assert page.status == 200
        finally:
            process.kill()
