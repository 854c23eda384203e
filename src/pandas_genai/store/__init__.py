"""The cache file: every answer, task, run and failure, committed before it counts."""

from pandas_genai.store.choice import Cache, open_cache
from pandas_genai.store.files import atomic_write
from pandas_genai.store.records import (
    Answer,
    FailureRecord,
    Origin,
    RequestRecord,
    RunRecord,
    TaskRecord,
)
from pandas_genai.store.sqlite.cache import SqliteCache
from pandas_genai.store.sqlite.leases import Leases
from pandas_genai.store.sqlite.writer import Writer

__all__ = [
    "Answer",
    "Cache",
    "FailureRecord",
    "Leases",
    "Origin",
    "RequestRecord",
    "RunRecord",
    "SqliteCache",
    "TaskRecord",
    "Writer",
    "atomic_write",
    "open_cache",
]
