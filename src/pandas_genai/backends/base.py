"""A backend: everything that is particular to one vendor's API, as one object.

A backend is a wire format: OpenAI's is spoken by every compatible server, too. What all of them
share stands beside this file: HTTP, retries, the classes of errors, the reading of foreign JSON.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pandas_genai.backends import classify
from pandas_genai.backends.batches import BatchApi
from pandas_genai.backends.classify import Problem
from pandas_genai.backends.client import sdk_client, without_retries
from pandas_genai.backends.completion import Completion
from pandas_genai.backends.endpoints import Capabilities, Endpoint
from pandas_genai.backends.fields import as_text
from pandas_genai.backends.http import Client
from pandas_genai.backends.rate_headers import SeenLimit
from pandas_genai.task.chunks import Chunk
from pandas_genai.task.inputs import MediaPart
from pandas_genai.task.rules import Bounds
from pandas_genai.task.schema.nodes import Node
from pandas_genai.task.task import BoundTask

__all__ = ["Backend", "Prompt"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model reads of a request.

    Parameters
    ----------
    system : str
        The instructions.
    user : str
        The rows, as JSON: all that is text of them.
    schemas : mapping
        What enforces the output, by its names in the body.
    media : tuple of MediaPart
        The images and files among the rows.
    """

    system: str
    user: str
    schemas: Mapping[str, Any]
    media: tuple[MediaPart, ...] = ()


