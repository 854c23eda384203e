"""The task: checked when it is made, compared by content, and what its examples become."""

from __future__ import annotations

import copy
import enum
import json
import pickle
import string
from dataclasses import FrozenInstanceError, dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator

from pandas_genai import SchemaError, Task, UsageError, compute_prompt_hash
from pandas_genai.task.chunks import Chunk, Row
from pandas_genai.task.inputs import TextInput
from pandas_genai.task.prompt import system_text, user_content
from pandas_genai.task.task import BoundTask

LABELS = ["good", "bad"]
TONE = {"tone": LABELS, "year": int | None}


class Review(BaseModel):
    tone: Literal["good", "bad"]
    year: int | None = None

    @field_validator("tone", mode="before")
    @classmethod
    def _lower(cls, value):
        return value.lower() if isinstance(value, str) else value


class Renamed(BaseModel):
    tone: str = Field(validation_alias="said", serialization_alias="heard")


class Day(BaseModel):
    day: date


@dataclass
class Plain:
    tone: str


class Tone(enum.Enum):
    GOOD = "good"


def bound(task, backend="openai"):
    return BoundTask.of(task, model="m", backend=backend, host="api.openai.com")


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"prompt": " "}, "prompt= must be a text"),
        ({"prompt": None}, "not None"),
        ({"prompt": LABELS, "schema": "Tone?"}, "the prompt comes first"),
        ({"schema": {"tone": {"a", "b"}}}, 'Field "tone" is a set'),
        ({"model": 5}, "model= must be the name of a model, not 5"),
        ({"backend": "x"}, "backend='x' is unknown"),
        ({"params": "temperature=0"}, "params= must be a mapping"),
        ({"params": {"model": "m"}}, "use the argument model="),
        ({"params": {"structured": "tool"}, "backend": "openai"}, "unknown for backend 'openai'"),
        ({"text": pd.Series(["a"], name="body")}, "write text='body'"),
        ({"text": pd.DataFrame({"a": [1]})}, r"write text=\['a'\]"),
    ],
)
def test_each_part_is_checked_where_the_task_is_made(parts, says):
    with pytest.raises((UsageError, SchemaError), match=says):
        Task(**{"prompt": "Tone?", "schema": LABELS, **parts})


@pytest.mark.parametrize(
    ("schema", "examples", "says"),
    [
        (LABELS, {"a": "good"}, "must be a list of pairs .* not a dict"),
        (LABELS, "good", "not a str"),
        (LABELS, pd.Series(["a"]), "not a Series"),
        (LABELS, [("a", "good"), "b"], r"examples\[1\] must be a pair \(text, answer\), not 'b'"),
        (LABELS, [(" ", "good")], r"examples\[0\]: the text must be a text .* not ' '"),
        (LABELS, [("\ud800", "good")], "half of a surrogate pair"),
        (LABELS, [("a", "good"), ("b", "godo")], r'examples\[1\]: Field "label" is "godo"'),
        (LABELS, [("a", {"lable": "good"})], "has no field 'lable': it has 'label'"),
        ({"x": float}, [("a", float("inf"))], 'Field "x" is inf: it must be a number'),
        (LABELS, [("a", object())], r"examples\[0\]: the answer holds <object"),
        (TONE, [("a", "good")], "must be a dict with the fields 'tone', 'year'"),
        (TONE, [("a", {"year": 1})], r'examples\[0\]: Field "tone" is missing'),
        (TONE, [("a", {"tone": "good", "year": "x"})], 'Field "year" is "x"'),
        ([TONE], [("a", {"tone": "good"})], "must be a list: the schema has several records"),
        ([TONE], [("a", [{"tone": "good"}, {}])], r'Field "records\[1\].tone" is missing'),
        (None, [("a", "good")], "must be a dict with its fields"),
        (LABELS, pd.DataFrame({"text": ["a"], "labl": ["good"]}), "has no column 'label'"),
        (LABELS, pd.DataFrame({"text": ["a", "b"], "label": ["good", None]}), r"examples\[1\]"),
        (None, pd.DataFrame({"text": ["a"]}), "a frame needs a schema"),
    ],
)
def test_the_error_says_which_example_and_which_field(schema, examples, says):
    with pytest.raises(UsageError, match=says):
        Task("Tone?", schema, examples=examples)


