"""What both vendors' batch APIs have in common."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from pandas_genai.backends.classify import Problem, classify, problem_of
from pandas_genai.backends.endpoints import Endpoint
from pandas_genai.backends.http import Answer, Transport
from pandas_genai.backends.retry import retry_api_call
from pandas_genai.errors import WaitError

__all__ = ["Batch", "BatchApi", "HttpApi", "Limits", "Outcome", "Wanted", "segment"]

T = TypeVar("T")


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
        self.transport = Transport(client, endpoint)
        self._endpoint = endpoint
        self._sleep = sleep

    def granted(self, answer: Answer) -> Answer:
        """Return an answer that is no error.

        Raises
        ------
        CallError
            Classed.
        """
        if answer.ok:
            return answer
        problem = problem_of(answer.status, answer.parsed, answer.headers)
        raise classify(problem, where=self._endpoint.host)

    def again(self, call: Callable[[], T]) -> T:
        """Make a call that changes nothing, up to five times."""
        return retry_api_call(sleep=self._sleep)(call)()

    def get_json(self, path: str, **params: object) -> dict[str, Any]:
        """Read a JSON object."""
        return self.again(lambda: self.parsed(self.transport.get(path, params)))

    def post_json(
        self, path: str, body: Any = None, *, content: Any = None, headers: Any = None
    ) -> dict[str, Any]:
        """Send once and read the JSON object that is answered.

        Raises
        ------
        CallError
            Classed; a ``WaitError`` where it is not known whether the call took effect, or it
            certainly did not and may be sent again (``rate_limited``).
        """
        return self.parsed(self.transport.post(path, body, content=content, headers=headers))

    def parsed(self, response: Answer) -> dict[str, Any]:
        """Return an answer's body; pages and other surprises are no answer."""
        answer = self.granted(response).parsed
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

    def stored(self, source: str, path: Path, accept: str) -> None:
        """Stream an answer's body into a file that is there whole or not at all."""
        self.again(lambda: self.granted(self.transport.fetch(source, path, accept)))


def segment(name: str) -> str:
    """Return a provider's id as one segment of a path.

    Raises
    ------
    WaitError
        If it would lead to another resource.
    """
    if name.strip(".") == "":
        raise WaitError(
            "The provider named a resource that cannot be read.", reason="invalid reply"
        )
    return quote(name, safe="")
