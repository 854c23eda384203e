"""The journal of a job: what was done and what is about to be done, on disk before it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

from pandas_genai.backends.endpoints import Support
from pandas_genai.errors import JobError
from pandas_genai.report.prices import checked_prices
from pandas_genai.store import atomic_write
from pandas_genai.task.reply import Usage
from pandas_genai.task.task import Backend, Task

__all__ = ["FORMAT", "Journal", "Part", "Stage"]

FORMAT = 1

Stage = Literal[
    "written",
    "uploading",
    "uploaded",
    "creating",
    "created",
    "waiting",
    "ended",
    "stored",
    "cached",
]
"""How far a part has come. ``waiting``: refused for want of quota, to be created again."""


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
    digest : str
        SHA-256 of the file.
    rung, dropped : str, list of str
        How the requests were built: see ``Support``.
    stage : Stage
        How far it has come.
    file_id, batch_id : str or None
        The provider's ids.
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

    number: int
    round: int = 0
    requests: int = 0
    rows: int = 0
    bytes: int = 0
    characters: int = 0
    digest: str = ""
    rung: str = ""
    dropped: list[str] = field(default_factory=list)
    stage: Stage = "written"
    file_id: str | None = None
    batch_id: str | None = None
    candidates: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    intended: float | None = None
    submitted: float | None = None
    ends_by: float | None = None
    status: str = ""
    code: str = ""
    message: str = ""
    output: str | None = None
    error: str | None = None
    done: int = 0
    failed: int = 0
    answered: int = 0
    refused: int = 0
    expired: int = 0
    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    unknown_calls: int = 0
    cost: float | None = 0.0
    params_sent: str = ""
    models: dict[str, int] = field(default_factory=dict)
    strange: dict[str, int] = field(default_factory=dict)

    @property
    def support(self) -> Support:
        """How its requests were built."""
        return Support(self.rung, frozenset(self.dropped))

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
        """Whether its answers are in the cache."""
        return self.stage == "cached"

    @property
    def in_flight(self) -> bool:
        """Whether the provider is working on it."""
        return self.stage == "created"


@dataclass
class Journal:
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
        The cache file, relative to the job's directory where that is possible.
    created : float
        Epoch seconds.
    version : str
        Of the package.
    rows, empty, twins, cached, elsewhere, sent : int
        Rows of the frame; without text; equal to another; answered before; in another job that
        had not ended; distinct texts that were submitted.
    index_names, index_dtypes : list
        The names and types of the index's levels.
    ready : bool
        Whether all files of requests are written.
    lower : list or None
        Rung and dropped parameters to build with from now on, as the results taught.
    prices : dict or None
        The user's own prices, as they were given with the job.
    parts : list of Part
        In the order of their numbers.
    """

    name: str
    uid: str
    backend: Backend
    base_url: str
    model: str
    key_check: str
    prompt_hash: str
    prompt: str
    schema: Any
    params: dict[str, Any]
    text: Any
    chunk_size: int
    fingerprint: str
    created: float
    version: str
    cache: str | None = None
    rows: int = 0
    empty: int = 0
    twins: int = 0
    cached: int = 0
    elsewhere: int = 0
    sent: int = 0
    index_names: list[Any] = field(default_factory=list)
    index_dtypes: list[str] = field(default_factory=list)
    ready: bool = False
    lower: list[Any] | None = None
    prices: dict[str, float] | None = None
    parts: list[Part] = field(default_factory=list)
    format: int = FORMAT

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a journal.

        Raises
        ------
        JobError
            If it is damaged, or of a newer version.
        """
        try:
            said = json.loads(path.read_bytes())
            if said["format"] > FORMAT:
                raise JobError(
                    f"{path} was written by a newer pandas-genai (format {said['format']}, this "
                    f"one reads {FORMAT}): upgrade pandas-genai."
                )
            checked_prices(said.get("prices"))
            parts = [Part(**_known(Part, part)) for part in said.pop("parts")]
            return cls(**_known(cls, said), parts=parts)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise JobError(
                f"The job's file {path} cannot be read ({type(error).__name__}: {error}): restore "
                "it, or move its directory away and submit again."
            ) from error

    def save(self, path: Path) -> None:
        """Write the journal: the old one or the new one is there, never a part of either."""
        atomic_write(path, json.dumps(asdict(self), ensure_ascii=False, indent=1))

    def task(self, host: str) -> Task:
        """Return the task; custom validators of a user's own model are not part of it."""
        return Task.of(
            self.prompt,
            self.schema,
            model=self.model,
            backend=self.backend,
            host=host,
            params=self.params,
        )

    @property
    def finished(self) -> bool:
        """Whether every answer is in the cache."""
        return self.ready and all(part.finished for part in self.parts)


def _known(kind: type, said: Mapping[str, Any]) -> dict[str, Any]:
    names = {item.name for item in fields(kind)}
    return {name: value for name, value in said.items() if name in names}
