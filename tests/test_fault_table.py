"""Every fault of a provider, live, in batch and on Dask, for both vendors: one promise for all.

Each row is right or has failed with its reason, none has the answer of another, control comes back,
and once the fault is gone the rest is asked: what was answered is not paid again. The whole table,
with more seeds, is a campaign; the suite takes a part of it.
"""

import warnings

import pandas as pd
import pytest
from fault_cases import BACKENDS, CHUNK, WHERE, ask, check, is_whole, kept, rows_of, rule

import pandas_genai
from pandas_genai import RowsFailedWarning
from pandas_genai.testing import Fault, LoopbackProvider

POISON = "row 17 "
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


def play(where, backend, name, seed):
    frame = rows_of(seed)
    given = {"cache": "c.sqlite", "api_key": "k", "chunk_size": CHUNK, "backend": backend}
    with LoopbackProvider(rule, faults=FAULTS[name](), seed=seed, folder="provider") as provider:
        given["base_url"] = getattr(provider, f"{backend}_url")
        found = ask(where, frame, given)
        if isinstance(found, pd.DataFrame):
            check(found, frame, "c.sqlite")
    before = kept("c.sqlite", frame)
    with LoopbackProvider(rule, folder="provider") as provider:
        for _ in range(4):
            found = ask(where, frame, given)
            if is_whole(found):
                break
        check(found, frame, "c.sqlite")
        assert is_whole(found)
        again = provider.ledger.answered
    assert not before & set(again), "what was answered is never paid again"
    if name not in NOT_MADE_TWICE and where != "batch":
        assert max(again.values(), default=1) == 1
    assert len(pandas_genai.runs("c.sqlite")) >= 1


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
