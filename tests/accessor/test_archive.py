"""The archive gives the same labels back, for whoever has the texts and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pandas_genai
from pandas_genai import UsageError
from pandas_genai.testing import LoopbackProvider

KEY = "sk-a-key-that-nobody-may-see-4711"
SCHEMA = {"tone": ["good", "bad"], "year": int | None, "topics": [str]}
pytestmark = pytest.mark.filterwarnings("ignore::pandas_genai.RowsFailedWarning")


def rule(text):
    if "odd" in text:
        return {"tone": "neither", "year": None, "topics": []}
    return {"tone": "good" if "Great" in text else "bad", "year": len(text), "topics": ["a", "b"]}


def frame_of(count):
    texts = [f"{'Great' if n % 3 else 'Awful'} secret words number {n}" for n in range(count)]
    index = pd.Index([f"doc {n}" for n in range(count)], name="doc")
    return pd.DataFrame({"review": texts}, index=index)


def asked(frame, cache, schema=SCHEMA, answers=rule, **options):
    with LoopbackProvider(answers) as provider:
        return frame.genai.extract(
            *("Tone?", schema),
            **{"cache": cache, "progress": False, "chunk_size": 2, "model": "m", "api_key": KEY}
            | {"base_url": provider.openai_url}
            | options,
        )


@pytest.fixture
def frame():
    frame = frame_of(7)
    frame.loc["doc 2", "review"] = "An odd one, secret words too"
    frame.loc["doc 4", "review"] = None
    frame.loc["doc 6", "review"] = frame["review"].iloc[0]
    return frame


@pytest.fixture
def labels(frame, tmp_path):
    return asked(frame, tmp_path / "c.sqlite")


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_same_labels_report_and_errors(frame, labels, tmp_path):
    path = labels.genai.export(tmp_path / "r.zip")
    found = pandas_genai.replicate(path, frame)
    pd.testing.assert_frame_equal(found.labels, labels)
    pd.testing.assert_frame_equal(found.labels.genai.errors, labels.genai.errors)
    assert found.evaluation is None
    assert found.report.run_id == labels.genai.report.run_id
    assert repr(found.report) == repr(labels.genai.report)
    for part in (found.labels.genai.report, found.report):
        assert (part.ok, part.failed, part.empty) == (5, 1, 1)


def test_in_another_order_and_in_a_process_without_anything(frame, labels, tmp_path):
    path = labels.genai.export(tmp_path / "r.zip")
    turned = frame.iloc[::-1]
    turned.reset_index().to_csv(tmp_path / "texts.csv", index=False)
    away = tmp_path / "away"
    away.mkdir()
    code = (
        "import pandas as pd, pandas_genai\n"
        f"df = pd.read_csv({str(tmp_path / 'texts.csv')!r}, index_col='doc')\n"
        f"labels, report, _ = pandas_genai.replicate({str(path)!r}, df)\n"
        "print(labels.to_json(orient='split')); print(labels.genai.errors['reason'].to_json())\n"
    )
    environment = {name: value for name, value in os.environ.items() if "KEY" not in name}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=away, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert json.loads(first) == json.loads(labels.loc[turned.index].to_json(orient="split"))
    assert json.loads(second) == {"doc 2": "invalid answer", "doc 4": "empty text"}
    assert list(away.iterdir()) == []


def test_twice_the_same_bytes_and_nothing_secret(frame, labels, tmp_path):
    first, second = labels.genai.export(tmp_path / "a.zip"), labels.genai.export(tmp_path / "b.zip")
    assert first.read_bytes() == second.read_bytes()
    for name, data in members(first).items():
        assert KEY.encode() not in data, name
        assert b"secret words" not in data, name
    whole = members(labels.genai.export(tmp_path / "whole.zip", texts=True))
    assert b"secret words number 1" in whole["texts.jsonl"]
    assert KEY.encode() not in b"".join(whole.values())
    pd.testing.assert_frame_equal(
        pandas_genai.replicate(tmp_path / "whole.zip", frame).labels, labels
    )


def quoting(text):
    return {"tone": "good", "tone_quote": text[:5].upper()} if "Great" in text else {
        "tone": "bad", "tone_quote": "secret words that are not there",
    }  # fmt: skip


@pytest.mark.parametrize("texts", [False, True])
def test_quotes_are_taken_from_the_texts_again(tmp_path, texts):
    frame = frame_of(4)
    labels = asked(frame, tmp_path / "c.sqlite", {"tone": ["good", "bad"]}, quoting, evidence=True)
    path = labels.genai.export(tmp_path / "r.zip", texts=texts)
    if not texts:
        assert b"secret" not in b"".join(members(path).values())
    found = pandas_genai.replicate(path, frame).labels
    if texts:
        pd.testing.assert_frame_equal(found, labels)
        return
    same = ["tone", "tone_start", "tone_end", "tone_grounded"]
    pd.testing.assert_frame_equal(found[same], labels[same])
    assert found["tone_quote"].tolist()[1:3] == ["Great", "Great"]  # the words as they stand there
    assert found["tone_quote"].isna().tolist() == [True, False, False, True]


def test_hand_codes_with_their_design_come_along(frame, tmp_path):
    frame = frame_of(60)
    labels = asked(frame, tmp_path / "c.sqlite")
    sample = labels.genai.review_sample(20, stratify="tone", fields="tone")
    sample.to_csv(tmp_path / "codes.csv")
    gold = pandas_genai.read_review(tmp_path / "codes.csv")
    gold["tone"] = labels["tone"].loc[gold.index]
    gold.iloc[3, gold.columns.get_loc("tone")] = "bad"
    path = labels.genai.export(tmp_path / "r.zip", gold=gold)
    found = pandas_genai.replicate(path, frame)
    pd.testing.assert_frame_equal(
        pd.DataFrame(found.evaluation), pd.DataFrame(labels.genai.evaluate(gold))
    )
    assert found.evaluation.weighted


def test_who_answered_each_row(frame, labels, tmp_path):
    again = asked(frame, tmp_path / "c.sqlite", offline=True)
    for one in (labels, again):
        requests = one.genai.requests
        assert requests.index.equals(frame.index)
        answered = one["tone"].notna()
        assert requests["request"].notna().equals(answered)
        assert requests["request"].value_counts().max() <= 3  # two a request, and one twice
        assert requests["model"][answered].eq("m").all()
        assert requests["answered"][answered].notna().all()
        assert requests["output_tokens"][answered].gt(0).all()
        assert requests["params"][answered].str.contains("structured").all()
    pd.testing.assert_frame_equal(labels.genai.requests, again.genai.requests)


OTHER = [
    (lambda df: df.assign(review=df["review"].fillna("x") + "!"), "is for other rows: 7 rows"),
    (lambda df: df.iloc[:5], "is for 7 rows, and this frame has 5"),
    (lambda df: pd.concat([df, df]), "is for 7 rows, and this frame has 14"),
    (lambda df: df.rename(columns={"review": "words"}), "does not have"),
    (
        lambda df: df.replace({"review": {"An odd one, secret words too": "new"}}),
        "the first at 'doc 2'",
    ),
]


@pytest.mark.parametrize(("change", "problem"), OTHER)
def test_another_frame_is_refused(frame, labels, tmp_path, change, problem):
    path = labels.genai.export(tmp_path / "r.zip")
    with pytest.raises(UsageError, match=problem):
        pandas_genai.replicate(path, change(frame))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    place = tmp_path_factory.mktemp("whole")
    return asked(frame_of(3), place / "c.sqlite").genai.export(place / "r.zip")


@settings(max_examples=60, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), how=st.sampled_from(["cut", "flip", "empty"]))
def test_a_damaged_archive_is_refused_in_one_sentence(tmp_path_factory, whole, where, how):
    data = whole.read_bytes()
    at = int(where * len(data))
    flipped = data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :]
    path = tmp_path_factory.mktemp("damaged") / "d.zip"
    path.write_bytes({"cut": data[:at], "flip": flipped, "empty": b""}[how])
    problem = ""
    try:
        found = pandas_genai.replicate(path, frame_of(3)).labels
    except UsageError as error:
        problem = str(error)
    assert "\n" not in problem
    if not problem:  # nothing depends on the byte, such as a date in a header
        right = pandas_genai.replicate(whole, frame_of(3)).labels
        pd.testing.assert_frame_equal(found, right)


def test_a_member_that_was_changed_is_named(frame, labels, tmp_path):
    found = members(labels.genai.export(tmp_path / "r.zip"))
    found["answers.jsonl"] = found["answers.jsonl"].replace(b'"bad"', b'"good"')
    with zipfile.ZipFile(tmp_path / "changed.zip", "w") as archive:
        for name, content in found.items():
            archive.writestr(name, content)
    with pytest.raises(UsageError, match=r"answers\.jsonl in .* is not what was written"):
        pandas_genai.replicate(tmp_path / "changed.zip", frame)
    del found["run.json"]
    with zipfile.ZipFile(tmp_path / "less.zip", "w") as archive:
        for name, content in found.items():
            archive.writestr(name, content)
    with pytest.raises(UsageError, match=r"lacks run\.json|answers\.jsonl in"):
        pandas_genai.replicate(tmp_path / "less.zip", frame)


def test_what_cannot_be_exported(frame, tmp_path):
    labels = asked(frame, False)
    with pytest.raises(UsageError, match="cache=False, which keeps nothing"):
        labels.genai.export(tmp_path / "r.zip")
    with pytest.raises(UsageError, match="not the result of a run"):
        pd.DataFrame({"x": [1]}).genai.export(tmp_path / "r.zip")
    kept = asked(frame, tmp_path / "c.sqlite")
    with pytest.raises(UsageError, match="There is no directory"):
        kept.genai.export(tmp_path / "nowhere" / "r.zip")
    with pytest.raises(UsageError, match="There is no archive"):
        pandas_genai.replicate(tmp_path / "none.zip", frame)
