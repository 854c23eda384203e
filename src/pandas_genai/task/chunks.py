"""Rows that share a request: chunks, their opaque ids, the smaller chunks that come of them."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pandas_genai.task.inputs import NO_INPUT, Inputs, RowInput, TextInput, Value, as_inputs
from pandas_genai.task.rows import Keys, Rows

__all__ = ["MAX_ROUNDS", "Chunk", "Row", "copies_of", "cuts", "plan_chunks", "shuffled"]

MAX_ROUNDS = 3
"""How often a row is asked again before it counts as failed."""

_FEW = 8
_SHUFFLE_SEED = 42
_TOKEN_LENGTH = 5
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_LETTERS = np.frombuffer(_ALPHABET.encode(), dtype=np.uint8)
_SHIFTS = np.array([20, 15, 10, 5, 0])
_BLOCK = 2_000


class Row(NamedTuple):
    """One distinct input of a run.

    Parameters
    ----------
    key : str
        The input's hash: the row's identity under its task.
    token : str
        The short opaque id under which the row is sent.
    source : RowInput, or mapping from row key to RowInput
        What is sent of the row, or where it is read if someone asks for it.
    position : int
        The first row of the frame that has this input.
    copies : int, default 1
        How many rows have it.
    """

    key: str
    token: str
    source: RowInput | Mapping[str, RowInput]
    position: int
    copies: int = 1

    @property
    def input(self) -> RowInput:
        """What is sent of the row."""
        source = self.source
        return source if isinstance(source, RowInput) else source[self.key]


@dataclass(frozen=True, slots=True)
class Chunk:
    """The rows of one request.

    Parameters
    ----------
    rows : tuple of Row
        At least one.
    round : int, default 0
        How often these rows were asked before.
    attempts : int, default 0
        HTTP requests already spent on these rows.
    suspect : bool, default False
        Whether the rows themselves are what is wrong: they failed in an earlier run, were left out
        of a reply that answered others, or were part of a call that got no answer.
    texts : bool, default False
        Whether the source of every row is known to be its text: nearly always, and written fastest.
    """

    rows: tuple[Row, ...]
    round: int = 0
    attempts: int = 0
    suspect: bool = False
    texts: bool = False

    @property
    def characters(self) -> int:
        """Characters of the rows' inputs."""
        if self.texts:
            texts: list[Any] = [row.source for row in self.rows]
            return sum(map(len, texts))
        return sum(row.input.characters for row in self.rows)

    @property
    def known_suspect(self) -> bool:
        """Whether the rows failed in an earlier run and were not asked in this one yet."""
        return self.suspect and self.round == 0

    def again(self, rows: Sequence[Row], *, whole: bool = False, attempts: int = 1) -> list[Chunk]:
        """Chunks in which some of the rows are asked once more.

        The size falls geometrically, so that the last round asks each row alone whatever the
        first size was; ``whole=True`` keeps the rows together (nothing was wrong with them).
        """
        left = max(1, MAX_ROUNDS - self.round)
        size = len(rows) if whole else math.ceil(len(self.rows) ** ((left - 1) / left))
        if len(self.rows) > 1 and not whole:
            size = min(size, len(self.rows) - 1)
        return [
            Chunk(
                tuple(rows[start : start + size]),
                self.round + 1,
                self.attempts + attempts,
                self.suspect,
            )
            for start in range(0, len(rows), size)
        ]

    def apart(self, attempts: int) -> list[Chunk]:
        """Chunks that find the row which no request survives: each row alone after two steps.

        A request that fails so costs all its attempts, so fewer and larger steps are taken than
        where a refusal comes at once.
        """
        last = MAX_ROUNDS - 1
        step = last if len(self.rows) <= _FEW else min(last, max(1, self.round))
        chunk = replace(self, round=step, suspect=True)
        return chunk.again(self.rows, attempts=attempts)

    def cut(self, rows: int) -> tuple[Chunk, Chunk]:
        """The first rows as one chunk, and the others."""
        first, rest = self.rows[:rows], self.rows[rows:]
        return replace(self, rows=first), replace(self, rows=rest)

    @classmethod
    def of_keys(
        cls, keys: Sequence[str], source: RowInput | Mapping[str, RowInput] = NO_INPUT
    ) -> Chunk:
        """Make the chunk in which these rows were sent.

        Parameters
        ----------
        keys : sequence of str
            The row keys, as they were sent.
        source : mapping from row key to RowInput, optional
            Where the rows' inputs are read; left out, they have none.
        """
        pairs = enumerate(zip(keys, _tokens(keys), strict=True))
        return cls(tuple(Row(key, token, source, place) for place, (key, token) in pairs))


_row = partial(tuple.__new__, Row)
"""Makes a row of its columns, in a third of the time that ``Row(...)`` takes."""


def copies_of(rows: Iterable[Row]) -> int:
    """How many rows of the frame have these inputs."""
    return sum(row.copies for row in rows)


