# The public names, and where each is: __init__.py imports a name when it is first used.

from .accessor import genai as genai, jobs as jobs, open_job as open_job, runs as runs
from .accessor.inference import power as power, regress as regress, shares as shares
from .accessor.replication import Replication as Replication, replicate as replicate
from .accessor.comparing import compare as compare
from .accessor.packing import packing_check as packing_check
from .accessor.joining import DuplicateIndexWarning as DuplicateIndexWarning
from .backends.retry import retry_api_call as retry_api_call
from .batch import BatchJob as BatchJob, JobState as JobState
from .costs.plan import Plan as Plan
from .costs.window import LongTextsWarning as LongTextsWarning
from .errors import (
    BudgetError as BudgetError,
    CacheError as CacheError,
    CallError as CallError,
    CredentialsError as CredentialsError,
    GenaiError as GenaiError,
    JobError as JobError,
    LocalModelError as LocalModelError,
    RowError as RowError,
    RowsFailedError as RowsFailedError,
    SchemaError as SchemaError,
    SplitError as SplitError,
    Stopped as Stopped,
    StopRunError as StopRunError,
    UsageError as UsageError,
    WaitError as WaitError,
)
from .extract import Preview as Preview
from .extract.under_way import RowsUnderWayWarning as RowsUnderWayWarning
from .legacy import (
    AnthropicBatchExtractor as AnthropicBatchExtractor,
    DataFrameIterator as DataFrameIterator,
    OpenAIBatchExtractor as OpenAIBatchExtractor,
    draft_prompt as draft_prompt,
    extract_df as extract_df,
)
from .runs import Observer as Observer, Progress as Progress, Report as Report
from .runs.failures import RowsFailedWarning as RowsFailedWarning
from .runs.parameters import ParameterLeftOutWarning as ParameterLeftOutWarning
from .settings import Settings as Settings
from .store import SqliteCache as SqliteCache
from .task.fingerprint import compute_prompt_hash as compute_prompt_hash
from .task.task import Task as Task
from .validity.agreement import agreement as agreement
from .validity.reading import read_review as read_review

__version__: str
