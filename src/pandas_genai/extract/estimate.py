"""What a run will take, before it is run."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.backends.params import check_params
from pandas_genai.backends.resolve import Question
from pandas_genai.clock import Clock
from pandas_genai.costs.forecast import PER_TOKEN, Forecast
from pandas_genai.costs.plan import Interval, Plan
from pandas_genai.costs.sampled import BilledCall, Totals, extrapolated, interval_of
from pandas_genai.costs.window import ContextWindow
from pandas_genai.errors import RowsFailedError
from pandas_genai.extract.run import Extraction
from pandas_genai.extract.spending import price_of
from pandas_genai.extract.wanted import failed_before
from pandas_genai.options import RunOptions
from pandas_genai.runs.answers import answered
from pandas_genai.runs.progress import Silent
from pandas_genai.runs.recorder import ATTR
from pandas_genai.runs.report import find_report, label_text
from pandas_genai.settings import whole_number
from pandas_genai.store import AnswerStore, is_there, using
from pandas_genai.task.chunks import Chunk, plan_chunks
from pandas_genai.task.inputs import Inputs, Value, characters_of
from pandas_genai.task.reply import Usage
from pandas_genai.task.rows import distinct_rows
from pandas_genai.workers.budget import Unlimited

__all__ = ["Estimation"]

_SEED = 42
_CALL_S, _TOKENS_A_S = 1.0, 100.0
_LOCAL_CALL_S, _LOCAL_TOKENS_A_S = 0.2, 15.0
"""How long a call takes, roughly: what is always there, and tokens answered a second. Vendors
differ by a factor of three; the embedded model was measured on two cores."""

Places = npt.NDArray[np.int64]


class Estimation:
    """Counts what a question asked of the rows of a frame will take.

    Parameters
    ----------
    question : Question
        What is asked and where.
    inputs : Inputs
        What is sent of each row.
    index : Index
        The input's index.
    options : RunOptions
        How, and what is answered already; a file that is not there is not made, but by a sample.

    Raises
    ------
    UsageError, SchemaError, CredentialsError
        Before anything is opened or sent.
    """

    def __init__(
        self,
        question: Question,
        inputs: Inputs,
        index: pd.Index,
        options: RunOptions,
    ) -> None:
        self._question = question
        self._resolved = question.resolve()
        self._task = self._resolved.task
        check_params(question.task.params, self._resolved.endpoint)
        self._chunk_size, self._workers = options.sizes(is_local=self._resolved.is_local)
        self._options = options
        self._index = index
        self._inputs = inputs
        lengths = array("Q")
        self._rows = distinct_rows(_measured(inputs, lengths)).repeated(options.repeats)
        self._lengths = np.frombuffer(lengths, dtype=np.uint64)
        self._forecast = Forecast.of(self._task, self._resolved.endpoint, options.endpoints)
        self._window = ContextWindow.of(
            self._task,
            self._resolved.endpoint,
            options.endpoints,
            self._chunk_size,
            is_local=self._resolved.is_local,
        )
        self._wanted: Places = np.arange(len(self._rows.keys))

    def plan(self, sample: int = 0) -> Plan:
        """Count, ask the sample, and return the plan.

        Parameters
        ----------
        sample : int, default 0
            How many texts to ask.
        """
        sample = whole_number("sample", sample, least=0)
        kept = self._options.cache
        calls, failures = _SampleCalls(self._forecast.usage, self._options.clock), ""
        # Looking makes no file.
        with using(kept if sample or is_there(kept) else False) as cache:
            self._look(cache)
            chosen = self._chosen(sample)
            if chosen:
                failures = self._ask(chosen, cache, calls)
                if self._options.cache is not False:
                    self._look(cache)
        return self._plan(calls, len(chosen), failures)

    def _look(self, cache: AnswerStore) -> None:
        """Find what is answered already, and how long the answers are."""
        rows, prompt_hash = self._rows, self._task.prompt_hash
        if not self._options.fresh:
            self._wanted = np.flatnonzero(~answered(cache, prompt_hash, rows.keys))
        if self._options.offline:
            self._wanted = self._wanted[:0]
        elif not self._options.retry_failed:
            left = failed_before(cache, prompt_hash)(rows, self._wanted)
            self._wanted = self._wanted[~np.isin(self._wanted, list(left))]
        self._forecast.answer = cache.answer_tokens(prompt_hash)
        chunks = plan_chunks(rows, self._wanted, self._inputs, self._chunk_size)
        self._forecast.read(chunks)

    def _chosen(self, sample: int) -> list[int]:
        """Choose the rows of the sample among those to be asked, the same at every call."""
        drawn = np.random.default_rng(_SEED).permutation(self._wanted)[:sample]
        positions: list[int] = np.unique(self._rows.first[drawn]).tolist()
        return positions

    def _ask(self, positions: list[int], cache: AnswerStore, calls: _SampleCalls) -> str:
        """Ask the sample; return why rows of it have no answer."""
        extraction = Extraction(
            self._question,
            self._inputs.values(positions),
            self._index.take(positions),
            # Kept, failed rows would be warned of, in a result that nobody has.
            replace(self._options, cache=cache, on_error="raise", observer=Silent()),
            spending=calls,
        )
        try:
            result = extraction.run()
        except RowsFailedError as error:
            result = error.result
        return find_report(result.attrs[ATTR], False).reasons

    def _price(self, batch: bool) -> Callable[[Usage], float | None]:
        price, model = price_of(self._resolved, self._options, batch=batch), self._task.model
        return lambda usage: price(usage, model)

    def _plan(self, calls: _SampleCalls, sampled: int, failures: str) -> Plan:
        rows, texts = self._rows, len(self._wanted)
        characters = int(self._lengths[rows.first[self._wanted]].sum())
        splits = self._window.splits(rows, self._wanted)
        left = _CallsLeft(self._forecast, texts, characters, self._chunk_size, calls, splits)
        totals = left.totals
        known = rows.sent - rows.rows_of(self._wanted)
        endpoint, is_local = self._resolved.endpoint, self._resolved.is_local
        live, batch = map(self._price, (False, True))
        return Plan(
            rows=len(rows),
            empty=len(rows) - rows.sent,
            duplicates=rows.duplicates,
            cached=known,
            texts=texts,
            calls=totals.calls,
            chunk_size=self._chunk_size,
            workers=self._workers,
            model=self._task.model,
            host=self._task.host,
            input_tokens=round(totals.sent),
            cached_tokens=round(totals.cached),
            output_tokens=round(totals.answered),
            live_cost=totals.cost(live),
            batch_cost=None if is_local else totals.cost(batch),
            live_interval=left.interval(live),
            batch_interval=None if is_local else left.interval(batch),
            live_seconds=left.seconds(self._workers, is_local=is_local),
            has_batch=endpoint.is_vendor and not is_local,
            is_local=is_local,
            basis=left.basis,
            sampled=sampled,
            sample_calls=len(calls.calls),
            sample_cost=calls.cost,
            sample_uncounted=calls.uncounted,
            sample_failures=failures,
            splits=splits,
            repeats=rows.repeats,
            long_texts=self._window.long_texts(
                rows, self._wanted, lambda row: label_text(self._index[row])
            ),
        )


def _measured(values: Iterable[Value], lengths: array[int]) -> Iterator[Value]:
    """Note the length of each input as it passes by."""
    for value in values:
        lengths.append(characters_of(value))
        yield value


@dataclass(frozen=True)
class _CallsLeft:
    """So many texts to ask, in calls of some size.

    Parameters
    ----------
    forecast : Forecast
        What calls take.
    texts, characters : int
        Distinct texts to ask, and their length together.
    chunk_size : int
        Rows a call.
    sample : _SampleCalls
        The sample; empty if none was asked.
    splits : int, default 0
        Calls beside those that the chunk size asks for, because texts are too long together.
    """

    forecast: Forecast
    texts: int
    characters: int
    chunk_size: int
    sample: _SampleCalls
    splits: int = 0

    @property
    def basis(self) -> Literal["characters", "cache", "sample"]:
        """What the numbers come from."""
        if self._is_sampled:
            return "sample"
        return "characters" if self.forecast.answer is None else "cache"

    @property
    def calls(self) -> int:
        """How many calls."""
        return -(-self.texts // self.chunk_size) + self.splits

    @cached_property
    def totals(self) -> Totals:
        """The tokens of all calls."""
        if self._is_sampled:
            return extrapolated(self.sample.calls, self._sent, self.texts, self.calls)
        answered = self.forecast.output_tokens(self.texts, self.chunk_size)
        return Totals(self.calls, self._sent, 0.0, 0.0, answered)

    def interval(self, price: Callable[[Usage], float | None]) -> Interval | None:
        """Return the 90 % interval of the cost, if there was a sample."""
        if not self._is_sampled:
            return None
        return interval_of(self.sample.calls, self._sent, self.texts, self.calls, price)

    def seconds(self, workers: int, *, is_local: bool) -> float:
        """Return how long all calls take through so many workers."""
        each = self.sample.seconds if self._is_sampled else self._guessed_s(is_local=is_local)
        return each * self.calls / max(1, min(workers, self.calls))

    def _guessed_s(self, *, is_local: bool) -> float:
        answered = self.totals.answered / max(1, self.calls)
        if is_local:
            return _LOCAL_CALL_S + answered / _LOCAL_TOKENS_A_S
        return _CALL_S + answered / _TOKENS_A_S

    @property
    def _is_sampled(self) -> bool:
        return any(call.rows for call in self.sample.calls)

    @cached_property
    def _sent(self) -> float:
        sent = self.forecast.input_tokens(self.texts, self.characters, self.chunk_size)
        again = self.forecast.around(1) / PER_TOKEN if self.splits else 0.0
        return sent + self.splits * again


class _SampleCalls(Unlimited):
    """Admits every call, and writes down what it took.

    Parameters
    ----------
    forecast : callable
        Expects the tokens of a call from its chunk.
    clock : Clock
        Time.

    Attributes
    ----------
    calls : list of BilledCall
        The calls that were billed.
    uncounted : int
        Calls besides them of which the provider sent no usable count of tokens.
    """

    def __init__(self, forecast: Callable[[Chunk], Usage], clock: Clock) -> None:
        self.calls: list[BilledCall] = []
        self.uncounted = 0
        self._cost: float | None = 0.0
        self._asked = 0
        self._forecast = forecast
        self._clock = clock
        self._lock = threading.Lock()
        self._begun: dict[int, float] = {}
        self._seconds = 0.0

    @property
    def seconds(self) -> float:
        """How long a call took on average, repeated ones counted with the first."""
        return self._seconds / max(1, self._asked)

    @property
    def cost(self) -> float | None:
        """US dollars of all calls; None where it is not known."""
        return None if self.uncounted and not self.calls else self._cost

    def admit(self, chunk: Chunk) -> bool:
        """Admit the call, and note when."""
        with self._lock:
            self._begun[id(chunk)] = self._clock.monotonic()
        return True

    def billed(self, chunk: Chunk, usage: Usage, cost: float | None) -> None:
        """Write down what the call took."""
        first = chunk.round == 0
        foreseen = self._forecast(chunk).input_tokens if first else 0
        call = BilledCall(foreseen, len(chunk.rows) if first else 0, usage)
        with self._lock:
            self._asked += first
            if not usage.known:
                self.uncounted += 1
                return
            self.calls.append(call)
            self._cost = None if cost is None or self._cost is None else self._cost + cost

    def lost(self, chunk: Chunk) -> None:  # noqa: ARG002 - the protocol's
        """Note a call that may have been billed although no answer came."""
        with self._lock:
            self.uncounted += 1

    def settle(self, chunk: Chunk) -> None:
        """Note how long the call took."""
        with self._lock:
            self._seconds += self._clock.monotonic() - self._begun.pop(id(chunk))
