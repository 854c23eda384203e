"""A job's manifest: what was done and what is about to be done, on disk before it is."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from pandas_genai.backends.endpoints import Capabilities
from pandas_genai.backends.registry import backend_named, names
from pandas_genai.batch.stages import FIRST, STAGES, Stage, check_move
from pandas_genai.costs.prices import checked_prices
from pandas_genai.errors import JobError, UsageError, printable
from pandas_genai.files import atomic_write
from pandas_genai.task.reply import Usage
from pandas_genai.task.task import BoundTask, Task

__all__ = ["FORMAT", "LATEST", "MOST", "Manifest", "Part"]
__all__ += ["check_digest", "count_of", "cut", "moment_of", "opened"]
__all__ += ["read_manifest", "unreadable"]

FORMAT = 1

MOST = 2**53
"""The largest count that a manifest holds: one that JSON carries exactly."""

LATEST = 9_000_000_000.0
"""The latest moment in epoch seconds: pandas' nanoseconds end in the year 2262."""

LONGEST = 1_000_000
"""The longest line of a manifest, in characters; what a provider says is cut far below."""

Count = Annotated[int, Field(ge=0, le=MOST)]
Moment = Annotated[float, Field(ge=0, le=LATEST, allow_inf_nan=False)]
Money = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False)]
Line = Annotated[str, Field(max_length=LONGEST)]
Id = Annotated[str, Field(min_length=1, max_length=LONGEST)]
Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{4,128}$")]
Digest = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]

_MOST_TEXT = 2_000


def count_of(number: object) -> int:
    """Return a provider's count as it is kept: 0 where it is none."""
    return min(max(number, 0), MOST) if type(number) is int else 0


def moment_of(seconds: object) -> float | None:
    """Return a provider's time as it is kept: None where no calendar has it."""
    if isinstance(seconds, (int, float)) and 0 <= seconds <= LATEST:
        return float(seconds)
    return None


def cut(text: str) -> str:
    """Return what a provider says as it is kept: printable, and not without end."""
    return printable(text, _MOST_TEXT)


