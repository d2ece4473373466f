"""afn-predict: landmarks, category and attributes of photographs."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from afn_keras.commands.command import Parser
from afn_keras.commands.command import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = Parser(
        "afn-predict",
        "Finds the landmarks of a garment, in pixels of the photograph, its "
        "category and its attributes.",
        "afn-predict runs/demo photo.jpg --draw pictures",
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        type=Path,
        help="run, .keras file, SavedModel, TFLite or ONNX file",
    )
    parser.add_argument(
        "photographs",
        metavar="PHOTO",
        type=Path,
        nargs="+",
        help="JPEG, PNG, WebP, GIF or BMP file",
    )
    parser.add_argument(
        "--box",
        metavar=("X1", "Y1", "X2", "Y2"),
        nargs=4,
        type=float,
        help="where the garment is in each photograph, in pixels; the whole "
        "photograph if left out",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one line of JSON for each photograph",
    )
    parser.add_argument(
        "--draw",
        metavar="DIR",
        type=Path,
        help="write each photograph with its answers drawn into this folder",
    )
    run_command(parser, _run, arguments)


def _run(options: argparse.Namespace) -> None:
    from afn_keras.pictures import draw_predictions
    from afn_keras.prediction import Predictor
    from exports.opening import open_model

    predictor = Predictor(open_model(options.model))
    boxes = options.box and [tuple(options.box)] * len(options.photographs)
    predictions = predictor.predict(options.photographs, boxes)
    # Before anything is printed: the reader, such as `head`, may leave early.
    if options.draw:
        draw_predictions(predictions, options.draw)
    for prediction in predictions:
        print(prediction.to_json() if options.json else prediction.describe())


if __name__ == "__main__":
    main()
