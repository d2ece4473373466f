"""Lists the input images of a Beam job, without holding them in memory.

Local files are listed once, by `list_images`, into a file of the job; lists
and patterns elsewhere are read by the workers.
"""

import itertools
import json
import posixpath
import re
import tempfile
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
from apache_beam import coders
from apache_beam.io import fileio
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.textio import ReadAllFromText

from afn_keras.prediction import TEXT
from afn_keras.prediction import ListEntry
from afn_keras.prediction import is_image_name
from afn_keras.prediction import is_list
from afn_keras.prediction import list_images
from afn_keras.prediction import parse_line
from afn_keras.prediction import read_table
from afn_keras.prediction import to_line
from pipelines.beam import check_url
from pipelines.beam import first_match
from pipelines.beam import is_url
from pipelines.beam import one_line
from pipelines.beam import read_file
from pipelines.beam import resolve
from pipelines.beam import write_lines
from pipelines.errors import InputError

_MAGIC = re.compile(r"[*?\[]")


class InputSources(NamedTuple):
    """Sources of names that the workers read.

    Attributes:
        lists: paths and URLs of lists.
        patterns: URLs with `*`, `?`, `[...]` or `**`.
    """

    lists: list[str]
    patterns: list[str]


def gather_names(
    names: Iterable[str], lines: Iterable[str], folder: str, spool: str
) -> InputSources:
    """Lists local images into a file, and returns what workers have to read.

    Args:
        names: as for `list_images`, and URLs of images, of folders with a
            trailing `/`, of patterns, of tables and of lists.
        lines: paths or URLs for `-`, one per line.
        folder: folder that paths are relative to.
        spool: the file for the list of all images that the workers do not
            list themselves.

    Raises:
        InputError: if a name refers to nothing, as `list_images`.
    """
    sources = InputSources([], [])
    local: list[str] = []
    for name in names:
        if is_url(name):
            check_url(name)
        place = resolve(name, folder)
        # Beam treats each name as a pattern, which cannot be escaped.
        if is_list(name) and (is_url(name) or not _MAGIC.search(place)):
            if not first_match(place):
                raise InputError(f"{name}: there is no such list")
            sources.lists.append(place)
        elif is_url(name) and (name.endswith("/") or _MAGIC.search(name)):
            pattern = f"{name}**" if name.endswith("/") else name
            if not first_match(pattern):
                raise InputError(f"{name}: no file matches this")
            sources.patterns.append(pattern)
        else:
            local.append(name)
    if local:
        items = itertools.chain.from_iterable(_listed(n, lines) for n in local)
        write_lines(spool, map(_to_spool, items))
        sources.lists.append(spool)
    return sources


class ReadNames(beam.PTransform):
    """Yields a line of a list of objects for each image, shuffled.

    Args:
        sources: returned by `gather_names`.
    """

    def __init__(self, sources: InputSources) -> None:
        super().__init__()
        self._sources = sources

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection:
        """Applies it to the beginning of a pipeline."""
        parts = []
        if self._sources.lists:
            parts.append(
                begin
                | "Lists" >> beam.Create(self._sources.lists, reshuffle=False)
                | "ReadLists"
                >> ReadAllFromText(
                    coder=coders.BytesCoder(),
                    compression_type=CompressionTypes.UNCOMPRESSED,
                    with_filename=True,
                )
                | "Lines" >> beam.FlatMap(_line).with_output_types(bytes)
            )
        if self._sources.patterns:
            parts.append(
                begin
                | "Patterns"
                >> beam.Create(self._sources.patterns, reshuffle=False)
                | "Match" >> fileio.MatchAll()
                | "Matched" >> beam.FlatMap(_matched).with_output_types(bytes)
            )
        return (
            parts
            | "Names" >> beam.Flatten(pipeline=begin.pipeline)
            # Names are small; distributes the work that follows.
            | "Share" >> beam.Reshuffle()
        )


def parse_input(line: bytes) -> ListEntry:
    """Parses a line of `ReadNames`.

    Raises:
        InputError: the error of the list that the line comes from.
    """
    with_error = json.loads(line) if line.startswith(b'{"error"') else {}
    if "error" in with_error:
        raise InputError(with_error["error"])
    return parse_line(line, objects=True)


def _line(item: tuple[str, bytes]) -> Iterator[bytes]:
    path, line = item
    if not path.lower().endswith(TEXT):
        if line.strip():
            yield line
        return
    entry = parse_line(line, objects=False)
    if entry:
        yield to_line(entry)


def _matched(found: FileMetadata) -> Iterator[bytes]:
    name = posixpath.basename(found.path)
    if is_image_name(name):
        yield to_line(ListEntry(found.path))


def _to_spool(item: ListEntry | InputError) -> bytes:
    if isinstance(item, InputError):
        return json.dumps({"error": str(item)}).encode()
    return to_line(item)


def _listed(
    name: str, lines: Iterable[str]
) -> Iterator[ListEntry | InputError]:
    if name == "-":
        stripped = (line.rstrip("\r\n") for line in lines)
        yield from (ListEntry(line) for line in stripped if line)
    elif name.lower().endswith(".csv"):
        yield from _in_table(name)
    elif is_url(name):
        yield ListEntry(name)
    else:
        for item in list_images([name]):
            if isinstance(item, InputError):
                yield item
            else:
                yield ListEntry(str(item.image), item.box)


def _in_table(name: str) -> Iterator[ListEntry | InputError]:
    """Reads the images of a table, relative to it, local or at a URL."""
    if not is_url(name):
        for item in read_table(Path(name)):
            if isinstance(item, ListEntry) and not is_url(item.image):
                path = Path(name).parent / item.image
                item = item._replace(image=str(path))
            yield item
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, posixpath.basename(name))
        try:
            copy.write_bytes(read_file(name))
        except Exception as error:
            raise InputError(
                f"{name}: cannot be read ({one_line(error)})"
            ) from error
        try:
            for item in read_table(copy):
                if isinstance(item, InputError):
                    yield InputError(str(item).replace(str(copy), name))
                    continue
                if not is_url(item.image):
                    url = f"{posixpath.dirname(name)}/{item.image}"
                    item = item._replace(image=url)
                yield item
        except InputError as error:
            raise InputError(str(error).replace(str(copy), name)) from error
