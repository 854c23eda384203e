"""Stores that break a promise, each another one: the contract has to notice every one of them."""

import threading
from pathlib import Path

import memory_store

from pandas_genai.store import SCHEMES, Granted, SqliteCache

FOLDER = str(Path(__file__).parent)
"""Where this file lies, for the processes that tests start."""


class DropsAWrite(memory_store.MemoryStore):
    """Says of every seventh answer that it is kept, and does not keep it."""

    @property
    def writing(self):
        return Dropping


class Dropping(memory_store.MemoryWriter):
    count = 0

    def keep(self, answers, requests):
        kept = []
        for answer in answers:
            self.count += 1
            kept += [answer] if self.count % 7 else []
        super().keep(kept, requests)


class CallsBackEarly(memory_store.MemoryStore):
    """Calls back before the answers are there."""

    @property
    def writing(self):
        return Early


class Early(memory_store.MemoryWriter):
    def settle(self, answers, done, requests):
        memory_store.call(done, None)
        self.keep(answers, requests)


class LeasesTwice(memory_store.MemoryStore):
    """Leases rows to whoever asks."""

    def leases(self, prompt_hash):
        return Generous(self.tables, prompt_hash)


class Generous(memory_store.MemoryLeases):
    def acquire(self, keys):
        super().acquire(keys)
        return Granted(set(keys), set())


class LeasesToTwoJobs(memory_store.MemoryStore):
    """Leases the rows of one batch job to another."""

    def lease_job(self, prompt_hash, job, place, keys):
        super().lease_job(prompt_hash, job, place, keys)
        return set()


class LeasesABudgetTwice(memory_store.MemoryStore):
    """Leases to each what nobody else has spent, whatever others have leased."""

    def budget(self, name, total):
        return Careless(self.tables, name, total)


class Careless(memory_store.MemoryBudget):
    def take(self, least, most):
        others = self._tables.budgets.pop(self._name, {})
        taken = super().take(least, most)
        self._tables.budgets[self._name] |= others
        return taken


class FillsTooFast(memory_store.MemoryStore):
    """Fills a rate up whenever somebody looks."""

    def rate(self, name, now=None):
        self.tables.rates.clear()
        return super().rate(name, now)


class SortsRows(memory_store.MemoryStore):
    """Returns the row keys of a run in an order of its own."""

    def run_rows(self, run_id):
        return sorted(super().run_rows(run_id), key=str)


class MixesTasks(memory_store.MemoryStore):
    """Answers a task with what another was answered."""

    def read(self, prompt_hash, text_hashes):
        found = {}
        for task in {task for task, _, _ in self.tables.answers}:
            found |= super().read(task, text_hashes)
        return found


class ForgetsFailures(memory_store.MemoryStore):
    """Keeps the failures of the newest run alone."""

    def save_failures(self, run_id, failures):
        self.tables.failures.clear()
        super().save_failures(run_id, failures)


class AcknowledgesEarly(SqliteCache):
    """A file, whose writer calls back at once and writes later."""

    def __init__(self, url):
        super().__init__(url.removeprefix("acknowledgesearly://"))

    def writer(self):
        return Lazy(super().writer())


class Lazy:
    """Hands over a thousand answers at a time."""

    def __init__(self, writer):
        self._writer, self._held, self._lock = writer, [], threading.Lock()

    def put(self, answers, done=None, requests=()):
        with self._lock:
            self._held += answers
            if len(self._held) > 1_000:
                self._hand_over()
        done(None)

    def _hand_over(self):
        self._writer.put(self._held)
        self._held = []

    def close(self):
        self._hand_over()
        self._writer.close()


KINDS = (
    *(memory_store.MemoryStore, DropsAWrite, CallsBackEarly, LeasesTwice, LeasesToTwoJobs),
    *(LeasesABudgetTwice, FillsTooFast),
    *(SortsRows, MixesTasks, ForgetsFailures, AcknowledgesEarly),
)


def scheme_of(kind):
    return memory_store.SCHEME if kind is memory_store.MemoryStore else kind.__name__.lower()


def register():
    """Make all these stores known by the schemes of their URLs; return the schemes."""
    for kind in KINDS:
        SCHEMES[scheme_of(kind)] = memory_store.opened(kind)
    return [scheme_of(kind) for kind in KINDS]
