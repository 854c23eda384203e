"""OpenAI's ``/v1/files``."""

from __future__ import annotations

from typing import Any

from pandas_genai.testing.asked import Problem
from pandas_genai.testing.batch.engine import BatchEngine
from pandas_genai.testing.batch.multipart import parts_of
from pandas_genai.testing.batch.received import Received, page
from pandas_genai.testing.batch.records import FileRecord

__all__ = ["OpenAIFiles"]

_PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
_MOST = 10_000


class OpenAIFiles:
    """Answers requests about files.

    Parameters
    ----------
    engine : BatchEngine
        Keeps them.
    """

    def __init__(self, engine: BatchEngine) -> None:
        self._engine = engine
        self._storage = engine.storage

    def create(self, received: Received) -> Any:
        """Upload one."""
        parts = parts_of(received.request.headers, received.request.raw)
        for name in ("file", "purpose"):
            if name not in parts:
                raise Problem(400, f"Missing required parameter: '{name}'.", param=name)
        purpose, file = parts["purpose"].data.decode("utf-8", "replace"), parts["file"]
        if purpose not in _PURPOSES:
            raise Problem(
                400, f"'{purpose}' is not one of {_PURPOSES} - 'purpose'", param="purpose"
            )
        name = file.filename or "upload"
        return _shown(self._storage.add_file(name, purpose, file.data, self._engine.now()))

    def list(self, received: Received) -> Any:
        """List them, by default the newest first."""
        query, files = received.query, list(self._storage.files.values())
        if query.get("order", "desc") == "desc":
            files.reverse()
        if "purpose" in query:
            files = [file for file in files if file.purpose == query["purpose"]]
        found, more = page(files, received.limit(_MOST, _MOST), after=query.get("after", ""))
        return {
            "object": "list",
            "data": [_shown(file) for file in found],
            "first_id": found[0].id if found else None,
            "last_id": found[-1].id if found else None,
            "has_more": more,
        }

    def retrieve(self, received: Received, file_id: str) -> Any:  # noqa: ARG002 - as the others
        """Describe one."""
        return _shown(self._file(file_id))

    def content(self, received: Received, file_id: str) -> bytes:  # noqa: ARG002 - as the others
        """Return what one holds."""
        return self._storage.content(self._file(file_id).id)

    def delete(self, received: Received, file_id: str) -> Any:  # noqa: ARG002 - as the others
        """Delete one."""
        self._storage.drop_file(self._file(file_id).id)
        return {"id": file_id, "object": "file", "deleted": True}

    def _file(self, file_id: str) -> FileRecord:
        file = self._storage.files.get(file_id)
        if file is None:
            raise Problem(404, f"No such File object: {file_id}", param="id")
        return file


def _shown(file: FileRecord) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
        "expires_at": None,
    }
