"""``pandas_genai.packing_check``: whether answers depend on what else is in a request."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from pandas_genai.accessor.arguments import with_advice
from pandas_genai.accessor.asking import Asking
from pandas_genai.accessor.verbs import Verbs
from pandas_genai.backends.client import AnthropicClient, OpenAIClient
from pandas_genai.display.packing import PackingCard
from pandas_genai.errors import UsageError
from pandas_genai.extract import Extraction
from pandas_genai.options import MAX_WORKERS
from pandas_genai.runs import ATTR, Observer, Report
from pandas_genai.runs.report import find_report
from pandas_genai.settings import whole_number
from pandas_genai.store import SqliteCache, using
from pandas_genai.task.rows import distinct_rows
from pandas_genai.task.task import Task
from pandas_genai.validity.compare import compare
from pandas_genai.validity.packing import (
    AGAIN,
    ALONE,
    MOVED,
    PACKED,
    REPACKED,
    PackingCheck,
    check_packing,
    moved,
)

__all__ = ["packing_check"]

_CHUNK_SIZE = 5
_EXTRACT = inspect.signature(Verbs.extract)


def packing_check(
    df: pd.DataFrame | pd.Series[Any],
    task: Task,
    n: int = 200,
    *,
    chunk_size: int = _CHUNK_SIZE,
    rng: int = 0,
    base_url: str | None = None,
    api_key: str | None = None,
    client: OpenAIClient | AnthropicClient | None = None,
    cache: str | Path | SqliteCache | Literal[False] | None = None,
    max_workers: int = MAX_WORKERS,
    progress: bool | Observer | None = None,
    max_cost: float | None = None,
    prices: Mapping[str, float] | None = None,
    rpm: int | None = None,
    tpm: int | None = None,
) -> PackingCheck:
    """Check whether rows are labelled alike when several share a request as when each is alone.

    Draws ``n`` rows and asks them in five ways: each alone, twice; ``chunk_size`` in a request,
    twice; and the same requests with every row in another place. How far answers to the same
    request agree says how alike answers are anyway: those that differ more are due to packing, or
    to the position. The requests are those that ``extract`` would send. These answers are kept
    apart from its own: running the check again asks nothing, and no label comes from it.

    Parameters
    ----------
    df : DataFrame or Series
        The rows.
    task : Task
        What is asked; with one record a row. Fields that are free texts are not compared, since
        they are hardly ever the same twice.
    n : int, default 200
        How many rows with different texts; all, where there are fewer. It takes
        ``2 * n + 3 * n / chunk_size`` calls.
    chunk_size : int, default 5
        Rows that share a request.
    rng : int, default 0
        Draws the rows.
    base_url, api_key, client, cache, max_workers, progress, max_cost, prices, rpm, tpm
        As in ``df.genai.extract``; ``max_cost`` is for the whole check.

    Returns
    -------
    PackingCheck
        ``.sentence`` says what to choose, ``.agreement`` has the shares of equal answers by field
        with 95 % intervals, ``.changed()`` the rows that differ; a card in a notebook.

    Raises
    ------
    UsageError, SchemaError, CredentialsError
        Before anything is sent.
    StopRunError, BudgetError, Stopped
        While it asks; what was answered is kept.

    Examples
    --------
    >>> import pandas as pd, pandas_genai
    >>> from pandas_genai.testing import LoopbackProvider
    >>> df = pd.DataFrame({"review": [f"Visit {day}: great." for day in range(100)]})
    >>> task = pandas_genai.Task("Tone?", ["good", "bad"])
    >>> with LoopbackProvider(lambda text: {"label": "good"}) as provider:
    ...     found = pandas_genai.packing_check(df, task, progress=False, cache=False,
    ...                                        base_url=provider.openai_url, api_key="k")
    >>> print(found.sentence)
    Keep chunk_size=5: with 5 rows in a request, and in another place of it, answers are as alike as
    if each request is made twice, or at most 4.2 percentage points less.
    """
    n, chunk_size = whole_number("n", n), whole_number("chunk_size", chunk_size)
    if min(n, chunk_size) < 2:
        name = "n" if n < 2 else "chunk_size"
        raise UsageError(f"{name}=1 leaves nothing to compare: it must be at least 2.")
    if not isinstance(task, Task):
        raise UsageError(
            "packing_check takes what is asked as a Task: pandas_genai.Task(prompt, schema)."
        )
    given = _EXTRACT.bind(
        None, task, base_url=base_url, api_key=api_key, client=client, cache=cache,
        max_workers=max_workers, progress=progress, max_cost=max_cost, prices=prices, rpm=rpm,
        tpm=tpm,
    )  # fmt: skip
    given.apply_defaults()
    asking = Asking.of(df, {**given.arguments, "prompt": task.with_()})  # whose hash stays its own
    schema = asking.question.task.compiled
    if schema.free or schema.many:
        raise UsageError("packing_check compares fields: the task needs a schema with one record.")
    fields = [field.name for field in schema.fields if field.kind != "str"]
    if not fields:
        raise UsageError(
            "packing_check counts equal answers, and free texts are hardly ever the same: the "
            "task needs a field with labels, numbers, truth values or a list."
        )
    rows, texts = _drawn(asking, n, rng)
    found = _asked_in_all_ways(replace(asking, data=rows), chunk_size)
    frames = {name: frame[fields] for name, (frame, _) in found.items()}
    reports = {name: report for name, (_, report) in found.items()}
    return PackingCard.showing(check_packing(compare(frames, reports, texts), chunk_size))


def _drawn(asking: Asking, n: int, rng: int) -> tuple[Any, pd.Series[Any]]:
    """Draw rows with different texts, in the order of the draw; return them and their texts.

    Raises
    ------
    UsageError
        If there are too few.
    """
    data = asking.data
    first = distinct_rows(asking.inputs()).first
    if len(first) < 2:
        raise UsageError(
            f"packing_check compares rows that share a request, and only {len(first)} of "
            f"{len(data):,} rows has a text of its own: give more."
        )
    places = first[np.random.default_rng(rng).permutation(len(first))[:n]]
    rows = data.iloc[places]
    if not rows.index.is_unique:
        rows = rows.set_axis(places)
    values = asking.inputs().values(places.tolist())
    return rows, pd.Series([str(value) for value in values], rows.index, dtype=object)


def _asked_in_all_ways(asking: Asking, chunk_size: int) -> dict[str, tuple[pd.DataFrame, Report]]:
    """Ask the rows in each way, one after the other; return the answers in the rows' order."""
    count, options, found = len(asking.data), asking.options, {}
    drawn = hashlib.sha256(distinct_rows(asking.inputs()).keys.table.tobytes()).hexdigest()[:32]
    left = options.max_cost
    with using(options.cache) as store, with_advice(asking.question):
        for name in (ALONE, AGAIN, PACKED, REPACKED, MOVED):
            packed = name in (PACKED, REPACKED, MOVED)
            order = moved(count, chunk_size) if name == MOVED else np.arange(count)
            # A packed answer belongs to the rows that stood beside it, an answer alone does not.
            variant = f"{name} {chunk_size} {drawn}" if packed else name
            ours = replace(
                asking,
                data=asking.data.iloc[order],
                question=replace(asking.question, variant=f"packing_check {variant}"),
            )
            result = Extraction(
                ours.question,
                ours.inputs(),
                ours.data.index,
                replace(
                    options,
                    cache=store,
                    chunk_size=chunk_size if packed else 1,
                    max_cost=left,
                    shuffle=False,
                ),
            ).run()
            report = find_report(result.attrs[ATTR], store)
            left = None if left is None else max(0.0, left - (report.cost or 0.0))
            found[name] = result.iloc[np.argsort(order)], report
    return found
