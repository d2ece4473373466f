"""Converts with workers of Apache Beam, shard by shard.

Only the names of shards go through Beam. Images, rows of each shard, and shards
are in folders that all machines see. So it does no harm if Beam writes a shard
twice, or by a worker that it has given up, and an interrupted job can resume,
with or without Beam.
"""

import os
import platform
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from functools import partial
from typing import Any

import apache_beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.annotations import Annotations
from pipelines.beam import JobFailedError
from pipelines.beam import run_job
from pipelines.images import ImageStore
from pipelines.records.encode import Prepared
from pipelines.records.encode import prepare_rows
from pipelines.records.manifest import versions
from pipelines.records.shard_plan import Shard
from pipelines.records.shard_plan import load_rows
from pipelines.records.shard_plan import save_rows
from pipelines.records.shard_writer import InterruptedConversionError
from pipelines.records.shard_writer import ShardFiles

# Time after which NFS shows files of another machine.
_SECONDS_TO_APPEAR = 90


def write_shards(
    annotations: Annotations,
    shards: list[Shard],
    files: ShardFiles,
    options: PipelineOptions,
    watch: Callable[[int, Iterable[Any]], None],
) -> Iterator[dict[str, Any]]:
    """Writes shards with workers of Beam.

    Args:
        annotations: annotations that the shards refer to.
        shards: shards to write.
        files: folders to write them to.
        options: options from `pipelines.beam.job_options`.
        watch: called for each finished shard with its number of rows and
            problems.

    Yields:
        The notes on each shard, in order, once all are finished.

    Raises:
        InterruptedConversionError: if the job fails or does not write them.
    """
    for shard in shards:
        save_rows(files, annotations, shard)
    waiting = {shard.name: shard for shard in shards}
    notes: dict[str, dict[str, Any]] = {}

    def look() -> None:
        there = set(os.listdir(files.records))
        for name in sorted(there & set(waiting)):
            if note := files.finished(name):
                notes[name] = note
                watch(len(waiting.pop(name).rows), note["problems"])

    folder = annotations.folder.absolute()
    store = ImageStore(folder, annotations.follow_links)
    write = partial(write_one, files, store, versions())

    def build(pipeline: apache_beam.Pipeline) -> None:
        (
            pipeline
            | "shards" >> apache_beam.Create([*waiting])
            # Otherwise one worker would write all of them.
            | "share out" >> apache_beam.Reshuffle()
            | "write" >> apache_beam.Map(write)
        )

    try:
        run_job(options, build, look)
    except JobFailedError as error:
        raise InterruptedConversionError(str(error)) from error
    deadline = time.monotonic() + _SECONDS_TO_APPEAR
    look()
    while waiting:
        if time.monotonic() > deadline:
            raise InterruptedConversionError(
                f"{files.output}: the job is done, but {min(waiting)} is not "
                "there; its folder must be one that all workers see"
            )
        time.sleep(1)
        look()
    for shard in shards:
        yield notes[shard.name]


def write_one(
    files: ShardFiles,
    store: ImageStore,
    made_with: dict[str, Any],
    name: str,
) -> None:
    """Writes a shard, in a worker.

    Args:
        files: folders of the shards.
        store: store of the images.
        made_with: versions of packages that the bytes depend on.
        name: file name of the shard.

    Raises:
        InterruptedConversionError: if this machine has other versions, or does
            not see the folders.
    """
    if versions() != made_with:
        raise InterruptedConversionError(
            f"{platform.node()}: has other packages than the machine that "
            f"started the job, {versions()} and not {made_with}; install the "
            "same ones, then run it again"
        )
    if files.finished(name):
        return
    try:
        rows = [*load_rows(files, name)]
    except OSError as error:
        raise InterruptedConversionError(
            f"{files.output}: {platform.node()} does not see the folder beside "
            f"it ({error.strerror}); choose one that all workers see"
        ) from error
    seen = [row["image"] for row in rows if row["bytes"]]
    # One image shows whether this machine sees the same folder.
    if seen and not store.size(seen[0]):
        raise InterruptedConversionError(
            f"{store.folder}: {platform.node()} does not see {seen[0]} in it; "
            "the images must lie where all workers see them"
        )
    files.write(name, _prepare(store, rows))


def _prepare(store: ImageStore, rows: list[dict]) -> Iterator[Prepared]:
    for row in rows:
        yield prepare_rows(store, [row])
