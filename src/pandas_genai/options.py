"""How a task is run, and where its answers are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pandas_genai.backends.endpoints import ENDPOINTS, Endpoints
from pandas_genai.clock import Clock
from pandas_genai.costs.prices import Prices, checked_cost, checked_prices
from pandas_genai.errors import UsageError
from pandas_genai.runs.parts import Part
from pandas_genai.runs.progress import Observer, Silent
from pandas_genai.runs.recorder import check_on_error
from pandas_genai.settings import CHUNK_SIZE, Default, load_settings, whole_number
from pandas_genai.store import Cache

__all__ = ["CHUNK_SIZE", "MAX_WORKERS", "MOST_REPEATS", "RunOptions"]

MAX_WORKERS: int = Default(20)

MOST_REPEATS = 100
"""More answers to each row than this are taken for a slip."""


@dataclass(frozen=True)
class RunOptions:
    """How a task is run.

    Parameters
    ----------
    cache : AnswerStore, str, Path or False
        Where answers are kept: an open store, a URL or the path of a file; False keeps them in
        memory only.
    chunk_size, max_workers : int
        Rows a call, and calls at once.
    fresh : bool
        Whether to ask again what the cache has.
    on_error : {"keep", "raise"}
        What to do about failed rows once all is done.
    observer : Observer
        Who watches.
    clock : Clock
        Time; tests give their own.
    endpoints : Endpoints
        What the process knows of endpoints.
    max_cost : float, optional
        US dollars that one run may cost.
    prices : mapping, optional
        The user's own prices.
    keep_replies : bool, default False
        Whether the body of each reply is kept in the cache, secrets taken out.
    offline : bool, default False
        Whether only what is kept is read, and nothing is asked.
    retry_failed : bool, default True
        Whether rows that failed in an earlier run are asked again.
    repeats : int, default 1
        How often each row is asked.
    part : Part, optional
        Which part of a run this is, where several workers ask one run.
    rpm, tpm : int, optional
        Requests and tokens a minute, beside what the provider's headers state.
    shared : str, optional
        Names a job of which this is one of several runs on the same cache, in whichever process:
        all of them together stay in ``max_cost``, also over time.
    shuffle : bool, default True
        Whether rows share requests in a drawn order; otherwise in the frame's: its first
        ``chunk_size`` texts the first request, and so on, also where some are answered already.
    """

    cache: Cache = False
    chunk_size: int = CHUNK_SIZE
    max_workers: int = MAX_WORKERS
    fresh: bool = False
    on_error: Literal["keep", "raise"] = "keep"
    observer: Observer = field(default_factory=Silent)
    clock: Clock = field(default_factory=Clock)
    endpoints: Endpoints = ENDPOINTS
    max_cost: float | None = None
    prices: Prices | None = None
    keep_replies: bool = False
    offline: bool = False
    retry_failed: bool = True
    repeats: int = 1
    part: Part | None = None
    rpm: int | None = None
    tpm: int | None = None
    shared: str | None = None
    shuffle: bool = True

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in ("chunk_size", "max_workers", "repeats")}
        for name, value in (given | self.limits).items():
            object.__setattr__(self, name, whole_number(name, value))
        if self.repeats > MOST_REPEATS:
            raise UsageError(
                f"repeats={self.repeats:,} is above {MOST_REPEATS}: each of them pays for every "
                "row once more."
            )
        checked_prices(self.prices)
        checked_cost(self.max_cost)
        check_on_error(self.on_error)
        if self.offline and self.fresh:
            raise UsageError(
                "offline=True asks nothing and fresh=True asks everything again: leave one out."
            )

    @property
    def limits(self) -> dict[str, int]:
        """The limits a minute that are set, by name."""
        given = {"rpm": self.rpm, "tpm": self.tpm}
        return {name: value for name, value in given.items() if value is not None}

    def sizes(self, *, is_local: bool) -> tuple[int, int]:
        """Return chunk size and workers; where nobody chose, the settings or the model decide.

        The embedded model answers one row a call faster than a packed chunk, and one call at a
        time.
        """
        chosen = []
        for name, for_local in (("chunk_size", 1), ("max_workers", 1)):
            value = getattr(self, name)
            if isinstance(value, Default):
                value = for_local if is_local else getattr(load_settings(), name)
            chosen.append(value)
        return chosen[0], chosen[1]
