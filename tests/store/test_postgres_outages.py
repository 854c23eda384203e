"""PostgreSQL goes away in the middle: waited out, nothing lost, nothing paid twice."""

import logging
import os
import select
import signal
import socket
import threading
import time

import pandas as pd
import pytest

from pandas_genai.clock import Clock
from pandas_genai.errors import CacheError
from pandas_genai.store import RequestRecord
from pandas_genai.store.postgres import database
from pandas_genai.store.postgres.store import PostgresStore
from pandas_genai.testing import LoopbackProvider

TASK = "a" * 32
KEYS = [f"{number:032x}" for number in range(10)]


class Hands(Clock):
    """Waits without waiting, and does something when it is waited for."""

    def __init__(self, act=lambda: None):
        self.time, self.waits, self.act = 0.0, 0, act

    def monotonic(self):
        return self.time

    def wait(self, stop, seconds):
        self.time += seconds
        self.waits += 1
        self.act()
        return stop.is_set()


class Proxy:
    """Stands between a store and its server, and cuts connections where a test says.

    ``cut(word, where)`` cuts the next connection in which the client sends a word: ``before``
    the server has seen it, or ``after`` the server has done it and before the client hears.
    """

    def __init__(self, port):
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._cut = None
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, word, where):
        self._cut = word, where

    def close(self):
        self._listening.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client):
        silent = False
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        return
                    if ready is server:
                        if silent:  # it has done it, and nobody hears of it
                            return
                        client.sendall(data)
                        continue
                    word, where = self._cut or (None, None)
                    if word is not None and word in data:
                        self._cut = None
                        self.cuts += 1
                        if where == "before":
                            return
                        silent = True
                    server.sendall(data)


@pytest.fixture
def proxy(postgres):
    """A proxy before the server."""
    between = Proxy(postgres.port)
    yield between
    between.close()


@pytest.fixture
def far(proxy, postgres_url, postgres):
    """The URL of a store behind the proxy."""
    return postgres_url.replace(f":{postgres.port}/", f":{proxy.port}/")


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("word", [b"COMMIT", b"INSERT INTO results", b"INSERT INTO requests"])
def test_a_commit_whose_outcome_nobody_knows_is_made_once(proxy, far, answer, word, where):
    settled = []
    with PostgresStore(far) as store:
        writer = store.writer()
        writer.put([answer("first")], settled.append)
        assert writer.flush(60)
        proxy.cut(word, where)
        call = RequestRecord("r1", TASK, KEYS[:2], cost=0.5)
        writer.put([answer(key, request=call) for key in KEYS[:2]], settled.append)
        assert writer.flush(60)
        assert proxy.cuts == 1
        writer.close()
        assert settled == [None, None]
        assert store.present(TASK, [*KEYS, "first"]) == {*KEYS[:2], "first"}
        assert [one["rows"] for one in store.requests("r1")] == [KEYS[:2]]


@pytest.mark.parametrize("where", ["before", "after"])
def test_leases_are_taken_once_and_end(proxy, far, where):
    with PostgresStore(far) as store, PostgresStore(far) as other:
        first, second = store.leases(TASK), other.leases(TASK)
        first.acquire([])
        proxy.cut(b"COMMIT", where)
        assert first.acquire(KEYS[:5]).ours == set(KEYS[:5])
        assert proxy.cuts == 1
        assert second.acquire(KEYS).ours == set(KEYS[5:])
        first.end(KEYS[:5])
        proxy.cut(b"COMMIT", where)
        first.flush()
        assert proxy.cuts == 2
        assert second.acquire(KEYS[:5]).ours == set(KEYS[:5])
        first.close()
        second.close()


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_budget_is_leased_once_and_spent_once(proxy, far, where):
    with PostgresStore(far) as store:
        first, second = store.budget("job", 10.0), store.budget("job", 10.0)
        second.take(1, 1)
        proxy.cut(b"COMMIT", where)
        assert first.take(1, 4) == (4.0, 5.0, 1)
        proxy.cut(b"COMMIT", where)
        first.give(1)
        proxy.cut(b"COMMIT", where)
        first.end(1)  # 2 are spent
        assert proxy.cuts == 3
        assert second.take(1, 20) == (7.0, 0.0, 0)
        first.close()
        second.close()


@pytest.mark.parametrize("where", ["before", "after"])
def test_reading_and_the_record_go_on(proxy, far, save, where):
    with PostgresStore(far) as store:
        save(store, {"k": "1"})
        proxy.cut(b"results", where)
        assert store.read(TASK, ["k"]) == {"k": "1"}
        proxy.cut(b"COMMIT", where)
        store.put("7", {"tone": "good"})
        proxy.cut(b"COMMIT", where)
        assert store.lease_job(TASK, "j", "/jobs/j", KEYS) == set()
        assert proxy.cuts == 3
        assert store.get("7") == {"tone": "good"}
        assert store.lease_job(TASK, "k", "/jobs/k", KEYS) == set(KEYS)


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_server_that_comes_back_is_waited_for(postgres, postgres_url, answer, how):
    settled, down = [], []

    def come_back():
        if down and clock.waits >= 3:
            down.pop()
            postgres.start()

    clock = Hands(come_back)
    with PostgresStore(postgres_url, clock) as store:
        writer, leases, other = store.writer(), store.leases(TASK), store.leases(TASK)
        writer.put([answer("k1")], settled.append)
        assert writer.flush(60)
        leases.acquire(KEYS)
        getattr(postgres, how)()
        down.append(True)
        writer.put([answer("k2")], settled.append)
        assert writer.flush(60)
        assert settled == [None, None]
        assert clock.waits >= 3
        assert store.present(TASK, ["k1", "k2"]) == {"k1", "k2"}
        # What was leased before is still leased, however long the server was away.
        assert other.acquire(KEYS).ours == set()
        leases.close()
        assert other.acquire(KEYS).ours == set(KEYS)
        other.close()


