"""What a live run would ask although a batch job has it under way."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable

from pandas_genai.batch.failures import under_way
from pandas_genai.batch.folder import JobsFolder
from pandas_genai.errors import JobError, warn_user
from pandas_genai.store import AnswerStore

__all__ = ["RowsUnderWayWarning", "warn_under_way"]


class RowsUnderWayWarning(UserWarning):
    """A batch job will bring answers that a live run is about to pay for."""


def warn_under_way(
    jobs: JobsFolder, prompt_hash: str, keys: Iterable[str], cache: AnswerStore | None
) -> None:
    """Warn, before anything is asked, of texts that jobs of the same task have under way.

    Parameters
    ----------
    jobs : JobsFolder
        Where jobs lie; one that cannot be read is no reason not to ask.
    prompt_hash : str
        The task.
    keys : iterable of str
        The texts that are to be asked; not looked at unless a job of the task is under way.
    cache : AnswerStore or None
        Where answers to some of them may be, which are then not asked.
    """
    under: list[tuple[str, str]] = []
    with contextlib.suppress(JobError):
        under.extend(under_way(jobs, prompt_hash, strict=False))
    if not under:
        return
    wanted = {key for _, key in under}.intersection(keys)
    if cache is not None:
        wanted -= cache.present(prompt_hash, sorted(wanted))
    for name, count in Counter(name for name, key in under if key in wanted).items():
        warn_user(
            f"{count:,} of the texts that are asked now are under way in the job {name!r}, and "
            f"will be paid for twice: stop this run, and let batch_collect({name!r}) bring them.",
            RowsUnderWayWarning,
        )
