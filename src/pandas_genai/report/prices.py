"""What tokens cost, by ``genai-prices`` (data bundled, offline)."""

from __future__ import annotations

import functools
from collections.abc import Callable

from pandas_genai.task.reply import Usage

__all__ = ["Price", "pricer"]

Price = Callable[[Usage, str], float | None]
"""From the usage of one call and the model that answered to US dollars; None where unknown."""


def pricer(*, backend: str, base_url: str, free: bool = False) -> Price:
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
    def provider(model: str) -> str | None:
        """Whose prices count; by its id it is found twice as fast as by its address."""
        import genai_prices

        tokens = genai_prices.Usage(input_tokens=1, output_tokens=1)
        try:
            return genai_prices.calc_price(tokens, model, provider_api_url=base_url).provider.id
        except (LookupError, ValueError):
            return backend if _calculated(Usage(1, 0, 0, 1), model, backend) is not None else None

    def price(usage: Usage, model: str) -> float | None:
        name = provider(model)
        return None if name is None else _calculated(usage, model, name)

    return price


def _calculated(usage: Usage, model: str, provider: str) -> float | None:
    import genai_prices

    tokens = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
    )
    try:
        found = genai_prices.calc_price(tokens, model, provider_id=provider)
    except (LookupError, ValueError):
        return None
    return float(found.total_price)
