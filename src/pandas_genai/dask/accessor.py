"""``ddf.genai``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from pandas_genai.accessor.arguments import named_arguments
from pandas_genai.accessor.asking import Asking
from pandas_genai.accessor.evidence import OwnColumns
from pandas_genai.accessor.verbs import Verbs
from pandas_genai.backends.params import check_params
from pandas_genai.batch.texts import text_form
from pandas_genai.dask.machines import check_workers, sight_of
from pandas_genai.dask.partitions import PREFIX, Partitions
from pandas_genai.dask.question import SentQuestion
from pandas_genai.dask.watch import Watch, watch
from pandas_genai.display.cards import ReportCard
from pandas_genai.errors import UsageError
from pandas_genai.extract.spending import allowance, price_of
from pandas_genai.runs.recorder import new_run_id
from pandas_genai.runs.report import Report, find_report, remember_place
from pandas_genai.store import file_of, is_there, private_url, shown, using
from pandas_genai.task.repeats import build_labels
from pandas_genai.task.rows import rows_of_keys

__all__ = ["DaskAccessor"]

_SIZES = ("chunk_size", "max_workers")
_SENT = (
    *("fresh", "max_cost", "prices", "keep_replies", "rpm", "tpm"),
    *("offline", "retry_failed", "repeats"),
)
_OFFERED = "batch_submit", "batch_collect", "estimate", "preview"
_EXTRACT = inspect.signature(Verbs.extract)

Method = TypeVar("Method", bound=Callable[..., Any])


def _with_arguments_of(other: Callable[..., Any]) -> Callable[[Method], Method]:
    """Let a method have the arguments of another, for editors and for messages."""

    def named(method: Method) -> Method:
        vars(method)["__signature__"] = inspect.signature(other)
        return method

    return named


class DaskAccessor:
    """What ``ddf.genai`` offers.

    Parameters
    ----------
    data : dask DataFrame or Series
        The rows.
    """

    def __init__(self, data: Any) -> None:
        self._data = data

    def __repr__(self) -> str:
        return (
            f"{self._data.npartitions:,} partitions to ask: .extract(prompt, schema, cache=...), "
            "and of the answers .report .errors"
        )

    @named_arguments
    @_with_arguments_of(Verbs.extract)
    def extract(self, *args: Any, **kwargs: Any) -> Any:
        """Ask a language model the same question of every row, partition by partition.

        Nothing is sent before the result is computed. It takes the arguments of
        ``df.genai.extract``, and what they mean stays the same but for these.

        Parameters
        ----------
        prompt, schema, text, model, backend, base_url, api_key, chunk_size, max_workers, params, \
