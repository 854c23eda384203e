"""Sends the failed rows of a job once more, as new batches of the same job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pandas_genai.backends.endpoints import Support
from pandas_genai.batch.digest import keys_of, lost_of
from pandas_genai.batch.journal import Part
from pandas_genai.batch.requests import Template, texts_of, write_requests
from pandas_genai.batch.site import Site, limits_of
from pandas_genai.errors import JobError
from pandas_genai.store import SqliteCache
from pandas_genai.task.chunks import Chunk, Row

__all__ = ["write_again"]


def write_again(site: Site, cache: SqliteCache) -> int:
    """Write the requests of every text that has failed for good so far, and no other.

    Texts whose request failed as a whole share one again; those that a reply left out, or
    answered wrongly, are asked alone. What the results taught about the endpoint is heeded.

    Parameters
    ----------
    site : Site
        The job, locked.
    cache : SqliteCache
        A text that was answered in the meantime is not sent.

    Returns
    -------
    int
        How many texts.

    Raises
    ------
    JobError
        If the files of requests are gone.
    """
    journal, folder = site.journal, site.folder
    together, alone = _failed(site, cache)
    if not together and not alone:
        return 0
    task, endpoint = site.task, site.endpoint
    support = journal.parts[-1].support
    if journal.lower is not None:
        support = Support(journal.lower[0], frozenset(journal.lower[1]))
    rounds = max(part.round for part in journal.parts) + 1
    rows = _Rows(site)
    new = write_requests(
        folder,
        task,
        rows.chunks([(together, journal.chunk_size), (alone, 1)]),
        Template(task, endpoint, support),
        limits_of(task.backend),
        site.custom_id,
        lambda number: Part(number, rounds, rung=support.rung, dropped=sorted(support.dropped)),
        lambda sent: [rows.labels.get(row.key) for row in sent],
        first=len(journal.parts) + 1,
    )
    journal.parts += new
    site.save()
    return len(together) + len(alone)


def _failed(site: Site, cache: SqliteCache) -> tuple[list[str], list[str]]:
    """Return the keys of failed texts: those to be sent together, and those to be sent alone."""
    lost = {}
    for part in site.journal.parts:
        if part.finished:
            lost.update({one.key: one.whole for one in lost_of(site.folder, part)})
        else:  # on its way again
            for sent in keys_of(site.folder, part).values():
                for key in sent.keys:
                    lost.pop(key, None)
    for key in cache.present(site.journal.prompt_hash, list(lost)):
        del lost[key]
    return [key for key in lost if lost[key]], [key for key in lost if not lost[key]]


class _Rows:
    """Reads the texts of some rows back from the files in which they were sent first."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.labels: dict[str, str | None] = {}

    def chunks(self, wanted: Sequence[tuple[Sequence[str], int]]) -> Iterator[Chunk]:
        """Return the chunks of each group of keys in its size, in the order of the files."""
        for keys, size in wanted:
            waiting: list[tuple[str, str]] = []
            for pair in self._found(set(keys)):
                waiting.append(pair)
                if len(waiting) == size:
                    yield _chunk(waiting)
                    waiting = []
            if waiting:
                yield _chunk(waiting)

    def _found(self, wanted: set[str]) -> Iterator[tuple[str, str]]:
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
            for custom_id, texts in texts_of(path):
                sent = known[custom_id]
                if left.isdisjoint(sent.keys):
                    continue
                rows = Chunk.of_keys(sent.keys).rows
                for row, label in zip(rows, sent.labels, strict=True):
                    if row.key in left:
                        left.discard(row.key)
                        self.labels[row.key] = label
                        yield row.key, texts[row.token]


def _chunk(pairs: Sequence[tuple[str, str]]) -> Chunk:
    """Make a chunk of keys and texts."""
    bare = Chunk.of_keys([key for key, _ in pairs])
    return Chunk(
        tuple(
            Row(row.key, row.token, text, row.position)
            for row, (_, text) in zip(bare.rows, pairs, strict=True)
        )
    )
