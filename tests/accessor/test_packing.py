"""``packing_check`` finds what packing and position do to answers, where they do something."""

import dataclasses
import json
import math
import random
import zlib
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pandas_genai
from pandas_genai import BudgetError, Task, UsageError
from pandas_genai.testing import LoopbackProvider
from pandas_genai.validity.compare import Comparison
from pandas_genai.validity.packing import (
    AGAIN,
    ALONE,
    MOVED,
    PACKED,
    REPACKED,
    check_packing,
    moved,
)

WAYS = (ALONE, AGAIN, PACKED, REPACKED, MOVED)

TASK = Task("Tone?", {"tone": ["good", "bad"], "length": int}, text="text")


def frame_of(rows):
    return pd.DataFrame(
        {"text": [f"text number {number}" for number in range(rows)], "other": 1},
        index=[f"r{number}" for number in range(rows)],
    )


def truth(text):
    return {"tone": "good" if zlib.crc32(text.encode()) % 2 else "bad", "length": len(text)}


def turned(changes):
    """Let answers be the other tone where ``changes(rows in the request, place)`` says so."""

    def changed(request, response):
        if not request.path.endswith("/chat/completions"):
            return response
        body = json.loads(response.body)
        message = body["choices"][0]["message"]
        answers = json.loads(message["content"])
        results = answers["all_results"]
        for place, answer in enumerate(results):
            if changes(len(results), place):
                answer["tone"] = "bad" if answer["tone"] == "good" else "good"
        message["content"] = json.dumps(answers)
        return dataclasses.replace(response, body=json.dumps(body).encode())

    return changed


def wavering(chance):
    """Turn answers by chance, with another draw each time that the same request comes."""
    seen = Counter()

    def changed(request, response):
        seen[request.raw] += 1
        draw = random.Random(request.raw + bytes([seen[request.raw]]))
        return turned(lambda rows, place: draw.random() < chance(rows))(request, response)

    return changed


def check(provider, frame, task=TASK, **options):
    given = {
        "cache": "c.sqlite",
        "api_key": "k",
        "progress": False,
        "base_url": provider.openai_url,
    }
    return pandas_genai.packing_check(frame, task, **(given | options))


def value(found, field, comparison):
    rows = found.agreement.set_index(["field", "comparison"])
    return rows.loc[(field, comparison)]


def test_a_model_that_minds_nothing():
    frame = frame_of(250)
    with LoopbackProvider(truth) as provider:
        found = check(provider, frame)
        assert provider.ledger.calls == 2 * 200 + 3 * 40
        again = check(provider, frame)
        assert provider.ledger.calls == 520
    assert found.sentence.startswith("Keep chunk_size=5: ")
    assert (found.agreement["value"] == 1).all()
    assert (found.agreement["n"] == 200).all()
    assert found.agreement["low"].between(0.95, 1).all()
    assert list(found.agreement["comparison"][:3]) == ["asked twice", "packing", "position"]
    assert len(found.changed()) == 0
    pd.testing.assert_frame_equal(again.agreement, found.agreement)
    assert "Does packing change answers?" in found._repr_html_()
    assert "tone | packing" in repr(found)


def test_packing_is_found():
    with LoopbackProvider(truth, on_response=turned(lambda rows, place: rows > 2 and place > 2)
                          ) as provider:  # fmt: skip
        found = check(provider, frame_of(200))
    assert value(found, "tone", "packing")["value"] == pytest.approx(0.6)
    assert value(found, "tone", "packing")["loss_low"] > 0.2
    assert value(found, "length", "packing")["value"] == 1
    assert value(found, "tone", "asked twice")["value"] == 1
    assert found.sentence.startswith(
        "Use chunk_size=1: packing changes answers (tone). Of tone 60%"
    )
    changed = found.changed("alone", "packed")
    assert len(changed) == 80
    assert list(changed) == ["text", "tone (alone)", "tone (packed)"]
    assert changed["text"].iloc[0] == f"text number {changed.index[0][1:]}"


def test_position_is_found_where_packing_alone_is_not_seen():
    """The one place where answers change is taken by other rows the second time."""
    with LoopbackProvider(truth, on_response=turned(lambda rows, place: rows == 5 and place == 0)
                          ) as provider:  # fmt: skip
        found = check(provider, frame_of(200))
    assert value(found, "tone", "packing")["value"] == pytest.approx(0.8)
    assert value(found, "tone", "position")["value"] == pytest.approx(0.6)
    assert found.sentence.startswith("Use chunk_size=1: position changes answers")


