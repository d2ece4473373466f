"""A page to try a network on: drop an image, drag the box, see answers."""

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import pydantic

from afn_keras.drawing import draw_attention
from afn_keras.drawing import draw_landmarks
from afn_keras.drawing import draw_maps
from afn_keras.drawing import upright_pixels
from afn_keras.prediction import Box
from afn_keras.prediction import Listed
from afn_keras.prediction import Prediction
from afn_keras.prediction import Predictor
from pipelines.errors import InputError

if TYPE_CHECKING:
    import gradio

LARGEST = "50mb"
"""Size of the largest file that the page takes."""

_TITLE = (
    "Attentive Fashion Network: landmarks, category and attributes of a garment"
)
_HOW = (
    "Drop an image or pick a sample. To have a part of it looked at, drag a "
    "box around the garment and press the button."
)
_KEY = (
    "Blue: left. Orange: right. A ring: the network is unsure, or the garment "
    "has no such place."
)
# Rotating would turn the picture on the page alone, not what is looked at.
_STYLE = """
button[aria-label^="Rotate"] { display: none; }
"""
# Each error stays until it is closed, so that it can be read; with the next
# question it has had its time.
_CLOSE_ERRORS = """
() => {
    document.querySelectorAll(".toast-close").forEach(one => one.click());
    return [];
}
"""
# On a phone the answer comes below the samples, out of sight.
_TO_ANSWER = """
() => document.getElementById("landmarks").scrollIntoView(
    {block: "nearest", behavior: "smooth"})
"""


@contextlib.contextmanager
def demo_page(
    predictor: Predictor, samples: Sequence[Listed] = ()
) -> Iterator["gradio.Blocks"]:
    """Builds the page; `serve` shows it.

    Args:
        predictor: what answers.
        samples: images to pick, perhaps with boxes.

    Yields:
        The page. What people drop on it lies in a folder of its own, which is
        removed at the end.

    Raises:
        InputError: if the packages of the extra `demo` are missing.
    """
    with tempfile.TemporaryDirectory(prefix="afn-demo-") as scratch:
        # Read when Gradio is imported, and when the page is built.
        os.environ["GRADIO_TEMP_DIR"] = scratch
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        # Gradio asks its own page whether it is there, as if from outside.
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
        try:
            import gradio
            from gradio_image_annotation import image_annotator
        except ImportError as error:
            raise InputError(
                f"the page needs {error.name}: pip install 'afn-keras[demo]'"
            ) from error

        def answer(shown: dict[str, Any] | None) -> list[Any]:
            try:
                return _answers(predictor, *_given(shown, Path(scratch)))
            except InputError as error:
                raise gradio.Error(
                    str(error), duration=None, print_exception=False
                ) from error

        def no_answers() -> list[None]:
            return [None] * len(answers)

        vocabulary = predictor.answering.vocabulary
        with gradio.Blocks(title=_TITLE, analytics_enabled=False) as page:
            gradio.Markdown(
                f"# {_TITLE}\n{_HOW} Model: {predictor.answering.name}."
            )
            with gradio.Row():
                with gradio.Column(min_width=320):
                    shown = image_annotator(
                        label="image",
                        sources=["upload", "clipboard", "webcam"],
                        single_box=True,
                        disable_edit_boxes=True,
                        boxes_alpha=0.0,
                        # For a thumb.
                        handle_size=16,
                        height=480,
                        show_share_button=False,
                        show_download_button=False,
                    )
                    ask = gradio.Button("Look at it", variant="primary")
                    asked = [ask.click, shown.upload]
                    if samples:
                        examples = gradio.Examples(
                            [[_annotated(sample)] for sample in samples],
                            shown,
                            label="samples",
                        )
                        asked.append(examples.load_input_event.then)
                with gradio.Column(min_width=320):
                    landmarks = gradio.Image(
                        show_label=False,
                        elem_id="landmarks",
                        format="png",
                        buttons=["fullscreen"],
                    )
                    if vocabulary.landmarks:
                        gradio.Markdown(_KEY)
                    category = gradio.Label(
                        label="category",
                        visible=bool(vocabulary.categories),
                    )
                    attributes = gradio.Label(
                        label="attributes",
                        num_top_classes=10,
                        show_heading=False,
                        visible=bool(vocabulary.attributes),
                    )
                    attention = gradio.Image(
                        show_label=False,
                        format="png",
                        visible=predictor.has_maps,
                        buttons=["fullscreen"],
                    )
            with gradio.Accordion(
                "What it sees of each landmark",
                open=False,
                visible=predictor.has_maps,
            ):
                maps = gradio.Image(
                    show_label=False, format="png", buttons=["fullscreen"]
                )
            answers = [landmarks, category, attributes, attention, maps]
            for event in (*asked, shown.clear):
                emptied = event(
                    no_answers,
                    None,
                    answers,
                    js=_CLOSE_ERRORS,
                    queue=False,
                    show_progress="hidden",
                    trigger_mode="multiple",
                    api_visibility="private",
                )
                if event in asked:
                    # Preprocessing would store the image anew; the file itself
                    # gives the answers that afn-predict gives.
                    emptied.then(
                        answer,
                        shown,
                        answers,
                        preprocess=False,
                        trigger_mode="always_last",
                    ).success(js=_TO_ANSWER)
        yield page


