"""One bar for all workers, drawn where the user is."""

import threading

import dask
import pytest

from pandas_genai.errors import StopRunError
from pandas_genai.testing import Fault


class Watching:
    """Keeps the events of a run, and who brought them."""

    def __init__(self):
        self.events = []
        self.threads = set()

    def started(self, progress):
        self._keep("started", progress)

    def moved(self, progress):
        self._keep("moved", progress)

    def ended(self, progress, outcome):
        self._keep(outcome, progress)

    def fetching(self, done, total, target):
        raise AssertionError

    def warn(self, message):
        self._keep(message, None)

    def _keep(self, name, progress):
        self.events.append((name, progress))
        self.threads.add(threading.current_thread().name)


@pytest.mark.parametrize("scheduler", ["threads", "synchronous", "cluster"])
def test_all_partitions_are_one_bar(request, ask, ddf, provider, scheduler):
    watching = Watching()
    if scheduler == "cluster":
        request.getfixturevalue("client")
    provider.latency = 0.3
    labels = ask(ddf, progress=watching, chunk_size=1, max_workers=2)
    assert watching.events == []
    with dask.config.set({} if scheduler == "cluster" else {"scheduler": scheduler}):
        labels.compute()
    names = [name for name, _ in watching.events]
    assert names[0] == "started"
    assert names.count("started") == 1
    # The last line is drawn before the result is there.
    assert names[-1] == "completed"
    assert set(names[1:-1]) == {"moved"}
    done = [progress.done for _, progress in watching.events]
    assert done == sorted(done)
    last = watching.events[-1][1]
    assert (last.total, last.done, last.failed) == (40, 40, 0)
    assert last.input_tokens == provider.ledger.tokens_in
    assert all(progress.total == 40 for _, progress in watching.events)


def test_rows_without_an_answer_are_told_once(ask, ddf, provider):
    watching = Watching()
    provider.faults = [Fault("refusal", text=lambda text: text.endswith("text 7"))]
    ask(ddf, progress=watching).compute()
    lines = [name for name, progress in watching.events if progress is None]
    assert lines == ["2 of 40 rows have no answer; see .genai.errors of the result."]


def test_an_error_ends_the_bar(ask, ddf, provider):
    watching = Watching()
    provider.faults = [Fault("payment_required")]
    with pytest.raises(StopRunError):
        ask(ddf, progress=watching).compute(scheduler="synchronous")
    assert watching.events[-1][0] == "failed"


def test_some_partitions_alone(ask, ddf):
    watching = Watching()
    head = ask(ddf, progress=watching).head(3)
    assert len(head) == 3
    name, last = watching.events[-1]
    assert (name, last.total, last.done) == ("completed", 40, 10)


def test_a_bar_in_a_log_says_how_it_ended(ask, ddf, capsys):
    ask(ddf, progress=True).compute()
    assert capsys.readouterr().err.startswith("40 rows done · ")