def test_who_connects_first_while_the_server_is_away_waits_too(postgres, postgres_url, answer):
    settled, down = [], []

    def come_back():
        if down:
            down.pop()
            postgres.start()

    with PostgresStore(postgres_url, Hands(come_back)) as store:
        postgres.stop()
        down.append(True)
        writer = store.writer()
        writer.put([answer("k1")], settled.append)
        assert writer.flush(60)
        assert settled == [None]
        postgres.stop()
        down.append(True)
        with PostgresStore(postgres_url, Hands(come_back)) as another:
            assert another.present(TASK, ["k1"]) == {"k1"}


def test_a_server_that_stays_away_is_an_error_after_a_while(postgres, postgres_url, answer, caplog):
    settled, clock = [], Hands()
    with PostgresStore(postgres_url, clock) as store:
        writer = store.writer()
        assert writer.flush(60)
        writer.put([answer("k1")])
        assert writer.flush(60)
        postgres.stop()
        try:
            with caplog.at_level(logging.WARNING, "pandas_genai"):
                writer.put([answer("k2")], settled.append)
                assert not writer.flush(60)
            assert database.PATIENCE_S <= clock.time < database.PATIENCE_S + 60
            (error,) = settled
            assert "was lost and did not come back" in str(error)
            assert "p@ss" not in str(error)
            (warning,) = caplog.messages
            assert warning.startswith("Waiting for the PostgreSQL server of the cache")
            assert "p@ss" not in warning
            before = clock.waits
            with pytest.raises(CacheError, match="did not come back"):
                store.present(TASK, ["k1"])
            with pytest.raises(CacheError, match="did not come back"):
                store.present(TASK, ["k1"])  # nobody waits once more for what did not come
            assert clock.waits > before
            waited = clock.waits
            with pytest.raises(CacheError, match="did not come back"):
                store.present(TASK, ["k1"])
            assert clock.waits == waited
        finally:
            postgres.start()
        assert store.present(TASK, ["k1"]) == {"k1"}


def test_closing_ends_the_waiting(postgres, postgres_url, answer):
    settled = []
    with PostgresStore(postgres_url) as store:
        writer = store.writer()
        writer.put([answer("k1")])
        assert writer.flush(60)
        postgres.stop()
        try:
            writer.put([answer("k2")], settled.append)
            reading = threading.Thread(target=_read, args=(store, settled))
            reading.start()
            writer.close(0.05)
            assert not writer._thread.is_alive()
            store.close()
            reading.join(30)
            assert not reading.is_alive()
        finally:
            postgres.start()
    assert [type(error) for error in settled] == [CacheError, CacheError]


def _read(store, settled):
    try:
        store.present(TASK, ["k1"])
    except CacheError as error:
        settled.append(error)


def echo(text):
    return {"answer": text}


@pytest.mark.parametrize("when", [30, 90])
def test_a_run_goes_on_through_a_kill_of_the_server(postgres, postgres_url, when):
    frame = pd.DataFrame({"text": [f"row {number}" for number in range(150)]})
    seen, killed = set(), threading.Event()

    def rule(text):
        seen.add(text)
        if len(seen) >= when and not killed.is_set():
            killed.set()
            postgres.kill()
            postgres.start()
        return {"answer": text}

    with LoopbackProvider(rule) as provider:
        out = frame.genai.extract(
            "Echo.",
            {"answer": str},
            base_url=provider.openai_url,
            api_key="k",
            cache=postgres_url,
            max_workers=8,
            progress=False,
        )
        assert killed.is_set()
        assert set(provider.ledger.answered.values()) == {1}
    assert out["answer"].tolist() == frame["text"].tolist()
    assert out.genai.report.failed == 0


RUN = """
import sys
import pandas as pd
import pandas_genai

frame = pd.DataFrame({"text": [f"row {number}" for number in range(4_000)]})
try:
    frame.genai.extract(
        "Repeat.", {"answer": str}, base_url=sys.argv[2], api_key="sk-test", cache=sys.argv[1],
        progress=False, max_workers=8,
    )
except pandas_genai.Stopped as stopped:
    print("stopped", flush=True)
"""


def test_stop_gives_control_back_while_the_server_is_away(postgres, postgres_url, child):
    """The worker threads wait for the server; whoever pressed Stop does not."""
    answered, away = [], threading.Event()

    def rule(text):
        answered.append(text)
        if len(answered) == 60:
            postgres.stop()
            away.set()
        return {"answer": text}

    with LoopbackProvider(rule, latency=0.01) as provider:
        process = child(RUN, postgres_url, provider.openai_url)
        try:
            assert away.wait(60)
            provider.wait_for_in_flight(0, timeout=60)  # all that is answered waits to be written
            started = time.monotonic()
            os.kill(process.pid, signal.SIGINT)
            assert select.select([process.stdout], [], [], 30)[0]
            assert process.stdout.readline() == "stopped\n"
            assert time.monotonic() - started < 5
        finally:
            away.wait(60)
            postgres.start()
        out, err = process.communicate(timeout=60)  # and what was answered is saved at the end
        assert (process.returncode, out) == (0, ""), err
        asked = dict(provider.ledger.answered)
    with PostgresStore(postgres_url) as store:
        saved = [key for call in store.requests() for key in call["rows"]]
    assert len(saved) == len(set(saved)) == len(asked)
