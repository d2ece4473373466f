"""afn-evaluate: the paper's two tables for a trained network."""

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
        "afn-evaluate",
        "MODEL --data DATA",
        "Scores a trained network and prints the paper's two tables; on "
        "DeepFashion with the published rows above this network's.",
        "afn-evaluate runs/small --data DeepFashion --split test",
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        type=Path,
        help="run, .keras file, SavedModel, TFLite or ONNX file",
    )
    scoring = parser.add_argument_group("scoring")
    scoring.add_argument(
        "--data",
        metavar="DATA",
        type=Path,
        required=True,
        help="benchmark folder, labels file or records",
    )
    scoring.add_argument(
        "--split",
        metavar="SPLIT",
        choices=("train", "val", "test"),
        default="test",
        help="train, val or test (default test)",
    )
    scoring.add_argument(
        "--protocol",
        metavar="NAME",
        choices=("corrected", "released"),
        default="corrected",
        help="corrected, or released: as the paper's authors' evaluator, with "
        "pixels W wide in the truth, W - 1 in answers (default corrected)",
    )
    scoring.add_argument(
        "--flip",
        action="store_true",
        help="average the answers for an image and its mirror image",
    )
    scoring.add_argument(
        "--published",
        action="store_true",
        help="show the published rows beside other data too",
    )
    written = parser.add_argument_group("what is written")
    written.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        help="evaluation.json and evaluation.md, into this folder",
    )
    written.add_argument(
        "--report",
        metavar="DIR",
        type=Path,
        help="report.html with charts and the worst mistakes, and all of its "
        "pictures, into a new folder",
    )
    run_command(parser, _run, arguments)


def _run(options: argparse.Namespace) -> None:
    from afn_keras.runs import check_exists
    from pipelines.folders import check_new
    from pipelines.open_data import open_records

    if options.report:
        check_new(options.report)
    check_exists(options.model)
    with tempfile.TemporaryDirectory() as scratch:
        # What is wrong with the data is said before TensorFlow is loaded.
        records = open_records(
            options.data, Path(scratch) / "records", [options.split]
        )
        import_tensorflow()
        from afn_keras.evaluation import Outcomes
        from afn_keras.evaluation import evaluate
        from afn_keras.evaluation import paper_tables
        from afn_keras.evaluation import write_evaluation
        from afn_keras.evaluation import write_report_page
        from afn_keras.outputs import FlipAveraged
        from exports.opening import open_model

        opened = open_model(options.model)
        model = FlipAveraged(opened) if options.flip else opened
        outcomes = Outcomes(model.vocabulary)
        evaluation = evaluate(
            model,
            records,
            options.split,
            protocol=options.protocol,
            watch=outcomes.add if options.report else None,
            published=options.published,
            trained_on=opened.data,
            progress=True,
        )
        # The page last: what was scored is not lost where it cannot be written.
        print(paper_tables(evaluation, model.name))
        if options.output:
            write_evaluation(evaluation, model.name, options.output)
        if options.report:
            write_report_page(
                evaluation, outcomes, records, model.name, options.report
            )


if __name__ == "__main__":
    main()
