"""Labels for others: who gave each answer, the archive for a referee, files for other programs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from pandas_genai.accessor.arguments import named_arguments
from pandas_genai.accessor.origin import (
    cache_of,
    origin_of,
    question_of,
    report_of,
    run_of,
)
from pandas_genai.accessor.replication import keyed, schema_of, texts_by_key
from pandas_genai.errors import UsageError, counted
from pandas_genai.runs.answers import AnswerReader
from pandas_genai.store import AnswerStore, is_there, using
from pandas_genai.task.rows import rows_of_keys
from pandas_genai.task.schema import compile_schema
from pandas_genai.validity.archive import gathered
from pandas_genai.validity.codebook import codebook_of_schema
from pandas_genai.validity.methods import codebook_text, methods_text
from pandas_genai.validity.tables import (
    write_csv_labels,
    write_excel_labels,
    write_stata_labels,
)

__all__ = ["Archiving"]

_COLUMNS = {
    "request": "Int64",
    "model": "str",
    "answered": "datetime64[ms, UTC]",
    "request_id": "str",
    "input_tokens": "Int64",
    "cached_tokens": "Int64",
    "output_tokens": "Int64",
    "cost": "Float64",
    "params": "str",
    "run_id": "str",
}


class Archiving:
    """The methods of ``labels.genai`` that hand labels on."""

    _data: pd.DataFrame

    @property
    def requests(self) -> pd.DataFrame:
        """Which request each row was answered in, by which model, when, and what it took.

        It is what was true when the row was asked, also where the answer comes from the cache.

        Returns
        -------
        DataFrame
            Under the index of the labels: ``request`` (rows that have the same number shared a
            request: errors can be clustered by it), ``model`` as the provider named it, when it
            ``answered``, ``request_id``, the row's share of the request's tokens and of its
            ``cost`` in US dollars, ``params`` as they were sent, and the ``run_id``. Missing where
            a row has no answer, or version 0.1.0 kept less.

        Raises
        ------
        UsageError
            If the run is not known, or the labels were sorted or filtered.

        Examples
        --------
        >>> import pandas as pd, pandas_genai
        >>> from pandas_genai.testing import LoopbackProvider
        >>> df = pd.DataFrame({"review": ["Great.", "Awful.", "Fine."]})
        >>> with LoopbackProvider(lambda text: {"label": "good"}) as provider:
        ...     labels = df.genai.extract("Tone?", ["good", "bad"], cache="answers.sqlite",
        ...                               chunk_size=2, progress=False,
        ...                               base_url=provider.openai_url, api_key="k")
        >>> int(labels.genai.requests["request"].nunique())
        2
        """
        labels = self._data
        with _store_of(labels) as (store, run_id):
            keys = _run_rows(store, run_id, labels, "requests")
            (run,) = store.runs(run_id)
            found = {
                one.text_hash: (
                    one.request,
                    one.model_answered or one.model,
                    one.created,
                    one.request_id,
                    one.input_tokens,
                    one.cached_tokens,
                    one.output_tokens,
                    one.cost,
                    one.params_sent,
                    one.run_id,
                )
                for one in store.provenance(
                    run["prompt_hash"], list({key for key in keys if key is not None})
                )
            }
        nothing = (None,) * len(_COLUMNS)
        rows = [nothing if key is None else found.get(key, nothing) for key in keys]
        frame = pd.DataFrame(rows, index=labels.index, columns=list(_COLUMNS), dtype=object)
        frame["answered"] = pd.to_datetime(frame["answered"], utc=True, format="ISO8601")
        return frame.astype(_COLUMNS)

    @property
    def repeats(self) -> pd.DataFrame:
        """The single answers to each row, where ``repeats=`` asked for several.

        Returns
        -------
        DataFrame
            A column ``repeat``, the number of the answer from 1, and one for each field, missing
            where that answer is: the first answers of all rows under the index of the labels, then
            the second ones, and so on. How far they agree is
            ``pandas_genai.agreement([one["tone"] for _, one in answers.groupby("repeat")])``.

        Raises
        ------
        UsageError
            If the run is not known, or the labels were sorted or filtered.

        Examples
        --------
        >>> import pandas as pd, pandas_genai
        >>> from pandas_genai.testing import LoopbackProvider
        >>> df = pd.DataFrame({"review": ["Great.", "Awful."]}, index=["a", "b"])
        >>> with LoopbackProvider(lambda text: {"label": "good"}) as provider:
        ...     labels = df.genai.extract("Tone?", ["good", "bad"], cache="several.sqlite",
        ...                               repeats=2, progress=False,
        ...                               base_url=provider.openai_url, api_key="k")
        >>> labels
          label  label_share
        a  good          1.0
        b  good          1.0
        >>> labels.genai.repeats
           repeat label
        a       1  good
        b       1  good
        a       2  good
        b       2  good
        """
        labels, report = self._data, report_of(self._data)
        with _store_of(labels) as (store, run_id):
            keys = _run_rows(store, run_id, labels, "repeats")
            (task,) = (one for one in store.tasks() if one["prompt_hash"] == report.prompt_hash)
            schema = compile_schema(json.loads(task["schema"]))
            if schema.free or schema.many:
                raise UsageError("repeats needs labels with one record a row and a schema.")
            rows = rows_of_keys(keys).repeated(report.repeats)
            reader = AnswerReader(schema, report.prompt_hash, rows)
            reader.read_rest(store, ())
        return reader.every(labels.index)

    @named_arguments
    def export(
        self,
        path: str | Path,
        *,
        gold: pd.DataFrame | None = None,
        texts: bool = False,
    ) -> Path:
        """Write the archive with which anybody has the same labels, without a key or the cache.

        It holds instructions, schema, model, parameters as sent, dates, versions, for each row
        its key, answer and where that comes from, failures with their reasons, hand codes with
        their design, and a README. The same labels give the same bytes. ``pandas_genai.replicate``
        reads it.

        Parameters
        ----------
        path : str or Path
            The file, such as ``replication.zip``.
        gold : DataFrame, optional
            Hand codes, as ``read_review`` returns them: the archive then has the evaluation, too.
        texts : bool, default False
            Whether texts, quotes and messages of providers are in it. Without, there are hashes,
            and the places of quotes.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        UsageError
            If the run of these labels is not in its cache, or texts are wanted and not known.

        Examples
        --------
        >>> import pandas as pd, pandas_genai
        >>> from pandas_genai.testing import LoopbackProvider
        >>> df = pd.DataFrame({"review": ["Great.", "Awful."]})
        >>> with LoopbackProvider(lambda text: {"label": "good" if "Great" in text else "bad"},
        ...                       ) as provider:
        ...     labels = df.genai.extract("Tone?", ["good", "bad"], cache="answers.sqlite",
        ...                               progress=False, base_url=provider.openai_url, api_key="k")
        >>> path = labels.genai.export("replication.zip")
        >>> pandas_genai.replicate(path, df).labels.equals(labels)
        True
        """
        labels, target = self._data, _target(path)
        origin = origin_of(labels)
        form = None if origin is None else origin.form
        asked = None if origin is None else origin.asked()
        sent = None
        if texts:
            if asked is None or form is None:
                raise UsageError(
                    "texts=True needs the frame that was asked, which is not known here any more: "
                    "run extract once more with the same cache, which asks nothing."
                )
            sent = texts_by_key(*keyed(asked, form))
        with _store_of(labels) as (store, run_id):
            archive = gathered(store, run_id, form, gold, sent)
        archive.write(target, schema_of(archive))
        return target

    @named_arguments
    def to_csv(self, path: str | Path) -> Path:
        """Write the labels as CSV, and ``<name>.provenance.json`` beside them.

        The index comes first; lists and nested answers are JSON; a text that a spreadsheet would
        take for a formula has an apostrophe before it.

        Parameters
        ----------
        path : str or Path
            The file.

        Returns
        -------
        Path
            The file.

        Examples
        --------
        >>> import pandas as pd, pandas_genai
        >>> labels = pd.DataFrame({"topics": [["pay", "hours"], []]}, index=["a", "b"])
        >>> print(labels.genai.to_csv("labels.csv").read_text())
        index,topics
        a,"[""pay"", ""hours""]"
        b,[]
        <BLANKLINE>
        """
        return self._write(path, write_csv_labels)

    @named_arguments
    def to_excel(self, path: str | Path) -> Path:
        """Write the labels as an Excel workbook, with where they come from in a second sheet.

        Lists and nested answers are JSON, and no text becomes a formula. It needs ``pip install
        'pandas-genai[validity]'``.

        Parameters
        ----------
        path : str or Path
            The file.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        UsageError
            If there are more rows than a sheet holds.
        """
        return self._write(path, write_excel_labels)

    @named_arguments
    def to_stata(self, path: str | Path) -> Path:
        """Write the labels for Stata 14 and later, and ``<name>.provenance.json`` beside them.

        Categories have value labels, truth values are 0 and 1, lists and nested answers are JSON,
        names that Stata does not take are changed and stand in the variable's label.

        Parameters
        ----------
        path : str or Path
            The file.

        Returns
        -------
        Path
            The file.
        """
        return self._write(path, write_stata_labels)

    def _write(
        self, path: str | Path, write: Callable[[Path, pd.DataFrame, dict[str, str]], None]
    ) -> Path:
        target = _target(path)
        write(target, self._data, self._facts())
        return target

    def _facts(self) -> dict[str, str]:
        """Say where the labels come from; nothing where no run is known."""
        if run_of(self._data) is None:
            return {}
        report, asked = report_of(self._data), question_of(self._data)
        facts = {"how": methods_text(report), "run": report.run_id, "task": report.prompt_hash}
        facts |= {"model": report.models_text, "sent with": report.params_text}
        if asked is not None:
            book = codebook_of_schema(asked.schema, "")
            facts |= {"instructions": asked.prompt, "fields": codebook_text(book).strip()}
        return facts


def _target(path: str | Path) -> Path:
    """Return where to write, in a directory that is there."""
    target = Path(os.fspath(path)).expanduser()
    if not target.parent.is_dir():
        raise UsageError(f"There is no directory {target.parent}: make it first.")
    return target


@contextmanager
def _store_of(labels: pd.DataFrame) -> Iterator[tuple[AnswerStore, str]]:
    """Open the store that has the run of some labels."""
    run_id, url = run_of(labels), cache_of(labels)
    if run_id is None:
        raise UsageError(
            "This frame is not the result of a run that is known here: ask .genai of the result."
        )
    if url is None:
        raise UsageError(
            "These answers were made with cache=False, which keeps nothing: ask with a cache."
        )
    if not is_there(url):
        raise UsageError(f"The cache of run {run_id} is gone: it was in {url}.")
    with using(url) as store:
        yield store, run_id


def _run_rows(store: AnswerStore, run_id: str, labels: pd.DataFrame, what: str) -> list[str | None]:
    """Return the key of each row of some labels."""
    keys = store.run_rows(run_id)
    if len(keys) != len(labels):
        raise UsageError(
            f"{what} needs the labels as they came from the run, one a row: "
            f"the run had {counted(len(keys), 'row')}, this frame has {len(labels):,}."
        )
    return keys
