"""Runs: usage, prices, failures, provenance."""

from pandas_genai.report.observer import Observer, Progress, Silent
from pandas_genai.report.report import Report, runs

__all__ = ["Observer", "Progress", "Report", "Silent", "runs"]
