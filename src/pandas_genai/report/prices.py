"""What tokens cost, by ``genai-prices`` (data bundled, offline)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

from pandas_genai.task.reply import Usage

__all__ = ["Price", "pricer"]

Price = Callable[[Usage, str], float | None]
"""From the usage of one call and the model that answered to US dollars; None where unknown."""

_SOME = 1_000


def pricer(*, backend: str, base_url: str, free: bool = False, batch: bool = False) -> Price:
    """Return a function that prices one call.

    Each call is priced for itself, because some prices change with the length of a request. The
    prices are the provider's own where the address is known, otherwise those of the vendor
    whose wire format it is.

    Parameters
    ----------
    backend, base_url : str
        Where the calls go.
    free : bool, default False
        Whether the calls cost nothing, as those to the local model.
    batch : bool, default False
        Whether the calls were handed to the vendor's batch API, at its prices.

    Returns
    -------
    callable
        Its result is None where no price is known, never 0 instead.

    Examples
    --------
    >>> price = pricer(backend="openai", base_url="https://api.openai.com/v1")
    >>> price(Usage(input_tokens=1_000, output_tokens=100), "gpt-6-luna")
    0.00015
    >>> price(Usage(input_tokens=1_000), "my-own-model") is None
    True
    """
    if free:
        return lambda usage, model: 0.0

    @functools.lru_cache(maxsize=64)
    def tariff(model: str) -> _Tariff | None:
        provider = _provider_of(model, backend, base_url)
        if provider is None:
            return None
        return _Tariff(lambda usage: _calculated(usage, model, provider, batch=batch))

    def price(usage: Usage, model: str) -> float | None:
        found = tariff(model)
        return None if found is None else found.price(usage)

    return price


class _Tariff:
    """One model's prices: looked up once for each length of request that was not seen yet.

    Prices step up with the length of the input, if at all. Where a request of some length costs
    what the rates of a short one say, every shorter one does.

    Parameters
    ----------
    exact : callable
        Looks the price of one call up.
    """

    def __init__(self, exact: Callable[[Usage], float | None]) -> None:
        self._exact = exact
        kinds = (Usage(_SOME), Usage(_SOME, _SOME), Usage(_SOME, 0, _SOME), Usage(0, 0, 0, _SOME))
        prices = [exact(usage) for usage in kinds]
        self._rates = [(price or 0.0) / _SOME for price in prices]
        self._linear_to = -1

    def price(self, usage: Usage) -> float | None:
        sent, cached, written, answered = self._rates
        plain = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
        linear = plain * sent + usage.cached_tokens * cached
        linear += usage.cache_write_tokens * written + usage.output_tokens * answered
        if usage.input_tokens <= self._linear_to:
            return linear
        exact = self._exact(usage)
        if exact is not None and math.isclose(exact, linear, rel_tol=1e-9, abs_tol=1e-15):
            self._linear_to = usage.input_tokens
        return exact


def _provider_of(model: str, backend: str, base_url: str) -> str | None:
    """Whose prices count; by its id they are found twice as fast as by its address."""
    import genai_prices

    tokens = genai_prices.Usage(input_tokens=1, output_tokens=1)
    try:
        return genai_prices.calc_price(tokens, model, provider_api_url=base_url).provider.id
    except (LookupError, ValueError):
        return backend if _calculated(Usage(1, 0, 0, 1), model, backend) is not None else None


def _calculated(usage: Usage, model: str, provider: str, *, batch: bool = False) -> float | None:
    import genai_prices

    tokens = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
    )
    context: genai_prices.types.PriceContext | None = {"processing": "batch"} if batch else None
    try:
        found = genai_prices.calc_price(tokens, model, provider_id=provider, price_context=context)
    except (LookupError, ValueError):
        return None
    return float(found.total_price)
