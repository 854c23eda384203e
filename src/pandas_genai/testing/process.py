"""The loopback provider in a process of its own: its work does not take the client's GIL."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import fields
from types import TracebackType
from typing import Any, Self

from pandas_genai.testing.batch import BatchFault, BatchRecord, FileRecord
from pandas_genai.testing.batch.clock import check_forward
from pandas_genai.testing.faults import Fault
from pandas_genai.testing.ledger import Ledger

__all__ = ["LoopbackProcess"]

_END_SECONDS = 10.0


class LoopbackProcess:
    """A provider that runs as ``python -m pandas_genai.testing``, for as long as ``with`` does.

    Parameters
    ----------
    rule : str
        ``"module:function"`` or ``"path/to/file.py:function"``.
    faults, batch_faults : sequences of Fault and of BatchFault, default ()
        Without callables.
    **options
        Of ``LoopbackProvider``, as far as JSON can say them.
    """

    def __init__(
        self,
        rule: str,
        *,
        faults: Sequence[Fault] = (),
        batch_faults: Sequence[BatchFault] = (),
        **options: Any,
    ) -> None:
        self._command = [sys.executable, "-m", "pandas_genai.testing", "--rule", rule]
        for fault in faults:
            self._command += ["--fault", json.dumps(_as_json(fault))]
        for batch_fault in batch_faults:
            self._command += ["--batch-fault", json.dumps(_as_json(batch_fault))]
        for name, value in options.items():
            self._command += ["--option", f"{name}={json.dumps(value, default=sorted)}"]
        self._process: subprocess.Popen[str] | None = None
        self._urls: Mapping[str, str] = {}
        self._last: Mapping[str, Any] | None = None

    @property
    def openai_url(self) -> str:
        """The ``base_url`` for the openai SDK."""
        return self._urls["openai_url"]

    @property
    def anthropic_url(self) -> str:
        """The ``base_url`` for the anthropic SDK."""
        return self._urls["anthropic_url"]

    @property
    def ledger(self) -> Ledger:
        """A copy of the ledger as it is now, or was at the end."""
        return Ledger.from_dict(self._recorded())

    @property
    def batches(self) -> list[BatchRecord]:
        """The batches as they are now, or were at the end."""
        return [BatchRecord(**record) for record in self._recorded()["batches"]]

    @property
    def files(self) -> list[FileRecord]:
        """The files as they are now, or were at the end."""
        return [FileRecord(**record) for record in self._recorded()["files"]]

    def advance(self, seconds: float) -> None:
        """Move the batches' time forward.

        Raises
        ------
        ValueError
            If that would be backward.
        """
        check_forward(seconds)
        self._ask("/advance", json.dumps({"seconds": seconds}).encode())

    def _recorded(self) -> Mapping[str, Any]:
        return self._ask("/ledger") if self._last is None else self._last

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.anthropic_url + path, body, headers)  # noqa: S310 - our own loopback
        with urllib.request.urlopen(request) as response:  # noqa: S310 - the same
            return json.load(response)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._end()
            raise RuntimeError("The loopback provider's process did not start: see its stderr.")
        self._urls = json.loads(line)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._last = self._recorded()
        finally:
            self._end()

    def _end(self) -> None:
        """Close its stdin, which ends it, and wait until it has."""
        process = self._process
        assert process is not None
        try:
            process.communicate(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _as_json(fault: Fault | BatchFault) -> dict[str, Any]:
    """Return a fault as JSON."""
    written = {}
    for each in fields(fault):
        value = getattr(fault, each.name)
        if value is not None:
            written[each.name] = sorted(value) if each.name in ("calls", "batches") else value
    return written
