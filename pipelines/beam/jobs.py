"""Work for Apache Beam: its flags, and a job from its start to its end.

Everything that knows how Beam behaves is here. It is installed with the extra
`beam` only, and takes seconds to import.
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

# DirectRunner is a name for several. The first that it tries is a program in
# Go, which it downloads and which knows nothing of `--direct_num_workers`.
_LOCAL = ("direct", "fnapi")

# An error of ours, as the last line of a traceback, to which Beam adds the step
# that it came from; some runners only have it as text.
_OURS = re.compile(
    r"^(?:pipelines|afn_keras|exports)\.[\w.]*?(\w+Error): "
    r"(.*?)(?: \[while running .*)?$",
    re.MULTILINE,
)
_STEP = re.compile(r" \[while running .*", re.DOTALL)

# What matters of an error of gRPC.
_DETAILS = re.compile(r'^\s*details = "(.+)"$', re.MULTILINE)

_LONGEST = 300


class JobFailedError(InputError):
    """A job of Beam failed, by no fault of the data; it may be run again."""


def job_options(runner: str, flags: Sequence[str]) -> "PipelineOptions":
    """Beam's options from a command line.

    Args:
        runner: which engine is to do the work, as Beam names it.
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
    said = io.StringIO()
    unknown: list[str] = []
    try:
        with contextlib.redirect_stderr(said):
            options = PipelineOptions([f"--runner={runner}", *flags])
            options.get_all_options(
                add_extra_args_fn=lambda parser: unknown.extend(
                    parser.parse_known_args(list(flags))[1]
                )
            )
    except SystemExit as error:
        # As argparse says it: `PROGRAM: error: argument --FLAG: REASON`.
        reason = said.getvalue().strip().rpartition(" error: ")[2]
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
        # Beam would warn that they do not work side by side.
        direct.direct_running_mode = "multi_processing"
    return options


def run_job(
    options: "PipelineOptions",
    build: Callable[["Pipeline"], None],
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Runs a pipeline and waits for its end.

    What Beam logs goes where the caller's log goes, and nowhere if there is
    none.

    Args:
        options: what `job_options` returned.
        build: applies the transforms to a pipeline.
        meanwhile: called about twice a second while the job runs.

    Raises:
        JobFailedError: if the job failed or one of its workers was killed.
        InputError: if a step of the pipeline raised it; its own message.
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

        # Beam waits for what may never come; this thread does not. Nor does
        # Python for the other one.
        job = threading.Thread(target=run, name="beam job", daemon=True)
        job.start()
        try:
            while job.is_alive():
                job.join(0.5)
                meanwhile()
                if line.lost.is_set():
                    # An error that ended the worker may be on its way.
                    job.join(2)
                    break
        except BaseException:
            for result in results:
                with contextlib.suppress(Exception):
                    result.cancel()
            raise
        if outcome or job.is_alive():
            error = outcome[0] if outcome else None
            raise _in_a_line(error, runner, line.lost.is_set()) from error


def _keep_quiet() -> None:
    """Keeps Beam from setting up a log on the terminal."""
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
    """The runner that the options name; for this machine, one that can end."""
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
    # In any other mode it keeps the environment that it is given.
    direct.direct_running_mode = "in_memory"
    return FnApiRunner(
        SubprocessSDKEnvironment.from_command_string(command_string=worker)
    )


def _in_a_line(
    error: BaseException | None, runner: str, killed: bool
) -> InputError:
    """What a person should read of an error that a job failed with.

    Args:
        error: what Beam raised, if it did.
        runner: its name.
        killed: whether a worker is gone, for which Beam has many words.
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
    """The last line of a message or traceback, where the cause is."""
    if details := _DETAILS.search(text):
        text = details[1]
    lines = [line for line in _STEP.sub("", text).splitlines() if line.strip()]
    return lines[-1].strip()[:_LONGEST] if lines else ""
