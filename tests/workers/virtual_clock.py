"""One clock for the client's workers and the provider, which moves when all of them wait."""

import contextlib
import heapq
import itertools
import threading
import time
from pathlib import Path

from pandas_genai.clock import Clock

_LOOK_S = 0.0005
_IDLE_S = 0.0002
"""CPU time of the whole process between two looks, below which nobody works."""
_LOOKS = 3
_THREADS = Path("/proc/self/task")


class HastyClock(Clock):
    """Time that moves on by each wait at once: for many calls, which then take no time."""

    def __init__(self):
        self._lock, self._time = threading.Lock(), 1_000.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def monotonic(self):
        return self._time

    def wait(self, stop, seconds):
        with self._lock:
            self._time += seconds
        return stop.is_set()


class VirtualClock(Clock):
    """Time that stands still while any thread of this process works.

    Whoever waits is entered with the moment at which it goes on. A thread of its own looks at the
    CPU time of the process: once that stands still, everybody waits, for the clock or for
    somebody who does, and the time moves to the next of those moments. Use it in a ``with``.
    """

    def __init__(self, start=1_000.0):
        self._time = start
        self._changed = threading.Condition()
        self._sleepers = []
        self._numbers = itertools.count()
        self._ended = False
        self._driver = threading.Thread(target=self._drive, name="virtual-clock", daemon=True)

    def __enter__(self):
        self._driver.start()
        return self

    def __exit__(self, *_):
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._driver.join(10)

    def monotonic(self):
        return self._time

    now = monotonic

    def sleep(self, seconds):
        self.wait(threading.Event(), seconds)

    def wait(self, stop, seconds):
        woken = threading.Event()
        with self._changed:
            entry = (self._time + seconds, next(self._numbers), woken)
            heapq.heappush(self._sleepers, entry)
            self._changed.notify_all()
        while not (woken.wait(0.05) or stop.is_set() or self._ended):
            pass
        return stop.is_set()

    def _drive(self):
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._sleepers or self._ended)
                if self._ended:
                    return
            self._until_idle()
            with self._changed:
                self._time = max(self._time, self._sleepers[0][0])
                while self._sleepers and self._sleepers[0][0] <= self._time:
                    heapq.heappop(self._sleepers)[2].set()

    def _until_idle(self):
        idle, before = 0, time.process_time()
        while idle < _LOOKS and not self._ended:
            time.sleep(_LOOK_S)
            now = time.process_time()
            idle = idle + 1 if now - before < _IDLE_S else 0
            if idle == _LOOKS and _someone_is_ready():
                idle = 0
            before = time.process_time()


def _someone_is_ready():
    """Whether a thread waits for a processor, as on a busy machine; known on Linux alone."""
    own = str(threading.get_native_id())
    for thread in _THREADS.iterdir() if _THREADS.is_dir() else ():
        with contextlib.suppress(OSError):  # it has just ended
            state = (thread / "stat").read_bytes().rpartition(b") ")[2][:1]
            if thread.name != own and state in (b"R", b"D"):
                return True
    return False
