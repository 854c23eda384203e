"""From ``max_cost=`` and ``prices=`` to what a run may spend."""

from __future__ import annotations

from pandas_genai.backends.resolve import Resolved
from pandas_genai.costs.ceiling import Ceiling
from pandas_genai.costs.prices import Price, known_price, pricer
from pandas_genai.options import RunOptions
from pandas_genai.workers.budget import Budget, Spending, Unlimited

__all__ = ["allowance", "price_of"]


def price_of(resolved: Resolved, options: RunOptions, *, batch: bool = False) -> Price:
    """Return the prices at which the calls of a question are billed."""
    endpoint = resolved.endpoint
    return pricer(
        backend=endpoint.backend,
        base_url=endpoint.base_url,
        free=resolved.is_local,
        batch=batch,
        prices=options.prices,
    )


def allowance(resolved: Resolved, options: RunOptions, price: Price) -> Spending:
    """Return which calls a run may begin.

    Raises
    ------
    UsageError
        If the run is to stay in a budget and the price of its model is unknown.
    """
    if options.max_cost is None:
        return Unlimited()
    model_price = known_price(price, resolved.task.model)
    ceiling = Ceiling.of(resolved.task, resolved.endpoint, options.endpoints)
    _, workers = options.sizes(is_local=resolved.is_local)
    return Budget(options.max_cost, ceiling, model_price, workers)
