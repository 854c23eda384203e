"""Sends failed rows of a job once more, and adds the rows that it did not have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.backends.endpoints import Capabilities
from pandas_genai.batch.connection import Connection, limits_of
from pandas_genai.batch.create import JobSpec, fingerprint_of, lease_rows, naming
from pandas_genai.batch.ingest import RESULTS_LOST, Lost, keys_of, lost_of
from pandas_genai.batch.manifest import Part
from pandas_genai.batch.requests import Template, inputs_of, write_requests
from pandas_genai.batch.rowfile import save_rows, saved_rows
from pandas_genai.batch.texts import FrameInputs
from pandas_genai.costs.window import ContextWindow
from pandas_genai.errors import JobError
from pandas_genai.runs.answers import answered
from pandas_genai.store import AnswerStore
from pandas_genai.task.chunks import Chunk, plan_chunks
from pandas_genai.task.inputs import RowInput
from pandas_genai.task.rows import Rows, distinct_rows, rows_of_keys

__all__ = ["Again", "top_up", "write_again"]


@dataclass(frozen=True)
class Again:
    """What was sent again.

    Parameters
    ----------
    sent : int
        Texts.
    kept : int
        Texts that were not, since the provider has lost their results and they were paid.
    """

    sent: int
    kept: int


_UNTRIED = frozenset({"expired", "cancelled", "batch failed", RESULTS_LOST})
"""Reasons that say nothing about the rows: their request was never worked on, or answered well."""

_BROKEN = frozenset({"server error", "timeout", "missing in results"})
"""Reasons that may lie with the rows: one text can bring a server down each time."""


def write_again(
    connection: Connection,
    cache: AnswerStore,
    *,
    lost: bool = False,
    only: Collection[str] | None = None,
) -> Again:
    """Write the requests of every text that has failed for good so far, and no other.

    Rows share a request again only where nothing points at one of them: their batch expired or
    was refused as a whole, or everything in it failed. The rows of a request that was refused,
    broke, or was answered wrongly go alone, so that one bad row does not take the others along
    again. What the results taught about the endpoint is heeded.

    Parameters
    ----------
    connection : Connection
        The job, locked.
    cache : AnswerStore
        A text that was answered in the meantime is not sent.
    lost : bool, default False
        Whether texts are sent again, and paid again, whose results the provider has lost.
    only : collection of str, optional
        Row keys; others are not sent.

    Returns
    -------
    Again
        How many texts, and how many of lost results were not sent.

    Raises
    ------
    JobError
        If the files of requests are gone.
    """
    manifest, folder = connection.manifest, connection.folder
    if not manifest.parts:
        return Again(0, 0)
    capabilities = manifest.next_capabilities
    failed = _failed(connection, cache, only)
    kept = [key for key, (_, one) in failed.items() if one.reason == RESULTS_LOST and not lost]
    for key in kept:
        del failed[key]
    if not failed:
        return Again(0, len(kept))
    # Those that another job has sent meanwhile are its own.
    for key in lease_rows(cache, folder, manifest, list(failed), connection.clock.now()):
        del failed[key]
    if not failed:
        return Again(0, len(kept))
    alone = [key for key, (part, one) in failed.items() if _goes_alone(part, one, capabilities)]
    together = list(failed.keys() - set(alone))
    task, endpoint = connection.task, connection.endpoint
    rounds = max(part.round for part in manifest.parts) + 1
    window = ContextWindow.of(task, endpoint, connection.options.endpoints, manifest.chunk_size)
    rows = _Rows(connection)
    new = write_requests(
        folder,
        task,
        rows.chunks([(together, manifest.chunk_size), (alone, 1)], window.most_bytes),
        Template(task, endpoint, capabilities),
        limits_of(task.backend),
        connection.custom_id,
        lambda number: Part.sent_with(capabilities, number, rounds),
        lambda sent: [rows.labels.get(row.key) for row in sent],
        first=len(manifest.parts) + 1,
    )
    if lost:
        for part in manifest.parts:
            if part.stage == "lost":
                part.move("cached")  # its results are not asked for any more
    manifest.parts += new
    connection.save()
    return Again(len(failed), len(kept))


def _failed(
    connection: Connection, cache: AnswerStore, only: Collection[str] | None
) -> dict[str, tuple[Part, Lost]]:
    """Return the texts that have failed, each with the part in which it did last."""
    failed: dict[str, tuple[Part, Lost]] = {}
    for part in connection.manifest.parts:
        if part.finished:
            failed |= {one.key: (part, one) for one in lost_of(connection.folder, part)}
        else:  # on its way again
            for sent in keys_of(connection.folder, part).values():
                for key in sent.keys:
                    failed.pop(key, None)
    for key in cache.present(connection.manifest.prompt_hash, list(failed)):
        del failed[key]
    return failed if only is None else {key: failed[key] for key in failed if key in only}


def _goes_alone(part: Part, failed: Lost, capabilities: Capabilities) -> bool:
    """Whether a row goes into a request of its own; ``capabilities`` is how it will be sent."""
    if not failed.whole:
        return True
    if failed.reason in _UNTRIED:
        return False
    if failed.reason in _BROKEN:
        return bool(part.calls or part.round)  # others were answered, or it failed so before
    return failed.reason == "bad request" and part.capabilities == capabilities


class _Rows:
    """Reads the inputs of some rows back from the files in which they were sent first."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.labels: dict[str, str | None] = {}

    def chunks(
        self, wanted: Sequence[tuple[Sequence[str], int]], most_bytes: float | None
    ) -> Iterator[Chunk]:
        """Return the chunks of each group of keys in its size, in the order of the files.

        As in ``plan_chunks``, the inputs of one chunk have at most that size together.
        """
        for keys, size in wanted:
            waiting: dict[str, RowInput] = {}
            held = 0
            for key, one in self._found(set(keys)):
                held += one.size
                over = most_bytes is not None and held > most_bytes
                if waiting and (over or len(waiting) == size):
                    yield Chunk.of_keys(list(waiting), waiting)
                    waiting, held = {}, one.size
                waiting[key] = one
            if waiting:
                yield Chunk.of_keys(list(waiting), waiting)

    def _found(self, wanted: set[str]) -> Iterator[tuple[str, RowInput]]:
        connection = self._connection
        left = set(wanted)
        for part in connection.manifest.parts:
            if not left:
                return
            path = connection.folder.requests(connection.manifest.backend, part.number)
            if not path.exists():
                raise JobError(
                    f"{path} is gone, and with it the texts of the failed rows: ask them with "
                    "df.genai.extract(), or submit them with df.genai.batch_submit()."
                )
            known = keys_of(connection.folder, part)
            for custom_id, inputs in inputs_of(path, connection.manifest.backend):
                sent = known[custom_id]
                if left.isdisjoint(sent.keys):
                    continue
                rows = Chunk.of_keys(sent.keys).rows
                for row, label in zip(rows, sent.labels, strict=True):
                    if row.key in left:
                        left.discard(row.key)
                        self.labels[row.key] = label
                        yield row.key, inputs[row.token]


