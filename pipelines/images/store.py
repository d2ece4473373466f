"""Finds and reads images in a folder, or in the benchmark's zip file."""

import functools
import lzma
import os
import posixpath
import re
import stat
import unicodedata
import zipfile
import zlib
from pathlib import Path
from pathlib import PureWindowsPath
from urllib.parse import unquote

from pipelines.errors import InputError
from pipelines.problems import Kind
from pipelines.problems import UnusableError
from pipelines.special_files import special_kind

# More than any image of up to `MAX_PIXELS` pixels; a larger file would only
# fill the memory.
MAX_BYTES = 256 * 2**20

# Folders and zip files that may hold images named img/...: the folder of the
# download, its parts, or files that are not unpacked.
_FOLDERS = ("Img", "img-[0-9]*")
_ZIPS = ("img.zip", "Img/img.zip")

_URL = re.compile(r"(?!file:)[a-z][a-z0-9]+://")


def spellings(name: str) -> list[str]:
    """Returns the name itself, and as a path from Windows or from a URL."""
    slashes = name.replace("\\", "/")
    decoded = unquote(slashes.removeprefix("file://")).replace("\\", "/")
    return list(dict.fromkeys([name, slashes, decoded]))


class ImageStore:
    """Images by their names in annotations.

    A name must stay inside the folder: `..`, an absolute path or a symbolic
    link that leads out of it is refused. Otherwise data from others could turn
    private files into training images. The folder itself may be a link.

    A file of exactly that name is preferred. Else the name is read as a
    Windows path, as a URL, as an absolute path in the folder, in another
    Unicode normalization, and without regard to case, unless two files match.

    Zip files stay open and listings of folders are cached, so a store is for
    one process; a pickled one starts anew.

    Args:
        folder: folder that the names are relative to.
        follow_links: follow links out of the folder, for trusted data.
    """

    def __init__(self, folder: Path, follow_links: bool = False) -> None:
        self.folder = Path(folder)
        self.follow_links = follow_links

    def __reduce__(self) -> tuple:
        return type(self), (self.folder, self.follow_links)

    def read(self, name: str) -> tuple[bytes, list[tuple[Kind, str]]]:
        """Returns the file's bytes, and problems of its path.

        Raises:
            UnusableError: if there is no such file inside the folder, or it
                is larger than `MAX_BYTES`.
            InputError: if a zip file of images cannot be read at all.
        """
        place, real, found = self._locate(name)
        try:
            size, _ = place.stamp(real)
            if size > MAX_BYTES:
                raise UnusableError(
                    name, Kind.IMAGE_TOO_LARGE, f"{size:,} bytes"
                )
            return place.read(real), found
        except OSError as error:
            raise UnusableError(
                name, Kind.IMAGE_MISSING, error.strerror or str(error)
            ) from error
        except (
            zipfile.BadZipFile,
            zlib.error,
            lzma.LZMAError,
            EOFError,
        ) as error:
            raise UnusableError(
                name, Kind.IMAGE_TRUNCATED, f"damaged in its zip file: {error}"
            ) from error

    def has(self, name: str) -> bool:
        """Returns whether there is such a file inside the folder."""
        try:
            self._locate(name)
        except UnusableError:
            return False
        return True

    def size(self, name: str) -> int:
        """Returns the size of the file in bytes, 0 if it cannot be read."""
        return self.stamp(name)[0]

    def stamp(self, name: str) -> tuple[int, int]:
        """Returns size and time or checksum; (0, 0) if it cannot be read."""
        try:
            place, real, _ = self._locate(name)
            return place.stamp(real)
        except (UnusableError, OSError):
            return 0, 0

    @functools.cached_property
    def _places(self) -> list["_Folder | _Zip"]:
        bound = None if self.follow_links else self.folder
        places: list[_Folder | _Zip] = [_Folder(self.folder, bound)]
        if not (self.folder / "img").is_dir():
            for pattern in _FOLDERS:
                places += [
                    _Folder(path, bound)
                    for path in sorted(self.folder.glob(pattern))
                    if (path / "img").is_dir()
                ]
            places += [
                _Zip(self.folder / name)
                for name in _ZIPS
                if (self.folder / name).is_file()
            ]
        return places

    def _locate(
        self, name: str
    ) -> tuple["_Folder | _Zip", str, list[tuple[Kind, str]]]:
        exact = posixpath.normpath(name)
        paths = self._spellings(name)
        inside = [path for path in paths if _stays_inside(path)]
        try:
            for plain in inside:
                for place in self._places:
                    if real := place.find(plain):
                        if plain == exact:
                            return place, real, []
                        return place, real, [(Kind.PATH_SPELLING, real)]
            for plain in inside:
                for place in self._places:
                    alike = place.find_alike(plain)
                    if len(alike) > 1:
                        raise UnusableError(
                            name,
                            Kind.IMAGE_MISSING,
                            f"may be any of {', '.join(alike)}",
                        )
                    if alike:
                        # In a zip file, the folder img/ may be left out.
                        case = exact.casefold().endswith(alike[0].casefold())
                        kind = Kind.PATH_CASE if case else Kind.PATH_SPELLING
                        return place, alike[0], [(kind, alike[0])]
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            # A null byte, or text that the file system cannot encode.
            raise UnusableError(name, Kind.IMAGE_MISSING, str(error)) from error
        if _URL.match(name):
            detail = "it is a URL; download it and name the file"
            raise UnusableError(name, Kind.IMAGE_MISSING, detail)
        if len(inside) < len(paths):
            raise UnusableError(name, Kind.PATH_OUTSIDE, "its name leads out")
        raise UnusableError(name, Kind.IMAGE_MISSING, "no such file")

    def _spellings(self, name: str) -> list[str]:
        return [
            self._relative(posixpath.normpath(spelling))
            for spelling in spellings(name)
        ]

    def _relative(self, path: str) -> str:
        for folder in self._absolute:
            path = path.removeprefix(folder)
        return path

    @functools.cached_property
    def _absolute(self) -> list[str]:
        """Returns possible beginnings of an absolute path in the folder."""
        paths = (self.folder.absolute(), self.folder.resolve())
        return [f"{path.as_posix()}/" for path in paths]


