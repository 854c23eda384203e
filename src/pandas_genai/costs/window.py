"""The texts that are longer than the model's context window, found before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from pandas_genai.backends.endpoints import Endpoint, Endpoints
from pandas_genai.backends.registry import backend_named
from pandas_genai.costs.forecast import PER_TOKEN, Forecast
from pandas_genai.costs.prices import known_window
from pandas_genai.errors import counted, printable, warn_user
from pandas_genai.local import CONTEXT
from pandas_genai.settings import load_settings
from pandas_genai.task.chunks import cuts, shuffled
from pandas_genai.task.rows import Rows
from pandas_genai.task.task import BoundTask

__all__ = ["ContextWindow", "LongTexts", "LongTextsWarning", "warn_of_long_texts"]

_FITS, _TOO_LONG = 0.7, 1.3
"""Four bytes a token is a guess: below this share of the window a text fits, above it does not."""

_NAMED = 5
_WORTH_SAYING = 4_096
"""Tokens: no model in use has a smaller window, and where it is unknown, longer texts are named."""

Sizes: TypeAlias = npt.NDArray[np.int64]
Places: TypeAlias = Sequence[int] | npt.NDArray[np.int64]


class LongTextsWarning(UserWarning):
    """Texts that are about to be sent are longer than the model's context window, or may be."""


@dataclass(frozen=True)
class LongTexts:
    """Texts that do not fit into a model's context window, or may not. Prints as a sentence.

    Attributes
    ----------
    window : int or None
        Tokens that the model reads and writes in one call; None where that is unknown.
    too_long, may_be : int
        Distinct texts that are longer, by 30 % at least as far as can be estimated, and those
        that may be.
    rows_too_long, rows_may_be : tuple of str
        The index labels of the first few of both.
    longest : int
        The tokens of the longest text alone, about.
    longest_row : str
        Its index label.
    reserved : int
        Tokens of the window that the answer may take.
    around : int
        The tokens of a request without its text, about.
    """

    window: int | None
    too_long: int
    may_be: int
    rows_too_long: tuple[str, ...]
    rows_may_be: tuple[str, ...]
    longest: int
    longest_row: str
    reserved: int
    around: int

    def __str__(self) -> str:
        about = f"the longest, row {self.longest_row}, has about {self.longest:,} tokens"
        if self.window is None:
            return printable(
                f"The model's context window is unknown (PANDAS_GENAI_CONTEXT_WINDOW=... says it), "
                f"and {about}."
            )
        window = f"longer than the model's context window of {self.window:,} tokens"
        longer = f"{counted(self.too_long, 'text')} ({_named(self.rows_too_long, self.too_long)})"
        longer += " is" if self.too_long == 1 else " are"
        unsure = f"({_named(self.rows_may_be, self.may_be)}) may be"
        if not self.may_be:
            counts = f"{longer} {window}"
        elif not self.too_long:
            counts = f"{counted(self.may_be, 'text')} {unsure} {window}"
        else:
            counts = f"{longer} {window}, and {self.may_be:,} more {unsure}"
        return printable(f"{counts}; {about}. {self._advice}")

    @property
    def _advice(self) -> str:
        if self.window is not None and self.reserved >= self.window:
            return (
                f"Its answer may take {self.reserved:,} tokens, which leaves no room for a text: "
                "pass params={'max_tokens': ...} with less."
            )
        if self.window is not None and self.around > _FITS * self.window:
            return (
                f"The instructions and the schema alone have about {self.around:,}: shorten them."
            )
        return "Shorten them, or choose a model with a larger window."

    __repr__ = __str__


def _named(rows: tuple[str, ...], count: int) -> str:
    more = ", ..." if count > len(rows) else ""
    return f"{'row' if count == 1 else 'rows'} {', '.join(rows)}{more}"


