"""From ``max_cost=`` and ``prices=`` to what a run may spend."""

from __future__ import annotations

from pandas_genai.extract.manner import Manner
from pandas_genai.live.budget import Budget, Spending, Unlimited
from pandas_genai.providers.caller import request_body
from pandas_genai.providers.endpoints import Endpoints
from pandas_genai.providers.resolve import Resolved
from pandas_genai.report.forecast import Forecast
from pandas_genai.report.prices import Price, known_price, pricer

__all__ = ["allowance", "forecast_of", "price_of"]


def price_of(resolved: Resolved, manner: Manner, *, batch: bool = False) -> Price:
    """Return the prices at which the calls of a question are billed."""
    endpoint = resolved.endpoint
    return pricer(
        backend=endpoint.backend,
        base_url=endpoint.base_url,
        free=resolved.is_local,
        batch=batch,
        prices=manner.prices,
    )


def forecast_of(resolved: Resolved, endpoints: Endpoints, answer: float | None = None) -> Forecast:
    """Return what the calls of a question will take; see ``Forecast``."""
    task, endpoint = resolved.task, resolved.endpoint
    return Forecast(task, lambda chunk: request_body(task, chunk, endpoint, endpoints), answer)


def allowance(resolved: Resolved, manner: Manner, price: Price) -> Spending:
    """Return which calls a run may begin.

    Raises
    ------
    UsageError
        If the run is to stay in a budget and the price of its model is unknown.
    """
    if manner.max_cost is None:
        return Unlimited()
    model_price = known_price(price, resolved.task.model)
    return Budget(manner.max_cost, forecast_of(resolved, manner.endpoints).usage, model_price)
