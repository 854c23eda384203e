"""Answers and the cache: what a reply brought, as records; which texts have one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.errors import warn_user
from pandas_genai.store import Answer, AnswerStore, RequestRecord
from pandas_genai.task.frames import FrameBuilder
from pandas_genai.task.repeats import NUMBER, majority
from pandas_genai.task.reply import Reply
from pandas_genai.task.rows import Keys, Positions, Rows
from pandas_genai.task.schema import Schema
from pandas_genai.task.task import BoundTask

__all__ = ["AnswerReader", "DamagedAnswersWarning"]
__all__ += ["answered", "answers_of", "request_of", "unanswered", "warn_of_damage"]

_BLOCK = 9_000


class DamagedAnswersWarning(UserWarning):
    """The cache file holds answers that are not what was written."""


def warn_of_damage(cache: AnswerStore) -> None:
    """Say in one line, at the user's line of code, that damaged answers count as none."""
    count = cache.damaged()
    if count:
        warn_user(
            f"{count:,} of the answers in the cache {cache.shown} are damaged and count as "
            "not there: they are asked for again. Check the disk, or restore a copy of the file.",
            DamagedAnswersWarning,
        )


def answered(
    cache: AnswerStore, prompt_hash: str, keys: Keys, run_id: str | None = None
) -> npt.NDArray[np.bool_]:
    """Return for each text whether the cache has its answer, or has it from one run.

    Keys are read a block at a time.
    """
    found = np.zeros(len(keys), dtype=bool)
    for start in range(0, len(keys), _BLOCK):
        block = keys[start : start + _BLOCK]
        known = cache.present(prompt_hash, block, run_id)
        if known:
            found[start : start + len(block)] = [key in known for key in block]
    warn_of_damage(cache)
    return found


def unanswered(cache: AnswerStore, prompt_hash: str, keys: Keys) -> list[int]:
    """Return the places of the texts of which the cache has no answer."""
    return list(map(int, np.flatnonzero(~answered(cache, prompt_hash, keys))))


class AnswerReader:
    """Reads the answers of one run out of the store, each once, into the columns of its result.

    Answers are read in the order of their keys, in which they lie in the store.

    Parameters
    ----------
    schema : Schema
        What an answer looks like.
    prompt_hash : str
        The task.
    rows : Rows
        The input.
    """

    def __init__(self, schema: Schema, prompt_hash: str, rows: Rows) -> None:
        self._schema = schema
        self._prompt_hash = prompt_hash
        self._rows = rows
        self._builder = FrameBuilder(schema)
        self._places = np.full(len(rows.keys), -1, dtype=np.int64)
        self._count = 0

    def read_known(self, store: AnswerStore) -> Iterator[tuple[Positions, Positions]]:
        """Read what is answered already, a block at a time.

        Yields
        ------
        tuple of ndarray
            The places in ``rows.keys`` that were looked at, and those of them without an answer.
        """
        if self._schema.free:  # its columns stand in the order of the input
            known = answered(store, self._prompt_hash, self._rows.keys)
            yield np.arange(len(known)), np.flatnonzero(~known)
            return
        for wanted in self._in_order():
            for places in self._read(store, wanted):
                yield places, places[self._places[places] < 0]

    def _in_order(self) -> Iterator[Positions]:
        """Return which are read first: of keys that are not made yet, some from everywhere."""
        few = np.empty(0, dtype=np.int64)
        if self._rows.keys.made_later:
            few = np.unique(np.linspace(0, len(self._places) - 1, _BLOCK).astype(np.int64))
            yield few
        by_key = self._rows.by_key
        yield by_key[~np.isin(by_key, few)] if len(few) else by_key

    def read_rest(self, store: AnswerStore, failed: Collection[str]) -> list[int]:
        """Read what was not read yet, without the keys that failed; return what is not there."""
        wanted = np.flatnonzero(self._places < 0)
        if failed:
            keys = self._rows.keys.take(wanted)
            kept = [key not in failed for key in keys]
            wanted = wanted[np.array(kept, dtype=bool)]
        for _ in self._read(store, wanted):
            pass
        return list(map(int, wanted[self._places[wanted] < 0]))

    def _read(self, store: AnswerStore, wanted: Positions) -> Iterator[Positions]:
        for start in range(0, len(wanted), _BLOCK):
            places = wanted[start : start + _BLOCK]
            keys = self._rows.keys.take(places)
            found = store.read(self._prompt_hash, keys)
            there = places[[key in found for key in keys]]
            self._places[there] = np.arange(self._count, self._count + len(there))
            self._count += len(there)
            self._builder.add([found[key] for key in keys if key in found])
            yield places

    def frame(self, index: pd.Index, given: Mapping[int, str]) -> pd.DataFrame:
        """Build the result.

        Parameters
        ----------
        index : Index
            The input's index.
        given : mapping
            Answers that are taken as they are, as JSON text by row.
        """
        codes = self._codes()
        codes[:, list(given)] = range(self._count, self._count + len(given))
        self._builder.add(list(given.values()))
        if len(codes) == 1:
            return self._builder.frame(index, codes[0])
        answers = self._builder.frame(pd.RangeIndex(codes.size), codes.ravel())
        return majority(answers, codes >= 0, self._schema, index)

    def every(self, index: pd.Index) -> pd.DataFrame:
        """Return the single answers: the first ones of all rows, then the second ones, ..."""
        codes = self._codes()
        places = np.tile(np.arange(len(index)), len(codes))
        found = self._builder.frame(index.take(places), codes.ravel())
        found.insert(0, NUMBER, np.repeat(np.arange(1, len(codes) + 1), len(index)))
        return found

    def _codes(self) -> npt.NDArray[np.int64]:
        """Return which of the answers read is each row's: repeats by rows, -1 for none."""
        codes = self._rows.places
        codes[codes >= 0] = self._places[codes[codes >= 0]]
        return codes