@pytest.mark.parametrize(
    ("schema", "answer", "shown"),
    [
        (LABELS, "good", {"label": "good"}),
        (LABELS, Tone.GOOD, {"label": "good"}),
        (int, np.int64(3), {"label": 3}),
        (TONE, {"tone": "good"}, {"tone": "good", "year": None}),
        (TONE, {"year": "1999", "tone": np.str_("bad")}, {"tone": "bad", "year": 1999}),
        (TONE, {"tone": "good", "year": float("nan")}, {"tone": "good", "year": None}),
        (TONE, {"tone": "good", "year": pd.NA}, {"tone": "good", "year": None}),
        ({"d": date | None}, {"d": pd.NaT}, {"d": None}),
        ({"d": date}, {"d": pd.Timestamp("2020-01-02")}, {"d": "2020-01-02"}),
        (Review, Review(tone="good"), {"tone": "good", "year": None}),
        (Review, {"tone": "GOOD"}, {"tone": "good", "year": None}),
        (Renamed, {"said": "x"}, {"said": "x"}),
        (Day, {"day": date(2020, 1, 2)}, {"day": "2020-01-02"}),
        (Plain, Plain("good"), {"tone": "good"}),
        ({"topics": [str]}, ("a", "b"), {"topics": ["a", "b"]}),
        ([{"n": int}], ["1", 2], [{"n": 1}, {"n": 2}]),
        ([TONE], [], []),
        (None, {"b": 1, "a": [2]}, {"b": 1, "a": [2]}),
    ],
)
def test_an_answer_is_coerced_as_a_reply_is(schema, answer, shown):
    task = Task("Tone?", schema, examples=iter([("a", answer)]))
    assert task.examples == (("a", shown),)
    assert task.with_() == task
    assert list(shown) == list(task.examples[0][1])


def test_a_frame_of_solved_cases():
    frame = pd.DataFrame(
        {
            "review": ["a", "b"],
            "tone": pd.Categorical(LABELS),
            "year": pd.array([1, None], dtype="Int64"),
            "stars": [1.5, 2.5],
        }
    )
    by_hand = [("a", {"tone": "good", "year": 1}), ("b", {"tone": "bad", "year": None})]
    task = Task("Tone?", TONE, examples=frame)
    assert task == Task("Tone?", TONE, examples=by_hand)
    told = Task("Tone?", TONE, text="{review}: {stars}", examples=frame)
    assert [text for text, _ in told.examples] == ["a: 1.5", "b: 2.5"]
    long = pd.DataFrame({"text": ["a", "b", "a"], "n": pd.array([1, None, 2], dtype="Int64")})
    many = Task("Numbers?", [{"n": int | None}], examples=long)
    assert many.examples == (("a", [{"n": 1}, {"n": 2}]), ("b", []))


def test_it_is_frozen_whatever_happens_to_its_parts(tmp_path):
    schema, params, text = {"tone": ["good"]}, {"extra_body": {"a": 1}}, ["a", "b"]
    path = tmp_path / "schema.json"
    path.write_text(json.dumps({"type": "object", "properties": {"n": {"type": "integer"}}}))
    task = Task("Tone?", schema, params=params, text=text)
    same, filed = copy.deepcopy(task), Task("Tone?", path)
    schema["tone"].append("bad")
    params["extra_body"]["a"] = 2
    text.append("c")
    path.unlink()
    assert task == same == task.with_() == pickle.loads(pickle.dumps(task))
    assert filed.with_() == filed == pickle.loads(pickle.dumps(filed))
    with pytest.raises(FrozenInstanceError):
        task.prompt = "Other?"
    with pytest.raises(TypeError):
        task.params["a"] = 1


def test_a_variant():
    task = Task("Tone?", LABELS, model="m", examples=[("a", "good")])
    other = task.with_(prompt="Mood?", params={"seed": 1})
    assert (other.prompt, other.model, other.params) == ("Mood?", "m", {"seed": 1})
    assert other != task
    assert task.prompt == "Tone?"
    assert task.with_(model=None).model is None
    with pytest.raises(UsageError, match="no part promt=: did you mean prompt="):
        task.with_(promt="x")
    with pytest.raises(UsageError, match="its parts are prompt, schema"):
        task.with_(zzz=1)
    with pytest.raises(UsageError, match=r'examples\[0\]: Field "label" is "good"'):
        task.with_(schema=["yes", "no"])


