"""afn-evaluate: prints the paper's two tables for a trained network."""

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
        help="corrected, or released: as the paper's authors' evaluator, which "
        "divides labels by W and predictions by W - 1 (default corrected)",
    )
    scoring.add_argument(
        "--flip",
        action="store_true",
        help="average the predictions for an image and its mirror image",
    )
    scoring.add_argument(
        "--published",
        action="store_true",
        help="show the published rows for other data too",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        help="write evaluation.json and evaluation.md into this folder",
    )
    output.add_argument(
        "--report",
        metavar="DIR",
        type=Path,
        help="write report.html, with charts and the worst mistakes, and its "
        "pictures into a new folder",
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
        # Errors in the data are reported before TensorFlow is loaded.
        records = open_records(
            options.data, Path(scratch) / "records", [options.split]
        )
        import_tensorflow()
        from afn_keras.evaluation import ImageResults
        from afn_keras.evaluation import evaluate
        from afn_keras.evaluation import paper_tables
        from afn_keras.evaluation import write_evaluation
        from afn_keras.evaluation import write_report_page
        from afn_keras.outputs import FlipAveraged
        from exports.opening import open_model

        opened = open_model(options.model)
        model = FlipAveraged(opened) if options.flip else opened
        results = ImageResults(model.vocabulary)
        evaluation = evaluate(
            model,
            records,
            options.split,
            protocol=options.protocol,
            on_batch=results.add if options.report else None,
            published=options.published,
            trained_on=opened.data,
            progress=True,
        )
        # The page comes last, so that the scores are not lost if it fails.
        print(paper_tables(evaluation, model.name))
        if options.output:
            write_evaluation(evaluation, model.name, options.output)
        if options.report:
            write_report_page(
                evaluation, results, records, model.name, options.report
            )


if __name__ == "__main__":
    main()
