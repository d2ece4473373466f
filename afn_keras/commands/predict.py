"""afn-predict: predicts landmarks, category and attributes of images."""

import argparse
import os
import shlex
import sys
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from afn_keras.commands.command import Parser
from afn_keras.commands.command import import_tensorflow
from afn_keras.commands.command import run_command

if TYPE_CHECKING:
    from afn_keras.prediction import Prediction
    from afn_keras.prediction import Predictor
    from pipelines.errors import InputError

_ON_SHEET = 48
_PICTURES = ("draw", "maps", "sheet")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = Parser(
        "afn-predict",
        "MODEL PHOTO...",
        "Finds landmarks, in pixels of an image, category and attributes.",
        "afn-predict runs/demo images --csv --output found.csv",
    )
    inputs = parser.add_argument_group("input")
    inputs.add_argument(
        "model",
        metavar="MODEL",
        help="run, .keras file, SavedModel, TFLite or ONNX file",
    )
    inputs.add_argument(
        "images",
        metavar="PHOTO",
        nargs="*",
        help="file, folder, 'pattern*', table.csv with boxes, list.txt, or - "
        "for paths on standard input",
    )
    inputs.add_argument(
        "--box",
        metavar=("X1", "Y1", "X2", "Y2"),
        nargs=4,
        type=float,
        help="the garment's box in pixels (default: the whole image)",
    )
    output = parser.add_argument_group(
        "output, as a table unless one of these is given"
    )
    forms = output.add_mutually_exclusive_group()
    for form, help in (
        ("json", "a line of JSON for each image"),
        ("csv", "a labels file, for afn-train once it is corrected"),
        ("coco", "a COCO file, for annotation tools"),
        ("parquet", "Parquet files, only with --runner"),
    ):
        forms.add_argument(
            f"--{form}",
            action="store_const",
            dest="form",
            const=form,
            default="table",
            help=help,
        )
    output.add_argument(
        "--output",
        metavar="FILE",
        help="write them into a new file (with --runner, a folder)",
    )
    output.add_argument(
        "--draw",
        metavar="DIR",
        type=Path,
        help="draw each image with its predictions",
    )
    output.add_argument(
        "--maps",
        metavar="DIR",
        type=Path,
        help="draw attention and heatmaps",
    )
    output.add_argument(
        "--sheet",
        metavar="FILE",
        type=Path,
        help=f"draw the first {_ON_SHEET} images on one sheet, a PNG file",
    )
    parser.add_runner(output)
    run_command(parser, _run, arguments)


def _run(options: argparse.Namespace) -> None:
    if not options.runner:
        _check_order(options.model, options.images)
    import_tensorflow()
    if options.runner:
        _run_job(options)
    else:
        _run_here(options)


def _check_order(model: str, images: Sequence[str]) -> None:
    """Raises InputError if the model is missing or comes last."""
    from afn_keras.prediction import is_image_name
    from afn_keras.runs import looks_like_model
    from pipelines.errors import InputError

    if looks_like_model(Path(model)):
        if images:
            return
        raise InputError(f"no image given; try: afn-predict {model} photo.jpg")
    *others, last = images or [model]
    if looks_like_model(Path(last)):
        swapped = shlex.join(["afn-predict", last, model, *others])
        raise InputError(
            f"{model}: not a model, but {last} is; put the model first: "
            f"{swapped}"
        )
    if is_image_name(model):
        missing = shlex.join(["afn-predict", "MODEL", model, *images])
        raise InputError(
            f"{model}: not a model; put one before the images: {missing}"
        )


