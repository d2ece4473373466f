"""Tests that names in any script are drawn with letters, not boxes."""

import warnings
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from afn_keras.drawing import fonts
from afn_keras.drawing.marks import text_width
from afn_keras.drawing.marks import write
from afn_keras.evaluation.charts import png
from afn_keras.evaluation.charts import precision_chart
from afn_keras.evaluation.image_results import AttributeScore

INK = (0, 0, 0)
SWEATER = "\u6bdb\u8863"  # 毛衣, which is spelled Mao Yi.


def drawn(text):
    picture = np.full((40, 300, 3), 255, np.uint8)
    write(picture, text, (10, 30), 20, INK)
    return picture


def solid_font(path, letters):
    """Makes a font in which each letter is a square of the line's height."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 1000), (1000, 1000), (1000, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    builder = FontBuilder(1000)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(letter): "square" for letter in letters})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": square})
    builder.setupHorizontalMetrics({".notdef": (500, 0), "square": (1000, 0)})
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable({"familyName": "Solid", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return path


@pytest.fixture
def only(monkeypatch):
    """Sets which fonts are installed besides matplotlib's own."""

    def install(*files):
        first = [
            entry
            for entry in font_manager.fontManager.ttflist
            if entry.fname == str(fonts._FIRST)
        ]
        added = [font_manager.ttfFontProperty(FT2Font(f)) for f in files]
        monkeypatch.setattr(font_manager.fontManager, "ttflist", first + added)
        font_manager.fontManager._findfont_cached.cache_clear()
        fonts._installed.cache_clear()

    yield install
    fonts._installed.cache_clear()
    monkeypatch.undo()
    font_manager.fontManager._findfont_cached.cache_clear()


def test_letters_that_no_font_has_are_spelled(only):
    only()
    np.testing.assert_array_equal(drawn(SWEATER), drawn("MaoYi"))
    assert (drawn(SWEATER) != drawn("\u88d9\u5b50")).any()
    assert fonts.drawable("Платье, Köln") == "Платье, Köln"
    # Joined by what is seen nowhere.
    assert fonts.drawable("a\u200d\ufe0f") in ("a", "a\u200d\ufe0f")


def test_a_font_that_has_the_letters_is_taken(only, tmp_path):
    only(str(solid_font(tmp_path / "solid.ttf", SWEATER)))
    picture = drawn(SWEATER)
    # Two squares of the letters' size, side by side, on the base line.
    expected = np.full_like(picture, 255)
    expected[10:30, 10:50] = 0
    np.testing.assert_array_equal(picture, expected)
    assert text_width(f"a{SWEATER}", 20) == pytest.approx(
        40 + text_width("a", 20), abs=1
    )
    assert [run.text for run in fonts.runs(f"a{SWEATER}b")] == (
        ["a", SWEATER, "b"]
    )
    assert fonts.chart_settings(SWEATER)["font.family"] == (
        ["DejaVu Sans", "Solid"]
    )


@pytest.mark.parametrize("installed", [True, False])
def test_charts_have_the_letters_too(only, tmp_path, installed):
    files = [solid_font(tmp_path / "solid.ttf", SWEATER)] if installed else []
    only(*map(str, files))
    # Dollars are no formula.
    names = (SWEATER, "$5 or $x^2_$")
    results = SimpleNamespace(
        vocabulary=SimpleNamespace(attributes=names),
        attributes=(
            np.array([[1, 0], [0, 1], [1, 1]]),
            np.array([[0.9, 0.1], [0.2, 0.7], [0.6, 0.8]]),
        ),
    )
    scores = [
        AttributeScore(name, "all", 2, 3, 0.9, 0.9, 0.9, 0.1) for name in names
    ]
    texts = [fonts.drawable(name) for name in names]
    with (
        matplotlib.rc_context(fonts.chart_settings(*texts)),
        warnings.catch_warnings(),
    ):
        # Of a glyph that is missing matplotlib warns.
        warnings.simplefilter("error")
        assert png(precision_chart(results, scores))
