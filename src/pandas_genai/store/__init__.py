"""The cache file: every answer, task, run and failure, committed before it counts."""

from pandas_genai.store.base import AnswerStore, AnswerWriter, Granted, RowLeases
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
from pandas_genai.store.sqlite.writer import Writer

__all__ = [
    "Answer",
    "AnswerStore",
    "AnswerWriter",
    "Cache",
    "FailureRecord",
    "Granted",
    "Origin",
    "RequestRecord",
    "RowLeases",
    "RunRecord",
    "SqliteCache",
    "TaskRecord",
    "Writer",
    "atomic_write",
    "open_cache",
]
