"""What tokens cost, by ``genai-prices`` (data bundled, offline)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

from pandas_genai.errors import UsageError
from pandas_genai.task.reply import Usage

__all__ = ["Price", "Prices", "checked_cost", "checked_prices", "dollars", "known_cost"]
__all__ += ["known_price", "known_window", "pricer"]

Price = Callable[[Usage, str], float | None]
"""From the usage of one call and the model that answered to US dollars; None where unknown."""

Prices = Mapping[str, float]
"""A user's own prices: US dollars per million tokens as ``input``, ``output`` and, for what is
read from the vendor's prompt cache, ``cached`` (default: as ``input``); ``batch`` is the factor
of all of them at the batch API (default: 0.5)."""

_ENDLESS = 10**15
_SHOWN = 60
_SOME = 1_000
_MILLION = 1_000_000
_BATCH_FACTOR = 0.5
_LARGE, _SMALL = 10, 0.01
_NAMES = ("input", "output", "cached", "batch")


def pricer(
    *,
    backend: str,
    base_url: str,
    free: bool = False,
    batch: bool = False,
    prices: Prices | None = None,
) -> Price:
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
    prices : mapping, optional
        The user's own, which count instead; see ``Prices``.

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
    >>> own = pricer(backend="openai", base_url="", prices={"input": 1.0, "output": 2.0})
    >>> own(Usage(input_tokens=1_000, output_tokens=100), "my-own-model")
    0.0012
    """
    if prices is not None:
        return _own(prices, batch=batch)
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


def checked_prices(prices: Any) -> None:
    """Check the argument ``prices=``.

    Raises
    ------
    UsageError
        If it is no mapping with ``input`` and ``output``, or a price is no number of at least 0.
    """
    if prices is None:
        return
    form = "prices= is a dict such as {'input': 0.1, 'output': 0.5}, in dollars per million tokens"
    if not isinstance(prices, Mapping) or not {"input", "output"} <= prices.keys():
        raise UsageError(f"{form}, not {prices!r}.")
    for name, value in prices.items():
        if name not in _NAMES:
            raise UsageError(f"{form}: besides them it has 'cached' and 'batch', not {name!r}.")
        if not _is_amount(value):
            raise UsageError(
                f"{form}: {name!r} must be a number of at least 0, not {_shown(value)}."
            )


def checked_cost(max_cost: Any) -> None:
    """Check the argument ``max_cost=``.

    Raises
    ------
    UsageError
        If it is no number of at least 0.
    """
    if max_cost is not None and not _is_amount(max_cost):
        raise UsageError(
            f"max_cost= must be a number of dollars, at least 0, not {_shown(max_cost)}."
        )


def known_price(price: Price, model: str) -> Callable[[Usage], float]:
    """Return the price of one model's calls, where a limit in dollars depends on it.

    Raises
    ------
    UsageError
        If it is unknown.
    """
    if price(Usage(1, 0, 0, 1), model) is None:
        raise UsageError(
            f"max_cost= cannot be kept, because the price of {model!r} is unknown: pass prices= "
            "such as {'input': 0.1, 'output': 0.5} (dollars per million tokens), or leave "
            "max_cost= out."
        )
    return lambda usage: price(usage, model) or 0.0


def known_cost(usage: Usage, cost: float | None) -> float | None:
    """Return what calls cost as far as their providers counted tokens; None where none did."""
    counted = usage.input_tokens or usage.output_tokens
    return cost if usage.known or counted else None


def _shown(value: Any) -> str:
    """Write a value that is no amount, in a few characters."""
    if isinstance(value, int) and abs(value) >= _ENDLESS:
        return "a number without end"  # Python refuses to write the longest ones out
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def _is_amount(value: Any) -> bool:
    """Whether a value is an amount of dollars; a whole number may be too large for a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return (
        math.isfinite(value) and value >= 0 if isinstance(value, float) else 0 <= value < _ENDLESS
    )


def dollars(amount: float | None) -> str:
    """Write an amount for people, as exactly as it is small.

    Examples
    --------
    >>> [dollars(amount) for amount in (12_345.678, 0.5, 0.48123, 0.00012, None)]
    ['$12,345.68', '$0.50', '$0.4812', '$0.000120', 'unknown']
    """
    if amount is None:
        return "unknown"
    if amount >= _LARGE or round(amount, 2) == amount:
        return f"${amount:,.2f}"
    return f"${amount:.4f}" if amount >= _SMALL else f"${amount:.6f}"


def _own(prices: Prices, *, batch: bool) -> Price:
    factor = prices.get("batch", _BATCH_FACTOR) if batch else 1.0
    sent, answered = prices["input"], prices["output"]
    cached = prices.get("cached", sent)

    def price(usage: Usage, model: str) -> float:  # noqa: ARG001 - one price for whatever answers
        plain = usage.input_tokens - usage.cached_tokens
        total = plain * sent + usage.cached_tokens * cached + usage.output_tokens * answered
        return total * factor / _MILLION

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


def known_window(model: str, backend: str, base_url: str) -> int | None:
    """Return the tokens of a model's context window, prompt and answer together; None if unknown.

    As with prices, the provider's own number counts where the address is known, otherwise that
    of the vendor whose wire format it is.

    Examples
    --------
    >>> known_window("gpt-4o", "openai", "http://127.0.0.1/v1")
    128000
    >>> known_window("my-own-model", "openai", "http://127.0.0.1/v1") is None
    True
    """
    import genai_prices

    provider = _provider_of(model, backend, base_url)
    if provider is None:
        return None
    tokens = genai_prices.Usage(input_tokens=1, output_tokens=1)
    found = genai_prices.calc_price(tokens, model, provider_id=provider)
    return found.model.context_window


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
