"""Plots tell the truth: bins that align, labels that nobody was given, letters of any script."""

from __future__ import annotations

import io
import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
from fontTools.fontBuilder import FontBuilder
from fontTools.ttLib.tables._g_l_y_f import Glyph
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import font_manager
from matplotlib.image import imread

import pandas_genai  # noqa: F401 - registers df.genai
from pandas_genai.display import figure as drawing


def heights(figure, panel=0):
    return [bar.get_height() for bar in figure.axes[panel].patches]


@settings(max_examples=40, deadline=None)
@given(st.integers(-3_000, 3_000), st.integers(1, 200), st.integers(1, 5))
def test_as_many_rows_each_year_are_bars_of_one_height(first, years, each):
    years = pd.array(np.repeat(np.arange(first, first + years), each), dtype="Int64")
    figure = pd.DataFrame({"year": years}).genai.plot()
    assert set(heights(figure)) == {each}
    assert len(heights(figure)) == len(set(years))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(201, 5_000))
def test_long_spans_have_bins_of_equally_many_numbers(first, span):
    figure = pd.DataFrame({"n": np.arange(first, first + span)}).genai.plot()
    bars = figure.axes[0].patches
    widths = {round(bar.get_width()) for bar in bars}
    assert len(widths) == 1
    assert len(bars) <= 51
    assert set(heights(figure)[1:-1]) == widths  # all but the first and the last are full
    assert sum(heights(figure)) == span


def test_whole_numbers_written_as_floats_and_fractions():
    df = pd.DataFrame({"stars": [1.0, 2.0, 2.0, 5.0], "share": [0.1, 0.25, 0.5, 0.9]})
    figure = df.genai.plot()
    assert heights(figure) == [1, 2, 0, 0, 1]
    assert sum(heights(figure, 1)) == 4
    huge = pd.DataFrame({"n": [0.0, 1e300, -1e300], "one": [7.5, 7.5, 7.5]}).genai.plot()
    assert sum(heights(huge)) == sum(heights(huge, 1)) == 3


def test_labels_stand_in_the_order_of_the_schema_also_those_nobody_was_given():
    order = ["very bad", "bad", "good", "very good"]
    df = pd.DataFrame({"tone": pd.Categorical(["good"] * 5 + ["bad"] * 2, categories=order)})
    axis = df.genai.plot().axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == order
    assert [bar.get_width() for bar in axis.patches] == [0, 2, 5, 0]
    assert axis.yaxis_inverted()  # the first is on top
    assert [text.get_text() for text in axis.texts] == ["0", "2", "5", "0"]


def test_very_many_labels_are_cut_and_it_is_said():
    df = pd.DataFrame(
        {"tone": pd.Categorical(["a"], categories=["a", *map(str, range(100))])},
    )
    assert df.genai.plot().axes[0].get_title() == "tone (100 rarer ones not shown)"


def test_counts_are_whole_numbers():
    df = pd.DataFrame({"stars": [1, 2, 2], "tone": pd.Categorical(["a", "b", "b"])})
    figure = df.genai.plot()
    figure._repr_png_()
    assert all(tick % 1 == 0 for tick in figure.axes[0].get_yticks())
    assert all(tick % 1 == 0 for tick in figure.axes[1].get_xticks())


def test_the_ground_is_transparent_and_the_ink_readable_on_black_and_white():
    figure = pd.DataFrame({"flag": [True, False, True]}).genai.plot()
    pixels = imread(io.BytesIO(figure._repr_png_()))
    assert pixels[0, 0, 3] == 0
    ink = mpl.colors.to_rgb(figure.axes[0].title.get_color())
    assert all(0.4 < part < 0.6 for part in ink)


def one_glyph_font(path, letters):
    """Write a font that has a few letters only."""
    names = [f"g{ord(one):x}" for one in letters]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *names])
    builder.setupCharacterMap(dict(zip(map(ord, letters), names, strict=True)))
    builder.setupGlyf({name: Glyph() for name in [".notdef", *names]})
    builder.setupHorizontalMetrics(dict.fromkeys([".notdef", *names], (500, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Few Letters", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


RARE = "\U00012000\U00012001"  # cuneiform


def test_letters_that_no_font_has_are_shown_as_numbers_and_it_is_said():
    df = pd.DataFrame({"tone": pd.Categorical([RARE, RARE, "good"])})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = df.genai.plot()
        figure._repr_png_()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["good", "U+12000 U+12001 "]
    assert "no installed font has them (2 here)" in figure._supxlabel.get_text()


def test_a_font_that_has_the_letters_is_found(tmp_path):
    path = tmp_path / "few.ttf"
    one_glyph_font(path, RARE)
    font_manager.fontManager.addfont(path)
    drawing._installed.cache_clear()
    try:
        df = pd.DataFrame({RARE: pd.Categorical([RARE, "good"])})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure = df.genai.plot()
            figure._repr_png_()
    finally:
        font_manager.fontManager.ttflist[:] = [
            entry for entry in font_manager.fontManager.ttflist if entry.name != "Few Letters"
        ]
        drawing._installed.cache_clear()
    assert figure._supxlabel is None
    assert figure.axes[0].get_title() == RARE
    assert "Few Letters" in figure.axes[0].title.get_fontfamily()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4, unique=True))
def test_no_label_warns(labels):
    labels = [label for label in labels if label.isprintable()] or ["x"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pd.DataFrame({"tone": pd.Categorical(labels)}).genai.plot()._repr_png_()
