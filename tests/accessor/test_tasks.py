"""One task, every verb: what they take, the requests they make of it, what Shift-Tab shows."""

from __future__ import annotations

import inspect
import json
import re

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pandas_genai
from pandas_genai import (
    BatchJob,
    DuplicateIndexWarning,
    Task,
    UsageError,
    genai,
    jobs,
    open_job,
    runs,
)
from pandas_genai.accessor import FrameAccessor, SeriesAccessor
from pandas_genai.task.task import PARTS
from pandas_genai.testing import LoopbackProvider

LABELS = ["good", "bad"]
EXAMPLES = [("The desk was closed.", "bad"), ("Lovely.", {"label": "good"})]
ASKING = ["extract", "estimate", "preview", "batch_submit"]
OWN = {"estimate": {"sample"}, "preview": {"n"}, "batch_submit": {"name", "folder"}}


def rule(text):
    return {"label": "good" if "Great" in text else "bad"}


@pytest.fixture(scope="module")
def provider():
    with LoopbackProvider(rule) as running:
        yield running


@pytest.fixture
def df():
    return pd.DataFrame({"review": ["Great.", "Awful."], "n": [1, 2]}, index=["x", "y"])


def names_of(method):
    return set(inspect.signature(method).parameters) - {"self"}


@pytest.mark.parametrize("accessor", [FrameAccessor, SeriesAccessor])
def test_all_verbs_take_the_same_options(accessor):
    options = names_of(accessor.extract)
    assert set(PARTS) <= options
    for verb in ASKING:
        assert names_of(getattr(accessor, verb)) == options | OWN.get(verb, set())


def methods_of(kind):
    found = inspect.getmembers(kind, inspect.isfunction)
    return [method for name, method in found if not name.startswith("_") and name != "collect_rows"]


PUBLIC = [
    *methods_of(FrameAccessor),
    *methods_of(BatchJob),
    *(genai, jobs, open_job, runs, Task),
]


@pytest.mark.parametrize("public", PUBLIC, ids=lambda public: public.__qualname__)
def test_a_signature_names_what_an_argument_may_be(public):
    """``object``, ``Any`` and a name that stands for several tell a reader of Shift-Tab nothing."""
    signature = inspect.signature(public)
    shown = {name: one.annotation for name, one in signature.parameters.items() if name != "self"}
    for annotation in [*shown.values(), signature.return_annotation]:
        assert annotation is not inspect.Parameter.empty
        assert not re.search(r"\b(object|Any|Cache|Prices|OnError|Backend)\b", str(annotation))


def test_what_shift_tab_shows():
    shown = str(inspect.signature(FrameAccessor.extract))
    assert "prompt: 'str | Task', schema: 'Shorthand | type | Path | None' = None" in shown
    assert "cache: 'str | Path | SqliteCache | Literal[False] | None' = None" in shown


@pytest.mark.parametrize("verb", ASKING)
def test_what_a_task_holds_is_not_given_beside_it(df, verb):
    task = Task("Tone?", LABELS, text="review")
    with pytest.raises(
        UsageError, match=r"has its own schema=, model=: .*task\.with_\(schema=\.\.\., mo"
    ):
        getattr(df.genai, verb)(task, LABELS, model="m")
    with pytest.raises(UsageError, match=r"has its own examples=: leave examples= out"):
        getattr(df["review"].genai, verb)(task, examples=[])
    with pytest.raises(UsageError, match="names no column"):
        getattr(df.genai, verb)(task.with_(text="zzz"), api_key="k")


