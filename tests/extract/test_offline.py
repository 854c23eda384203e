"""Without a key: only what is kept; and failures of an earlier run that are left alone."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandas_genai import RowsFailedWarning, UsageError
from pandas_genai.testing import LoopbackProvider

SCHEMA = {"who": str}


def frame_of(numbers):
    return pd.DataFrame({"text": [f"row {number}" for number in numbers]})


def asked(frame, provider, cache, **options):
    return frame.genai.extract(
        *("Who?", SCHEMA),
        **{"base_url": provider.openai_url, "model": "m", "cache": cache, "progress": False}
        | {"chunk_size": 3}
        | options,
    )


@pytest.mark.filterwarnings("ignore::pandas_genai.RowsFailedWarning")
@settings(max_examples=15, deadline=None)
@given(known=st.sets(st.integers(0, 12)), wanted=st.lists(st.integers(0, 12), min_size=1))
def test_what_is_kept_and_nothing_else(tmp_path_factory, known, wanted):
    cache = tmp_path_factory.mktemp("offline") / "c.sqlite"
    calls = []

    def rule(text):
        calls.append(text)
        return {"who": text}

    with LoopbackProvider(rule) as provider:
        if known:
            asked(frame_of(known), provider, cache, api_key="k")
        calls.clear()
        frame = frame_of(wanted)
        result = asked(frame, provider, cache, offline=True)  # no key anywhere
        assert not calls
    kept = frame["text"].isin([f"row {number}" for number in known])
    assert result["who"].notna().tolist() == kept.tolist()
    assert result["who"][kept].tolist() == frame["text"][kept].tolist()
    assert result.genai.errors["reason"].tolist() == ["not asked"] * int((~kept).sum())
    report = result.genai.report
    assert (report.status, report.calls, report.failed) == ("completed", 0, 0)
    assert (report.ok, report.cached) == (kept.sum(), kept.sum())


def test_offline_makes_no_file_and_needs_nothing(tmp_path):
    frame = frame_of(range(3))
    with pytest.warns(RowsFailedWarning, match="not asked 3"):
        result = frame.genai.extract(
            "Who?", SCHEMA, cache=tmp_path / "none.sqlite", progress=False, offline=True
        )
    assert result["who"].isna().all()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore::pandas_genai.RowsFailedWarning")
def test_failures_are_left_alone_and_keep_their_reason(tmp_path):
    cache, frame = tmp_path / "c.sqlite", frame_of(range(8))
    calls = []

    def rule(text):
        calls.append(text)
        return {"who": 1 if text in {"row 2", "row 5"} else text}

    with LoopbackProvider(rule) as provider:
        first = asked(frame, provider, cache, api_key="k")
        assert first.genai.errors["reason"].tolist() == ["invalid answer"] * 2
        asked(frame, provider, cache, offline=True)
        calls.clear()
        again = asked(frame_of(range(9)), provider, cache, api_key="k", retry_failed=False)
        assert set(calls) == {"row 8"}
        errors = again.genai.errors
        assert errors.index.tolist() == [2, 5]
        assert errors["reason"].tolist() == ["invalid answer"] * 2
        assert errors["message"].str.contains("retry_failed=True asks it again").all()
        report = again.genai.report
        assert (report.ok, report.failed, report.cached) == (7, 2, 6)
        calls.clear()
        quiet = asked(frame, provider, cache, retry_failed=False)  # nothing to ask: no key
        assert not calls
        assert quiet.genai.errors.index.tolist() == [2, 5]
        plan = frame.genai.estimate(
            *("Who?", SCHEMA),
            base_url=provider.openai_url,
            model="m",
            cache=cache,
            retry_failed=False,
        )
        assert plan.texts == 0
        assert set(asked(frame, provider, cache, api_key="k").genai.errors.index) == {2, 5}
        assert {"row 2", "row 5"} == set(calls)


@pytest.mark.parametrize("verb", ["extract", "batch_submit"])
def test_what_contradicts_itself_is_refused(tmp_path, verb):
    frame, cache = frame_of(range(2)), tmp_path / "c.sqlite"
    method = getattr(frame.genai, verb)
    with pytest.raises(UsageError, match="offline=True asks nothing and fresh=True"):
        method("Who?", SCHEMA, cache=cache, offline=True, fresh=True)
    if verb == "batch_submit":
        for option in ({"offline": True}, {"retry_failed": False}):
            with pytest.raises(UsageError, match="A batch job sends every row"):
                method("Who?", SCHEMA, cache=cache, **option)
    assert list(tmp_path.iterdir()) == []
