"""The lines of a benchmark's text files, however they were written."""

import dataclasses
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.annotations import UNKNOWN
from pipelines.errors import InputError
from pipelines.problems import Kind
from pipelines.problems import ProblemLog
from pipelines.special_files import check_not_special

# The largest file of the benchmark has 900 MB; a chunk of it at a time.
_CHUNK = 8 << 20

_BOM = b"\xef\xbb\xbf"


def read_lines(
    path: Path, log: ProblemLog
) -> Iterator[list[tuple[int, bytes]]]:
    """Reads a text file in chunks of lines.

    A byte order mark is skipped, and it, Windows line ends and tabs are
    noted, each once. Whoever splits at blanks takes tabs and a carriage
    return for blanks.

    Yields:
        Lists of line number, from 1, and line, without its line feed.

    Raises:
        InputError: if the file cannot be read.
    """
    check_not_special(path)
    number, rest, noted = 1, b"", set()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                if number == 1 and not rest and chunk.startswith(_BOM):
                    chunk = chunk.removeprefix(_BOM)
                    log.note(Kind.BOM, "", f"{path}, line 1", "UTF-8")
                lines = (rest + chunk).split(b"\n")
                rest = lines.pop()
                _note_bytes(path, number, lines, chunk, noted, log)
                yield list(enumerate(lines, number))
                number += len(lines)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); "
            "copy the file into place"
        ) from error
    if rest:
        _note_bytes(path, number, [rest], rest, noted, log)
        yield [(number, rest)]


def read_counted_lines(
    path: Path, log: ProblemLog
) -> Iterator[list[tuple[int, bytes]]]:
    """Reads a file of a count, a header and rows; yields the rows.

    Blank lines are skipped. A count that is not the number of rows is noted.

    Raises:
        InputError: if the file cannot be read or does not begin with a count.
    """
    counted, rows = None, 0
    for lines in read_lines(path, log):
        if counted is None:
            counted = _count(path, lines[0][1] if lines else b"")
        lines = [(n, line) for n, line in lines if n > 2 and line.strip()]
        rows += len(lines)
        yield lines
    if counted is None:
        counted = _count(path, b"")
    if counted != rows:
        log.note(
            Kind.COUNT_LINE,
            "",
            f"{path}, line 1",
            f"says {counted} rows, but {rows} follow",
        )


def read_plain_lines(path: Path, log: ProblemLog) -> list[bytes]:
    """All lines of a file without a header, but for blank ones at its end.

    Raises:
        InputError: if the file cannot be read.
    """
    lines = [line for chunk in read_lines(path, log) for _, line in chunk]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _count(path: Path, line: bytes) -> int:
    # More digits than these are no count that a file could live up to.
    if not line.strip().isdigit() or len(line) > 18:
        raise InputError(
            f"{path}, line 1: should be the number of rows, "
            "with the names of the columns in line 2"
        )
    return int(line)


def _note_bytes(
    path: Path,
    number: int,
    lines: list[bytes],
    chunk: bytes,
    noted: set[Kind],
    log: ProblemLog,
) -> None:
    for kind, byte in ((Kind.CRLF, b"\r"), (Kind.TABS, b"\t")):
        if kind in noted or byte not in chunk:
            continue
        for offset, line in enumerate(lines):
            if byte in line:
                noted.add(kind)
                source = f"{path}, line {number + offset}"
                log.note(kind, "", source, "first here")
                break


@dataclasses.dataclass
class Rows:
    """What one file says, row by row.

    Args:
        path: the file.
        images: N images, as named there.
        lines: (N,) line numbers.
        values: (N, K); of a row that does not parse, anything.
        good: (N,) bool, which rows parse.
    """

    path: Path
    images: list[str]
    lines: np.ndarray
    values: np.ndarray
    good: np.ndarray

    def source(self, row: int) -> str:
        """File and line of a row, for a message."""
        return f"{self.path}, line {self.lines[row]}"


def read_rows(
    path: Path,
    log: ProblemLog,
    widths: Collection[int],
    words: Sequence[str] = (),
) -> Rows:
    """Reads rows of an image and numbers, or words.

    Args:
        path: a file that begins with a count and a header.
        log: where rows that do not parse are noted.
        widths: how many values a row may have; K is the largest of them, and
            what a shorter row lacks is NaN.
        words: the only values there may be, where they are no numbers; the
            array has their places in it.
    """
    parts = []
    for chunk in read_counted_lines(path, log):
        split = [line.split(None, 1) for _, line in chunk]
        images = [decode(line[0]) for line in split]
        numbers = [number for number, _ in chunk]
        values = [line[1] if len(line) > 1 else b"" for line in split]
        parts.append(_parse(path, images, numbers, values, widths, words, log))
    return _join(path, parts)


