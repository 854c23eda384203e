"""Gives the parts of a job to the provider, each exactly once."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pandas_genai.backends.batches import Batch, Wanted
from pandas_genai.backends.registry import backend_named
from pandas_genai.backends.retry import ATTEMPTS
from pandas_genai.batch.connection import Connection
from pandas_genai.batch.manifest import Part, check_digest, cut, moment_of
from pandas_genai.batch.stages import STAGES
from pandas_genai.errors import RowError, StopRunError, WaitError
from pandas_genai.files import atomic_write

__all__ = ["Submission"]

T = TypeVar("T")

_log = logging.getLogger("pandas_genai")

_SETTLE_S = (2.0, 5.0, 13.0)
"""Waits between looking for what a request left whose answer was lost: it may still be at work."""
_LONG_AGO_S = 300.0


class Submission:
    """Sends what is written and not sent yet.

    Each request that could cost money twice is preceded by a manifest entry that says so. Whoever
    finds the entry asks the provider first what it has.

    Parameters
    ----------
    connection : Connection
        The job, locked.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send_all(self) -> None:
        """Send every part that is not at the provider, and was not put off.

        Raises
        ------
        CallError
            What is at the provider stays in the manifest; the next call goes on from it.
        """
        for part in self._connection.manifest.parts:
            if STAGES[part.stage].action == "upload":
                self.upload(part)
            if STAGES[part.stage].action == "create":
                self.create(part)

    def upload(self, part: Part) -> None:
        """Upload the requests of a part where its provider takes files."""
        connection, api = self._connection, self._connection.api
        if api.has_files:
            path = self._intact(part)
            job = connection.tags(part)["pandas_genai_job"]
            name = f"{job}-{part.number}-{part.digest[:12]}.jsonl"
            resumed = part.stage == "uploading"
            connection.move(part, "uploading")
            part.file_id = self._settled(
                send=lambda: api.upload(path, name),
                find=lambda: api.find_file(name, part.bytes),
                waits=() if resumed else _SETTLE_S,
                resumed=resumed,
            )
        connection.move(part, "uploaded")

    def _intact(self, part: Part) -> Path:
        """Return the file of a part's requests, which must be what was written."""
        path = self._connection.folder.requests(self._connection.manifest.backend, part.number)
        check_digest(path, part.digest)
        return path

    def create(self, part: Part) -> None:
        """Create the batch of a part, or find the one that was created."""
        connection, api = self._connection, self._connection.api
        resumed = part.stage == "creating"
        path = connection.folder.requests(connection.manifest.backend, part.number)
        if not api.has_files:
            path = self._intact(part)
        if not resumed:
            part.intended = connection.clock.now()
            connection.move(part, "creating")
        headers = self._headers(part)
        long_ago = connection.clock.now() - (part.intended or 0.0) > _LONG_AGO_S
        try:
            batch = self._settled(
                send=lambda: api.create(path, part.file_id, connection.tags(part), headers),
                find=lambda: self._found(part),
                waits=() if long_ago else _SETTLE_S,
                resumed=resumed,
            )
        except (StopRunError, RowError) as error:
            connection.move(part, "uploaded")  # refused: there is certainly no batch
            raise StopRunError(
                f"The batch was refused, nothing was submitted of part {part.number}: {error}",
                reason=error.reason,
            ) from error
        self._adopt(part, batch)

    def left(self, part: Part, waits: Sequence[float] = _SETTLE_S) -> bool:
        """Take on the batch that a lost request may have left; False where there is none."""
        batch = self._looked(lambda: self._found(part), waits)
        if batch is not None:
            self._adopt(part, batch)
        return batch is not None

    def _adopt(self, part: Part, batch: Batch) -> None:
        part.batch_id, part.status = batch.id, cut(batch.status)
        part.submitted = moment_of(batch.created) or part.intended
        part.ends_by = moment_of(batch.ends_by)
        part.code = part.message = ""
        self._note(part)
        if part.in_flight:
            self._connection.save()
        else:
            self._connection.move(part, "created")

    def _found(self, part: Part) -> Batch | None:
        """Return the batch that the provider has of a part.

        Where it keeps no tags, every batch of the same size and time may be it; its results will
        tell, and until then none is created instead.
        """
        connection = self._connection
        wanted = Wanted(
            connection.tags(part),
            part.file_id,
            part.requests,
            part.intended or connection.manifest.created,
            connection.known_batches(part),
        )
        found = sorted(connection.api.find(wanted), key=lambda batch: batch.created or 0.0)
        if not found:
            return None
        part.candidates = [] if connection.api.has_tags else [batch.id for batch in found]
        return found[0]

    def _settled(
        self,
        send: Callable[[], T],
        find: Callable[[], T | None],
        waits: Sequence[float],
        *,
        resumed: bool,
    ) -> T:
        """Send once, as far as one can know: after every lost answer, look first."""
        sleep = self._connection.clock.sleep
        if resumed:
            found = self._looked(find, waits)
            if found is not None:
                return found
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return send()
            except WaitError as error:
                if attempt == ATTEMPTS:
                    raise
                _log.info("%s Asking the provider what it has.", error)
                if error.reason == "rate limit":  # refused before it took effect
                    sleep(error.retry_after or 2.0**attempt)
                    continue
                found = self._looked(find, _SETTLE_S)
                if found is not None:
                    return found
        raise AssertionError("the last attempt returns or raises")

    def _looked(self, find: Callable[[], T | None], waits: Sequence[float]) -> T | None:
        """Look for what a lost request left, for as long as it may still be at work."""
        found = find()
        for seconds in waits:
            if found is not None:
                break
            self._connection.clock.sleep(seconds)
            found = find()
        return found

    def _headers(self, part: Part) -> Mapping[str, str]:
        task = self._connection.task
        sent = {name: 1 for name in task.sent_params if name not in part.dropped}
        return backend_named(task.backend).headers_for(sent)

    def _note(self, part: Part) -> None:
        """Write the file in which the original toolkit's users look for the batch's id."""
        connection = self._connection
        note = {
            "job_id": connection.manifest.name,
            "id": part.batch_id,
            "batch_id": part.batch_id,
            "input_file_id": part.file_id,
            "requests": part.requests,
            "created_at": part.submitted,
            "base_url": connection.manifest.base_url,
            "model": connection.manifest.model,
        }
        atomic_write(
            connection.folder.submission(connection.manifest.backend, part),
            json.dumps(note, indent=1),
        )