def serve(page: "gradio.Blocks", host: str, port: int | None) -> str:
    """Starts to show the page and returns.

    Args:
        page: what `demo_page` built.
        host: address to listen at.
        port: port to listen at; the first free one from 7860 on if None.

    Returns:
        The page's address.

    Raises:
        InputError: if the port is taken, or there is no such address.
    """
    where = f"{host}:{'any port' if port is None else port}"
    try:
        # A server that cannot listen would say so in its own thread alone.
        known = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)
        family, kind, _, _, place = known[0]
        with socket.socket(family, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((place[0], port or 0, *place[2:]))
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            show_error=True,
            max_file_size=LARGEST,
            css=_STYLE,
            footer_links=[],
            # It would look for Node.js.
            ssr_mode=False,
        )
    except (OSError, OverflowError, UnicodeError) as error:
        raise InputError(
            f"cannot listen at {where}; choose others with --host and --port"
        ) from error
    return address


class _File(pydantic.BaseModel):
    path: str = pydantic.Field(max_length=4096)
    orig_name: str | None = pydantic.Field(None, max_length=4096)


class _Drawn(pydantic.BaseModel):
    xmin: pydantic.FiniteFloat
    ymin: pydantic.FiniteFloat
    xmax: pydantic.FiniteFloat
    ymax: pydantic.FiniteFloat
    # The page's pixels are not the image's where it is shown smaller.
    scaleFactor: pydantic.FiniteFloat = pydantic.Field(1.0, gt=0)


class _Shown(pydantic.BaseModel):
    image: _File | None = None
    boxes: list[_Drawn] = pydantic.Field([], max_length=1)


def _given(shown: Any, folder: Path) -> tuple[Path, str, Box | None]:
    """The file on the page, the name it came by, and the box.

    Args:
        shown: what the page sends; anybody may send anything.
        folder: where uploaded files are, and nothing else.
    """
    try:
        asked = _Shown.model_validate(shown or {})
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "all of it"
        raise InputError(
            f"this page never asks so ({field}: {first['msg'].lower()})"
        ) from error
    if asked.image is None:
        raise InputError("there is no image yet")
    try:
        path = Path(asked.image.path).resolve()
    except (OSError, ValueError) as error:
        raise InputError("no file has such a name") from error
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise InputError("this file was not dropped here")
    box = None
    if asked.boxes:
        drawn = asked.boxes[0]
        corners = (drawn.xmin, drawn.ymin, drawn.xmax, drawn.ymax)
        box = tuple(corner / drawn.scaleFactor for corner in corners)
    return path, asked.image.orig_name or path.name, box


def _answers(
    predictor: Predictor, path: Path, name: str, box: Box | None
) -> list[Any]:
    try:
        prediction = predictor.predict([path], box and [box])[0]
    except InputError as error:
        # Where the file lies is nothing to the person at the page.
        raise InputError(str(error).replace(str(path), name)) from error
    picture = draw_landmarks(upright_pixels(path), prediction)
    return [picture, *_labels(prediction), *_seen(predictor, path, box)]


def _labels(prediction: Prediction) -> list[dict[str, float]]:
    return [dict(prediction.categories), dict(prediction.attributes)]


def _seen(
    predictor: Predictor, path: Path, box: Box | None
) -> list[np.ndarray | None]:
    maps = predictor.maps(path, box)
    if maps is None:
        return [None, None]
    with_attention = maps.attention is not None
    return [draw_attention(maps) if with_attention else None, draw_maps(maps)]


def _annotated(sample: Listed) -> dict[str, Any]:
    boxes = []
    if sample.box:
        x1, y1, x2, y2 = map(round, sample.box)
        boxes = [{"xmin": x1, "ymin": y1, "xmax": x2, "ymax": y2}]
    return {"image": str(sample.image), "boxes": boxes}
