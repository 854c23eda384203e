"""What both vendors' batch APIs have in common."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic_core import from_json

from pandas_genai.backends.classify import Problem
from pandas_genai.backends.endpoints import Endpoint
from pandas_genai.backends.retry import retry_api_call
from pandas_genai.backends.sdk_errors import call_error
from pandas_genai.errors import WaitError

__all__ = ["Batch", "BatchApi", "HttpApi", "Limits", "Outcome", "Wanted"]

T = TypeVar("T")

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Limits:
    """The most that one batch takes.

    Parameters
    ----------
    requests, bytes : int
        Requests, and bytes of the file or body that carries them.
    """

    requests: int
    bytes: int


@dataclass(frozen=True)
class Batch:
    """A batch as its provider described it last.

    Parameters
    ----------
    id, status : str
        The provider's own words.
    ended : bool
        Whether nothing will change any more.
    created, ends_by : float, optional
        Epoch seconds.
    total, done, failed : int
        Requests, as far as the provider says.
    code, message : str
        Why the batch as a whole failed; empty unless it did.
    output, error : str, optional
        Where the results of finished and of failed requests are.
    tags : mapping
        What was attached when it was created.
    file_id : str, optional
        The file that it was created from.
    """

    id: str
    status: str
    ended: bool
    created: float | None = None
    ends_by: float | None = None
    total: int = 0
    done: int = 0
    failed: int = 0
    code: str = ""
    message: str = ""
    output: str | None = None
    error: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    file_id: str | None = None


@dataclass(frozen=True)
class Wanted:
    """How a batch is recognised whose creation was perhaps never answered.

    Parameters
    ----------
    tags : mapping
        What was attached to it.
    file_id : str, optional
        The file that it was created from.
    requests : int
        How many it has.
    since : float
        Epoch seconds before which it cannot have been created.
    known : collection of str
        Ids of batches that are accounted for.
    """

    tags: Mapping[str, str]
    file_id: str | None
    requests: int
    since: float
    known: Collection[str] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of one request of a batch.

    Parameters
    ----------
    custom_id : str
        The id under which it was sent.
    answer : mapping, optional
        The body of its answer, as a live call would have had it.
    problem : Problem, optional
        Why it has none.
    unfinished : str
        ``"expired"`` or ``"cancelled"`` where it was never worked on; else empty.
    request_id : str, optional
        The vendor's id of it.
    """

    custom_id: str
    answer: Mapping[str, Any] | None = None
    problem: Problem | None = None
    unfinished: str = ""
    request_id: str | None = None


class BatchApi(Protocol):
    """One vendor's batch API.

    Everything but ``upload`` and ``create`` is tried up to five times. Those two are sent once:
    whether a request without an answer took effect is asked with ``find_file`` and ``find``.
    """

    limits: Limits
    has_files: bool
    has_tags: bool

    def upload(self, path: Path, name: str) -> str:
        """Upload a file of requests and return its id."""

    def find_file(self, name: str, size: int) -> str | None:
        """Return the id of an uploaded file of that name and size."""

    def create(
        self,
        path: Path,
        file_id: str | None,
        tags: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> Batch:
        """Create a batch of the requests in a file; headers are what a live call would send."""

    def find(self, wanted: Wanted) -> list[Batch]:
        """Return the batches that may be the wanted one."""

    def get(self, batch_id: str) -> Batch:
        """Return a batch as it is now."""

    def cancel(self, batch_id: str) -> Batch:
        """Ask for a batch to be ended early; what is finished is kept."""

    def fetch(self, batch: Batch, kind: str, path: Path) -> bool:
        """Store the results of a batch, whole or not at all; False where there are none."""


class HttpApi:
    """An SDK client as the batch rooms use it: dicts in and out, errors classed.

    Parameters
    ----------
    client : openai.OpenAI or anthropic.Anthropic
        Its own retries off.
    endpoint : Endpoint
        For messages, and to keep the key out of them.
    sleep : callable
        Waits seconds between attempts.
    """

    def __init__(self, client: Any, endpoint: Endpoint, sleep: Callable[[float], Any]) -> None:
        import httpx2

        self._response_type = httpx2.Response
        self._lost = (httpx2.TransportError, httpx2.StreamError)
        self.client = client
        self._endpoint = endpoint
        self._sleep = sleep

    def once(self, call: Callable[[], T]) -> T:
        """Make one call.

        Raises
        ------
        CallError
            Classed; a ``WaitError`` where it is not known whether the call took effect, or it
            certainly did not and may be sent again (``rate_limited``).
        """
        try:
            return call()
        except self._lost as error:
            raise WaitError(
                f"{self._endpoint.shown} broke off: {error}.", reason="connection"
            ) from None
        except Exception as error:  # both SDKs' trees; whatever is not theirs is raised again
            classed = call_error(error, self._endpoint)
            if classed is None:
                raise
            raise classed from None

    def again(self, call: Callable[[], T]) -> T:
        """Make a call that changes nothing, up to five times."""
        return retry_api_call(sleep=self._sleep)(self.once)(call)

    def get_json(self, path: str, **params: object) -> dict[str, Any]:
        """Read a JSON object."""
        sent = {name: value for name, value in params.items() if value is not None}
        return self.again(
            lambda: self.parsed(
                self.client.get(path, cast_to=self._response_type, options={"params": sent})
            )
        )

    def post_json(self, path: str, **options: Any) -> dict[str, Any]:
        """Send once and read the JSON object that is answered."""
        return self.once(
            lambda: self.parsed(self.client.post(path, cast_to=self._response_type, **options))
        )

    def parsed(self, response: Any) -> dict[str, Any]:
        """Return an answer's body; pages and other surprises are no answer."""
        try:
            answer = from_json(response.content)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or not {"id", "data"} & answer.keys():
            raise WaitError(
                f"{self._endpoint.shown} answered with something that is not the API's JSON.",
                reason="invalid reply",
            )
        return answer

    def pages(self, path: str, cursor: str, **params: object) -> Iterator[dict[str, Any]]:
        """Read a list to its end, a page at a time; ``cursor`` names the parameter."""
        after: str | None = None
        while True:
            page = self.get_json(path, **params, **{cursor: after})
            entries = page.get("data") or []
            yield from entries
            if not page.get("has_more") or not entries:
                return
            after = page.get("last_id") or entries[-1]["id"]

    def stored(self, opened: Callable[[], Any], path: Path) -> None:
        """Stream an answer's body into a file that is there whole or not at all."""
        self.again(lambda: _stream(opened, path))


def _stream(opened: Callable[[], Any], path: Path) -> None:
    beside = path.with_name(f".{path.name}.part")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file, opened() as response:
        for block in response.iter_bytes(_BLOCK):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
