"""A provider that repeats the key in whatever place and writing: no part of it is kept or shown."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import tempfile
import traceback
import warnings
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import pandas_genai
from pandas_genai.batch.connection import ConnectionOptions
from pandas_genai.clock import Clock
from pandas_genai.testing import LoopbackProvider

BACKENDS = ["openai", "anthropic"]
PREFIXES = {"openai": ["sk-", "sk-proj-", ""], "anthropic": ["sk-ant-api03-"]}
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
PASSWORD = "Pw7Kq3Vn9Xz2Lr5T"

WRITINGS = {
    "raw": str,
    "part": lambda key: key[-14:],
    "repr": repr,
    "header": lambda key: f"Illegal header value b'Bearer {key}'",
    "base64": lambda key: base64.b64encode(f"Bearer {key}".encode()).decode(),
    "url": lambda key: f"https://me:{PASSWORD}@host/v1?key={quote(key)}",
    "percent": lambda key: "".join(f"%{ord(letter):02x}" for letter in key),
}
ESCAPED = "\N{PRIVATE USE TWO}"
"""Stands for the key until the body is bytes: then each letter becomes a JSON escape."""


def everywhere(value, secret):
    """Return JSON with a secret added to every text in it but those that hold it together."""
    if isinstance(value, dict):
        return {
            name: inner if name in KEPT else everywhere(inner, secret)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [everywhere(inner, secret) for inner in value]
    return f"{value} {secret}" if isinstance(value, str) else value


KEPT = {"object", "type", "finish_reason", "stop_reason", "role", "custom_id", "input_id"}
KEPT |= {"status", "processing_status", "endpoint", "completion_window", "method", "url"}


def with_content(body, secret, change):
    """Change the text that the model wrote."""
    for choice in body.get("choices") or []:
        choice["message"]["content"] = change(choice["message"]["content"], secret)
    for block in body.get("content") or []:
        if "text" in block:
            block["text"] = change(block["text"], secret)
    return body


def in_answers(text, secret):
    value = json.loads(text)
    for row in value["all_results"]:
        row["answer"] = f"{row['answer']} {secret}"
    return json.dumps(value, ensure_ascii=False)


def refused(body, secret):
    for choice in body.get("choices") or []:
        choice["message"] |= {"refusal": f"I cannot: {secret}", "content": None}
    if "stop_reason" in body:
        body |= {"stop_reason": "refusal", "content": [{"type": "text", "text": secret}]}
    return body


LIVE = {
    "answer": lambda body, secret: with_content(body, secret, in_answers),
    "prose": lambda body, secret: with_content(body, secret, lambda _, key: f"I say {key}"),
    "refusal": refused,
    "model": lambda body, secret: body | {"model": f"m-{secret}"},
    "id": lambda body, secret: body | {"id": secret},
    "usage": lambda body, secret: body | {"usage": {"prompt_tokens": secret}},
    "200 with an error": lambda body, secret: {"error": {"message": secret, "code": 400}},
    "everywhere": everywhere,
}
ERRORS = {
    "message": lambda secret: {
        "error": {"message": f"Bad key {secret}", "type": "t", "param": secret}
    },
    "code": lambda secret: {"error": {"message": "No.", "code": secret, "type": secret}},
    "list": lambda secret: [{"error": {"message": secret}}],
    "detail": lambda secret: {"detail": secret},
    "page": lambda secret: f"<html>{secret}</html>",
}


@st.composite
def secrets(draw, backend):
    letters = draw(st.permutations(LETTERS))
    body = "".join(letters[: draw(st.integers(20, 40))])
    return draw(st.sampled_from(PREFIXES[backend])) + body, body


def as_bytes(value, key, *, escaped):
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if escaped:
        # The text of the model is JSON in JSON: its own escapes have two backslashes.
        letters = "".join(f"\\u{ord(letter):04x}" for letter in key)
        text = text.replace(ESCAPED, letters)
    return text.encode()


class Hasty(Clock):
    """Does not wait."""

    def sleep(self, seconds):
        pass


class Records(logging.Handler):
    """Everything that any library logs."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.lines = []

    def emit(self, record):
        self.lines.append(self.format(record))


