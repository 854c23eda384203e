"""The overnight path, wired: requests, journal, handle, batches, results."""

from pandas_genai.batch.job import BatchJob
from pandas_genai.batch.state import JobState

__all__ = ["BatchJob", "JobState"]
