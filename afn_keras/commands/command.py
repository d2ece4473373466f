"""What all commands share: their help, and how they fail."""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from collections.abc import Sequence
from typing import NoReturn

from exports.errors import VerificationError
from pipelines.errors import InputError


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line.

    Args:
        prog: name of the command.
        description: what it does, in a sentence.
        example: a command line to copy.
    """

    def __init__(self, prog: str, description: str, example: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Prints one line and exits with code 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def run_command(
    parser: Parser,
    run: Callable[[argparse.Namespace], None],
    arguments: Sequence[str] | None,
) -> None:
    """Parses the command line and runs the command.

    Bad input ends it with one line and exit code 2, an artifact that fails
    its check with code 1, Ctrl-C with code 130.
    """
    options = parser.parse_args(arguments)
    # TensorFlow greets with a page about drivers; a user's own choice wins.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        run(options)
    except InputError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except VerificationError as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, f"\n{parser.prog}: interrupted\n")
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; say nothing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
