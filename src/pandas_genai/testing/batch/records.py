"""What the provider knows of a batch and a file, and what of it a test may read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Batch", "BatchRecord", "FileRecord"]

WINDOW_S = 86_400.0
_EDGE = 0.1  # of its time a batch validates, and as long it finalizes


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch as it is now.

    Parameters
    ----------
    id, vendor : str
        The vendor is ``openai`` or ``anthropic``.
    status : str
        In the vendor's words: its ``status`` or ``processing_status``.
    metadata : dict of str to str
        As sent; Anthropic has none.
    custom_ids : list of str
        Of its requests, in their order, as far as they can be read.
    texts : list of str
        Of all rows of its requests.
    model : str
        Of its requests; "" while one of OpenAI's is validating.
    created : float
        Seconds of the epoch.
    counts : dict of str to int
        The vendor's ``request_counts``.
    """

    id: str
    vendor: str
    status: str
    metadata: dict[str, str]
    custom_ids: list[str]
    texts: list[str]
    model: str
    created: float
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file that was uploaded or that a batch ended in.

    Parameters
    ----------
    id, filename, purpose : str
        As OpenAI states them.
    bytes : int
        Its length.
    digest : str
        SHA-256 of its content, in hexadecimal.
    created : float
        Seconds of the epoch.
    number : int
        From 1, in order of creation.
    """

    id: str
    filename: str
    purpose: str
    bytes: int
    digest: str
    created: float
    number: int


@dataclass(slots=True)
class Batch:
    """A batch on its way. Everything in it is JSON."""

    id: str
    vendor: str
    number: int
    """From 1, in order of creation."""
    created: float
    seconds: float
    """How long it takes, if nothing comes between."""
    source: str
    """Where the store has its requests."""
    headers: dict[str, str] = field(default_factory=dict)
    """What reading the requests needs of the headers they came with."""
    endpoint: str = ""
    input_file_id: str = ""
    metadata: dict[str, str] | None = None
    faults: list[dict[str, Any]] = field(default_factory=list)
    never_ends: bool = False
    expires: bool = False
    share: float = 1.0
    """The most of its requests that are answered."""
    validated: bool = False
    first: int = 0
    """The number of its first request among all batched ones."""
    total: int = 0
    model: str = ""
    tokens: int = 0
    cancelled: float | None = None
    """When it was asked to stop."""
    ended: float | None = None
    outcome: str = ""
    """``failed``, ``completed``, ``expired`` or ``cancelled``, once it has ended."""
    counts: dict[str, int] = field(default_factory=dict)
    """Of ``succeeded``, ``errored``, ``expired``, ``cancelled``."""
    usage: dict[str, int] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    output_file_id: str | None = None
    error_file_id: str | None = None

    @property
    def results(self) -> str:
        """Where the store has the results of Anthropic's batch."""
        return f"results/{self.id}.jsonl"

    @property
    def _edge(self) -> float:
        return _EDGE * min(self.seconds, WINDOW_S)

    @property
    def begins(self) -> float:
        """When it has been validated and its requests begin to be answered."""
        return self.created + self._edge

    @property
    def finalizes(self) -> float:
        """When its requests have been answered and its files begin to be written."""
        if self.never_ends or self.expires or self.seconds > WINDOW_S:
            return float("inf")
        return self.created + self.seconds - self._edge

    @property
    def ends(self) -> float:
        """When it ends, infinite if it never does."""
        if self.cancelled is not None:
            return self.cancelled + self._edge
        if self.never_ends:
            return float("inf")
        return self.created + min(self.seconds, WINDOW_S)

    @property
    def due(self) -> float:
        """When something happens to it next."""
        if self.validated or self.cancelled is not None:
            return self.ends
        return self.begins

    def answered_by(self, moment: float) -> float:
        """Return the share of its requests that are answered by then."""
        worked = self.seconds - 2 * self._edge
        share = (moment - self.begins) / worked if worked > 0 else float(moment >= self.begins)
        return max(0.0, min(share, self.share))
