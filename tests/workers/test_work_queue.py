"""The work queue under many workers: nothing is left lying, and few are woken in vain."""

from __future__ import annotations

import threading
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from pandas_genai.task.chunks import Chunk, Row
from pandas_genai.task.inputs import TextInput
from pandas_genai.workers.work_queue import Later, WorkQueue


def chunk(name, *, suspect=False):
    return Chunk((Row(name, name, TextInput(name), 0),), suspect=suspect)


def run(queue, workers, again):
    """Let workers take and finish until nothing is left; return what they took."""
    taken, lock = [], threading.Lock()

    def work():
        while (one := queue.take()) is not None:
            with lock:
                taken.append(one)
                more = again(one)
            queue.finish(one, more)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    return taken


@settings(deadline=None)
@given(
    workers=st.integers(1, 12),
    limit=st.integers(1, 12),
    count=st.integers(0, 30),
    rounds=st.dictionaries(st.integers(0, 29), st.integers(1, 3)),
    suspects=st.sets(st.integers(0, 29)),
    later=st.sets(st.integers(0, 29)),
    refused=st.sets(st.integers(0, 29)),
)
def test_every_chunk_is_taken_and_every_worker_ends(
    workers, limit, count, rounds, suspects, later, refused
):
    def chunks():
        for number in sorted(range(count), key=suspects.__contains__):
            if number in later:
                yield Later(0.001)
            yield chunk(str(number), suspect=number in suspects)

    def admit(one):
        """Not while others are in flight, for some."""
        return int(one.rows[0].key) not in refused or in_flight[0] == 0

    in_flight = [0]
    ended = []

    def again(one):
        in_flight[0] -= 1
        left = rounds.get(int(one.rows[0].key), 0) > one.round
        return [replace(one, round=one.round + 1, suspect=True)] if left else []

    def counted(one):
        allowed = admit(one)
        in_flight[0] += allowed
        return allowed

    queue = WorkQueue(
        chunks(), lambda: limit, counted, lambda rows: ended.extend(row.key for row in rows)
    )
    taken = run(queue, workers, again)
    expected = [str(n) for n in range(count) for _ in range(1 + rounds.get(n, 0))]
    assert sorted(one.rows[0].key for one in taken) == sorted(expected)
    assert sorted(ended) == sorted(str(n) for n in range(count))
    assert not queue.refused


def test_a_call_that_ends_wakes_few_of_the_workers_that_wait():
    looks = [0]

    def limit():
        looks[0] += 1
        return 1

    taken = run(WorkQueue(map(chunk, map(str, range(300))), limit), workers=60, again=lambda _: [])
    assert len(taken) == 300
    # Woken with every call, 60 workers would look 18,000 times.
    assert looks[0] < 300 * 5 + 60 * 2


def test_closing_does_not_wait_for_a_store_that_does_not_answer():
    asked, back, taken = threading.Event(), threading.Event(), []

    def chunks():
        asked.set()
        assert back.wait(60)  # the store is away
        yield chunk("1")

    queue = WorkQueue(chunks(), limit=lambda: 8)
    workers = [threading.Thread(target=lambda: taken.append(queue.take())) for _ in range(3)]
    for worker in workers:
        worker.start()
    assert asked.wait(60)
    closing = threading.Thread(target=queue.close)
    closing.start()
    closing.join(30)
    assert not closing.is_alive()
    assert taken == []
    back.set()
    for worker in workers:
        worker.join(30)
    assert taken == [None] * 3
