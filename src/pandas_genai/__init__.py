"""Ask a language model the same question of every row of a DataFrame.

Importing the package gives every DataFrame ``df.genai`` and every Series ``series.genai``. It
reads no setting, writes no file and imports neither vendor's SDK.
"""

from typing import TYPE_CHECKING

import pandas as pd

from pandas_genai.accessor import FrameAccessor, SeriesAccessor, genai, jobs, open_job, runs
from pandas_genai.accessor.joining import DuplicateIndexWarning
from pandas_genai.backends.retry import retry_api_call
from pandas_genai.batch import BatchJob, JobState
from pandas_genai.costs.plan import Plan
from pandas_genai.costs.window import LongTextsWarning
from pandas_genai.errors import (
    BudgetError,
    CacheError,
    CallError,
    CredentialsError,
    GenaiError,
    JobError,
    LocalModelError,
    RowError,
    RowsFailedError,
    SchemaError,
    SplitError,
    Stopped,
    StopRunError,
    UsageError,
    WaitError,
)
from pandas_genai.extract import Preview
from pandas_genai.extract.under_way import RowsUnderWayWarning
from pandas_genai.legacy import (
    AnthropicBatchExtractor,
    DataFrameIterator,
    OpenAIBatchExtractor,
    draft_prompt,
    extract_df,
)
from pandas_genai.runs import Observer, Progress, Report
from pandas_genai.runs.failures import RowsFailedWarning
from pandas_genai.runs.parameters import ParameterLeftOutWarning
from pandas_genai.settings import Settings
from pandas_genai.store import SqliteCache
from pandas_genai.task.fingerprint import compute_prompt_hash
from pandas_genai.task.task import Task

__all__ = [
    "AnthropicBatchExtractor",
    "BatchJob",
    "BudgetError",
    "CacheError",
    "CallError",
    "CredentialsError",
    "DataFrameIterator",
    "DuplicateIndexWarning",
    "GenaiError",
    "JobError",
    "JobState",
    "LocalModelError",
    "LongTextsWarning",
    "Observer",
    "OpenAIBatchExtractor",
    "ParameterLeftOutWarning",
    "Plan",
    "Preview",
    "Progress",
    "Report",
    "RowError",
    "RowsFailedError",
    "RowsFailedWarning",
    "RowsUnderWayWarning",
    "SchemaError",
    "Settings",
    "SplitError",
    "SqliteCache",
    "StopRunError",
    "Stopped",
    "Task",
    "UsageError",
    "WaitError",
    "compute_prompt_hash",
    "draft_prompt",
    "extract_df",
    "genai",
    "jobs",
    "open_job",
    "retry_api_call",
    "runs",
]

pd.api.extensions.register_dataframe_accessor("genai")(FrameAccessor)
pd.api.extensions.register_series_accessor("genai")(SeriesAccessor)


__version__: str

if not TYPE_CHECKING:  # else a checker would take every name

    def __getattr__(name: str) -> str:
        """Read the version where the package is installed, when it is asked for."""
        if name == "__version__":
            from importlib.metadata import version

            return version("pandas-genai")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names: submodules are imported by their names."""
    return __all__
