"""The cache file: every answer, task, run and failure, committed before it counts."""

from pandas_genai.storage.cache import SqliteCache
from pandas_genai.storage.choice import Cache, open_cache
from pandas_genai.storage.files import atomic_write
from pandas_genai.storage.records import Answer, FailureRecord, RunRecord, TaskRecord
from pandas_genai.storage.writer import Writer

__all__ = [
    "Answer",
    "Cache",
    "FailureRecord",
    "RunRecord",
    "SqliteCache",
    "TaskRecord",
    "Writer",
    "atomic_write",
    "open_cache",
]
