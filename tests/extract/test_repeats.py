"""Several independent answers to each row: what most of them say, each kept and paid once."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pandas_genai
from pandas_genai import SchemaError, Stopped, UsageError
from pandas_genai.task.chunks import plan_chunks
from pandas_genai.task.rows import distinct_rows
from pandas_genai.testing import LoopbackProvider

pytestmark = pytest.mark.filterwarnings("ignore::pandas_genai.RowsFailedWarning")

TONES = ["good", "bad", "mixed"]
SOME = {"tone": TONES}


class Moody:
    """Answers each text with the next of the given tones; None is no answer of use."""

    def __init__(self, answers):
        self._answers = answers
        self.asked = Counter()

    def __call__(self, text):
        tones = self._answers(text)
        tone = tones[self.asked[text] % len(tones)]
        self.asked[text] += 1
        return {"tone": tone, "length": len(text)}


def frame_of(texts):
    return pd.DataFrame({"text": texts}, index=[f"r{number}" for number in range(len(texts))])


def ask(frame, provider, **options):
    given = {"cache": "c.sqlite", "api_key": "k", "progress": False, "chunk_size": 3}
    schema = options.pop("schema", {"tone": TONES, "length": int})
    url = provider.openai_url if options.get("backend") != "anthropic" else provider.anthropic_url
    return frame.genai.extract("Tone?", schema, base_url=url, **(given | options))


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
def test_the_majority_and_its_share(backend):
    rule = Moody(lambda text: {"a": ["good", "bad", "bad"], "b": ["mixed", "good", "bad"]}[text])
    with LoopbackProvider(rule) as provider:
        labels = ask(frame_of(["a", "b", "a", None]), provider, repeats=3, backend=backend)
    assert list(labels) == ["tone", "tone_share", "length", "length_share"]
    assert labels["tone"].tolist()[:3] == ["bad", "mixed", "bad"]
    assert labels["tone_share"].tolist()[:3] == pytest.approx([2 / 3, 1 / 3, 2 / 3])
    assert labels["length_share"].tolist()[:3] == [1, 1, 1]
    assert labels.iloc[3].isna().all()
    report = labels.genai.report
    assert (report.rows, report.ok, report.failed, report.empty) == (4, 3, 0, 1)
    assert (report.repeats, report.duplicates, report.calls) == (3, 1, 3)
    assert report.errors.index.tolist() == ["r3"]


def test_each_answer_is_paid_once_and_more_of_them_only_add():
    rule = Moody(lambda text: TONES)
    frame = frame_of([f"text {number}" for number in range(7)])
    with LoopbackProvider(rule) as provider:
        alone = ask(frame, provider)
        assert sum(rule.asked.values()) == 7
        three = ask(frame, provider, repeats=3)
        assert set(rule.asked.values()) == {3}
        assert (three["tone"] == alone["tone"]).all()  # all differ: the first of them counts
        five = ask(frame, provider, repeats=5)
        assert set(rule.asked.values()) == {5}
        assert five["tone_share"].tolist() == [0.4] * 7
        again = ask(frame, provider, repeats=5)
        pd.testing.assert_frame_equal(again, five)
        pd.testing.assert_frame_equal(ask(frame, provider), alone)
        assert set(rule.asked.values()) == {5}
        assert again.genai.report.cached == 7


def test_single_answers_are_there_for_agreement():
    rule = Moody(lambda text: ["good", "bad"] if text.endswith("0") else ["good", "good"])
    frame = frame_of([f"text {number}" for number in range(20)])
    with LoopbackProvider(rule) as provider:
        labels = ask(frame, provider, repeats=2)
    compared = pandas_genai.compare({"once more": labels, "labels": labels})
    assert compared.fields == ["tone", "length"]
    answers = labels.genai.repeats
    assert answers["repeat"].tolist() == [1] * 20 + [2] * 20
    assert answers.index.tolist() == [*frame.index, *frame.index]
    coders = [one["tone"] for _, one in answers.groupby("repeat")]
    found = pandas_genai.agreement(coders, level="nominal")
    assert found.loc["percent", "value"] == pytest.approx(0.9)
    assert list(labels[labels["tone_share"] < 1].index) == ["r0", "r10"]
    with pytest.raises(UsageError, match="as they came from the run"):
        _ = labels.head(3).genai.repeats


@settings(deadline=None)
@given(
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=12),
    st.integers(2, 4),
    st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from(TONES), min_size=1)),
    st.integers(1, 5),
)
def test_whatever_is_answered(texts, repeats, moods, chunk_size):
    rule = Moody(lambda text: moods.get(text, ["good"]))
    frame = frame_of(texts)
    with LoopbackProvider(rule) as provider:
        labels = ask(frame, provider, repeats=repeats, cache=False, chunk_size=chunk_size)
    for text, tone, share in zip(texts, labels["tone"], labels["tone_share"], strict=True):
        # Which of the answers came first is the workers' affair; how many there are is not.
        counts = Counter((moods.get(text, ["good"]) * repeats)[:repeats])
        assert counts[tone] == max(counts.values())
        assert share == pytest.approx(counts[tone] / repeats)
    assert rule.asked == dict.fromkeys(texts, repeats)


@given(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=30), st.integers(1, 4), st.data())
def test_no_request_asks_one_text_twice(texts, repeats, data):
    rows = distinct_rows(texts).repeated(repeats)
    wanted = data.draw(st.lists(st.sampled_from(range(len(rows.keys))), unique=True)
                       if len(rows.keys) else st.just([]))  # fmt: skip
    chunks = list(plan_chunks(rows, wanted, texts, 3))
    for chunk in chunks:
        assert len({str(row.input) for row in chunk.rows}) == len(chunk.rows)
    assert sorted(row.key for chunk in chunks for row in chunk.rows) == sorted(
        rows.keys.take(wanted)
    )
    assert len(set(rows.keys)) == len(rows.keys) == rows.inputs * repeats
    assert rows.by_key.tolist() == np.argsort(list(rows.keys)).tolist()


def test_a_repeat_that_fails_does_not_count():
    rule = Moody(lambda text: ["bad", None, None, None, None, None, None, None, None, "good"])
    with LoopbackProvider(rule) as provider:
        labels = ask(frame_of(["a"]), provider, repeats=2, max_workers=1)
        assert labels["tone"].tolist() == ["bad"]
        assert labels["tone_share"].tolist() == [1.0]
        report = labels.genai.report
        assert (report.ok, report.failed) == (1, 0)
        assert report.message == (
            "1 of 2 answers to 1 text are missing; shares are of those that came."
        )
        assert len(report.errors) == 0
        assert labels.genai.repeats["tone"].isna().tolist() == [False, True]


def test_a_row_without_any_answer_has_failed():
    with LoopbackProvider(lambda text: {"tone": "none", "length": 1}) as provider:
        labels = ask(frame_of(["a", "b"]), provider, repeats=2)
    assert labels.isna().all(axis=None)
    report = labels.genai.report
    assert (report.ok, report.failed) == (0, 2)
    assert report.errors["reason"].tolist() == ["invalid answer"] * 2


def test_what_failed_is_left_alone_where_that_is_wanted():
    frame = frame_of(["a", "b"])
    with LoopbackProvider(lambda text: {"tone": "none", "length": 1}) as provider:
        ask(frame, provider, repeats=3, chunk_size=1)
        calls = provider.ledger.calls
        again = ask(frame, provider, repeats=3, retry_failed=False, chunk_size=1)
        assert provider.ledger.calls == calls
    assert again.genai.errors["reason"].tolist() == ["invalid answer"] * 2
    with LoopbackProvider(lambda text: {"tone": "good", "length": 1}) as provider:
        ask(frame, provider)
        three = ask(frame, provider, repeats=3, retry_failed=False)
        assert three["tone"].tolist() == ["good"] * 2
        assert provider.ledger.answered == {"a": 1, "b": 1}  # the others failed each by itself
        four = ask(frame, provider, repeats=4, retry_failed=False)
        assert provider.ledger.answered == {"a": 2, "b": 2}
    assert four["tone_share"].tolist() == [1.0] * 2


def test_a_single_answer_that_failed_is_left_alone_where_that_is_wanted():
    frame = frame_of(["a", "b"])
    with LoopbackProvider(Moody(lambda text: ["bad", *[None] * 99])) as provider:
        two = ask(frame, provider, repeats=2, max_workers=1)
        assert two["tone"].tolist() == ["bad", "bad"]
        assert len(two.genai.errors) == 0  # every row has an answer
    with LoopbackProvider(lambda text: {"tone": "good", "length": 1}) as provider:
        again = ask(frame, provider, repeats=2, retry_failed=False)
        assert provider.ledger.calls == 0
        pd.testing.assert_frame_equal(again, two)
        assert again.genai.report.message == (
            "2 of 4 answers to 2 texts are missing; shares are of those that came."
        )
        ask(frame, provider, repeats=3, retry_failed=False)
        assert provider.ledger.answered == {"a": 1, "b": 1}  # the third, which never failed
        ask(frame, provider, repeats=3)
        assert provider.ledger.answered == {"a": 2, "b": 2}
        assert "missing" not in ask(frame, provider, repeats=3).genai.report.message
        assert provider.ledger.answered == {"a": 2, "b": 2}


def test_which_of_several_jobs_is_meant():
    frame = frame_of(["a", "b"])
    with LoopbackProvider(lambda text: {"tone": "good"}) as provider:
        given = {"base_url": provider.openai_url, "api_key": "k", "cache": "c.sqlite"}
        for repeats in (np.int64(2), 3):
            frame.genai.batch_submit("Tone?", SOME, repeats=repeats, **given)
        with pytest.raises(pandas_genai.JobError) as error:
            frame.genai.batch_collect()
    for repeats in (2, 3):
        assert f"2 rows, {repeats} answers each" in str(error.value)


def test_a_number_of_numpy_is_a_number():
    frame = frame_of(["a", "b"])
    with LoopbackProvider(lambda text: {"tone": "good", "length": 1}) as provider:
        labels = ask(frame, provider, repeats=np.int64(2), chunk_size=np.int32(2))
        assert labels.genai.report.repeats == 2
        assert provider.ledger.calls == 2


def test_a_field_may_be_left_empty_by_most():
    rule = Moody(lambda text: [None, "good", None])
    with LoopbackProvider(rule) as provider:
        schema = {"tone": [*TONES, None], "length": int | None}
        labels = ask(frame_of(["a"]), provider, repeats=3, schema=schema)
    assert labels["tone"].isna().tolist() == [True]
    assert labels["tone_share"].tolist() == pytest.approx([2 / 3])


def test_lists_are_compared_whole_and_quotes_go_with_their_answer():
    turn = Counter()

    def rule(text):
        turn[text] += 1
        tags, words = [(["x"], "one"), (["x", "y"], "two"), (["x", "y"], "two")][turn[text] - 1]
        return {"tags": tags, "tone": "bad" if words == "two" else "good", "tone_quote": words}

    with LoopbackProvider(rule) as provider:
        labels = ask(
            frame_of(["one two"]), provider, repeats=3, max_workers=1, evidence=["tone"],
            schema={"tone": TONES, "tags": [str]},
        )  # fmt: skip
    assert labels["tags"].tolist() == [["x", "y"]]
    assert labels["tone"].tolist() == ["bad"]
    assert labels["tone_quote"].tolist() == ["two"]
    assert labels["tone_start"].tolist() == [4]


@pytest.mark.parametrize(
    ("repeats", "schema", "error", "words"),
    [
        (np.int64(0), ["x"], UsageError, "repeats="),
        (np.bool_(True), ["x"], UsageError, "repeats="),
        (0, ["x"], UsageError, "repeats= must be a whole number of at least 1, not 0"),
        (2.5, ["x"], UsageError, "repeats="),
        (True, ["x"], UsageError, "repeats="),
        ("3", ["x"], UsageError, "repeats="),
        (101, ["x"], UsageError, "pays for every row once more"),
        (2, None, UsageError, "one record a row"),
        (2, list[SOME], UsageError, "one record a row"),
        (2, {"tone": TONES, "tone_share": float}, SchemaError, "tone_share"),
        (2, {"repeat": TONES}, SchemaError, "number of an answer"),
    ],
)
def test_what_is_refused_before_anything_is_sent(repeats, schema, error, words):
    with LoopbackProvider(lambda text: {}) as provider:
        for verb in ("extract", "estimate", "preview", "batch_submit"):
            with pytest.raises(error, match=words):
                getattr(frame_of(["a"]).genai, verb)(
                    "Tone?", schema, repeats=repeats, base_url=provider.openai_url, api_key="k"
                )
        assert provider.ledger.calls == 0


def test_an_estimate_counts_every_answer():
    rule = Moody(lambda text: TONES)
    frame = frame_of(["a", "b", "a"])
    with LoopbackProvider(rule) as provider:
        ask(frame, provider)
        given = {"base_url": provider.openai_url, "api_key": "k", "cache": "c.sqlite"}
        schema = {"tone": TONES, "length": int}
        plan = frame.genai.estimate("Tone?", schema, repeats=4, chunk_size=1, **given)
    assert (plan.texts, plan.calls, plan.repeats, plan.cached) == (6, 6, 4, 0)
    assert "6 answers to ask" in str(plan)
    assert len(frame.genai.preview("Tone?", schema, 99, repeats=3, chunk_size=1)) == 6


def test_stopped_and_gone_on_with_nothing_is_paid_twice():
    rule = Moody(lambda text: TONES)
    frame = frame_of([f"text {number}" for number in range(40)])
    with LoopbackProvider(rule) as provider:

        class Impatient(pandas_genai.Observer):
            def moved(self, progress):
                if progress.done > 30:
                    raise KeyboardInterrupt

        provider.latency = 0.05
        with pytest.raises(Stopped, match="of 120 answers are answered and kept") as stopped:
            ask(frame, provider, repeats=3, max_workers=2, progress=Impatient())
        assert 0 < stopped.value.result["tone"].notna().sum() <= 40
        provider.latency = 0
        assert provider.ledger.wait_until(lambda ledger: not ledger.in_flight, 10)
        labels = ask(frame, provider, repeats=3)
    assert labels.notna().all(axis=None)
    assert set(rule.asked.values()) == {3}


def test_offline_takes_what_there_is():
    rule = Moody(lambda text: ["good", "bad", "bad"])
    frame = frame_of(["a", "b"])
    with LoopbackProvider(rule) as provider:
        three = ask(frame, provider, repeats=3)
        four = ask(frame, provider, repeats=4, offline=True)
        assert sum(rule.asked.values()) == 6
    pd.testing.assert_frame_equal(three, four)
    assert "2 of 8 answers to 2 texts are missing" in four.genai.report.message


def test_a_batch_asks_as_often_and_shares_the_cache():
    rule = Moody(lambda text: ["good", "bad", "bad"])
    frame = frame_of(["a", "b", "a", "c", None])
    schema = {"tone": TONES, "length": int}
    with LoopbackProvider(rule) as provider:
        given = {"base_url": provider.openai_url, "api_key": "k", "cache": "c.sqlite"}
        first = ask(frame, provider)
        job = frame.genai.batch_submit("Tone?", schema, repeats=3, name="job", **given)
        assert job.status().rows == 6
        labels = frame.genai.batch_collect(wait=True)
        assert set(rule.asked.values()) == {3}
        assert labels["tone_share"].dropna().tolist() == pytest.approx([2 / 3] * 4)
        report = labels.genai.report
        assert (report.rows, report.ok, report.empty, report.repeats) == (5, 4, 1, 3)
        pd.testing.assert_frame_equal(ask(frame, provider, repeats=3), labels)
        pd.testing.assert_frame_equal(ask(frame, provider), first)
        assert set(rule.asked.values()) == {3}
        whole = pandas_genai.open_job("job").collect()
        pd.testing.assert_frame_equal(whole, labels)
        assert len(labels.genai.repeats) == 15
        some = frame.iloc[[3, 0]].genai.batch_collect()
        assert some["tone"].tolist() == labels["tone"].iloc[[3, 0]].tolist()


def test_an_archive_gives_every_answer_back():
    rule = Moody(lambda text: ["good", "bad", "bad"])
    frame = frame_of(["a", "b", "a"])
    with LoopbackProvider(rule) as provider:
        labels = ask(frame, provider, repeats=3)
    one, two = labels.genai.export("one.zip"), labels.genai.export("two.zip")
    assert one.read_bytes() == two.read_bytes()
    again = pandas_genai.replicate(one, frame.iloc[::-1])
    pd.testing.assert_frame_equal(again.labels, labels.iloc[::-1], check_flags=False)
    assert "asked 3 times" in again.report.methods()
