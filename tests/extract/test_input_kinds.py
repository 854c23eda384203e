"""An input of two parts, a caption and an image, is asked as a text is."""

from __future__ import annotations

import base64
import json

import pandas as pd
import pytest

import pandas_genai  # noqa: F401 - registers df.genai
from pandas_genai.task.inputs import MEDIA_SIZE, MediaPart, RowInput, TextPart
from pandas_genai.testing import LoopbackProvider

MODELS = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}
SCHEMA = {"answer": str}


class Photo(RowInput):
    """A caption and an image."""

    def __init__(self, caption, data):
        self.caption, self.data = caption, data

    @property
    def parts(self):
        return TextPart(self.caption), MediaPart("image/png", self.data)


def image(number):
    return b"\x89PNG\r\n\x1a\n" + bytes([number]) * 300


FRAME = pd.DataFrame(
    {
        "photo": [
            Photo("a cat", image(1)),
            Photo("a dog", image(2)),
            None,
            Photo("a cat", image(1)),
            Photo("a cat", image(3)),
            "only a text",
            Photo("half \ud800", image(4)),
        ]
    },
    index=list("abcdefg"),
)
ANSWERS = ["a cat", "a dog", None, "a cat", "a cat", "only a text", None]


def echo(text):
    return {"answer": text}


@pytest.fixture(params=MODELS)
def ask(request, tmp_path):
    """Call a verb with a provider's address."""

    def call(verb, provider, frame=FRAME, **options):
        backend = request.param
        url = provider.openai_url if backend == "openai" else provider.anthropic_url
        given = {"cache": tmp_path / "c.sqlite", "chunk_size": 3, "progress": False} | options
        if verb == "preview":
            given = options | {"chunk_size": 3}
        if verb == "estimate":
            del given["progress"]
        given |= {"backend": backend, "model": MODELS[backend], "base_url": url}
        return getattr(frame.genai, verb)("Echo.", SCHEMA, text="photo", api_key="k", **given)

    call.backend = request.param
    return call


def media_in(body):
    """Return the bytes of the images of a request, with the text before each."""
    found, before = [], ""
    for block in body["messages"][-1]["content"]:
        if block["type"] == "text":
            before = block["text"]
            continue
        if block["type"] == "image_url":
            kind, data = block["image_url"]["url"].removeprefix("data:").split(";base64,")
        else:
            assert block["type"] == "image"
            kind, data = block["source"]["media_type"], block["source"]["data"]
        assert kind == "image/png"
        assert before.endswith('{"attached": "image/png"}')
        found.append(base64.b64decode(data))
    return found


@pytest.mark.filterwarnings("ignore")
def test_each_row_gets_its_answer_and_equal_inputs_are_one_question(ask):
    with LoopbackProvider(echo) as provider:
        out = ask("extract", provider)
        bodies = [request.body for request in provider.ledger.requests]
    assert out.index.equals(FRAME.index)
    assert [None if pd.isna(one) else one for one in out["answer"]] == ANSWERS
    assert out.genai.errors["reason"].to_dict() == {"c": "empty text", "g": "unsendable text"}
    assert out.genai.report.duplicates == 1
    sent = [
        one
        for body in bodies
        if isinstance(body["messages"][-1]["content"], list)
        for one in media_in(body)
    ]
    assert sorted(sent) == [image(1), image(2), image(3)]


@pytest.mark.filterwarnings("ignore")
def test_a_second_run_asks_nothing(ask):
    with LoopbackProvider(echo) as provider:
        first = ask("extract", provider)
        calls = provider.ledger.calls
        again = [
            Photo(one.caption, one.data) if isinstance(one, Photo) else one
            for one in FRAME["photo"]
        ]
        second = ask("extract", provider, FRAME.assign(photo=again))
        assert provider.ledger.calls == calls
    pd.testing.assert_frame_equal(first, second)


def test_the_preview_is_what_is_sent_and_shows_what_a_person_can_read(ask):
    with LoopbackProvider(echo) as provider:
        shown = ask("preview", provider, n=9)
        ask("extract", provider, FRAME.drop(index=["c", "g"]))
        sent = [request.body for request in provider.ledger.requests]
    assert sorted(map(json.dumps, (one["body"] for one in shown))) == sorted(map(json.dumps, sent))
    html = shown._repr_html_()
    assert "a cat [image/png, 308 bytes]" in html
    assert base64.b64encode(image(1)).decode() not in html + repr(shown)
    assert "characters)" in repr(shown)


def test_an_estimate_counts_images_and_duplicates(ask):
    with LoopbackProvider(echo) as provider:
        plan = ask("estimate", provider)
        texts = FRAME.assign(
            photo=["a cat", "a dog", None, "a cat", "a third", "only a text", None]
        )
        without = ask("estimate", provider, texts)
    assert (plan.rows, plan.texts, plan.empty, plan.duplicates) == (7, 4, 2, 1)
    more = plan.input_tokens - without.input_tokens
    assert 3 * MEDIA_SIZE / 4 <= more <= 3 * MEDIA_SIZE / 4 + 100


def test_a_run_stays_in_its_budget(ask):
    with LoopbackProvider(echo) as provider:
        out = ask("extract", provider, FRAME.drop(index=["c", "g"]), max_cost=1.0)
    assert out["answer"].notna().all()


def test_rows_are_shown_with_what_was_asked(ask):
    with LoopbackProvider(echo) as provider:
        out = ask("extract", provider, FRAME.drop(index=["c", "g"]))
    joined = FRAME.drop(index=["c", "g"]).join(out)
    assert "a cat [image/png, 308 bytes]" in repr(joined.genai.show())
