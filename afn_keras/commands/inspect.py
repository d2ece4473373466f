"""afn-inspect: counts and draws what a data set contains."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from afn_keras.commands.command import Parser
from afn_keras.commands.command import import_tensorflow
from afn_keras.commands.command import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = Parser(
        "afn-inspect",
        "DATA",
        "Counts what a data set contains and draws a sheet of images with "
        "their labels. Anything but records is converted first.",
        "afn-inspect DeepFashion --split train --draw sheet.png",
    )
    parser.add_argument(
        "data",
        metavar="DATA",
        type=Path,
        help="benchmark folder, labels file or records",
    )
    sheet = parser.add_argument_group("sheet")
    sheet.add_argument(
        "--draw", metavar="FILE", type=Path, help="write the sheet, a PNG file"
    )
    sheet.add_argument(
        "--split",
        metavar="SPLIT",
        choices=("train", "val", "test"),
        default="train",
        help="train, val or test (default train)",
    )
    sheet.add_argument(
        "--images",
        metavar="N",
        type=int,
        default=24,
        help="images on it (default 24)",
    )
    sheet.add_argument(
        "--seed",
        metavar="S",
        type=int,
        default=0,
        help="seed of the choice and of augmentation (default 0)",
    )
    augmented = parser.add_argument_group("augmentation")
    augmented.add_argument(
        "--augmented",
        action="store_true",
        help="draw images as the network sees them in training",
    )
    augmented.add_argument(
        "--recipe",
        metavar="NAME",
        default="small",
        help="recipe with the augmentation and image size (default small)",
    )
    augmented.add_argument(
        "--set",
        metavar="FIELD=VALUE",
        nargs="+",
        default=[],
        help="change fields of the recipe, such as rotation=20 erasing=0.3",
    )
    run_command(parser, _run, arguments)


def _run(options: argparse.Namespace) -> None:
    from afn_keras.recipes import load_recipe
    from afn_keras.recipes import parse_changes
    from pipelines.errors import InputError
    from pipelines.folders import check_sheet
    from pipelines.open_data import open_records

    recipe = load_recipe(options.recipe, parse_changes(options.set))
    if options.images < 1:
        raise InputError(f"--images {options.images}: should be 1 or more")
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: should be 0 or more")
    if options.draw:
        check_sheet(options.draw)
    with tempfile.TemporaryDirectory() as scratch:
        records = open_records(
            options.data, Path(scratch) / "records", progress=True
        )
        import_tensorflow()
        from afn_keras.drawing import save_sheet
        from afn_keras.drawing import split_sheet
        from pipelines.records import describe

        if options.draw:
            if not records.images.get(options.split):
                # Not the records' folder, which may be temporary.
                raise InputError(
                    f"{options.data}: no image of the split {options.split}; "
                    f"it has {', '.join(records.images)}"
                )
            # Before anything is printed: a reader, such as `head`, may close
            # the pipe early.
            save_sheet(
                split_sheet(
                    records,
                    options.split,
                    options.images,
                    options.seed,
                    recipe if options.augmented else None,
                ),
                options.draw,
            )
        print(describe(records))


if __name__ == "__main__":
    main()
