"""Fonts for names in any script, with Latin letters where no font has them."""

import functools
import itertools
import unicodedata
from pathlib import Path
from typing import Any
from typing import NamedTuple

import matplotlib
from anyascii import anyascii
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

# Comes with matplotlib: Latin, Greek, Cyrillic and some more.
_FIRST = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


class Run(NamedTuple):
    """Consecutive letters of a text that one font has.

    Attributes:
        text: the letters.
        font: the font's file.
    """

    text: str
    font: Path


def runs(text: str) -> list[Run]:
    """Splits a text by the fonts that have its letters.

    A letter that no installed font has is transliterated to Latin letters.
    """
    letters: list[Run] = []
    for letter in unicodedata.normalize("NFC", text):
        before = letters[-1].font if letters else _FIRST
        font = _font_of(ord(letter), before)
        if font:
            letters.append(Run(letter, font))
        elif spelled := _spelled(letter):
            letters.append(Run(spelled, _FIRST))
    return [
        Run("".join(run.text for run in part), font)
        for font, part in itertools.groupby(letters, lambda run: run.font)
    ]


def drawable(text: str) -> str:
    """Returns a text with only letters that installed fonts have."""
    return "".join(run.text for run in runs(text))


def chart_settings(*texts: str) -> dict[str, Any]:
    """Returns the settings of matplotlib to draw texts literally.

    Args:
        *texts: texts from `drawable`. A dollar in them starts no formula.
    """
    files = dict.fromkeys([_FIRST])
    for text in texts:
        files |= dict.fromkeys(run.font for run in runs(text))
    families = [
        font_manager.FontProperties(fname=str(file)).get_name()
        for file in files
    ]
    return {
        "font.family": list(dict.fromkeys(families)),
        "text.parse_math": False,
    }


def _font_of(letter: int, before: Path) -> Path | None:
    """Returns a font that has a letter, if possible that of the letter before.

    Letters of one word look better in one font.
    """
    for font in dict.fromkeys((_FIRST, before)):
        if letter in _letters(font):
            return font
    return next((f for f in _installed() if letter in _letters(f)), None)


@functools.cache
def _installed() -> tuple[Path, ...]:
    found = [
        entry
        for entry in font_manager.fontManager.ttflist
        # LastResort draws a box for every letter.
        if entry.style == "normal" and "lastresort" not in _plain(entry.name)
    ]
    # Regular fonts first; sorted by name, so that the choice does not depend
    # on the order in which the system lists them.
    found.sort(key=lambda e: (str(e.weight) not in ("400", "normal"), e.fname))
    return tuple(dict.fromkeys(Path(entry.fname) for entry in found))


def _plain(name: str) -> str:
    return name.replace(" ", "").lower()


@functools.cache
def _letters(font: Path) -> frozenset[int]:
    try:
        return frozenset(FT2Font(str(font)).get_charmap())
    except (OSError, RuntimeError):
        # Removed since matplotlib listed it, or broken.
        return frozenset()


def _spelled(letter: str) -> str:
    # Characters that join or mark letters are dropped.
    unseen = unicodedata.category(letter) in ("Cc", "Cf", "Mn", "Me")
    return anyascii(letter) or ("" if unseen else "?")
