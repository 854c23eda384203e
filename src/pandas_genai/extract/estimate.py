"""What a run will take, before it is run."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.backends.params import check_params
from pandas_genai.backends.resolve import Question
from pandas_genai.costs.forecast import Forecast
from pandas_genai.costs.plan import Plan
from pandas_genai.costs.window import ContextWindow
from pandas_genai.errors import RowsFailedError, UsageError
from pandas_genai.extract.calls_left import CallsLeft
from pandas_genai.extract.run import Extraction
from pandas_genai.extract.sample_calls import SampleCalls
from pandas_genai.extract.spending import price_of
from pandas_genai.options import RunOptions
from pandas_genai.runs.answers import answered
from pandas_genai.runs.progress import Silent
from pandas_genai.runs.recorder import ATTR
from pandas_genai.runs.report import find_report, label_text
from pandas_genai.store import AnswerStore, is_there, using
from pandas_genai.task.chunks import plan_chunks
from pandas_genai.task.inputs import Inputs, Value, characters_of
from pandas_genai.task.reply import Usage
from pandas_genai.task.rows import distinct_rows

__all__ = ["Estimation"]

_SEED = 42

Places = npt.NDArray[np.int64]


class Estimation:
    """Counts what a question asked of the texts of an input will take.

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
        self._rows = distinct_rows(_measured(inputs, lengths))
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
        """Count, ask the sample, and say what is ahead.

        Parameters
        ----------
        sample : int, default 0
            How many texts to ask.
        """
        _check_sample(sample)
        kept = self._options.cache
        meter, failures = SampleCalls(self._forecast.usage, self._options.clock), ""
        # Looking makes no file.
        with using(kept if sample or is_there(kept) else False) as cache:
            self._look(cache)
            chosen = self._chosen(sample)
            if chosen:
                failures = self._ask(chosen, cache, meter)
                if self._options.cache is not False:
                    self._look(cache)
        return self._plan(meter, len(chosen), failures)

    def _look(self, cache: AnswerStore) -> None:
        """Find what is answered already, and how long the answers are."""
        rows, prompt_hash = self._rows, self._task.prompt_hash
        if not self._options.fresh:
            self._wanted = np.flatnonzero(~answered(cache, prompt_hash, rows.keys))
        self._forecast.answer = cache.answer_tokens(prompt_hash)
        chunks = plan_chunks(rows, self._wanted, self._inputs, self._chunk_size)
        self._forecast.read(chunks)

    def _chosen(self, sample: int) -> list[int]:
        """Choose the rows of the sample among those to be asked, the same at every call."""
        drawn = np.random.default_rng(_SEED).permutation(self._wanted)[:sample]
        positions: list[int] = np.sort(self._rows.first[drawn]).tolist()
        return positions

    def _ask(self, positions: list[int], cache: AnswerStore, meter: SampleCalls) -> str:
        """Ask the sample; return why rows of it have no answer."""
        extraction = Extraction(
            self._question,
            self._inputs.values(positions),
            self._index.take(positions),
            # Kept, failed rows would be warned of, in a result that nobody has.
            replace(self._options, cache=cache, on_error="raise", observer=Silent()),
            spending=meter,
        )
        try:
            result = extraction.run()
        except RowsFailedError as error:
            result = error.result
        return find_report(result.attrs[ATTR], False).reasons

    def _price(self, batch: bool) -> Callable[[Usage], float | None]:
        price, model = price_of(self._resolved, self._options, batch=batch), self._task.model
        return lambda usage: price(usage, model)

    def _plan(self, meter: SampleCalls, sampled: int, failures: str) -> Plan:
        rows, texts = self._rows, len(self._wanted)
        characters = int(self._lengths[rows.first[self._wanted]].sum())
        splits = self._window.splits(rows, self._wanted)
        ahead = CallsLeft(self._forecast, texts, characters, self._chunk_size, meter, splits)
        totals = ahead.totals
        known = rows.sent - int(rows.copies[self._wanted].sum())
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
            live_interval=ahead.interval(live),
            batch_interval=None if is_local else ahead.interval(batch),
            live_seconds=ahead.seconds(self._workers, is_local=is_local),
            has_batch=endpoint.is_vendor and not is_local,
            is_local=is_local,
            basis=ahead.basis,
            sampled=sampled,
            sample_calls=len(meter.calls),
            sample_cost=meter.cost,
            sample_uncounted=meter.uncounted,
            sample_failures=failures,
            splits=splits,
            long_texts=self._window.long_texts(
                rows, self._wanted, lambda row: label_text(self._index[row])
            ),
        )


def _check_sample(sample: object) -> None:
    if isinstance(sample, bool) or not isinstance(sample, int) or sample < 0:
        raise UsageError(f"sample= must be a whole number of rows, 0 for none, not {sample!r}.")


def _measured(values: Iterable[Value], lengths: array[int]) -> Iterator[Value]:
    """Note the length of each input as it passes by."""
    for value in values:
        lengths.append(characters_of(value))
        yield value