def test_one_task_for_every_verb(df, provider, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    task = Task("Tone?", LABELS, model="gpt-6-luna", text="review", examples=EXAMPLES)
    where = {"base_url": provider.openai_url, "api_key": "k", "progress": False}
    assert task.prompt_hash is None
    (request,) = df.genai.preview(task, **where)
    known = task.prompt_hash
    assert f"hash      {known} (gpt-6-luna at loopback)" in repr(task)
    plan = df.genai.estimate(task, **where)
    bare = df.genai.estimate(task.with_(examples=None), **where)
    assert plan.texts == 2
    assert plan.input_tokens - bare.input_tokens > sum(len(text) for text, _ in EXAMPLES) / 4
    labels = df.genai.extract(task, **where)
    assert labels["label"].tolist() == LABELS
    assert labels.genai.report.prompt_hash == known == task.prompt_hash
    sent = [record.body for record in provider.ledger.requests if record.number][-1]
    assert sent == request["body"]
    again = df["review"].genai.extract(task, **where)
    assert again.genai.report.calls == 0
    assert df.genai.estimate(task, **where).texts == 0
    assert df.genai.estimate(task, fresh=True, **where).texts == 2
    job = df.genai.batch_submit(task, fresh=True, max_workers=3, on_error="keep", **where)
    assert job.report.prompt_hash == known
    assert df.genai.batch_collect(job.name)["label"].tolist() == LABELS
    same, other = (
        df.genai.batch_submit(task, fresh=True, name=name, **where) for name in (None, "b")
    )
    assert (same.name, other.name) == (job.name, "b")
    assert len(provider.batches) == 2
    capsys.readouterr()
    df.genai.preview(task, client=None)
    assert "api.openai.com" in repr(task)
    assert task.prompt_hash != known


def test_a_repeated_index_is_warned_of_before_a_job_too(df, provider, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    twice = pd.concat([df, df.assign(review=["Great!", "Awful!"])])
    where = {"base_url": provider.openai_url, "api_key": "k"}
    with pytest.warns(DuplicateIndexWarning, match="2 labels of the index"):
        twice.genai.batch_submit(Task("Tone?", LABELS), **where)


TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(str.strip)
SCHEMAS = {
    "labels": (LABELS, st.sampled_from(LABELS)),
    "dict": ({"n": int, "note": str | None}, st.fixed_dictionaries({"n": st.integers(0, 9)})),
    "records": ([{"word": str}], st.lists(st.fixed_dictionaries({"word": TEXTS}), max_size=2)),
    "none": (None, st.fixed_dictionaries({"n": st.integers(0, 9)})),
}


@st.composite
def parts(draw):
    schema, answers = SCHEMAS[draw(st.sampled_from(sorted(SCHEMAS)))]
    model, backend = draw(
        st.sampled_from(
            [
                (None, None),
                ("gpt-4.1-mini", "openai"),
                ("claude-haiku-5-5", None),
                ("claude-3-haiku-20240307", "anthropic"),
                ("local", None),
            ]
        )
    )
    return {
        "prompt": draw(TEXTS),
        "schema": schema,
        "model": model,
        "backend": backend,
        "params": draw(st.none() | st.fixed_dictionaries({"max_tokens": st.integers(1, 99)})),
        "text": draw(st.sampled_from([None, "review", ["review", "n"], "{n}: {review}"])),
        "examples": draw(st.none() | st.lists(st.tuples(TEXTS, answers), max_size=2)),
    }


@settings(max_examples=25, deadline=None)
@given(parts())
def test_a_task_and_its_parts_are_the_same(given_parts):
    df = pd.DataFrame({"review": ["Great.", "Awful.", None], "n": [1, 2, 3]})
    task = Task(**given_parts)
    by_task = df.genai.preview(task, n=2, chunk_size=1)
    assert json.dumps(df.genai.preview(n=2, chunk_size=1, **given_parts)) == json.dumps(by_task)
    whole = task.prompt_hash
    series = df["review"]
    given_parts.pop("text")
    assert series.genai.preview(task) == series.genai.preview(**given_parts)
    assert task.prompt_hash == whole
    variant = task.with_()
    assert variant == task
    assert df.genai.preview(variant, n=2, chunk_size=1) == by_task
    assert variant.prompt_hash == whole


def test_tab_shows_the_public_names_and_nothing_else():
    assert dir(pandas_genai) == sorted(pandas_genai.__all__)
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", pandas_genai.__version__)
    with pytest.raises(AttributeError, match="no attribute 'zzz'"):
        _ = pandas_genai.zzz