examples, evidence, progress, max_cost, prices, keep_replies, rpm, tpm, offline, retry_failed, \
repeats
            As in ``df.genai.extract``. ``schema`` is needed: Dask must know the columns before.
            ``max_workers`` are calls at once of one partition. Model, address and key are those
            of this process; workers use a key of their own where this process has none.
        cache : str, Path or SqliteCache
            A store that all workers share: the URL of a PostgreSQL database, or an SQLite file if
            all workers are on this machine.
        fresh : bool, default False
            Ask again what the cache had before; what this frame was answered itself is not asked
            again when a partition is tried again, or when it is computed once more.
        client, on_error
            Refused: a client cannot be sent to workers, and a partition that raised would end the
            others.

        Returns
        -------
        dask DataFrame
            Lazy, with a column for each field, the index and the divisions of the input. What
            it is computed to has ``.genai.report`` and ``.genai.errors``, of all workers together.

        Raises
        ------
        UsageError, SchemaError, CredentialsError
            Here, before anything is sent; or from a worker that does not share the cache.
        StopRunError, BudgetError
            While it is computed; what was answered is kept.

        Examples
        --------
        >>> import dask.dataframe as dd, pandas as pd, pandas_genai.dask
        >>> from pandas_genai.testing import LoopbackProvider
        >>> ddf = dd.from_pandas(pd.DataFrame({"review": ["Great.", "Awful."]}), npartitions=2)
        >>> with LoopbackProvider(lambda text: {"tone": "good" if "Great" in text else "bad"},
        ...                       ) as provider:
        ...     labels = ddf.genai.extract("Tone?", {"tone": ["good", "bad"]}, progress=False,
        ...                                cache="labels.sqlite", api_key="k",
        ...                                base_url=provider.openai_url).compute()
        >>> labels
           tone
        0  good
        1   bad
        """
        bound = _EXTRACT.bind(self, *args, **kwargs)
        bound.apply_defaults()
        return self._lazy(bound.arguments)

    def _lazy(self, given: Mapping[str, Any]) -> Any:
        _check_offered(given)
        rows = self._data._meta_nonempty  # noqa: SLF001 - Dask has no public name for it
        asking = Asking.of(rows, given)
        question, options = SentQuestion.of(asking.question), asking.options
        resolved = question.resolve()
        check_params(question.task.params, resolved.endpoint)
        allowance(resolved, options, price_of(resolved, options))
        sizes = options.sizes(is_local=resolved.is_local)  # not those of a worker's settings
        form = text_form(rows, question.task.text)
        schema = resolved.task.schema
        if schema.free:
            raise UsageError(
                "schema= is needed on a Dask DataFrame: its columns must be known before anything "
                "is asked."
            )
        cache, path = _shared(given["cache"], made=not options.offline)
        run_id = new_run_id()
        remember_place(run_id, cache)
        asks = Partitions(
            run_id,
            question,
            form,
            cache,
            {name: given[name] for name in _SENT} | dict(zip(_SIZES, sizes, strict=True)),
            None if path is None else sight_of(path),
            path,
        )
        watch(Watch(run_id, cache, options.observer, self._data.npartitions), _cluster())
        none = rows_of_keys([]).repeated(options.repeats)
        meta = build_labels(schema, rows.index[:0], none, [])
        OwnColumns(rows.iloc[:0], form, schema).find(meta)
        return self._data.map_partitions(asks, meta=meta, token=f"{PREFIX}-{run_id}")

    @property
    def report(self) -> Report:
        """The report of the run whose answers these are, as far as it was computed.

        Raises
        ------
        UsageError
            If no run made them, or nothing was computed yet.
        """
        asks = _asks_of(self._data)
        if asks is None:
            raise UsageError("These are no answers: ask .genai.report of what extract returned.")
        return ReportCard.showing(find_report(asks.run_id, asks.cache))

    @property
    def errors(self) -> pd.DataFrame:
        """The rows without an answer, as ``labels.genai.errors`` has them."""
        return self.report.errors

    def __getattr__(self, name: str) -> Any:
        if name == "batch_submit":
            raise AttributeError(
                "ddf.genai has no batch_submit, because a batch is one file at the vendor: "
                "submit a frame that is in memory, ddf.compute().genai.batch_submit(...), or each "
                "file of ddf.to_parquet(...)."
            )
        if name in _OFFERED:
            raise AttributeError(
                f"ddf.genai has no {name}: ask a frame of pandas, such as ddf.head(1000, "
                f"npartitions=-1).genai.{name}(...)."
            )
        raise AttributeError(f"ddf.genai has no {name}: it has extract, report and errors.")


def _check_offered(given: Mapping[str, Any]) -> None:
    """Refuse what has no meaning on a cluster."""
    if given["client"] is not None:
        raise UsageError(
            "client= cannot be sent to workers: pass its address and key, base_url= and api_key=."
        )
    if given["on_error"] != "keep":
        raise UsageError(
            f"on_error={given['on_error']!r} is not offered on a Dask DataFrame, because a "
            "partition that raised would end the others: look at .genai.errors of the result."
        )


def _shared(cache: Any, *, made: bool) -> tuple[str, Path | None]:
    """Return the URL of a store that workers can share, and its file, which may be made."""
    url = None if cache is None else private_url(cache)
    if url is None:
        raise UsageError(
            "cache= is needed on a Dask DataFrame, a store that all workers share: name a "
            "PostgreSQL database, cache='postgresql://...', or an SQLite file if all workers are "
            "on this machine."
        )
    if not made and not is_there(url):
        raise UsageError(f"There is no cache {shown(url)!r} to read offline.")
    with using(url):  # made here, where an error is seen at once
        path = file_of(url)
    client = _cluster()
    if path is not None and client is not None:
        check_workers(client, path)
    return url, path


def _cluster() -> Any:
    """Return the client of the cluster that would compute, if there is one."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        client = distributed.default_client()
    except ValueError:
        return None
    return None if client.asynchronous else client


def _asks_of(data: Any) -> Partitions | None:
    """Return who asked the partitions of a lazy frame, or of one that it was made of."""
    for expression in data.expr.walk():
        for operand in expression.operands:
            if isinstance(operand, Partitions):
                return operand
    return None
