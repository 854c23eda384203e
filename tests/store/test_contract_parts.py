"""What holds of every store about runs whose parts are asked by several workers."""

import json
import random
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pandas_genai.store import FailureRecord, PartRecord, RunRecord
from pandas_genai.store.parts import BLOCKS, POSITIONS, STOP, SUPERSEDED
from pandas_genai.store.records import now

TASK = "a" * 32


def counts(status="running", **columns):
    ended = None if status == "running" else now()
    started = "2026-11-01T10:00:00.000+00:00"
    return RunRecord("job", TASK, "extract", status, started, ended, **columns)


@pytest.fixture
def count(cache):
    def counting(part, attempt, status="running", **columns):
        return cache.count_part(PartRecord(part, attempt, counts(status, **columns)))

    return counting


def test_the_counts_of_a_run_are_those_of_its_parts(cache, count):
    count(0, "a", rows=10, cached=2)
    count(1, "b", rows=5)
    count(1, "b", "completed", rows=5, ok=4, failed=1, calls=3, cost=0.5, models='["m"]')
    assert cache.runs("job")[0]["status"] == "running"
    assert cache.parts("job") == {"running": 1, "completed": 1}
    done = count(0, "a", "completed", rows=10, ok=10, cached=2, calls=2, cost=0.25, models='["n"]')
    (run,) = cache.runs("job")
    assert RunRecord(**{name: run[name] for name in RunRecord.__dataclass_fields__}) == done
    assert (done.rows, done.ok, done.failed, done.cached, done.calls) == (15, 14, 1, 2, 5)
    assert (done.cost, json.loads(done.models)) == (0.75, ["m", "n"])
    assert (done.status, done.ended is None) == ("completed", False)


def test_saying_it_again_changes_nothing(cache, count):
    for _ in range(3):
        run = count(0, "a", rows=10, ok=3, calls=2, input_tokens=7, cost=0.5)
    assert (run.rows, run.ok, run.calls, run.input_tokens, run.cost) == (10, 3, 2, 7, 0.5)


def test_what_a_dead_worker_used_counts_and_its_rows_do_not(cache, count):
    count(0, "dead", rows=10, ok=4, calls=2, cost=0.5)
    count(0, "next", rows=10, ok=4)
    run = count(0, "next", "completed", rows=10, ok=10, calls=3, cost=0.25)
    assert (run.rows, run.ok, run.calls, run.cost, run.status) == (10, 10, 5, 0.75, "completed")


def test_an_attempt_after_which_another_began_is_told_so(cache, count):
    count(0, "first", rows=10)
    count(0, "second", rows=10)
    assert count(0, "first", rows=10, ok=5, calls=1).status == SUPERSEDED
    assert count(0, "first", "stopped", rows=10, ok=5, calls=1).status == SUPERSEDED
    run = count(0, "second", "completed", rows=10, ok=10, calls=1)
    assert cache.parts("job") == {"completed": 1}
    assert cache.parts("another") == {}
    assert (run.rows, run.ok, run.calls, run.status) == (10, 10, 2, "completed")


def test_an_error_is_told_to_all_parts_until_somebody_begins_anew(cache, count):
    count(0, "a", rows=10)
    count(1, "b", rows=10)
    count(0, "a", "failed", rows=10, message="The key was revoked.")
    for attempt in ("b", "c"):  # one that is under way, and one that begins
        run = count({"b": 1, "c": 2}[attempt], attempt, rows=10)
        assert (run.status, run.message) == ("failed", "The key was revoked.")
        count({"b": 1, "c": 2}[attempt], attempt, "stopped", rows=10)
    assert cache.runs("job")[0]["status"] == "failed"
    run = count(2, "d", rows=10)  # it had ended before: somebody computes it once more
    assert (run.status, run.message, run.ended) == ("running", None, None)
    assert count(3, "e", rows=10).status == "running"


def test_an_old_error_holds_nobody_up(cache):
    before = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    failed = replace(counts("failed", message="No money left."), ended=before)
    cache.count_part(PartRecord(0, "a", failed))
    assert cache.count_part(PartRecord(1, "b", counts())).status == "running"


def test_a_stop_holds_until_somebody_computes_again(cache, count):
    count(0, "a", rows=10)
    count(1, "b", rows=10)
    cache.end_run("job", status="stopped", ended=now(), message=STOP)
    assert count(0, "a", rows=10, ok=2).status == "stopped"
    count(0, "a", "stopped", rows=10, ok=2)
    count(1, "b", "completed", rows=10)
    assert cache.runs("job")[0]["status"] == "stopped"
    assert count(2, "c", rows=10).status == "stopped"
    count(2, "c", "stopped", rows=10)
    cache.end_run("job", status="running", ended=None, message=None)
    assert count(3, "d", rows=10).status == "running"


def test_a_part_that_nobody_waits_for_stops_alone(cache, count):
    count(0, "a", rows=10)
    count(1, "b", rows=10)
    assert count(0, "a", "stopped", rows=10).status == "running"
    assert count(1, "b", "completed", rows=10).status == "stopped"
    assert count(2, "c", rows=10).status == "running"


def test_parts_that_differ_in_parameters_are_told_together(cache, count):
    count(0, "a", "completed", params_sent='{"temperature": 0}')
    run = count(1, "b", "completed", params_sent='{"structured": "tool", "temperature": 1}')
    assert json.loads(run.params_sent) == {"structured": [None, "tool"], "temperature": [0, 1]}


def test_failures_and_row_keys_of_parts_stand_in_the_order_of_the_input(cache, count):
    key = (1).to_bytes(16, "big")
    for part in (1, 0):
        count(part, "a", rows=1)
        failure = FailureRecord("job", part * POSITIONS, str(part), "k", "refusal", "No.")
        cache.save_failures("job", [failure])
        cache.save_run_rows("job", [key, bytes([part]) * 16], part * BLOCKS)
    assert [failure["label"] for failure in cache.failures("job")] == ["0", "1"]
    assert cache.run_rows("job") == [key.hex(), None, key.hex(), "01" * 16]
    count(1, "b", rows=1)
    assert [failure["label"] for failure in cache.failures("job")] == ["0"]


def test_one_run_alone_is_looked_at(cache, save, answer):
    writer = cache.writer()
    writer.put([answer("k1", run_id="r1"), answer("k2", run_id="r2"), answer("k3")])
    writer.close()
    assert cache.present(TASK, ["k1", "k2", "k3", "k4"], "r1") == {"k1"}
    assert cache.present("b" * 32, ["k1"], "r1") == set()


def test_many_parts_at_once_are_all_counted(cache, count):
    def work(part):
        for calls in range(5):
            count(part, "a", rows=7, ok=calls, calls=calls)
        count(part, "a", "completed", rows=7, ok=7, calls=5, cost=0.5)

    parts = list(range(8))
    random.Random(0).shuffle(parts)
    threads = [threading.Thread(target=work, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (run,) = cache.runs("job")
    assert (run["rows"], run["ok"], run["calls"], run["cost"]) == (56, 56, 40, 4.0)
    assert run["status"] == "completed"
