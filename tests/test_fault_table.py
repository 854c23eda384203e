"""Every fault of a provider, live, in batch and on Dask, for both vendors: one promise for all.

Each row is right or has failed with its reason, none has the answer of another, control comes back,
and once the fault is gone the rest is asked: what was answered is not paid again. The whole table,
with more seeds, is a campaign; the suite takes a part of it.
"""

import hashlib
import sqlite3
import warnings
import zlib

import dask
import dask.dataframe as dd
import pandas as pd
import pytest

import pandas_genai
import pandas_genai.dask
from pandas_genai import GenaiError, RowsFailedWarning
from pandas_genai.testing import Fault, LoopbackProvider

ROWS, CHUNK, POISON = 60, 5, "row 17 "
SHORT = {"retry_after": 0.01}
"""The real clock runs here: a provider that says when to come back is believed."""

FAULTS = {
    "429": lambda: [Fault("rate_limit", rate=0.1, times=4, **SHORT)],
    "500": lambda: [Fault("server_error", rate=0.1, times=3, **SHORT)],
    "529": lambda: [Fault("overloaded", rate=0.1, times=3, **SHORT)],
    "reset": lambda: [Fault("reset", rate=0.1, times=2)],
    "reset after the answer": lambda: [Fault("reset_after", rate=0.1, times=2)],
    "slow": lambda: [Fault("hang", rate=0.1, times=3, seconds=0.5)],
    "html": lambda: [Fault("html", rate=0.1, times=2)],
    "error in a 200": lambda: [Fault("error_200", rate=0.1, times=2)],
    "garbage": lambda: [Fault("garbage", rate=0.3)],
    "truncated": lambda: [Fault("truncated", rate=0.3)],
    "refused": lambda: [Fault("refusal", rate=0.3)],
    "filtered": lambda: [Fault("content_filter", rate=0.3)],
    "missing": lambda: [Fault("missing", rate=0.3)],
    "doubled": lambda: [Fault("doubled", rate=0.3)],
    "invented": lambda: [Fault("invented", rate=0.3)],
    "wrong type": lambda: [Fault("wrong_type", rate=0.3)],
    "poison row": lambda: [Fault("bad_request", text=POISON)],
    "too long row": lambda: [Fault("context_length", text=POISON)],
    "no money left": lambda: [Fault("insufficient_quota", calls=range(5, 10_000))],
    "key revoked": lambda: [Fault("forbidden", calls=range(5, 10_000))],
    "all together": lambda: [
        Fault("rate_limit", rate=0.05, times=3, **SHORT),
        Fault("reset_after", rate=0.05, times=1),
        *(Fault(kind, rate=0.06) for kind in ("garbage", "missing", "doubled", "invented")),
        Fault("bad_request", text=POISON),
    ],
}
NOT_MADE_TWICE = {"reset after the answer", "all together"}
"""Faults after which an answer was made that never came: nobody can help that it is paid twice."""
WHERE = ["live", "batch", "dask"]
BACKENDS = ["openai", "anthropic"]


def right(text):
    return zlib.crc32(text.encode())


def rows_of(seed):
    """Rows of which a third have the text of another row."""
    texts = [f"row {number} of {seed}" for number in range(ROWS * 2 // 3)]
    texts += texts[: ROWS - len(texts)]
    return pd.DataFrame({"text": texts}).sample(frac=1, random_state=seed)


def ask(where, frame, given):
    """Return the answers; None where the run ended with an error."""
    task = pandas_genai.Task("Sum?", {"sum": int}, text="text", backend=given.pop("backend"))
    try:
        if where == "live":
            return frame.genai.extract(task, progress=False, max_workers=4, **given)
        if where == "dask":
            with dask.config.set(scheduler="threads", num_workers=2):
                ddf = dd.from_pandas(frame, npartitions=3, sort=False)
                return ddf.genai.extract(task, progress=False, max_workers=2, **given).compute()
        jobs = pandas_genai.jobs()
        if "job" not in jobs.index:
            frame.genai.batch_submit(task, name="job", **given)
        else:
            pandas_genai.open_job("job", **{n: given[n] for n in ("base_url", "api_key")}
                                  ).resubmit_failed()  # fmt: skip
        return frame.genai.batch_collect("job", wait=True, poll_s=0.01)
    except GenaiError:
        return None


def check(found, frame):
    """Each row is right, or has failed with its reason."""
    assert found.index.tolist() == frame.index.tolist()
    answered = found["sum"].notna()
    assert (found["sum"][answered] == frame["text"][answered].map(right)).all()
    errors = found.genai.errors
    assert sorted(errors.index) == sorted(found.index[~answered])
    assert errors["reason"].astype(bool).all()


def play(where, backend, name, seed):
    frame = rows_of(seed)
    given = {"cache": "c.sqlite", "api_key": "k", "chunk_size": CHUNK, "backend": backend}
    with LoopbackProvider(lambda text: {"sum": right(text)}, faults=FAULTS[name](), seed=seed,
                          folder="provider") as provider:  # fmt: skip
        given["base_url"] = getattr(provider, f"{backend}_url")
        found = ask(where, frame, dict(given))
        if found is not None:
            check(found, frame)
    kept = on_disk(set(frame["text"]))
    with LoopbackProvider(lambda text: {"sum": right(text)}, folder="provider") as provider:
        for _ in range(4):
            found = ask(where, frame, dict(given))
            if found is not None and found["sum"].notna().all():
                break
        check(found, frame)
        assert found["sum"].notna().all()
        again = provider.ledger.answered
    assert not kept & set(again), "what was answered is never paid again"
    if name not in NOT_MADE_TWICE and where != "batch":
        assert max(again.values(), default=1) == 1
    assert len(pandas_genai.runs("c.sqlite")) >= 1


def on_disk(texts):
    """Return which texts have an answer in the cache."""
    with sqlite3.connect("c.sqlite") as cache:
        keys = {key for (key,) in cache.execute("SELECT text_hash FROM results")}
    cache.close()
    return {text for text in texts if hashlib.sha256(text.encode()).hexdigest()[:32] in keys}


def cases():
    """The whole table; every case that the suite takes is one of each fault."""
    for at, name in enumerate(FAULTS):
        for where in WHERE:
            for backend in BACKENDS:
                ours = where == WHERE[at % 3] and backend == BACKENDS[at % 2]
                marks = [] if ours else [pytest.mark.campaign]
                yield pytest.param(where, backend, name, marks=marks)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("where", "backend", "name"), list(cases()))
def test_each_row_is_right_or_has_failed_and_nothing_is_paid_again(where, backend, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RowsFailedWarning)
        play(where, backend, name, seed=1)


@pytest.mark.campaign
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(2, 12))
@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("backend", BACKENDS)
def test_all_faults_together(where, backend, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RowsFailedWarning)
        play(where, backend, "all together", seed)
