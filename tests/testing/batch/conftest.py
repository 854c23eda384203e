"""Both vendors' batch APIs through the real SDKs, held against the vendors' schemas."""

from __future__ import annotations

import json
import re

import pytest

MODELS = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-4-5"}
UNKNOWN_ERRORS = {"conflict_error", "request_too_large"}  # to the document, not to the API
SHOWN = [
    ("openai", r"/v1/files", "GET", "ListFilesResponse"),
    ("openai", r"/v1/files(/[^/]+)?", "", "OpenAIFile"),
    ("openai", r"/v1/batches", "GET", "ListBatchesResponse"),
    ("openai", r"/v1/batches(/.*)?", "", "Batch"),
    ("anthropic", r"/v1/messages/batches", "GET", "ListResponse_MessageBatch_"),
    ("anthropic", r"/v1/messages/batches(/[^/]+(/cancel)?)?", "", "MessageBatch"),
]


class Time:
    """A wall clock that stands still."""

    def __init__(self):
        self.now = 1_790_000_000.0

    def __call__(self):
        return self.now


def without_nulls(value):
    """OpenAI's document does not know that what is not there yet is null."""
    if isinstance(value, dict):
        return {name: without_nulls(each) for name, each in value.items() if each is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


class Vendor:
    """One vendor's batches in the same words as the other's."""

    def __init__(self, name, provider, specs, key="sk-test-key"):
        import anthropic
        import openai

        self.name = name
        self.model = MODELS[name]
        self._specs = specs
        sdk = {"openai": openai, "anthropic": anthropic}[name]
        make = openai.OpenAI if name == "openai" else anthropic.Anthropic
        self.client = make(
            api_key=key,
            base_url=provider.openai_url if name == "openai" else provider.anthropic_url,
            max_retries=0,
            timeout=20,
            http_client=sdk.DefaultHttpxClient(event_hooks={"response": [self._check]}),
        )
        openai_batches = name == "openai"
        self.batches = self.client.batches if openai_batches else self.client.messages.batches

    def _check(self, response):
        request = response.request
        path, said = request.url.path, response.headers.get("content-type", "")
        if "json" not in said or "jsonl" in said or request.method == "DELETE":
            return
        body = json.loads(response.read())
        if response.status_code >= 400:
            if self.name == "openai" or body["error"]["type"] not in UNKNOWN_ERRORS:
                self._specs.check(self.name, "ErrorResponse", body)
            return
        for vendor, pattern, method, schema in SHOWN:
            fits = re.fullmatch(pattern, path) and method in ("", request.method)
            if vendor == self.name and fits:
                shown = without_nulls(body) if vendor == "openai" else body
                self._specs.check(vendor, schema, shown)
                return

    def body(self, *texts, **more):
        """Return the body of one request; what is None is left out."""
        rows = [{"input_id": f"id-{place}", "input_text": text} for place, text in enumerate(texts)]
        message = {"role": "user", "content": json.dumps(rows, ensure_ascii=False)}
        body = {"model": self.model, "messages": [message]}
        if self.name == "anthropic":
            body["max_tokens"] = 1000
        return {name: each for name, each in {**body, **more}.items() if each is not None}

    def bodies(self, *texts):
        """Return requests of one row each: c0, c1, ..."""
        return {f"c{place}": self.body(text) for place, text in enumerate(texts)}

    def upload(self, data, name="input.jsonl"):
        return self.client.files.create(file=(name, data), purpose="batch").id

    def submit(self, bodies, **more):
        """Create a batch of bodies by custom_id; return its id."""
        if self.name == "anthropic":
            requests = [{"custom_id": name, "params": body} for name, body in bodies.items()]
            return self.batches.create(requests=requests, **more).id
        lines = [
            {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}
            for name, body in bodies.items()
        ]
        return self.start("\n".join(map(json.dumps, lines)).encode(), **more)

    def start(self, data, **more):
        """Create a batch of OpenAI's of the content of a file."""
        return self.batches.create(
            input_file_id=self.upload(data),
            endpoint="/v1/chat/completions",
            completion_window="24h",
            **more,
        ).id

    def status(self, batch_id):
        batch = self.batches.retrieve(batch_id)
        return batch.status if self.name == "openai" else batch.processing_status

    def raw_lines(self, batch_id, *files):
        """Return the lines of the results as they are."""
        if self.name == "anthropic":
            path = f"/v1/messages/batches/{batch_id}/results"
            import httpx2

            data = self.client.get(path, cast_to=httpx2.Response).content
        else:
            batch = self.batches.retrieve(batch_id)
            names = files or ("output_file_id", "error_file_id")
            ids = [getattr(batch, name) for name in names if getattr(batch, name)]
            data = b"".join(self.client.files.content(name).content for name in ids)
        return data.splitlines(keepends=True)

    def lines(self, batch_id, *files):
        return [json.loads(line) for line in self.raw_lines(batch_id, *files)]

    def results(self, batch_id):
        """Return (kind, body) by custom_id: the kind is succeeded, errored, expired, canceled."""
        lines = self.lines(batch_id)
        return {line["custom_id"]: self._result(line) for line in lines}

    def _result(self, line):
        if self.name == "anthropic":
            self._specs.check("anthropic", "MessageBatchIndividualResponse", line)
            result = line["result"]
            return result["type"], result.get("message") or result.get("error")
        if line["response"] is None:
            kinds = {"batch_expired": "expired", "batch_cancelled": "canceled"}
            return kinds[line["error"]["code"]], line["error"]
        body = line["response"]["body"]
        return "succeeded" if line["response"]["status_code"] == 200 else "errored", body

    def kinds(self, batch_id):
        return {name: kind for name, (kind, _) in self.results(batch_id).items()}

    def entries(self, body):
        """Return what an answer says of its rows."""
        if self.name == "openai":
            self._specs.check("openai", "CreateChatCompletionResponse", body)
            text = body["choices"][0]["message"]["content"]
        else:
            text = "".join(part["text"] for part in body["content"] if part["type"] == "text")
        return json.loads(text)["all_results"]


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def connect(specs):
    """Make a vendor's client, closed after the test."""
    made = []

    def make(name, provider, **options):
        made.append(Vendor(name, provider, specs, **options))
        return made[-1]

    yield make
    for vendor in made:
        vendor.client.close()


@pytest.fixture(params=["openai", "anthropic"])
def wire(request):
    return request.param


@pytest.fixture
def length():
    return lambda text: {"length": len(text)}