@dataclass
class Part:
    """One file of requests, and the batch that was made of it.

    Parameters
    ----------
    number : int
        From 1.
    round : int
        How often its rows were submitted before.
    requests, rows, bytes, characters : int
        What is in the file; rows are distinct texts, characters those of the texts.
    digest, keys_digest : str
        SHA-256 of the file, and of the file that says which rows each request holds.
    rung, dropped : str, list of str
        How the requests were built: see ``Capabilities``.
    stage : Stage
        How far it has come.
    file_id, batch_id : str or None
        The provider's ids.
    confirmed : bool
        Whether the provider knew the batch when it was asked for it.
    candidates : list of str
        Batches that may be this part's, where the provider keeps no tags to tell them by.
    rejected : list of str
        Batches that ended for want of quota before a request was worked on.
    intended : float or None
        Epoch seconds at which the batch was first about to be created.
    submitted, ends_by : float or None
        Epoch seconds, as the provider says.
    status, code, message : str
        The provider's own words for the state of the batch.
    trouble : str
        Why it could not be worked on the last time, the others could; empty otherwise.
    output, error : str or None
        Where the provider keeps the results.
    done, failed : int
        Requests, as the provider counts them.
    answered, refused, expired : int
        Distinct texts, once the results were read; the expired are among the refused.
    calls : int
        Requests that were answered.
    input_tokens, cached_tokens, cache_write_tokens, output_tokens : int
        Of their answers.
    unknown_calls : int
        Answers among them that came without a usable count.
    cost : float or None
        Of their answers, in US dollars; None where the price is unknown.
    params_sent : str
        What its requests were sent with, as JSON text; empty until results were read.
    models : dict
        How often each model answered.
    strange : dict
        What the results held that was never asked for: custom ids by kind.
    """

    number: Annotated[int, Field(ge=1, le=MOST)]
    round: Count = 0
    requests: Count = 0
    rows: Count = 0
    bytes: Count = 0
    characters: Count = 0
    digest: Digest = ""
    keys_digest: Digest = ""
    rung: Line = ""
    dropped: list[Line] = field(default_factory=list)
    stage: Stage = FIRST
    file_id: Id | None = None
    batch_id: Id | None = None
    confirmed: bool = False
    candidates: list[Id] = field(default_factory=list)
    rejected: list[Line] = field(default_factory=list)
    intended: Moment | None = None
    submitted: Moment | None = None
    ends_by: Moment | None = None
    status: Line = ""
    code: Line = ""
    message: Line = ""
    trouble: Line = ""
    output: Id | None = None
    error: Id | None = None
    done: Count = 0
    failed: Count = 0
    answered: Count = 0
    refused: Count = 0
    expired: Count = 0
    calls: Count = 0
    input_tokens: Count = 0
    cached_tokens: Count = 0
    cache_write_tokens: Count = 0
    output_tokens: Count = 0
    unknown_calls: Count = 0
    cost: Money | None = 0.0
    params_sent: Line = ""
    models: dict[Line, Count] = field(default_factory=dict)
    strange: dict[Line, Count] = field(default_factory=dict)

    @classmethod
    def sent_with(cls, capabilities: Capabilities, number: int, round_: int = 0) -> Self:
        """Return a new part whose requests are built for an endpoint that takes so much."""
        dropped = sorted(capabilities.dropped)
        return cls(number, round_, rung=capabilities.output_mode, dropped=dropped)

    @property
    def capabilities(self) -> Capabilities:
        """How its requests were built."""
        return Capabilities(self.rung, frozenset(self.dropped))

    @property
    def usage(self) -> Usage:
        """The tokens of its answers."""
        return Usage(
            self.input_tokens,
            self.cached_tokens,
            self.cache_write_tokens,
            self.output_tokens,
            self.unknown_calls,
        )

    @property
    def finished(self) -> bool:
        """Whether there is nothing to wait for: its answers are in the cache, or lost."""
        return STAGES[self.stage].finished

    @property
    def in_flight(self) -> bool:
        """Whether the provider is working on it."""
        return STAGES[self.stage].batch == "running"

    def move(self, stage: Stage) -> None:
        """Take the part to another stage, as the table allows. ``Connection.move`` also saves it.

        Raises
        ------
        JobError
            If the table has no such way; the part stays where it is.
        """
        check_move(self.stage, stage)
        self.stage = stage