def _stays_inside(path: str) -> bool:
    return not (
        path.startswith(("/", "../"))
        or path in ("..", ".")
        or PureWindowsPath(path).is_absolute()
    )


def _alike(name: str) -> str:
    """Returns a key that ignores case and Unicode normalization."""
    return unicodedata.normalize(
        "NFC", unicodedata.normalize("NFC", name).casefold()
    )


class _Folder:
    """Images under `root`, none of which may lie outside `bound`."""

    def __init__(self, root: Path, bound: Path | None) -> None:
        self._root = str(root)
        self._bound = bound and os.path.realpath(bound)
        self._real: dict[str, str] = {}
        self._entries: dict[str, dict[str, list[str]]] = {}

    def find(self, name: str) -> str:
        path = os.path.join(self._root, name)
        try:
            mode = target = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                target = os.stat(path).st_mode
        except OSError:
            return ""
        if kind := special_kind(target):
            raise UnusableError(name, Kind.NOT_A_FILE, f"it is {kind}")
        if self._bound is None:
            return name
        parent = os.path.dirname(path)
        # Resolving is slow, so do it once per folder.
        if parent not in self._real:
            self._real[parent] = os.path.realpath(parent)
        real = os.path.realpath(path) if stat.S_ISLNK(mode) else None
        real = real or os.path.join(self._real[parent], os.path.basename(path))
        if os.path.commonpath([real, self._bound]) != self._bound:
            raise UnusableError(
                name,
                Kind.PATH_OUTSIDE,
                f"a link leads to {real}; afn-convert --follow-links reads it",
            )
        return name

    def find_alike(self, name: str) -> list[str]:
        found = [""]
        for part in name.split("/"):
            found = [
                posixpath.join(folder, entry)
                for folder in found
                for entry in self._list(folder).get(_alike(part), [])
            ]
        return [name for name in found if self.find(name)]

    def _list(self, folder: str) -> dict[str, list[str]]:
        """Returns the folder's entries by the `_alike` of their names."""
        if folder not in self._entries:
            entries: dict[str, list[str]] = {}
            try:
                names = sorted(os.listdir(os.path.join(self._root, folder)))
            except OSError:
                names = []
            for name in names:
                entries.setdefault(_alike(name), []).append(name)
            self._entries[folder] = entries
        return self._entries[folder]

    def stamp(self, name: str) -> tuple[int, int]:
        status = os.stat(os.path.join(self._root, name))
        return status.st_size, status.st_mtime_ns

    def read(self, name: str) -> bytes:
        with open(os.path.join(self._root, name), "rb") as file:
            return file.read()


class _Zip:
    """Images in a zip file, with or without its own folder `img/`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path}: is no zip file that can be read ({error}); "
                "download it again"
            ) from error
        members = self._file.infolist()
        if any(member.flag_bits & 1 for member in members):
            raise InputError(
                f"{path}: is encrypted; unpack it to {path.parent / 'img'}"
            )
        self._members = {
            member.filename: member for member in members if not member.is_dir()
        }

    @functools.cached_property
    def _names(self) -> dict[str, list[str]]:
        alike: dict[str, list[str]] = {}
        for name in sorted(self._members):
            alike.setdefault(_alike(name), []).append(name)
        return alike

    def find(self, name: str) -> str:
        inner = name.removeprefix("img/")
        return next((n for n in (name, inner) if n in self._members), "")

    def find_alike(self, name: str) -> list[str]:
        name = _alike(name)
        inner = name.removeprefix("img/")
        return self._names.get(name) or self._names.get(inner, [])

    def stamp(self, name: str) -> tuple[int, int]:
        member = self._members[name]
        return member.file_size, member.CRC

    def read(self, name: str) -> bytes:
        try:
            return self._file.read(self._members[name])
        except NotImplementedError as error:
            # For example Deflate64, which Python does not support.
            raise InputError(
                f"{self._path}: cannot be read in place ({error}); "
                f"unpack it to {self._path.parent / 'img'}"
            ) from error
