"""``extract_df``: the original toolkit's door to the live path."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pandas_genai.backends.resolve import Question
from pandas_genai.errors import UsageError
from pandas_genai.extract.run import Extraction
from pandas_genai.options import CHUNK_SIZE, MAX_WORKERS, RunOptions
from pandas_genai.store import SqliteCache
from pandas_genai.task.annotations import Shorthand
from pandas_genai.task.task import Task, checked_backend
from pandas_genai.task.text import series_text

__all__ = ["extract_df"]


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
    for column in (id_col, text_col):
        if column not in df.columns:
            raise UsageError(
                f"The frame has no column {column!r}: it has {', '.join(map(repr, df.columns))}."
            )
    known = None if model == "local" else checked_backend(backend)
    task = Task(prompt, schema, model=model, backend=known)
    question = Question(task, base_url, api_key, client)
    ids = df[id_col].tolist()
    extraction = Extraction(
        question,
        series_text(df[text_col]),
        pd.Index(df[id_col]).rename("input_id"),
        RunOptions(cache_path, chunk_size, max_workers, fresh),
        ids=ids,
        given=_by_id(cache_path, ids, question) if ignore_prompt_hash else None,
    )
    frame = extraction.run()
    result = frame.reset_index()
    result.attrs.update(frame.attrs)
    return result


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
