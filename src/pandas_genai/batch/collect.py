"""Goes on with a job as far as the provider lets it: status, results, cache."""

from __future__ import annotations

import re

from pandas_genai.backends.batches import Batch
from pandas_genai.batch.digest import Digestion
from pandas_genai.batch.folder import open_new
from pandas_genai.batch.journal import Part
from pandas_genai.batch.lines import first_id
from pandas_genai.batch.site import Site
from pandas_genai.batch.submit import Submission
from pandas_genai.errors import JobError
from pandas_genai.store import SqliteCache

__all__ = ["Collection"]

_QUOTA = frozenset({"token_limit_exceeded"})
"""Codes of a batch that ended because too many tokens were enqueued: nothing was worked on."""

_NOT_SENT = frozenset({"written", "uploading", "uploaded", "waiting"})

_SUCCEEDED = re.compile(rb'"type"\s*:\s*"succeeded"')


class Collection:
    """Takes each part of a job to its next stage, again and again.

    Parameters
    ----------
    site : Site
        The job, locked.
    cache : SqliteCache, optional
        Where answers go; needed by ``step`` and ``digest_again``.
    run_id : str, optional
        The run that collects, for the answers' column ``run_id``; else the job's identity.
    """

    def __init__(self, site: Site, cache: SqliteCache | None, run_id: str | None = None) -> None:
        self._site = site
        self._cache = cache
        self._run_id = run_id or site.journal.uid

    def step(self) -> None:
        """Do everything that can be done now.

        Raises
        ------
        JobError
            If the job's requests were never all written.
        CallError
            What is done stays in the journal; the next step goes on from it.
        """
        site = self._site
        if not site.journal.ready:
            raise JobError(
                f"The job {site.folder.name!r} was interrupted before it was submitted: run the "
                "cell with batch_submit() again; nothing was sent yet."
            )
        submission = Submission(site)
        submission.run()
        ended = 0
        for part in site.journal.parts:
            if part.stage == "created":
                self.refresh(part)
                ended += part.stage != "created"
            if part.stage == "ended":
                self._store(part)
            if part.stage == "creating":
                submission.create(part)
            if part.stage == "stored":
                self._digest(part)
        self._send_waiting(submission, ended)

    def _digest(self, part: Part) -> None:
        assert self._cache is not None
        Digestion(self._site, part, self._cache, self._run_id).run()

    def refresh(self, part: Part) -> None:
        """Ask how far a batch is."""
        batch = self._site.api.get(part.batch_id or "")
        _described(part, batch)
        if batch.ended:
            if batch.code in _QUOTA and not batch.done:
                part.rejected.append(batch.id)
                part.stage = "waiting"
            else:
                part.stage = "ended"
        self._site.save()

    def _store(self, part: Part) -> None:
        """Keep the results as they are before a line of them is read."""
        site, api = self._site, self._site.api
        backend = site.journal.backend
        batch = Batch(
            part.batch_id or "", part.status, ended=True, output=part.output, error=part.error
        )
        results, errors = site.folder.results(backend, part), site.folder.errors(backend, part)
        stored = api.fetch(batch, "output", results)
        if part.candidates and stored and not self._is_ours(part, first_id(results)):
            results.unlink()
            self._next_candidate(part)
            return
        api.fetch(batch, "error", errors)
        if backend == "anthropic" and stored:
            with results.open("rb") as lines, open_new(errors) as file:
                file.writelines(line for line in lines if not _SUCCEEDED.search(line))
        part.candidates = []
        part.stage = "stored"
        site.save()

    def _is_ours(self, part: Part, custom_id: str) -> bool:
        prefix, _, _ = self._site.custom_id(part.number, 1).rpartition("-")
        return custom_id.startswith(f"{prefix}-")

    def _next_candidate(self, part: Part) -> None:
        """Go on without a batch that turned out to be somebody else's."""
        others = [name for name in part.candidates if name != part.batch_id]
        part.rejected.append(part.batch_id or "")
        part.candidates = others
        part.batch_id = others[0] if others else None
        part.stage = "created" if others else "creating"
        self._site.save()

    def _send_waiting(self, submission: Submission, ended: int) -> None:
        """Create again what had no room: as many as have ended, all once nothing is left."""
        parts = self._site.journal.parts
        waiting = [part for part in parts if part.stage == "waiting"]
        busy = any(part.in_flight for part in parts)
        for part in waiting[: ended if busy else None]:
            part.stage = "uploaded"
            submission.create(part)

    def digest_again(self, numbers: set[int]) -> None:
        """Read stored results once more, for a cache that has lost them."""
        for part in self._site.journal.parts:
            if part.number in numbers:
                self._digest(part)

    def cancel(self) -> None:
        """Ask the provider to end every batch that has not ended, and send nothing more."""
        for part in self._site.journal.parts:
            if part.stage == "creating" and not Submission(self._site).left(part):
                part.stage = "uploaded"
            if part.stage == "created":
                _described(part, self._site.api.cancel(part.batch_id or ""))
            elif part.stage in _NOT_SENT:
                part.status, part.stage = "cancelled", "stored"
            self._site.save()


def _described(part: Part, batch: Batch) -> None:
    part.status, part.done, part.failed = batch.status, batch.done, batch.failed
    part.ends_by = batch.ends_by or part.ends_by
    part.code, part.message = batch.code, batch.message
    part.output, part.error = batch.output, batch.error
