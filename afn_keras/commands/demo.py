"""afn-demo: opens an interactive demo of a network."""

import argparse
import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from afn_keras.commands.command import Parser
from afn_keras.commands.command import import_tensorflow
from afn_keras.commands.command import run_command

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = Parser(
        "afn-demo",
        "MODEL",
        "Opens a page for a browser: drop an image or pick a sample, drag "
        "the box, see landmarks, labels and attention. Needs the extra `demo`.",
        "afn-demo runs/demo",
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        type=Path,
        help="run, .keras file, SavedModel, TFLite or ONNX file",
    )
    page = parser.add_argument_group("page")
    page.add_argument(
        "--samples",
        metavar="PHOTO",
        nargs="+",
        help="sample images, as for afn-predict; the first 12 are shown "
        "(default: the samples of the run)",
    )
    page.add_argument(
        "--host",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 accepts other machines (default "
        "127.0.0.1, only this machine)",
    )
    page.add_argument(
        "--port",
        metavar="N",
        type=int,
        help="default: the first free one from 7860 on",
    )
    run_command(parser, _run, arguments)


def _run(options: argparse.Namespace) -> None:
    import_tensorflow()
    from afn_keras.data_warnings import synthetic_warning
    from afn_keras.demo_page import demo_page
    from afn_keras.demo_page import serve
    from afn_keras.prediction import Predictor
    from afn_keras.prediction import first_images
    from exports.opening import open_model
    from pipelines.batches import SAMPLES

    names = options.samples
    table = options.model / "samples" / SAMPLES
    if names is None and table.exists():
        names = [str(table)]
    samples = first_images(names or [], 12)
    model = open_model(options.model)
    if warning := synthetic_warning(model.data):
        print(f"warning: {options.model}: {warning}", file=sys.stderr)
    predictor = Predictor(model)
    with demo_page(predictor, samples) as page:
        address = serve(page, options.host, options.port)
        print(f"Open {address} in a browser; Ctrl-C stops it.", flush=True)
        if options.host not in _LOOPBACK:
            print(
                f"Anyone who can reach {options.host} can use it.",
                file=sys.stderr,
            )
        try:
            with (
                open(os.devnull, "w", encoding="utf-8") as null,
                # Gradio prints a line for each file of the box component.
                contextlib.redirect_stdout(null),
            ):
                threading.Event().wait()
        finally:
            page.close(verbose=False)


if __name__ == "__main__":
    main()
