"""Texts longer than the model's context window: named before anything is sent, sent apart."""

from __future__ import annotations

import html
import warnings

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandas_genai import LongTextsWarning, RowsFailedWarning
from pandas_genai.costs.prices import known_window
from pandas_genai.testing import Fault, LoopbackProvider

NOWHERE = {"openai": "http://127.0.0.1:1/v1", "anthropic": "http://127.0.0.1:1"}
WINDOW = {"openai": 4_000, "anthropic": 20_000}
"""Anthropic's wire keeps 16,000 tokens for every answer, so that as much is left to texts."""
TONES = ["good", "bad"]


@pytest.fixture
def provider():
    with LoopbackProvider(
        lambda text: {"label": "good"},
        faults=[Fault("context_length", text=lambda text: len(text) > 20_000)],
    ) as running:
        yield running


@pytest.fixture(params=["openai", "anthropic"])
def where(request, provider, monkeypatch):
    """A server of one's own, whose window the settings say."""
    backend = request.param
    monkeypatch.setenv("PANDAS_GENAI_CONTEXT_WINDOW", str(WINDOW[backend]))
    url = provider.openai_url if backend == "openai" else provider.anthropic_url
    return {"backend": backend, "model": "ours", "base_url": url, "api_key": "k"}


def texts_of(lengths):
    return pd.DataFrame({"text": [f"{n}:".ljust(length, "x") for n, length in enumerate(lengths)]})


