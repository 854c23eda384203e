"""What holds of the writers of every store."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pandas_genai.errors import CacheError

TASK = "a" * 32


def test_done_is_called_in_order_once_the_answers_are_there(cache, answer):
    seen = []

    def done(number):
        def call(error):
            there = cache.present(TASK, [str(number)])
            seen.append((number, error, there == {str(number)}, threading.current_thread().name))

        return call

    writer = cache.writer()
    for number in range(50):
        writer.put([answer(str(number))], done(number))
    writer.put([], done(50))
    assert writer.flush(60)
    assert [number for number, *_ in seen] == list(range(51))
    assert {(error, there) for _, error, there, _ in seen[:50]} == {(None, True)}
    assert {name for *_, name in seen} == {"genai-writer"}
    writer.close()


def test_a_callback_that_fails_harms_nobody(cache, answer, caplog):
    def fails(error):
        raise SystemExit(3)

    settled = []
    writer = cache.writer()
    writer.put([answer("k1")], fails)
    writer.put([answer("k2")], settled.append)
    assert writer.flush(60)
    writer.close()
    assert settled == [None]
    assert cache.present(TASK, ["k1", "k2"]) == {"k1", "k2"}
    assert "callback" in caplog.text


def test_a_callback_may_put_flush_and_close(cache, answer):
    seen, ended = [], threading.Event()
    writer = cache.writer()

    def more(error):
        for number in range(900):
            writer.put([answer(f"{number}-{part}") for part in range(5)])
        seen.append(writer.flush())
        writer.close()
        seen.append(error)
        ended.set()

    writer.put([answer("first")], more)
    assert ended.wait(60)
    writer.close()
    assert seen == [False, None]
    wanted = [f"{number}-{part}" for number in range(900) for part in range(5)]
    assert cache.present(TASK, wanted) == set(wanted)


def test_many_threads_write_and_read_at_once(cache, answer):
    settled = []
    writer = cache.writer()

    def work(thread):
        for number in range(0, 1_000, 5):
            mine = [f"{thread}-{number + part}" for part in range(5)]
            writer.put([answer(key, json.dumps(key)) for key in mine], settled.append)
            cache.read(TASK, mine)
            cache.present(TASK, mine)
        return len(mine)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    writer.close()
    wanted = {f"{thread}-{number}" for thread in range(8) for number in range(1_000)}
    assert cache.read(TASK, list(wanted)) == {key: json.dumps(key) for key in wanted}
    assert settled == [None] * 1_600


def test_a_closed_writer_takes_nothing_more(cache, answer):
    writer = cache.writer()
    writer.put([answer("k")])
    writer.close()
    writer.close()
    with pytest.raises(CacheError, match="closed"):
        writer.put([answer("k2")])
    assert writer.flush()
    assert cache.present(TASK, ["k", "k2"]) == {"k"}


def test_two_writers_of_one_cache(cache, answer):
    first, second = cache.writer(), cache.writer()
    first.put([answer("k1")])
    second.put([answer("k2")])
    assert first.flush(60)
    assert second.flush(60)
    assert cache.present(TASK, ["k1", "k2"]) == {"k1", "k2"}


def test_closing_the_cache_ends_its_writers(cache, answer):
    settled = []
    writer = cache.writer()
    writer.put([answer("k")], settled.append)
    cache.close()
    cache.close()
    assert settled == [None]
    assert "genai-writer" not in {thread.name for thread in threading.enumerate()}
    calls = [
        lambda: cache.get("1"),
        lambda: cache.put("1", 1),
        cache.runs,
        lambda: cache.read(TASK, ["k"]),
        cache.writer,
        lambda: writer.put([answer("k")]),
    ]
    for call in calls:
        with pytest.raises(CacheError, match="closed"):
            call()


def test_a_value_of_a_wrong_kind_is_an_error_for_its_own_put(cache, answer):
    settled = []
    writer = cache.writer()
    writer.put([answer("k", input_tokens=2**70)], settled.append)
    assert not writer.flush(60)
    assert isinstance(settled[0], CacheError)
    writer.close()
    writer = cache.writer()
    writer.put([answer("k", model=object())], settled.append)
    assert not writer.flush(60)
    assert isinstance(settled[1], CacheError)
    with pytest.raises(CacheError, match="could not be used"):
        writer.put([answer("k")])
    writer.close()
    assert cache.present(TASK, ["k"]) == set()