class Backend(ABC):
    """One vendor's API. Stateless: one object serves every endpoint and thread.

    Attributes
    ----------
    name : str
        What ``backend=`` is given, lower case; the settings' variables begin with it.
    label : str
        What people call the vendor.
    note : str
        What a message about an unknown name says beside the name.
    base_url, path : str
        The vendor's own address, and where below an address calls go.
    default_model : str
        The model where neither the call nor the settings name one.
    sdk, client_class : str
        The vendor's SDK and the class of its synchronous client; empty without an SDK. It is
        imported with the first client.
    account_headers : tuple of str
        Headers that the SDK adds from the environment, whatever address it calls.
    output_modes : tuple of str
        Ways of enforcing a schema, the strictest first.
    parameters : frozenset of str
        Of a request, besides those that ``declared_in``, a file of the SDK, declares.
    limit_names : tuple of str
        Names of the parameter that bounds an answer.
    content_names : frozenset of str
        What of a body is neither a parameter nor may be dropped: model, messages, schema.
    cached_count : bool
        Whether tokens that were read from the prompt cache count towards limits of tokens.
    batches : type of BatchApi
        The batch API.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    note: ClassVar[str] = ""
    base_url: ClassVar[str]
    path: ClassVar[str]
    default_model: ClassVar[str]
    sdk: ClassVar[str] = ""
    client_class: ClassVar[str] = ""
    account_headers: ClassVar[tuple[str, ...]] = ()
    output_modes: ClassVar[tuple[str, ...]]
    parameters: ClassVar[frozenset[str]] = frozenset()
    declared_in: ClassVar[str] = ""
    limit_names: ClassVar[tuple[str, ...]]
    content_names: ClassVar[frozenset[str]]
    cached_count: ClassVar[bool] = True
    batches: ClassVar[type[BatchApi]]

    # Settings and the client

    def variable(self, what: str) -> str:
        """Return the environment variable of a setting: ``API_KEY``, ``BASE_URL``."""
        return f"{self.name.upper()}_{what}"

    def names_model(self, model: str) -> bool:  # noqa: ARG002 - most names tell nothing
        """Whether a model's name alone says that it is this vendor's."""
        return False

    def open_client(self, endpoint: Endpoint, workers: int) -> Client:
        """Open a client for so many threads, its own retries off."""
        sdk = importlib.import_module(self.sdk)
        return sdk_client(sdk, self.client_class, endpoint, workers, self.account_headers)

    def without_retries(self, client: Any) -> Client:
        """Return a client of the user with its own retries off, as waiting is the pool's."""
        return without_retries(client)

    def speaks(self, client: Any) -> bool:
        """Whether a client of the user is a synchronous one of this vendor's SDK."""
        bases = {base.__module__.partition(".")[0] for base in type(client).__mro__}
        return self.sdk in bases and not type(client).__name__.startswith("Async")

    # Schemas

    @abstractmethod
    def reply_schema(
        self, record: Node, *, many: bool, strict: bool = True, bounds: Bounds = "dialect"
    ) -> Node:
        """Return the JSON schema of a whole reply in the vendor's dialect.

        Parameters
        ----------
        record : dict
            One record's schema in normal form.
        many : bool
            Whether a row may have several records.
        strict : bool, default True
            Whether it is for a mode that enforces the schema to the letter.
        bounds : {"dialect", "grammar", "described"}
            Where bounds stand.
        """

    @abstractmethod
    def check_schema(self, record: Node, sent: Node) -> None:
        """Refuse what the vendor cannot enforce.

        Raises
        ------
        SchemaError
            Naming the field, or the limit and what to do about it.
        """

    # Requests

    @abstractmethod
    def first_capabilities(self, task: BoundTask) -> Capabilities:
        """Return what is tried first for a task."""

    @abstractmethod
    def build(
        self, task: BoundTask, chunk: Chunk, capabilities: Capabilities, *, vendor: bool
    ) -> dict[str, Any]:
        """Build the body of one request.

        Parameters
        ----------
        task : BoundTask
            What is asked.
        chunk : Chunk
            Of which rows.
        capabilities : Capabilities
            What the endpoint takes.
        vendor : bool
            Whether it is the vendor's own API, not a compatible server.
        """

    @abstractmethod
    def bounded(
        self, body: dict[str, Any], limit: int, capabilities: Capabilities, *, vendor: bool
    ) -> dict[str, Any]:
        """Return a body with a token limit, under the name that the endpoint takes."""

    @abstractmethod
    def next_capabilities(
        self, capabilities: Capabilities, body: Mapping[str, Any], message: str, param: str | None
    ) -> Capabilities | None:
        """Return what to try after a 400, or None where the 400 is about something else.

        Parameters
        ----------
        capabilities : Capabilities
            What was tried.
        body : mapping
            The request that was refused.
        message : str
            The error's message.
        param : str, optional
            The parameter that the error names.
        """

    def headers_for(self, body: Mapping[str, Any]) -> dict[str, str]:  # noqa: ARG002 - most need none
        """Return the headers that a request needs besides the client's."""
        return {}

    # What is in a request

    @abstractmethod
    def prompt_of(self, body: Mapping[str, Any]) -> Prompt:
        """Return what a model reads of a request."""

    @abstractmethod
    def without_rows(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the part of a request that all of its task share."""

    def params_of(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a request: all but its texts and its schema."""
        return {name: value for name, value in body.items() if name not in self.content_names}

    def limit_of(self, body: Mapping[str, Any]) -> int | None:
        """Return the token limit that a request has, if it has one."""
        limits = (body.get(name) for name in self.limit_names)
        return next((limit for limit in limits if isinstance(limit, int)), None)

    def thinking_tokens(self, body: Mapping[str, Any]) -> int:
        """Return the tokens that a model may think before it answers, where the user set that.

        Anthropic's name for it is understood by servers of other formats, too.
        """
        thinking = body.get("thinking")
        budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
        return budget if isinstance(budget, int) else 0

    # Replies

    @abstractmethod
    def read_completion(self, body: object) -> Completion:
        """Read the body of an answer, be it a live call's or a batch's; nothing in it raises."""

    def problem_of(self, status: int, body: object, headers: Mapping[str, str]) -> Problem:
        """Read the error out of an answer whose status is one."""
        return classify.problem_of(status, body, headers)

    def problem_in_answer(
        self, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Problem | None:
        """Return the error that a 200 carries instead of an answer; None where it carries none."""
        return classify.problem_in_answer(body, headers)

    def rate_limits(self, headers: Mapping[str, str]) -> Sequence[SeenLimit]:  # noqa: ARG002 - some state none
        """Return what the headers of an answer say of rate limits; nothing in them raises."""
        return ()

    def request_id(self, headers: Mapping[str, str]) -> str | None:
        """Return the vendor's id of a call, from the headers of its answer."""
        return as_text(headers.get("x-request-id") or headers.get("request-id"), 200)
