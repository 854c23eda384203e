"""A batch API, and what those of all vendors have in common."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, TypeVar
from urllib.parse import quote

from pandas_genai.backends.classify import Problem, classify, problem_of
from pandas_genai.backends.completion import Completion, no_api
from pandas_genai.backends.endpoints import Endpoint
from pandas_genai.backends.fields import as_id
from pandas_genai.backends.http import Answer, Client, Transport
from pandas_genai.backends.json_text import read_object
from pandas_genai.backends.retry import retry_api_call
from pandas_genai.errors import WaitError

__all__ = ["Batch", "BatchApi", "Container", "FileNames", "Limits", "Outcome", "Page", "Wanted"]
__all__ += ["id_of", "segment"]

T = TypeVar("T")

_SLACK_S = 86_400.0
"""How far the clocks of this machine and the provider may be apart: a day costs a page or two."""
_MOST_PAGES = 10_000
"""A million batches or files; a list that goes on for ever ends there."""


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


class Outcome(NamedTuple):
    """What became of one request of a batch.

    Parameters
    ----------
    custom_id : str
        The id under which it was sent.
    answer : Completion, optional
        Its answer, as a live call would have had it.
    problem : Problem, optional
        Why it has none.
    unfinished : str
        ``"expired"`` or ``"cancelled"`` where it was never worked on; else empty.
    request_id : str, optional
        The vendor's id of it.
    """

    custom_id: str
    answer: Completion | None = None
    problem: Problem | None = None
    unfinished: str = ""
    request_id: str | None = None


@dataclass(frozen=True)
class Page:
    """A page of a list.

    Parameters
    ----------
    entries : sequence of mapping
        What is on it; entries that are no objects are left out.
    last : str, optional
        After which entry the next page begins; None where there is none.
    """

    entries: Sequence[Mapping[str, Any]]
    last: str | None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Read the body of an answer.

        Raises
        ------
        ValueError
            If it is no list.
        """
        data = body.get("data")
        if not isinstance(data, list):
            raise ValueError("It has no list of data.")  # noqa: TRY004 - callers catch one kind
        entries = [entry for entry in data if isinstance(entry, dict)]
        last = None
        if body.get("has_more") is True and entries:
            last = as_id(body.get("last_id")) or as_id(entries[-1].get("id"))
        return cls(entries, last)


def id_of(entry: Mapping[str, Any]) -> str:
    """Return the id of a file or batch.

    Raises
    ------
    ValueError
        If it has none that can be asked for.
    """
    found = as_id(entry.get("id"))
    if found is None:
        raise ValueError("It has no id.")
    return found