def test_what_it_prints():
    task = Task(
        "Tone?\nBe strict.",
        [TONE],
        model="m",
        backend="openai",
        params={"seed": 1},
        text=["a"],
        examples=[("a", [])],
    )
    assert repr(task).splitlines() == [
        "Task: Tone? Be strict.",
        "  schema    tone: good, bad; year: int, or nothing (several records a row)",
        "  model     m, backend openai",
        "  params    {'seed': 1}",
        "  text      ['a']",
        "  examples  1",
        "  hash      not known before a verb has taken the task; .preview(task) sends nothing",
    ]
    assert task.prompt_hash is None
    assert "as the prompt says" in repr(Task("Tone?"))


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
@pytest.mark.parametrize("schema", [LABELS, [{"n": int}], None])
def test_examples_have_the_form_of_a_chunk_and_its_reply(backend, schema):
    answers = {0: "good", 1: "bad"} if schema == LABELS else {0: [1, 2], 1: []}
    if schema is None:
        answers = {0: {"x": "a"}, 1: {"x": {}}}
    task = Task("Tone?", schema, examples=[('Said "é".\n', answers[0]), ("b", answers[1])])
    for shown in (False, True):
        text = system_text(bound(task, backend), show_schema=shown, show_limits=not shown)
        bare = system_text(
            bound(task.with_(examples=None), backend), show_schema=shown, show_limits=not shown
        )
        assert text.startswith(bare)
        items, reply = text.removeprefix(bare).split("\n")[3:6:2]
        chunk = Chunk(
            tuple(
                Row("", f"example-{number}", TextInput(said), 0)
                for number, (said, _) in enumerate(task.examples, 1)
            )
        )
        assert items == user_content(chunk)
        entries = json.loads(reply)["all_results"]
        assert [entry.pop("input_id") for entry in entries] == ["example-1", "example-2"]
        shown_answers = [entry.get("records", entry) for entry in entries]
        assert shown_answers == [answer for _, answer in task.examples]


def test_the_hash_of_examples_is_frozen_and_without_them_stays():
    """A changed hash would ask every row of everyone's cache again."""
    task = Task("Classify the tone.", LABELS)
    assert bound(task).prompt_hash == "1642b1d5f619a3c6455d817bcfb43a42"
    solved = task.with_(examples=[("Fine.", "good"), ("Bad.", {"label": "bad"})])
    assert bound(solved).prompt_hash == "fd9814e193d9e3f5e22912361fc61acb"
    assert bound(task.with_(examples=[])).prompt_hash == bound(task).prompt_hash
    assert bound(task.with_(text="body")).prompt_hash == bound(task).prompt_hash
    swapped = task.with_(examples=solved.examples[::-1])
    assert bound(swapped).prompt_hash != bound(solved).prompt_hash
    by_hand = compute_prompt_hash(
        "Classify the tone.",
        schema=LABELS,
        model="m",
        backend="openai",
        host="api.openai.com",
        examples=pd.DataFrame({"text": ["Fine.", "Bad."], "label": LABELS}),
    )
    assert by_hand == bound(solved).prompt_hash


RECORD = st.fixed_dictionaries({"tone": st.sampled_from(LABELS)})
ANSWERS = {
    "None": (None, RECORD),
    "labels": (LABELS, st.sampled_from(LABELS)),
    "bool": (bool, st.booleans()),
    "dict": (TONE, RECORD),
    "model": (Review, RECORD),
    "dataclass": (Plain, RECORD),
    "records": ([TONE], st.lists(RECORD, max_size=2)),
    "models": (list[Review], st.lists(RECORD, max_size=2)),
}
SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)
NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=6).map("x_".__add__)
PARAMS = st.dictionaries(NAMES, SCALARS | st.lists(SCALARS, max_size=2), max_size=2)
TEXTS = st.text(string.printable, min_size=1, max_size=8).filter(str.strip)


@st.composite
def parts(draw):
    schema, answers = ANSWERS[draw(st.sampled_from(sorted(ANSWERS)))]
    return {
        "prompt": draw(st.text(min_size=1, max_size=20).filter(str.strip).filter(is_sendable)),
        "schema": schema,
        "params": draw(st.none() | PARAMS),
        "text": draw(st.sampled_from([None, "review", ["review"], "{review}!"])),
        "examples": draw(st.none() | st.lists(st.tuples(TEXTS, answers), max_size=2)),
    }


def is_sendable(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@settings(max_examples=30, deadline=None)
@given(parts())
def test_round_trips(given_parts):
    task = Task(**given_parts)
    for other in (task.with_(), copy.copy(task), pickle.loads(pickle.dumps(task))):
        assert other == task
        assert hash(other) == hash(task)
        assert repr(other) == repr(task)
        assert bound(other).prompt_hash == bound(task).prompt_hash
    again = Task(**{**given_parts, "examples": task.examples})
    assert bound(again).examples == bound(task).examples
    assert task.with_(prompt=task.prompt + "?") != task
    assert task != given_parts["prompt"]


def test_a_path_may_be_text(tmp_path):
    path = Path(tmp_path) / "schema.json"
    path.write_text(json.dumps({"type": "object", "properties": {"n": {"type": "integer"}}}))
    assert Task("Tone?", str(path)) == Task("Tone?", path)
