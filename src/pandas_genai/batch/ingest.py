"""Takes the stored results of a part into the cache, and notes what has no answer."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from pandas_genai.backends.batches import Outcome
from pandas_genai.backends.caller import capabilities_kind, params_sent
from pandas_genai.backends.classify import Problem, classify
from pandas_genai.backends.endpoints import Capabilities
from pandas_genai.backends.registry import backend_named
from pandas_genai.batch.connection import Connection
from pandas_genai.batch.folder import JobFolder, lines_of
from pandas_genai.batch.lines import Matched, ResultLines
from pandas_genai.batch.manifest import Manifest, Part, check_digest, count_of, cut, unreadable
from pandas_genai.batch.requests import SentInputs, Template, compact
from pandas_genai.batch.rowfile import row_keys
from pandas_genai.errors import GenaiError, RowError
from pandas_genai.files import new_file
from pandas_genai.runs.answers import answers_of, request_of
from pandas_genai.store import AnswerStore, AnswerWriter, RequestRecord
from pandas_genai.task.chunks import Chunk
from pandas_genai.task.reply import Refusal, Reply, Usage, check_reply

__all__ = ["Ingestion", "Lost", "Sent", "keys_of", "lost_of"]

RESULTS_LOST = "results lost"
"""The reason of rows whose results the provider does not have any more, though they were paid."""

_BLOCK = 50_000
_JOB_SHIFT, _PART_BITS = 25, 24
_MOST_REQUESTS = 100_000
_MOST_MODELS = 100
_ADAPTABLE = frozenset({400, 422})


@dataclass(frozen=True)
class Lost:
    """A text that a part has no answer for.

    Parameters
    ----------
    key : str
        The row key.
    reason, message : str
        As in ``.genai.errors``.
    request_id : str, optional
        The vendor's id of the request.
    whole : bool
        Whether its request as a whole failed, so that nothing points at one of its rows.
    """

    key: str
    reason: str
    message: str
    request_id: str | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """The rows of one request.

    Parameters
    ----------
    keys : tuple of str
        Row keys, in the order in which they were sent.
    labels : tuple of str or None
        What names each row for a person.
    """

    keys: tuple[str, ...]
    labels: tuple[str | None, ...]


def keys_of(folder: JobFolder, part: Part) -> dict[str, Sent]:
    """Return the rows of each request of a part by its custom id."""
    path = folder.keys(part.number)
    known = dict(lines_of(path, _sent, part.keys_digest))
    if len(known) != part.requests or sum(len(sent.keys) for sent in known.values()) != part.rows:
        raise unreadable(path, f"it does not hold the {part.requests:,} requests of the part")
    return known


def _sent(line: Any) -> tuple[str, Sent]:
    custom_id, keys, labels = line
    words = [custom_id, *keys, *(label for label in labels if label is not None)]
    if not all(isinstance(word, str) for word in words) or len(keys) != len(labels):
        raise ValueError("it does not hold a request's id, keys and labels")
    return custom_id, Sent(tuple(keys), tuple(labels))


def check_files(folder: JobFolder, manifest: Manifest) -> None:
    """Look whether the files are sound that say which rows a job has.

    Raises
    ------
    JobError
        If one is missing or damaged; names it.
    """
    if manifest.ready:
        _checked(folder.rows, lambda: row_keys(folder), manifest.rows_digest, manifest.rows)
    for part in manifest.parts:
        _checked(folder.keys(part.number), partial(keys_of, folder, part), part.keys_digest)
        if part.finished:
            deque(lost_of(folder, part), maxlen=0)


def _checked(
    path: Path, read: Callable[[], Iterable[object]], digest: str, lines: int | None = None
) -> None:
    """Read a file of ours, or only its bytes where its hash is known: ten times as fast."""
    if not digest:
        deque(read(), maxlen=0)
        return
    check_digest(path, digest, lines)


def give_up(connection: Connection, part: Part, why: str) -> None:
    """Note that the provider has the results of a part no more: its rows have failed.

    They were paid for, so that they are sent again only on demand.
    """
    message = f"The provider does not have the results of the row's batch any more: {why}"
    with new_file(connection.folder.failures(part.number)) as failures:
        for sent in keys_of(connection.folder, part).values():
            _write(failures, _all(sent.keys, RESULTS_LOST, cut(message), whole=True))
    part.answered, part.refused, part.expired = 0, part.rows, 0
    part.trouble = ""
    connection.move(part, "lost")


def lost_of(folder: JobFolder, part: Part) -> Iterator[Lost]:
    """Read the texts that a part has no answer for."""
    yield from lines_of(folder.failures(part.number), _lost)


def _lost(line: Any) -> Lost:
    key, reason, message, request_id, whole = line
    words = [key, reason, message, request_id or ""]
    if not all(isinstance(word, str) for word in words) or not isinstance(whole, bool):
        raise ValueError("it does not hold a row's key and why it failed")
    return Lost(key, reason, message, request_id, whole)


class Ingestion:
    """Reads one part's results.

    Parameters
    ----------
    connection : Connection
        The job, locked.
    part : Part
        Its results are stored.
    cache : AnswerStore
        Where answers go.
    run_id : str
        The run that brings them.
    """

    def __init__(self, connection: Connection, part: Part, cache: AnswerStore, run_id: str) -> None:
        self._keep_replies = connection.options.keep_replies
        self._refused: list[RequestRecord] = []
        self._numbers: dict[str, int] = {}
        self._run_id = run_id
        self._connection = connection
        self._part = part
        self._cache = cache
        self._task = connection.task
        self._backend = backend_named(self._task.backend)
        self._capabilities = part.capabilities
        endpoint = connection.endpoint
        self._where = f"{endpoint.host} ({self._task.model})"
        self._price = connection.price()
        self._params_sent = ""
        self._ready: list[tuple[Sent, Reply, RequestRecord]] = []
        self._waiting = 0
        self._usage = Usage()
        self._cost: float | None = 0.0
        self._calls = 0
        self._models: dict[str, int] = {}
        self._lower: Capabilities | None = None
        self._expired = 0

    def ingest(self) -> None:
        """Cache every valid answer, write down the rest, then note in the manifest that it is done.

        Results that are read again replace what is there with the same, and are counted once.
        """
        folder, part, backend = self._connection.folder, self._part, self._task.backend
        known = keys_of(folder, part)
        paths = [folder.results(backend, part), folder.errors(backend, part)]
        if not self._backend.batches.has_error_files:
            del paths[1:]  # a copy of what is among the results
        lines = ResultLines(backend, paths, known)
        answered = refused = 0
        missing = dict.fromkeys(known)
        first = _first_number(self._connection.manifest.uid, part.number)
        self._inputs = SentInputs(folder.requests(backend, part.number), self._backend, known)
        self._numbers = {custom_id: first + place for place, custom_id in enumerate(known)}
        writer = self._cache.writer()
        try:
            with new_file(folder.failures(part.number)) as failures:
                for matched in lines:
                    missing.pop(matched.custom_id, None)
                    accepted, lost = self._confined(known[matched.custom_id], matched, writer)
                    answered += accepted
                    refused += _write(failures, lost)
                for custom_id in missing:
                    refused += _write(failures, self._without(known[custom_id].keys))
                self._put(writer)
                if not writer.flush():
                    writer.put([])  # raises what kept the answers from the disk
        finally:
            writer.close()
        self._note(answered, refused, lines.odd)

    def _confined(
        self, sent: Sent, matched: Matched, writer: AnswerWriter
    ) -> tuple[int, Sequence[Lost]]:
        """Read one result; whatever is wrong with it costs its own rows only."""
        try:
            return self._taken(sent, matched, writer)
        except GenaiError:  # of the cache, not of the result
            raise
        except Exception as error:  # noqa: BLE001 - no line may keep the job from being collected
            why = f"The result cannot be read ({type(error).__name__}: {error})."
            return 0, _all(sent.keys, "unreadable result", cut(why))

    def _taken(
        self, sent: Sent, matched: Matched, writer: AnswerWriter
    ) -> tuple[int, Sequence[Lost]]:
        """Put the answers of one request; return how many there are, and what has none."""
        keys = sent.keys
        if not matched.outcomes:
            return 0, _all(keys, "unreadable result", "The line with the result is damaged.")
        answers = [one for one in matched.outcomes if one.answer is not None]
        if not answers:
            return 0, self._failed(keys, matched.outcomes[0])
        chunk = Chunk.of_keys(keys, self._inputs.of(matched.custom_id, keys))
        reply = self._reply(chunk, answers[0])
        for other in answers[1:]:
            reply = _agreed(reply, self._reply(chunk, other))
        request = self._request(keys, reply, matched)
        if not reply.accepted:
            self._refused.append(request)
        else:
            self._ready.append((sent, reply, request))
            self._waiting += len(reply.accepted)
            if self._waiting >= _BLOCK:
                self._put(writer)
        lost = [
            Lost(key, refusal.reason, refusal.message, reply.request_id)
            for key, refusal in reply.refused.items()
        ]
        return len(reply.accepted), lost

    def _put(self, writer: AnswerWriter) -> None:
        """Hand over what is ready.

        The answers are made one by one, only now: the garbage collector goes again and again
        through whatever waits, which took a fifth of the time with an object for each row.
        """
        answers = chain.from_iterable(
            answers_of(
                self._task,
                zip(sent.keys, sent.labels, strict=True),
                reply,
                self._run_id,
                request,
            )
            for sent, reply, request in self._ready
        )
        writer.put(answers, requests=self._refused)
        self._ready, self._refused, self._waiting = [], [], 0

    def _request(self, keys: Sequence[str], reply: Reply, matched: Matched) -> RequestRecord:
        """Return the record of a request, under the same number whenever it is read."""
        kept = replace(reply, content=matched.line) if self._keep_replies else reply
        return request_of(
            self._task,
            keys,
            kept,
            self._run_id,
            cost=self._price(reply.usage, reply.model),
            job=self._connection.manifest.uid,
            number=self._numbers[matched.custom_id],
        )

    def _reply(self, chunk: Chunk, outcome: Outcome) -> Reply:
        """Check one answer as the live path does; what it cost counts in any case."""
        answer = outcome.answer
        assert answer is not None
        usage, model = answer.usage, cut(answer.model or self._task.model)
        self._bill(usage, model)
        sent = self._sent_with(chunk)
        if answer.fault is not None:
            refusal = Refusal(answer.fault.reason, str(answer.fault))
            refused = {row.key: refusal for row in chunk.rows}
            return Reply({}, refused, usage, model, outcome.request_id, sent)
        accepted, refused = check_reply(answer.payload, chunk, self._task.schema, self._task.checks)
        return Reply(accepted, refused, usage, model, outcome.request_id, sent)

    def _sent_with(self, chunk: Chunk) -> str:
        """Return what the part's requests were sent with: the same for all of them."""
        if not self._params_sent:
            template = Template(self._task, self._connection.endpoint, self._capabilities)
            body = template.body(Chunk.of_keys([row.key for row in chunk.rows]))
            self._params_sent = params_sent(self._backend, body, self._capabilities)
        return self._params_sent

    def _bill(self, usage: Usage, model: str) -> None:
        cost = self._price(usage, model)
        self._usage += usage
        self._cost = None if cost is None or self._cost is None else self._cost + cost
        self._calls += 1
        if model not in self._models and len(self._models) >= _MOST_MODELS:
            model = "others"
        self._models[model] = self._models.get(model, 0) + 1

    def _failed(self, keys: Sequence[str], outcome: Outcome) -> list[Lost]:
        """Say why a request has no answer; learn what the endpoint does not take."""
        if outcome.unfinished:
            self._expired += len(keys) if outcome.unfinished == "expired" else 0
            reasons = {
                "expired": "The batch reached its time limit before this row's turn.",
                "cancelled": "The batch was cancelled before this row's turn.",
            }
            return _all(keys, outcome.unfinished, reasons[outcome.unfinished], whole=True)
        problem = outcome.problem
        assert problem is not None
        self._learn(keys, problem)
        error = classify(problem, where=self._where)
        # A refused request may have been built wrongly for all rows, which the next try mends.
        whole = not isinstance(error, RowError) or error.reason == "bad request"
        return _all(keys, error.reason, str(error), request_id=outcome.request_id, whole=whole)

    def _learn(self, keys: Sequence[str], problem: Problem) -> None:
        if self._lower is not None or problem.status not in _ADAPTABLE:
            return
        template = Template(self._task, self._connection.endpoint, self._capabilities)
        body = template.body(Chunk.of_keys(keys))
        lower = self._backend.next_capabilities(
            self._capabilities, body, problem.message, problem.param
        )
        if lower is not None and lower != self._capabilities:
            self._lower = lower

    def _without(self, keys: Sequence[str]) -> list[Lost]:
        """Say why a request has no line in the results."""
        part = self._part
        if part.status == "failed":
            why = part.message or part.code or "the provider gave no reason"
            return _all(keys, "batch failed", f"The batch failed: {why}", whole=True)
        if part.status in ("expired", "cancelled"):
            self._expired += len(keys) if part.status == "expired" else 0
            return _all(keys, part.status, f"The batch was {part.status}.", whole=True)
        folder, backend = self._connection.folder, self._connection.manifest.backend
        if part.done and not folder.results(backend, part).exists():
            # Answered, and so paid, but no file of answers is named: only its errors are.
            why = "The provider names no file of the answers that it says it has."
            return _all(keys, RESULTS_LOST, why, whole=True)
        return _all(
            keys, "missing in results", "The provider's results leave this row out.", whole=True
        )

    def _note(self, answered: int, refused: int, odd: dict[str, int]) -> None:
        part, usage = self._part, self._usage
        part.answered, part.refused, part.expired = answered, refused, self._expired
        part.calls, part.cost, part.models = self._calls, self._cost, self._models
        part.input_tokens = count_of(usage.input_tokens)
        part.cached_tokens = count_of(usage.cached_tokens)
        part.cache_write_tokens = count_of(usage.cache_write_tokens)
        part.output_tokens = count_of(usage.output_tokens)
        part.unknown_calls, part.params_sent = usage.unknown_calls, self._params_sent
        part.strange = odd
        if self._lower is not None:
            connection, task = self._connection, self._task
            connection.manifest.lower = (self._lower.output_mode, sorted(self._lower.dropped))
            url = connection.manifest.base_url
            connection.options.endpoints.learn(
                url, task.model, capabilities_kind(task), self._lower
            )
        self._connection.move(part, "cached")


def _agreed(first: Reply, second: Reply) -> Reply:
    """Keep of two answers to the same request what both say the same."""
    refusal = Refusal("doubled in results", "The results hold this row twice, with other answers.")
    accepted = {
        key: result for key, result in first.accepted.items() if second.accepted.get(key) == result
    }
    refused = {key: refusal for key in first.accepted if key not in accepted}
    return Reply(accepted, {**first.refused, **refused}, first.usage, first.model, first.request_id)


def _all(keys: Sequence[str], reason: str, message: str, **more: Any) -> list[Lost]:
    return [Lost(key, reason, message, **more) for key in keys]


def _write(file: Any, lost: Sequence[Lost]) -> int:
    for one in lost:
        request_id = one.request_id if isinstance(one.request_id, str) else None
        line = [one.key, one.reason, cut(one.message), request_id and cut(request_id), one.whole]
        file.write(compact(line) + b"\n")
    return len(lost)


def _first_number(job: str, part: int) -> int:
    """Return the number of a part's first request in the cache: the same at every reading."""
    start = int.from_bytes(hashlib.blake2b(job.encode(), digest_size=8).digest()) >> _JOB_SHIFT
    return (start << _PART_BITS) + part * _MOST_REQUESTS
