"""Stop in the user's kernel stops what workers ask, wherever they are."""

import os
import signal
import subprocess
import sys
import time

import dask.dataframe as dd
import pandas as pd
import pytest

import pandas_genai
from pandas_genai.testing import LoopbackProvider

KERNEL = """
import os, sys
import dask, dask.dataframe as dd, pandas as pd
import pandas_genai.dask

def main():
    url, where = sys.argv[1:]
    frame = pd.DataFrame({"text": [f"row {number}" for number in range(2000)]})
    ddf = dd.from_pandas(frame, npartitions=16)
    if where == "cluster":
        from distributed import Client, LocalCluster
        cluster = LocalCluster(
            n_workers=2, threads_per_worker=2, processes=True, dashboard_address="127.0.0.1:0"
        )
        client = Client(cluster)
    else:
        dask.config.set(scheduler=where, num_workers=4)
    labels = ddf.genai.extract(
        "Repeat.", {"answer": str}, base_url=url, api_key="k", cache="c.sqlite", max_workers=4,
    )
    print("ready", flush=True)
    try:
        labels.compute()
    except KeyboardInterrupt:
        print("stopped", flush=True)
    sys.stdin.readline()
    print(labels.genai.report.status, flush=True)

if __name__ == "__main__":
    main()
"""


def echo(text):
    return {"answer": text}


@pytest.fixture
def kernel():
    started = []

    def start(url, where):
        process = subprocess.Popen(
            [sys.executable, "-c", KERNEL, url, where],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Jupyter, too, interrupts a kernel with its children
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("where", ["cluster", "threads", "synchronous", "processes"])
def test_no_call_begins_two_seconds_after_stop(kernel, where):
    with LoopbackProvider(echo, latency=0.2) as provider:
        process = kernel(provider.openai_url, where)
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
        provider.wait_for(calls=20, timeout=60)
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(2.0)
        begun = provider.ledger.calls
        assert process.stdout.readline() == "stopped\n", process.communicate()[1]
        time.sleep(2.0)
        assert provider.ledger.calls == begun < 200
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "stopped\n"
        answered = dict(provider.ledger.answered)
        # What was answered is kept, and a later computation goes on with the rest.
        frame = pd.DataFrame({"text": [f"row {number}" for number in range(2000)]})
        given = {"base_url": provider.openai_url, "api_key": "k", "cache": "c.sqlite"}
        provider.latency = 0.0
        ddf = dd.from_pandas(frame.iloc[:600], npartitions=4)
        labels = ddf.genai.extract("Repeat.", {"answer": str}, progress=False, **given).compute()
        assert (labels["answer"] == frame["text"].iloc[:600]).all()
        twice = sum(count - 1 for count in provider.ledger.answered.values())
        assert twice == 0, answered
    assert len(pandas_genai.runs("c.sqlite")) == 2