@dataclass
class Manifest:
    """One job.

    Parameters
    ----------
    name : str
        The job's name: its directory.
    uid : str
        Identity of the job, hexadecimal.
    backend, base_url, model : str
        Who is asked; never the key.
    key_check : str
        What tells whether a key is the one that was used, without telling the key.
    prompt_hash, prompt, schema, params
        The task; the schema as a JSON schema.
    text : object
        What is sent of each row: ``text=`` as it was given.
    chunk_size : int
        Rows a request.
    fingerprint : str
        Hash of the task and of the texts of the frame.
    cache : str or None
        The URL of the store, a file's path in it relative to the job's directory where that is
        possible; the bare path in jobs of earlier versions.
    created : float
        Epoch seconds.
    version : str
        Of the package.
    rows, empty, twins, cached, elsewhere, sent : int
        Rows of the frame; without text; equal to another; answered before; in another job that
        had not ended; distinct texts that were submitted.
    index_names, index_dtypes : list
        The names and types of the index's levels.
    rows_digest : str
        SHA-256 of the file with the rows' labels and keys; empty in jobs of version 0.1.
    ready : bool
        Whether all files of requests are written.
    lower : tuple or None
        Output mode and dropped parameters to build with from now on, as the results taught.
    prices : dict or None
        The user's own prices, as they were given with the job.
    examples : list of (str, str)
        Solved cases: the text, and the answer as JSON text.
    repeats : int
        How often each row is asked.
    parts : list of Part
        In the order of their numbers.
    """

    name: Annotated[str, Field(min_length=1, max_length=400)]
    uid: Hex
    backend: str
    base_url: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=LONGEST)]
    model: Id
    key_check: Annotated[str, Field(max_length=LONGEST)]
    prompt_hash: Hex
    prompt: str
    schema: Any
    params: dict[str, Any]
    text: dict[str, Any]
    chunk_size: Annotated[int, Field(ge=1, le=MOST)]
    fingerprint: Hex
    created: Moment
    version: Line
    cache: Id | None = None
    rows: Count = 0
    empty: Count = 0
    twins: Count = 0
    cached: Count = 0
    elsewhere: Count = 0
    sent: Count = 0
    index_names: list[str | None] = field(default_factory=list)
    index_dtypes: list[Line] = field(default_factory=list)
    rows_digest: Digest = ""
    ready: bool = False
    lower: tuple[Line, list[Line]] | None = None
    prices: dict[Line, Money] | None = None
    examples: list[tuple[str, str]] = field(default_factory=list)
    repeats: Annotated[int, Field(ge=1, le=MOST)] = 1
    parts: list[Part] = field(default_factory=list)
    format: Count = FORMAT

    def save(self, path: Path) -> None:
        """Write the manifest: the old one or the new one is there, never a part of either."""
        atomic_write(path, json.dumps(asdict(self), ensure_ascii=False, indent=1))

    @property
    def unbound(self) -> Task:
        """The task; custom validators of a user's own model are not part of it."""
        return Task(
            self.prompt, self.schema, model=self.model, backend=self.backend, params=self.params
        )

    def task(self, host: str) -> BoundTask:
        """Return the task at an endpoint, its examples as they were sent."""
        bound = BoundTask.of(self.unbound, model=self.model, backend=self.backend, host=host)
        return replace(bound, examples=tuple((text, answer) for text, answer in self.examples))

    @property
    def lost(self) -> bool:
        """Whether the provider has some results no more."""
        return any(part.stage == "lost" for part in self.parts)

    @property
    def next_capabilities(self) -> Capabilities:
        """What the endpoint takes, as the last part was written or its results have taught."""
        if self.lower is None:
            return self.parts[-1].capabilities
        return Capabilities(self.lower[0], frozenset(self.lower[1]))

    @property
    def finished(self) -> bool:
        """Whether there is nothing to wait for: every answer is in the cache, or lost."""
        return self.ready and all(part.finished for part in self.parts)


_LARGEST = 256 * 2**20
"""The largest manifest in bytes: a thousand times that of the largest job."""

_NEVER_BLOCKS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

_TEXT_FORMS = frozenset({"column", "columns", "template", "series"})


def read_manifest(path: Path) -> Manifest:
    """Read a job's manifest.

    Parameters
    ----------
    path : Path
        ``job.json`` of a job.

    Raises
    ------
    JobError
        If it is missing, damaged or of a newer version; names the file and the field.
    """
    data = _bytes(path)
    try:
        found = from_json(data)
    except ValueError as error:
        raise unreadable(path, f"no JSON: {error}") from None
    version = found.get("format") if isinstance(found, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise JobError(
            f"{path} was written by a newer pandas-genai (format {version}, this one reads "
            f"{FORMAT}): upgrade pandas-genai."
        )
    try:
        manifest = _adapter().validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise unreadable(path, f"{_place(first['loc'])}: {first['msg']}") from None
    for name, why in _contradictions(manifest):
        raise unreadable(path, f"{name}: {why}")
    return manifest


def _bytes(path: Path) -> bytes:
    with opened(path) as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise unreadable(path, f"it has more than {_LARGEST:,} bytes")
    return data


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open one of a job's files for reading; never a pipe, which would block for ever.

    Raises
    ------
    JobError
        If it is missing or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _NEVER_BLOCKS)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise unreadable(path, "it is no regular file")
            yield file
    except OSError as error:
        raise unreadable(path, error.strerror or type(error).__name__) from None


