"""Converts the annotation table to records, and lists every problem."""

import contextlib
import sys
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from tqdm import tqdm

from pipelines.annotations import SPLITS
from pipelines.annotations import Annotations
from pipelines.annotations import without_unseen_landmarks
from pipelines.errors import InputError
from pipelines.images import ImageStore
from pipelines.parallel import WorkerDiedError
from pipelines.parallel import ordered_map
from pipelines.problems import Problem
from pipelines.records.encode import Prepared
from pipelines.records.encode import prepare_rows
from pipelines.records.manifest import Records
from pipelines.records.manifest import describe_records
from pipelines.records.manifest import list_problems
from pipelines.records.manifest import load_records
from pipelines.records.manifest import versions
from pipelines.records.shard_plan import Shard
from pipelines.records.shard_plan import fingerprint
from pipelines.records.shard_plan import plan_shards
from pipelines.records.shard_plan import rows_of
from pipelines.records.shard_plan import stamp_images
from pipelines.records.shard_writer import InterruptedConversionError
from pipelines.records.shard_writer import ShardFiles
from pipelines.records.shard_writer import UnfinishedRecords

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

# A process takes half a second to start, too long for fewer rows.
_ROWS_A_WORKER = 1000


def write_records(
    annotations: Annotations,
    output: Path,
    splits: Sequence[str] = SPLITS,
    progress: bool = False,
    workers: int = 1,
    strict: bool = False,
    beam: "PipelineOptions | None" = None,
) -> Records:
    """Converts an annotation table to records.

    Landmarks that are never visible in the train split are left out of the
    vocabulary.

    Problems of an image or its labels are listed in `problems.csv` and fixed
    by the rule of their kind; they never stop the job. The bytes depend
    neither on `workers` nor on `beam`, nor on whether the job was killed and
    resumed: finished shards stay in `OUTPUT.partial/` until all are done.

    Args:
        annotations: annotations from a reader.
        output: folder to make; it must be new or empty.
        splits: splits to convert.
        progress: show a progress bar.
        workers: processes to read and check images in. With more than one,
            the caller's script must be importable, as `multiprocessing`
            requires.
        strict: stop at the first problem instead.
        beam: options of Apache Beam (from `pipelines.beam.job_options`), whose
            workers then write the shards, instead of `workers`. All machines
            must see `output` and the images at the same paths.

    Raises:
        InputError: if `output` is not empty or cannot be written, no image of
            a split with rows can be used, or there is any problem and
            `strict` is set.
    """
    annotations = without_unseen_landmarks(annotations)
    _stop_at(annotations.problems if strict else [])
    table = annotations.table
    if not table["split"].isin(splits).any():
        raise InputError(
            f"{annotations.folder}: no image of the split "
            f"{' or '.join(splits)} is named in the annotations"
        )
    with UnfinishedRecords(output) as unfinished:
        stamps = stamp_images(annotations, splits)
        shards = plan_shards(annotations, stamps[:, 0], splits)
        made_of = fingerprint(
            annotations,
            stamps,
            *(shard.name for shard in shards),
            *map(str, versions().values()),
        )
        restarted = unfinished.resume(made_of)
        if restarted and progress:
            print(
                "data or options changed since the run that was interrupted; "
                "starting over",
                file=sys.stderr,
            )
        notes = _write_shards(
            *(annotations, shards, unfinished.files),
            *(progress, workers, strict, beam),
        )
        describe_records(unfinished.records, annotations, shards, notes)
        unfinished.publish()
    return load_records(output)


def _write_shards(
    annotations: Annotations,
    shards: list[Shard],
    files: ShardFiles,
    progress: bool,
    workers: int,
    strict: bool,
    beam: "PipelineOptions | None",
) -> list[dict[str, Any]]:
    """Writes the shards that are not finished; returns the notes on all."""
    notes = [files.finished(shard.name) for shard in shards]
    missing = [
        shard for shard, note in zip(shards, notes, strict=True) if note is None
    ]
    total = sum(len(shard.rows) for shard in shards)
    left = sum(len(shard.rows) for shard in missing)
    if progress and left < total:
        print(
            f"resuming with {len(missing)} of {len(shards)} shards",
            file=sys.stderr,
        )
    bar = tqdm(
        total=total,
        initial=total - left,
        desc="converting",
        unit=" images",
        disable=not progress,
    )

    def watch(rows: int, problems: Iterable[Any]) -> None:
        bar.update(rows)
        if strict:
            _stop_at(list_problems(annotations, problems))

    if beam is None or not missing:
        workers = min(workers, 1 + left // _ROWS_A_WORKER)
        written = _write_here(annotations, missing, files, workers, watch)
    else:
        from pipelines.records.convert_with_beam import write_shards

        written = write_shards(annotations, missing, files, beam, watch)
    with bar, contextlib.closing(written):
        for index, shard in enumerate(shards):
            if notes[index] is None:
                notes[index] = next(written)
            elif strict:
                _stop_at(list_problems(annotations, notes[index]["problems"]))
            if shard is shards[-1] or shards[index + 1].split != shard.split:
                _check_split(annotations, shard.split, shards, notes)
    return notes


def _write_here(
    annotations: Annotations,
    shards: list[Shard],
    files: ShardFiles,
    workers: int,
    watch: Callable[[int, Iterable[Any]], None],
) -> Iterator[dict[str, Any]]:
    """Writes shards in order, with processes of this machine.

    Yields:
        The notes on each shard; `watch` is called more often, with the number
        of rows and their problems.
    """
    store = ImageStore(annotations.folder, annotations.follow_links)
    prepare = partial(prepare_rows, store)
    tasks = (
        rows_of(annotations, rows) for shard in shards for rows in shard.tasks()
    )

    def parts(shard: Shard, results: Iterator[Prepared]) -> Iterator[Prepared]:
        for rows in shard.tasks():
            prepared = _next(results, annotations)
            watch(len(rows), prepared.problems)
            yield prepared

    with ordered_map(prepare, tasks, workers) as results:
        for shard in shards:
            yield files.write(shard.name, parts(shard, results))


def _next(results: Iterator[Prepared], annotations: Annotations) -> Prepared:
    try:
        return next(results)
    except WorkerDiedError as error:
        raise InterruptedConversionError(
            f"{annotations.folder}: a process that converts was killed, "
            "perhaps for memory; run it again to resume"
        ) from error


def _stop_at(problems: Sequence[Problem]) -> None:
    for problem in problems:
        raise InputError(f"{problem}; without --strict: {problem.action}")


def _check_split(
    annotations: Annotations,
    split: str,
    shards: list[Shard],
    notes: list[dict[str, Any]],
) -> None:
    """Raises InputError if no image of a split became a record."""
    made = [
        note
        for shard, note in zip(shards, notes, strict=True)
        if shard.split == split
    ]
    if any(note["images"] for note in made):
        return
    found = [problem for note in made for problem in note["problems"]]
    first = list_problems(annotations, found)[0]
    raise InputError(
        f"{annotations.folder}: no image of the split {split} can be used; "
        f"the first is {first.image}: {first.kind.value} ({first.detail})"
    )
