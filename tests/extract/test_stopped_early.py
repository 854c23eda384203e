"""Stop before the first request is out: one sentence, as at any later moment, and nothing paid."""

import subprocess
import sys

import pandas as pd
import pytest

import pandas_genai
from pandas_genai import Stopped
from pandas_genai.store import using
from pandas_genai.testing import LoopbackProvider

FRAME = pd.DataFrame({"text": ["a", "b", "c"]})
SCRIPT = """
import sys
import pandas as pd, pandas_genai
from pandas_genai.testing import LoopbackProvider

class Stop:  # pressed while the vendor's SDK is imported, which takes a second
    def find_spec(self, name, path, target=None):
        if name == sys.argv[1]:
            sys.meta_path.remove(self)
            raise KeyboardInterrupt

df = pd.DataFrame({"text": ["a", "b", "c"]})
with LoopbackProvider(lambda text: {"label": "good"}) as provider:
    given = {"api_key": "k", "base_url": getattr(provider, sys.argv[1] + "_url")}
    given |= {"backend": sys.argv[1], "cache": "c.sqlite"}
    sys.meta_path.insert(0, Stop())
    try:
        df.genai.extract("Tone?", ["good", "bad"], **given)
    except pandas_genai.Stopped as stopped:
        print(stopped)
    print(provider.ledger.calls, pandas_genai.runs("c.sqlite")["status"].tolist())
    print(df.genai.extract("Tone?", ["good", "bad"], **given)["label"].tolist())
"""


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_while_the_sdk_is_imported(sdk, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, sdk],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "Stopped: 0 of 3 rows are answered and kept. Run the cell again to go on with the rest.",
        "0 ['stopped']",
        "['good', 'good', 'good']",
    ]
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


class Pressed(pandas_genai.Observer):
    """Stop comes in the moment that the bar appears."""

    def started(self, progress):
        raise KeyboardInterrupt


def test_while_the_bar_appears():
    with LoopbackProvider(lambda text: {"label": "good"}) as provider:
        given = {"api_key": "k", "base_url": provider.openai_url, "cache": "c.sqlite"}
        with pytest.raises(Stopped, match="0 of 3 rows are answered and kept"):
            FRAME.genai.extract("Tone?", ["good", "bad"], progress=Pressed(), **given)
        assert provider.ledger.calls == 0
        runs = pandas_genai.runs("c.sqlite")
        assert runs["status"].tolist() == ["stopped"]
        with using("c.sqlite") as store:  # its rows are written down at its end at the latest
            assert len(set(store.run_rows(runs.index[0]))) == 3
        whole = FRAME.genai.extract("Tone?", ["good", "bad"], progress=False, **given)
    assert whole["label"].tolist() == ["good"] * 3


class Text:
    """A cell of which Stop comes while its text is read."""

    read = False

    def __str__(self):
        if not self.read:
            self.read = True
            raise KeyboardInterrupt
        return "b"


def test_while_texts_are_read():
    frame = pd.DataFrame({"text": ["a", Text()]})
    with LoopbackProvider(lambda text: {"label": "good"}) as provider:
        given = {"api_key": "k", "base_url": provider.openai_url, "progress": False}
        with pytest.raises(Stopped, match="Stopped before anything was asked: nothing was paid"):
            frame.genai.extract("Tone?", ["good", "bad"], text="text", **given)
        assert provider.ledger.calls == 0
        labels = frame.genai.extract("Tone?", ["good", "bad"], text="text", **given)
    assert labels["label"].tolist() == ["good", "good"]