def read_ordered_rows(
    path: Path, images: list[str], log: ProblemLog, widths: Collection[int]
) -> Rows:
    """Reads rows of nothing but numbers, in the order of `images`.

    Args:
        path: a file without a header.
        images: the image of each row.
        log: where rows that do not parse are noted.
        widths: how many numbers a row may have, as in `read_rows`.

    Raises:
        InputError: if the file cannot be read or has not a row an image.
    """
    lines = read_plain_lines(path, log)
    if len(lines) != len(images):
        raise InputError(
            f"{path}: has {len(lines)} rows for {len(images)} images; rows and "
            "images belong together by their order alone: copy the file again"
        )
    numbers = list(range(1, len(lines) + 1))
    return _parse(path, images, numbers, lines, widths, (), log)


def _parse(
    path: Path,
    images: list[str],
    numbers: list[int],
    lines: list[bytes],
    widths: Collection[int],
    words: Sequence[str],
    log: ProblemLog,
) -> Rows:
    parse = float
    expected = " or ".join(map(str, sorted(widths)))
    expected += " number" if expected == "1" else " numbers"
    if words:
        parse = {word.encode(): i for i, word in enumerate(words)}.__getitem__
        expected = f"one of {', '.join(words)}"
    values = np.full((len(lines), max(widths)), np.nan, np.float32)
    lengths = np.zeros(len(lines), int)
    # What overflows is infinite, and so does not parse.
    with np.errstate(over="ignore"):
        for row, line in enumerate(lines):
            try:
                parsed = list(map(parse, line.split()))
            except (ValueError, KeyError):
                continue
            if len(parsed) in widths:
                values[row, : len(parsed)] = parsed
                lengths[row] = len(parsed)
    good = (lengths > 0) & (np.isfinite(values).sum(1) == lengths)
    for row in np.flatnonzero(~good):
        log.note(
            Kind.ROW_UNREADABLE,
            images[row],
            f"{path}, line {numbers[row]}",
            f"should be {expected}, is {_show(lines[row].split())!r}",
        )
    return Rows(path, images, np.array(numbers, np.int64), values, good)


def read_labels(path: Path, log: ProblemLog, names: tuple[str, ...]) -> Rows:
    """Reads rows of an image and one of 1, -1 and 0 for each of `names`.

    Returns:
        Rows whose values are int8: 1 for 1, 0 for -1, `UNKNOWN` for 0, as
        the benchmark means them, and `UNKNOWN` for anything else.
    """
    parts = []
    for chunk in read_counted_lines(path, log):
        images, rows = [], []
        for _, line in chunk:
            image, *rest = line.split(None, 1)
            images.append(decode(image))
            # With one letter for -1, a row of nothing but 1, -1 and 0 is as
            # long as it has values: no value need be looked at here.
            tokens = rest[0].replace(b"-1", b"n").split() if rest else []
            row = b"".join(tokens)
            if len(tokens) != len(row):
                tokens = rest[0].split()
                row = b"".join(_LETTERS.get(token, b"?") for token in tokens)
            rows.append(row)
        parts.append(_parse_labels(path, images, chunk, rows, names, log))
    return _join(path, parts)


def _parse_labels(
    path: Path,
    images: list[str],
    chunk: list[tuple[int, bytes]],
    rows: list[bytes],
    names: tuple[str, ...],
    log: ProblemLog,
) -> Rows:
    numbers = np.array([number for number, _ in chunk], np.int64)
    good = np.array([len(row) == len(names) for row in rows], bool)
    for row in np.flatnonzero(~good):
        log.note(
            Kind.ROW_UNREADABLE,
            images[row],
            f"{path}, line {numbers[row]}",
            f"{len(rows[row])} values for {len(names)} attributes",
        )
        rows[row] = b"0" * len(names)
    letters = np.frombuffer(bytearray().join(rows), np.uint8)
    labels = _LABELS[letters].reshape(len(rows), len(names))
    for row in np.flatnonzero((labels == _WRONG).any(1)):
        wrong = np.flatnonzero(labels[row] == _WRONG)
        labels[row, wrong] = UNKNOWN
        tokens = chunk[row][1].split()[1:]
        detail = f"{_show([tokens[wrong[0]]])!r} for {names[wrong[0]]}"
        if len(wrong) > 1:
            detail += f" and {len(wrong) - 1} more"
        source = f"{path}, line {numbers[row]}"
        log.note(Kind.ATTRIBUTE_VALUE, images[row], source, detail)
    return Rows(path, images, numbers, labels, good)


_LETTERS = {b"1": b"1", b"-1": b"n", b"0": b"0"}
_WRONG = 99
_LABELS = np.full(256, _WRONG, np.int8)
_LABELS[[ord("1"), ord("n"), ord("0")]] = (1, 0, UNKNOWN)


def decode(image: bytes) -> str:
    """The name of an image; bytes that are no UTF-8 become escapes."""
    # An image of such a name is not found then, which is noted, where
    # surrogates would break every file that the name is written to.
    return image.decode("utf-8", "backslashreplace")


def _join(path: Path, parts: list[Rows]) -> Rows:
    return Rows(
        path,
        [image for part in parts for image in part.images],
        np.concatenate([part.lines for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.good for part in parts]),
    )


def _show(tokens: list[bytes]) -> str:
    """The first few values, for a message."""
    text = b" ".join(tokens[:8]).decode("utf-8", "backslashreplace")
    return text[:60] + ("..." if len(tokens) > 8 or len(text) > 60 else "")
