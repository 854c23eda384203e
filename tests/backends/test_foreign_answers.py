"""Any JSON in any place of what a provider sends: runs and jobs come to their end."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import tempfile
import threading
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pandas_genai import GenaiError, SqliteCache
from pandas_genai.backends.endpoints import Endpoints
from pandas_genai.backends.resolve import Question
from pandas_genai.batch.connection import ConnectionOptions
from pandas_genai.batch.create import JobSpec
from pandas_genai.batch.folder import JobsFolder
from pandas_genai.batch.job import BatchJob, submit
from pandas_genai.batch.texts import text_form
from pandas_genai.clock import Clock
from pandas_genai.extract import Extraction
from pandas_genai.options import RunOptions
from pandas_genai.task.task import Task
from pandas_genai.task.text import rows_text
from pandas_genai.testing import Fault, LoopbackProvider

_SPEC = importlib.util.spec_from_file_location("foreign", Path(__file__).with_name("foreign.py"))
foreign = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(foreign)

KEY = "sk-test-key-0123456789"
MODELS = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}
FRAME = pd.DataFrame({"text": [f"row {number}" for number in range(6)]})
BACKENDS = pytest.mark.parametrize("backend", list(MODELS))
PATHS = {
    "openai": [
        *("POST /v1/files", "POST /v1/batches", "GET /v1/batches", "GET /v1/batches/"),
        *("GET /v1/files", "line"),
    ],
    "anthropic": ["POST /v1/messages/batches", "GET /v1/messages/batches", "line"],
}

pytestmark = pytest.mark.filterwarnings(
    "ignore::pandas_genai.runs.failures.RowsFailedWarning",  # failures are the subject here
)


def echo(text):
    return {"answer": text}


class FastClock(Clock):
    """Waits by moving its hands."""

    def __init__(self):
        self._lock = threading.Lock()
        self.time = 0.0

    def monotonic(self):
        with self._lock:
            return self.time

    def wait(self, stop, seconds):
        with self._lock:
            self.time += seconds
        return stop.is_set()


class FastWallClock(Clock):
    """The same, for batches."""

    def __init__(self):
        self.time = 1_790_000_000.0

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds


@pytest.fixture(scope="module")
def provider():
    with LoopbackProvider(echo) as opened:
        yield opened


def question(provider, backend, params=None):
    url = provider.openai_url if backend == "openai" else provider.anthropic_url
    model = MODELS[backend]
    task = Task("Echo.", {"answer": str}, model=model, backend=backend, params=params)
    return Question(task, url, KEY)


def extract(provider, backend, cache, params=None):
    fast = {"endpoints": Endpoints(), "clock": FastClock()}
    options = RunOptions(cache, chunk_size=3, max_workers=2, **fast)
    asked = question(provider, backend, params)
    return Extraction(asked, rows_text(FRAME, None), FRAME.index, options).run()


def ended(out, mutated=()):
    """Check that each row is right, or failed with a reason."""
    assert out.index.tolist() == FRAME.index.tolist()
    reasons = out.genai.errors["reason"].to_dict()
    for label, text in FRAME["text"].items():
        if pd.isna(out["answer"][label]):
            assert reasons[label]
        elif label not in mutated:
            assert out["answer"][label] == text


def written(tree):
    """Return the object that holds the text of the model, and under which name."""
    if "choices" in tree:
        return tree["choices"][0]["message"], "content"
    return next((block for block in tree["content"] if "text" in block), None), "text"


def within(number, text):
    """Put JSON into the text that the model wrote, rather than around it."""

    def rewrite(body):
        tree = json.loads(body)
        holder, name = written(tree)
        if holder is None:  # a tool's input is no text
            return foreign.put(body, number, text)
        holder[name] = foreign.put(holder[name], number, text).decode()
        return json.dumps(tree).encode()

    return rewrite


@BACKENDS
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    number=st.integers(0, 10_000),
    inside=st.booleans(),
    mode=st.sampled_from([None, "tool", "text"]),
    text=foreign.JSON_TEXTS | st.none(),
)
def test_live(provider, backend, number, inside, mode, text):
    rewrite = within(number, text) if inside else whole(number, text)
    params = {"structured": mode} if mode and (backend, mode) != ("openai", "tool") else None
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache.sqlite"
        provider.faults = [Fault("rewrite", text="row 0", rewrite=rewrite)]
        out = extract(provider, backend, cache, params)
        # Nothing forbids a right answer to be drawn, for the rows of that chunk.
        ended(out, mutated=range(6) if inside or mode == "tool" else ())
        assert out["answer"].notna().sum() >= 5
        provider.faults = []
        again = extract(provider, backend, cache, params)
        assert again["answer"].notna().all()


def whole(number, text):
    """Put JSON anywhere into a body; of a file with results, into its first line."""

    def rewrite(body):
        first, *others = body.split(b"\n")
        return b"\n".join([foreign.put(first, number, text), *others])

    return rewrite


def job(provider, backend, folder, clock):
    jobs = JobsFolder(Path(folder) / "genai_batches")

    def connection_options():
        return ConnectionOptions(
            api_key=KEY, clock=clock, tell=lambda _: None, endpoints=Endpoints()
        )

    def submitted():
        with SqliteCache(Path(folder) / "cache.sqlite") as cache:
            form = text_form(FRAME, None)
            spec = JobSpec(
                question(provider, backend), FRAME, form, cache, name="night", chunk_size=3
            )
            return submit(jobs, spec, connection_options())

    return submitted, lambda: BatchJob(jobs.job("night"), connection_options())


@BACKENDS
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    number=st.integers(0, 10_000),
    times=st.sampled_from([1, 2, 7, None]),
    place=st.integers(0, 5),
    text=foreign.JSON_TEXTS | st.none(),
)
def test_batch(backend, number, times, place, text):
    path = PATHS[backend][place % len(PATHS[backend])]
    rewrite = whole(number, text)
    where = {"text": "row 0"} if path == "line" else {"path": path}
    clock = FastWallClock()
    with (
        tempfile.TemporaryDirectory() as folder,
        LoopbackProvider(echo, wall_clock=clock.now) as provider,
    ):
        submitted, opened = job(provider, backend, folder, clock)
        provider.faults = [Fault("rewrite", rewrite=rewrite, times=times, **where)]
        for act in (submitted, submitted, lambda: opened().collect()):
            with contextlib.suppress(GenaiError):  # in one sentence; anything else is raised
                act()
        provider.faults = []
        submitted()
        ended(opened().collect())
        # A create whose answer cannot be read is looked for, and found where a list can be read.
        damaged_lists = times is None and "batches" in path
        assert damaged_lists or len(provider.batches) == 1
        for _ in range(3):
            if not opened().collect()["answer"].notna().all():
                opened().resubmit_failed()
        assert opened().collect()["answer"].tolist() == FRAME["text"].tolist()


def around(text, upper=str):
    """Put words around what the model wrote."""

    def rewrite(body):
        tree = json.loads(body)
        holder, name = written(tree)
        holder[name] = text.format(upper(holder[name]))
        return json.dumps(tree).encode()

    return rewrite


def shouted(text):
    found = json.loads(text)
    for entry in found["all_results"]:
        entry["input_id"] = f" {entry['input_id'].upper()} "
    return json.dumps(found)


@BACKENDS
@pytest.mark.parametrize("upper", [str, shouted])
@pytest.mark.parametrize("text", ["```json\n{}\n```", "\ufeff{}", "Sure: {} ok?"])
def test_words_around_right_json_cost_nothing(backend, text, upper, tmp_path):
    with LoopbackProvider(echo, faults=[Fault("rewrite", rewrite=around(text, upper))]) as provider:
        out = extract(provider, backend, tmp_path / "c.sqlite")
        assert out["answer"].tolist() == FRAME["text"].tolist()
        assert provider.ledger.calls == 2


def body_as_text(line):
    tree = json.loads(line)
    if "response" in tree:
        tree["response"]["body"] = json.dumps(tree["response"]["body"])
    else:
        tree["result"]["message"] = json.dumps(tree["result"]["message"])
    return json.dumps(tree).encode()


def prose_as_body(line):
    tree = json.loads(line)
    if "response" in tree:
        tree["response"]["body"] = "prose"
    else:
        tree["result"]["message"] = "prose"
    return json.dumps(tree).encode()


@BACKENDS
def test_bodies_of_a_batch_that_are_json_in_a_string(backend, tmp_path):
    clock, fault = FastWallClock(), Fault("rewrite", rewrite=body_as_text)
    with LoopbackProvider(echo, faults=[fault], wall_clock=clock.now) as provider:
        submitted, opened = job(provider, backend, tmp_path, clock)
        submitted()
        assert opened().collect()["answer"].tolist() == FRAME["text"].tolist()
        assert opened().report.calls == 2


@BACKENDS
def test_a_batch_whose_id_came_back_wrong_is_found(backend, tmp_path):
    """No answer says again what the batch is called: it is found as after a lost answer."""
    clock = FastWallClock()
    path = {"openai": "POST /v1/batches", "anthropic": "POST /v1/messages/batches"}[backend]

    def wrong(body):
        return json.dumps({**json.loads(body), "id": "batch_0"}).encode()

    fault = Fault("rewrite", rewrite=wrong, path=path, times=1)
    with LoopbackProvider(echo, faults=[fault], wall_clock=clock.now) as provider:
        submitted, opened = job(provider, backend, tmp_path, clock)
        submitted()
        assert opened().collect()["answer"].tolist() == FRAME["text"].tolist()
        assert opened().report.calls == 2
        assert len(provider.batches) == 1


@BACKENDS
def test_a_paid_answer_of_a_batch_that_cannot_be_read_is_billed(backend, tmp_path):
    clock, fault = FastWallClock(), Fault("rewrite", rewrite=prose_as_body, text="row 0")
    with LoopbackProvider(echo, faults=[fault], wall_clock=clock.now) as provider:
        submitted, opened = job(provider, backend, tmp_path, clock)
        submitted()
        out = opened().collect()
        assert set(out.genai.errors["reason"]) == {"invalid reply"}
        assert (out["answer"].notna().sum(), opened().report.calls) == (3, 2)
