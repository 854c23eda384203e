"""Job directories that the original toolkit began, written here as it wrote them."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import openai
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandas_genai import (
    AnthropicBatchExtractor,
    JobError,
    OpenAIBatchExtractor,
    RowsFailedWarning,
    SqliteCache,
    UsageError,
)
from pandas_genai.batch.connection import ConnectionOptions
from pandas_genai.testing import Fault, LoopbackProvider

PROMPT = "Echo each text, as JSON."
MODELS = {"openai": "gpt-4.1-mini", "anthropic": "claude-haiku-4-5"}
ROW = {
    "type": "object",
    "properties": {"input_id": {"type": "string"}, "answer": {"type": "string"}},
    "required": ["input_id", "answer"],
    "additionalProperties": False,
}
INNER = {
    "type": "object",
    "properties": {"all_results": {"type": "array", "items": ROW}},
    "required": ["all_results"],
    "additionalProperties": False,
}
SCHEMAS = {
    "openai": {
        "type": "json_schema",
        "json_schema": {"name": "echo", "strict": True, "schema": INNER},
    },
    "anthropic": INNER,
}
FAILED = pytest.mark.filterwarnings("ignore::pandas_genai.runs.failures.RowsFailedWarning")


def echo(text):
    return {"answer": text}


@dataclass
class Original:
    """The original toolkit, as far as files and requests go.

    It numbers files and requests from 0, clears its requests before it writes new ones, names no
    file in what it notes of a batch, and takes an error file for the end of one.
    """

    provider: LoopbackProvider
    backend: str
    root: Path
    job: str = "job"
    chunk_size: int = 2
    requests_a_file: int = 2
    schema: Any = "the usual"

    def __post_init__(self):
        if self.schema == "the usual":
            self.schema = SCHEMAS[self.backend]
        self.input = self.root / self.job / "batch_input"
        self.output = self.root / self.job / "batch_output"
        for path in (self.input, self.output):
            path.mkdir(parents=True, exist_ok=True)

    def client(self):
        kind = openai.OpenAI if self.backend == "openai" else anthropic.Anthropic
        return kind(api_key="k", base_url=provider_url(self))

    def create(self, frame):
        rows = [
            {"input_id": str(name), "input_text": str(text)}
            for name, text in zip(frame["id"], frame["body"], strict=True)
        ]
        chunks = [
            rows[start : start + self.chunk_size] for start in range(0, len(rows), self.chunk_size)
        ]
        if self.backend == "anthropic":
            requests = [self._anthropic(number, chunk) for number, chunk in enumerate(chunks)]
            (self.input / "requests.json").write_text(json.dumps(requests, indent=2))
            return
        for path in self.input.glob("*"):
            path.unlink()
        for start in range(0, len(chunks), self.requests_a_file):
            number = start // self.requests_a_file
            lines = [
                json.dumps(self._openai(f"{self.job}-{number}-{place}", chunk))
                for place, chunk in enumerate(chunks[start : start + self.requests_a_file])
            ]
            (self.input / f"batch_{number}.jsonl").write_text("\n".join(lines) + "\n")

    def _openai(self, custom_id, chunk):
        return {
            "custom_id": custom_id,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": MODELS["openai"],
                "temperature": 0.0,
                "response_format": self.schema or {"type": "json_object"},
                "messages": [
                    {"role": "system", "content": PROMPT},
                    {"role": "user", "content": json.dumps(chunk)},
                ],
            },
        }

    def _anthropic(self, number, chunk):
        params = {
            "model": MODELS["anthropic"],
            "max_tokens": 32000,
            "system": [{"type": "text", "text": PROMPT, "cache_control": {"type": "ephemeral"}}],
            "messages": [{"role": "user", "content": json.dumps(chunk)}],
        }
        if self.schema is not None:
            tool = {"name": "extract_results", "description": "d", "input_schema": self.schema}
            choice = {"type": "tool", "name": "extract_results"}
            params |= {"tools": [tool], "tool_choice": choice}
        return {"custom_id": f"{self.job}-chunk-{number:06d}", "params": params}

    def submit(self, files=None, *, killed=False):
        """Submit the first files; ``killed`` before the last batch could be noted."""
        with self.client() as client:
            if self.backend == "anthropic":
                requests = json.loads((self.input / "requests.json").read_text())
                batch = client.messages.batches.create(requests=requests)
                (self.input / "submission.json").write_text(batch.model_dump_json(indent=2))
                return
            for path in sorted(self.input.glob("*.jsonl"))[:files]:
                with path.open("rb") as file:
                    uploaded = client.files.create(file=file, purpose="batch")
                batch = client.batches.create(
                    input_file_id=uploaded.id,
                    endpoint="/v1/chat/completions",
                    completion_window="24h",
                    metadata={"description": f"Batch job {self.job}"},
                )
                manifest = self.output / f"submission_{batch.id}.json"
                manifest.write_text(json.dumps(batch.model_dump()))
        if killed:
            manifest.unlink()

    def look(self):
        """Let the provider work on what it has."""
        with self.client() as client:
            batches = client.batches if self.backend == "openai" else client.messages.batches
            for batch in self.provider.batches:
                batches.retrieve(batch.id)

    def fetch(self):
        """Store results as the original does."""
        with self.client() as client:
            if self.backend == "anthropic":
                name = json.loads((self.input / "submission.json").read_text())["id"]
                with (self.output / "results.jsonl").open("w") as file:
                    for entry in client.messages.batches.results(name):
                        file.write(entry.model_dump_json() + "\n")
                return
            for manifest in self.output.glob("submission_*.json"):
                name = json.loads(manifest.read_text())["id"]
                batch = client.batches.retrieve(name)
                if batch.error_file_id:
                    path, source = self.output / f"batch_error_{name}.txt", batch.error_file_id
                else:
                    path, source = self.output / f"batch_result_{name}.jsonl", batch.output_file_id
                path.write_bytes(client.files.content(source).content)


def provider_url(original):
    openai_url = original.provider.openai_url
    return openai_url if original.backend == "openai" else original.provider.anthropic_url


class Ours:
    """The same calls of ours, whichever the vendor."""

    def __init__(self, original, **connection_options):
        kind = OpenAIBatchExtractor if original.backend == "openai" else AnthropicBatchExtractor
        self.original = original
        url = provider_url(original)
        self.extractor = kind(
            original.root, options=ConnectionOptions("k", url, **connection_options)
        )

    def create(self, frame, **options):
        given = {"chunk_size": 2, "schema_dict": self.original.schema} | options
        args = (frame, "id", "body", given.pop("prompt", PROMPT), "job")
        model = given.pop("model", MODELS[self.original.backend])
        if self.original.backend == "openai":
            return self.extractor.create_batch_jsonl(*args, model, **given)
        return self.extractor.create_batch_requests(*args, model, **given)

    def submit(self):
        if self.original.backend == "openai":
            return self.extractor.submit_batches("job")
        return self.extractor.submit_batch("job")

    def check(self, **options):
        return self.extractor.check_batch_status("job", **options)

    def results(self):
        return self.extractor.retrieve_results_as_dataframe("job")


def numbered(count):
    return pd.DataFrame(
        {"id": [f"doc-{n}" for n in range(count)], "body": [f"text {n}" for n in range(count)]}
    )


def paid(provider, since=0):
    return sorted(text for batch in provider.batches[since:] for text in batch.texts)


@pytest.fixture
def began(backend, tmp_path):
    """A job of the original, at a provider that answers at once by default."""

    def begin(provider, frame, **options):
        original = Original(provider, backend, tmp_path / "jobs", **options)
        original.create(frame)
        return original

    return begin


@pytest.mark.parametrize("fetched", [True, False])
@pytest.mark.parametrize("schema", ["the usual", None])
def test_a_finished_job_is_read_and_nothing_is_paid(began, fetched, schema):
    frame = numbered(7)
    with LoopbackProvider(echo) as provider:
        original = began(provider, frame, schema=schema)
        original.submit()
        if fetched:
            original.fetch()
        before = len(provider.batches)
        ours = Ours(original)
        out = ours.results()
        assert dict(zip(out["input_id"], out["answer"], strict=True)) == dict(
            zip(frame["id"], frame["body"], strict=True)
        )
        assert ours.create(frame) == [] if original.backend == "openai" else ours.create(frame)
        ours.submit()
        out = ours.results()
        assert sorted(out["answer"]) == frame["body"].tolist()
        assert len(provider.batches) == before


def test_the_status_writes_the_files(began, backend):
    with LoopbackProvider(echo) as provider:
        original = began(provider, numbered(4))
        original.submit()
        found = Ours(original).check()
        if backend == "openai":
            assert set(found.values()) == {"completed"}
            names = {path.name for path in original.output.glob("batch_result_*.jsonl")}
            assert names == {f"batch_result_{name}.jsonl" for name in found}
        else:
            assert found == "ended"
            assert (original.output / "results.jsonl").read_text().count("\n") == 2


@FAILED
def test_rows_without_an_answer_alone_are_submitted(began, backend):
    frame = numbered(9)
    bad = ["text 2", "text 7"]
    with LoopbackProvider(echo, faults=[Fault("server_error", text=bad.__contains__)]) as provider:
        original = began(provider, frame)
        original.submit()
        original.fetch()  # of OpenAI's files, an error file hides the answers
        provider.faults = []
        before = len(provider.batches)
        ours = Ours(original)
        with pytest.warns(RowsFailedWarning, match="4 rows of the job 'job' have no answer"):
            assert ours.results()["answer"].notna().sum() == 5
        ours.create(frame)
        assert len(provider.batches) == before
        assert len(ours.submit().split(",") if backend == "anthropic" else ours.submit()) > 1
        assert paid(provider, before) == ["text 2", "text 3", "text 6", "text 7"]
        out = ours.results()
        assert out["input_id"].tolist() == frame["id"].tolist()
        assert out["answer"].tolist() == frame["body"].tolist()
        # And once more: nothing is left to do.
        ours.create(frame)
        ours.submit()
        assert len(provider.batches) == before + 1
        pd.testing.assert_frame_equal(ours.results(), out)


def test_what_is_under_way_is_waited_for(began, backend, clock):
    frame = numbered(6)
    options = {"batch_seconds": 1_000, "wall_clock": clock.now}
    with LoopbackProvider(echo, **options) as provider:
        original = began(provider, frame.iloc[:4])
        original.submit()
        before = len(provider.batches)
        ours = Ours(original, clock=clock)
        assert ours.results() is None
        ours.create(frame)
        ours.submit()
        assert paid(provider, before) == ["text 4", "text 5"]
        assert ours.results() is None
        ours.check(continuous=True)
        out = ours.results()
        assert out["input_id"].tolist() == frame["id"].tolist()
        assert out["answer"].tolist() == frame["body"].tolist()


def test_what_was_written_and_not_submitted_is_submitted(began, backend):
    frame = numbered(10)
    with LoopbackProvider(echo) as provider:
        original = began(provider, frame)
        if backend == "openai":
            original.submit(1)
        before = paid(provider)
        ours = Ours(original)
        if backend == "openai":
            with pytest.warns(RowsFailedWarning, match="6 rows of the job 'job' have no answer"):
                assert len(ours.results()) == 10
        else:
            assert ours.results() is None
        ours.submit()
        ours.submit()
        assert len(before) == (4 if backend == "openai" else 0)
        assert paid(provider) == sorted(frame["body"])
        out = ours.results()
        assert dict(zip(out["input_id"], out["answer"], strict=True)) == dict(
            zip(frame["id"], frame["body"], strict=True)
        )


@pytest.mark.parametrize("earlier", [False, True])
def test_a_batch_that_was_never_noted_is_found(tmp_path, earlier):
    """Also in a second round, when there are more submissions than files of requests."""
    frame = numbered(10)
    with LoopbackProvider(echo) as provider:
        original = Original(provider, "openai", tmp_path / "jobs")
        if earlier:
            original.create(numbered(14).iloc[10:])
            original.submit()
        original.create(frame)
        original.submit(2, killed=True)
        ours = Ours(original)
        ours.submit()
        asked = numbered(14 if earlier else 10)
        assert paid(provider) == sorted(asked["body"])
        assert sorted(ours.results()["answer"]) == sorted(asked["body"])


@FAILED
def test_a_file_that_the_provider_has_no_more_is_known_by_its_results(tmp_path, clock):
    """Until there are any, nothing tells what was submitted, and nothing is paid on suspicion."""
    frame = numbered(10)
    options = {"batch_seconds": 1_000, "wall_clock": clock.now}
    with LoopbackProvider(echo, **options) as provider:
        original = Original(provider, "openai", tmp_path / "jobs")
        original.create(frame)
        original.submit(1)
        (manifest,) = original.output.glob("submission_*.json")
        uploaded = json.loads(manifest.read_text())["input_file_id"]
        provider.faults = [Fault("error", status=404, path=f"GET /v1/files/{uploaded}")]
        ours = Ours(original, clock=clock)
        ours.submit()
        ours.create(frame)
        assert len(provider.batches) == 1
        clock.sleep(2_000)
        ours.submit()
        ours.check(continuous=True)
        assert paid(provider) == sorted(frame["body"])
        assert sorted(ours.results()["answer"]) == sorted(frame["body"])


def test_a_damaged_note_of_a_batch_is_named(began, backend):
    with LoopbackProvider(echo) as provider:
        original = began(provider, numbered(2))
        original.submit()
        places = (original.output, original.input)
        (manifest,) = (path for place in places for path in place.glob("submission*.json"))
        manifest.write_text("{")
        with pytest.raises(JobError, match=f"{manifest.name} cannot be read"):
            Ours(original).check()


@FAILED
def test_an_earlier_round_of_as_many_bytes_is_not_taken_for_this_one(tmp_path):
    """The original removes its requests before it writes new ones, under the same names."""
    frame = numbered(8)
    with LoopbackProvider(echo, faults=[Fault("server_error", text="text 1")]) as provider:
        original = Original(provider, "openai", tmp_path / "jobs", requests_a_file=1)
        original.create(frame.iloc[:2])
        original.submit()
        original.fetch()
        original.create(frame.iloc[2:4])
        provider.faults = []
        Ours(original).submit()
        assert paid(provider) == ["text 0", "text 1", "text 2", "text 3"]
        ours = Ours(original)
        ours.create(frame.iloc[:4])
        ours.submit()
        assert paid(provider, 2) == ["text 0", "text 1"]
        assert ours.results()["answer"].tolist() == frame["body"].tolist()[:4]


@FAILED
def test_lost_results_are_not_paid_again(began, backend):
    frame = numbered(4)
    with LoopbackProvider(echo) as provider:
        original = began(provider, frame)
        original.submit()
        gone = "/v1/batches/" if backend == "openai" else "/v1/messages/batches/"
        provider.faults = [Fault("error", status=404, path=f"GET {gone}")]
        ours = Ours(original)
        with pytest.warns(RowsFailedWarning, match="4 rows .* lost some of its results"):
            assert ours.results()["answer"].isna().all()
        with pytest.warns(RowsFailedWarning, match="4 rows .* are not submitted again"):
            ours.create(frame)
        ours.submit()
        assert len(paid(provider)) == 4
    status = ours.check()
    assert status == "lost" or set(status.values()) == {"lost"}


def test_answers_stand_under_no_task_that_was_not_asked(began, backend, tmp_path):
    frame = numbered(4)
    with LoopbackProvider(echo) as provider:
        original = began(provider, frame)
        original.submit()
        ours = Ours(original)
        ours.create(frame)
        assert ours.results()["answer"].notna().all()
        cache = tmp_path / "jobs" / "genai_cache.sqlite"
        frame.genai.extract(
            PROMPT,
            original.schema,
            text="body",
            model=MODELS[backend],
            backend=backend,
            base_url=provider_url(original),
            api_key="k",
            params={"temperature": 0.0} if backend == "openai" else None,
            cache=cache,
            progress=False,
        )
        assert provider.ledger.rows == 8
        with SqliteCache(cache) as kept:
            assert kept.all_ids() == set()


def test_another_text_under_an_id_is_asked(began):
    frame = numbered(4)
    with LoopbackProvider(echo) as provider:
        original = began(provider, frame)
        original.submit()
        before = len(provider.batches)
        ours = Ours(original)
        changed = frame.assign(body=["text 0", "changed", "text 2", "text 3"])
        ours.create(changed)
        ours.submit()
        assert paid(provider, before) == ["changed"]
        assert ours.results()["answer"].tolist() == changed["body"].tolist()


def test_another_question_needs_another_name(began):
    frame = numbered(4)
    with LoopbackProvider(echo) as provider:
        original = began(provider, frame)
        original.submit()
        for other in ({"prompt": "Something else."}, {"model": "another"}):
            with pytest.raises(UsageError, match="begun by the original toolkit with another"):
                Ours(original).create(frame, **other)


def test_a_directory_of_nobody_is_no_job(backend, tmp_path):
    (tmp_path / "jobs" / "job" / "batch_output").mkdir(parents=True)
    with LoopbackProvider(echo) as provider:
        original = Original(provider, backend, tmp_path / "jobs")
        with pytest.raises(JobError, match="There is no job"):
            Ours(original).check()


def test_damaged_requests_are_named(began):
    with LoopbackProvider(echo) as provider:
        original = began(provider, numbered(2))
        (path,) = original.input.iterdir()
        path.write_text('[{"custom_id": "x"}]' if path.suffix == ".json" else '{"custom_id": "x"}')
        with pytest.raises(JobError, match=rf"{path.name} cannot be read"):
            Ours(original).submit()


IDS = st.one_of(
    st.integers(0, 30).map(str),
    st.sampled_from(["01", "1.0", "a b", "é-ü", 'q"uote', "A", "a", "job-0-0", "x" * 60, "[1]"]),
)


@FAILED
@settings(max_examples=12, deadline=None)
@given(st.data())
def test_whatever_was_begun_only_what_has_no_answer_is_paid(data):
    """Files in part submitted, requests that failed, replies without a row, odd ids."""
    backend = data.draw(st.sampled_from(["openai", "anthropic"]))
    ids = data.draw(st.lists(IDS, min_size=1, max_size=8, unique=True))
    frame = pd.DataFrame({"id": ids, "body": [f"text {n}" for n in range(len(ids))]})
    chunk_size, a_file = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    some = st.sets(st.sampled_from(frame["body"].tolist()), max_size=3)
    broken, left_out = data.draw(some), data.draw(some)
    faults = [
        Fault("server_error", text=broken.__contains__),
        Fault("missing", text=left_out.__contains__),
    ]
    with LoopbackProvider(echo, faults=faults) as provider, tempfile.TemporaryDirectory() as place:
        original = Original(
            provider, backend, Path(place), chunk_size=chunk_size, requests_a_file=a_file
        )
        original.create(frame)
        chunks = -(-len(ids) // chunk_size)
        files = -(-chunks // a_file) if backend == "openai" else 1
        submitted = data.draw(st.integers(0, files))
        if submitted:
            original.submit(submitted)
            original.look()
            if data.draw(st.booleans()):
                original.fetch()
        asked = chunk_size * a_file * submitted if backend == "openai" else len(ids) * submitted
        answered = set()
        for start in range(0, min(asked, len(ids)), chunk_size):
            rows = set(frame["body"][start : min(start + chunk_size, len(ids))])
            if not rows & broken:
                answered |= rows - left_out
        provider.faults = []
        before = len(provider.batches)
        ours = Ours(original)
        calls = data.draw(st.sampled_from(["create", "submit first", "missing rows"]))
        if calls == "submit first":
            ours.submit()
        now = frame
        if calls == "missing rows":
            now = frame[~frame["body"].isin(answered)].sample(frac=1, random_state=1)
        if len(now):
            ours.create(now)
            ours.submit()
        assert paid(provider, before) == sorted(set(frame["body"]) - answered)
        out = ours.results()
        assert dict(zip(out["input_id"], out["answer"], strict=True)) == dict(
            zip(frame["id"], frame["body"], strict=True)
        )
        if calls != "missing rows":
            assert out["input_id"].tolist() == ids
