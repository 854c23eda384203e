"""The distinct inputs of a frame: equal inputs are one question."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.task.inputs import Digests, Value, digests

__all__ = ["Keys", "Positions", "Rows", "distinct_rows", "firsts", "rows_of_keys"]

_NEVER_SENT = -1
_WIDTH = 16
_BLOCK = 10_000
_KEY_BLOCK = 8_192

Positions = npt.NDArray[np.int64]


class Keys(Sequence[str]):
    """Row keys, kept as bytes: a million of them as text would take a hundred megabytes.

    Parameters
    ----------
    table : ndarray of uint8
        Sixteen bytes a key, in rows.
    """

    made_later = False
    """Whether keys are made when they are asked for, so that a few come soon and all take long."""

    def __init__(self, table: npt.NDArray[np.uint8]) -> None:
        self._table = table

    @property
    def table(self) -> npt.NDArray[np.uint8]:
        """Sixteen bytes a key, in rows."""
        return self._table

    def __len__(self) -> int:
        return len(self._table)

    def at(self, places: Any) -> npt.NDArray[np.uint8]:
        """Return the bytes of the keys at these places, in rows."""
        found: npt.NDArray[np.uint8] = self._table[places]
        return found

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        written: bytes = self.at(place).tobytes()
        return written.hex(" ", _WIDTH).split() if isinstance(place, slice) else written.hex()

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _BLOCK):
            yield from self[start : start + _BLOCK]

    def take(self, places: Sequence[int] | Positions) -> list[str]:
        """Return the keys at these places."""
        return Keys(self.at(places))[:]


@dataclass(frozen=True)
class Rows:
    """Which rows of a frame ask the same.

    Parameters
    ----------
    keys : Keys
        The key of each distinct input, in order of first appearance.
    first : ndarray of int
        The first row that has the input; as long as ``keys``.
    copies : ndarray of int
        How many rows have it; as long as ``keys``.
    codes : ndarray of int
        For each row of the frame its place in ``keys``; -1 where nothing is sent.
    empty, unsendable : list of int
        The rows with nothing to send, and those whose input no request can carry.
    sizes : ndarray of int
        The size of each distinct input; as long as ``keys``, empty where only keys were at hand.
    repeats : int, default 1
        How often each input is asked. The keys of all inputs stand in ``keys`` once for each
        repeat, one repeat after the other, and so does what is as long; ``codes`` are the places
        in the first.
    """

    keys: Keys
    first: Positions
    copies: npt.NDArray[Any]
    codes: Positions
    empty: list[int]
    unsendable: list[int]
    sizes: npt.NDArray[np.int64]
    repeats: int = 1

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def by_key(self) -> Positions:
        """The places of all keys in the order of the keys."""
        heads, tails = _halves(self.keys.table)
        order = np.argsort(heads)
        if (np.diff(heads[order]) == 0).any():  # two begin alike: one in 2 ** 64 pairs does
            order = np.lexsort((tails, heads))
        return order

    @property
    def sent(self) -> int:
        """How many rows have an input that can be sent."""
        return len(self.codes) - len(self.empty) - len(self.unsendable)

    @property
    def inputs(self) -> int:
        """How many distinct inputs they have."""
        return len(self.keys) // self.repeats

    @property
    def duplicates(self) -> int:
        """How many of them have the input of a row before."""
        return self.sent - self.inputs

    def rows_of(self, places: Positions | Sequence[int]) -> int:
        """Return how many rows have one of the inputs at these places in ``keys``."""
        found = np.zeros(self.inputs, dtype=bool)
        found[np.asarray(places, dtype=np.int64) % max(1, self.inputs)] = True
        return int(self.copies[: self.inputs][found].sum())

    @property
    def places(self) -> Positions:
        """For each repeat, and in it each row of the frame, its place in ``keys``; -1 for none."""
        numbers = np.arange(self.repeats)[:, None]
        found: Positions = np.where(self.codes < 0, -1, self.codes + numbers * self.inputs)
        return found

    def repeated(self, repeats: int) -> Rows:
        """Return the rows with each input asked so often, the first time under its own key."""
        if repeats == 1:
            return self
        tables = [self.keys.table]
        for number in range(1, repeats):
            head = b"repeat %d " % number
            found = (hashlib.sha256(head + key.tobytes()).digest() for key in self.keys.table)
            joined = b"".join(digest[:_WIDTH] for digest in found)
            tables.append(np.frombuffer(joined, dtype=np.uint8).reshape(-1, _WIDTH))
        table = np.concatenate(tables)
        return replace(
            self,
            keys=Keys(table),
            first=np.tile(self.first, repeats),
            copies=np.tile(self.copies, repeats),
            sizes=np.tile(self.sizes, repeats),
            repeats=repeats,
        )

    def key_blocks(self) -> Iterator[bytes]:
        """Return the keys of all rows in the frame's order, a block at a time; zeros for none."""
        for start in range(0, len(self.codes), _KEY_BLOCK):
            codes = self.codes[start : start + _KEY_BLOCK]
            block = np.zeros((len(codes), _WIDTH), dtype=np.uint8)
            block[codes >= 0] = self.keys.table[codes[codes >= 0]]
            yield block.tobytes()


