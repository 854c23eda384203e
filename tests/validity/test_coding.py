"""Coding one text after the other: what was decided is kept, and is what a sheet would hold."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pandas_genai
from pandas_genai.errors import CacheError, UsageError
from pandas_genai.store.sqlite.reviews import ReviewFile
from pandas_genai.validity.coding import Coding, codes_in
from pandas_genai.validity.design import coder_of, design_of, notes_of

_spec = importlib.util.spec_from_file_location("coders", Path(__file__).with_name("conftest.py"))
coders = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(coders)

CODES = [
    {"tone": "good", "year": "1999", "score": "0.5", "topics": ["pay"], "ok": "yes", "why": "=x"},
    {"tone": "bad", "year": None, "score": "-3", "topics": [], "ok": "no", "why": "-"},
    {"tone": "mixed", "year": "1", "score": "2", "topics": ["food", "pay"], "ok": "no", "why": "y"},
]


def begun(sample, folder, coder=""):
    review = sample.review.by(coder)
    return Coding(review, sample["text"].tolist(), folder / "reviews" / f"{review.name}.sqlite")


def code_all(coding, rows=CODES):
    for row in rows:
        for name, value in row.items():
            at = coding.view()["at"]
            view = coding.step({"do": "set", "at": at, "field": name, "value": value})
            assert "error" not in view
    return view


def test_the_result_is_that_of_a_sheet(kind, sample, tmp_path):
    coding = begun(sample, tmp_path, "anna")
    code_all(coding)
    coding.step({"do": "note", "at": 3, "text": "unsure"})
    sheet = kind(sample, tmp_path, coders="anna")
    for row, codes in enumerate(CODES):
        for name, value in codes.items():
            if value is not None:
                sheet.write(row, name, coders.in_cell(value))
    sheet.write(3, "note", "unsure")
    sheet.save()
    of_sheet = pandas_genai.read_review(sheet.path)
    for gold in (pandas_genai.read_review(coding.path), coding.codes()):
        pd.testing.assert_frame_equal(gold, of_sheet)
        assert gold.attrs == of_sheet.attrs
        assert coder_of(gold) == "anna"
        assert notes_of(gold).tolist() == ["", "", "", "unsure"]
        assert design_of(gold) == sample.design


def test_it_goes_on_where_it_was(sample, tmp_path):
    coding = begun(sample, tmp_path)
    code_all(coding, CODES[:1])
    coding.step({"do": "set", "at": 1, "field": "tone", "value": "bad"})
    coding.step({"do": "skip", "at": 1})
    coding.step({"do": "set", "at": 2, "field": "tone", "value": "good"})
    again = begun(sample, tmp_path)
    view = again.view()
    assert (view["at"], view["active"]) == (2, 1)
    assert again.line == "1 of 4 texts coded, 1 skipped"
    assert again.step({"do": "back", "at": 2})["state"] == "skipped"
    assert again.step({"do": "back", "at": 1})["codes"]["topics"] == ["pay"]
    assert again.step({"do": "back", "at": 0})["at"] == 0
    again.step({"do": "skip", "at": 0})
    assert again.counts == (1, 1, 4), "what is coded is not skipped"


def test_the_skipped_ones_come_last(tmp_path):
    coding = begun(coders.make_sample(["a", "b", "c"], fields={"tone": ["x", "y"]}), tmp_path)
    coding.step({"do": "skip", "at": 0})
    coding.step({"do": "set", "at": 1, "field": "tone", "value": "x"})
    assert coding.step({"do": "forward", "at": 2})["finished"]
    assert coding.step({"do": "again", "at": 3})["at"] == 2
    assert coding.step({"do": "set", "at": 2, "field": "tone", "value": "y"})["finished"]
    assert coding.step({"do": "again", "at": 3})["at"] == 0
    view = coding.step({"do": "set", "at": 0, "field": "tone", "value": "y"})
    assert view["finished"]
    assert coding.line == "3 of 3 texts coded"
    for do in ("set", "skip", "note"):
        message = {"do": do, "at": 3, "field": "tone", "value": "x", "text": "x"}
        assert coding.step(message)["finished"]


def test_a_step_about_another_text_than_the_one_that_stands_there_is_not_taken(sample, tmp_path):
    coding = begun(sample, tmp_path)
    for at in (1, -1, None, "0"):
        view = coding.step({"do": "set", "at": at, "field": "tone", "value": "good"})
        assert (view["at"], view["codes"]) == (0, {})


def test_what_a_field_does_not_allow_is_said_and_not_kept(sample, tmp_path):
    coding = begun(sample, tmp_path)
    for field, value in {"year": "soon", "tone": "great", "score": "nan", "ok": "perhaps"}.items():
        view = coding.step({"do": "set", "at": 0, "field": field, "value": value})
        assert view["codes"] == {}
        assert f"of the field '{field}'" in view["error"]
    assert codes_in(coding.path)[1] == {}


def test_a_larger_sample_goes_on_with_the_same_codes(tmp_path):
    texts = ["a", "b", "c"]
    fields = {"tone": ["x", "y"]}
    small = coders.make_sample(texts, fields=fields, rest=["c"])
    coding = begun(small, tmp_path)
    coding.step({"do": "set", "at": 0, "field": "tone", "value": "y"})
    large = begun(coders.make_sample(texts, fields=fields), tmp_path)
    assert large.path == coding.path
    assert large.view()["at"] == 1
    assert large.counts == (1, 0, 3)
    assert design_of(pandas_genai.read_review(large.path)).sample == 3
    assert begun(small, tmp_path).counts == (1, 0, 2)
    assert design_of(pandas_genai.read_review(large.path)).sample == 3


def test_the_file_is_of_one_review(sample, tmp_path):
    coding = begun(sample, tmp_path, "anna")
    texts = sample["text"].tolist()
    for review in (
        sample.review,
        coders.make_sample(texts, pd.Index(list("wxyz"))).review.by("anna"),
        coders.make_sample(texts, sample.index, {"tone": ["good"]}).review.by("anna"),
    ):
        with pytest.raises(UsageError, match="another draw, other fields or another coder"):
            Coding(review, texts, coding.path)


def test_a_file_that_vanishes_is_noticed_with_the_next_decision(sample, tmp_path):
    coding = begun(sample, tmp_path)
    coding.path.unlink()
    with pytest.raises(CacheError, match=r"review file .* could not be used"):
        coding.step({"do": "skip", "at": 0})
    assert coding.counts[1] == 0, "what was not kept does not count"
    assert not coding.path.exists()


def test_foreign_and_damaged_files(sample, tmp_path):
    path = tmp_path / "other.sqlite"
    import sqlite3

    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(UsageError, match="another SQLite file"):
        pandas_genai.read_review(path)
    with pytest.raises(UsageError, match="another SQLite file"):
        Coding(sample.review, [""] * 4, path)
    coding = begun(sample, tmp_path)
    code_all(coding)
    whole = coding.path.read_bytes()
    coding.path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises((CacheError, UsageError), match=coding.path.name):
        pandas_genai.read_review(coding.path)
    other = tmp_path / "newer.sqlite"
    ReviewFile(other).create(json.dumps({"pandas_genai": 99}))
    with pytest.raises(UsageError, match="that this version can read"):
        pandas_genai.read_review(other)


SESSION = """
import importlib.util, os, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("coders", sys.argv[1])
coders = importlib.util.module_from_spec(spec)
spec.loader.exec_module(coders)
from pandas_genai.validity.coding import Coding
count = int(sys.argv[3])
sample = coders.make_sample([str(n) for n in range(count)], fields={"n": int, "tone": ["x", "y"]})
coding = Coding(sample.review, sample["text"].tolist(), Path(sys.argv[2]))
view = coding.view()
print("ready", flush=True)
while not view["finished"]:
    at, name = view["at"], sample.review.codebook.names[view["active"]]
    value = str(at) if name == "n" else "x"
    view = coding.step({"do": "set", "at": at, "field": name, "value": value})
    print(at, name, flush=True)  # the next text shows
