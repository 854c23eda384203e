"""Frames with odd labels: the right answer on the right row, failed rows under their own labels."""

from __future__ import annotations

import warnings

import pandas as pd
import pandas.testing as pdt
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import pandas_genai
from pandas_genai.runs.report import _remembered, find_report
from pandas_genai.testing import LoopbackProvider, Refuse


class Odd:
    """A label that cannot be written."""

    def __str__(self):
        raise RuntimeError("no text")


PARTS = st.one_of(
    st.builds(Odd),
    st.text(max_size=4),
    st.text(st.characters(categories=["Cs", "Cc", "Ll"]), max_size=4),  # half pairs, controls
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.booleans(),
    st.none(),
    st.binary(max_size=3),
    st.datetimes().map(pd.Timestamp),
)
LABELS = st.one_of(PARTS, st.tuples(PARTS, PARTS))
NAMES = st.one_of(PARTS.filter(lambda name: name is not None), st.sampled_from(["text", 1, "1"]))


def rule(text):
    if text.startswith("refused"):
        raise Refuse("No \x1b[2J thanks.")
    return {"length": len(text)}


@settings(
    deadline=None,
    phases=[phase for phase in Phase if phase is not Phase.shrink],  # each example is a run
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(LABELS, min_size=2, max_size=5), st.lists(NAMES, max_size=3), st.data())
def test_answers_reach_their_rows_whatever_the_labels(tmp_path_factory, labels, names, data):
    refused = data.draw(st.sets(st.sampled_from(range(len(labels)))))
    texts = [f"{'refused' if n in refused else 'answered'} {'x' * n}" for n in range(len(labels))]
    index = pd.Index(labels, dtype=object, tupleize_cols=False)
    columns = pd.Index([*names, "the text"], dtype=object, tupleize_cols=False)
    frame = pd.DataFrame(
        [[*("other" for _ in names), text] for text in texts], index=index, columns=columns
    )
    cache = tmp_path_factory.mktemp("odd") / "cache.sqlite"
    with LoopbackProvider(rule) as provider, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = frame.genai.extract(
            "How long?",
            {"length": int},
            text="the text",
            base_url=provider.openai_url,
            model="m",
            cache=cache,
            progress=False,
        )
    pdt.assert_index_equal(out.index, frame.index)
    expected = [None if n in refused else len(text) for n, text in enumerate(texts)]
    assert [None if pd.isna(value) else value for value in out["length"]] == expected
    errors = out.genai.errors
    pdt.assert_index_equal(errors.index, frame.index[sorted(refused)])
    assert set(errors["reason"]) <= {"refusal"}
    assert pandas_genai.runs(cache)["failed"].tolist() == [len(refused)]
    run_id = out.genai.report.run_id
    _remembered.clear()  # as in a later kernel, which reads the labels from the file
    later = find_report(run_id, cache).errors
    assert later["message"].tolist() == errors["message"].tolist()
