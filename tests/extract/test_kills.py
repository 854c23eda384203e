"""A process that is killed again and again: every row right, and hardly a text paid twice."""

import random
import signal
import subprocess
import sys
import time
import zlib

import pandas as pd
import pytest

from pandas_genai.testing import LoopbackProvider

WORKERS, CHUNK, LATENCY = 4, 5, 0.05
SCRIPT = """
import sys
import pandas as pd, pandas_genai

url, rows = sys.argv[1], int(sys.argv[2])
df = pd.DataFrame({"text": [f"row {number}" for number in range(rows)]})
df.genai.extract(
    "Sum?", {"sum": int}, base_url=url, api_key="k", cache="c.sqlite", progress=False,
    max_workers=int(sys.argv[3]), chunk_size=int(sys.argv[4]),
).to_pickle("labels.pickle")
"""


def right(text):
    return zlib.crc32(text.encode())


@pytest.mark.parametrize(
    ("kills", "rows"),
    [(4, 800), pytest.param(200, 12_000, marks=[pytest.mark.campaign, pytest.mark.timeout(1800)])],
)
def test_a_killed_run_goes_on_and_repeats_at_most_what_was_in_flight(tmp_path, kills, rows):
    draw, done = random.Random(5), 0
    with LoopbackProvider(lambda text: {"sum": right(text)}, latency=LATENCY) as provider:
        while True:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    SCRIPT,
                    provider.openai_url,
                    *map(str, (rows, WORKERS, CHUNK)),
                ],
                cwd=tmp_path,
            )
            before = provider.ledger.calls
            if done < kills:
                while provider.ledger.calls == before and process.poll() is None:
                    time.sleep(0.01)
                time.sleep(draw.uniform(0, 2 * rows / kills / WORKERS / CHUNK * LATENCY * 0.8))
                process.send_signal(signal.SIGKILL)
            if process.wait() == 0:
                break
            done += 1
            assert done <= kills
        paid = sum(provider.ledger.answered.values())
    labels = pd.read_pickle(tmp_path / "labels.pickle")
    assert labels["sum"].tolist() == [right(f"row {number}") for number in range(rows)]
    print(f"{rows:,} rows, {done} kills: {paid - rows} paid twice")
    assert rows <= paid <= rows + done * WORKERS * CHUNK
    assert done >= kills // 2