def answers_of(
    task: BoundTask,
    rows: Iterable[tuple[str, str | None]],
    reply: Reply,
    run_id: str,
    request: RequestRecord,
) -> list[Answer]:
    """Return the accepted rows of a reply, each with its share of the tokens.

    Parameters
    ----------
    task : BoundTask
        What was asked.
    rows : iterable of (str, str or None)
        Of each row that was sent its key, and what names it for a person.
    reply : Reply
        What came back.
    run_id : str
        The run, or the job, that asked.
    request : RequestRecord
        The call, to be written with them.
    """
    accepted = reply.accepted
    answered = [row for row in rows if row[0] in accepted]
    shares = reply.usage.shares(len(answered))
    model, answered_by, request_id = task.model, reply.model, reply.request_id
    return [
        Answer(
            task.prompt_hash,
            key,
            accepted[key],
            label,
            model,
            answered_by,
            run_id,
            request_id,
            sent,
            cached,
            came,
            request=request,
        )
        for (key, label), (sent, cached, came) in zip(answered, shares, strict=True)
    ]


def request_of(
    task: BoundTask,
    keys: Sequence[str],
    reply: Reply,
    run_id: str,
    *,
    cost: float | None,
    attempts: int = 1,
    job: str | None = None,
    number: int | None = None,
) -> RequestRecord:
    """Return the record of one billed call.

    Parameters
    ----------
    task : BoundTask
        What was asked.
    keys : sequence of str
        The row keys that were sent.
    reply : Reply
        What came back, accepted or not.
    run_id : str
        The run that brings it.
    cost : float or None
        In US dollars; None where it is unknown.
    attempts : int, default 1
        HTTP requests until it came.
    job : str, optional
        The batch job.
    number : int, optional
        The record's id, where it is not the writer's to choose.
    """
    usage = reply.usage if reply.usage.known else None
    first = next(iter(reply.refused.values()), None)
    return RequestRecord(
        run_id=run_id,
        prompt_hash=task.prompt_hash,
        rows=keys,
        request_id=reply.request_id,
        model=task.model,
        model_answered=reply.model,
        params_sent=reply.params_sent,
        attempts=attempts,
        refused=len(reply.refused),
        reason=None if first is None else first.reason,
        input_tokens=None if usage is None else usage.input_tokens,
        cached_tokens=None if usage is None else usage.cached_tokens,
        cache_write_tokens=None if usage is None else usage.cache_write_tokens,
        output_tokens=None if usage is None else usage.output_tokens,
        cost=None if usage is None else cost,
        job=job,
        reply=reply.content,
        number=number,
    )
