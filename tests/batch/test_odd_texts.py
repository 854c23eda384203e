"""A text that cannot be written stops a submission before anything is sent, with its row."""

from __future__ import annotations

import pandas as pd
import pytest

import pandas_genai
from pandas_genai import UsageError
from pandas_genai.testing import LoopbackProvider


class Odd:
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize("verb", ["extract", "estimate", "preview", "batch_submit", "extract_df"])
def test_a_text_that_cannot_be_written_names_its_row(verb):
    texts = pd.Series(["a text"] * 2_000 + [Odd()], dtype=object).rename("t")
    frame = pd.DataFrame({"id": range(2_001), "t": texts}).set_axis([f"r{n}" for n in range(2_001)])
    with LoopbackProvider(lambda text: {"label": "good"}) as provider:
        where = {"base_url": provider.openai_url, "model": "m", "api_key": "key-of-a-test"}
        with pytest.raises(UsageError, match="The text of row 'r2000' cannot be written"):
            if verb == "extract_df":
                pandas_genai.extract_df(
                    frame, prompt="Tone?", cache_path="c.sqlite", text_col="t", **where
                )
            else:
                if verb == "preview":
                    del where["api_key"]
                method = getattr(frame.genai, verb)
                method("Tone?", ["good", "bad"], text="t", **where)
        assert provider.ledger.calls == 0
