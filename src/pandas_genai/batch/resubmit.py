"""Sends the failed rows of a job once more, as new batches of the same job."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from pandas_genai.backends.endpoints import Capabilities
from pandas_genai.batch.digest import RESULTS_LOST, Lost, keys_of, lost_of
from pandas_genai.batch.journal import Part
from pandas_genai.batch.leases import lease_rows
from pandas_genai.batch.requests import Template, inputs_of, write_requests
from pandas_genai.batch.site import Site, limits_of
from pandas_genai.costs.window import ContextWindow
from pandas_genai.errors import JobError
from pandas_genai.store import AnswerStore
from pandas_genai.task.chunks import Chunk
from pandas_genai.task.inputs import RowInput

__all__ = ["Again", "write_again"]


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
    site: Site,
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
    site : Site
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
    journal, folder = site.journal, site.folder
    if not journal.parts:
        return Again(0, 0)
    capabilities = journal.next_capabilities
    failed = _failed(site, cache, only)
    kept = [key for key, (_, one) in failed.items() if one.reason == RESULTS_LOST and not lost]
    for key in kept:
        del failed[key]
    if not failed:
        return Again(0, len(kept))
    # Those that another job has sent meanwhile are its own.
    for key in lease_rows(cache, folder, journal, list(failed), site.clock.now()):
        del failed[key]
    if not failed:
        return Again(0, len(kept))
    alone = [key for key, (part, one) in failed.items() if _goes_alone(part, one, capabilities)]
    together = list(failed.keys() - set(alone))
    task, endpoint = site.task, site.endpoint
    rounds = max(part.round for part in journal.parts) + 1
    window = ContextWindow.of(task, endpoint, site.means.endpoints, journal.chunk_size)
    rows = _Rows(site)
    new = write_requests(
        folder,
        task,
        rows.chunks([(together, journal.chunk_size), (alone, 1)], window.most_bytes),
        Template(task, endpoint, capabilities),
        limits_of(task.backend),
        site.custom_id,
        lambda number: Part.sent_with(capabilities, number, rounds),
        lambda sent: [rows.labels.get(row.key) for row in sent],
        first=len(journal.parts) + 1,
    )
    if lost:
        for part in journal.parts:
            if part.stage == "lost":
                part.move("cached")  # its results are not asked for any more
    journal.parts += new
    site.save()
    return Again(len(failed), len(kept))


def _failed(
    site: Site, cache: AnswerStore, only: Collection[str] | None
) -> dict[str, tuple[Part, Lost]]:
    """Return the texts that have failed, each with the part in which it did last."""
    failed: dict[str, tuple[Part, Lost]] = {}
    for part in site.journal.parts:
        if part.finished:
            failed |= {one.key: (part, one) for one in lost_of(site.folder, part)}
        else:  # on its way again
            for sent in keys_of(site.folder, part).values():
                for key in sent.keys:
                    failed.pop(key, None)
    for key in cache.present(site.journal.prompt_hash, list(failed)):
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

    def __init__(self, site: Site) -> None:
        self._site = site
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
        site = self._site
        left = set(wanted)
        for part in site.journal.parts:
            if not left:
                return
            path = site.folder.requests(site.journal.backend, part.number)
            if not path.exists():
                raise JobError(
                    f"{path} is gone, and with it the texts of the failed rows: ask them with "
                    "df.genai.extract(), or submit them with df.genai.batch_submit()."
                )
            known = keys_of(site.folder, part)
            for custom_id, inputs in inputs_of(path, site.journal.backend):
                sent = known[custom_id]
                if left.isdisjoint(sent.keys):
                    continue
                rows = Chunk.of_keys(sent.keys).rows
                for row, label in zip(rows, sent.labels, strict=True):
                    if row.key in left:
                        left.discard(row.key)
                        self.labels[row.key] = label
                        yield row.key, inputs[row.token]
