"""The parser and the error handling that all commands share."""

import argparse
import contextlib
import logging
import os
import sys
import tempfile
import textwrap
from collections.abc import Callable
from collections.abc import Sequence
from functools import partial
from typing import Any
from typing import NoReturn

from afn_keras import __version__
from afn_keras.backend import supported_backend
from afn_keras.terminal import print_any_character
from exports.errors import VerificationError
from pipelines.errors import InputError
from pipelines.errors import did_you_mean

_WIDTH = 79


class Parser(argparse.ArgumentParser):
    """An argument parser with help that fits a screen and one-line errors.

    Args:
        prog: name of the command.
        takes: its positional arguments, for the first line of the help.
        description: what it does, in a sentence.
        example: a command line to copy.
    """

    def __init__(
        self, prog: str, takes: str, description: str, example: str
    ) -> None:
        super().__init__(
            prog=prog,
            usage=f"{prog} {takes} [flags]".replace("  ", " "),
            description=textwrap.fill(description, _WIDTH),
            epilog=f"example:\n  {example}",
            formatter_class=partial(
                argparse.RawDescriptionHelpFormatter,
                max_help_position=23,
                width=_WIDTH,
            ),
            add_help=False,
            allow_abbrev=False,
        )
        # Not in a group of its own, as argparse has it.
        self.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
        self.add_argument(
            "--version",
            action="version",
            version=f"{prog} {__version__}",
            help=argparse.SUPPRESS,
        )
        self.add_argument(
            "--print-completion",
            metavar="SHELL",
            action=_PrintCompletion,
            help=argparse.SUPPRESS,
        )

    def add_runner(self, group: Any = None) -> None:
        """Adds `--runner`, with which unknown flags are passed to Beam.

        They are in `beam_flags` of the parsed options.

        Args:
            group: the group of arguments to add it to, if any.
        """
        (group or self).add_argument(
            "--runner",
            metavar="NAME",
            help="let Apache Beam distribute the work: DirectRunner, "
            "FlinkRunner, ...; its own flags follow last",
        )

    def parse_args(
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> argparse.Namespace:
        """Parses the command line; see `add_runner`."""
        options, rest = self.parse_known_args(args, namespace)
        if rest and not getattr(options, "runner", None):
            close = ""
            if rest[0].startswith("-"):
                flag = rest[0].split("=")[0]
                close = did_you_mean(flag, self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(rest)}{close}")
        options.beam_flags = rest
        return options

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(
                action,
                f"invalid choice: {value!r} (choose from "
                f"{', '.join(action.choices)})"
                f"{did_you_mean(str(value), action.choices)}",
            )

    def error(self, message: str) -> NoReturn:
        """Prints one line and exits with code 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


class _PrintCompletion(argparse.Action):
    """Prints a shell's completion script for a command and exits."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        import shtab

        if values not in shtab.SUPPORTED_SHELLS:
            parser.error(
                f"--print-completion: no {values!r}; there are "
                f"{', '.join(shtab.SUPPORTED_SHELLS)}"
            )
        print(shtab.complete(parser, values))
        parser.exit()


def run_command(
    parser: Parser,
    run: Callable[[argparse.Namespace], None],
    arguments: Sequence[str] | None,
) -> None:
    """Parses the command line and runs the command.

    On bad input, prints one line and exits with code 2; exits with 1 if an
    artifact fails its check, and with 130 on Ctrl-C.
    """
    print_any_character()
    try:
        run(parser.parse_args(arguments))
        sys.stdout.flush()
    except InputError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except VerificationError as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt as error:
        what = f"; {error}" if str(error) else ""
        parser.exit(130, f"\n{parser.prog}: interrupted{what}\n")
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe.
        forget_output()
    except OSError as error:
        reason = error.strerror or str(error)
        if "usable temporary directory" in reason:
            # Python's message lists every folder that it tried.
            parser.exit(
                2,
                f"{parser.prog}: no folder for temporary files can be "
                "written; set TMPDIR to one that can\n",
            )
        # Usually a full disk. Errors of standard output have no file name.
        forget_output()
        where = error.filename or "standard output"
        parser.exit(2, f"{parser.prog}: {where}: {reason}\n")


def import_tensorflow() -> None:
    """Imports TensorFlow without its startup messages about drivers.

    They are shown if TF_CPP_MIN_LOG_LEVEL is set below 3.

    Raises:
        InputError: if Keras, which TensorFlow imports, cannot be imported.
    """
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow treats any other value as 0.
    if not (level.isdecimal() and int(level) >= 3):
        with supported_backend(os.environ):
            import tensorflow  # noqa: F401

        return
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # Its C++ code logs before it reads that variable.
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            with supported_backend(os.environ):
                import tensorflow  # noqa: F401
        except InputError:
            raise
        except BaseException:
            captured.seek(0)
            os.write(shown, captured.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)


def forget_output() -> None:
    """Discards output that Python would try to print again at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