@contextlib.contextmanager
def watched():
    """An empty directory and every log record; yields what was shown, to be added to."""
    root, shown, handler = logging.getLogger(), [], Records()
    level, before = root.level, Path.cwd()
    # asyncio and hypothesis log on their own account.
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        os.chdir(place)
        try:
            yield shown
            files = [path for path in Path(place).rglob("*") if path.is_file()]
            shown += [path.read_bytes().decode("latin-1") for path in files]
            shown += [str(path) for path in files]
            shown += [str(warning.message) for warning in warned]
            shown += handler.lines
        finally:
            os.chdir(before)
            root.removeHandler(handler)
            root.setLevel(level)


def called(shown, call):
    """Call, and keep everything that a user may see of the outcome."""
    try:
        found = call()
    except pandas_genai.GenaiError as error:
        shown += traceback.format_exception(error)
        shown += [repr(error), str(vars(error))]
        seen, left = [], [error]
        while left:
            one = left.pop()
            if one is not None and one not in seen:
                seen.append(one)
                assert type(one).__module__.split(".")[0] in {"pandas_genai", "builtins"}
                left += [one.__cause__, one.__context__]
        found = getattr(error, "result", None)
    if isinstance(found, pd.DataFrame):
        shown += [found.to_csv(), str(found.attrs)]
        with contextlib.suppress(AttributeError, pandas_genai.UsageError):
            shown += [
                str(found.genai.report),
                repr(found.genai.report),
                found.genai.report._repr_html_(),
            ]
            shown += [found.genai.failures.to_csv()]
    return found


def parts_of(secret):
    return {secret[at : at + 12] for at in range(len(secret) - 11)}


def assert_nothing(shown, body, key):
    encoded = base64.b64encode(f"Bearer {key}".encode()).decode()[12:-4]
    needles = parts_of(body) | parts_of(encoded) | {PASSWORD}
    everything = "\n".join(shown)
    found = [needle for needle in needles if needle in everything]
    lines = [line[:300] for line in shown if any(needle in line for needle in found)]
    assert not found, (found[:2], lines[:3])


def options_of(provider, backend, key):
    path = "/v1" if backend == "openai" else ""
    url = f"http://127.0.0.1:{provider.port}{path}?key={PASSWORD}"
    return {"backend": backend, "base_url": url, "api_key": key}


def frame_of():
    return pd.DataFrame({"text": ["first", "second"]})


SLOW = settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@SLOW
@given(st.data())
def test_live(data):
    backend = data.draw(st.sampled_from(BACKENDS))
    key, body = data.draw(secrets(backend))
    escaped = data.draw(st.booleans())
    writing = data.draw(st.sampled_from(sorted(WRITINGS)))
    secret = ESCAPED if escaped else WRITINGS[writing](key)
    place = data.draw(
        st.sampled_from([*sorted(LIVE), *(f"error {name}" for name in ERRORS), "header"])
    )
    status = data.draw(st.sampled_from([400, 401, 403, 404, 422]))

    def answer(request, response):
        headers = {**response.headers, "x-echo": WRITINGS[writing](key)}
        if place == "header":
            headers |= {
                "x-request-id": WRITINGS[writing](key),
                "request-id": WRITINGS[writing](key),
            }
            return replace(response, headers=headers)
        if place.startswith("error "):
            said = ERRORS[place.removeprefix("error ")](secret)
            raw = as_bytes(said, key, escaped=escaped)
            return replace(response, status=status, body=raw, headers=headers)
        said = LIVE[place](json.loads(response.body), secret)
        return replace(response, body=as_bytes(said, key, escaped=escaped), headers=headers)

    with (
        watched() as shown,
        LoopbackProvider(lambda text: {"answer": text}, on_response=answer) as provider,
    ):
        options = options_of(provider, backend, key)
        call = lambda: frame_of().genai.extract("Echo.", {"answer": str}, progress=False, **options)
        called(shown, call)
        shown.append(pandas_genai.runs().to_csv())
        called(shown, call)
    assert_nothing(shown, body, key)


