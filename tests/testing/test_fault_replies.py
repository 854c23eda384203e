"""Replies that are spoilt on purpose, as the real SDKs see them."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from pandas_genai.testing import Fault, LoopbackProvider

WIRES = ["openai", "anthropic"]


def length(text):
    return {"length": len(text)}


def provider_with(kind, rule=length, **conditions):
    return LoopbackProvider(rule, faults=[Fault(kind, **conditions)])


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("kind", ["garbage", "truncated"])
def test_spoilt_texts(sdk, wire, kind, text):
    with provider_with(kind) as provider:
        answer = sdk.ask(wire, provider, "a", "b")
    with pytest.raises(json.JSONDecodeError):
        json.loads(text(answer))
    assert provider.ledger.rows == 0
    assert provider.ledger.tokens_out > 0
    stop = answer.choices[0].finish_reason if wire == "openai" else answer.stop_reason
    assert (stop in ("length", "max_tokens")) == (kind == "truncated")


@pytest.mark.parametrize("kind", ["garbage", "truncated"])
def test_spoilt_tools(sdk, forced, kind):
    with provider_with(kind) as provider:
        answer = sdk.message(provider, "a", "b", **forced)
    assert "all_results" not in answer.content[0].input
    assert provider.ledger.rows == 0


def test_a_truncated_answer_keeps_within_the_limit(sdk):
    with provider_with("truncated") as provider:
        answer = sdk.chat(provider, "a", "b", max_completion_tokens=3)
        empty = sdk.message(provider, max_tokens=1_000)
    assert answer.usage.completion_tokens == 3
    assert empty.stop_reason == "max_tokens"


def test_refusal_and_content_filter(sdk):
    with LoopbackProvider(
        length, faults=[Fault("refusal", text="bad"), Fault("content_filter", text="vile")]
    ) as provider:
        refused = sdk.chat(provider, "a", "so bad")
        filtered = sdk.chat(provider, "vile")
        assert refused.choices[0].message.refusal
        assert refused.choices[0].finish_reason == "stop"
        assert filtered.choices[0].finish_reason == "content_filter"
        assert filtered.choices[0].message.content is None
        for words in ("so bad", "vile"):
            assert sdk.message(provider, words).stop_reason == "refusal"
        sdk.message(provider, "good")
    assert provider.ledger.rows == 1


@pytest.mark.parametrize("wire", WIRES)
def test_a_row_left_out(sdk, wire):
    with provider_with("missing", text="two") as provider:
        found = sdk.results(wire, provider, "one", "two", "three")
        assert [entry["input_id"] for entry in found] == ["id-0", "id-2"]
        provider.faults = [Fault("missing")]
        assert len(sdk.results(wire, provider, "one", "two", "three")) == 2
        assert sdk.results(wire, provider, "one") == []
        assert sdk.results(wire, provider) == []
    assert provider.ledger.rows == 4


def test_a_row_twice_the_second_time_otherwise(sdk):
    values = {"s": "x", "i": 1, "b": True, "n": None, "l": ["a"]}
    with provider_with("doubled", rule=lambda text: values, text="two") as provider:
        first, second = sdk.results("openai", provider, "two")
    assert second == {
        "input_id": "id-0",
        "s": "x or not",
        "i": 2,
        "b": False,
        "n": None,
        "l": [],
    }
    assert first == {"input_id": "id-0", **values}
    with provider_with("doubled", text="two") as provider:
        found = sdk.results("openai", provider, "one one", "two")
        assert found[1:] == [{"input_id": "id-1", "length": 3}, {"input_id": "id-1", "length": 7}]
    assert provider.ledger.answered == {"one one": 1, "two": 1}


def test_an_id_that_was_never_sent(sdk):
    sizes = Counter()
    with provider_with("invented") as provider:
        for _ in range(20):
            found = sdk.results("openai", provider, "one", "two")
            sizes[len(found)] += 1
            strangers = [entry for entry in found if not entry["input_id"].startswith("id-")]
            assert len(strangers) == 1
    assert set(sizes) == {2, 3}
    assert provider.ledger.rows == sizes[2] + 2 * sizes[3]


def test_an_object_where_a_value_belongs(sdk):
    rules = {
        "one": {"length": 3},
        "none": {},
        "many": [{"word": "a"}, {"word": "b"}],
        "no records": [],
    }
    with provider_with("wrong_type", rule=rules.get, text=lambda text: True) as provider:
        found = sdk.results("openai", provider, *rules)
    assert [{k: v for k, v in entry.items() if k != "input_id"} for entry in found] == [
        {"length": {"not": 3}},
        {"records": {}},
        {"records": [{"word": {"not": "a"}}, {"word": "b"}]},
        {"records": {"not": []}},
    ]
