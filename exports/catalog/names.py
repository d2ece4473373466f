"""Which images a job of Beam is asked for, without holding their names.

What is of this machine is listed once, by `list_images`, into a file of
the job; lists and patterns elsewhere are read by the workers.
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
from afn_keras.prediction import Named
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


class Asked(NamedTuple):
    """What the graph holds of the names.

    Attributes:
        lists: paths and URLs of lists.
        patterns: URLs with `*`, `?`, `[...]` or `**`.
    """

    lists: list[str]
    patterns: list[str]


def gather_names(
    names: Iterable[str], lines: Iterable[str], folder: str, spool: str
) -> Asked:
    """Sorts names by who reads them, and lists those of this machine.

    Args:
        names: as for `list_images`, and URLs of images, of folders
            with a `/` at their end, of patterns, of tables and of lists.
        lines: paths or URLs for `-`, one a line.
        folder: what paths are relative to.
        spool: where to write the list of all that the workers do not read
            themselves.

    Raises:
        InputError: if a name stands for nothing, as `list_images`.
    """
    asked = Asked([], [])
    here: list[str] = []
    for name in names:
        if is_url(name):
            check_url(name)
        place = resolve(name, folder)
        # Beam takes each name for a pattern, with no way to quote one.
        if is_list(name) and (is_url(name) or not _MAGIC.search(place)):
            if not first_match(place):
                raise InputError(f"{name}: there is no such list")
            asked.lists.append(place)
        elif is_url(name) and (name.endswith("/") or _MAGIC.search(name)):
            pattern = f"{name}**" if name.endswith("/") else name
            if not first_match(pattern):
                raise InputError(f"{name}: no file matches this")
            asked.patterns.append(pattern)
        else:
            here.append(name)
    if here:
        items = itertools.chain.from_iterable(_listed(n, lines) for n in here)
        write_lines(spool, map(_spooled, items))
        asked.lists.append(spool)
    return asked


class ReadNames(beam.PTransform):
    """Gives a line of a list of objects for each image, well mixed.

    Args:
        asked: what `gather_names` returned.
    """

    def __init__(self, asked: Asked) -> None:
        super().__init__()
        self._asked = asked

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection:
        """Applies it to the begin of a pipeline."""
        parts = []
        if self._asked.lists:
            parts.append(
                begin
                | "Lists" >> beam.Create(self._asked.lists, reshuffle=False)
                | "ReadLists"
                >> ReadAllFromText(
                    coder=coders.BytesCoder(),
                    compression_type=CompressionTypes.UNCOMPRESSED,
                    with_filename=True,
                )
                | "Lines" >> beam.FlatMap(_line).with_output_types(bytes)
            )
        if self._asked.patterns:
            parts.append(
                begin
                | "Patterns"
                >> beam.Create(self._asked.patterns, reshuffle=False)
                | "Match" >> fileio.MatchAll()
                | "Matched" >> beam.FlatMap(_matched).with_output_types(bytes)
            )
        return (
            parts
            | "Names" >> beam.Flatten(pipeline=begin.pipeline)
            # Names are few bytes; what follows is work for all.
            | "Share" >> beam.Reshuffle()
        )


def parse_asked(line: bytes) -> Named:
    """The image that a line of `ReadNames` stands for.

    Raises:
        InputError: with what was wrong in the list that it comes from.
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
    named = parse_line(line, objects=False)
    if named:
        yield to_line(named)


def _matched(found: FileMetadata) -> Iterator[bytes]:
    name = posixpath.basename(found.path)
    if is_image_name(name):
        yield to_line(Named(found.path))


def _spooled(item: Named | InputError) -> bytes:
    if isinstance(item, InputError):
        return json.dumps({"error": str(item)}).encode()
    return to_line(item)


def _listed(name: str, lines: Iterable[str]) -> Iterator[Named | InputError]:
    if name == "-":
        stripped = (line.rstrip("\r\n") for line in lines)
        yield from (Named(line) for line in stripped if line)
    elif name.lower().endswith(".csv"):
        yield from _in_table(name)
    elif is_url(name):
        yield Named(name)
    else:
        for item in list_images([name]):
            if isinstance(item, InputError):
                yield item
            else:
                yield Named(str(item.image), item.box)


def _in_table(name: str) -> Iterator[Named | InputError]:
    """Images of a table, relative to it, here or elsewhere."""
    if not is_url(name):
        for item in read_table(Path(name)):
            if isinstance(item, Named) and not is_url(item.image):
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
