"""Pauses that all workers share, and how many calls go out at once."""

from __future__ import annotations

import threading

from pandas_genai.clock import Clock
from pandas_genai.task.chunks import Chunk, Row
from pandas_genai.task.inputs import TextInput
from pandas_genai.workers.rate_limiter import RateLimiter
from pandas_genai.workers.work_queue import WorkQueue


class Hands(Clock):
    def __init__(self):
        self.time = 100.0

    def monotonic(self):
        return self.time


def test_one_call_until_an_answer_then_all():
    limiter = RateLimiter(8, Hands())
    assert limiter.limit == 1
    assert limiter.answered()
    assert limiter.limit == 8
    assert not limiter.answered()
    assert RateLimiter(8, Hands(), opened=True).limit == 8


def test_a_rate_limit_pauses_everybody_and_halves_once():
    hands = Hands()
    limiter = RateLimiter(16, hands, opened=True)
    limiter.rate_limited(10)
    limiter.rate_limited(20)
    limiter.rate_limited(5)
    assert limiter.limit == 8
    assert limiter.pause_left() == 20
    hands.time += 21
    assert limiter.pause_left() == 0
    limiter.rate_limited(1)
    assert limiter.limit == 4


def test_answers_open_it_again_little_by_little():
    limiter = RateLimiter(4, Hands(), opened=True)
    limiter.rate_limited(1)
    grown = [limiter.limit for _ in range(40) if not limiter.answered() or True]
    assert grown[0] == 2
    assert limiter.limit == 4


def test_the_real_clock():
    clock, stop = Clock(), threading.Event()
    before = clock.now()
    assert not clock.wait(stop, 0)
    stop.set()
    assert clock.wait(stop, 60)
    assert clock.now() >= before


def chunk(name):
    return Chunk((Row(name, name, TextInput(name), 0),))


def test_what_must_be_asked_again_comes_first():
    source = WorkQueue(iter([chunk("a"), chunk("b")]), lambda: 1)
    assert source.take() == chunk("a")
    source.finish(chunk("a"), [chunk("again")])
    assert source.take() == chunk("again")
    source.finish(chunk("a"))
    assert source.take() == chunk("b")
    source.finish(chunk("a"))
    assert source.take() is None


def test_a_closed_source_hands_out_nothing():
    source = WorkQueue(iter([chunk("a"), chunk("b")]), lambda: 5)
    source.take()
    source.close()
    assert source.take() is None


def test_a_worker_waits_for_what_may_come_back():
    source = WorkQueue(iter([chunk("a")]), lambda: 2)
    source.take()
    found = []
    waiting = threading.Thread(target=lambda: found.append(source.take()))
    waiting.start()
    source.finish(chunk("a"), [chunk("again")])
    waiting.join(10)
    assert found == [chunk("again")]
