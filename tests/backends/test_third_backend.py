"""A third vendor, written here alone: everything works with it, and nothing else knows of it.

Acme's requests, replies, errors, lists and batches look like nobody else's, and it has no SDK.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest

from pandas_genai import (
    ParameterLeftOutWarning,
    RowsFailedWarning,
    SchemaError,
    StopRunError,
    Task,
    UsageError,
)
from pandas_genai.backends import registry
from pandas_genai.backends.base import Backend, Prompt
from pandas_genai.backends.batches import Batch, BatchApi, Container, FileNames, Limits, Outcome
from pandas_genai.backends.classify import problem_of
from pandas_genai.backends.completion import Completion, invalid, truncated, usage_from, written
from pandas_genai.backends.connections import direct_client
from pandas_genai.backends.dialect import Dialect, check_most
from pandas_genai.backends.endpoints import Capabilities, Endpoint, Endpoints
from pandas_genai.backends.fields import as_count, as_list, as_object, as_text, names_in
from pandas_genai.backends.guarded import GuardedClient
from pandas_genai.backends.resolve import Question
from pandas_genai.clock import Clock
from pandas_genai.extract import Extraction
from pandas_genai.options import RunOptions
from pandas_genai.task.prompt import system_text, user_content
from pandas_genai.task.text import rows_text

KEY = "acme-key-0123456789"
STATUS = {"slow_down": 429, "bad_ask": 400, "no_entry": 401, "on_fire": 500}


# The backend


class AcmeClient:
    """What ``open_client`` returns where there is no SDK."""

    def __init__(self, endpoint, workers):
        self.base_url, self.api_key = endpoint.base_url, endpoint.api_key
        inner = direct_client(endpoint.base_url, workers, 60.0)
        self._http = GuardedClient(inner, owned=True)

    def post(self, path, *, cast_to, options, body=None, content=None):
        sent = {"content": content} if body is None else {"json": body}
        return self._send("POST", path, cast_to, options, **sent)

    def get(self, path, *, cast_to, options):
        params = options.get("params")
        return self._send("GET", path, cast_to, options, **({"params": params} if params else {}))

    def _send(self, method, path, cast_to, options, **sent):
        headers = {"x-acme-key": self.api_key, **options.get("headers", {})}
        url = f"{self.base_url}{path}"
        request = self._http.build_request(method, url, headers=headers, **sent)
        response = self._http.send(request)
        assert isinstance(response, cast_to)
        return response

    def close(self):
        self._http.close()


def acme_problem(status, body, headers):
    """``{"fault": {"why": ..., "say": ...}}``, in a batch without a status."""
    fault = as_object(as_object(body).get("fault"))
    why = as_text(fault.get("why")) or ""
    error = {"code": why, "message": as_text(fault.get("say")) or ""}
    known = status if status is not None else STATUS.get(why, 500)
    return problem_of(known, {"error": error}, headers)


def acme_completion(body):
    answer = as_object(body)
    tokens = as_object(answer.get("tokens"))
    usage = usage_from(tokens.get("read"), tokens.get("wrote"))
    named = {"model": answer.get("engine"), "id": answer.get("ref")}

    def payload():
        generation = as_object(answer.get("generation"))
        if not generation:
            raise invalid("The answer has no generation.")
        if generation.get("ended") == "limit":
            raise truncated()
        return written(generation.get("text"))

    return Completion.of(named, payload, usage)


class AcmeBatches(BatchApi):
    """Crates: no files, tags in a header, pages by number, results and faults in one file."""

    id_pattern = re.compile(rb'"ask_id"\s*:\s*"([^"\\]{1,200})"')
    limits = Limits(requests=3, bytes=100_000)
    has_files = False
    has_tags = True
    has_error_files = False
    container = Container(b'{"asks":[\n', b",\n", b"\n]}\n")
    files = FileNames(
        requests="batch_input/crate_{part}.json",
        submission="batch_input/submission{_part}.json",
        results="batch_output/unpacked{_part}.jsonl",
        errors="batch_output/faults{_part}.txt",
    )
    problem_of = staticmethod(acme_problem)

    @staticmethod
    def envelope(custom_id, body):
        return {"ask_id": custom_id, "ask": body}

    @staticmethod
    def opened(request):
        return request["ask_id"], request["ask"]

    @staticmethod
    def outcome_of(line):
        ask_id = as_text(line.get("ask_id")) or ""
        if "fault" in line:
            problem = acme_problem(None, line, {})
            unfinished = "expired" if problem.code == "too_late" else ""
            return Outcome(ask_id, problem=problem, unfinished=unfinished)
        answer = acme_completion(line.get("out"))
        return Outcome(ask_id, answer=answer, request_id=answer.id)

    @staticmethod
    def has_failed(line):
        return b'"fault"' in line

    def upload(self, path, name):
        raise NotImplementedError

    def find_file(self, name, size):
        return None

    def create(self, path, file_id, tags, headers):
        tagged = {"content-type": "application/json", "x-acme-tags": json.dumps(dict(tags))}
        sent = path.read_bytes()
        return self.post_json("/v9/crates", acme_batch, content=sent, headers=tagged | {**headers})

    def find(self, wanted):
        found, page = [], 1
        while page:
            body = self.get_json("/v9/crates", dict, page=page)
            found += map(acme_batch, as_list(body.get("crates")))
            page = as_count(body.get("next"))
        return [one for one in found if one.tags == wanted.tags and one.id not in wanted.known]

    def get(self, batch_id):
        return self.get_json(f"/v9/crates/{batch_id}", acme_batch)

    def cancel(self, batch_id):
        return self.again(lambda: self.post_json(f"/v9/crates/{batch_id}/burn", acme_batch))

    def fetch(self, batch, kind, path):
        if kind != "output":
            return False
        self.stored(f"/v9/crates/{batch.id}/unpacked", path, "application/json")
        return True


def acme_batch(entry):
    if not as_text(entry.get("crate")):
        raise ValueError("It has no id.")
    tags = {name: str(value) for name, value in as_object(entry.get("tags")).items()}
    return Batch(
        id=as_text(entry["crate"]),
        status=as_text(entry.get("where")) or "",
        ended=entry.get("where") == "arrived",
        total=as_count(entry.get("asks")) or 0,
        done=as_count(entry.get("fine")) or 0,
        failed=as_count(entry.get("broken")) or 0,
        tags=tags,
    )


class AcmeBackend(Backend):
    name = "acme"
    label = "Acme"
    base_url = "https://api.acme.example"
    path = "/v9/generate"
    default_model = "anvil-1"
    output_modes = ("shape", "prose")
    parameters = names_in("heat output_limit seed")
    limit_names = ("output_limit",)
    content_names = frozenset({"engine", "instructions", "documents", "shape"})
    batches = AcmeBatches

    def names_model(self, model):
        return model.startswith("anvil")

    def open_client(self, endpoint, workers):
        return AcmeClient(endpoint, workers)

    def speaks(self, client):
        return isinstance(client, AcmeClient)

    def without_retries(self, client):
        return client

    def reply_schema(self, record, *, many, strict=True, bounds="dialect"):
        return Dialect(frozenset({"date"})).reply_schema(record, many=many)

    def check_schema(self, record, sent):
        check_most(len(record["properties"]), "fields", 8, "Acme", "ask for fewer")

    def first_capabilities(self, task):
        return Capabilities(task.structured or ("prose" if task.schema.free else "shape"))

    def build(self, task, chunk, capabilities, *, vendor):
        prose = capabilities.output_mode == "prose"
        body = {
            "engine": task.model,
            "instructions": {"say": system_text(task, show_schema=prose)},
            **task.sent_params,
        }
        for name in capabilities.dropped:
            body.pop(name, None)
        if not prose:
            body["shape"] = task.schema.reply_schema(self.name)
        return {**body, "documents": {"rows": user_content(chunk)}}

    def bounded(self, body, limit, capabilities, *, vendor):
        return body | {"output_limit": limit}

    def next_capabilities(self, capabilities, body, message, param):
        for name in body.keys() - self.content_names:
            if name in message:
                return capabilities.without(name)
        if "shape" in message and capabilities.output_mode == "shape":
            return Capabilities("prose", capabilities.dropped)
        return None

    def headers_for(self, body):
        return {"x-acme-mood": "hot"} if "heat" in body else {}

    def prompt_of(self, body):
        schemas = {name: body[name] for name in ("shape",) if name in body}
        return Prompt(body["instructions"]["say"], body["documents"]["rows"], schemas)

    def without_rows(self, body):
        return {**body, "documents": {}}

    def read_completion(self, body):
        return acme_completion(body)

    def problem_of(self, status, body, headers):
        return acme_problem(status, body, headers)

    def problem_in_answer(self, body, headers):
        return acme_problem(None, body, headers) if body.get("fault") else None

    def request_id(self, headers):
        return as_text(headers.get("x-acme-trace"), 200)


# Its server


class AcmeServer(ThreadingHTTPServer):
    """Echoes each text; a text that names a fault gets it."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), AcmeHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked, self.heard = Counter(), []
        self.crates = {}
        self.refuses = ()
        self.lose_next_create = False
        self.lock = threading.Lock()

    def answer(self, body, *, once=True):
        """The status and body of one ask."""
        rows = json.loads(body["documents"]["rows"])
        with self.lock:
            self.heard.append(body)
            texts = [row["input_text"] for row in rows]
            first = {text for text in texts if not self.asked[text]} if once else set()
            self.asked.update(texts)
        for name in self.refuses:
            if name in body:
                return 400, {"fault": {"why": "bad_ask", "say": f"no {name} here"}}
        for text in first:
            if text in ("slow_down", "on_fire"):
                return STATUS[text], {"fault": {"why": text, "say": f"it is {text}"}}
            if text == "garbage":
                return 200, b'{"generation": {"text": "{\\"all'
            if text == "hidden fault":
                return 200, {"fault": {"why": "on_fire", "say": "burning"}}
        wanted = [
            {"input_id": row["input_id"], "answer": row["input_text"]}
            for row in rows
            if not (row["input_text"] == "left out" and row["input_text"] in first)
        ]
        ended = "limit" if "cut off" in texts else "stop"
        text = json.dumps({"all_results": wanted})
        tokens = {"read": len(body["documents"]["rows"]), "wrote": len(text)}
        generation = {"text": text, "ended": ended}
        return 200, {
            "generation": generation,
            "tokens": tokens,
            "engine": "anvil-1-dated",
            "ref": f"gen-{sum(self.asked.values())}",
        }

    def create(self, body, tags):
        asks = body["asks"]
        assert len(asks) <= AcmeBatches.limits.requests
        lines = []
        for ask in asks:
            rows = ask["ask"]["documents"]["rows"]
            if "too late" in rows:
                fault = {"why": "too_late", "say": "the crate has left"}
            elif "batch fault" in rows:
                fault = {"why": "on_fire", "say": "burning"}
            elif "lost line" in rows:
                continue
            else:
                lines.append(
                    {"ask_id": ask["ask_id"], "out": self.answer(ask["ask"], once=False)[1]}
                )
                continue
            lines.append({"ask_id": ask["ask_id"], "fault": fault})
        crate = f"crate-{len(self.crates) + 1}"
        broken = sum("fault" in line for line in lines)
        about = {"crate": crate, "where": "arrived", "asks": len(asks), "tags": tags}
        about |= {"fine": len(lines) - broken, "broken": broken}
        self.crates[crate] = (about, b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        return about


class AcmeHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = int(self.headers["content-length"])
        body = json.loads(self.rfile.read(length))
        if self.headers["x-acme-key"] != KEY:
            self._send(401, {"fault": {"why": "no_entry", "say": "who are you?"}})
        elif self.path == "/v9/generate":
            self._send(*self.server.answer(body))
        else:
            about = self.server.create(body, json.loads(self.headers["x-acme-tags"]))
            if self.server.lose_next_create:
                self.server.lose_next_create = False
                self.close_connection = True
                return
            self._send(200, about)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/v9/crates":
            page = int(query.removeprefix("page="))
            crates = [about for about, _ in self.server.crates.values()]
            more = {"next": page + 1} if page < len(crates) else {}
            self._send(200, {"crates": crates[page - 1 : page], **more})
            return
        about, lines = self.server.crates[path.split("/")[3]]
        self._send(200, lines if path.endswith("/unpacked") else about)

    def _send(self, status, body):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.send_header("x-acme-trace", "trace-1")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Say nothing."""


# The tests


@pytest.fixture(autouse=True)
def acme():
    backend = AcmeBackend()
    registry.register(backend)
    yield backend
    registry.unregister(backend.name)


@pytest.fixture
def server():
    with AcmeServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class FastClock(Clock):
    """Waits by moving its hands."""

    def __init__(self):
        self.time = 0.0

    def monotonic(self):
        return self.time

    def wait(self, stop, seconds):
        self.time += seconds
        return stop.is_set()


SCHEMA = {"answer": str}


def frame_of(*texts):
    return pd.DataFrame({"text": texts}, index=[f"row {number}" for number in range(len(texts))])


def ran(server, frame, *, params=None, **options):
    """What the accessor does, with a clock that never waits."""
    task = Task("Echo.", SCHEMA, backend="acme", params=params)
    options = RunOptions(False, clock=FastClock(), endpoints=Endpoints(), **options)
    question = Question(task, server.url, KEY)
    return Extraction(question, rows_text(frame, None), frame.index, options).run()


def test_extract_asks_it_and_the_cache_answers_the_second_time(server, tmp_path):
    frame = frame_of("one", "two", "one")
    given = {"backend": "acme", "base_url": server.url, "api_key": KEY, "progress": False}
    result = frame.genai.extract("Echo.", SCHEMA, cache=tmp_path / "cache.sqlite", **given)
    assert result["answer"].tolist() == ["one", "two", "one"]
    assert result.index.equals(frame.index)
    report = result.genai.report
    assert (report.calls, report.ok, report.models) == (1, 3, ["anvil-1-dated"])
    assert report.params_sent == {"structured": "shape"}
    again = frame.genai.extract("Echo.", SCHEMA, cache=tmp_path / "cache.sqlite", **given)
    assert again.equals(result)
    assert len(server.heard) == 1


def test_a_model_of_its_own_and_its_own_variables_lead_to_it(server, monkeypatch):
    monkeypatch.setenv("ACME_API_KEY", KEY)
    monkeypatch.setenv("ACME_BASE_URL", server.url)
    result = frame_of("one").genai.extract(
        "Echo.", SCHEMA, model="anvil-2", cache=False, progress=False
    )
    assert result["answer"].tolist() == ["one"]
    assert server.heard[0]["engine"] == "anvil-2"


def test_without_its_key_the_message_names_its_variable():
    with pytest.raises(Exception, match="ACME_API_KEY"):
        frame_of("one").genai.extract("Echo.", SCHEMA, backend="acme", cache=False, progress=False)


def test_every_fault_of_a_call_is_survived_or_named(server):
    good = [f"text {number}" for number in range(7)]
    faults = ["slow_down", "on_fire", "garbage", "hidden fault", "left out"]
    frame = frame_of(*good, *faults, "cut off")
    with pytest.warns(RowsFailedWarning, match="truncated 1"):
        result = ran(server, frame, chunk_size=1)
    assert result["answer"].tolist()[:-1] == [*good, *faults]
    assert result["answer"].isna().sum() == 1
    errors = result.genai.errors
    assert (errors.index.tolist(), errors["reason"].tolist()) == (["row 12"], ["truncated"])
    for fault in faults:
        assert server.asked[fault] > 1


def test_a_refused_key_ends_the_run(server):
    with pytest.raises(StopRunError, match="who are you"):
        frame_of("one").genai.extract(
            "Echo.",
            SCHEMA,
            backend="acme",
            base_url=server.url,
            api_key="wrong",
            cache=False,
            progress=False,
        )


def test_its_output_modes_are_stepped_down_and_parameters_dropped(server):
    server.refuses = ("shape", "heat")
    with pytest.warns(ParameterLeftOutWarning, match="heat=3"):
        result = ran(server, frame_of("one", "two"), params={"heat": 3})
    assert result["answer"].tolist() == ["one", "two"]
    assert result.genai.report.params_sent == {"structured": "prose"}
    assert result.genai.report.params_dropped == {"heat": 3}


def test_preview_and_its_card_show_its_requests(server):
    (request,) = frame_of("one").genai.preview("Echo.", SCHEMA, backend="acme", base_url=server.url)
    assert request["url"] == f"{server.url}/v9/generate"
    assert json.loads(request["body"]["documents"]["rows"])[0]["input_text"] == "one"
    previews = frame_of("one").genai.preview("Echo.", SCHEMA, backend="acme", base_url=server.url)
    shown = previews._repr_html_()
    assert "anvil-1" in shown
    assert "input_text" in shown


def test_estimate_counts_its_requests(server):
    plan = frame_of("one", "two" * 400).genai.estimate(
        "Echo.",
        SCHEMA,
        backend="acme",
        base_url=server.url,
        chunk_size=1,
        prices={"input": 1.0, "output": 2.0},
    )
    assert (plan.texts, plan.calls) == (2, 2)
    assert plan.input_tokens > 300


def test_a_budget_is_kept_under_its_own_name_of_the_limit(server):
    result = ran(server, frame_of("one"), max_cost=1.0, prices={"input": 1.0, "output": 2.0})
    assert result["answer"].tolist() == ["one"]
    assert server.heard[0]["output_limit"] > 0
    assert result.genai.report.cost > 0


def test_what_it_cannot_take_is_refused_before_a_call():
    with pytest.raises(SchemaError, match="9 fields, and Acme takes at most 8"):
        Task("Echo.", {f"f{number}": str for number in range(9)}, backend="acme")
    with pytest.raises(UsageError, match="'shape', 'prose'"):
        Task("Echo.", SCHEMA, backend="acme", params={"structured": "strict"})
    with pytest.raises(UsageError, match="Did you mean 'output_limit'"):
        frame_of("one").genai.preview("Echo.", SCHEMA, backend="acme", params={"output_limt": 1})


def night(server, tmp_path, frame):
    given = {"base_url": server.url, "api_key": KEY, "cache": tmp_path / "cache.sqlite"}
    given["folder"] = tmp_path / "jobs"
    job = frame.genai.batch_submit(
        "Echo.", SCHEMA, name="night", backend="acme", chunk_size=1, **given
    )
    return job, given


def test_a_batch_is_submitted_and_collected(server, tmp_path):
    texts = [f"text {number}" for number in range(7)]
    frame = frame_of(*texts)
    job, given = night(server, tmp_path, frame)
    assert len(server.crates) == 3  # three requests a crate
    result = job.collect()
    assert result["answer"].tolist() == texts
    assert result.index.equals(frame.index)
    assert (tmp_path / "jobs" / "night" / "batch_input" / "crate_1.json").exists()
    assert (tmp_path / "jobs" / "night" / "batch_output" / "unpacked_2.jsonl").exists()
    # Live, and from the cache: one task.
    given.pop("folder")
    again = frame.genai.extract("Echo.", SCHEMA, backend="acme", progress=False, **given)
    assert again["answer"].tolist() == texts
    assert sum(server.asked.values()) == 7


def test_every_fault_of_a_batch_is_named_and_can_be_asked_again(server, tmp_path):
    texts = ["good", "batch fault", "lost line", "cut off", "too late", "fine"]
    job, _ = night(server, tmp_path, frame_of(*texts))
    with pytest.warns(RowsFailedWarning, match="4 of 6 rows"):
        result = job.collect()
    assert result["answer"].notna().tolist() == [True, False, False, False, False, True]
    reasons = result.genai.errors["reason"].tolist()
    assert reasons == ["server error", "missing in results", "truncated", "expired"]
    folder = tmp_path / "jobs" / "night" / "batch_output"
    failed = [line for path in folder.glob("faults*.txt") for line in path.read_text().splitlines()]
    assert len(failed) == 2
    job.resubmit_failed()
    assert len(server.crates) == 4


def test_a_creation_whose_answer_was_lost_is_found_and_not_repeated(server, tmp_path):
    server.lose_next_create = True
    texts = ["one", "two"]
    given = {"base_url": server.url, "api_key": KEY, "cache": tmp_path / "cache.sqlite"}
    job = frame_of(*texts).genai.batch_submit(
        "Echo.",
        SCHEMA,
        name="night",
        backend="acme",
        chunk_size=1,
        folder=tmp_path / "jobs",
        **given,
    )
    assert len(server.crates) == 1
    assert job.collect()["answer"].tolist() == texts


def test_a_client_of_the_user_says_whose_it_is(server):
    client = AcmeClient(Endpoint("acme", server.url, KEY), 2)
    given = {"client": client, "cache": False, "progress": False}
    result = frame_of("one").genai.extract("Echo.", SCHEMA, **given)
    assert result["answer"].tolist() == ["one"]
    with pytest.raises(UsageError, match="client= speaks 'acme'"):
        frame_of("one").genai.extract("Echo.", SCHEMA, backend="openai", **given)
    client.close()


def test_an_unknown_name_is_refused_with_all_that_there_are():
    with pytest.raises(UsageError, match=r"'openai' .*'anthropic' or 'acme'"):
        Task("Echo.", backend="other")
