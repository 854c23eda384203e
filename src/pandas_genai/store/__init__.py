"""Where answers, tasks, runs and failures are kept: durable before they count as done."""

from pandas_genai.store.base import AnswerStore, AnswerWriter, Granted, RowLeases
from pandas_genai.store.blocks import BudgetBlock, BudgetBlocks, Flow, RateBlocks
from pandas_genai.store.parts import PartRecord
from pandas_genai.store.records import (
    Answer,
    FailureRecord,
    Origin,
    Provenance,
    RequestRecord,
    RunRecord,
    TaskRecord,
)
from pandas_genai.store.registry import (
    SCHEMES,
    Cache,
    Scheme,
    configured,
    file_of,
    in_folder,
    is_there,
    open_store,
    private_url,
    relative_url,
    shown,
    url_of,
    using,
)
from pandas_genai.store.sqlite.cache import SqliteCache
from pandas_genai.store.sqlite.opening import is_database

__all__ = [
    "SCHEMES",
    "Answer",
    "AnswerStore",
    "AnswerWriter",
    "BudgetBlock",
    "BudgetBlocks",
    "Cache",
    "FailureRecord",
    "Flow",
    "Granted",
    "Origin",
    "PartRecord",
    "Provenance",
    "RateBlocks",
    "RequestRecord",
    "RowLeases",
    "RunRecord",
    "Scheme",
    "SqliteCache",
    "TaskRecord",
    "configured",
    "file_of",
    "in_folder",
    "is_database",
    "is_there",
    "open_store",
    "private_url",
    "relative_url",
    "shown",
    "url_of",
    "using",
]
