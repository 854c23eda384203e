"""Inputs of two parts in a batch, and what is read of inputs when results are ingested."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from pandas_genai import JobError, SqliteCache
from pandas_genai.backends.registry import backend_named
from pandas_genai.batch.advance import PartAdvancer
from pandas_genai.batch.connection import Connection
from pandas_genai.batch.ingest import keys_of
from pandas_genai.batch.requests import SentInputs, inputs_of
from pandas_genai.task.inputs import MediaPart, RowInput, TextPart
from pandas_genai.task.rows import distinct_rows
from pandas_genai.testing import Fault

pytestmark = pytest.mark.filterwarnings(
    "ignore::pandas_genai.runs.failures.RowsFailedWarning",  # failures are a subject here
)


class Photo(RowInput):
    """A caption and an image."""

    def __init__(self, caption, number):
        self.caption, self.number = caption, number

    @property
    def parts(self):
        return TextPart(self.caption), MediaPart("image/png", b"\x89PNG" + bytes([self.number]))


def photos():
    return pd.DataFrame(
        {"photo": [Photo(f"row {one}", one) for one in (0, 1, 2, 3, 1)] + [None, "row 5"]}
    )


ANSWERS = ["row 0", "row 1", "row 2", "row 3", "row 1", None, "row 5"]


def answers(out):
    return [None if pd.isna(one) else one for one in out["answer"]]


def test_a_batch_answers_each_row_and_a_second_one_asks_nothing(night):
    with night() as kernel:
        job = kernel.submit(photos(), text="photo", chunk_size=2)
        assert answers(job.collect()) == ANSWERS
        assert job.report.duplicates == 1
        assert set(kernel.provider.ledger.answered.values()) == {1}
        again = kernel.submit(photos(), text="photo", name="again", chunk_size=2)
        assert answers(again.collect()) == ANSWERS
        assert len(kernel.batches()) == 1


def test_a_run_all_finds_its_job(night):
    with night() as kernel:
        kernel.submit(photos(), text="photo", name=None)
        kernel.submit(photos(), text="photo", name=None)
        assert len(kernel.batches()) == 1


def test_failed_rows_are_sent_again_with_their_images(night, backend):
    with night(faults=[Fault("garbage", text="row 3", times=1)]) as kernel:
        job = kernel.submit(photos(), text="photo", chunk_size=2)
        assert sum(one is None for one in answers(job.collect())) > 1
        job.resubmit_failed()
        assert answers(job.collect()) == ANSWERS
        first, second = (
            {
                one.text: one.parts
                for _, inputs in inputs_of(job.folder.requests(backend, number), backend)
                for one in inputs.values()
            }
            for number in (1, 2)
        )
    assert "row 3" in second
    assert second.items() <= first.items()
    assert first["row 3"] == Photo("row 3", 3).parts


def test_any_request_is_read_back_by_itself(night, frame_of, backend):
    with night() as kernel:
        job = kernel.submit(frame_of(20), chunk_size=3)
        known = keys_of(job.folder, job.folder.read_manifest().parts[0])
        path = job.folder.requests(backend, 1)
    file = SentInputs(path, backend_named(backend), known)
    keys = distinct_rows(frame_of(20)["text"]).keys
    texts = dict(zip(keys, frame_of(20)["text"], strict=True))
    for custom_id, sent in reversed(known.items()):
        found = file.of(custom_id, sent.keys)
        assert {key: one.text for key, one in found.items()} == {key: texts[key] for key in found}
    with pytest.raises(JobError, match="in the place of"):
        SentInputs(path, backend_named(backend), reversed(known)).read(next(iter(known)), ())


class TestReadAtIngest:
    """A check that reads the input of each row while results are taken in."""

    @staticmethod
    def ingest(kernel, job, check):
        with Connection(job.folder, kernel.connection_options()) as connection, connection.locked():
            connection.task = replace(connection.task, checks=(check,))
            with SqliteCache(kernel.cache) as cache:
                PartAdvancer(connection, cache).advance()

    def test_a_check_reads_each_rows_own_text_and_image(self, night):
        seen = {}

        def check(row, result):
            seen[row.input.text] = [part.data[-1] for part in row.input.media]
            assert result == {"answer": row.input.text}
            if row.input.text == "row 2":
                raise ValueError("The answer quotes nothing.")

        with night() as kernel:
            job = kernel.submit(photos(), text="photo", chunk_size=2)
            kernel.provider.advance(86_400)
            self.ingest(kernel, job, check)
            out = job.collect()
            assert answers(out) == [one if one != "row 2" else None for one in ANSWERS]
            errors = out.genai.errors
            assert "The answer quotes nothing." in errors["message"].tolist()
        assert seen == {f"row {one}": [one] for one in range(4)} | {"row 5": []}

    def test_texts_too(self, night, frame_of):
        seen = []
        with night() as kernel:
            job = kernel.submit(frame_of(25), chunk_size=4)
            kernel.provider.advance(86_400)
            self.ingest(kernel, job, lambda row, _: seen.append((row.key, row.input.text)))
            assert sorted(text for _, text in seen) == sorted(frame_of(25)["text"])
            assert len({key for key, _ in seen}) == 25

    def test_nobody_who_asks_for_no_input_needs_the_request_files(self, night, frame_of, backend):
        with night() as kernel:
            job = kernel.submit(frame_of(4))
            kernel.provider.advance(86_400)
            job.folder.requests(backend, 1).unlink()
            assert job.collect()["answer"].tolist() == frame_of(4)["text"].tolist()

    def test_who_asks_is_told_which_file_is_gone(self, night, frame_of, backend):
        with night() as kernel:
            job = kernel.submit(frame_of(4))
            kernel.provider.advance(86_400)
            path = job.folder.requests(backend, 1)
            path.unlink()
            with pytest.raises(JobError, match=path.name):
                self.ingest(kernel, job, lambda row, _: row.input)
