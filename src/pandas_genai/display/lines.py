"""Lines that a cell prints."""

from __future__ import annotations

import sys
from pathlib import Path

from pandas_genai.batch import BatchJob, JobState
from pandas_genai.errors import counted, printable

__all__ = ["say", "submitted_line"]

_COLAB = "/content"


def say(line: str) -> None:
    """Print one line into the cell that runs."""
    sys.stdout.write(f"{printable(line)}\n")


def submitted_line(job: BatchJob, source: str) -> str:
    """Say what was submitted, where its job folder lies and how to collect it.

    Parameters
    ----------
    job : BatchJob
        The job.
    source : str
        What the folder of the jobs is taken from.
    """
    manifest = job.folder.read_manifest()
    state = JobState.of(manifest)
    if state.answered or state.failed:
        return f"{state} Nothing new was submitted{_advice(state)}."
    batches = counted(state.batches, "batch", "batches")
    what = f"{state.rows:,} of {counted(manifest.rows, 'row')} submitted in {batches}"
    if manifest.repeats > 1:
        what = (
            f"{counted(state.rows, 'question')} submitted in {batches}, {manifest.repeats} for "
            f"each of {counted(manifest.rows, 'row')}"
        )
    aside = {
        "answered before": manifest.cached,
        "in other jobs": manifest.elsewhere,
        f"duplicate{'' if manifest.twins == 1 else 's'} of another row": manifest.twins,
        "empty": manifest.empty,
    }
    left = ", ".join(f"{count:,} {why}" for why, count in aside.items() if count)
    place = f"Its job folder is {_shown(job.path)} (from {source})"
    lines = [
        f"Job {manifest.name!r}: {what}{f' ({left})' if left else ''}.",
        f"{place}: df.genai.batch_collect() goes on from it, also in a later kernel.",
    ]
    if str(job.path).startswith(_COLAB) and "google.colab" in sys.modules:
        lines.append(
            "Colab deletes /content when the runtime ends: pass folder= on a mounted drive, or the "
            "job is lost."
        )
    return "\n".join(lines)


def _advice(state: JobState) -> str:
    return "; open_job(name).resubmit_failed() sends the failed rows again" if state.failed else ""


def _shown(path: Path) -> str:
    """Return a path as short as it can be from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
