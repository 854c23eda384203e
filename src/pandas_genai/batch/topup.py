"""Tops up a job whose rows were answered in part: what failed, and rows that it did not have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pandas_genai.batch.claim import fingerprint_of
from pandas_genai.batch.journal import Part
from pandas_genai.batch.leases import lease_rows
from pandas_genai.batch.order import Order
from pandas_genai.batch.prepare import naming
from pandas_genai.batch.requests import Template, write_requests
from pandas_genai.batch.resubmit import Again, write_again
from pandas_genai.batch.rowfile import save_rows, saved_rows
from pandas_genai.batch.site import Site, limits_of
from pandas_genai.batch.texts import FrameInputs
from pandas_genai.costs.window import ContextWindow
from pandas_genai.runs.answers import answered
from pandas_genai.task.chunks import plan_chunks
from pandas_genai.task.rows import Rows, distinct_rows, rows_of_keys

__all__ = ["top_up"]


def top_up(site: Site, order: Order) -> Again:
    """Write the requests that a job lacks to answer the rows of a frame; nothing is sent.

    Rows that have failed are asked again, those that are under way or lost are not, and rows that
    the job did not have are added to it.

    Parameters
    ----------
    site : Site
        The job, locked. Its task is that of the order.
    order : Order
        The rows, and the cache that the job was submitted with.

    Returns
    -------
    Again
        How many texts are to be sent, and how many of lost results are not.
    """
    inputs = FrameInputs(order.data, order.text)
    rows = distinct_rows(inputs)
    known, _ = saved_rows(site.folder, site.journal)
    theirs = set(known.keys)
    again = write_again(site, order.cache, only=set(rows.keys))
    new = np.array([key not in theirs for key in rows.keys], dtype=bool)
    added = _Growth(site, order, inputs, rows, known).write(new) if new.any() else 0
    return Again(again.sent + added, again.kept)


@dataclass(frozen=True)
class _Growth:
    """Rows that a job did not have."""

    site: Site
    order: Order
    inputs: FrameInputs
    rows: Rows
    known: Rows

    def write(self, new: npt.NDArray[np.bool_]) -> int:
        """Add some of the distinct texts to the job; return how many are to be sent."""
        site, order, rows = self.site, self.order, self.rows
        journal = site.journal
        positions = np.flatnonzero((rows.codes >= 0) & new[rows.codes])
        of_rows = rows.keys.take(rows.codes[positions])
        labels: pd.Index = order.labels[positions]
        cached = answered(order.cache, journal.prompt_hash, rows.keys)
        wanted = np.flatnonzero(new & ~cached)
        others = lease_rows(
            order.cache, site.folder, journal, rows.keys.take(wanted), site.clock.now()
        )
        wanted = wanted[[key not in others for key in rows.keys.take(wanted)]]
        parts = self._requests(wanted)
        all_keys = rows_of_keys([*self.known.keys, *of_rows])
        # A kernel that is killed between these two leaves lines that the manifest does not count.
        journal.rows_digest = save_rows(
            site.folder, labels, rows_of_keys(of_rows), kept=journal.rows
        )
        journal.rows += len(of_rows)
        journal.twins += len(of_rows) - int(new.sum())
        journal.cached += int((new & cached).sum())
        journal.elsewhere += len(others)
        journal.sent += len(wanted)
        journal.fingerprint = fingerprint_of(journal.prompt_hash, all_keys)
        journal.parts += parts
        site.save()
        return len(wanted)

    def _requests(self, wanted: npt.NDArray[np.int64]) -> list[Part]:
        site, task = self.site, self.site.task
        journal = site.journal
        capabilities = journal.next_capabilities
        window = ContextWindow.of(task, site.endpoint, site.means.endpoints, journal.chunk_size)
        chunks = plan_chunks(
            self.rows,
            wanted.tolist(),
            self.inputs,
            journal.chunk_size,
            most_bytes=window.most_bytes,
        )
        return write_requests(
            site.folder,
            task,
            chunks,
            Template(task, site.endpoint, capabilities),
            self.order.limits(limits_of(task.backend)),
            site.custom_id,
            lambda number: Part.sent_with(capabilities, number),
            naming(self.order.labels),
            first=len(journal.parts) + 1,
        )
