"""Dask, a provider, and clusters of real processes."""

import dask.dataframe as dd
import pandas as pd
import pytest
from distributed import Client, LocalCluster

import pandas_genai.dask  # noqa: F401 - gives ddf.genai
from pandas_genai.testing import LoopbackProvider


def tone(text):
    """The rule of these tests: an answer that knows its text."""
    return {"tone": "good" if "good" in text else "bad", "words": len(text.split())}


SCHEMA = {"tone": ["good", "bad"], "words": int}


@pytest.fixture
def provider():
    with LoopbackProvider(tone) as provider:
        yield provider


@pytest.fixture
def frame():
    """Forty rows, of which each text stands there twice, in other partitions."""
    texts = [f"a {'good' if number % 3 else 'bad'} text {number}" for number in range(20)]
    return pd.DataFrame({"text": texts * 2, "number": range(40)})


@pytest.fixture
def ddf(frame):
    return dd.from_pandas(frame, npartitions=4)


@pytest.fixture
def ask(provider, tmp_path):
    """Asks a Dask frame, lazily, with a cache file of this test."""

    def asking(data, prompt="Tone?", schema=None, **options):
        given = {"cache": tmp_path / "c.sqlite", "api_key": "k", "progress": False}
        given |= {"base_url": provider.openai_url, **options}
        return data.genai.extract(prompt, SCHEMA if schema is None else schema, **given)

    return asking


@pytest.fixture(scope="module")
def cluster():
    """Two processes with two threads each."""
    with LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with Client(cluster) as client:
        yield client
