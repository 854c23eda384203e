"""What is left to ask, while other kernels may be asking the same."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from pandas_genai.clock import Clock
from pandas_genai.store import AnswerStore, Granted, RowLeases
from pandas_genai.task.chunks import Chunk, Row, copies_of
from pandas_genai.workers.work_queue import Later

__all__ = ["LeasedChunks"]

_LOOK_AHEAD = 8
_LOOKED_S = 0.2
_LOCKED_S = 0.05
_FIRST_POLL_S, _LAST_POLL_S = 0.1, 1.0
_MANY_CHUNKS = 400


class _Block(NamedTuple):
    """Chunks that were looked at together."""

    chunks: list[Chunk]
    granted: Granted | None
    known: set[str]


class LeasedChunks(Iterator[Chunk | Later]):
    """Hands out chunks of rows that have no answer and that no other kernel has under way.

    Rows are leased for several chunks at once, by a thread of its own while those before are
    handed out: workers that come for a chunk do not wait for the store. What another kernel has
    leased is put off: once it has its answer it is done, and once the lease has ended without one
    (its call failed, the kernel died) it is leased and asked here. Not for several threads at
    once.

    Parameters
    ----------
    chunks : iterator of Chunk
        The run's work.
    cache : AnswerStore
        Where answers may be found meanwhile.
    prompt_hash : str
        The task.
    leases : RowLeases
        Of this run.
    clock : Clock
        Time.
    answered : callable
        Called with the number of rows of the input that were answered elsewhere meanwhile.
    lookahead : int
        Chunks that are leased at once, at least.
    fresh : bool
        Whether to ask whatever is answered or under way elsewhere.
    run_id : str, optional
        The run whose answers alone count; left out: those of any.

    Attributes
    ----------
    elsewhere : int
        Rows of the input that another kernel has under way, when this was last looked at.
    """

    def __init__(
        self,
        chunks: Iterator[Chunk],
        cache: AnswerStore,
        prompt_hash: str,
        leases: RowLeases,
        *,
        clock: Clock,
        answered: Callable[[int], None],
        lookahead: int,
        fresh: bool,
        run_id: str | None = None,
    ) -> None:
        self._chunks = chunks
        self._cache = cache
        self._prompt_hash = prompt_hash
        self._leases = leases
        self._clock = clock
        self._answered = answered
        self._lookahead = max(_LOOK_AHEAD, lookahead)
        self._fresh = fresh
        self._run_id = run_id
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="genai-lease")
        self._next_block: Future[_Block] | None = None
        self._ready: deque[Chunk] = deque()
        self._looked = 0.0
        self._elsewhere: deque[Chunk] = deque()
        self._poll_s = _FIRST_POLL_S
        self._next_poll = 0.0
        self.elsewhere = 0

    def __next__(self) -> Chunk | Later:
        if self._ready and not self._fresh and self._clock.monotonic() - self._looked >= _LOOKED_S:
            self._look_again()
        while not self._ready:
            try:
                later = self._fill()
            finally:
                self.elsewhere = sum(copies_of(chunk.rows) for chunk in self._elsewhere)
            if later is not None:
                return later
        self._begin_block()
        return self._ready.popleft()

    def end(self, rows: Iterable[Row]) -> None:
        """Note that nothing more is asked about these rows."""
        self._leases.end(row.key for row in rows)

    def stop(self) -> None:
        """Hand out nothing any more, and let other kernels have what was not handed out."""
        for chunk in self._ready:
            self.end(chunk.rows)
        self._ready.clear()
        self._elsewhere.clear()
        self._chunks = iter(())
        if self._next_block is not None:
            self._next_block.add_done_callback(self._let_go)
        self.close()

    def close(self) -> None:
        """Lease nothing any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _let_go(self, block: Future[_Block]) -> None:
        if not block.cancelled() and block.exception() is None:
            for chunk in block.result().chunks:
                self.end(chunk.rows)

    def _fill(self) -> Later | None:
        """Make the next chunks ready; return when to look again where there are none now.

        Raises
        ------
        StopIteration
            If nothing is left.
        """
        if self._elsewhere and self._clock.monotonic() >= self._next_poll:
            self._poll()
        if not self._ready:
            self._begin_block()
        if not self._ready and self._next_block is not None:
            return self._end_block(self._next_block)
        if self._elsewhere and not self._ready:
            self._poll()
        if self._ready:
            return None
        if not self._elsewhere:
            raise StopIteration
        return Later(self._poll_s)

    def _begin_block(self) -> None:
        """Have the next chunks leased, unless that is under way."""
        if self._next_block is None:
            chunks = list(islice(self._chunks, self._lookahead))
            if chunks:
                self._next_block = self._thread.submit(self._lease, chunks)

    def _lease(self, chunks: list[Chunk]) -> _Block:
        granted = self._leases.acquire([row.key for chunk in chunks for row in chunk.rows])
        # After the lease: whoever had it before has written the answers first.
        known = set() if self._fresh or granted is None else self._known(chunks)
        return _Block(chunks, granted, known)

    def _end_block(self, block: Future[_Block]) -> Later | None:
        chunks, granted, known = block.result()
        self._next_block = None
        if granted is None:
            self._chunks = _before(chunks, self._chunks)
            return Later(_LOCKED_S)
        self._take(chunks, known, None if self._fresh else granted.ours)
        return None

    def _poll(self) -> None:
        """Look at what other kernels have under way: answered by now, or free again."""
        count = len(self._elsewhere)
        chunks = [self._elsewhere.popleft() for _ in range(min(count, _MANY_CHUNKS))]
        left = self._without(chunks, self._known(chunks))
        keys = [row.key for chunk in left for row in chunk.rows]
        if keys and self._leases.free(keys):
            self._lease_some(left)
        else:
            self._elsewhere.extend(left)
        quicker = len(self._elsewhere) < count
        self._poll_s = _FIRST_POLL_S if quicker else min(_LAST_POLL_S, self._poll_s * 1.5)
        self._next_poll = self._clock.monotonic() + self._poll_s

    def _lease_some(self, chunks: list[Chunk]) -> None:
        now, rest = chunks[: self._lookahead], chunks[self._lookahead :]
        granted = self._leases.acquire([row.key for chunk in now for row in chunk.rows])
        self._elsewhere.extend(rest)
        if granted is None:
            self._elsewhere.extend(now)
        else:
            self._take(now, self._known(now), granted.ours)

    def _take(self, chunks: Iterable[Chunk], known: set[str], ours: set[str] | None) -> None:
        """Make ready what is ours, and put off what is not."""
        for chunk in self._without(chunks, known):
            mine = [row for row in chunk.rows if ours is None or row.key in ours]
            others = [row for row in chunk.rows if ours is not None and row.key not in ours]
            if mine:
                self._ready.append(_only(chunk, mine))
            if others:
                self._elsewhere.append(_only(chunk, others))
        self._looked = self._clock.monotonic()

    def _look_again(self) -> None:
        """Leave out of what is ready what was answered meanwhile, by whoever takes no leases."""
        ready = list(self._ready)
        self._ready.clear()
        self._ready.extend(self._without(ready, self._known(ready)))
        self._looked = self._clock.monotonic()

    def _without(self, chunks: Iterable[Chunk], known: set[str]) -> list[Chunk]:
        """Leave out what is answered."""
        left = []
        for chunk in chunks:
            gone = [row for row in chunk.rows if row.key in known]
            if gone:
                self._answered(copies_of(gone))
                self.end(gone)
            rows = [row for row in chunk.rows if row.key not in known]
            if rows:
                left.append(_only(chunk, rows))
        return left

    def _known(self, chunks: Iterable[Chunk]) -> set[str]:
        keys = [row.key for chunk in chunks for row in chunk.rows]
        return self._cache.present(self._prompt_hash, keys, self._run_id)


def _only(chunk: Chunk, rows: Sequence[Row]) -> Chunk:
    return chunk if len(rows) == len(chunk.rows) else replace(chunk, rows=tuple(rows))


def _before(chunks: Iterable[Chunk], rest: Iterator[Chunk]) -> Iterator[Chunk]:
    yield from chunks
    yield from rest
