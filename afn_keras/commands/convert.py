"""afn-convert: converts any data set to TFRecord shards."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from afn_keras.commands.command import Parser
from afn_keras.commands.command import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = Parser(
        "afn-convert",
        "DATA RECORDS",
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
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        help="processes that read and check images (default: one for "
        "each core); the records do not depend on it",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="stop at the first problem, instead of listing it",
    )
    parser.add_argument(
        "--follow-links",
        action="store_true",
        help="read images outside DATA that links in it point to, such as "
        "img on another disk",
    )
    parser.add_runner()
    run_command(parser, _run, arguments)


def _run(options: argparse.Namespace) -> None:
    from tabulate import tabulate

    from pipelines.beam import job_options
    from pipelines.errors import InputError
    from pipelines.folders import check_new
    from pipelines.parallel import available_cores
    from pipelines.problems import RULES
    from pipelines.problems import Kind
    from pipelines.readers import read_annotations
    from pipelines.records import count_problems
    from pipelines.records import write_records

    if options.workers is not None and options.workers < 1:
        raise InputError(f"--workers {options.workers}: choose 1 or more")
    beam = None
    if options.runner is not None:
        if options.workers is not None:
            raise InputError(
                f"--workers {options.workers}: is not for --runner; "
                "DirectRunner takes --direct_num_workers N"
            )
        beam = job_options(options.runner, options.beam_flags)
    check_new(options.records)
    annotations = read_annotations(
        options.data, options.strict, options.follow_links
    )
    records = write_records(
        annotations,
        options.records,
        progress=True,
        workers=options.workers or available_cores(),
        strict=options.strict,
        beam=beam,
    )
    for split, images in records.images.items():
        print(f"{split}: {images} images")
    problems = count_problems(options.records)
    if not problems:
        print("no problems")
        return
    rows = [(n, kind, RULES[Kind(kind)]) for kind, n in problems.items()]
    print(f"\n{tabulate(rows, ['number', 'problem', 'action'])}\n")
    print(f"Each is listed in {options.records / 'problems.csv'}")


if __name__ == "__main__":
    main()
