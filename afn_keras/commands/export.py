"""afn-export: exports a trained network; checks and measures each artifact."""

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from afn_keras.commands.command import Parser
from afn_keras.commands.command import import_tensorflow
from afn_keras.commands.command import run_command

# As in exports.artifacts, which takes seconds to import.
_FORMATS = (
    *("saved_model", "tflite", "tflite_float16", "tflite_dynamic"),
    *("tflite_int8", "onnx"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = Parser(
        "afn-export",
        "RUN",
        "Writes a SavedModel for TF Serving, TFLite files for phones or an "
        "ONNX file; compares each with the network; reports size, speed, "
        "scores.",
        "afn-export runs/small --formats tflite_int8 --data DeepFashion",
    )
    parser.add_argument(
        "run", metavar="RUN", type=Path, help="folder that afn-train wrote"
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--formats",
        metavar="FORMAT",
        nargs="+",
        choices=_FORMATS,
        default=["saved_model", "tflite"],
        help=f"into RUN/exports: {', '.join(_FORMATS)} "
        "(default saved_model tflite)",
    )
    output.add_argument(
        "--model-version",
        metavar="N",
        type=int,
        help="version of the SavedModel (default: one more than the highest)",
    )
    scoring = parser.add_argument_group("calibration and scoring")
    scoring.add_argument(
        "--data",
        metavar="DATA",
        type=Path,
        help="benchmark folder, labels file or records: tflite_int8 is "
        "calibrated on its training split, and the report scores every "
        "artifact on it (default: RUN/records, if there)",
    )
    scoring.add_argument(
        "--split",
        metavar="SPLIT",
        choices=("train", "val", "test"),
        default="test",
        help="split to score on: train, val or test (default test)",
    )
    run_command(parser, _run, arguments)


def _run(options: argparse.Namespace) -> None:
    # Exports require TensorFlow, whatever the network was trained on.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    from afn_keras.runs import check_exists
    from pipelines.errors import InputError
    from pipelines.open_data import open_records
    from pipelines.records import is_records

    if options.model_version is not None and options.model_version < 1:
        raise InputError(
            f"--model-version {options.model_version}: count from 1"
        )
    check_exists(options.run)
    data = options.data
    if data is None and is_records(options.run / "records"):
        data = options.run / "records"
    with tempfile.TemporaryDirectory() as scratch:
        records = data and open_records(
            data, Path(scratch) / "records", ["train", options.split]
        )
        import_tensorflow()
        from tqdm import tqdm

        from exports.artifacts import export_run
        from exports.report import write_report

        checks = {}
        artifacts = export_run(
            options.run,
            options.formats,
            records,
            options.model_version,
            progress=True,
        )
        for artifact, check in artifacts:
            checks[artifact] = check
            tqdm.write(f"{artifact}: largest difference {check.difference:.1e}")
        report = write_report(
            options.run, checks, records, options.split, progress=True
        )
    print(f"\n{report}")


if __name__ == "__main__":
    main()
