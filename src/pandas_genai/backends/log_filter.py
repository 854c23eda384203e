"""Secrets kept out of what the HTTP libraries log."""

from __future__ import annotations

import logging
import re
import threading
import traceback

from pandas_genai.redaction import MARK, Redactor

__all__ = ["keep_out_of_logs"]

_LIBRARIES = ("openai", "anthropic", "httpx2", "httpcore2", "httpx", "httpcore")
_USER_INFO = re.compile(r"(?<=://)[^\s/@'\"]+@")
_QUERY = re.compile(r"(https?://[^\s?'\"]*)\?[^\s'\"]*")


class _Filter(logging.Filter):
    """Rewrites the records of the HTTP libraries, which log addresses and headers as they are."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._redactors: tuple[Redactor, ...] = ()

    def learn(self, redactor: Redactor) -> None:
        with self._lock:
            if redactor not in self._redactors:
                self._redactors = (*self._redactors, redactor)

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # a message of the library that does not fit its arguments
            text = f"{record.msg} {record.args}"
        record.msg = self._clean(text)
        record.args = ()
        if record.exc_info:
            record.exc_text = self._clean("".join(traceback.format_exception(*record.exc_info)))
            record.exc_info = None
        return True

    def _clean(self, text: str) -> str:
        for redactor in self._redactors:
            text = redactor.header(text)
        return _QUERY.sub(r"\1", _USER_INFO.sub(f"{MARK}@", text))


_FILTER = _Filter()


def keep_out_of_logs(redactor: Redactor) -> None:
    """Let no logger of the HTTP libraries write these secrets, or an address's own.

    A logger's filter does not hold for its children, so each is given it; those that exist when
    a client is opened are all there are.
    """
    _FILTER.learn(redactor)
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in _LIBRARIES:
            logging.getLogger(name).addFilter(_FILTER)
