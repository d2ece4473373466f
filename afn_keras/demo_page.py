"""The interactive demo: drop an image, drag the box, see predictions."""

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
from afn_keras.prediction import ImageInput
from afn_keras.prediction import Prediction
from afn_keras.prediction import Predictor
from pipelines.errors import InputError

if TYPE_CHECKING:
    import gradio

LARGEST = "50mb"
"""Size of the largest file that the page accepts."""

_TITLE = (
    "Attentive Fashion Network: landmarks, category and attributes of a garment"
)
_HOW = (
    "Drop an image or pick a sample. To use only a part of it, drag a box "
    "around the garment and press the button."
)
_KEY = (
    "Blue: left. Orange: right. A ring: the network is unsure, or the garment "
    "does not have this landmark."
)
# Rotating would turn the picture on the page, but not the file.
_STYLE = """
button[aria-label^="Rotate"] { display: none; }
"""
# An error stays until it is closed, so that it can be read, or until the next
# image.
_CLOSE_ERRORS = """
() => {
    document.querySelectorAll(".toast-close").forEach(one => one.click());
    return [];
}
"""
# On a phone, the prediction is below the samples, out of sight.
_SCROLL_TO_PREDICTION = """
() => document.getElementById("landmarks").scrollIntoView(
    {block: "nearest", behavior: "smooth"})
"""


@contextlib.contextmanager
def demo_page(
    predictor: Predictor, samples: Sequence[ImageInput] = ()
) -> Iterator["gradio.Blocks"]:
    """Builds the page; `serve` shows it.

    Args:
        predictor: the predictor to use.
        samples: sample images, optionally with boxes.

    Yields:
        The page. Uploaded files are in a temporary folder, which is removed at
        the end.

    Raises:
        InputError: if the packages of the extra `demo` are missing.
    """
    with tempfile.TemporaryDirectory(prefix="afn-demo-") as scratch:
        # Gradio reads these when it is imported and when the page is built.
        os.environ["GRADIO_TEMP_DIR"] = scratch
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        # Gradio requests its own page to check it, which must bypass proxies.
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"
        try:
            import gradio
            from gradio_image_annotation import image_annotator
        except ImportError as error:
            raise InputError(
                f"the page needs {error.name}: pip install 'afn-keras[demo]'"
            ) from error

        def predict(value: dict[str, Any] | None) -> list[Any]:
            try:
                return _predict(predictor, *_parse(value, Path(scratch)))
            except InputError as error:
                raise gradio.Error(
                    str(error), duration=None, print_exception=False
                ) from error

        def clear() -> list[None]:
            return [None] * len(outputs)

        vocabulary = predictor.model.vocabulary
        with gradio.Blocks(title=_TITLE, analytics_enabled=False) as page:
            gradio.Markdown(
                f"# {_TITLE}\n{_HOW} Model: {predictor.model.name}."
            )
            with gradio.Row():
                with gradio.Column(min_width=320):
                    image = image_annotator(
                        label="image",
                        sources=["upload", "clipboard", "webcam"],
                        single_box=True,
                        disable_edit_boxes=True,
                        boxes_alpha=0.0,
                        # Large enough for a thumb.
                        handle_size=16,
                        height=480,
                        show_share_button=False,
                        show_download_button=False,
                    )
                    button = gradio.Button("Predict", variant="primary")
                    events = [button.click, image.upload]
                    if samples:
                        examples = gradio.Examples(
                            [[_annotated(sample)] for sample in samples],
                            image,
                            label="samples",
                        )
                        events.append(examples.load_input_event.then)
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
                "Heatmaps and attention",
                open=False,
                visible=predictor.has_maps,
            ):
                maps = gradio.Image(
                    show_label=False, format="png", buttons=["fullscreen"]
                )
            outputs = [landmarks, category, attributes, attention, maps]
            for event in (*events, image.clear):
                cleared = event(
                    clear,
                    None,
                    outputs,
                    js=_CLOSE_ERRORS,
                    queue=False,
                    show_progress="hidden",
                    trigger_mode="multiple",
                    api_visibility="private",
                )
                if event in events:
                    # Preprocessing would store the image anew; the file itself
                    # gives the same predictions as afn-predict.
                    cleared.then(
                        predict,
                        image,
                        outputs,
                        preprocess=False,
                        trigger_mode="always_last",
                    ).success(js=_SCROLL_TO_PREDICTION)
        yield page


def serve(page: "gradio.Blocks", host: str, port: int | None) -> str:
    """Starts to serve the page in the background.

    Args:
        page: the page that `demo_page` built.
        host: address to listen on.
        port: port to listen on; the first free one from 7860 if None.

    Returns:
        The page's address.

    Raises:
        InputError: if the port is taken, or there is no such address.
    """
    where = f"{host}:{'any port' if port is None else port}"
    try:
        # Gradio's server would report a taken port only in its own thread.
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
            # Otherwise Gradio looks for Node.js.
            ssr_mode=False,
        )
    except (OSError, OverflowError, UnicodeError) as error:
        raise InputError(
            f"cannot listen on {where}; choose others with --host and --port"
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
    # Pixels of the page for one of the image, which may be shown smaller.
    scaleFactor: pydantic.FiniteFloat = pydantic.Field(1.0, gt=0)


class _Value(pydantic.BaseModel):
    image: _File | None = None
    boxes: list[_Drawn] = pydantic.Field([], max_length=1)


def _parse(value: Any, folder: Path) -> tuple[Path, str, Box | None]:
    """Returns the file on the page, its original name, and the box.

    Args:
        value: the request, which may be forged.
        folder: the folder of uploaded files.

    Raises:
        InputError: if the request is malformed, or names another file.
    """
    try:
        request = _Value.model_validate(value or {})
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "all of it"
        raise InputError(
            f"malformed request ({field}: {first['msg'].lower()})"
        ) from error
    if request.image is None:
        raise InputError("there is no image yet")
    try:
        path = Path(request.image.path).resolve()
    except (OSError, ValueError) as error:
        raise InputError("no file has such a name") from error
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise InputError("this file was not uploaded here")
    box = None
    if request.boxes:
        drawn = request.boxes[0]
        corners = (drawn.xmin, drawn.ymin, drawn.xmax, drawn.ymax)
        box = tuple(corner / drawn.scaleFactor for corner in corners)
    return path, request.image.orig_name or path.name, box


def _predict(
    predictor: Predictor, path: Path, name: str, box: Box | None
) -> list[Any]:
    try:
        prediction = predictor.predict([path], box and [box])[0]
    except InputError as error:
        # Shows the name that the user knows, not the temporary path.
        raise InputError(str(error).replace(str(path), name)) from error
    picture = draw_landmarks(upright_pixels(path), prediction)
    return [picture, *_labels(prediction), *_draw_maps(predictor, path, box)]


def _labels(prediction: Prediction) -> list[dict[str, float]]:
    return [dict(prediction.categories), dict(prediction.attributes)]


def _draw_maps(
    predictor: Predictor, path: Path, box: Box | None
) -> list[np.ndarray | None]:
    maps = predictor.maps(path, box)
    if maps is None:
        return [None, None]
    with_attention = maps.attention is not None
    return [draw_attention(maps) if with_attention else None, draw_maps(maps)]


def _annotated(sample: ImageInput) -> dict[str, Any]:
    boxes = []
    if sample.box:
        x1, y1, x2, y2 = map(round, sample.box)
        boxes = [{"xmin": x1, "ymin": y1, "xmax": x2, "ymax": y2}]
    return {"image": str(sample.image), "boxes": boxes}