def plan_chunks(
    rows: Rows,
    wanted: Sequence[int] | npt.NDArray[np.int64],
    inputs: Inputs | Sequence[Value],
    chunk_size: int,
    *,
    first: int = 0,
    most_bytes: float | None = None,
    shuffle: bool = True,
) -> Iterator[Chunk]:
    """Shuffle distinct rows and cut them into chunks, one at a time.

    Long texts tend to sit together in a corpus; a shuffle with a fixed seed spreads them over
    the chunks and gives the same chunks at every call.

    Parameters
    ----------
    rows : Rows
        The distinct inputs of the frame.
    wanted : sequence of int
        Which of them to ask, as places in ``rows.keys``.
    inputs : Inputs, or sequence of their values
        The inputs of all rows of the frame.
    chunk_size : int
        Rows a chunk.
    first : int, default 0
        Which chunk comes first, the others after it in a circle: two kernels with the same work
        begin at different ends and find each other's answers.
    most_bytes : float, optional
        The size that the inputs of one chunk may have together: a chunk with more becomes
        several. A single input may have more; it is then alone.
    shuffle : bool, default True
        False leaves the rows in the order of ``wanted``.
    """
    inputs = as_inputs(inputs)
    places = np.asarray(wanted, dtype=np.int64)
    for number in range(rows.repeats):  # independent answers to one text never share a request
        ours = places // max(1, rows.inputs) == number if rows.repeats > 1 else slice(None)
        asked = places[ours]
        order = shuffled(len(asked)) if shuffle else np.arange(len(asked))
        yield from _planned(rows, asked[order], inputs, chunk_size, first, most_bytes)


def _planned(
    rows: Rows,
    places: npt.NDArray[np.int64],
    inputs: Inputs,
    chunk_size: int,
    first: int,
    most_bytes: float | None,
) -> Iterator[Chunk]:
    count = math.ceil(len(places) / chunk_size)
    # Taken for many chunks at once: a frame gives one text almost as slowly as a hundred.
    together = max(1, _BLOCK // chunk_size)
    for number in range(0, count, together):
        numbers = (first + np.arange(number, min(number + together, count))) % count
        for slots in np.split(numbers, np.flatnonzero(np.diff(numbers) < 0) + 1):
            start, end = slots[0] * chunk_size, (slots[-1] + 1) * chunk_size
            yield from _chunks(rows, places[start:end], inputs, chunk_size, most_bytes)


def shuffled(count: int) -> npt.NDArray[np.int64]:
    """Return the order in which ``plan_chunks`` takes so many wanted rows."""
    return np.random.default_rng(_SHUFFLE_SEED).permutation(count)


def _chunks(
    rows: Rows,
    places: npt.NDArray[np.int64],
    inputs: Inputs,
    chunk_size: int,
    most_bytes: float | None,
) -> Iterator[Chunk]:
    positions = rows.first[places].tolist()
    taken = inputs.take(positions)
    table = rows.keys.at(places)
    texts = set(map(type, taken)) == {TextInput}
    keys, tokens, copies = Keys(table)[:], _short_of(table), rows.copies[places].tolist()
    for part in _parts(rows.sizes[places].tolist(), chunk_size, most_bytes):
        ours = _apart(tokens[part], keys[part])
        columns = (keys[part], ours, taken[part], positions[part], copies[part])
        yield Chunk(tuple(map(_row, zip(*columns, strict=True))), texts=texts)


def _parts(sizes: Sequence[int], chunk_size: int, most_bytes: float | None) -> Iterator[slice]:
    """Cut inputs into chunks of so many, and further where their sizes ask for it."""
    for start in range(0, len(sizes), chunk_size):
        some = sizes[start : start + chunk_size]
        if most_bytes is None or sum(some) <= most_bytes:
            yield slice(start, start + chunk_size)
            continue
        for begin, end in pairwise(accumulate([0, *cuts(some, most_bytes)])):
            yield slice(start + begin, start + end)


def cuts(sizes: Iterable[float], most: float) -> list[int]:
    """Return how many of these go together each time so that none of the sums passes ``most``.

    Examples
    --------
    >>> cuts([3, 3, 9, 2, 2], most=6)
    [2, 1, 2]
    """
    counts: list[int] = []
    total = 0.0
    for size in sizes:
        total += size
        if counts and total <= most:
            counts[-1] += 1
        else:
            counts.append(1)
            total = size
    return counts


def _tokens(keys: Sequence[str]) -> list[str]:
    """Short ids out of the hashes, long enough to differ within one chunk."""
    return _apart([_short(key) for key in keys], keys)


def _apart(tokens: list[str], keys: Sequence[str]) -> list[str]:
    """Return the short ids of one chunk, or longer ones where two of them are the same."""
    if len(set(tokens)) == len(tokens):
        return tokens
    full = [base64.b32encode(bytes.fromhex(key)).decode().rstrip("=").lower() for key in keys]
    length = _TOKEN_LENGTH
    while len({token[:length] for token in full}) < len(set(full)):
        length += 1
    return [token[:length] for token in full]


def _short(key: str) -> str:
    """Return the first five characters of a hash's base 32: its first 25 bits."""
    bits = int(key[:7], 16) >> 3
    return _PAIRS[bits >> 15] + _PAIRS[(bits >> 5) & 1023] + _ALPHABET[bits & 31]


def _short_of(table: npt.NDArray[np.uint8]) -> list[str]:
    """Return the same of many keys, given as bytes, in a quarter of the time."""
    bits = np.ascontiguousarray(table[:, :4]).view(">u4") >> 7
    letters = np.full((len(table), _TOKEN_LENGTH + 1), ord(" "), dtype=np.uint8)
    letters[:, :_TOKEN_LENGTH] = _LETTERS[(bits >> _SHIFTS) & 31]
    return letters.tobytes().decode().split()
