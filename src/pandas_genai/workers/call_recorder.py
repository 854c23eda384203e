"""Records every billed call of a run, with its answers or alone."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pandas_genai.costs.prices import Price
from pandas_genai.errors import CallError, WaitError
from pandas_genai.runs.answers import answers_of, request_of
from pandas_genai.store import AnswerWriter, RequestRecord
from pandas_genai.task.chunks import Chunk
from pandas_genai.task.reply import Refusal, Reply, Usage
from pandas_genai.task.task import BoundTask

__all__ = ["CallRecorder"]


class CallRecorder:
    """Stands between the pool and the endpoint, and between the pool and the cache.

    Parameters
    ----------
    ask : callable
        Sends one chunk.
    writer : AnswerWriter
        Where answers and calls go.
    task : BoundTask
        What is asked.
    run_id : str
        The run.
    labels : callable
        From a row's position to what names it for a person.
    price : Price
        From usage to money.
    """

    def __init__(
        self,
        ask: Callable[[Chunk], Reply],
        writer: AnswerWriter,
        task: BoundTask,
        run_id: str,
        labels: Callable[[int], str | None],
        price: Price,
    ) -> None:
        self._ask = ask
        self._writer = writer
        self._task = task
        self._run_id = run_id
        self._labels = labels
        self._price = price
        self._lock = threading.Lock()
        self._attempts: dict[int, int] = {}

    def ask(self, chunk: Chunk) -> Reply:
        """Send the chunk; a billed call that brings no answer is recorded at once."""
        with self._lock:
            self._attempts[id(chunk)] = self._attempts.get(id(chunk), 0) + 1
        try:
            reply = self._ask(chunk)
        except CallError as error:
            if isinstance(error.usage, Usage):
                self._record(chunk, _reply_of(chunk, error, error.usage))
            if not isinstance(error, WaitError):
                self._forget(chunk)
            raise
        if not reply.accepted:
            self._record(chunk, reply)
            self._forget(chunk)
        return reply

    def save(self, chunk: Chunk, reply: Reply, done: Callable[[Exception | None], None]) -> None:
        """Write the answers of a reply, and its call, in one transaction."""
        request = self._request(chunk, reply)
        self._forget(chunk)
        rows = ((row.key, self._labels(row.position)) for row in chunk.rows)
        answers = answers_of(self._task, rows, reply, self._run_id, request)
        self._writer.put(answers, done)

    def _record(self, chunk: Chunk, reply: Reply) -> None:
        self._writer.put([], requests=[self._request(chunk, reply)])

    def _request(self, chunk: Chunk, reply: Reply) -> RequestRecord:
        cost = self._price(reply.usage, reply.model)
        attempts = self._attempts.get(id(chunk), 1)
        keys = [row.key for row in chunk.rows]
        return request_of(self._task, keys, reply, self._run_id, cost=cost, attempts=attempts)

    def _forget(self, chunk: Chunk) -> None:
        """Forget how often a chunk was sent: it came to its end."""
        with self._lock:
            self._attempts.pop(id(chunk), None)


def _reply_of(chunk: Chunk, error: CallError, usage: Usage) -> Reply:
    refusal = Refusal(error.reason, str(error))
    refused = {row.key: refusal for row in chunk.rows}
    return Reply({}, refused, usage, error.model, error.request_id, content=error.content)
