"""What no request can mend ends the run at once; every server's words are understood."""

from __future__ import annotations

import json

import pytest

from pandas_genai import RowsFailedWarning, StopRunError
from pandas_genai.testing import Fault, LoopbackProvider

BACKENDS = ["openai", "anthropic"]
SCHEMA = {"answer": str}


def echo(text):
    return {"answer": text}


def said(message, code=None, kind="invalid_request_error"):
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


LIMITS = "You have reached your specified API usage limits. You will regain access on 2026-12-01."
GEMINI = [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}]
STOPS = [
    (400, said(LIMITS), "out of money"),
    (400, said("This organization has been disabled."), "out of money"),
    (400, said("Your credit balance is too low to access the API."), "out of money"),
    (400, said("Billing hard limit has been reached", "billing_hard_limit_reached"), None),
    (429, said("Your account is not active.", "billing_not_active"), "out of money"),
    (429, said("You exceeded your current quota.", "insufficient_quota"), "out of money"),
    (402, said("Insufficient credits", 402), "out of money"),
    (400, GEMINI, "bad key"),
    (401, said("No."), "bad key"),
    (403, said("Your key may not do this."), "no permission"),
    (404, {"detail": "Not Found"}, "not found"),
    (200, {"error": {"code": 402, "message": "Insufficient credits"}}, "out of money"),
    (200, {"choices": [{"error": {"code": 401, "message": "User not found."}}]}, "bad key"),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("status", "body", "reason"), STOPS)
def test_what_nothing_mends_costs_one_request(
    extract, frame_of, backend, status, body, reason, tmp_path
):
    cache, frame = tmp_path / "c.sqlite", frame_of(100)
    faults = [Fault("error", status=status, body=body, calls=range(6, 1_000))]
    options = {"backend": backend, "cache": cache, "max_workers": 1}
    with LoopbackProvider(echo, faults=faults) as provider:
        with pytest.raises(StopRunError) as caught:
            extract(frame, provider, SCHEMA, **options)
        assert caught.value.reason == (reason or "out of money")
        assert provider.ledger.calls == 6
        with pytest.raises(StopRunError):
            extract(frame, provider, SCHEMA, **options)
        assert provider.ledger.calls == 7
    with LoopbackProvider(echo) as provider:
        assert extract(frame, provider, SCHEMA, **options)["answer"].tolist() == list(frame["text"])
    assert provider.ledger.rows == 75


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"detail": "The text is too long by half."}, "The text is too long by half."),
        ({"detail": [{"loc": ["body", "messages"], "msg": "too long"}]}, "body.messages: too long"),
        ({"message": "too long\x1b[2J\nby half", "code": 400}, "too long [2J by half"),
        ([{"error": {"message": "too long"}}], "too long"),
        ("<html><body><h1>Too long</h1></body></html>", "Too long"),
    ],
)
def test_the_words_of_the_server_are_in_the_row_s_message(extract, frame_of, backend, body, words):
    faults = [Fault("error", status=422, body=body, text="row 3")]
    with LoopbackProvider(echo, faults=faults) as provider, pytest.warns(RowsFailedWarning):
        out = extract(frame_of(4), provider, SCHEMA, backend=backend)
    assert out["answer"].isna().tolist() == [False, False, False, True]
    (message,) = out.genai.errors["message"]
    assert message.endswith(words)
    assert message.isprintable()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "after",
    ["Wed, 21 Oct 2015 07:28:00 -0000", "-5", "nan", "inf", "1e999", "pr\xeat", "\u0663", "0"],
)
def test_retry_after_of_any_form_is_survived(extract, frame_of, clock, backend, after):
    frame = frame_of(10)
    sent = after.encode().decode("latin-1")  # a header's bytes are not always ASCII
    faults = [Fault("rate_limit", times=2, retry_after=sent)]
    with LoopbackProvider(echo, faults=faults) as provider:
        out = extract(frame, provider, SCHEMA, backend=backend)
    assert out["answer"].tolist() == list(frame["text"])
    assert provider.ledger.calls == 4
    assert clock.time < 100


def test_what_failed_before_the_run_was_ended_comes_last_in_the_next(extract, frame_of, tmp_path):
    """The record of failures is kept although no frame came back."""
    frame, cache = frame_of(100), tmp_path / "c.sqlite"
    poison = Fault("moderation", text=lambda text: text.endswith("0"))
    broke = Fault("payment_required", calls=range(40, 1_000))
    with LoopbackProvider(echo, faults=[broke, poison]) as provider:
        with pytest.raises(StopRunError):
            extract(frame, provider, SCHEMA, cache=cache, max_workers=1)
    with LoopbackProvider(echo, faults=[poison]) as provider, pytest.warns(RowsFailedWarning):
        extract(frame, provider, SCHEMA, cache=cache, max_workers=1)
    (*_, last) = provider.ledger.requests
    (row,) = json.loads(last.body["messages"][-1]["content"])
    assert row["input_text"].endswith("0")
