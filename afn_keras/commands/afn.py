"""afn: lists the commands and runs them: `afn train` is `afn-train`."""

import importlib
import sys
from collections.abc import Sequence

from afn_keras import __version__
from afn_keras.commands.command import forget_output
from pipelines.errors import did_you_mean

COMMANDS = {
    "inspect": "count and draw what a data set contains",
    "convert": "convert a data set to records",
    "train": "train a network, evaluate it, export it",
    "evaluate": "score a network and print the paper's tables",
    "predict": "find landmarks, category and attributes in images",
    "demo": "open an interactive demo in the browser",
    "export": "write a SavedModel, TFLite and ONNX files",
    "synthesize": "draw a synthetic benchmark",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command that the first argument names."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["-h"]
    if name in ("-h", "--help"):
        try:
            print(_help(), flush=True)
        except BrokenPipeError:
            forget_output()
    elif name == "--version":
        print(f"afn {__version__}")
    elif name in COMMANDS:
        # Imported only when it runs, so that help is fast.
        importlib.import_module(f"afn_keras.commands.{name}").main(rest)
    else:
        sys.stderr.write(
            f"afn: {name}: no such command{did_you_mean(name, COMMANDS)}; "
            f"there are {', '.join(COMMANDS)}\n"
        )
        raise SystemExit(2)


def _help() -> str:
    lines = [f"  {name:<11} {does}" for name, does in COMMANDS.items()]
    return "\n".join(
        [
            "usage: afn COMMAND ...",
            "",
            "Landmarks, category and attributes of a garment from one image.",
            "",
            "commands, each also as afn-COMMAND:",
            *lines,
            "",
            "afn COMMAND --help shows its flags; --version prints the release.",
            "",
            "example:",
            "  afn predict runs/demo photo.jpg",
        ]
    )


if __name__ == "__main__":
    main()
