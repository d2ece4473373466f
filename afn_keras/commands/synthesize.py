"""afn-synthesize: draws a synthetic benchmark folder."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from afn_keras.commands.command import Parser
from afn_keras.commands.command import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = Parser(
        "afn-synthesize",
        "OUT",
        "Draws garments with known landmarks, category and attributes, in "
        "the DeepFashion benchmark's layout.",
        "afn-synthesize drawn --images 2000 --seed 1",
    )
    parser.add_argument(
        "output", metavar="OUT", type=Path, help="folder to make"
    )
    parser.add_argument(
        "--images",
        metavar="N",
        type=int,
        default=2000,
        help="images to draw (default 2000)",
    )
    parser.add_argument(
        "--seed",
        metavar="S",
        type=int,
        default=0,
        help="the same seed draws the same benchmark (default 0)",
    )
    run_command(parser, _run, arguments)


def _run(options: argparse.Namespace) -> None:
    from pipelines.synthetic import draw_benchmark

    draw_benchmark(options.output, options.images, options.seed, progress=True)
    print(f"{options.images} images drawn in {options.output}")


if __name__ == "__main__":
    main()
