"""The columns, dtypes and index that Dask is told are those of what partitions return."""

import itertools
from datetime import date, datetime
from typing import Optional

import dask
import dask.dataframe as dd
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import pandas_genai.dask  # noqa: F401 - gives ddf.genai
from pandas_genai.testing import LoopbackProvider

TEXTS = st.text("aé🎻 \u2028", max_size=4)
SCALARS = st.sampled_from(
    [
        (int, st.integers(-(2**63), 2**63 - 1)),
        (float, st.floats(allow_nan=False, allow_infinity=False)),
        (bool, st.booleans()),
        (str, TEXTS),
        (date, st.dates().map(date.isoformat)),
        (datetime, st.datetimes().map(datetime.isoformat)),
        (["good", "bad", "mixed"], st.sampled_from(["good", "bad", "mixed"])),
        ([3, 1, 2], st.sampled_from([1, 2, 3])),
        ([str], st.lists(TEXTS, max_size=2)),
        ({"inner": int}, st.fixed_dictionaries({"inner": st.integers(-9, 9)})),
    ]
)


def optional(pair):
    kind, values = pair
    if isinstance(kind, (list, dict)):
        return pair
    return Optional[kind], st.none() | values  # noqa: UP045 - of any type


FIELDS = st.dictionaries(
    st.sampled_from(["a", "b b", "ü", "label", "index", "class"]),
    st.one_of(SCALARS, SCALARS.map(optional)),
    min_size=1,
    max_size=4,
)


@st.composite
def cases(draw):
    """A schema, an answer for each text, whether they are lists of records, and an index."""
    fields = draw(FIELDS)
    record = st.fixed_dictionaries({name: values for name, (_, values) in fields.items()})
    many = draw(st.booleans())
    answers = draw(st.lists(st.lists(record, max_size=3) if many else record, max_size=5))
    schema = {name: kind for name, (kind, _) in fields.items()}
    rows = len(answers)
    index = draw(
        st.sampled_from(
            [
                pd.RangeIndex(rows),
                pd.Index([f"row {n}" for n in range(rows)], name="doc", dtype="str"),
                pd.date_range("2026-01-01", periods=rows, name="day"),
                pd.Index([n / 2 for n in range(rows)], dtype="float64"),
            ]
        )
    )
    return [schema] if many else schema, answers, index


@pytest.fixture(scope="module")
def provider():
    with LoopbackProvider() as provider:
        yield provider


FILES = itertools.count()


@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # runs take too long to make a failing case small
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(cases())
def test_meta_is_what_partitions_return(provider, tmp_path, case):
    schema, answers, index = case
    texts = [f"text {number}" for number in range(len(answers))]
    provider.rule = dict(zip(texts, answers, strict=True)).__getitem__
    frame = pd.DataFrame({"text": pd.array(texts, dtype="str")}, index=index)
    parts = [frame.iloc[:0], frame.iloc[:2], frame.iloc[2:]]
    given = {"api_key": "k", "base_url": provider.openai_url, "progress": False, "chunk_size": 1}
    # Otherwise Dask gives texts in the index another dtype than pandas does.
    with dask.config.set({"scheduler": "synchronous", "dataframe.convert-string": False}):
        ddf = dd.from_map(lambda part: parts[part], range(3), meta=frame.iloc[:0])
        path = tmp_path / f"{next(FILES)}.sqlite"
        labels = ddf.genai.extract("What?", schema, cache=path, **given)
        returned = [labels.partitions[number].compute() for number in range(3)]
        for part in returned:
            assert_frame_equal(part.iloc[:0], labels._meta, check_freq=False)
            assert part.dtypes.equals(labels.dtypes)
        computed = labels.compute()
    expected = frame.genai.extract("What?", schema, cache=path, **given)
    assert_frame_equal(computed, expected, check_index_type=len(frame) > 0, check_freq=False)


@pytest.mark.parametrize("text", ["a", ["a", "b"], "{a}: {b}"])
def test_columns_of_quotes_too(provider, tmp_path, text):
    answer = {"tone": "good", "tone_quote": "great", "topics": ["x"], "topics_quote": ["people"]}
    provider.rule = lambda _: answer
    frame = pd.DataFrame({"a": ["Great people", "Great"], "b": ["x", "People"]})
    frame = frame.astype("str")
    given = {"api_key": "k", "base_url": provider.openai_url, "progress": False, "text": text}
    given |= {"cache": tmp_path / "c.sqlite", "evidence": True}
    schema = {"tone": ["good", "bad"], "topics": [str]}
    with dask.config.set({"scheduler": "synchronous", "dataframe.convert-string": False}):
        labels = dd.from_pandas(frame, npartitions=2).genai.extract("What?", schema, **given)
        computed = labels.compute()
        assert_frame_equal(computed.iloc[:0], labels._meta, check_freq=False)
    assert_frame_equal(computed, frame.genai.extract("What?", schema, **given))
    assert computed["tone_grounded"].tolist() == ["normalised"] * 2
    assert ("tone_column" in computed) == (text != "a")
