"""What users write wrongly, and the sentence that says what to write instead."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pandas_genai import SchemaError, StopRunError, UsageError
from pandas_genai.testing import LoopbackProvider

LABELS = ["good", "bad"]


@pytest.fixture
def df():
    return pd.DataFrame(
        {"review": ["Great.", "Awful."], "body": ["a", "b"], "n": [1, 2]}, index=["x", "y"]
    )


CASES = [
    (lambda df: {"text": df["review"]}, r"the name of a column, not the Series.*text='review'"),
    (lambda df: {"text": df["review"].rename(None)}, "not the Series itself: write the name"),
    (lambda df: {"text": df[["review", "body"]]}, r"write text=\['review', 'body'\]"),
    (lambda df: {"text": df["review"].tolist()}, r"none of these is one .*pd\.Series\(texts\)"),
    (lambda df: {"text": "reveiw"}, "did you mean 'review'"),
    (lambda df: {"text": ["review", "boddy"]}, "did you mean 'body'"),
    (lambda df: {"text": "{reviw}"}, "did you mean 'review'"),
    (lambda df: {"text": "{body:d}"}, r"\{body:d\} does not fit 'a'"),
    (lambda df: {"params": "temperature=0"}, r"such as \{'temperature': 0\}, not 'temperature=0'"),
    (lambda df: {"temperature": 0}, r"temperature= goes into params=: write params=\{'temperature"),
    (lambda df: {"chunksize": 2}, "no argument chunksize=: did you mean chunk_size=?"),
    (lambda df: {"zzz": 2}, r"no argument zzz=: it takes prompt, schema, .*params=\{'zzz'"),
    (lambda df: {"progress": "yes"}, "progress='yes' shows nothing"),
]


@pytest.mark.parametrize(("options", "says"), CASES, ids=range(len(CASES)))
def test_the_sentence_says_what_to_write(df, options, says):
    given = {"text": "review", **options(df)}
    with pytest.raises(UsageError, match=says):
        df.genai.extract("Tone?", LABELS, **given)


@pytest.mark.parametrize("verb", ["extract", "estimate", "batch_submit", "preview"])
def test_every_verb_checks(df, verb):
    ask = getattr(df.genai, verb)
    with pytest.raises(UsageError, match="the prompt comes first"):
        ask(LABELS, "Tone?", text="review")
    with pytest.raises(UsageError, match=r"prompt= must be a text .* not a dict"):
        ask({"tone": LABELS}, text="review")
    with pytest.raises(UsageError, match="prompt= is missing"):
        ask()
    with pytest.raises(UsageError, match="goes into params="):
        ask("Tone?", LABELS, text="review", temperature=0)
    with pytest.raises(UsageError, match="not the Series itself"):
        ask("Tone?", LABELS, text=df["review"])
    with pytest.raises(UsageError, match="leave text= out"):
        getattr(df["review"].genai, verb)("Tone?", LABELS, text="review")


def test_a_positional_text(df):
    with pytest.raises(UsageError, match=r"Only prompt= and schema= may .* write text='review'"):
        df.genai.extract("Tone?", LABELS, "review")
    with pytest.raises(UsageError, match="n= must be a whole number"):
        df.genai.preview("Tone?", LABELS, "review")
    with pytest.raises(UsageError, match="write the others with their names"):
        df["review"].genai.extract("Tone?", LABELS, "gpt-6-luna")


@pytest.mark.parametrize(
    ("schema", "answer", "dtype"),
    [
        (bool, True, "boolean"),
        (int, 3, "Int64"),
        (float, 0.5, "Float64"),
        (str, "fine", "str"),
        (np.float64, 0.5, "Float64"),
    ],
)
def test_a_plain_type_is_one_column(df, schema, answer, dtype):
    with LoopbackProvider(lambda text: {"label": answer}) as provider:
        where = {"base_url": provider.openai_url, "api_key": "k", "cache": False}
        out = df.genai.extract("Tone?", schema, text="review", progress=False, **where)
    assert out["label"].tolist() == [answer, answer]
    assert out["label"].dtype == dtype


def test_numpys_types_and_sets_as_fields(df):
    schema = {"a": np.float64, "b": np.int32, "c": np.bool_, "d": np.str_ | None}
    (request,) = df.genai.preview("Tone?", schema, text="review")
    plain = {"a": float, "b": int, "c": bool, "d": str | None}
    assert request == df.genai.preview("Tone?", plain, text="review")[0]
    with pytest.raises(SchemaError, match='Field "tone" is a set, which has no order: write a li'):
        df.genai.preview("Tone?", {"tone": {"good", "bad"}}, text="review")
    with pytest.raises(SchemaError, match="numpy's complex128"):
        df.genai.preview("Tone?", {"tone": np.complex128}, text="review")


def test_a_base_url_without_its_path(df):
    with LoopbackProvider(lambda text: {"label": "good"}) as provider:
        bare = provider.openai_url.removesuffix("/v1")
        where = {"base_url": bare, "api_key": "k", "cache": False, "progress": False}
        with pytest.raises(StopRunError, match=r"has no path: servers often want '.*/v1'"):
            df.genai.extract("Tone?", LABELS, text="review", **where)


def test_what_the_accessors_print(df):
    assert repr(df.genai).startswith("2 rows to ask: .preview(prompt, schema)")
    assert repr(df.head(1).genai).startswith("1 row to ask")
    assert repr(df["review"].genai).startswith("2 texts to ask")
    with LoopbackProvider(lambda text: {"label": "good"}) as provider:
        where = {"base_url": provider.openai_url, "api_key": "k", "cache": False}
        out = df.genai.extract("Tone?", LABELS, text="review", progress=False, **where)
    assert repr(out.genai).startswith("2 rows of answers (run ")