def check_digest(path: Path, digest: str, lines: int | None = None) -> None:
    """Look whether a file, or its first lines, are what was written, by their SHA-256.

    Raises
    ------
    JobError
        If it is not, or cannot be read.
    """
    with opened(path) as file:
        if lines is None:
            found = hashlib.file_digest(file, "sha256")
        else:
            found = hashlib.sha256()
            for line in islice(file, lines):
                found.update(line)
        if found.hexdigest() != digest:
            raise unreadable(path, "it is not what was written")


@cache
def _adapter() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)


def unreadable(path: Path, why: str) -> JobError:
    """Return the error of a job's file that cannot be read."""
    return JobError(
        f"The job's file {path} cannot be read ({why}): restore it, or move its directory away; "
        "what was submitted and is not collected would be paid for again."
    )


def _place(location: Sequence[int | str]) -> str:
    """Write where a field stands as Python would: ``parts[0].stage``."""
    shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return shown.removeprefix(".") or "the whole"


def _contradictions(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Find what no job that we wrote can hold, each field being of its type."""
    if manifest.format < 1:
        yield "format", "there is no such format"
    if len(manifest.text) != 1 or not _TEXT_FORMS.issuperset(manifest.text):
        yield "text", "it names not one form of text="
    if len(manifest.index_names) != len(manifest.index_dtypes) or not manifest.index_names:
        yield "index_dtypes", "there is not one for each name of the index"
    if (
        manifest.ready
        and sum(part.rows for part in manifest.parts if not part.round) != manifest.sent
    ):
        yield "sent", "it is not the sum of the parts' rows"
    try:
        checked_prices(manifest.prices)
    except UsageError as error:
        yield "prices", str(error)
    numbers = [part.number for part in manifest.parts]
    if numbers != list(range(1, len(numbers) + 1)):
        yield "parts", "they are not numbered from 1 in their order"
    yield from _mode_contradictions(manifest)
    for place, part in enumerate(manifest.parts):
        for name, why in _part_contradictions(part):
            yield f"parts[{place}].{name}", why


def _mode_contradictions(manifest: Manifest) -> Iterator[tuple[str, str]]:
    if manifest.backend not in names():
        yield "backend", f"{manifest.backend!r} is no backend that is known"
        return
    modes = {"", *backend_named(manifest.backend).output_modes}
    used = {f"parts[{place}].rung": part.rung for place, part in enumerate(manifest.parts)}
    if manifest.lower is not None:
        used = {"lower": manifest.lower[0], **used}
    for name, mode in used.items():
        if mode not in modes:
            yield name, f"{mode!r} is no output mode of this backend"


def _part_contradictions(part: Part) -> Iterator[tuple[str, str]]:
    if not _is_object(part.params_sent or "{}"):
        yield "params_sent", "it is no JSON object"
    if part.requests > part.rows or (part.rows and not part.requests):
        yield "requests", "there are more than rows, or none"
    known = part.batch_id is not None
    refused = part.batch_id in part.rejected
    row = STAGES[part.stage]
    if row.action == "upload" and (known or part.intended is not None or part.rejected):
        yield "stage", f"it is {part.stage!r}, and yet a batch was made of the part"
    if row.action == "create" and known and not refused:
        yield "stage", f"it is {part.stage!r}, and yet a batch was made of the part"
    if row.action == "wait" and not refused:
        yield "stage", "it is 'waiting', and yet no batch was refused"
    if row.names_batch and not known:
        yield "batch_id", f"it names no batch, and yet the stage is {part.stage!r}"


def _is_object(text: str) -> bool:
    try:
        return isinstance(from_json(text), dict)
    except ValueError:
        return False
