"""``packing_check`` finds what packing and position do to answers, where they do something."""

import dataclasses
import json
import math
import random
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pandas_genai
from pandas_genai import BudgetError, Task, UsageError
from pandas_genai.testing import LoopbackProvider
from pandas_genai.validity.packing import moved

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
        assert provider.ledger.calls == 2 * 200 + 2 * 40
        again = check(provider, frame)
        assert provider.ledger.calls == 480
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
    draw = random.Random(4)
    with LoopbackProvider(truth, on_response=turned(lambda rows, place: draw.random() < 0.1)
                          ) as provider:  # fmt: skip
        found = check(provider, frame_of(200), max_workers=1)
    assert value(found, "tone", "asked twice")["value"] < 0.9
    assert not found.sentence.startswith("Use chunk_size=1")
    assert found.agreement["loss_low"].dropna().lt(0).all()


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


def test_few_rows_do_not_tell():
    with LoopbackProvider(truth) as provider:
        found = check(provider, frame_of(12), chunk_size=3)
        assert provider.ledger.calls == 2 * 12 + 2 * 4
    assert found.sentence.startswith("12 rows do not tell: ")


def test_duplicates_empty_texts_and_a_repeated_index():
    frame = frame_of(8).iloc[[0, 1, 1, 2, 3, 4, 5, 6, 7, 0]]
    frame.loc["r7", "text"] = None
    with LoopbackProvider(truth) as provider:
        found = check(provider, frame.set_axis(["x"] * 10), n=99)
        assert set(provider.ledger.answered.values()) == {4}
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
