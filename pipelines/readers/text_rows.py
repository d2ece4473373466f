"""Reads the text files of the benchmarks: rows of an image and its values."""

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

# The largest file has 900 MB, so it is read in chunks.
_CHUNK = 8 << 20

_BOM = b"\xef\xbb\xbf"

# Labels of attributes by their letter: 1, n for -1, and 0.
_LETTERS = {b"1": b"1", b"-1": b"n", b"0": b"0"}
_WRONG = 99
_LABELS = np.full(256, _WRONG, np.int8)
_LABELS[[ord("1"), ord("n"), ord("0")]] = (1, 0, UNKNOWN)


def _read_lines(
    path: Path, log: ProblemLog
) -> Iterator[list[tuple[int, bytes]]]:
    """Reads a text file in chunks of lines.

    A byte order mark is skipped; it, Windows line ends and tabs are each noted
    once. Tabs and carriage returns stay, since `split` treats them as blanks.

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
    """Yields the rows of a file with a count and a header, in chunks.

    Blank lines are skipped, and a wrong count is noted.

    Raises:
        InputError: if the file cannot be read or does not begin with a count.
    """
    counted, rows = None, 0
    for lines in _read_lines(path, log):
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
    """Returns the lines of a file without a header, except blank last ones.

    Raises:
        InputError: if the file cannot be read.
    """
    lines = [line for chunk in _read_lines(path, log) for _, line in chunk]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _count(path: Path, line: bytes) -> int:
    # No file has so many rows that their number has more digits.
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
    """Rows of one file.

    Args:
        path: the file.
        images: N images, as named there.
        lines: (N,) line numbers.
        values: (N, K); undefined in a row that does not parse.
        good: (N,) bool, which rows parse.
    """

    path: Path
    images: list[str]
    lines: np.ndarray
    values: np.ndarray
    good: np.ndarray

    def source(self, row: int) -> str:
        """Returns file and line of a row, for messages."""
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
        log: log for rows that do not parse.
        widths: possible numbers of values in a row; K is the largest, and
            shorter rows end with NaN.
        words: allowed values, if they are words; they become their indices.
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
    """Reads rows of numbers alone, in the order of `images`.

    Args:
        path: a file without a header.
        images: the image of each row.
        log: log for rows that do not parse.
        widths: possible numbers of values in a row, as in `read_rows`.

    Raises:
        InputError: if the file cannot be read, or does not have one row per
            image.
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
    # A number that overflows is infinite, so its row does not parse.
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
    """Reads rows of an image and 1, -1 or 0 for each of `names`.

    Returns:
        Rows of int8, as the benchmark defines them: 1 for 1, 0 for -1,
        `UNKNOWN` for 0; also `UNKNOWN` for anything else, which is noted.
    """
    parts = []
    for chunk in read_counted_lines(path, log):
        images, rows = [], []
        for _, line in chunk:
            image, *rest = line.split(None, 1)
            images.append(decode(image))
            # With one letter for -1, a row of 1, -1 and 0 alone has as many
            # letters as values, so no single value needs a check here.
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


def decode(image: bytes) -> str:
    """Decodes the name of an image; bytes that are not UTF-8 are escaped."""
    # Surrogates could not be written to any file. An image with an escaped
    # name is reported as missing.
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
    """Formats the first few values for a message."""
    text = b" ".join(tokens[:8]).decode("utf-8", "backslashreplace")
    return text[:60] + ("..." if len(tokens) > 8 or len(text) > 60 else "")
