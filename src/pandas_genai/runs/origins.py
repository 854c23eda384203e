"""Who answered what a run found in the cache, and when."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pandas_genai.costs.prices import Price, dollars
from pandas_genai.store import Origin
from pandas_genai.store.readable import moment_of
from pandas_genai.task.reply import Usage

__all__ = ["origin_columns"]


def origin_columns(origins: Sequence[Origin], price: Price) -> dict[str, object]:
    """Return where cached answers come from, under the names of a run's columns.

    Parameters
    ----------
    origins : sequence of Origin
        One for each model.
    price : Price
        At which calls would be billed now, for answers of which nobody kept what they cost: it is
        then about what it was.
    """
    if not origins:
        return {}
    return {
        "models": json.dumps([origin.model for origin in origins if origin.model]),
        "answered_from": min((one.first for one in origins if moment_of(one.first)), default=None),
        "answered_to": max((one.last for one in origins if moment_of(one.last)), default=None),
        "message": _spent(origins, price),
    }


def _spent(origins: Sequence[Origin], price: Price) -> str:
    sent = sum(origin.input_tokens for origin in origins)
    answered = sum(origin.output_tokens for origin in origins)
    if not sent and not answered:
        return "What these answers cost is unknown: nobody counted their tokens."
    if all(one.priced == one.answers for one in origins):
        cost = dollars(sum(one.cost for one in origins))
    else:
        costs = [
            price(Usage(one.input_tokens, one.cached_tokens, 0, one.output_tokens), one.model)
            for one in origins
        ]
        known = [cost for cost in costs if cost is not None]
        cost = f"about {dollars(sum(known))}" if len(known) == len(costs) else "at an unknown price"
    return f"These answers took {sent:,} tokens in and {answered:,} out, {cost}, when they came."