@SLOW
@given(st.data())
def test_batch(data):
    backend = data.draw(st.sampled_from(BACKENDS))
    key, body = data.draw(secrets(backend))
    escaped = data.draw(st.booleans())
    writing = data.draw(st.sampled_from(sorted(WRITINGS)))
    secret = ESCAPED if escaped else WRITINGS[writing](key)
    place = data.draw(st.sampled_from(["results", "errors", "listing", "created", "error", "file"]))

    def lines(raw):
        for line in raw.splitlines():
            said = json.loads(line)
            if place == "errors":
                yield failed(said)
            else:
                answered = said.get("response", {}).get("body") or said.get("result", {}).get(
                    "message"
                )
                if answered:
                    LIVE["answer"](answered, secret)
                yield everywhere(said, secret) if place == "file" else said

    def failed(said):
        if "result" in said:
            inner = {"type": "invalid_request_error", "message": secret}
            return said | {
                "result": {"type": "errored", "error": {"type": "error", "error": inner}}
            }
        refusal = {"error": {"message": secret, "code": secret}}
        return said | {"response": {"status_code": 400, "request_id": secret, "body": refusal}}

    def answer(request, response):
        headers = {**response.headers, "x-request-id": WRITINGS[writing](key)}
        is_file = request.path.split("?")[0].endswith(("/content", "/results"))
        changed = response.body
        if is_file and place in ("results", "errors", "file") and response.status == 200:
            said = [as_bytes(line, key, escaped=escaped) for line in lines(response.body)]
            changed = b"\n".join(said) + b"\n"
        elif request.method == "POST" and place == "error" and "batches" in request.path:
            changed = as_bytes(ERRORS["message"](secret), key, escaped=escaped)
            return replace(response, status=400, body=changed, headers=headers)
        elif not is_file and (place == "listing") == (request.method == "GET"):
            keep = place in ("listing", "created")
            said = json.loads(response.body)
            said = everywhere(said, secret) if keep else said
            changed = as_bytes(said, key, escaped=escaped)
        return replace(response, body=changed, headers=headers)

    with (
        watched() as shown,
        LoopbackProvider(lambda text: {"answer": text}, on_response=answer) as provider,
    ):
        options = options_of(provider, backend, key)
        call = lambda: frame_of().genai.batch_submit(
            "Echo.", {"answer": str}, name="night", **options
        )
        called(shown, call)
        job = called(
            shown, lambda: pandas_genai.open_job("night", base_url=options["base_url"], api_key=key)
        )
        if job is not None:
            connection_options = ConnectionOptions(key, options["base_url"], clock=Hasty())
            job = pandas_genai.BatchJob(job.folder, connection_options)
            called(shown, job.collect)
            called(shown, job.status)
            shown.append(repr(job))
        called(shown, pandas_genai.jobs)
    assert_nothing(shown, body, key)


@pytest.mark.parametrize("backend", BACKENDS)
def test_labels_that_look_like_a_key_are_not_rewritten(backend):
    prefix = PREFIXES[backend][0]
    labels = [prefix, "sk-ant-api03-", "sk-ant-api03", "sk-proj-", "sk-proj-1234", "***"]
    frame = pd.DataFrame({"text": labels})
    with LoopbackProvider(lambda text: {"answer": text}) as provider:
        out = frame.genai.extract(
            "Echo.",
            {"answer": str},
            progress=False,
            **options_of(provider, backend, prefix + LETTERS[:40]),
        )
    assert out["answer"].tolist() == labels


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_short_key_does_not_rewrite_answers(backend):
    with LoopbackProvider(lambda text: {"answer": text}) as provider:
        options = options_of(provider, backend, "first") | {"progress": False}
        out = frame_of().genai.extract("Echo.", {"answer": str}, **options)
    assert out["answer"].tolist() == ["first", "second"]
