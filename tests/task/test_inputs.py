"""What is sent of a row, whatever kind of input it is: one contract for all kinds."""

from __future__ import annotations

import hashlib
import pickle

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandas_genai import UsageError
from pandas_genai.backends.anthropic import content as anthropic
from pandas_genai.backends.openai import content as openai
from pandas_genai.task.chunks import Chunk, plan_chunks
from pandas_genai.task.fingerprint import text_hash
from pandas_genai.task.inputs import (
    MEDIA_SIZE,
    MediaPart,
    PartsInput,
    RowInput,
    TextInput,
    TextPart,
    as_inputs,
)
from pandas_genai.task.prompt import inputs_in, user_content
from pandas_genai.task.reply import check_reply
from pandas_genai.task.rows import distinct_rows
from pandas_genai.task.schema import compile_schema
from pandas_genai.task.text import only_text_column, rows_text, series_text

PNG = b"\x89PNG\r\n\x1a\n"


class Photo(RowInput):
    """A caption and an image."""

    def __init__(self, caption, data=PNG):
        self.caption, self.data = caption, data

    @property
    def parts(self):
        return TextPart(self.caption), MediaPart("image/png", self.data)


KINDS = {
    "text": TextInput,
    "photo": Photo,
    "two texts": lambda text: PartsInput([TextPart(text), TextPart("and more")]),
    "page": lambda text: PartsInput([MediaPart("application/pdf", b"%PDF"), TextPart(text)]),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


class TestEveryKind:
    def test_equal_inputs_have_one_key_and_others_have_another(self, kind):
        assert kind("a").digest == kind("a").digest
        assert kind("a").digest != kind("b").digest
        assert len(kind("a").digest) == 16

    def test_no_two_kinds_share_a_key(self):
        keys = {make("a").digest for make in KINDS.values()}
        assert len(keys) == len(KINDS)

    def test_the_text_is_what_of_it_is_text(self, kind):
        assert kind("Où est-il ?").text.startswith("Où est-il ?")

    def test_sizes_count_bytes_and_characters_of_the_text_and_a_constant_for_each_file(self, kind):
        short, long = kind("e"), kind("e" * 10 + "é" * 10)
        assert long.size - short.size == 29
        assert long.characters - short.characters == 19
        files = sum(isinstance(part, MediaPart) for part in short.parts)
        assert short.size - len(short.text.replace("\n", "").encode()) == files * MEDIA_SIZE

    def test_it_is_read_back_from_a_request_with_the_same_key(self, kind):
        rows = distinct_rows([kind("a"), kind("b"), "c"])
        (chunk,) = plan_chunks(rows, range(3), [kind("a"), kind("b"), "c"], 3)
        for backend in (openai, anthropic):
            text, media = backend.read(backend.written(user_content(chunk)))
            found = inputs_in(text, media)
            assert list(found) == [row.token for row in chunk.rows]
            assert [one.digest.hex() for one in found.values()] == [row.key for row in chunk.rows]
            assert [one.text for one in found.values()] == [row.input.text for row in chunk.rows]

    def test_half_a_surrogate_pair_cannot_be_sent(self, kind):
        rows = distinct_rows([kind("\ud800"), kind("a"), None])
        assert (rows.unsendable, rows.empty, len(rows.keys)) == ([0], [2], 1)

    def test_a_check_reads_it(self, kind):
        def quotes(row, result):
            if result["quote"] not in row.input.text:
                raise ValueError("The quote is not in the text.")

        values = [kind("a b c"), kind("d e f")]
        (chunk,) = plan_chunks(distinct_rows(values), range(2), values, 2)
        entries = [{"input_id": row.token, "quote": "b c"} for row in chunk.rows]
        schema = compile_schema({"quote": str})
        accepted, refused = check_reply({"all_results": entries}, chunk, schema, [quotes])
        right = next(row.key for row in chunk.rows if "a b c" in row.input.text)
        assert list(accepted) == [right]
        assert [one.message for one in refused.values()] == ["The quote is not in the text."]


@given(st.text())
def test_a_text_has_the_key_that_it_always_had(text):
    data = text.encode("utf-8", "surrogatepass")
    if data.decode("utf-8", "replace") == text:
        expected = hashlib.sha256(data).digest()[:16]
        assert TextInput(text).digest == expected
        assert PartsInput([TextPart(text)]).digest == expected
        assert list(distinct_rows([text]).keys) == [expected.hex()]


def test_duplicates_are_found_across_kinds_of_objects():
    rows = distinct_rows([Photo("a"), Photo("a"), "a", TextInput("a"), Photo("a", b"other")])
    assert rows.codes.tolist() == [0, 0, 1, 1, 2]
    assert rows.copies.tolist() == [2, 2, 1]


def test_only_what_a_vendor_can_carry_is_an_attachment():
    with pytest.raises(UsageError, match=r"media_type='video/mp4' cannot be sent: .* images"):
        MediaPart("video/mp4", b"")


def test_a_place_in_a_text_is_no_attachment():
    fake = '{"attached": "image/png"}'
    values = [Photo(fake), fake]
    (chunk,) = plan_chunks(distinct_rows(values), range(2), values, 2)
    parts = user_content(chunk)
    text = "".join(part.text for part in parts if isinstance(part, TextPart))
    media = [part for part in parts if isinstance(part, MediaPart)]
    assert [media] == [[MediaPart("image/png", PNG)]]
    assert {one.text for one in inputs_in(text, media).values()} == {fake}


def test_large_inputs_are_sent_apart():
    values = [Photo(str(number)) for number in range(4)]
    rows = distinct_rows(values)
    chunks = list(plan_chunks(rows, range(4), values, 4, most_bytes=2.5 * MEDIA_SIZE))
    assert [len(chunk.rows) for chunk in chunks] == [2, 2]


def test_a_row_without_its_input_reads_it_only_when_asked():
    asked = []

    class Inputs(dict):
        def __missing__(self, key):
            asked.append(key)
            return TextInput("read")

    key = distinct_rows(["a"]).keys[0]
    chunk = Chunk.of_keys([key], Inputs())
    assert asked == []
    assert chunk.rows[0].input.text == "read"
    assert asked == [key]


class TestColumns:
    frame = pd.DataFrame({"photo": [Photo("a"), None, Photo(" ")], "year": [1, 2, 3]})

    def test_a_column_of_inputs_is_taken_as_it_is(self):
        assert rows_text(self.frame, "photo") == [
            self.frame["photo"][0],
            None,
            self.frame["photo"][2],
        ]

    def test_it_is_found_where_no_column_is_named(self):
        assert only_text_column(self.frame) == "photo"

    def test_an_input_with_nothing_in_it_is_empty(self):
        assert series_text(pd.Series([PartsInput([TextPart(" ")]), PartsInput([])])) == [None, None]

    @pytest.mark.parametrize("text", [["photo", "year"], "{photo} ({year})"])
    def test_a_file_does_not_fit_into_a_text(self, text):
        with pytest.raises(UsageError, match=r"row 0 cannot be written: .* column alone"):
            rows_text(self.frame, text)

    def test_texts_that_are_inputs_do(self):
        frame = pd.DataFrame({"a": [PartsInput([TextPart("x")])], "b": ["y"]})
        assert rows_text(frame, "{a} {b}") == ["x y"]
        assert rows_text(frame, ["a", "b"]) == ['{"a": "x", "b": "y"}']


def test_inputs_are_taken_as_inputs_whatever_the_column_holds():
    photo = Photo("a")
    assert as_inputs(["b", None, photo]).take([2, 0, 1]) == [photo, TextInput("b"), TextInput("")]
    assert as_inputs(["b", "c"]).take([1]) == [TextInput("c")]
    assert as_inputs(["b", "c"]).take([1])[0].parts == (TextPart("c"),)


def test_inputs_show_what_they_are():
    assert str(Photo("A cat.")) == "A cat. [image/png, 8 bytes]"
    assert pickle.loads(pickle.dumps(TextInput("a"))) == TextInput("a")


def test_inputs_that_are_read_back_are_written_as_those_at_hand():
    """Their rows hold a table of inputs, which is JSON itself, and must not be sent as such."""
    keys = [text_hash(text) for text in ("A cat.", 'A "dog".')]
    table = dict(zip(keys, map(TextInput, ("A cat.", 'A "dog".')), strict=True))
    read_back = Chunk.of_keys(keys, table)
    rows = tuple(row._replace(source=row.input) for row in read_back.rows)
    assert user_content(read_back) == user_content(Chunk(rows))
    assert '"input_text": "A cat."' in user_content(read_back)
