"""Goes on with a job that the original toolkit began: asks the provider what became of it."""

from __future__ import annotations

import filecmp
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pandas_genai.backends.batches import Batch, BatchApi, Wanted, segment
from pandas_genai.backends.fields import as_count, as_text
from pandas_genai.backends.openai.batches import batch_of
from pandas_genai.backends.registry import backend_named
from pandas_genai.backends.resolve import Question
from pandas_genai.batch.advance import is_gone, write_errors
from pandas_genai.batch.connection import ConnectionOptions
from pandas_genai.batch.names import file_name
from pandas_genai.errors import CallError, counted
from pandas_genai.files import atomic_write
from pandas_genai.legacy.original import OriginalJob, Request, Submission
from pandas_genai.task.task import Task

__all__ = ["Adoption", "provider_of"]


@contextmanager
def provider_of(backend: str, options: ConnectionOptions) -> Iterator[BatchApi]:
    """Open the batch API at the address that the settings or the extractor name.

    The original's files name no address: it was that of the environment.
    """
    task = Task("Not asked.", backend=backend)
    question = Question(task, options.base_url, options.api_key, options.client)
    resolved = question.resolve()
    client, ours = resolved.open(1)
    kind = backend_named(backend).batches
    try:
        yield kind(client, resolved.endpoint, options.clock.sleep)
    finally:
        if ours:
            client.close()


