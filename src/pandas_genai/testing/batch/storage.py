"""The uploaded files and those that batches end in, and what the provider must remember."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pandas_genai.testing.batch.records import Batch, FileRecord
from pandas_genai.testing.batch.store import Store

__all__ = ["State", "Storage"]


@dataclass(slots=True)
class State:
    """Of the provider: how many there have ever been, the moved time, its port."""

    files: int = 0
    batches: int = 0
    requests: int = 0
    offset: float = 0.0
    port: int = 0


class Storage:
    """Files, batches and the provider's state, each written when it changes.

    Parameters
    ----------
    store : Store
        Where they are kept.
    seed : int
        Of the ids.
    """

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self._seed = seed
        self.state = State()
        for name in store.names("state"):
            self.state = State(**json.loads(store.get(name)))
        files = [FileRecord(**json.loads(store.get(name))) for name in store.names("files")]
        batches = [Batch(**json.loads(store.get(name))) for name in store.names("batches")]
        self.files = {file.id: file for file in sorted(files, key=lambda each: each.number)}
        self.batches = {each.id: each for each in sorted(batches, key=lambda each: each.number)}

    def save_state(self) -> None:
        """Write the provider's state."""
        self.store.put("state/provider.json", _dumped(asdict(self.state)))

    def save(self, batch: Batch) -> None:
        """Write a batch."""
        self.batches[batch.id] = batch
        self.store.put(f"batches/{batch.id}.json", _dumped(asdict(batch)))

    def new_id(self, kind: str, number: int, now: float) -> str:
        """Return an id that no other provider gives, nor this one after a restart."""
        return hashlib.sha256(f"{self._seed} {kind} {number} {now}".encode()).hexdigest()[:32]

    def add_file(self, filename: str, purpose: str, data: bytes, now: float) -> FileRecord:
        """Keep a file."""
        self.state.files += 1
        number = self.state.files
        file = FileRecord(
            f"file-{self.new_id('file', number, now)[:24]}",
            filename,
            purpose,
            len(data),
            hashlib.sha256(data).hexdigest(),
            now,
            number,
        )
        self.store.put(f"content/{file.id}", data)
        self.store.put(f"files/{file.id}.json", _dumped(asdict(file)))
        self.save_state()
        self.files[file.id] = file
        return file

    def content(self, file_id: str) -> bytes:
        """Return what a file holds."""
        return self.store.get(f"content/{file_id}")

    def drop_file(self, file_id: str) -> None:
        """Delete a file. What a batch was made of is kept: the ledger has its rows."""
        del self.files[file_id]
        self.store.drop(f"files/{file_id}.json")
        if not any(batch.input_file_id == file_id for batch in self.batches.values()):
            self.store.drop(f"content/{file_id}")

    def drop_batch(self, batch: Batch) -> None:
        """Delete a batch of Anthropic's that has ended."""
        del self.batches[batch.id]
        for name in (f"batches/{batch.id}.json", batch.source, batch.results):
            self.store.drop(name)


def _dumped(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode()
