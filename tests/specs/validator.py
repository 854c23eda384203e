"""Holds requests and answers against the vendors' published schemas (see README.md here).

The documents lag behind the live APIs (November 2026): Anthropic's knows neither version
2026-10-21, which no longer takes temperature, top_p and top_k (the document still allows them),
nor ``conflict_error``, nor its list of models. OpenAI's knows no answer of compatible servers. So
a 200 is held against them in both directions, an error where the document knows its type, and
what they do not cover is left to the SDKs' own types.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

HERE = Path(__file__).parent
FILES = {"openai": "openai-trim.json", "anthropic": "anthropic-trim.json"}
REQUESTS = {
    ("openai", "/chat/completions"): "CreateChatCompletionRequest",
    ("anthropic", "/messages"): "CreateMessageParams",
}
ANSWERS = {
    ("openai", "/chat/completions"): "CreateChatCompletionResponse",
    ("openai", "/models"): "ListModelsResponse",
    ("anthropic", "/messages"): "Message",
}
UNKNOWN_ERRORS = {"conflict_error"}


class SpecValidator:
    """Both vendors' documents, each as one resource (Draft 2020-12)."""

    def __init__(self):
        documents = {
            vendor: json.loads((HERE / name).read_text(encoding="utf-8"))
            for vendor, name in FILES.items()
        }
        self._schemas = {
            vendor: document["components"]["schemas"] for vendor, document in documents.items()
        }
        self._registry = Registry().with_resources(
            (f"urn:{vendor}", Resource(document, DRAFT202012))
            for vendor, document in documents.items()
        )

    def check(self, vendor: str, name: str, value: Any) -> None:
        """Raise an AssertionError that lists what a named schema does not allow."""
        faults = [
            f"{'/'.join(map(str, error.absolute_path)) or 'root'}: {error.message}"
            for error in self._validator(vendor, name).iter_errors(value)
        ]
        assert not faults, f"{vendor} {name}: {faults}"

    def request(self, vendor: str, path: str, body: Any) -> None:
        """Hold a request's body against the schema of its path."""
        self.check(vendor, REQUESTS[vendor, _short(path)], body)

    def answer(self, vendor: str, path: str, status: int, body: Any) -> None:
        """Hold an answer against the schema of its path, or of errors."""
        if status >= 400:
            if vendor == "openai" or body["error"]["type"] not in UNKNOWN_ERRORS:
                self.check(vendor, "ErrorResponse", body)
        elif (vendor, _short(path)) in ANSWERS:
            self.check(vendor, ANSWERS[vendor, _short(path)], body)
        elif vendor == "openai" and "/models/" in path:
            self.check(vendor, "Model", body)

    @functools.cache  # noqa: B019 - lives as long as the tests
    def _validator(self, vendor: str, name: str) -> Draft202012Validator:
        assert name in self._schemas[vendor], f"{vendor} has no schema {name}"
        return Draft202012Validator(
            {"$ref": f"urn:{vendor}#/components/schemas/{name}"}, registry=self._registry
        )


def _short(path: str) -> str:
    return path.partition("?")[0].removeprefix("/v1")


@functools.cache
def spec_validator() -> SpecValidator:
    """Return the one validator; reading the documents takes a moment."""
    return SpecValidator()
