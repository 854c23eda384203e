"""One partition, asked by a worker: part of a run that all partitions are counted into."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pandas_genai.accessor.evidence import OwnColumns
from pandas_genai.backends.resolve import Question
from pandas_genai.batch.texts import FrameInputs, TextForm
from pandas_genai.dask.machines import Sight, check_sight
from pandas_genai.extract import Extraction
from pandas_genai.options import RunOptions
from pandas_genai.runs.parts import Part

__all__ = ["PREFIX", "Partitions"]

PREFIX = "genai_extract"
"""What the names of tasks begin with; the run's id follows."""

_ENDING = {"closing", "closed", "failed"}


@dataclass(frozen=True)
class Partitions:
    """Asks the rows of a partition; called by Dask's workers, in whatever process.

    It goes over the network to the workers, with the key and the store's address. Its
    representation, which Dask logs and shows, has neither.

    Parameters
    ----------
    run_id : str
        The run that all partitions are part of.
    question : Question
        What is asked and where.
    form : dict
        What is sent of each row.
    cache : str
        The URL of the store.
    options : mapping
        Further run options.
    sight : Sight, optional
        What the user's kernel sees of the cache, where it is a file.
    path : Path, optional
        That file.
    """

    run_id: str
    question: Question = field(repr=False)
    form: TextForm = field(repr=False)
    cache: str = field(repr=False)
    options: Mapping[str, Any] = field(repr=False)
    sight: Sight | None = field(default=None, repr=False)
    path: Path | None = field(default=None, repr=False)

    def __dask_tokenize__(self) -> str:
        return self.run_id

    def __call__(
        self,
        rows: pd.DataFrame | pd.Series[Any],
        partition_info: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Ask the rows of one partition, and return their answers.

        Raises
        ------
        UsageError
            If this process does not share the cache.
        StopRunError, CacheError, LocalModelError
            As ``df.genai.extract``; every answered row is kept.
        """
        if self.path is not None and self.sight is not None:
            check_sight(self.path, self.sight)
        number = 0 if partition_info is None else int(partition_info["number"])
        worker = _worker()
        part = Part(self.run_id, number, secrets.token_hex(8), _waited_for(worker))
        options = RunOptions(cache=self.cache, part=part, shared=self.run_id, **self.options)
        if worker is None:
            return self._asked(rows, options)
        worker.log_event(f"{PREFIX}-{self.run_id}", "begins")
        try:
            return self._asked(rows, options)
        finally:
            worker.log_event(f"{PREFIX}-{self.run_id}", "ended")

    def _asked(self, rows: pd.DataFrame | pd.Series[Any], options: RunOptions) -> pd.DataFrame:
        inputs = FrameInputs(rows, self.form)
        own = OwnColumns(rows, self.form, self.question.task.compiled)
        with own.finding():
            result = Extraction(self.question, inputs, rows.index, options).run()
        own.find(result)
        return result


def _worker() -> Any:
    """Return the worker of a cluster that runs this; None elsewhere."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.get_worker()
    except ValueError:
        return None


def _waited_for(worker: Any) -> Callable[[], bool]:
    """Return what says whether the scheduler still wants the task that this thread runs."""
    if worker is None:
        return lambda: True
    key = worker.get_current_task()

    def is_wanted() -> bool:
        task = worker.state.tasks.get(key)
        if task is None or worker.status.name in _ENDING:  # Ctrl-C may end the worker, too
            return False
        return task.state in {"executing", "long-running"}

    return is_wanted
