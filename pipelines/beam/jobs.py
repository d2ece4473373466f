"""Parses Beam's flags, runs a job, and reports its errors.

Everything that depends on Beam's behavior is here. Beam is installed only with
the extra `beam`, and takes seconds to import.
"""

import contextlib
import io
import logging
import re
import threading
from collections.abc import Callable
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.beam.worker import Lifeline
from pipelines.errors import InputError

if TYPE_CHECKING:
    from apache_beam import Pipeline
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners import PipelineRunner

# DirectRunner stands for several runners. The first one it tries is a program
# in Go, which it downloads and which ignores `--direct_num_workers`.
_LOCAL = ("direct", "fnapi")

# One of this project's errors in the last line of a traceback, to which Beam
# adds the step. Some runners pass on errors only as text.
_OURS = re.compile(
    r"^(?:pipelines|afn_keras|exports)\.[\w.]*?(\w+Error): "
    r"(.*?)(?: \[while running .*)?$",
    re.MULTILINE,
)
_STEP = re.compile(r" \[while running .*", re.DOTALL)

# The cause in an error of gRPC.
_DETAILS = re.compile(r'^\s*details = "(.+)"$', re.MULTILINE)

_LONGEST = 300


class JobFailedError(InputError):
    """A job of Beam that failed, but not because of the data; run it again."""


def job_options(runner: str, flags: Sequence[str]) -> "PipelineOptions":
    """Parses Beam's options from a command line.

    Args:
        runner: Beam's name of the runner.
        flags: flags of Beam and of the runner.

    Raises:
        InputError: if Beam is not installed, or does not know the runner or
            one of the flags.
    """
    _keep_quiet()
    try:
        from apache_beam.options.pipeline_options import DirectOptions
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise InputError(
            f"--runner {runner}: needs Apache Beam ({error}); "
            "pip install 'afn-keras[beam]'"
        ) from error
    _find_runner(runner)
    errors = io.StringIO()
    unknown: list[str] = []
    try:
        with contextlib.redirect_stderr(errors):
            options = PipelineOptions([f"--runner={runner}", *flags])
            options.get_all_options(
                add_extra_args_fn=lambda parser: unknown.extend(
                    parser.parse_known_args(list(flags))[1]
                )
            )
    except SystemExit as error:
        # From argparse: `PROGRAM: error: argument --FLAG: REASON`.
        reason = errors.getvalue().strip().rpartition(" error: ")[2]
        raise InputError(
            f"--runner {runner}: {_line(reason)}; see Beam's documentation"
        ) from error
    if unknown:
        raise InputError(
            f"{' '.join(unknown)}: no such flag, here or in Beam; "
            "those of Beam come last"
        )
    direct = options.view_as(DirectOptions)
    if direct.direct_num_workers != 1 and (
        direct.direct_running_mode == "in_memory"
    ):
        # Beam would warn that several workers need this mode.
        direct.direct_running_mode = "multi_processing"
    return options


def run_job(
    options: "PipelineOptions",
    build: Callable[["Pipeline"], None],
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Runs a pipeline and waits for its end.

    Beam logs to the caller's handlers, if there are any.

    Args:
        options: options from `job_options`.
        build: function that applies the transforms to a pipeline.
        meanwhile: called about twice a second while the job runs.

    Raises:
        JobFailedError: if the job failed or one of its workers was killed.
        InputError: if a step of the pipeline raised it, with its message.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import StandardOptions
    from apache_beam.runners.runner import PipelineState

    runner = options.view_as(StandardOptions).runner
    outcome: list[BaseException] = []
    results: list[beam.runners.runner.PipelineResult] = []

    with Lifeline() as line:

        def run() -> None:
            try:
                pipeline = beam.Pipeline(
                    runner=_make_runner(options, line.command), options=options
                )
                build(pipeline)
                results.append(pipeline.run())
                state = results[0].wait_until_finish()
                if state not in (None, PipelineState.DONE):
                    raise RuntimeError(f"it ended as {state}")
            except BaseException as error:
                outcome.append(error)

        # Beam may wait forever after an error, so it runs in a daemon thread,
        # for which neither this thread nor Python waits.
        job = threading.Thread(target=run, name="beam job", daemon=True)
        job.start()
        try:
            while job.is_alive():
                job.join(0.5)
                meanwhile()
                if line.lost.is_set():
                    # The error that ended the worker may arrive later.
                    job.join(2)
                    break
        except BaseException:
            for result in results:
                with contextlib.suppress(Exception):
                    result.cancel()
            raise
        if outcome or job.is_alive():
            error = outcome[0] if outcome else None
            raise _one_line_error(error, runner, line.lost.is_set()) from error


def _keep_quiet() -> None:
    """Keeps Beam from logging to the terminal."""
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.NullHandler())


def _find_runner(name: str) -> None:
    """Raises InputError unless Beam has such a runner."""
    from apache_beam.options.pipeline_options import StandardOptions
    from apache_beam.runners.runner import create_runner

    try:
        create_runner(name)
    except (ValueError, AttributeError) as error:
        names = [
            known
            for known in StandardOptions.KNOWN_RUNNER_NAMES
            if not known.startswith(("Test", "BundleBased", "Switching"))
        ]
        raise InputError(
            f"--runner {name}: no such runner; choose one of {', '.join(names)}"
        ) from error
    except ImportError as error:
        raise InputError(f"--runner {name}: {_line(str(error))}") from error


def _make_runner(
    options: "PipelineOptions", worker: str
) -> "PipelineRunner | str":
    """Returns the runner of the options, or for this machine one of ours.

    Its workers end when their job does; see `pipelines.beam.worker`.
    """
    from apache_beam.options.pipeline_options import DirectOptions
    from apache_beam.options.pipeline_options import StandardOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner
    from apache_beam.transforms.environments import SubprocessSDKEnvironment

    name = options.view_as(StandardOptions).runner
    if name.lower().removesuffix("runner") not in _LOCAL:
        return name
    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode != "multi_processing":
        return FnApiRunner()
    # Only in another mode does it keep the given environment.
    direct.direct_running_mode = "in_memory"
    return FnApiRunner(
        SubprocessSDKEnvironment.from_command_string(command_string=worker)
    )


def _one_line_error(
    error: BaseException | None, runner: str, killed: bool
) -> InputError:
    """Converts an error of a job to one with a one-line message.

    Args:
        error: the error that Beam raised, if any.
        runner: name of the runner.
        killed: whether a worker was killed, which Beam reports in many ways.
    """
    text = str(error)
    if isinstance(error, InputError):
        text = f"{type(error).__module__}.{type(error).__name__}: {text}"
    if found := _OURS.findall(text):
        name, message = found[-1]
        kind = InputError if name == "InputError" else JobFailedError
        return kind(message)
    if killed:
        return JobFailedError(
            f"--runner {runner}: a worker was killed, perhaps for memory; "
            "run it again to resume"
        )
    return JobFailedError(
        f"--runner {runner}: the job failed: {_line(text) or repr(error)}"
    )


def _line(text: str) -> str:
    """Returns the last line of a message or traceback, which has the cause."""
    if details := _DETAILS.search(text):
        text = details[1]
    lines = [line for line in _STEP.sub("", text).splitlines() if line.strip()]
    return lines[-1].strip()[:_LONGEST] if lines else ""
