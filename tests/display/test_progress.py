"""The bar: rows, not calls."""

from __future__ import annotations

import pandas as pd
import pytest

import pandas_genai  # noqa: F401 - registers df.genai
from pandas_genai.display.progress import Bar, observer_for
from pandas_genai.report.observer import Progress, Silent
from pandas_genai.testing import LoopbackProvider

NAN = float("nan")


def test_who_watches():
    mine = Silent()
    assert isinstance(observer_for(None), Bar)
    assert isinstance(observer_for(True), Bar)
    assert isinstance(observer_for(False), Silent)
    assert observer_for(mine) is mine


@pytest.mark.filterwarnings("ignore::pandas_genai.RowsFailedWarning")
def test_a_bar_in_rows_on_the_standard_error(capsys):
    frame = pd.DataFrame({"text": [f"t{number}" for number in range(20)] + [None]})
    with LoopbackProvider(lambda text: {"label": "good"}) as provider:
        where = {"base_url": provider.openai_url, "api_key": "k"}
        frame.genai.extract("Tone?", ["good"], **where)
        first = capsys.readouterr()
        frame.genai.extract("Tone?", ["good"], **where)
        second = capsys.readouterr()
        frame.genai.extract("Tone?", ["good"], **where, progress=False)
        third = capsys.readouterr()
    assert "21/21" in first.err
    assert "tokens=" in first.err
    assert "cached=20" in second.err
    assert (first.out, second.out, third.out, third.err) == ("", "", "", "")


def test_what_stands_behind_the_bar(capsys):
    bar = Bar()
    bar.started(Progress(10))
    bar.moved(Progress(10, 3, 1, 1, 500, 100, None, 12.0))
    bar.ended(Progress(10, 3, 1, 1, 500, 100, 0.25), "stopped")
    shown = capsys.readouterr().err
    for part in ("failed=1", "tokens=600", "cost=?", "cost=$0.2500", "12 s: rate limit"):
        assert part in shown


def test_the_download_says_size_and_target_first(capsys):
    bar = Bar()
    for done in (0, 400_000_000, 491_000_000):
        bar.fetching(done, 491_000_000, "cache/model.gguf")
    shown = capsys.readouterr().err
    assert shown.startswith("Downloading the local model: 491 MB into cache/model.gguf")
    assert "491M/491M" in shown
