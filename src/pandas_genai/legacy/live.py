"""``extract_df``: the original toolkit's function over the live path."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pandas_genai.backends.openai.backend import temperature_for
from pandas_genai.backends.resolve import Question
from pandas_genai.errors import counted, warn_user
from pandas_genai.extract.run import Extraction
from pandas_genai.legacy.iterator import check_columns
from pandas_genai.options import CHUNK_SIZE, MAX_WORKERS, RunOptions
from pandas_genai.runs.failures import DuplicateIndexWarning
from pandas_genai.store import SqliteCache
from pandas_genai.task.annotations import Shorthand
from pandas_genai.task.inputs import Value
from pandas_genai.task.rows import distinct_rows
from pandas_genai.task.task import Task
from pandas_genai.task.text import series_text

__all__ = ["extract_df", "warn_of_repeated_ids"]

_TEMPERATURE = 0.0
"""What the original toolkit sent, but for models that take only 1."""


def extract_df(
    df: pd.DataFrame,
    *,
    prompt: str,
    cache_path: str | Path,
    model: str,
    schema: Shorthand | type | Path | None = None,
    backend: str = "openai",
    id_col: str = "id",
    text_col: str = "text",
    chunk_size: int = CHUNK_SIZE,
    max_workers: int = MAX_WORKERS,
    fresh: bool = False,
    ignore_prompt_hash: bool = False,
    api_key: str | None = None,
    base_url: str | None = None,
    client: Any = None,
) -> pd.DataFrame:
    """Ask the same question of each row of a frame, as the original toolkit did.

    OpenAI's models are sent the temperature that the original sent: 0.0, or 1.0 to those that take
    only that. ``df.genai.extract`` sends none by default: the two share answers where it is called
    with ``params={"temperature": 0.0}``. Answers that the cache has of the same task without a
    temperature are taken, too, and the report says how many. A text that explains the rows and the
    shape of the reply is appended to the prompt.

    Parameters
    ----------
    df : DataFrame
        The rows.
    prompt : str
        The instructions.
    cache_path : str or Path
        The cache file; made if it does not exist. A file of the original toolkit is upgraded.
    model : str
        The model's name; ``"local"`` is the embedded one.
    schema : optional
        Any form that ``df.genai.extract`` takes.
    backend : {"openai", "anthropic"}
        The wire format.
    id_col, text_col : str
        Columns with the user's ids, which are carried along, and the texts.
    chunk_size : int, default 5
        Rows a call.
    max_workers : int, default 20
        Calls at once.
    fresh : bool, default False
        Ask again what the cache has.
    ignore_prompt_hash : bool, default False
        Take an answer that the cache has under the row's id, whatever it was asked.
    api_key, base_url, client : optional
        As in ``df.genai.extract``.

    Returns
    -------
    DataFrame
        The input's rows in the input's order: ``input_id`` as it was given, and the fields.

    Raises
    ------
    UsageError
        If a column is missing or an argument is wrong; nothing was sent.
    StopRunError
        If no request can succeed; everything answered before is kept.

    Examples
    --------
    >>> import pandas as pd
    >>> from pandas_genai.testing import LoopbackProvider
    >>> df = pd.DataFrame({"id": [7, 8], "text": ["good", "bad"]})
    >>> with LoopbackProvider(lambda text: {"label": text}) as provider:
    ...     extract_df(df, prompt="Tone?", schema=["good", "bad"], cache_path="doctest.sqlite",
    ...                model="gpt-6-luna", base_url=provider.openai_url, api_key="k")
       input_id label
    0         7  good
    1         8   bad
    """
    check_columns(df, id_col, text_col)
    task = Task(prompt, schema, model=model, backend=None if model == "local" else backend)
    question = Question(task, base_url, api_key, client)
    plain = question.resolve().task
    taken = temperature_for(plain.model, _TEMPERATURE) if plain.backend == "openai" else None
    if taken is not None:
        question = replace(question, task=task.with_(params={"temperature": taken}))
    ids, texts = df[id_col].tolist(), series_text(df[text_col])
    warn_of_repeated_ids(df[id_col])
    known = _Known()
    if ignore_prompt_hash:
        known = _Known(_by_id(cache_path, ids, question))
    elif not fresh and Path(cache_path).exists():
        known = _without_temperature(cache_path, ids, texts, question, plain.prompt_hash)
    extraction = Extraction(
        question,
        texts,
        pd.Index(df[id_col]).rename("input_id"),
        RunOptions(cache_path, chunk_size, max_workers, fresh),
        ids=ids,
        given=known.answers,
        note=known.note,
    )
    frame = extraction.run()
    with SqliteCache(cache_path) as cache:
        cache.fill_ids(extraction.task.prompt_hash, again=fresh)
    result = frame.reset_index()
    result.attrs.update(frame.attrs)
    return result


def warn_of_repeated_ids(ids: pd.Series[Any]) -> None:
    """Warn where the ids of a frame do not tell its rows apart: a merge would multiply them."""
    again = int(ids.duplicated().sum())
    if again:
        verb = "repeats" if again == 1 else "repeat"
        warn_user(
            f"{counted(again, 'row')} of the column {ids.name!r} {verb} the id of another: "
            "df.merge(out, ...) by it would multiply rows. The result has the frame's rows, in its "
            "order: pd.concat([df.reset_index(drop=True), out], axis=1) puts them side by side.",
            DuplicateIndexWarning,
        )


@dataclass(frozen=True)
class _Known:
    """Answers that were not asked under this task, as JSON text by row; what the report says."""

    answers: dict[int, str] = field(default_factory=dict)
    note: str = ""


def _without_temperature(
    cache_path: str | Path,
    ids: Sequence[object],
    texts: Sequence[Value],
    question: Question,
    plain_hash: str,
) -> _Known:
    """Find what the same task was answered without a temperature: version 0.1 sent none."""
    asked_hash = question.resolve().task.prompt_hash
    if asked_hash == plain_hash:
        return _Known()
    rows = distinct_rows(texts)
    with SqliteCache(cache_path) as cache:
        here = cache.present(asked_hash, rows.keys)
        missing = [key for key in rows.keys if key not in here]
        found = cache.read(plain_hash, missing) if missing else {}
        of_rows = [rows.keys[code] if code >= 0 else "" for code in rows.codes.tolist()]
        answers = {row: found[key] for row, key in enumerate(of_rows) if key in found}
        if answers:
            cache.remember_ids(plain_hash, ((str(ids[row]), of_rows[row]) for row in answers))
            cache.fill_ids(plain_hash)
    if not answers:
        return _Known()
    verb = "was" if len(answers) == 1 else "were"
    return _Known(
        answers,
        f"{counted(len(answers), 'row')} {verb} answered before without a temperature (by version "
        f"0.1, or df.genai.extract): taken from the cache, where they stand under {plain_hash}.",
    )


def _by_id(cache_path: str | Path, ids: Sequence[object], question: Question) -> dict[int, str]:
    """Answers that the cache has under the user's ids, as far as the schema takes them."""
    schema = question.resolve().task.schema
    found: dict[int, str] = {}
    with SqliteCache(cache_path) as cache:
        known = cache.all_ids()
        for position, row_id in enumerate(ids):
            result = cache.get(str(row_id)) if str(row_id) in known else None
            if isinstance(result, dict):
                result = {name: value for name, value in result.items() if name != "input_id"}
                try:
                    found[position] = json.dumps(schema.validate(result), ensure_ascii=False)
                except ValueError:
                    continue
    return found
