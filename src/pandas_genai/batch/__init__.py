"""The batch path: jobs, their manifests and request files, the provider, results."""

from pandas_genai.batch.job import BatchJob
from pandas_genai.batch.state import JobState

__all__ = ["BatchJob", "JobState"]
