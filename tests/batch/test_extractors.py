"""A script of the original toolkit, with its import changed."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import pandas_genai
from pandas_genai import (
    AnthropicBatchExtractor,
    OpenAIBatchExtractor,
    RowsFailedWarning,
    UsageError,
)
from pandas_genai.batch.connection import ConnectionOptions
from pandas_genai.testing import BatchFault, Fault, LoopbackProvider

SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "labels",
        "schema": {
            "type": "object",
            "properties": {"answer": {"type": "string"}},
            "required": ["answer"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture
def frame():
    return pd.DataFrame(
        {"id": [f"doc-{n}" for n in range(12)], "body": [f"text {n}" for n in range(12)]}
    )


@pytest.fixture
def provider():
    with LoopbackProvider(lambda text: {"answer": text}) as running:
        yield running


def test_openai_as_the_original_script_does(provider, frame):
    extractor = OpenAIBatchExtractor(
        max_requests_per_batch=2, api_key="k", base_url=provider.openai_url
    )
    extractor.create_batch_jsonl(
        frame, "id", "body", "Echo.", "job1", "gpt-6-luna", chunk_size=3, schema_dict=SCHEMA
    )
    assert provider.ledger.requests == []
    root = Path("batch_jobs/job1")
    inputs = sorted((root / "batch_input").glob("batch_*.jsonl"))
    assert [path.name for path in inputs] == ["batch_1.jsonl", "batch_2.jsonl"]
    line = json.loads(inputs[0].read_text().splitlines()[0])
    assert line["custom_id"] == "job1-1-1"
    assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
    assert line["body"]["temperature"] == 0.0

    ids = extractor.submit_batches("job1")
    assert extractor.submit_batches("job1") == ids
    assert len(provider.batches) == 2
    assert extractor.check_batch_status("job1") == dict.fromkeys(ids, "completed")
    out = extractor.retrieve_results_as_dataframe("job1")
    assert out["input_id"].tolist() == frame["id"].tolist()
    assert out["answer"].tolist() == frame["body"].tolist()
    outputs = {path.name for path in (root / "batch_output").iterdir()}
    for batch_id in ids:
        assert {f"submission_{batch_id}.json", f"batch_result_{batch_id}.jsonl"} <= outputs
        note = json.loads((root / "batch_output" / f"submission_{batch_id}.json").read_text())
        assert note["batch_id"] == batch_id


def test_anthropic_as_the_original_script_does(provider, frame):
    extractor = AnthropicBatchExtractor(api_key="k", base_url=provider.anthropic_url)
    path = extractor.create_batch_requests(
        frame, "id", "body", "Echo.", "job1", "claude-haiku-5-5", chunk_size=3, schema_dict=SCHEMA
    )
    root = Path("anthropic_batch_jobs/job1").absolute()
    assert path == root / "batch_input" / "requests.json"
    requests = json.loads(path.read_text())
    assert len(requests) == 4
    assert requests[0].keys() == {"custom_id", "params"}
    batch_id = extractor.submit_batch("job1")
    assert extractor.submit_batch("job1") == batch_id
    assert json.loads((root / "batch_input/submission.json").read_text())["batch_id"] == batch_id
    assert extractor.check_batch_status("job1") == "ended"
    out = extractor.retrieve_results_as_dataframe("job1", tool_name="extract_results")
    assert out["input_id"].tolist() == frame["id"].tolist()
    assert out["answer"].tolist() == frame["body"].tolist()
    assert (root / "batch_output/results.jsonl").exists()
    assert (root / "batch_output/errors.txt").read_text() == ""


@pytest.mark.filterwarnings("ignore::pandas_genai.runs.failures.RowsFailedWarning")
def test_errors_are_in_their_file_and_hide_nothing(frame):
    fault = BatchFault("expire", finished=0.5)
    with LoopbackProvider(lambda text: {"answer": text}, batch_faults=[fault]) as provider:
        extractor = OpenAIBatchExtractor(api_key="k", base_url=provider.openai_url)
        extractor.create_batch_jsonl(
            frame, "id", "body", "Echo.", "j", "gpt-6-luna", chunk_size=1, schema_dict=SCHEMA
        )
        (batch_id,) = extractor.submit_batches("j")
        provider.advance(90_000)
        out = extractor.retrieve_results_as_dataframe("j")
        assert out["answer"].notna().sum() == 6
        errors = Path(f"batch_jobs/j/batch_output/batch_error_{batch_id}.txt").read_text()
        assert len(errors.splitlines()) == 6


@pytest.mark.parametrize(
    ("model", "given", "sent"),
    [
        ("gpt-4.1-mini", 0.0, 0.0),
        ("gpt-4.1-mini", 0.7, 0.7),
        ("gpt-6-luna", 0.0, 0.0),
        ("gpt-5-mini", 0.0, 1.0),
        ("o3", 0.2, 1.0),
        ("o1", 0.0, 1.0),
        ("gpt-4o-search-preview", 0.0, None),
        ("gpt-4.1-mini", None, None),
    ],
)
def test_temperature_is_what_the_model_takes(provider, frame, model, given, sent):
    extractor = OpenAIBatchExtractor("jobs", api_key="k", base_url=provider.openai_url)
    paths = extractor.create_batch_jsonl(
        frame, "id", "body", "Echo.", "j", model, temperature=given, schema_dict=SCHEMA
    )
    body = json.loads(paths[0].read_text().splitlines()[0])["body"]
    assert body.get("temperature") == sent
    extractor.submit_batches("j")
    assert extractor.retrieve_results_as_dataframe("j")["answer"].notna().all()


def test_without_a_schema(provider, frame):
    openai = OpenAIBatchExtractor("jobs", api_key="k", base_url=provider.openai_url)
    (path,) = openai.create_batch_jsonl(frame, "id", "body", "Echo.", "j", "gpt-6-luna")
    body = json.loads(path.read_text().splitlines()[0])["body"]
    assert body["response_format"] == {"type": "json_object"}
    anthropic = AnthropicBatchExtractor("ant", api_key="k", base_url=provider.anthropic_url)
    path = anthropic.create_batch_requests(frame, "id", "body", "Echo.", "j", "claude-haiku-5-5")
    assert not {"tools", "output_config"} & json.loads(path.read_text())[0]["params"].keys()
    for extractor in (openai, anthropic):
        (extractor.submit_batches if extractor is openai else extractor.submit_batch)("j")
        out = extractor.retrieve_results_as_dataframe("j")
        assert out["answer"].tolist() == frame["body"].tolist()


def test_anthropics_own_arguments(provider, frame):
    extractor = AnthropicBatchExtractor("ant", api_key="k", base_url=provider.anthropic_url)
    path = extractor.create_batch_requests(
        frame,
        "id",
        "body",
        "Echo.",
        "j",
        "claude-3-haiku-20240307",
        schema_dict=SCHEMA,
        tool_name="my_tool",
        max_tokens=500,
    )
    params = json.loads(path.read_text())[0]["params"]
    assert params["max_tokens"] == 500
    assert params["tools"][0]["name"] == params["tool_choice"]["name"] == "my_tool"
    extractor.submit_batch("j")
    assert extractor.retrieve_results_as_dataframe("j", "my_tool")["answer"].notna().all()
    with pytest.raises(UsageError, match="no name of a tool"):
        extractor.create_batch_requests(
            frame, "id", "body", "Echo.", "k", "claude-3-haiku-20240307", tool_name="my tool"
        )


def test_processed_rows_are_left_out(provider, frame):
    extractor = OpenAIBatchExtractor("jobs", api_key="k", base_url=provider.openai_url)
    args = ("id", "body", "Echo.")
    extractor.create_batch_jsonl(frame.iloc[:8], *args, "a", "gpt-6-luna", schema_dict=SCHEMA)
    extractor.submit_batches("a")
    extractor.retrieve_results_as_dataframe("a")
    extractor.create_batch_jsonl(frame, *args, "b", "gpt-6-luna", schema_dict=SCHEMA)
    extractor.submit_batches("b")
    assert sorted(provider.batches[1].texts) == sorted(frame["body"][8:])
    assert extractor.retrieve_results_as_dataframe("b")["answer"].notna().all()
    extractor.create_batch_jsonl(
        frame, *args, "c", "gpt-6-luna", schema_dict=SCHEMA, exclude_processed=False
    )
    extractor.submit_batches("c")
    assert len(provider.batches[2].texts) == 12


def test_status_until_the_end(frame, backend, clock):
    with LoopbackProvider(
        lambda text: {"answer": text}, batch_seconds=1_000, wall_clock=clock.now
    ) as provider:
        if backend == "openai":
            connection_options = ConnectionOptions("k", provider.openai_url, clock=clock)
            extractor = OpenAIBatchExtractor("jobs", options=connection_options)
            extractor.create_batch_jsonl(frame, "id", "body", "Echo.", "j", "gpt-6-luna")
            (batch_id,) = extractor.submit_batches("j")
            assert extractor.check_batch_status("j") == {batch_id: "validating"}
            found = extractor.check_batch_status("j", continuous=True)
            assert found == {batch_id: "completed"}
            assert clock.waits == [300] * 4
        else:
            connection_options = ConnectionOptions("k", provider.anthropic_url, clock=clock)
            extractor = AnthropicBatchExtractor("jobs", options=connection_options)
            extractor.create_batch_requests(frame, "id", "body", "Echo.", "j", "claude-haiku-5-5")
            extractor.submit_batch("j")
            status = extractor.check_batch_status("j", continuous=True, timeout=90)
            assert (status, sum(clock.waits)) == ("in_progress", 90)
            assert extractor.check_batch_status("j", continuous=True) == "ended"
        out = extractor.retrieve_results_as_dataframe("j")
        assert out["answer"].notna().all()


def test_an_outage_while_the_status_is_asked(frame, clock):
    with LoopbackProvider(
        lambda text: {"answer": text}, batch_seconds=5_000, wall_clock=clock.now
    ) as provider:
        lines, begun = [], clock.now()

        def lose_the_network(_):
            lost = [Fault("reset", path="GET /v1/batches")]
            provider.faults = lost if clock.now() < begun + 2_000 else []

        clock.on_sleep.append(lose_the_network)
        connection_options = ConnectionOptions(
            "k", provider.openai_url, clock=clock, tell=lines.append
        )
        extractor = OpenAIBatchExtractor("jobs", options=connection_options)
        extractor.create_batch_jsonl(frame, "id", "body", "Echo.", "j", "gpt-6-luna")
        (batch_id,) = extractor.submit_batches("j")
        assert extractor.check_batch_status("j", continuous=True) == {batch_id: "completed"}
        assert any("could not be reached" in line for line in lines)
        assert len(provider.batches) == 1


def test_bad_names_and_columns(provider, frame):
    extractor = OpenAIBatchExtractor("jobs", api_key="k", base_url=provider.openai_url)
    with pytest.raises(UsageError, match="cannot be that of a directory"):
        extractor.create_batch_jsonl(frame, "id", "body", "Echo.", "../x", "gpt-6-luna")
    with pytest.raises(UsageError, match=r"no column 'key': it has 'id', 'body'"):
        extractor.create_batch_jsonl(frame, "key", "body", "Echo.", "x", "gpt-6-luna")
    assert not Path("jobs").exists()


def test_both_doors_see_the_same_jobs(provider, frame):
    extractor = OpenAIBatchExtractor("jobs", api_key="k", base_url=provider.openai_url)
    extractor.create_batch_jsonl(frame, "id", "body", "Echo.", "j", "gpt-6-luna")
    extractor.submit_batches("j")
    out = frame.genai.batch_collect("j", folder="jobs")
    assert out["answer"].tolist() == frame["body"].tolist()
    assert pandas_genai.jobs("jobs").loc["j", "stage"] == "collected"


def make(extractor, frame, job_id="job1", **options):
    """Write requests with either class: the first two calls differ in their names alone."""
    write = getattr(extractor, "create_batch_jsonl", None) or extractor.create_batch_requests
    model = "gpt-6-luna" if hasattr(extractor, "create_batch_jsonl") else "claude-haiku-5-5"
    options = {"chunk_size": 1, "schema_dict": SCHEMA} | options
    return write(frame, "id", "body", "Echo.", job_id, model, **options)


def submit(extractor, job_id="job1"):
    send = getattr(extractor, "submit_batches", None) or extractor.submit_batch
    return send(job_id)


def extractor_of(backend, provider, root="jobs", **options):
    if backend == "openai":
        return OpenAIBatchExtractor(root, api_key="k", base_url=provider.openai_url, **options)
    return AnthropicBatchExtractor(root, api_key="k", base_url=provider.anthropic_url)


def sent(provider):
    return sorted(text for batch in provider.batches for text in batch.texts)


FAILED = pytest.mark.filterwarnings("ignore::pandas_genai.runs.failures.RowsFailedWarning")


@FAILED
def test_the_same_calls_again_submit_what_failed(frame, backend):
    """Twice: the whole frame, then the rows alone that have no answer."""
    broken = [f"text {number}" for number in range(5)]
    with LoopbackProvider(lambda text: {"answer": text}) as provider:
        provider.faults = [Fault("server_error", text=broken.__contains__)]
        extractor = extractor_of(backend, provider)
        make(extractor, frame)
        submit(extractor)
        out = extractor.retrieve_results_as_dataframe("job1")
        assert out["answer"].notna().sum() == 7
        assert extractor.batch_root_dir == Path("jobs")

        provider.faults = [Fault("server_error", text="text 4")]
        make(extractor, frame)
        submit(extractor)
        assert sent(provider) == sorted([*frame["body"], *broken])
        out = extractor.retrieve_results_as_dataframe("job1")
        assert out["answer"].isna().tolist() == [number == 4 for number in range(12)]

        provider.faults = []
        missing = frame[~frame["id"].isin(out.dropna()["input_id"])]
        make(extractor, missing)
        submit(extractor)
        submit(extractor)
        out = extractor.retrieve_results_as_dataframe("job1")
        assert out["answer"].tolist() == frame["body"].tolist()
        assert out["input_id"].tolist() == frame["id"].tolist()
        assert len(sent(provider)) == 12 + 5 + 1

        assert make(extractor, frame) in (
            [],
            Path("jobs/job1/batch_input/requests.json").absolute(),
        )
        submit(extractor)
        assert len(sent(provider)) == 12 + 5 + 1


def test_rows_that_a_job_did_not_have_are_added(frame, backend):
    with LoopbackProvider(lambda text: {"answer": text}) as provider:
        extractor = extractor_of(backend, provider)
        make(extractor, frame.iloc[:4])
        submit(extractor)
        make(extractor, frame.iloc[2:9])
        submit(extractor)
        out = extractor.retrieve_results_as_dataframe("job1")
        assert out["input_id"].tolist() == frame["id"].tolist()[:9]
        assert out["answer"].tolist() == frame["body"].tolist()[:9]
        make(extractor, frame)
        submit(extractor)
        assert extractor.retrieve_results_as_dataframe("job1")["answer"].notna().all()
        assert sent(provider) == sorted(frame["body"])


def test_a_kill_while_rows_are_added_leaves_the_job_as_it_was(frame, backend):
    with LoopbackProvider(lambda text: {"answer": text}) as provider:
        extractor = extractor_of(backend, provider)
        make(extractor, frame.iloc[:4])
        submit(extractor)
        manifest = Path("jobs/job1/job.json")
        before = manifest.read_bytes()
        make(extractor, frame)
        manifest.write_bytes(before)  # the other files were written, the manifest was not
        assert pandas_genai.jobs("jobs").loc["job1", "stage"] == "in progress"
        assert len(extractor.retrieve_results_as_dataframe("job1")) == 4
        make(extractor, frame)
        submit(extractor)
        out = extractor.retrieve_results_as_dataframe("job1")
        assert out["answer"].tolist() == frame["body"].tolist()
        assert sent(provider) == sorted(frame["body"])


@FAILED
def test_what_the_provider_has_lost_is_not_submitted_again(frame, backend):
    with LoopbackProvider(lambda text: {"answer": text}) as provider:
        extractor = extractor_of(backend, provider)
        make(extractor, frame)
        submit(extractor)
        name = provider.batches[0].id
        gone = "/v1/files/" if backend == "openai" else f"/v1/messages/batches/{name}/results"
        provider.faults = [Fault("error", status=404, path=f"GET {gone}")]
        assert extractor.retrieve_results_as_dataframe("job1")["answer"].isna().all()
        with pytest.warns(RowsFailedWarning, match="12 rows of the job 'job1' are not submitted"):
            make(extractor, frame)
        submit(extractor)
        assert len(sent(provider)) == 12


def test_asking_all_anew_needs_a_name_of_its_own(provider, frame):
    extractor = extractor_of("openai", provider)
    make(extractor, frame)
    submit(extractor)
    with pytest.raises(UsageError, match="submitted already: exclude_processed=False"):
        make(extractor, frame, exclude_processed=False)


def test_an_unfinished_job_has_no_results_yet(frame, backend, clock):
    options = {"batch_seconds": 1_000, "wall_clock": clock.now}
    with LoopbackProvider(lambda text: {"answer": text}, **options) as provider:
        url = provider.openai_url if backend == "openai" else provider.anthropic_url
        kind = OpenAIBatchExtractor if backend == "openai" else AnthropicBatchExtractor
        extractor = kind("jobs", options=ConnectionOptions("k", url, clock=clock))
        make(extractor, frame)
        assert extractor.retrieve_results_as_dataframe("job1") is None
        extractor.check_batch_status("job1")
        assert not provider.batches
        submit(extractor)
        assert extractor.retrieve_results_as_dataframe("job1") is None
        name = "batch_result_*.jsonl" if backend == "openai" else "results.jsonl"
        outputs = Path("jobs/job1/batch_output")
        assert not list(outputs.glob(name))
        extractor.check_batch_status("job1", continuous=True)
        (results,) = outputs.glob(name)
        assert len(results.read_text().splitlines()) == 12
        assert len(extractor.retrieve_results_as_dataframe("job1")) == 12


def test_loops_over_the_files_find_requests_and_results_alone(provider, frame):
    """As the original's pages look at what will be sent, and at what came back."""
    extractor = extractor_of("openai", provider, max_requests_per_batch=5)
    make(extractor, frame)
    submit(extractor)
    extractor.check_batch_status("job1", continuous=True)
    extractor.retrieve_results_as_dataframe("job1")
    root = Path("jobs/job1")
    sent_lines = [
        json.loads(line)
        for path in sorted((root / "batch_input").glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    assert [line["body"]["messages"][0]["role"] for line in sent_lines] == ["system"] * 12
    found = [
        json.loads(json.loads(line)["response"]["body"]["choices"][0]["message"]["content"])
        for path in (root / "batch_output").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert sum(len(reply["all_results"]) for reply in found) == 12
    for path in (root / "batch_output").glob("submission_*.json"):
        assert path.name == f"submission_{json.loads(path.read_text())['id']}.json"


def test_one_job_id_for_both_vendors_under_one_root(provider, frame):
    openai, anthropic = (extractor_of(one, provider) for one in ("openai", "anthropic"))
    for extractor in (openai, anthropic):
        make(extractor, frame)
        submit(extractor)
    for extractor in (anthropic, openai):
        out = extractor.retrieve_results_as_dataframe("job1")
        assert out["answer"].tolist() == frame["body"].tolist()
    Path("jobs/job1/job_notes.json").write_text("{}")  # a file of the user's
    assert sorted(pandas_genai.jobs("jobs")["backend"]) == ["anthropic", "openai"]
    assert len(provider.batches) == 2
