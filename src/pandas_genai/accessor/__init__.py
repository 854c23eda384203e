"""``df.genai`` and ``series.genai``, and the functions beside them."""

from pandas_genai.accessor.frame import FrameAccessor
from pandas_genai.accessor.functions import genai, jobs, open_job, runs
from pandas_genai.accessor.series import SeriesAccessor

__all__ = ["FrameAccessor", "SeriesAccessor", "genai", "jobs", "open_job", "runs"]
