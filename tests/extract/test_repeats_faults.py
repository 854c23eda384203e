"""Several answers to each row while the provider misbehaves: live, in batch, in either store."""

import sqlite3
import tempfile
import zlib
from collections import Counter
from contextlib import chdir

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pandas_genai
from pandas_genai import GenaiError
from pandas_genai.task.rows import distinct_rows
from pandas_genai.testing import Fault, LoopbackProvider

pytestmark = pytest.mark.filterwarnings("ignore::pandas_genai.RowsFailedWarning")

TONES = ["good", "bad", "mixed"]
KINDS = ["garbage", "truncated", "refusal", "missing", "doubled", "invented", "wrong_type"]


def right(text):
    return zlib.crc32(text.encode())


def moods():
    """Return a rule whose tone changes with each answer, and whose sum tells the row."""
    turn = Counter()

    def rule(text):
        turn[text] += 1
        return {"sum": right(text), "tone": TONES[(right(text) + turn[text] // 2) % 3]}

    return rule


def asked(frame, way, **given):
    """Return the labels; None where the run ended with an error."""
    task = pandas_genai.Task(
        "Sum?", {"sum": int, "tone": TONES}, text="text", backend=given.pop("backend")
    )
    try:
        if way == "live":
            return frame.genai.extract(task, progress=False, max_workers=3, **given)
        job = frame.genai.batch_submit(task, name="job", **given)
        job.collect()
        job.resubmit_failed()
        return frame.genai.batch_collect("job", wait=True, poll_s=0.01)
    except GenaiError:
        return None


def check(labels, frame, repeats):
    """Every answer is its row's, and each label is what most of its answers say."""
    assert labels.index.tolist() == frame.index.tolist()
    single = labels.genai.repeats
    assert single["repeat"].tolist() == [n + 1 for n in range(repeats) for _ in frame.index]
    single = single.assign(
        at=[*range(len(frame))] * repeats, right=[*frame["text"].map(right)] * repeats
    )
    there = single["sum"].notna()
    assert (single["sum"] == single["right"])[there].all()
    for at, answers in single[there].groupby("at"):
        counts = Counter(answers["tone"])
        assert counts[labels["tone"].iloc[at]] == max(counts.values())
        assert labels["tone_share"].iloc[at] == pytest.approx(max(counts.values()) / len(answers))
    answered = labels["sum"].notna()
    assert [*answered] == [at in set(single["at"][there]) for at in range(len(frame))]
    assert sorted(labels.genai.errors.index) == sorted(labels.index[~answered])


def kept(texts, repeats):
    """Return how many answers to each text the cache has."""
    with sqlite3.connect("c.sqlite") as cache:
        keys = {key for (key,) in cache.execute("SELECT text_hash FROM results")}
    cache.close()
    rows = distinct_rows(texts).repeated(repeats)
    distinct = list(dict.fromkeys(texts))
    return Counter(distinct[at % rows.inputs] for at, key in enumerate(rows.keys) if key in keys)


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=16),
    repeats=st.integers(2, 4),
    chunk_size=st.integers(1, 5),
    kinds=st.lists(st.sampled_from(KINDS), unique=True, max_size=3),
    poison=st.sampled_from([None, "a", "b"]),
    seed=st.integers(0, 99),
    way=st.sampled_from(["live", "batch"]),
    backend=st.sampled_from(["openai", "anthropic"]),
)
def test_no_answer_is_another_rows_and_none_is_paid_again(
    texts, repeats, chunk_size, kinds, poison, seed, way, backend
):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, chdir(folder):
        play(texts, repeats, chunk_size, kinds, poison, seed, way, backend)


def play(texts, repeats, chunk_size, kinds, poison, seed, way, backend):
    frame = pd.DataFrame({"text": [f"text {letter}" for letter in texts]})
    faults = [Fault(kind, rate=0.3) for kind in kinds]
    if poison is not None:
        faults.append(Fault("bad_request", text=f"text {poison}"))
    given = {"cache": "c.sqlite", "api_key": "k", "chunk_size": chunk_size, "backend": backend}
    given["repeats"] = repeats
    with LoopbackProvider(moods(), faults=faults, seed=seed) as provider:
        given["base_url"] = getattr(provider, f"{backend}_url")
        first = asked(frame, way, **given)
        if first is not None:
            check(first, frame, repeats)
    before = kept(frame["text"], repeats)
    with LoopbackProvider(moods()) as provider:
        given["base_url"] = getattr(provider, f"{backend}_url")
        alone = asked(frame, "live", retry_failed=False, **given)
        check(alone, frame, repeats)
        if first is not None:
            assert provider.ledger.calls == 0
            pd.testing.assert_frame_equal(alone, first)
        whole = asked(frame, "live", **given)
        check(whole, frame, repeats)
        assert whole.notna().all(axis=None)
        assert provider.ledger.answered == {
            text: repeats - before[text] for text in set(frame["text"]) if before[text] < repeats
        }


def test_several_answers_lie_in_postgresql_as_in_a_file(postgres_url):
    frame = pd.DataFrame({"text": [f"text {number % 7}" for number in range(20)]})
    found = {}
    for cache in ("c.sqlite", postgres_url):
        faults = [Fault("garbage", text="text 3"), Fault("bad_request", text="text 5")]
        with LoopbackProvider(moods(), faults=faults) as provider:
            given = {"cache": cache, "api_key": "k", "base_url": provider.openai_url}
            given |= {"backend": "openai", "repeats": 3, "chunk_size": 1}
            labels = asked(frame, "live", **given)
            check(labels, frame, 3)
            calls = provider.ledger.calls
            alone = asked(frame, "live", retry_failed=False, **given)
            assert provider.ledger.calls == calls
            pd.testing.assert_frame_equal(alone, labels)
            found[cache] = labels["sum"], labels.genai.errors["reason"]
        with LoopbackProvider(moods()) as provider:
            whole = asked(frame, "live", **given | {"base_url": provider.openai_url})
            assert whole.notna().all(axis=None)
            assert provider.ledger.answered == {"text 3": 3, "text 5": 3}
    for of_file, of_database in zip(*found.values(), strict=True):
        pd.testing.assert_series_equal(of_file, of_database)
