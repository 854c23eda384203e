"""Two processes ask overlapping rows of one store, for a while: no row is paid twice."""

import collections

import pytest

from pandas_genai.testing import LoopbackProvider

ASK = """
import random, sys, time
import pandas as pd
import pandas_genai

cache, url, seed, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
chance = random.Random(seed)
print("ready", flush=True)
sys.stdin.readline()
end, rows = time.monotonic() + seconds, 0
while time.monotonic() < end:
    start = chance.randrange(rows // 4 * 3 + 1)  # most of it is new to both
    numbers = chance.sample(range(start, start + 400), 200)
    frame = pd.DataFrame({"text": [f"row {number}" for number in numbers]})
    out = frame.genai.extract(
        "Repeat.", {"answer": str}, base_url=url, api_key="sk-test", cache=cache, progress=False,
        max_workers=8, chunk_size=chance.choice([1, 5]),
    )
    assert (out["answer"] == frame["text"]).all()
    rows += 200
print(rows, flush=True)
"""


def ask_together(child, url, seconds, seed):
    """Return how often each text was answered, and how many rows were asked for."""
    with LoopbackProvider(lambda text: {"answer": text}, latency=0.01) as provider:
        processes = [
            child(ASK, url, provider.openai_url, seed + number, seconds, stdin=-1)
            for number in range(2)
        ]
        for process in processes:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        asked = 0
        for process in processes:
            out, err = process.communicate(timeout=seconds + 120)
            assert (process.returncode, err) == (0, "")
            asked += int(out)
        return collections.Counter(provider.ledger.answered), asked


@pytest.mark.parametrize(
    "seconds", [pytest.param(4, id="short"), pytest.param(60, marks=pytest.mark.campaign)]
)
def test_no_row_is_paid_twice(url, child, seconds):
    answered, asked = ask_together(child, url, seconds, seed=seconds)
    assert asked > 1.1 * len(answered)  # they did ask the same rows
    assert {text: count for text, count in answered.items() if count > 1} == {}