print("all", flush=True)
"""


def test_killed_at_any_key_everything_that_was_shown_as_kept_is_kept(tmp_path):
    """Real kills, one session after the other, until all is coded."""
    path, count, kills = tmp_path / "r.sqlite", 20, 0
    coders_path = Path(__file__).with_name("conftest.py")
    shown = []
    for turn in range(200):
        command = [sys.executable, "-c", SESSION, str(coders_path), str(path), str(count)]
        session = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ})
        lines = 0
        for line in session.stdout:
            words = line.split()
            if words[0] in {"ready", "all"}:
                if words[0] == "all":
                    break
                continue
            shown.append((int(words[0]), words[1]))
            lines += 1
            if lines > 4 + turn % 4:
                session.send_signal(signal.SIGKILL)
                kills += 1
                break
        rest = [line.split() for line in session.stdout.read().splitlines()]
        shown += [(int(one[0]), one[1]) for one in rest if one[0] not in {"ready", "all"}]
        session.wait()
        session.stdout.close()
        _, decided = codes_in(path)
        kept = {(int(row), name) for row, code in decided.items() for name in code.answers}
        assert set(shown) <= kept
        assert len(kept - set(shown)) <= 1, "more was kept than was said"
        shown = list(kept)
        if len(kept) == 2 * count and session.returncode == 0:
            break
    gold = pandas_genai.read_review(path)
    assert gold["n"].tolist() == list(range(count))
    assert (gold["tone"] == "x").all()
    assert kills >= 4


keys = st.sampled_from(["set", "set", "set", "skip", "back", "forward", "note", "again", "choose"])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(keys, st.integers(0, 1), st.sampled_from(["x", "y", None, "bad"]))))
def test_whatever_is_pressed_a_later_kernel_finds_the_same_codes(pressed):
    import tempfile

    sample = coders.make_sample(["a", "b"], fields={"tone": ["x", "y"], "why": ["x", "y"]})
    with tempfile.TemporaryDirectory() as folder:
        coding = begun(sample, Path(folder))
        expected = {}
        for do, field, value in pressed:
            at, name = coding.view()["at"], ["tone", "why"][field]
            message = {"do": do, "at": at, "field": name, "value": value, "text": "hm"}
            if do == "choose":
                message["field"] = field
            view = coding.step(message)
            if do == "set" and value != "bad" and at < 2:
                expected[at, name] = value
            assert ("error" in view) == (do == "set" and value == "bad" and at < 2)
        assert view_of(coding) == view_of(begun(sample, Path(folder)))
        codes = pandas_genai.read_review(coding.path)
    for (at, name), value in expected.items():
        found = codes[name].iloc[at]
        assert found == value or (value is None and pd.isna(found))


def view_of(coding):
    return coding.counts, coding.codes().to_csv(), notes_of(coding.codes()).tolist()