class ContextWindow:
    """How long texts may be so that their request and its answer fit into a model's window.

    A request counts as it will be sent: instructions, schema and texts, four bytes of UTF-8 a
    token, so that a Chinese character is three quarters of one; and the answer as long as the
    token limit that is sent, or as a guess from the schema says.

    Parameters
    ----------
    forecast : Forecast
        What calls of the task take.
    tokens : int or None
        The window; None where it is unknown.
    chunk_size : int
        Rows a request.
    """

    def __init__(self, forecast: Forecast, tokens: int | None, chunk_size: int) -> None:
        self.tokens = tokens
        self._forecast = forecast
        self._chunk_size = chunk_size

    @classmethod
    def of(
        cls,
        task: BoundTask,
        endpoint: Endpoint,
        endpoints: Endpoints,
        chunk_size: int,
        *,
        is_local: bool = False,
    ) -> Self:
        """Return the window of the model that an endpoint would ask."""
        tokens = CONTEXT if is_local else _window_of(task.model, endpoint, endpoints)
        return cls(Forecast.of(task, endpoint, endpoints), tokens, chunk_size)

    @cached_property
    def most_bytes(self) -> float | None:
        """How many bytes the texts of one request may have together; None where that is unknown.

        Rows share a request only where it surely fits: a refused one is asked again, row by row.
        """
        if self.tokens is None or self._chunk_size == 1:
            return None
        size = self._chunk_size
        answer: float = self._reserved(size)
        if answer >= self.tokens:  # no text would fit, unless the limit is not taken literally
            answer = self._expected(size)
        return self._room(size, _FITS * (self.tokens - answer))

    def splits(self, rows: Rows, wanted: Places) -> int:
        """Return how many requests come about beside those that the chunk size alone asks for.

        Parameters
        ----------
        rows, wanted
            As for ``plan_chunks``.
        """
        if self.most_bytes is None or not len(wanted):
            return 0
        sent = rows.sizes[wanted][shuffled(len(wanted))]
        starts = np.arange(0, len(sent), self._chunk_size)
        heavy = starts[np.add.reduceat(sent, starts) > self.most_bytes].tolist()
        together = (sent[start : start + self._chunk_size].tolist() for start in heavy)
        return sum(len(cuts(some, self.most_bytes)) - 1 for some in together)

    def long_texts(
        self, rows: Rows, wanted: Places, label: Callable[[int], str]
    ) -> LongTexts | None:
        """Find the texts that do not fit, or may not; None where all do.

        Parameters
        ----------
        rows, wanted
            As for ``plan_chunks``.
        label : callable
            From a row's position to what names it.
        """
        if not len(wanted):
            return None
        wanted = np.unique(np.asarray(wanted) % rows.inputs)  # whatever is asked several times
        sizes, positions = rows.sizes[wanted], rows.first[wanted]
        place = int(sizes.argmax())
        longest = round((self._forecast.around(1) + int(sizes[place])) / PER_TOKEN)
        too_long, may_be = self._beyond(sizes)
        if not (len(too_long) or len(may_be)) and not (
            self.tokens is None and longest > _WORTH_SAYING
        ):
            return None
        first_too_long, first_may_be = (
            tuple(label(int(positions[one])) for one in some[:_NAMED])
            for some in (too_long, may_be)
        )
        return LongTexts(
            self.tokens,
            len(too_long),
            len(may_be),
            first_too_long,
            first_may_be,
            longest,
            label(int(positions[place])),
            self._reserved(1),
            self._forecast.around(1) // PER_TOKEN,
        )

    def _beyond(self, sizes: Sizes) -> tuple[Sizes, Sizes]:
        """Return where the texts stand that do not fit, and those that may not."""
        if self.tokens is None:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        surely = self._room(1, _FITS * (self.tokens - self._reserved(1)))
        never = self._room(1, _TOO_LONG * (self.tokens - self._expected(1)))
        too_long = sizes > max(surely, never)
        return np.flatnonzero(too_long), np.flatnonzero((sizes > surely) & ~too_long)

    def _room(self, rows: int, tokens: float) -> float:
        """Return the bytes that so many tokens leave to the texts of a request."""
        return tokens * PER_TOKEN - self._forecast.around(rows)

    def _expected(self, rows: int) -> float:
        return self._forecast.output_tokens(rows, rows)

    def _reserved(self, rows: int) -> int:
        """Return the tokens that an answer may take."""
        return max(round(self._expected(rows)), self._limit)

    @cached_property
    def _limit(self) -> int:
        backend = backend_named(self._forecast.task.backend)
        return backend.limit_of(self._forecast.blank(1)) or 0


def _window_of(model: str, endpoint: Endpoint, endpoints: Endpoints) -> int | None:
    """Return what the settings say of a server, what it reported itself, or what the list holds."""
    named = None if endpoint.is_vendor else load_settings().context_window
    found = named or endpoints.window(endpoint.base_url, model)
    return found or known_window(model, endpoint.backend, endpoint.base_url)


def warn_of_long_texts(
    window: ContextWindow, rows: Rows, wanted: Places, label: Callable[[int], str]
) -> None:
    """Warn, before anything is sent, of texts that a known window may have no room for.

    Parameters
    ----------
    window : ContextWindow
        The model's.
    rows, wanted
        The texts that are asked, as for ``plan_chunks``.
    label : callable
        From a row's position to what names it.
    """
    if window.tokens is None:
        return
    found = window.long_texts(rows, wanted, label)
    if found is not None:
        warn_user(str(found), LongTextsWarning)