@dataclass
class Adoption:
    """One job of the original, and its provider.

    Parameters
    ----------
    job : OriginalJob
        The directory.
    api : BatchApi
        The provider.
    options : ConnectionOptions
        How it is worked on.
    """

    job: OriginalJob
    api: BatchApi
    options: ConnectionOptions
    _files: dict[str, tuple[str, int] | None] = field(default_factory=dict)

    def refresh(self) -> None:
        """Ask how far each batch is, and store the results of those that have ended."""
        for one in self.job.submissions:
            if not one.is_collected:
                self._refresh(one)

    def _refresh(self, one: Submission) -> None:
        try:
            batch = self.api.get(one.id)
        except CallError as error:
            if not is_gone(error):
                raise
            self._gone(one, str(error))
            return
        if not batch.ended:
            one.note(batch.status)
            return
        try:
            self._fetch(one, batch)
        except CallError as error:
            if not is_gone(error):
                raise
            self._gone(one, str(error))
            return
        one.note(batch.status, collected=True)

    def _fetch(self, one: Submission, batch: Batch) -> None:
        one.results.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        stored = self.api.fetch(batch, "output", one.results)
        if self.job.backend == "openai":
            self.api.fetch(batch, "error", one.errors)
        elif stored:
            write_errors(one.results, one.errors, self.api)

    def _gone(self, one: Submission, why: str) -> None:
        """Note what the provider does not have any more; what lies here already counts."""
        lost = not one.results.exists()
        ended = "completed" if self.job.backend == "openai" else "ended"
        one.note("lost" if lost else ended, collected=True, lost=lost)
        if lost:
            self.options.tell(f"The results of the batch {one.id} are lost: {why}")

    def find_forgotten(self) -> None:
        """Find batches whose creation the original could not write down before it was killed."""
        if self.job.backend == "anthropic" or self.job.is_topped_up:
            return
        unsent = set(self.job.inputs) - {self._input_of(one) for one in self.job.submissions}
        if not unsent:
            return
        known = {one.id for one in self.job.submissions}
        since = min(path.stat().st_mtime for path in unsent)
        described = {"description": f"Batch job {self.job.folder.name}"}
        wanted = Wanted({}, None, 0, since, known)
        for batch in self.api.recent("/batches", "after", batch_of, wanted):
            if batch.tags == described:
                noted: dict[str, Any] = {"id": batch.id, "input_file_id": batch.file_id}
                noted |= {"status": batch.status, "created_at": batch.created}
                output = self.job.folder.path / "batch_output"
                one = self.job.submission(output / f"submission_{file_name(batch.id)}.json", noted)
                if self._input_of(one) in unsent:
                    output.mkdir(mode=0o700, exist_ok=True)
                    atomic_write(one.path, json.dumps(noted | {"metadata": described}))
                    self.job.submissions.append(one)

    def _file_at_provider(self, file_id: str | None) -> tuple[str, int] | None:
        """Return the name and the size of an uploaded file; None where it is gone."""
        if file_id is None:
            return None
        if file_id not in self._files:
            try:
                found = self.api.get_json(f"/files/{segment(file_id)}", _name_and_size)
            except CallError as error:
                if not is_gone(error):
                    raise
                found = None
            self._files[file_id] = found
        return self._files[file_id]

    def _input_of(self, one: Submission) -> Path | None:
        """Return the file of requests that a batch was created from, if it is still there."""
        if self.job.backend == "anthropic":
            return next(iter(self.job.inputs), None)
        uploaded = self._file_at_provider(one.file_id)
        for path in self.job.inputs:
            if uploaded == (path.name, path.stat().st_size) and self._is_copy(one, path):
                return path
        if uploaded is None:  # gone at the provider: its results name their requests
            answered = self.job.answered_requests(one.results)
            for path, requests in self.job.requests.items():
                if answered and answered <= {request.custom_id for request in requests}:
                    return path
        return None

    def _is_copy(self, one: Submission, path: Path) -> bool:
        """Whether a file is what was uploaded: one of an earlier round may be as long."""
        sent = self._uploaded(one)
        return sent is None or filecmp.cmp(sent, path, shallow=False)

    def _uploaded(self, one: Submission) -> Path | None:
        """Return a copy of the requests that the provider has; None where they are gone."""
        path = self.job.fetched_input(one)
        if not path.exists():
            source = f"/files/{segment(one.file_id or '')}/content"
            try:
                self.api.stored(source, path, "application/binary")
            except CallError as error:
                if not is_gone(error):
                    raise
                return None
        return path

    def unsent(self) -> list[Request]:
        """Return the requests that were never submitted.

        There are none where it is unknown from which of the files some batch was created.
        """
        job = self.job
        if job.backend == "anthropic":
            sent = set(job.inputs) if job.submissions else set()
        else:
            sent = set()
            for one in job.submissions:
                path = self._input_of(one)
                if path is not None:
                    sent.add(path)
                elif self._file_at_provider(one.file_id) is None and not one.results.exists():
                    return []
        return [
            request for path, found in job.requests.items() if path not in sent for request in found
        ]

    def under_way(self) -> set[str]:
        """Return the ids of rows whose batch has not ended.

        Where it is not known which they are, they are all that the requests here hold.
        """
        waiting = [one for one in self.job.submissions if not one.is_collected]
        return {name for one in waiting for name in self._ids_of(one)}

    def lost(self) -> set[str]:
        """Return the ids of rows whose results the provider has lost, though they were paid."""
        lost = [one for one in self.job.submissions if one.is_lost]
        return {name for one in lost for name in self._ids_of(one)}

    def _ids_of(self, one: Submission) -> set[str]:
        is_there = self._file_at_provider(one.file_id) is not None
        uploaded = self._uploaded(one) if is_there else None
        if uploaded is not None:
            return {name for request in self.job.read(uploaded) for name in request.rows}
        path = self._input_of(one)
        wanted = self.job.requests.values() if path is None else [self.job.requests[path]]
        return {name for found in wanted for request in found for name in request.rows}

    def report_unfinished(self) -> None:
        """Report how many batches have not ended."""
        waiting = [one for one in self.job.submissions if not one.is_collected]
        if waiting:
            verb = "has" if len(waiting) == 1 else "have"
            self.options.tell(
                f"{counted(len(waiting), 'batch', 'batches')} of the job "
                f"{self.job.folder.name!r}, which the original toolkit submitted, {verb} not ended."
            )


def _name_and_size(entry: Mapping[str, Any]) -> tuple[str, int]:
    return as_text(entry.get("filename")) or "", as_count(entry.get("bytes")) or 0
