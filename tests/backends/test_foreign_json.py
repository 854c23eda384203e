"""Any JSON in any place of an answer: it is read, or it is a failure with a reason."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandas_genai import CallError, RowError, SplitError
from pandas_genai.backends.anthropic import batches as anthropic_batches
from pandas_genai.backends.anthropic import replies as anthropic_replies
from pandas_genai.backends.batches import Batch, Page
from pandas_genai.backends.classify import Problem, problem_of
from pandas_genai.backends.completion import Completion, written
from pandas_genai.backends.fields import as_count, as_id, as_moment, as_text, one_line
from pandas_genai.backends.json_text import MAX_DEPTH, read_json, read_object, read_written
from pandas_genai.backends.openai import batches as openai_batches
from pandas_genai.backends.openai import replies as openai_replies
from pandas_genai.task.chunks import Chunk, Row
from pandas_genai.task.inputs import TextInput
from pandas_genai.task.reply import check_reply
from pandas_genai.task.schema import compile_schema

_SPEC = importlib.util.spec_from_file_location("foreign", Path(__file__).with_name("foreign.py"))
foreign = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(foreign)

ENTRY = {"input_id": "abcde", "answer": "fine"}
PAYLOAD = {"all_results": [ENTRY]}
CHAT = {
    "id": "chatcmpl-1",
    "model": "gpt-6-luna",
    "choices": [
        {
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": json.dumps(PAYLOAD), "refusal": None},
        }
    ],
    "usage": {
        "prompt_tokens": 20,
        "completion_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 10},
    },
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "model": "claude-haiku-5-5",
    "stop_reason": "end_turn",
    "content": [{"type": "thinking"}, {"type": "text", "text": json.dumps(PAYLOAD)}],
    "usage": {"input_tokens": 10, "output_tokens": 9, "cache_read_input_tokens": 10},
}
TOOL = MESSAGE | {"content": [{"type": "tool_use", "name": "extract_results", "input": PAYLOAD}]}
OPENAI_LINE = {
    "custom_id": "job-1-1",
    "response": {"status_code": 200, "request_id": "r", "body": CHAT},
    "error": None,
}
OPENAI_ERROR_LINE = {
    "custom_id": "job-1-1",
    "response": {"status_code": 400, "body": {"error": {"message": "no", "code": "x"}}},
}
EXPIRED = {"custom_id": "job-1-1", "response": None, "error": {"code": "batch_expired"}}
ANTHROPIC_LINE = {"custom_id": "job-1-1", "result": {"type": "succeeded", "message": TOOL}}
ANTHROPIC_ERROR_LINE = {
    "custom_id": "job-1-1",
    "result": {"type": "errored", "error": {"error": {"type": "x", "message": "no"}}},
}
OPENAI_BATCH = {
    "id": "batch_1",
    "status": "completed",
    "created_at": 1_790_000_000,
    "expires_at": 1_790_086_400,
    "request_counts": {"total": 3, "completed": 2, "failed": 1},
    "errors": {"data": [{"code": "x", "message": "no", "line": 3}]},
    "output_file_id": "file-1",
    "error_file_id": None,
    "metadata": {"pandas_genai_job": "night"},
    "input_file_id": "file-0",
}
ANTHROPIC_BATCH = {
    "id": "msgbatch_1",
    "processing_status": "ended",
    "created_at": "2026-11-25T00:00:00Z",
    "expires_at": "2026-11-26T00:00:00Z",
    "request_counts": {"succeeded": 2, "errored": 1},
    "results_url": "https://x.example/results",
}
PAGE = {"data": [OPENAI_BATCH, {"id": "batch_2"}], "has_more": True, "last_id": "batch_2"}

SCHEMA = compile_schema({"answer": str})
FREE = compile_schema(None)
CHUNK = Chunk((Row("ab" * 16, "abcde", TextInput("a text"), 0),))


def usable(completion):
    """Check the types and bounds of what was read of an answer, and its rows."""
    assert isinstance(completion, Completion)
    usage = completion.usage
    counts = (usage.input_tokens, usage.cached_tokens, usage.cache_write_tokens)
    assert all(type(count) is int and 0 <= count < 10**17 for count in counts)
    assert usage.cached_tokens + usage.cache_write_tokens <= usage.input_tokens
    assert usage.unknown_calls in (0, 1)
    for text in (completion.model, completion.id):
        assert text is None or (isinstance(text, str) and text.isprintable() and len(text) <= 200)
    if completion.fault is not None:
        assert isinstance(completion.fault, CallError)
        assert completion.fault.reason
        assert len(str(completion.fault)) < 1_000
        return
    for schema in (SCHEMA, FREE):
        accepted, refused = check_reply(completion.payload, CHUNK, schema)
        assert {*accepted, *refused} == {CHUNK.rows[0].key}
        for result in accepted.values():  # what is accepted can be read back, by every reader
            assert json.loads(result) == read_json(result)


def outcome(found):
    assert isinstance(found.custom_id, str)
    assert found.request_id is None or len(found.request_id) <= 200
    if found.answer is not None:
        usable(found.answer)
    else:
        assert isinstance(found.problem, Problem)
        assert found.problem.message


def batch(found):
    assert isinstance(found, Batch)
    assert as_id(found.id) == found.id
    assert type(found.ended) is bool
    assert all(0 <= count < 10**17 for count in (found.total, found.done, found.failed))
    for moment in (found.created, found.ends_by):
        assert moment is None or time.gmtime(moment)
    texts = (found.status, found.code, found.message, *found.tags.values())
    assert all(isinstance(text, str) for text in texts)
    assert found.output is None or isinstance(found.output, str)


def page(found):
    assert all(isinstance(entry, dict) for entry in found.entries)
    assert found.last is None or as_id(found.last)


READERS = [
    (CHAT, openai_replies.read_completion, usable),
    (MESSAGE, anthropic_replies.read_completion, usable),
    (TOOL, anthropic_replies.read_completion, usable),
    (OPENAI_LINE, openai_batches.outcome_of, outcome),
    (OPENAI_ERROR_LINE, openai_batches.outcome_of, outcome),
    (EXPIRED, openai_batches.outcome_of, outcome),
    (ANTHROPIC_LINE, anthropic_batches.outcome_of, outcome),
    (ANTHROPIC_ERROR_LINE, anthropic_batches.outcome_of, outcome),
    (OPENAI_BATCH, openai_batches.batch_of, batch),
    (ANTHROPIC_BATCH, anthropic_batches.batch_of, batch),
    (PAGE, Page.of, page),
]


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(READERS), st.integers(0, 10_000), foreign.JSON_TEXTS | st.none())
def test_any_json_in_any_place_is_read_or_refused(reader, number, text):
    whole, read, check = reader
    data = foreign.put(json.dumps(whole), number, text)
    try:
        found = read(read_object(data))
    except ValueError:
        return
    check(found)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["", "x ", "```\n"]), foreign.JSON_TEXTS)
def test_any_json_in_what_a_model_wrote_is_read_or_refused(number, around, text):
    data = foreign.put(json.dumps(PAYLOAD), number, text).decode()
    body = {"choices": [{"message": {"content": around + data + around}}]}
    usable(openai_replies.read_completion(body))


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from('{}[]":,\\ \n`ae') | st.characters(), max_size=200))
def test_prose_is_read_or_refused(text):
    for given_text in (text, f'{text}"all_results": [{text}'):
        with contextlib.suppress(ValueError):
            read_written(given_text)


@pytest.mark.parametrize("reader", READERS, ids=range(len(READERS)))
def test_the_right_answer_is_read(reader):
    whole, read, check = reader
    found = read(read_object(json.dumps(whole)))
    check(found)
    if isinstance(found, Completion):
        assert (found.fault, found.payload) == (None, PAYLOAD)
        assert (found.usage.input_tokens, found.usage.cached_tokens) == (20, 10)
        assert found.usage.known


@pytest.mark.parametrize(
    "text",
    [
        "{" * 2_000_000,
        '{"' * 150_000,
        '{"a":' * 3_000,
        '"all_results": [' * 20_000,
        '"results": [' + "[]," * 1_000_000,
        '"results": ["' + '\\"' * 1_000_000,
        '"results": ["' * 40 + '",[],' * 500_000,
        "x" + '"results"' + " " * 1_000_000,
        "[" * 200 + "]" * 200,
    ],
    ids=range(9),
)
def test_a_hostile_text_is_refused_at_once(text):
    started = time.process_time()
    with pytest.raises(SplitError, match="not JSON"):
        written(text)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    "text",
    [
        '\ufeff{"all_results": [1]}',
        '```json\n{"all_results": [1]}\n```',
        'Sure {"a": 1}:\n```json\n{"all_results": [1]}\n``` {}',
        'Answer: {"all_results": [1]}.',
        '<think>{"all_results": [2]}</think>{"all_results": [1]}',
        '<think>so</think>{"thought": "}", "results": [1]} {x}',
        '{"all_results": [1]} {"all_results": "x"}',
    ],
)
def test_right_json_is_read_whatever_stands_around_it(text):
    found = written(text)
    assert [1] in (found.get("all_results"), found.get("results"))


@pytest.mark.parametrize("text", ["{{{", '{"a": 1} x', "prose", "", None, 5, '{"all_results": ['])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(SplitError, match="not JSON"):
        written(text)


def test_a_draft_before_the_answer_is_noticed():
    draft, answer = ({"all_results": [ENTRY | {"answer": word}]} for word in ("bad", "good"))
    both = written(f"Draft: {json.dumps(draft)} Better: {json.dumps(answer)} {{}}")
    accepted, refused = check_reply(both, CHUNK, SCHEMA)
    assert not accepted
    assert [refusal.reason for refusal in refused.values()] == ["doubled in reply"]


@pytest.mark.parametrize("token", ["abcde", " abcde\n", "ABCDE", "Abcde "])
def test_an_id_in_capitals_or_between_spaces_is_the_same(token):
    accepted, _ = check_reply({"all_results": [ENTRY | {"input_id": token}]}, CHUNK, SCHEMA)
    assert list(accepted.values()) == ['{"answer":"fine"}']


def test_only_exact_ids_count_where_two_rows_could_be_meant():
    rows = (Row("ab" * 16, "abcde", TextInput("a"), 0), Row("cd" * 16, "ABCDE", TextInput("b"), 1))
    payload = {"all_results": [ENTRY | {"input_id": "abcde"}, ENTRY | {"input_id": " ABCDE"}]}
    accepted, refused = check_reply(payload, Chunk(rows), SCHEMA)
    assert (list(accepted), list(refused)) == (["ab" * 16], ["cd" * 16])


def test_a_token_of_digits_may_come_back_as_a_number():
    chunk = Chunk((Row("ab" * 16, "23456", TextInput("a"), 0),))
    assert check_reply({"all_results": [ENTRY | {"input_id": 23456}]}, chunk, SCHEMA)[0]
    for odd in (True, 23456.0, None, ["23456"], {"a": 1}):
        assert not check_reply({"all_results": [ENTRY | {"input_id": odd}]}, chunk, SCHEMA)[0]


def test_one_bound_on_depth_for_accepting_and_for_reading():
    for depth in (MAX_DEPTH, MAX_DEPTH + 1):
        text = json.dumps("[" * depth + "]" * depth)
        try:
            read_json(json.loads(text))
        except ValueError:
            assert depth > MAX_DEPTH
        else:
            assert depth == MAX_DEPTH
    deep = json.loads("[" * 70 + "]" * 70)
    accepted, refused = check_reply({"all_results": [ENTRY | {"x": deep}]}, CHUNK, FREE)
    assert (accepted, refused[CHUNK.rows[0].key].reason) == ({}, "invalid answer")


@pytest.mark.parametrize(
    ("usage", "known"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 5}, True),
        ({"prompt_tokens": "5", "completion_tokens": 5.0}, True),
        ({"prompt_tokens": 5}, False),
        ({"prompt_tokens": -5, "completion_tokens": 5}, False),
        ({"prompt_tokens": 1.5, "completion_tokens": 5}, False),
        ({"prompt_tokens": True, "completion_tokens": 5}, False),
        ({"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": "x"}, True),
        *[(odd, False) for odd in ("x", [], True, None, -1, 5)],
    ],
)
def test_usage_that_is_no_count_is_unknown(usage, known):
    assert openai_replies.read_completion(CHAT | {"usage": usage}).usage.known is known
    renamed = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
    if isinstance(usage, dict):
        usage = {renamed.get(name, name): value for name, value in usage.items()}
    assert anthropic_replies.read_completion(MESSAGE | {"usage": usage}).usage.known is known


def test_bodies_that_are_json_in_a_string_are_read():
    for body in (json.dumps(CHAT), CHAT):
        for status in (200, "200", None, "ok"):
            response = {"status_code": status, "body": body}
            line = {"custom_id": "a", "response": response}
            assert openai_batches.outcome_of(line).answer.payload == PAYLOAD
            line = {"custom_id": "a", "response": json.dumps(response)}
            assert openai_batches.outcome_of(line).answer.payload == PAYLOAD
    line = {"custom_id": "a", "result": {"type": "succeeded", "message": json.dumps(TOOL)}}
    assert anthropic_batches.outcome_of(line).answer.payload == PAYLOAD


@pytest.mark.parametrize("body", ["prose", 5, [], {"choices": None}, {"choices": [{}]}, True, ""])
def test_a_200_is_an_answer_whatever_it_holds(body):
    response = {"status_code": 200, "body": body}
    found = openai_batches.outcome_of({"custom_id": "a", "response": response})
    assert isinstance(found.answer.fault, SplitError)
    assert not found.answer.usage.known
    line = {"custom_id": "a", "result": {"type": "succeeded", "message": body}}
    assert isinstance(anthropic_batches.outcome_of(line).answer.fault, SplitError)


def test_a_refusal_is_one_line_without_controls():
    choice = {"message": {"refusal": "No\x1b[2J\n" + "x" * 10_000}}
    fault = openai_replies.read_completion({"choices": [choice]}).fault
    assert isinstance(fault, RowError)
    assert str(fault).isprintable()
    assert len(str(fault)) < 600


@pytest.mark.parametrize(
    "name", ["../x", "a/../b", ".", "a/.", "", "a b", "a?b", "a\nb", "x" * 300]
)
def test_an_id_that_leads_elsewhere_is_none(name):
    assert as_id(name) is None
    with pytest.raises(ValueError, match="no id"):
        openai_batches.batch_of(OPENAI_BATCH | {"id": name})


@settings(max_examples=200, deadline=None)
@given(st.floats() | st.integers() | st.text(max_size=30) | st.booleans() | st.none())
def test_fields_of_any_scalar(value):
    count, moment, text = as_count(value), as_moment(value), as_text(value)
    assert count is None or 0 <= count < 10**15
    assert moment is None or time.gmtime(moment)
    assert text is None or text.isprintable()


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80), st.integers(1, 40))
def test_an_errors_words_and_a_replys_fields_are_cleaned_alike(text, most):
    line = one_line(text, most)
    assert len(line) <= most
    assert (line.isprintable() and line == " ".join(line.split())) or not line
    assert as_text(text, most) == (line or None)
    if line and not text.lstrip().startswith("<"):  # of a page, only the words are shown
        assert problem_of(400, {"error": {"message": text}}, {}).message == one_line(text)
