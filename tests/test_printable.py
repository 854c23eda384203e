"""What others wrote, and what reaches a terminal of it."""

from __future__ import annotations

import logging
import unicodedata

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pandas_genai  # noqa: F401 - registers df.genai
from pandas_genai.errors import GenaiError, SchemaError, UsageError, printable
from pandas_genai.testing import Fault, LoopbackProvider, Refuse

CLEAR = "\x1b[2J\x9b31m\x07\u202e"


def steers(text):
    return [
        char
        for char in text
        if (unicodedata.category(char) in ("Cc", "Cs") and char not in "\t\n")
        or char in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    ]


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=())), st.none() | st.integers(2, 50))
def test_no_text_steers_a_terminal(text, most):
    shown = printable(text, most)
    assert not steers(shown)
    shown.encode()
    assert printable(shown) == shown


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=())))
def test_no_error_does_either(text):
    for error in (
        GenaiError(text),
        UsageError(f"The column {text} is not there."),
        SchemaError(text),
    ):
        assert not steers(str(error))


def test_ordinary_text_stays_as_it_is():
    for text in ("naïve — “quoted” 🎻\n\tsecond line", "مرحبا", "", "\\x1b"):
        assert printable(text) == text
    assert printable(GenaiError("x", 5).args) == "('x', 5)"


def refuses(text):
    raise Refuse(f"No {CLEAR} thanks.")


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_nothing_of_a_run_steers_the_terminal(backend, capfd, caplog, recwarn):
    """Model name, refusal, error message, report, plan, preview, bar and log lines."""
    caplog.set_level(logging.DEBUG, logger="pandas_genai")
    frame = pd.DataFrame({"text": ["A text."]})
    model = f"model{CLEAR}"
    faults = [Fault("bad_request", calls=[1], message=f"temperature {CLEAR}", param="top_p")]
    with LoopbackProvider(refuses, faults=faults, answers_as={model: model}) as provider:
        named = {
            "backend": backend,
            "model": model,
            "base_url": getattr(provider, f"{backend}_url"),
            "params": {"top_p": 0.5} if backend == "openai" else None,
        }
        out = frame.genai.extract("Tone?", ["good", "bad"], api_key="k" * 20, cache=False, **named)
        plan = frame.genai.estimate("Tone?", ["good", "bad"], cache=False, **named)
        preview = frame.genai.preview("Tone?", ["good", "bad"], **named)
    shown = [str(out.genai.report), out.genai.errors.to_string(), str(plan), str(preview)]
    shown += [card._repr_html_() for card in (out.genai.report, plan, preview)]
    shown += [record.getMessage() for record in caplog.records if record.name == "pandas_genai"]
    shown += [str(warning.message) for warning in recwarn.list]
    shown += [stream.replace("\r", "") for stream in capfd.readouterr()]
    assert not [text for text in shown if steers(text)]
    assert "[2J" in shown[1]
