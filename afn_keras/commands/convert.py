"""afn-convert: any data to TFRecord shards."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from afn_keras.commands.command import Parser
from afn_keras.commands.command import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = Parser(
        "afn-convert",
        "Converts a data set to a folder of records, which trains faster and "
        "can be moved as a few large files.",
        "afn-convert DeepFashion records",
    )
    parser.add_argument(
        "data",
        metavar="DATA",
        type=Path,
        help="benchmark folder or labels file",
    )
    parser.add_argument(
        "records", metavar="RECORDS", type=Path, help="folder to make"
    )
    run_command(parser, _run, arguments)


def _run(options: argparse.Namespace) -> None:
    from pipelines.conversion import write_records
    from pipelines.records import count_problems
    from pipelines.sources import read_annotations
    from pipelines.writing import check_new

    check_new(options.records)
    annotations = read_annotations(options.data)
    records = write_records(annotations, options.records, progress=True)
    for split, images in records.images.items():
        print(f"{split}: {images} images")
    problems = count_problems(options.records)
    print(f"{problems} problems, listed in {options.records}/problems.csv")


if __name__ == "__main__":
    main()