def test_noise_is_not_taken_for_packing():
    with LoopbackProvider(truth, on_response=wavering(lambda rows: 0.1)) as provider:
        found = check(provider, frame_of(200))
    assert value(found, "tone", "asked twice")["value"] < 0.9
    assert not found.sentence.startswith("Use chunk_size=1")
    assert found.agreement["loss_low"].dropna().lt(0).all()


def test_packing_is_found_where_it_ends_the_noise():
    """Alone, answers waver, packed they never do: labels are other ones, though not less alike."""
    unsure = wavering(lambda rows: 0.3 if rows == 1 else 0.0)
    with LoopbackProvider(truth, on_response=unsure) as provider:
        found = check(provider, frame_of(200))
    rows = value(found, "tone", "packing")
    assert rows["value"] > value(found, "tone", "asked twice")["value"]
    assert value(found, "tone", "packed twice")["value"] == 1
    assert rows["loss_low"] > 0
    assert found.sentence.startswith("Use chunk_size=1: packing changes answers (tone)")


def test_requests_are_those_of_an_ordinary_run():
    frame = frame_of(5)
    with LoopbackProvider(truth) as provider:
        given = {"cache": False, "api_key": "k", "base_url": provider.openai_url}
        frame.genai.extract(TASK, progress=False, chunk_size=1, **given)
        ordinary = Counter(json.dumps(request.body) for request in provider.ledger.requests)
        hash_before = TASK.prompt_hash
        check(provider, frame)
        sent = [request.body for request in provider.ledger.requests][5:]
    texts = [json.loads(body["messages"][-1]["content"]) for body in sent]
    alone = Counter(json.dumps(body) for body, one in zip(sent, texts, strict=True) if len(one) < 2)
    assert alone == Counter(dict.fromkeys(ordinary, 2))
    packed = [one for one in texts if len(one) == 5]
    assert packed[0] == packed[1] == packed[2][4:] + packed[2][:4]
    assert TASK.prompt_hash == hash_before


def test_packed_answers_belong_to_the_rows_beside_them():
    """Another draw asks packed rows anew, and a row alone only once."""
    frame = frame_of(30)
    with LoopbackProvider(truth) as provider:
        check(provider, frame, n=20)
        calls = provider.ledger.calls
        check(provider, frame.iloc[::-1], n=20)
        assert calls + 3 * 4 <= provider.ledger.calls <= calls + 3 * 4 + 2 * 10
        calls = provider.ledger.calls
        check(provider, frame, n=20)
        assert provider.ledger.calls == calls


def test_a_check_goes_on_with_the_same_requests_where_it_was_stopped():
    """What is left of a request keeps its rows, however many others are answered."""
    frame = frame_of(20)
    with LoopbackProvider(truth) as provider:
        check(provider, frame)
        whole = {request_rows(request) for request in provider.ledger.requests}
    with LoopbackProvider(truth) as provider:
        with pytest.raises(BudgetError):
            check(provider, frame, cache="other.sqlite", max_cost=0.0012)
        before = provider.ledger.calls
        check(provider, frame, cache="other.sqlite")
        assert 0 < before < provider.ledger.calls
        assert {request_rows(request) for request in provider.ledger.requests} == whole
        assert set(provider.ledger.answered.values()) == {5}


def request_rows(request):
    """The texts of a request, in their order."""
    rows = json.loads(request.body["messages"][-1]["content"])
    return tuple(row["input_text"] for row in rows)


def test_intervals_count_requests():
    """Where all answers of a request change together, fewer cases are independent."""

    def together(request, response):
        odd = zlib.crc32(response.body[-300:]) % 4 == 0
        return turned(lambda rows, place: rows == 5 and odd)(request, response)

    with LoopbackProvider(truth, on_response=together) as provider:
        found = check(provider, frame_of(200), max_workers=1)
    row = value(found, "tone", "packing")
    alike = row["value"]
    alone = 1.96 * math.sqrt(alike * (1 - alike) / 200)
    assert row["high"] - row["low"] > 1.7 * 2 * alone


def test_labels_are_never_those_of_the_check():
    frame = frame_of(20)
    with LoopbackProvider(truth, on_response=turned(lambda rows, place: rows == 1)) as provider:
        given = {"cache": "c.sqlite", "api_key": "k", "base_url": provider.openai_url}
        before = frame.head(10).genai.extract(TASK, progress=False, **given)
        check(provider, frame)
        calls = provider.ledger.calls
        labels = frame.genai.extract(TASK, progress=False, **given)
        assert provider.ledger.calls == calls + 2
    assert labels["tone"].tolist() == [truth(text)["tone"] for text in frame["text"]]
    pd.testing.assert_frame_equal(labels.head(10), before)


