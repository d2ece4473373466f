"""afn-export: a trained network to artifacts, each checked."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from afn_keras.commands.command import Parser
from afn_keras.commands.command import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = Parser(
        "afn-export",
        "Writes a SavedModel for TF Serving and a TFLite file for a phone, "
        "and checks each in a clean process against the network.",
        "afn-export runs/demo --formats saved_model tflite",
    )
    parser.add_argument(
        "run", metavar="RUN", type=Path, help="folder that afn-train wrote"
    )
    parser.add_argument(
        "--formats",
        nargs="+",
        choices=("saved_model", "tflite"),
        default=["saved_model", "tflite"],
        help="what to write into RUN/exports (default both)",
    )
    run_command(parser, _run, arguments)


def _run(options: argparse.Namespace) -> None:
    from exports.artifacts import export_run

    for artifact, difference in export_run(options.run, options.formats):
        print(f"{artifact}: largest difference {difference:.1e}")


if __name__ == "__main__":
    main()
