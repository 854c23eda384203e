"""Chunks: shuffled once, asked again in ever smaller ones."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandas_genai import DataFrameIterator, UsageError
from pandas_genai.task.chunks import MAX_ROUNDS, Chunk, Row, plan_chunks
from pandas_genai.task.fingerprint import text_hash
from pandas_genai.task.inputs import Inputs, TextInput
from pandas_genai.task.prompt import user_content
from pandas_genai.task.rows import distinct_rows, rows_of_keys


def planned(texts, chunk_size=5):
    rows = distinct_rows(texts)
    return list(plan_chunks(rows, range(len(rows.keys)), texts, chunk_size))


def test_every_distinct_text_is_in_one_chunk():
    texts = [f"t{number % 70}" for number in range(100)] + [None]
    sent = [row.input.text for chunk in planned(texts) for row in chunk.rows]
    assert sorted(sent) == sorted({text for text in texts if text})
    assert sum(row.copies for chunk in planned(texts) for row in chunk.rows) == 100


@given(st.lists(st.text(), min_size=1, max_size=6))
def test_the_user_message_is_the_json_list_that_the_design_names(texts):
    rows = tuple(
        Row("", f"id{number}", TextInput(text), number) for number, text in enumerate(texts)
    )
    items = [{"input_id": row.token, "input_text": row.input.text} for row in rows]
    assert user_content(Chunk(rows)) == json.dumps(items, ensure_ascii=False)


def test_the_shuffle_is_the_same_each_time_and_spreads_neighbours():
    texts = [f"t{number}" for number in range(1000)]
    first, second = planned(texts), planned(texts)
    assert first == second
    together = sum(
        abs(a.position - b.position) == 1
        for chunk in first
        for a, b in zip(chunk.rows, chunk.rows[1:], strict=False)
    )
    assert together < 10


def test_any_chunk_may_come_first():
    texts = [f"t{number}" for number in range(23)]
    rows = distinct_rows(texts)
    turned = list(plan_chunks(rows, range(23), texts, 5, first=7))
    straight = planned(texts)
    assert turned == straight[2:] + straight[:2]


def test_tokens_are_short_opaque_and_differ():
    for chunk in planned([f"t{number}" for number in range(500)], chunk_size=50):
        tokens = [row.token for row in chunk.rows]
        assert len(set(tokens)) == len(tokens)
        assert all(5 <= len(token) <= 8 and token.isalnum() for token in tokens)


def test_tokens_grow_where_two_would_be_equal():
    (chunk,) = planned([f"t{number}" for number in range(20_000)], chunk_size=20_000)
    tokens = [row.token for row in chunk.rows]
    assert len(set(tokens)) == 20_000


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 20, 100, 1000])
def test_the_last_round_asks_each_row_alone(size):
    rows = tuple(Row(str(number), str(number), TextInput("t"), number) for number in range(size))
    chunks = [Chunk(rows)]
    for number in range(1, MAX_ROUNDS + 1):
        chunks = [heir for chunk in chunks for heir in chunk.again(chunk.rows)]
        assert sum(len(chunk.rows) for chunk in chunks) == size
        assert {chunk.round for chunk in chunks} == {number}
        assert {chunk.attempts for chunk in chunks} == {number}
    assert {len(chunk.rows) for chunk in chunks} == {1}


def test_a_chunk_that_only_waited_stays_whole():
    rows = tuple(Row(str(number), str(number), TextInput("t"), number) for number in range(5))
    assert [len(chunk.rows) for chunk in Chunk(rows).again(rows, whole=True)] == [5]


def test_distinct_rows():
    rows = distinct_rows(["a", None, "b", "a", "\ud800"])
    assert rows.codes.tolist() == [0, -1, 1, 0, -1]
    assert (rows.first.tolist(), rows.copies.tolist()) == ([0, 2], [2, 1])
    assert list(rows.keys) == [text_hash("a"), text_hash("b")] == [rows.keys[0], rows.keys[1]]
    assert (rows.empty, rows.unsendable) == ([1], [4])
    assert len(rows) == 5


@given(st.lists(st.none() | st.sampled_from(["a", "b", "c", "d", "\ud800"]), max_size=40))
def test_distinct_rows_as_a_dict_finds_them(texts):
    rows = distinct_rows(texts)
    sendable = [text for text in texts if text not in (None, "\ud800")]
    distinct = list(dict.fromkeys(sendable))
    assert list(rows.keys) == [text_hash(text) for text in distinct]
    assert [texts[position] for position in rows.first] == distinct
    assert rows.first.tolist() == [texts.index(text) for text in distinct]
    assert rows.copies.tolist() == [sendable.count(text) for text in distinct]
    found = [distinct[code] if code >= 0 else None for code in rows.codes]
    assert found == [text if text in distinct else None for text in texts]
    again = rows_of_keys(
        None if text is None else text_hash(text) if text in distinct else "" for text in texts
    )
    assert again.codes.tolist() == rows.codes.tolist()
    assert (again.empty, again.unsendable) == (rows.empty, rows.unsendable)


halves = st.sampled_from(["0" * 16, "f" * 16, "0123456789abcdef"])


@given(st.lists(st.tuples(halves, halves).map("".join), max_size=12))
def test_keys_that_begin_alike_are_told_apart(keys):
    rows = rows_of_keys(keys)
    distinct = list(dict.fromkeys(keys))
    assert list(rows.keys) == distinct
    assert [distinct[code] for code in rows.codes] == keys
    assert rows.first.tolist() == [keys.index(key) for key in distinct]
    assert [distinct[place] for place in rows.by_key] == sorted(distinct)


@pytest.mark.parametrize("first", [0, 3, 7])
@pytest.mark.parametrize("size", [1, 5, 7])
def test_texts_may_be_taken_for_many_chunks_at_once(first, size):
    texts = [f"row {number}" for number in range(5_003)]

    class Lazy(Inputs):
        def __len__(self):
            return len(texts)

        def __iter__(self):
            return iter(texts)

        def values(self, positions):
            return [texts[position] for position in positions]

    rows = distinct_rows(texts)
    wanted = range(0, len(texts), 2)
    lazy = list(plan_chunks(rows, wanted, Lazy(), size, first=first))
    assert lazy == list(plan_chunks(rows, wanted, texts, size, first=first))
    sent = [row for chunk in lazy for row in chunk.rows]
    assert sorted(row.position for row in sent) == list(wanted)
    assert all(row.input.text == texts[row.position] for row in sent)
    assert {len(chunk.rows) for chunk in lazy} <= {size, len(wanted) % size}


class TestDataFrameIterator:
    frame = pd.DataFrame({"key": [1, 2, 3], "words": ["a", "b", "c"]})

    def test_chunks_of_dicts(self):
        chunks = DataFrameIterator(self.frame, "key", "words", chunk_size=2)
        assert len(chunks) == 2
        expected = [
            [{"input_id": "1", "input_text": "a"}, {"input_id": "2", "input_text": "b"}],
            [{"input_id": "3", "input_text": "c"}],
        ]
        assert list(chunks) == expected
        assert list(chunks) == expected

    def test_names_of_the_keys(self):
        chunks = DataFrameIterator(
            self.frame, "key", "words", formatted_id_col="id", formatted_text_col="text"
        )
        assert next(iter(chunks))[0] == {"id": "1", "text": "a"}

    def test_next_goes_on_and_iterating_starts_over(self):
        chunks = DataFrameIterator(self.frame, "key", "words", chunk_size=2)
        assert [row["input_id"] for row in next(chunks)] == ["1", "2"]
        assert [row["input_id"] for row in next(chunks)] == ["3"]
        with pytest.raises(StopIteration):
            next(chunks)
        assert next(iter(chunks))[0]["input_id"] == "1"

    def test_a_missing_text_is_empty(self):
        frame = pd.DataFrame({"key": [1.5], "words": [None]})
        assert list(DataFrameIterator(frame, "key", "words")) == [
            [{"input_id": "1.5", "input_text": ""}]
        ]

    def test_empty(self):
        chunks = DataFrameIterator(self.frame.iloc[:0], "key", "words")
        assert (len(chunks), list(chunks)) == (0, [])

    def test_bad_arguments(self):
        with pytest.raises(UsageError, match=r"no column 'id': it has 'key', 'words'"):
            DataFrameIterator(self.frame, "id", "words")
        with pytest.raises(UsageError, match="at least 1"):
            DataFrameIterator(self.frame, "key", "words", chunk_size=0)
