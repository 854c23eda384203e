"""Workers that are killed at random moments: each row right, and hardly a text paid twice."""

import random
import time
import zlib
from pathlib import Path

import dask.dataframe as dd
import pandas as pd
import pytest
from dask_clusters import THREADS, Programs, kill_while_computing, local_cluster
from distributed import Client

import pandas_genai
import pandas_genai.dask
from pandas_genai.testing import LoopbackProvider

RULE = f"{Path(__file__).with_name('rules.py')}:checksum"
CALLS, CHUNK = 8, 5


def shuffled(rows, seed):
    """Rows of which 30 % have a text that stands in other partitions, too."""
    draw = random.Random(seed)
    distinct = [f"row {number} {draw.random()}" for number in range(round(rows * 0.7))]
    texts = distinct + draw.choices(distinct, k=rows - len(distinct))
    draw.shuffle(texts)
    return pd.DataFrame({"text": texts})


def play(cache, rows, workers, kills, pause_s, latency, seed):
    frame = shuffled(rows, seed)
    with (
        LoopbackProvider.in_process(RULE, latency=latency) as provider,
        local_cluster(workers) as (cluster, client),
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


@pytest.mark.campaign
@pytest.mark.timeout(900)
def test_the_scheduler_is_killed_and_started_again(tmp_path):
    workers = 2
    frame = shuffled(4_000, 3)
    given = {"api_key": "k", "progress": False, "max_workers": CALLS, "chunk_size": CHUNK}
    with (
        LoopbackProvider.in_process(RULE, latency=0.3) as provider,
        Programs(workers) as cluster,
    ):
        ddf = dd.from_pandas(frame, npartitions=10)
        with Client(cluster.url, timeout="60s") as client:
            client.wait_for_workers(workers, timeout=120)
            labels = ddf.genai.extract(
                "Sum?", {"sum": int}, cache=tmp_path / "c.sqlite", base_url=provider.openai_url,
                **given,
            )  # fmt: skip
            future = client.compute(labels)
            while provider.ledger.rows < 500:
                time.sleep(0.2)
            cluster.kill_scheduler()
            with pytest.raises(Exception, match=r".*"):
                future.result(timeout=60)
        cluster.start()
        with Client(cluster.url, timeout="60s") as client:
            client.wait_for_workers(1, timeout=120)
            computed = labels.compute()
        paid = sum(provider.ledger.answered.values())
    distinct = frame["text"].nunique()
    assert (computed["sum"] == frame["text"].map(lambda text: zlib.crc32(text.encode()))).all()
    print(f"{distinct:,} texts, the scheduler killed: {paid - distinct} paid twice")
    assert distinct <= paid <= distinct + workers * THREADS * CALLS * CHUNK
