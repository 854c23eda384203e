"""Workers that are killed at random moments: each row right, and hardly a text paid twice."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
import zlib
from pathlib import Path

import dask
import dask.dataframe as dd
import pandas as pd
import pytest
from distributed import Client, LocalCluster

import pandas_genai
import pandas_genai.dask
from pandas_genai.testing import LoopbackProvider

RULE = f"{Path(__file__).with_name('rules.py')}:checksum"
THREADS, CALLS, CHUNK = 1, 8, 5


def shuffled(rows, seed):
    """Rows of which 30 % have a text that stands in other partitions, too."""
    draw = random.Random(seed)
    distinct = [f"row {number} {draw.random()}" for number in range(round(rows * 0.7))]
    texts = distinct + draw.choices(distinct, k=rows - len(distinct))
    draw.shuffle(texts)
    return pd.DataFrame({"text": texts})


def kill_while_computing(future, cluster, draw, most, pause_s):
    """Kill a worker again and again until all is computed; return how many were killed."""
    kills = 0
    while not future.done():
        time.sleep(draw.uniform(*pause_s))
        nannies = list(cluster.workers.values())  # one whose worker dies while it starts gives up
        at_work = [one.pid for one in nannies if one.worker_address in cluster.scheduler.workers]
        if len(at_work) > len(nannies) // 2 and kills < most and not future.done():
            os.kill(draw.choice(at_work), signal.SIGKILL)
            kills += 1
    return kills


def play(cache, rows, workers, kills, pause_s, latency, seed):
    frame = shuffled(rows, seed)
    config = {
        "distributed.scheduler.allowed-failures": 1_000,
        # Whoever starts processes beside these tests must not be taken for a dead worker.
        "distributed.scheduler.worker-ttl": None,
        "distributed.deploy.lost-worker-timeout": "600s",
        "distributed.comm.timeouts.connect": "300s",
        "distributed.comm.timeouts.tcp": "300s",
    }
    with (
        dask.config.set(config),
        LoopbackProvider.in_process(RULE, latency=latency) as provider,
        LocalCluster(
            n_workers=workers,
            threads_per_worker=THREADS,
            processes=True,
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster) as client,
    ):
        ddf = dd.from_pandas(frame, npartitions=workers * 5)
        labels = ddf.genai.extract(
            "Sum?", {"sum": int}, cache=cache, base_url=provider.openai_url, api_key="k",
            progress=False, max_workers=CALLS, chunk_size=CHUNK,
        )  # fmt: skip
        killed = kill_while_computing(
            client.compute(labels), cluster, random.Random(seed), kills, pause_s
        )
        computed = labels.compute()
        paid = sum(provider.ledger.answered.values())
    distinct, in_flight = frame["text"].nunique(), killed * THREADS * CALLS * CHUNK
    assert killed >= min(kills, 3)
    assert (computed["sum"] == frame["text"].map(lambda text: zlib.crc32(text.encode()))).all()
    report = computed.genai.report
    assert (report.rows, report.ok, report.failed, report.cached) == (rows, rows, 0, 0)
    assert report.status == "completed"
    assert len(pandas_genai.runs(cache)) == 1
    print(f"{rows:,} rows, {distinct:,} texts, {killed} kills: {paid - distinct} paid twice")
    assert distinct <= paid <= distinct + in_flight


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_a_few_kills(request, tmp_path, store):
    cache = tmp_path / "c.sqlite"
    if store == "postgres":
        cache = request.getfixturevalue("postgres_url")
    play(cache, 900, workers=2, kills=3, pause_s=(0.5, 1.5), latency=0.3, seed=7)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_many_kills(request, tmp_path, store):
    cache = tmp_path / "c.sqlite"
    if store == "postgres":
        cache = request.getfixturevalue("postgres_url")
    play(cache, 100_000, workers=8, kills=30, pause_s=(0.5, 4.0), latency=0.2, seed=11)


@pytest.fixture
def started():
    """Starts Dask's own programs; what is left of them is killed."""
    processes = []

    def start(module, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.{module}", *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.campaign
@pytest.mark.timeout(900)
def test_the_scheduler_is_killed_and_started_again(started, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    url, workers = f"tcp://{address[0]}:{address[1]}", 2

    def cluster():
        place = ["--host", address[0], "--port", address[1]]
        scheduler = started("dask_scheduler", *place, "--no-dashboard", "--no-show")
        for _ in range(workers):
            started("dask_worker", url, "--nthreads", THREADS, "--no-dashboard")
        return scheduler

    frame = shuffled(4_000, 3)
    given = {"api_key": "k", "progress": False, "max_workers": CALLS, "chunk_size": CHUNK}
    with LoopbackProvider.in_process(RULE, latency=0.3) as provider:
        scheduler = cluster()
        ddf = dd.from_pandas(frame, npartitions=10)
        with Client(url, timeout="60s") as client:
            client.wait_for_workers(workers, timeout=120)
            labels = ddf.genai.extract(
                "Sum?", {"sum": int}, cache=tmp_path / "c.sqlite", base_url=provider.openai_url,
                **given,
            )  # fmt: skip
            future = client.compute(labels)
            while provider.ledger.rows < 500:
                time.sleep(0.2)
            scheduler.kill()
            scheduler.wait()
            with pytest.raises(Exception, match=r".*"):
                future.result(timeout=60)
        cluster()
        with Client(url, timeout="60s") as client:
            client.wait_for_workers(1, timeout=120)
            computed = labels.compute()
        paid = sum(provider.ledger.answered.values())
    distinct = frame["text"].nunique()
    assert (computed["sum"] == frame["text"].map(lambda text: zlib.crc32(text.encode()))).all()
    print(f"{distinct:,} texts, the scheduler killed: {paid - distinct} paid twice")
    assert distinct <= paid <= distinct + workers * THREADS * CALLS * CHUNK
