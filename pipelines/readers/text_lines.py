"""The lines of a benchmark's text files, however they were written."""

from collections.abc import Iterator
from pathlib import Path

from pipelines.errors import InputError
from pipelines.problem_log import ProblemLog
from pipelines.problems import Kind
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