def test_free_texts_are_not_compared():
    words = random.Random(1)
    task = TASK.with_(schema={"tone": ["good", "bad"], "why": str})
    with LoopbackProvider(lambda text: {**truth(text), "why": str(words.random())}) as provider:
        found = check(provider, frame_of(150), task)
    assert found.agreement["field"].unique().tolist() == ["tone"]
    assert found.sentence.startswith("Keep chunk_size=5")


def test_few_rows_do_not_tell():
    with LoopbackProvider(truth) as provider:
        found = check(provider, frame_of(12), chunk_size=3)
        assert provider.ledger.calls == 2 * 12 + 3 * 4
    assert found.sentence.startswith("12 rows do not tell: ")


def test_duplicates_empty_texts_and_a_repeated_index():
    frame = frame_of(8).iloc[[0, 1, 1, 2, 3, 4, 5, 6, 7, 0]]
    frame.loc["r7", "text"] = None
    with LoopbackProvider(truth) as provider:
        found = check(provider, frame.set_axis(["x"] * 10), n=99)
        assert set(provider.ledger.answered.values()) == {5}
    assert found.agreement["n"].unique().tolist() == [7]


def test_a_series_and_another_vendor():
    texts = frame_of(10)["text"]
    with LoopbackProvider(lambda text: {"label": "good"}) as provider:
        task = Task("Tone?", ["good", "bad"], backend="anthropic", model="claude-haiku-5-5")
        found = check(provider, texts, task, base_url=provider.anthropic_url, cache=False)
    assert found.comparison.runs["model"].unique().tolist() == ["claude-haiku-5-5"]


def test_one_limit_for_the_whole_check():
    with LoopbackProvider(truth) as provider, pytest.raises(BudgetError):
        check(provider, frame_of(100), max_cost=0.002)
    with LoopbackProvider(truth) as provider:
        found = check(provider, frame_of(100), max_cost=1.0)
        costs = found.comparison.runs["cost"]
    assert 0 < costs.sum() < 0.1


@pytest.mark.parametrize(
    ("frame", "options", "words"),
    [
        (frame_of(5), {"n": 1}, "n=1 leaves nothing to compare"),
        (frame_of(5), {"n": 0}, "n= must be a whole number"),
        (frame_of(5), {"chunk_size": 1}, "chunk_size=1 leaves nothing to compare"),
        (frame_of(5), {"task": "Tone?"}, "as a Task"),
        (frame_of(5), {"task": Task("Tone?", text="text")}, "a schema with one record"),
        (frame_of(5), {"task": TASK.with_(schema=list[TASK.schema])}, "a schema with one record"),
        (frame_of(5), {"task": TASK.with_(schema={"why": str})}, "free texts"),
        (frame_of(0), {}, "only 0 of 0 rows"),
        (frame_of(3).assign(text="same"), {}, "only 1 of 3 rows"),
        (frame_of(3)[["other"]], {}, "text"),
    ],
)
def test_what_is_refused_before_anything_is_sent(frame, options, words):
    with LoopbackProvider(truth) as provider:
        with pytest.raises(UsageError, match=words):
            check(provider, frame, **options)
        assert provider.ledger.calls == 0


@given(st.integers(2, 40), st.integers(2, 12))
def test_every_row_gets_another_place_in_the_same_request(count, size):
    order = moved(count, size)
    assert sorted(order.tolist()) == list(range(count))
    places = np.arange(count)
    assert (order // size == places // size).all()
    last_alone = count % size == 1
    same = int((order == places).sum())
    assert same == (1 if last_alone else 0)


def rate_of_findings(generator, times, shift, rows=200, size=5):
    """How often an effect is found where packed rows share so much of their chances."""
    found = Counter()
    for _ in range(times):
        own = generator.random(rows)
        shared = np.repeat(generator.random(rows // size), size)
        ways = {}
        for way in WAYS:
            chance = own if way in (ALONE, AGAIN) else (1 - shift) * own + shift * shared
            ways[way] = pd.DataFrame({"tone": generator.random(rows) < chance})
        checked = check_packing(Comparison(None, None, None, ["tone"], ways), size).agreement
        told = checked.set_index("comparison")["loss_low"]
        found.update(name for name in ("packing", "position") if told[name] > 0)
    return {name: found[name] / times for name in ("packing", "position")}


def test_noise_is_rarely_taken_for_an_effect_and_effects_are_found():
    """Answers that waver in every row, in requests whose rows waver together or apart."""
    generator = np.random.default_rng(11)
    none = rate_of_findings(generator, 300, shift=0.0)
    assert max(none.values()) < 0.05
    some = rate_of_findings(generator, 100, shift=0.7)
    assert some["packing"] > 0.6
    assert some["position"] < 0.07
