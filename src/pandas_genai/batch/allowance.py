"""What a job may cost, checked before any of it is submitted."""

from __future__ import annotations

from dataclasses import dataclass

from pandas_genai.backends.endpoints import ENDPOINTS
from pandas_genai.backends.resolve import Resolved
from pandas_genai.batch.journal import Journal
from pandas_genai.batch.stages import NO_BATCH, UNSENT
from pandas_genai.costs.forecast import Forecast
from pandas_genai.costs.prices import (
    Price,
    Prices,
    checked_cost,
    checked_prices,
    dollars,
    known_price,
    pricer,
)
from pandas_genai.costs.sampled import Totals
from pandas_genai.errors import UsageError, counted
from pandas_genai.store import AnswerStore
from pandas_genai.task.chunks import plan_chunks
from pandas_genai.task.inputs import Inputs
from pandas_genai.task.rows import Rows

__all__ = ["Allowance"]


@dataclass(frozen=True)
class Allowance:
    """What the requests of a job may cost.

    Parameters
    ----------
    max_cost : float, optional
        US dollars; None is no limit.
    prices : mapping, optional
        The user's own prices.
    """

    max_cost: float | None = None
    prices: Prices | None = None

    def __post_init__(self) -> None:
        checked_cost(self.max_cost)
        checked_prices(self.prices)

    def check(self, resolved: Resolved) -> None:
        """Refuse a limit that cannot be kept.

        Raises
        ------
        UsageError
            If the price of the model is unknown.
        """
        if self.max_cost is not None:
            known_price(self._price(resolved), resolved.task.model)

    def keep(
        self, journal: Journal, resolved: Resolved, rows: Rows, inputs: Inputs, cache: AnswerStore
    ) -> None:
        """Estimate what the requests that are not at the provider will cost.

        Parameters
        ----------
        journal : Journal
            The job, its requests written.
        resolved : Resolved
            What is asked and where.
        rows, inputs
            The rows of the frame.
        cache : AnswerStore
            What is answered already, and how long those answers are.

        Raises
        ------
        UsageError
            If that is more than the limit.
        """
        parts = [part for part in journal.parts if part.stage in UNSENT & NO_BATCH]
        if self.max_cost is None or not parts:
            return
        task = resolved.task
        forecast = Forecast.of(task, resolved.endpoint, ENDPOINTS)
        forecast.answer = cache.answer_tokens(task.prompt_hash)
        chunks = plan_chunks(rows, range(len(rows.keys)), inputs, journal.chunk_size)
        forecast.read(chunks)
        asked, size = sum(part.rows for part in parts), journal.chunk_size
        sent = forecast.input_tokens(asked, sum(part.characters for part in parts), size)
        answered = forecast.output_tokens(asked, size)
        totals = Totals(sum(part.requests for part in parts), sent, 0.0, 0.0, answered)
        cost = totals.cost(known_price(self._price(resolved), task.model)) or 0.0
        if cost > self.max_cost:
            raise UsageError(
                f"The job {journal.name!r} would cost about {dollars(cost)} for "
                f"{counted(asked, 'row')} at batch prices, more than "
                f"max_cost={dollars(self.max_cost)}: nothing was submitted. "
                "Raise max_cost= and run the cell again, or ask fewer rows."
            )

    def _price(self, resolved: Resolved) -> Price:
        endpoint = resolved.endpoint
        return pricer(
            backend=endpoint.backend, base_url=endpoint.base_url, batch=True, prices=self.prices
        )