@dataclass(frozen=True)
class Container:
    """What stands before, between and after the requests of a file, each on a line of its own."""

    head: bytes = b""
    between: bytes = b"\n"
    tail: bytes = b"\n"

    @property
    def size(self) -> int:
        """The bytes of all three."""
        return len(self.head) + len(self.between) + len(self.tail)

    def requests_in(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the requests among a file's lines."""
        around = {self.head.strip(), self.tail.strip(), b""}
        between = self.between.strip()
        stripped = (line.strip().removesuffix(between) for line in lines)
        return (line for line in stripped if line not in around)


@dataclass(frozen=True)
class FileNames:
    """Where a job's folder keeps what is sent and what comes back.

    Paths below the folder: ``{part}`` is the part's number, ``{_part}`` an underscore and the
    number, of the first part nothing, and ``{batch}`` the batch's id.
    """

    requests: str = "batch_input/batch_{part}.jsonl"
    submission: str = "batch_output/submission_{batch}.json"
    results: str = "batch_output/batch_result_{batch}.jsonl"
    errors: str = "batch_output/batch_error_{batch}.txt"


class BatchApi(ABC):
    """One vendor's batch API: what its files hold, and an SDK client as the batch path uses it.

    Everything but ``upload`` and ``create`` is tried up to five times. Those two are sent once:
    whether a request without an answer took effect is asked with ``find_file`` and ``find``.

    Parameters
    ----------
    client : Client
        As ``Backend.open_client`` opens it, its own retries off.
    endpoint : Endpoint
        For messages, and to keep the key out of them.
    sleep : callable
        Waits seconds between attempts.

    Attributes
    ----------
    id_pattern : re.Pattern
        Finds the id of the request that a line of results is about, even where the rest of the
        line is damaged.
    limits : Limits
        Of one file, or of the body that carries the requests.
    has_files : bool
        Whether requests are uploaded before a batch is created.
    has_tags : bool
        Whether a batch keeps what was attached to it. Where it does not, the ids of requests name
        the job.
    has_error_files : bool
        Whether failed requests stand in a file of their own.
    quota_codes : frozenset of str
        Codes of a batch that ended because too much was enqueued: nothing was worked on.
    container : Container
        What stands around the requests of a file.
    files : FileNames
        How a job's files are called.
    """

    id_pattern: ClassVar[re.Pattern[bytes]] = re.compile(rb'"custom_id"\s*:\s*"([^"\\]{1,200})"')
    limits: ClassVar[Limits]
    has_files: ClassVar[bool]
    has_tags: ClassVar[bool]
    has_error_files: ClassVar[bool] = True
    quota_codes: ClassVar[frozenset[str]] = frozenset()
    container: ClassVar[Container] = Container()
    files: ClassVar[FileNames] = FileNames()

    def __init__(self, client: Client, endpoint: Endpoint, sleep: Callable[[float], Any]) -> None:
        self.transport = Transport(client, endpoint)
        self._endpoint = endpoint
        self._sleep = sleep

    @staticmethod
    @abstractmethod
    def envelope(custom_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return one request of a file: the body of a live call, under an id of ours."""

    @staticmethod
    @abstractmethod
    def opened(request: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Return the id and the body of one request of a file."""

    @staticmethod
    @abstractmethod
    def outcome_of(line: Mapping[str, Any]) -> Outcome:
        """Read one line of the results; nothing in it raises."""

    @staticmethod
    def has_failed(line: bytes) -> bool:  # noqa: ARG004 - only where results hold both
        """Whether a line of results that hold both is that of a failed request."""
        return False

    @abstractmethod
    def upload(self, path: Path, name: str) -> str:
        """Upload a file of requests and return its id."""

    @abstractmethod
    def find_file(self, name: str, size: int) -> str | None:
        """Return the id of an uploaded file of that name and size."""

    @abstractmethod
    def create(
        self,
        path: Path,
        file_id: str | None,
        tags: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> Batch:
        """Create a batch of the requests in a file; headers are what a live call would send."""

    @abstractmethod
    def find(self, wanted: Wanted) -> list[Batch]:
        """Return the batches that may be the wanted one."""

    @abstractmethod
    def get(self, batch_id: str) -> Batch:
        """Return a batch as it is now."""

    @abstractmethod
    def cancel(self, batch_id: str) -> Batch:
        """Ask for a batch to be ended early; what is finished is kept."""

    @abstractmethod
    def fetch(self, batch: Batch, kind: str, path: Path) -> bool:
        """Store the results of a batch, whole or not at all; False where there are none."""

    @staticmethod
    def problem_of(status: int | None, body: object, headers: Mapping[str, str]) -> Problem:
        """Read the error out of an answer whose status is one."""
        return problem_of(status, body, headers)

    def granted(self, answer: Answer) -> Answer:
        """Return an answer that is no error.

        Raises
        ------
        CallError
            Classed.
        """
        if answer.ok:
            return answer
        problem = self.problem_of(answer.status, answer.parsed, answer.headers)
        raise classify(problem, where=self._endpoint.host)

    def again(self, call: Callable[[], T]) -> T:
        """Make a call that changes nothing, up to five times."""
        return retry_api_call(sleep=self._sleep)(call)()

    def get_json(self, path: str, read: Callable[[Mapping[str, Any]], T], **params: object) -> T:
        """Read a JSON object; ``read`` makes of it what is typed, or raises a ValueError."""
        return self.again(lambda: self.parsed(self.transport.get(path, params), read))

    def post_json(
        self,
        path: str,
        read: Callable[[Mapping[str, Any]], T],
        body: Any = None,
        *,
        content: Any = None,
        headers: Any = None,
    ) -> T:
        """Send once and read the JSON object that is answered.

        Raises
        ------
        CallError
            Classed; a ``WaitError`` where it is not known whether the call took effect, or it
            certainly did not and may be sent again (``rate_limited``).
        """
        answer = self.transport.post(path, body, content=content, headers=headers)
        return self.parsed(answer, read)

    def parsed(self, response: Answer, read: Callable[[Mapping[str, Any]], T]) -> T:
        """Read an answer's body; pages and other surprises are no answer."""
        try:
            return read(read_object(self.granted(response).content))
        except ValueError:
            raise no_api(self._endpoint.shown) from None

    def pages(self, path: str, cursor: str, **params: object) -> Iterator[Mapping[str, Any]]:
        """Read a list to its end, a page at a time; ``cursor`` names the parameter."""
        after: str | None = None
        for _ in range(_MOST_PAGES):
            page = self.get_json(path, Page.of, **params, **{cursor: after})
            yield from page.entries
            if page.last in (None, after):
                return
            after = page.last

    def recent(
        self, path: str, cursor: str, read: Callable[[Mapping[str, Any]], Batch], wanted: Wanted
    ) -> Iterator[Batch]:
        """Yield the batches since a part was about to be created that no manifest accounts for."""
        for entry in self.pages(path, cursor, limit=100):
            try:
                batch = read(entry)
            except ValueError:  # one that nobody can ask for is nobody's
                continue
            if batch.created is not None and batch.created < wanted.since - _SLACK_S:
                return
            if batch.id not in wanted.known:
                yield batch

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
