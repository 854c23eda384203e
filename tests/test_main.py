"""``python -m pandas_genai demo``."""

from __future__ import annotations

import pytest

from pandas_genai.__main__ import OPENING, ROWS, main, statements
from pandas_genai.testing import LoopbackProvider


def test_the_shipped_rows_are_real_and_spread_over_time():
    frame = statements()
    assert len(frame) == ROWS
    assert frame["opening"].str.len().max() <= OPENING
    assert set(frame["gold"]) <= {"raise", "lower", "hold", "no_rate_decision"}
    assert (frame.index[0][:4], frame.index[-1][:4]) == ("1995", "2015")


def test_a_vendor_in_place_of_the_local_model(capsys, monkeypatch, tmp_path):
    gold = dict(statements().to_numpy().tolist())
    monkeypatch.setenv("OPENAI_API_KEY", "sk-demo")
    with LoopbackProvider(lambda text: {"action": gold[text]}) as provider:
        options = ["--model", "gpt-6-luna", "--base-url", provider.openai_url]
        assert main(["demo", *options, "--cache", str(tmp_path / "kept.sqlite")]) == 0
        assert provider.ledger.rows == ROWS
    said = capsys.readouterr().out
    assert "20 of 20 labels agree with the record" in said
    assert "The same call again: 0 calls" in said
    assert "0.5 billion" not in said
    assert (tmp_path / "kept.sqlite").exists()


def test_offline_nothing_is_fetched_and_the_second_call_asks_nothing(capsys):
    assert main(["demo", "--offline"]) == 0
    said = capsys.readouterr().out
    assert "20 of 20 labels agree with the record" in said
    assert "The same call again: 0 calls" in said
    assert "No model was asked" in said


def test_an_error_is_one_line_and_an_exit_code(capsys):
    assert main(["demo", "--model", "gpt-6-luna"]) == 1
    assert "OPENAI_API_KEY" in capsys.readouterr().err


def test_no_command():
    with pytest.raises(SystemExit):
        main([])
