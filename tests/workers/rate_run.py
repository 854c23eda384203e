"""A run against a limited provider on a clock that both share, and what it made of the limit."""

import threading
from dataclasses import dataclass

import numpy as np
import pandas as pd
from virtual_clock import VirtualClock

from pandas_genai.backends.endpoints import Endpoints
from pandas_genai.backends.resolve import Question
from pandas_genai.clock import Clock
from pandas_genai.extract import Extraction
from pandas_genai.options import RunOptions
from pandas_genai.task.task import Task
from pandas_genai.testing import LoopbackProvider


@dataclass
class Use:
    """What a run made of a limit.

    ``used`` is the share of it in the minutes after the first, ``refused`` that of all calls that
    were answered 429, ``minutes`` the calls of each whole minute.
    """

    used: float
    refused: float
    minutes: list
    report: object
    calls: int


def rate_run(
    per_minute,
    minutes=4.0,
    *,
    kind="requests",
    backend="openai",
    latency=1.5,
    runs=1,
    provider=None,
    clock_type=VirtualClock,
    stated=True,
    **options,
):
    """Ask as many rows, one a call, as a limit allows in so many minutes.

    ``runs`` ask at once, each an equal part of the rows; ``provider`` are arguments of the
    provider, ``options`` those of the run; ``stated`` is whether headers state the limits.
    """
    calls = int(per_minute * (minutes + 0.9))
    texts = [f"The row of the number {number:06}." for number in range(calls)]
    tokens = per_minute * _tokens(backend) if kind == "tokens" else None
    limits = (
        {"requests_per_minute": per_minute} if tokens is None else {"tokens_per_minute": tokens}
    )
    options.setdefault("max_workers", max(8, int(per_minute / 60 * latency * 3)))
    seen = []
    with clock_type() as clock:

        def answered(request, response):
            seen.append((clock.monotonic(), response.status))
            if not stated:
                headers = response.headers.items()
                response.headers = {name: text for name, text in headers if "ratelimit" not in name}
            if response.status == 200 and latency:
                clock.sleep(latency)
            return response

        arguments = limits | {"clock": clock.monotonic, "on_response": answered} | (provider or {})
        with LoopbackProvider(lambda text: {"tone": "good"}, **arguments) as opened:
            start = clock.monotonic()
            frames = asked(opened, texts, backend, clock, runs, options)
    assert sum(frame["tone"].notna().sum() for frame in frames) == calls
    times = (np.array([at for at, status in seen if status == 200]) - start) / 60
    whole = int(times.max())
    counts = np.histogram(times, bins=np.arange(whole + 1))[0]
    refused = sum(status == 429 for _, status in seen) / len(seen)
    after = counts[1:].sum() / (per_minute * max(1, len(counts) - 1))
    return Use(after, refused, counts.tolist(), frames[0].genai.report, len(seen))


def asked(provider, texts, backend, clock, runs, options):
    url = provider.openai_url if backend == "openai" else provider.anthropic_url
    question = Question(Task("Tone?", {"tone": ["good", "bad"]}, backend=backend), url, "k")
    frames = []

    def ask(part):
        endpoints = Endpoints()
        how = RunOptions(**{"chunk_size": 1, "clock": clock, "endpoints": endpoints} | options)
        frames.append(Extraction(question, part, pd.RangeIndex(len(part)), how).run())

    threads = [threading.Thread(target=ask, args=(texts[one::runs],)) for one in range(runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return frames


def _tokens(backend):
    """What the provider counts for one call."""
    with LoopbackProvider(lambda text: {"tone": "good"}) as provider:
        asked(provider, ["The row of the number 000000."], backend, Clock(), 1, {})
        return provider.ledger.tokens_in