def _run_job(options: argparse.Namespace) -> None:
    from pipelines.beam import job_options
    from pipelines.errors import InputError

    unfit = [f"--{name}" for name in _PICTURES if getattr(options, name)]
    if options.form in ("csv", "coco"):
        unfit.append(f"--{options.form}")
    if unfit:
        raise InputError(
            f"{unfit[0]}: not with --runner, which writes lines of JSON, or "
            "--parquet"
        )
    if not options.images:
        raise InputError("no image given")
    if not options.output:
        raise InputError(
            f"--runner {options.runner}: needs --output, a folder or URL"
        )
    beam_options = job_options(options.runner, options.beam_flags)

    from exports.catalog import predict_images

    done = predict_images(
        options.model,
        options.images,
        options.output,
        beam_options,
        folder=os.getcwd(),
        lines=sys.stdin,
        box=options.box,
        parquet=options.form == "parquet",
    )
    if done.failed:
        print(
            f"skipped {done.failed} of {done.predictions + done.failed}; "
            f"see {options.output.rstrip('/')}/failed-* for the reasons",
            file=sys.stderr,
        )


def _run_here(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from afn_keras.data_warnings import synthetic_warning
    from afn_keras.prediction import FORMATS
    from afn_keras.prediction import Predictor
    from afn_keras.prediction import check_results
    from afn_keras.prediction import list_images
    from afn_keras.prediction import write_results
    from exports.opening import open_model
    from pipelines.errors import InputError
    from pipelines.folders import check_sheet

    if options.form == "parquet":
        raise InputError("--parquet: needs --runner; --json has the same")
    output = Path(options.output) if options.output else None
    if output:
        check_results(output)
    if options.sheet:
        check_sheet(options.sheet, "--sheet")
    listed = list_images(options.images, sys.stdin, options.box)
    total = None
    if "-" not in options.images:
        # Listed first, so that a wrong name stops before any work.
        listed = list(listed)
        total = len(listed)
    model = open_model(Path(options.model))
    predictor = Predictor(model)
    if options.maps and not predictor.has_maps:
        raise InputError(
            f"--maps: {options.model} has no maps; give the run, its .keras "
            "file or its SavedModel"
        )
    if warning := synthetic_warning(model.data):
        print(f"warning: {options.model}: {warning}", file=sys.stderr)
    bar = tqdm(
        predictor.stream(listed),
        total=total,
        unit=" images",
        disable=None if total != 1 else True,
    )
    skipped: list[InputError] = []
    predictions = _skip_errors(bar, skipped, total == 1)
    predictions = _draw(predictions, predictor, options)
    written = write_results(
        predictions,
        FORMATS[options.form](),
        predictor.model.vocabulary,
        output,
    )
    if written.outside:
        print(
            f"{written.outside} images are outside {output.parent}"
            ": to train on the predictions, write --output into their folder",
            file=sys.stderr,
        )
    if skipped:
        total = written.count + len(skipped)
        if not written.count:
            raise InputError(f"none of {total} images can be used")
        print(f"skipped {len(skipped)} of {total}", file=sys.stderr)


def _skip_errors(
    results: "Iterable[Prediction | InputError]",
    skipped: "list[InputError]",
    single: bool,
) -> "Iterator[Prediction]":
    """Yields predictions; collects errors, or raises that of a single image."""
    from tqdm import tqdm

    from pipelines.errors import InputError

    for result in results:
        if not isinstance(result, InputError):
            yield result
        elif single:
            raise result
        else:
            skipped.append(result)
            tqdm.write(f"skipped: {result}", file=sys.stderr)


def _draw(
    predictions: "Iterator[Prediction]",
    predictor: "Predictor",
    options: argparse.Namespace,
) -> "Iterator[Prediction]":
    """Draws each prediction as it passes, and the sheet after the last."""
    from afn_keras.drawing import draw_maps
    from afn_keras.drawing import prediction_sheet
    from afn_keras.drawing import save_picture
    from afn_keras.drawing import save_prediction
    from afn_keras.drawing import save_sheet

    first, count = [], 0
    for prediction in predictions:
        count += 1
        if options.draw:
            model = predictor.model.name
            save_prediction(prediction, options.draw, model)
        if options.maps:
            name = prediction.image
            maps = draw_maps(predictor.maps(name, prediction.box))
            save_picture(maps, options.maps, f"{Path(name).stem}-maps")
        if options.sheet and len(first) < _ON_SHEET:
            first.append(prediction)
        yield prediction
    if first:
        save_sheet(prediction_sheet(first, count), options.sheet, "--sheet")


if __name__ == "__main__":
    main()