def bytes_read(body):
    """What a model reads of a request, counted by other means than the estimate's."""
    system = body.get("system") or body["messages"][0]["content"]
    system = system if isinstance(system, str) else system[0]["text"]
    schema = body.get("response_format") or body["output_config"]
    return len((system + body["messages"][-1]["content"] + str(schema)).encode())


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(4, 24_000), min_size=1, max_size=12), st.integers(1, 5), st.data())
def test_every_text_is_judged_by_its_own_request(backend, lengths, chunk_size, data):
    letter = data.draw(st.sampled_from("xé中"))
    frame = pd.DataFrame({"text": [f"{n}:" + letter * size for n, size in enumerate(lengths)]})
    options = {"backend": backend, "model": "ours", "base_url": NOWHERE[backend]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PANDAS_GENAI_CONTEXT_WINDOW", str(WINDOW[backend]))
        alone = frame.genai.preview("Tone?", TONES, 99, chunk_size=1, **options)
        shown = frame.genai.preview("Tone?", TONES, 99, chunk_size=chunk_size, **options)
        plan = frame.genai.estimate("Tone?", TONES, chunk_size=chunk_size, cache=False, **options)
    room = WINDOW[backend] - alone[0]["body"].get("max_tokens", 0)
    shares = [bytes_read(request["body"]) / 4 / room for request in alone]
    found = plan.long_texts
    too_long, may_be = (found.too_long, found.may_be) if found else (0, 0)
    if backend == "openai":  # no limit is sent: nothing but a guess is kept for the answer
        assert sum(share > 1.4 for share in shares) <= too_long <= sum(s > 1.25 for s in shares)
    assert sum(share > 0.75 for share in shares) <= too_long + may_be
    assert too_long + may_be <= sum(share > 0.65 for share in shares)
    assert str(alone.long_texts) == str(shown.long_texts) == str(found)
    # Rows share a request only where they fit, and every text is in one.
    assert plan.calls == len(shown)
    rows = [request["body"]["messages"][-1]["content"].count("input_id") for request in shown]
    assert sum(rows) == len(lengths)
    for request, count in zip(shown, rows, strict=True):
        assert count == 1 or bytes_read(request["body"]) / 4 <= 0.75 * room


def test_the_rows_and_the_longest_are_named(where):
    frame = texts_of([10, 30_000, 12_500, 500, 40_000]).set_axis(["a", "b", "c", "d", "e"])
    plan = frame.genai.estimate("Tone?", TONES, **where)
    assert (plan.long_texts.too_long, plan.long_texts.may_be) in {(2, 1), (0, 3)}
    assert "the longest, row e, has about 10," in str(plan)
    assert "larger window" in str(plan)
    if where["backend"] == "openai":
        assert (
            "long texts: 2 texts (rows b, e) are longer than the model's context window of 4,000 "
            "tokens, and 1 more (row c) may be; the longest"
        ) in str(plan)
        assert "calls: 5 of at most 5 rows (4 more than otherwise, because texts" in str(plan)
    preview = frame.genai.preview(
        "Tone?", TONES, **{name: where[name] for name in where if name != "api_key"}
    )
    assert str(preview.long_texts) in repr(preview)
    for shown in (preview, plan):
        assert html.escape(str(shown.long_texts)) in shown._repr_html_()


def test_nothing_is_sent_before_the_warning(where, provider, tmp_path):
    frame = texts_of([10, 40_000])
    with warnings.catch_warnings():
        warnings.simplefilter("error", LongTextsWarning)
        with pytest.raises(LongTextsWarning, match=r"row 1\b.* context window of "):
            frame.genai.extract("Tone?", TONES, progress=False, **where)
        with pytest.raises(LongTextsWarning, match=r"row 1\b.* context window of "):
            frame.genai.batch_submit("Tone?", TONES, name="long", folder=tmp_path, **where)
        assert (provider.ledger.calls, len(provider.batches)) == (0, 0)
        frame[:1].genai.extract("Tone?", TONES, progress=False, **where)  # it fits: no warning
        frame[:1].genai.batch_submit("Tone?", TONES, name="short", folder=tmp_path, **where)


def test_a_long_text_goes_alone_and_takes_no_neighbour_along(where, provider):
    frame = texts_of([100] * 9 + [30_000])
    with pytest.warns(LongTextsWarning), pytest.warns(RowsFailedWarning):
        out = frame.genai.extract("Tone?", TONES, progress=False, cache=False, **where)
    assert out["label"].tolist()[:9] == ["good"] * 9
    assert out["label"].isna().tolist()[9]
    assert out.genai.errors["reason"].tolist() == ["bad request"]
    assert (
        "The request is longer than the model's context window: "
        in (out.genai.errors["message"].iloc[0])
    )
    calls = out.genai.report.calls
    assert (calls, provider.ledger.calls) in {(n, 4) for n in (2, 3, 4)}  # none was split again


def test_texts_that_are_too_long_together_are_sent_apart_in_a_batch(where, provider, tmp_path):
    frame = texts_of([6_000] * 10)
    job = frame.genai.batch_submit("Tone?", TONES, name="split", folder=tmp_path, **where)
    assert job.status().rows == 10
    (batch,) = provider.batches
    assert len(batch.custom_ids) == 10
    assert job.collect()["label"].tolist() == ["good"] * 10


def test_a_refusal_teaches_the_window(provider, monkeypatch):
    message = "This model's maximum context length is 3,000 tokens. However, you sent 9,999."
    where = {"model": "taught", "base_url": f"{provider.openai_url}/", "api_key": "k"}
    frame = texts_of([10, 19_000])
    before = frame.genai.estimate("Tone?", TONES, **where).long_texts
    assert before.window is None
    assert "context window is unknown (PANDAS_GENAI_CONTEXT_WINDOW=... says it)" in str(before)
    provider.faults = [Fault("context_length", text="1:", message=message)]
    with pytest.warns(RowsFailedWarning):  # and of nothing else: what is too long was unknown
        frame.genai.extract("Tone?", TONES, progress=False, **where)
    after = frame.genai.estimate("Tone?", TONES, **where).long_texts
    assert (after.window, after.too_long) == (3_000, 1)
    monkeypatch.setenv("PANDAS_GENAI_CONTEXT_WINDOW", "30000")
    assert frame.genai.estimate("Tone?", TONES, **where).long_texts is None


def test_what_is_known_without_asking():
    assert known_window("gpt-6-luna", "openai", "https://api.openai.com/v1") == 1_050_000
    assert known_window("claude-haiku-5-5", "anthropic", "https://api.anthropic.com") == 1_000_000
    assert known_window("claude-haiku-4-5", "anthropic", "https://api.anthropic.com") == 200_000
    assert known_window("openai/gpt-4o", "openai", "https://openrouter.ai/api/v1") == 128_000
    assert known_window("nobodys", "openai", "https://api.openai.com/v1") is None
    long = texts_of([40_000])
    assert long.genai.estimate("Tone?", TONES, model="local").long_texts.window == 8_192
    assert long.genai.estimate("Tone?", TONES, model="gpt-6-luna").long_texts is None


def test_the_setting_is_not_for_the_vendors_own_address(monkeypatch):
    monkeypatch.setenv("PANDAS_GENAI_CONTEXT_WINDOW", "500")
    frame = texts_of([40_000])
    assert frame.genai.estimate("Tone?", TONES, model="gpt-6-luna").long_texts is None
    series = frame["text"].genai
    assert series.preview("Tone?", TONES, base_url=NOWHERE["openai"]).long_texts.window == 500


def test_advice_names_what_leaves_no_room(monkeypatch):
    monkeypatch.setenv("PANDAS_GENAI_CONTEXT_WINDOW", "8000")
    frame = texts_of([100, 200])
    where = {"backend": "anthropic", "model": "ours", "base_url": NOWHERE["anthropic"]}
    plan = frame.genai.estimate("Tone?", TONES, **where)
    assert plan.calls == 1  # a limit that is not taken literally parts no rows
    assert "2 texts (rows 0, 1) may be longer" in str(plan)
    assert "may take 16,000 tokens, which leaves no room" in str(plan)
    smaller = {"params": {"max_tokens": 500}, **where}
    assert frame.genai.estimate("Tone?", TONES, **smaller).long_texts is None
    wordy = frame.genai.estimate("Tone? " * 9_000, TONES, **smaller)
    assert "The instructions and the schema alone have about 13," in str(wordy)
