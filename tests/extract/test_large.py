"""A frame so large that asking begins before all that is answered was read."""

from __future__ import annotations

import json
import threading

import pandas as pd
import pytest

from pandas_genai import SqliteCache, Stopped
from pandas_genai.backends.endpoints import Endpoints
from pandas_genai.backends.resolve import Question
from pandas_genai.batch.texts import FrameInputs
from pandas_genai.extract import Extraction
from pandas_genai.options import RunOptions
from pandas_genai.runs.progress import Silent
from pandas_genai.store import Answer
from pandas_genai.task.fingerprint import text_hash
from pandas_genai.task.task import Task
from pandas_genai.testing import LoopbackProvider

pytestmark = pytest.mark.filterwarnings("ignore::pandas_genai.RowsFailedWarning")

COUNT = 104_000
SCHEMA = {"who": str}


class Watched(SqliteCache):
    """Counts how many answers were read so far."""

    looked_up = 0

    def read(self, prompt_hash, text_hashes):
        type(self).looked_up += len(text_hashes)
        return super().read(prompt_hash, text_hashes)


@pytest.fixture(scope="module")
def frame():
    """Every text twice at its ends; the last hundred rows have nothing to send."""
    texts = [f"row {number}" for number in range(COUNT)]
    return pd.DataFrame({"text": [*texts, *texts[:50], *[None] * 100]})


def known(number):
    return number % 13 != 0


@pytest.fixture
def filled(tmp_path, frame):
    """A cache that has the answers of twelve rows in thirteen."""

    def fill(provider):
        options = {"base_url": provider.openai_url, "api_key": "k", "backend": "openai"}
        task = Task("Who?", SCHEMA, model="m", backend="openai")
        bound = Question(task, provider.openai_url, "k").resolve().task
        path = tmp_path / "c.sqlite"
        with SqliteCache(path) as cache:
            writer = cache.writer()
            writer.put(
                [
                    Answer(
                        bound.prompt_hash, text_hash(text), json.dumps({"who": text}), None, "m",
                        "m", "before", None, 1, 0, 1,
                    )
                    for number, text in enumerate(frame["text"][:COUNT])
                    if known(number)
                ]
            )  # fmt: skip
            writer.close()
        return path, {**options, "model": "m", "chunk_size": 20, "progress": False}

    return fill


def test_asking_begins_before_all_answers_were_read(frame, filled):
    seen = []

    def rule(text):
        seen.append(Watched.looked_up)
        return {"who": text}

    Watched.looked_up = 0
    with LoopbackProvider(rule) as provider:
        path, options = filled(provider)
        with Watched(path) as cache:
            result = frame.genai.extract("Who?", SCHEMA, cache=cache, **options)
    asked = sum(not known(number) for number in range(COUNT))
    assert len(seen) == asked
    assert seen[0] < COUNT / 2 < COUNT <= Watched.looked_up
    pd.testing.assert_series_equal(result["who"], frame["text"], check_names=False)
    report = result.genai.report
    copies = sum(not known(number) for number in range(50))
    assert (report.rows, report.ok, report.empty) == (len(frame), COUNT + 50, 100)
    assert report.cached == COUNT + 50 - asked - copies
    assert (report.duplicates, report.failed) == (50, 0)


def test_stopped_in_the_middle_and_gone_on(frame, filled):
    calls = []

    class Stops(Silent):
        def moved(self, progress):
            if progress.output_tokens and not calls:
                calls.append(progress)
                raise KeyboardInterrupt

    with LoopbackProvider(lambda text: {"who": text}) as provider:
        path, options = filled(provider)
        with pytest.raises(Stopped) as stopped:
            frame.genai.extract(
                "Who?", SCHEMA, cache=path, **{**options, "progress": Stops(), "max_workers": 2}
            )
        partial = stopped.value.result
        there = partial["who"].dropna()
        assert there.tolist() == frame["text"].loc[there.index].tolist()
        assert len(there) >= sum(map(known, range(COUNT)))
        result = frame.genai.extract("Who?", SCHEMA, cache=path, **options)
    assert result["who"].notna().sum() == COUNT + 50


def test_a_failed_row_is_empty_wherever_it_stands(frame, filled):
    asked = [number for number in range(COUNT) if not known(number)]
    bad = {f"row {number}" for number in asked[::1000]}

    with LoopbackProvider(lambda text: {"who": 1 if text in bad else text}) as provider:
        path, options = filled(provider)
        result = frame.genai.extract("Who?", SCHEMA, cache=path, **options)
    failed = frame["text"].isin(bad)
    assert result["who"].isna().equals(failed | frame["text"].isna())
    there = result["who"].dropna()
    assert there.tolist() == frame["text"].loc[there.index].tolist()


def test_the_first_is_asked_before_all_have_keys(frame):
    """The keys of a million texts take longer than all else that comes before."""
    asked = threading.Event()

    class Waits(FrameInputs):
        taken = 0

        def values(self, positions):
            self.taken += len(positions)
            assert self.taken < 30_000 or asked.wait(60)
            return super().values(positions)

    def rule(text):
        asked.set()
        return {"who": text}

    inputs = Waits(frame, {"column": "text"})
    with LoopbackProvider(rule) as provider:
        question = Question(Task("Who?", SCHEMA), provider.openai_url, "k")
        options = RunOptions(cache=False, chunk_size=100, endpoints=Endpoints())
        result = Extraction(question, inputs, frame.index, options).run()
    assert inputs.taken >= 2 * COUNT
    pd.testing.assert_series_equal(result["who"], frame["text"], check_names=False)
    assert result.genai.report.calls == COUNT / 100
