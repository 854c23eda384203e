"""The words a field rests on: asked for, found again in the user's own text, live and batch."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from pydantic import BaseModel, ConfigDict

from pandas_genai import (
    BudgetError,
    RowsFailedError,
    SchemaError,
    SqliteCache,
    Task,
    UsageError,
    open_job,
)
from pandas_genai.task.fingerprint import compute_prompt_hash
from pandas_genai.task.schema import compile_schema
from pandas_genai.testing import LoopbackProvider

MODES = {
    "openai": ["strict", "json_schema", "json_object", "text"],
    "anthropic": ["native", "tool", "text"],
}
TEXTS = [
    "Great people, “really” great.",
    "Awful food. Awful people.",
    "The desk\u00a0was\nclosed",
    "Said \"no\" — and a \\ in 'C:\\n'.",
    "🙂🙂 Die Straße ist schön",
    "أنا سعيد جدا",
    "   ",
]
QUOTES = [
    'people, "REALLY"',
    "Awful",
    "the desk was closed…",
    'said "no" - and',
    "STRASSE",
    "سعيد",
    None,
]
GROUNDED = ["normalised", "ambiguous", "normalised", "normalised", "normalised", "exact", None]
PASSAGES = [
    "people, “really”",
    None,
    "The desk\u00a0was\nclosed",
    'Said "no" — and',
    "Straße",
    "سعيد",
    None,
]
SCHEMA = {"tone": ["good", "bad"], "year": int | None}


def rule(text):
    """Quote what the table says, whatever stands around the text."""
    for one, quote in zip(TEXTS[:-1], QUOTES, strict=False):
        if one in text or json.dumps(one, ensure_ascii=False)[1:-1] in text:
            return {"tone_quote": quote, "tone": "good", "year": None, "year_quote": ""}
    raise AssertionError(text)


@pytest.fixture(scope="module")
def provider():
    with LoopbackProvider(rule) as running:
        yield running


@pytest.fixture(autouse=True)
def _notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=["openai", "anthropic"])
def backend(request):
    return request.param


@pytest.fixture
def options(provider, backend):
    url = provider.openai_url if backend == "openai" else provider.anthropic_url
    return {"backend": backend, "base_url": url, "api_key": "k", "progress": False}


@pytest.fixture
def df():
    return pd.DataFrame({"review": TEXTS, "n": range(len(TEXTS))}, index=list("abcdefg"))


def plain(column):
    """Return the values of a column, None for what is missing."""
    return column.astype(object).where(column.notna(), None).tolist()


def check(labels, texts=TEXTS):
    """Hold the columns of ``tone`` against the table."""
    assert labels.dtypes["tone_start"] == labels.dtypes["tone_end"] == "Int64"
    assert labels["tone_grounded"].cat.categories.tolist() == [
        *("exact", "normalised", "ambiguous", "not found")
    ]
    assert plain(labels["tone_grounded"]) == GROUNDED
    assert plain(labels["tone_quote"]) == QUOTES
    places = zip(texts, labels["tone_start"], labels["tone_end"], strict=True)
    found = [None if pd.isna(start) else text[start:end] for text, start, end in places]
    assert found == PASSAGES


def batch(df, *args, **options):
    options.pop("progress", None)
    job = df.genai.batch_submit(*args, **options)
    return df.genai.batch_collect(job.name), job


@pytest.mark.filterwarnings("ignore:1 of 7 rows")
def test_live_and_batch_in_every_output_mode(df, options, backend):
    columns = ["tone", "year", "tone_quote", "tone_start", "tone_end", "tone_grounded"]
    for mode in MODES[backend]:
        asked = {**options, "params": {"structured": mode}, "evidence": ["tone"], "text": "review"}
        labels = df.genai.extract("Tone?", SCHEMA, cache=f"{mode}.sqlite", **asked)
        assert labels.columns.tolist() == columns
        assert labels["tone"].tolist()[:-1] == ["good"] * 6
        check(labels)
        collected, job = batch(df, "Tone?", SCHEMA, name=mode, cache=f"b-{mode}.sqlite", **asked)
        pd.testing.assert_frame_equal(collected, labels, check_flags=False)
        assert job.report.prompt_hash == labels.genai.report.prompt_hash
        again = df.genai.extract("Tone?", SCHEMA, cache=f"b-{mode}.sqlite", **asked)
        pd.testing.assert_frame_equal(again, labels, check_flags=False)
        assert again.genai.report.calls == 0


@pytest.mark.parametrize("text", [["n", "review"], "{n!r:>4}: {review}\n({n})"])
def test_places_are_those_in_the_users_own_column(df, options, text):
    asked = {**options, "evidence": ["tone"], "text": text, "cache": "c.sqlite"}
    labels = df.iloc[:6].genai.extract("Tone?", SCHEMA, **asked)
    assert labels.columns.tolist()[-2:] == ["tone_grounded", "tone_column"]
    for row, passage in enumerate(PASSAGES[:6]):
        start, end, column = (labels.iloc[row][f"tone_{one}"] for one in ("start", "end", "column"))
        if passage is None:
            assert pd.isna(start)
            assert pd.isna(column)
            continue
        assert column == "review"
        assert df[column].iloc[row][start:end] == passage
    assert labels["tone_grounded"].tolist() == GROUNDED[:6]
    collected, _ = batch(df.iloc[:6], "Tone?", SCHEMA, **{**asked, "cache": "d.sqlite"})
    pd.testing.assert_frame_equal(collected, labels, check_flags=False)


def asking(answer, schema, *, text="Yes. Then yes. At last: yes.", **more):
    """Ask one row; whatever the text says, this is the answer."""
    df = pd.DataFrame({"text": [text]})
    with LoopbackProvider(lambda _: answer) as provider:
        return df.genai.extract(
            *("Which?", schema),
            base_url=provider.openai_url,
            api_key="k",
            cache=False,
            progress=False,
            evidence=True,
            **more,
        )


def test_records_are_told_apart_by_their_order():
    schema = [{"what": str, "sure": bool}]
    records = [
        {"what": "first", "what_quote": "yes", "sure": True, "sure_quote": "Yes"},
        {"what": "second", "what_quote": "yes", "sure": True, "sure_quote": "AT LAST"},
    ]
    labels = asking(records, schema)
    assert labels["what_start"].tolist() == [10, 24]
    assert labels["what_grounded"].tolist() == ["exact", "exact"]
    assert labels["sure_grounded"].tolist() == ["exact", "normalised"]
    labels = asking([*records, records[0]], schema)
    assert labels["what_grounded"].tolist() == ["ambiguous"] * 3
    assert labels["what_start"].isna().all()
    assert asking([], schema).empty


def test_records_in_several_columns(tmp_path):
    df = pd.DataFrame({"a": ["yes", "no", "yes no"], "b": ["then yes", 'a "no"', ""]})

    def rule(text):
        quotes = [] if "then" not in text else ["yes", "yes", "then"]
        return [{"what": quote, "what_quote": quote} for quote in quotes]

    asked = {"evidence": True, "text": ["a", "b"], "progress": False, "api_key": "k"}
    with LoopbackProvider(rule) as provider:
        asked |= {"base_url": provider.openai_url, "cache": tmp_path / "c.sqlite"}
        labels = df.genai.extract("Which?", [{"what": str}], **asked)
        with pytest.raises(UsageError, match="each label stands once"):
            df.set_axis([0, 0, 1]).genai.preview("Which?", [{"what": str}], **asked)
    assert labels.index.tolist() == [0, 0, 0]
    assert labels["what_column"].tolist() == ["a", "b", "b"]
    assert labels["what_start"].tolist() == [0, 5, 0]


def test_a_list_has_a_quote_for_each_item():
    answer = {"topics": ["a", "b", "c"], "topics_quote": ["Yes", "never"]}
    (row,) = asking(answer, {"topics": [str]}).to_dict("records")
    assert row["topics_quote"] == ["Yes", "never", None]
    assert row["topics_start"] == [0, None, None]
    assert row["topics_end"] == [3, None, None]
    assert row["topics_grounded"] == ["exact", "not found", "not found"]
    (row,) = asking({"topics": ["a"], "topics_quote": "Yes"}, {"topics": [str]}).to_dict("records")
    assert row["topics_quote"] == ["Yes"]
    (row,) = asking({"topics": [], "topics_quote": []}, {"topics": [str]}).to_dict("records")
    assert row["topics_quote"] == row["topics_grounded"] == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [(None, None), ("", None), (5, "5"), (["Yes", "At"], "Yes … At"), ({}, "{}")],
)
def test_no_row_fails_by_a_quote(given, kept):
    answer = {"tone": "good", "tone_quote": given}
    labels = asking(answer, {"tone": ["good", "bad"]}, params={"structured": "json_object"})
    assert labels["tone"].tolist() == ["good"]
    assert plain(labels["tone_quote"]) == [kept]
    assert labels["tone_grounded"].tolist() == ["not found"]
    del answer["tone_quote"]
    labels = asking(answer, {"tone": ["good", "bad"]}, params={"structured": "json_object"})
    assert labels["tone_grounded"].tolist() == ["not found"]


def test_half_of_a_surrogate_pair_is_no_reason_to_fail():
    schema = compile_schema({"tone": str}).with_evidence(True)
    answer = schema.validate({"tone": "x", "tone_quote": "a\ud83d"})
    assert answer == {"tone": "x", "tone_quote": "a?"}


def test_a_users_own_model_knows_nothing_of_quotes():
    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")
        tone: str
        n: int

    labels = asking({"tone": "x", "tone_quote": "Then", "n": 1, "n_quote": "last"}, Strict)
    assert labels[["tone_start", "n_end"]].to_numpy().tolist() == [[5, 22]]
    assert labels["tone_grounded"].tolist() == ["exact"]


@pytest.mark.parametrize(
    ("schema", "evidence", "message"),
    [
        ({"tone": str, "tone_quote": str}, True, 'has a field "tone_quote", a name that evidence='),
        ({"a": str, "a_start": int}, ["a"], 'has a field "a_start"'),
        ({"tone": str}, ["tones"], "evidence= names 'tones', .* did you mean 'tone'"),
        ({"tone": str}, ["x"], "evidence= names 'x', .* it has 'tone'"),
        ({"tone": str}, "tone", r"must be True or a list of fields, such as evidence=\['tone'\]"),
        ({"tone": str}, [], "must be True or a list"),
        ({"tone": str}, 1, "must be True or a list"),
        (None, True, "evidence= needs a schema"),
    ],
)
def test_what_cannot_be_asked_is_refused(schema, evidence, message):
    df = pd.DataFrame({"text": ["a"]})
    with pytest.raises((UsageError, SchemaError), match=message):
        df.genai.preview("Tone?", schema, evidence=evidence)
    with pytest.raises((UsageError, SchemaError), match=message):
        Task("Tone?", schema, evidence=evidence)


def test_a_task_without_evidence_is_what_it_was(df):
    plain, off = Task("Tone?", SCHEMA), Task("Tone?", SCHEMA, evidence=False)
    on = Task("Tone?", SCHEMA, evidence=("tone",))
    (body,), (same,), (other,) = (
        [one["body"] for one in df.iloc[:1].genai.preview(task.with_(text="review"))]
        for task in (plain, off, on)
    )
    assert body == same
    assert "quote" not in json.dumps(body)
    assert "tone_quote" in json.dumps(other)
    assert plain == off != on == on.with_()
    assert repr(on).splitlines()[2] == "  evidence  tone"
    assert on.with_(evidence=None) == plain
    known = {"schema": SCHEMA, "model": "m", "backend": "openai", "host": "h"}
    assert compute_prompt_hash("Tone?", **known) == compute_prompt_hash(
        "Tone?", **known, evidence=False
    )
    assert compute_prompt_hash("Tone?", **known) != compute_prompt_hash(
        "Tone?", **known, evidence=["tone"]
    )


@pytest.mark.parametrize("form", [SCHEMA, [SCHEMA], {"topics": [str], "tone": str}])
def test_a_schema_is_read_back_with_its_evidence(form):
    for evidence in (True, ["tone"]):
        schema = compile_schema(form).with_evidence(evidence)
        again = compile_schema(json.loads(schema.canonical))
        assert again == schema
        assert again.evidence == schema.evidence
        assert again.asked == schema.asked
        assert again.columns == schema.columns


def test_examples_show_quotes_too(df):
    good = {"tone": "good", "tone_quote": "GREAT", "year": None, "year_quote": ""}
    task = Task("Tone?", SCHEMA, examples=[("Great!", good)], evidence=True, text="review")
    (request,) = df.iloc[:1].genai.preview(task)
    shown = '{"input_id": "example-1", "tone_quote": "GREAT", "tone": "good", "year_quote": "", '
    assert shown in json.dumps(request["body"]).replace("\\", "")
    frame = pd.DataFrame([{"review": "Great!", **good}])
    assert task.with_(examples=frame) == task
    for missing, message in (
        ({"tone": "good"}, 'the answer has no "tone_quote": with evidence='),
        ({**good, "tone_quote": "lovely"}, "\"tone_quote\" is 'lovely', which is not in the text"),
        ("good", "the answer 'good' must be a dict"),
    ):
        with pytest.raises(UsageError, match=message):
            task.with_(examples=[("Great!", missing)])
    records = [{"tone": "good", "tone_quote": "Great"}, {"tone": "bad", "tone_quote": ""}]
    many = Task("?", [{"tone": str}], examples=[("Great!", records)], evidence=True)
    assert json.loads(many.solved[0][1]) == records


def test_estimates_count_the_words(df):
    df = pd.DataFrame({"text": [f"{number} great" for number in range(100)]})
    bare = df.genai.estimate("Tone?", SCHEMA)
    with_words = df.genai.estimate("Tone?", SCHEMA, evidence=True)
    assert with_words.input_tokens > bare.input_tokens
    assert with_words.output_tokens > 2 * bare.output_tokens
    assert with_words.live_cost > bare.live_cost


def test_partial_results_have_the_columns_too():
    df = pd.DataFrame({"a": ["Great", "Awful"], "b": ["x", "y"]})
    asked = {"text": ["a", "b"], "api_key": "k", "progress": False, "cache": False}
    answer = {"tone": "good", "tone_quote": "great"}

    def rule(text):
        return answer if "Great" in text else {"tone": 5}

    with LoopbackProvider(rule) as provider, pytest.raises(RowsFailedError) as caught:
        asked |= {"base_url": provider.openai_url, "on_error": "raise", "chunk_size": 1}
        df.genai.extract("Tone?", {"tone": str}, evidence=True, **asked)
    result = caught.value.result
    assert plain(result["tone_column"]) == ["a", None]
    assert plain(result["tone_grounded"]) == ["normalised", None]


def test_what_an_error_has_answered_has_them_too(tmp_path):
    df = pd.DataFrame({"a": ["Great", "Awful"], "b": ["x", "y"]})
    answer = {"tone": "good", "tone_quote": "great"}
    asked = {"text": ["a", "b"], "api_key": "k", "progress": False, "evidence": True}
    asked |= {"prices": {"input": 1.0, "output": 1.0}, "cache": tmp_path / "c.sqlite"}
    with LoopbackProvider(lambda _: answer) as provider:
        asked["base_url"] = provider.openai_url
        df.iloc[:1].genai.extract("Tone?", {"tone": str}, **asked)
        with pytest.raises(BudgetError) as caught:
            df.genai.extract("Tone?", {"tone": str}, max_cost=1e-9, **asked)
    result = caught.value.result
    assert plain(result["tone_column"]) == ["a", None]
    assert plain(result["tone_grounded"]) == ["normalised", None]


def test_a_job_is_collected_in_another_kernel_without_the_frame(provider, df):
    job = df.iloc[:6].genai.batch_submit(
        *("Tone?", SCHEMA),
        text="review",
        evidence=["tone"],
        base_url=provider.openai_url,
        api_key="k",
        name="words",
    )
    labels = open_job("words", api_key="k").collect()
    assert plain(labels["tone_grounded"]) == GROUNDED[:6]
    assert job.name == "words"


def test_answers_that_are_kept_have_their_places(provider, df, tmp_path):
    asked = {"base_url": provider.openai_url, "api_key": "k", "progress": False, "text": "review"}
    with SqliteCache(tmp_path / "c.sqlite") as cache:
        df.iloc[:1].genai.extract("Tone?", SCHEMA, evidence=["tone"], cache=cache, **asked)
        found = cache.runs()
        (text,) = cache.read(found[0]["prompt_hash"], cache.run_rows(found[0]["run_id"])).values()
    assert json.loads(text) == {
        "tone": "good",
        "year": None,
        "tone_quote": 'people, "REALLY"',
        "tone_start": 6,
        "tone_end": 22,
        "tone_grounded": "normalised",
    }


def test_rows_without_evidence_are_a_stratum():
    df = pd.DataFrame({"text": ["Great", "Great great", "x"]})

    def rule(text):
        quote = "great" if "Great" in text else "y"
        return {"tone": "good", "tone_quote": quote, "n": [1], "n_quote": ["Great"]}

    with LoopbackProvider(rule) as provider:
        asked = {"base_url": provider.openai_url, "api_key": "k", "progress": False, "cache": False}
        labels = df.genai.extract("?", {"tone": str, "n": [int]}, evidence=True, **asked)
    sample = labels.genai.review_sample(3, text=df["text"], stratify="ungrounded")
    assert sample.design.table["population"].to_dict() == {"grounded": 2, "ungrounded": 1}