def distinct_rows(values: Iterable[Value]) -> Rows:
    """Find the distinct inputs among those of all rows; None has nothing to send.

    The values are looked at a block at a time and not kept.
    """
    sizes = array("q")
    waiting = iter(values)
    blocks = iter(lambda: list(islice(waiting, _BLOCK)), [])
    return _rows((digests(block, sizes) for block in blocks), sizes)


def rows_of_keys(keys: Iterable[str | None]) -> Rows:
    """Make rows again from the key of each; None had nothing to send, "" an unsendable input."""
    given = list(keys)
    empty = [place for place, key in enumerate(given) if key is None]
    unsendable = [place for place, key in enumerate(given) if key == ""]
    found = bytes.fromhex("".join(filter(None, given)))
    table = np.frombuffer(found, dtype=np.uint8).reshape(-1, _WIDTH)
    return _rows([Digests(table, empty, unsendable)], array("q"))


def _rows(blocks: Iterable[Digests], sizes: array[int]) -> Rows:
    empty: list[int] = []
    unsendable: list[int] = []
    tables = [np.empty((0, _WIDTH), dtype=np.uint8)]
    total = 0
    for block in blocks:
        tables.append(block.table)
        empty += [total + place for place in block.empty]
        unsendable += [total + place for place in block.unsendable]
        total += len(block.table) + len(block.empty) + len(block.unsendable)
    sent = np.ones(total, dtype=bool)
    sent[empty] = sent[unsendable] = False
    positions = np.flatnonzero(sent)
    table = np.concatenate(tables)
    first, places = _distinct(table)
    codes = np.full(total, _NEVER_SENT, dtype=np.int64)
    codes[positions] = places
    copies = np.bincount(places, minlength=len(first))
    measured = np.frombuffer(sizes, dtype=np.int64)
    kept = measured[first] if len(measured) else measured
    return Rows(Keys(table[first]), positions[first], copies, codes, empty, unsendable, kept)


def _distinct(table: npt.NDArray[np.uint8]) -> tuple[Positions, Positions]:
    """Return where each distinct key stands first, and the place of every key among them."""
    heads, tails = _halves(table)
    places, distinct = pd.factorize(heads)
    first = firsts(places, len(distinct))
    if (tails[first[places]] != tails).any():
        places, distinct = pd.factorize(np.array([key.tobytes() for key in table], dtype=object))
        first = firsts(places, len(distinct))
    return first, places


def _halves(table: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Return the first halves of keys as numbers in their order, and the second ones."""
    return np.ascontiguousarray(table).view(">u8").astype(np.uint64).T


def firsts(places: Positions, count: int) -> Positions:
    """Return where each of so many places stands first."""
    first = np.empty(count, dtype=np.int64)
    first[places[::-1]] = np.arange(len(places) - 1, -1, -1)
    return first
