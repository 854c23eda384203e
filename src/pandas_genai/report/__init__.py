"""Runs: usage, prices, failures, provenance."""

from pandas_genai.report.book import ATTR, OnError, RunBook
from pandas_genai.report.observer import Observer, Progress, Silent
from pandas_genai.report.report import Report, runs

__all__ = ["ATTR", "Observer", "OnError", "Progress", "Report", "RunBook", "Silent", "runs"]
