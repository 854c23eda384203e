"""Runs: usage, prices, failures, provenance."""

from pandas_genai.runs.progress import Observer, Progress, Silent
from pandas_genai.runs.recorder import ATTR, OnError, RunRecorder
from pandas_genai.runs.report import Report, runs

__all__ = ["ATTR", "Observer", "OnError", "Progress", "Report", "RunRecorder", "Silent", "runs"]