def top_up(connection: Connection, spec: JobSpec) -> Again:
    """Write the requests that a job lacks to answer the rows of a frame; nothing is sent.

    Rows that have failed are asked again, those that are under way or lost are not, and rows that
    the job did not have are added to it.

    Parameters
    ----------
    connection : Connection
        The job, locked. Its task is that of the order.
    spec : JobSpec
        The rows, and the cache that the job was submitted with.

    Returns
    -------
    Again
        How many texts are to be sent, and how many of lost results are not.
    """
    inputs = FrameInputs(spec.data, spec.text)
    rows = distinct_rows(inputs)
    known, _ = saved_rows(connection.folder, connection.manifest)
    theirs = set(known.keys)
    again = write_again(connection, spec.cache, only=set(rows.keys))
    new = np.array([key not in theirs for key in rows.keys], dtype=bool)
    added = _Addition(connection, spec, inputs, rows, known).write(new) if new.any() else 0
    return Again(again.sent + added, again.kept)


@dataclass(frozen=True)
class _Addition:
    """Rows that a job did not have."""

    connection: Connection
    spec: JobSpec
    inputs: FrameInputs
    rows: Rows
    known: Rows

    def write(self, new: npt.NDArray[np.bool_]) -> int:
        """Add some of the distinct texts to the job; return how many are to be sent."""
        connection, spec, rows = self.connection, self.spec, self.rows
        manifest = connection.manifest
        positions = np.flatnonzero((rows.codes >= 0) & new[rows.codes])
        of_rows = rows.keys.take(rows.codes[positions])
        labels: pd.Index = spec.labels[positions]
        cached = answered(spec.cache, manifest.prompt_hash, rows.keys)
        wanted = np.flatnonzero(new & ~cached)
        others = lease_rows(
            spec.cache, connection.folder, manifest, rows.keys.take(wanted), connection.clock.now()
        )
        wanted = wanted[[key not in others for key in rows.keys.take(wanted)]]
        parts = self._requests(wanted)
        all_keys = rows_of_keys([*self.known.keys, *of_rows])
        # A kernel that is killed between these two leaves lines that the manifest does not count.
        manifest.rows_digest = save_rows(
            connection.folder, labels, rows_of_keys(of_rows), kept=manifest.rows
        )
        manifest.rows += len(of_rows)
        manifest.twins += len(of_rows) - int(new.sum())
        manifest.cached += int((new & cached).sum())
        manifest.elsewhere += len(others)
        manifest.sent += len(wanted)
        manifest.fingerprint = fingerprint_of(manifest.prompt_hash, all_keys)
        manifest.parts += parts
        connection.save()
        return len(wanted)

    def _requests(self, wanted: npt.NDArray[np.int64]) -> list[Part]:
        connection, task = self.connection, self.connection.task
        manifest = connection.manifest
        capabilities = manifest.next_capabilities
        window = ContextWindow.of(
            task, connection.endpoint, connection.options.endpoints, manifest.chunk_size
        )
        chunks = plan_chunks(
            self.rows,
            wanted.tolist(),
            self.inputs,
            manifest.chunk_size,
            most_bytes=window.most_bytes,
        )
        return write_requests(
            connection.folder,
            task,
            chunks,
            Template(task, connection.endpoint, capabilities),
            self.spec.limits(limits_of(task.backend)),
            connection.custom_id,
            lambda number: Part.sent_with(capabilities, number),
            naming(self.spec.labels),
            first=len(manifest.parts) + 1,
        )
