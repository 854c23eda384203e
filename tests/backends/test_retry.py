"""retry_api_call: five attempts, 2 to 30 seconds, the last error as it is."""

from __future__ import annotations

import openai
import pytest

from pandas_genai import retry_api_call
from pandas_genai.testing import Fault, LoopbackProvider


def rule(text):
    return {"a": 1}


def attempt(provider, waits):
    @retry_api_call(sleep=waits.append)
    def ask():
        """Ask once."""
        with openai.OpenAI(api_key="k", base_url=provider.openai_url, max_retries=0) as client:
            return client.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": '[{"input_id": "a", "input_text": "b"}]'}],
            )

    return ask()


@pytest.mark.parametrize("kind", ["rate_limit", "server_error", "reset", "timeout_408"])
def test_what_waiting_mends_is_tried_again(kind):
    waits = []
    with LoopbackProvider(rule, faults=[Fault(kind, times=2)]) as provider:
        assert attempt(provider, waits).choices
    assert len(waits) == 2


def test_five_attempts_then_the_last_error():
    waits = []
    with LoopbackProvider(rule, faults=[Fault("server_error", rate=1.0)]) as provider:
        with pytest.raises(openai.InternalServerError):
            attempt(provider, waits)
        assert provider.ledger.calls == 5
    assert len(waits) == 4
    assert all(2 <= wait <= 30 for wait in waits)
    assert waits == sorted(waits)


@pytest.mark.parametrize(
    "kind", ["bad_request", "insufficient_quota", "forbidden", "too_large", "moderation"]
)
def test_what_no_waiting_mends_is_raised_at_once(kind):
    waits = []
    with LoopbackProvider(rule, faults=[Fault(kind, rate=1.0)]) as provider:
        with pytest.raises(openai.APIStatusError):
            attempt(provider, waits)
        assert provider.ledger.calls == 1
    assert waits == []


def test_other_errors_pass_and_the_name_stays():
    @retry_api_call
    def broken():
        """Break."""
        raise KeyError("x")

    assert (broken.__name__, broken.__doc__) == ("broken", "Break.")
    with pytest.raises(KeyError):
        broken()
