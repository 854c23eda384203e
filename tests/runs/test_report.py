"""Reports: now, and in a later kernel."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
import pytest

from pandas_genai import RowsFailedWarning, UsageError
from pandas_genai.costs.prices import pricer
from pandas_genai.runs.report import label_json
from pandas_genai.task.reply import Usage
from pandas_genai.testing import Fault, LoopbackProvider

LATER = """
import json, sys
import pandas as pd, pandas_genai
out = pd.read_pickle(sys.argv[1])
report = out.genai.report
errors = out.genai.errors
print(json.dumps({"ok": report.ok, "cost": report.cost, "text": str(report),
                  "labels": [str(x) for x in errors.index], "reasons": errors["reason"].tolist()}))
"""


@pytest.mark.parametrize(
    "index",
    [
        pd.Index(["a", "b", "c"]),
        pd.RangeIndex(3),
        pd.MultiIndex.from_tuples([("a", 1), ("b", 2), ("b", 2)]),
        pd.date_range("2026-01-01", periods=3),
    ],
)
@pytest.mark.filterwarnings("ignore::pandas_genai.DuplicateIndexWarning")
def test_a_later_kernel_can_ask(index, tmp_path):
    frame = pd.DataFrame({"text": ["x", None, "poison"]}, index=index)
    with LoopbackProvider(
        lambda text: {"label": "good"}, faults=[Fault("refusal", text="poison")]
    ) as provider:
        with pytest.warns(RowsFailedWarning, match="2 of 3 rows"):
            out = frame.genai.extract(
                "Tone?",
                ["good"],
                base_url=provider.openai_url,
                api_key="k",
                progress=False,
                chunk_size=1,
            )
    out.to_pickle("out.pkl")
    script = [sys.executable, "-c", LATER, "out.pkl"]
    said = json.loads(subprocess.run(script, capture_output=True, check=True, text=True).stdout)
    assert said["ok"] == 1
    assert said["cost"] == out.genai.report.cost
    assert said["reasons"] == ["empty text", "refusal"]
    if not isinstance(index, pd.DatetimeIndex):
        assert said["labels"] == [str(label) for label in index[1:]]
    assert "without an answer: empty text 1, refusal 1" in said["text"]


def test_a_report_that_is_nowhere(tmp_path):
    frame = pd.DataFrame({"a": [1]})
    frame.attrs["pandas_genai_run"] = "0123"
    with pytest.raises(UsageError, match="is not in"):
        _ = frame.genai.report


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("a", '"a"'),
        (("a", 1), '["a", 1]'),
        (pd.Timestamp("2026-01-01"), '"2026-01-01 00:00:00"'),
        (1.5, "1.5"),
    ],
)
def test_labels_are_kept_readable(label, text):
    assert label_json(label) == text


def test_prices():
    vendor = pricer(backend="openai", base_url="https://api.openai.com/v1")
    gateway = pricer(backend="openai", base_url="https://gateway.example/v1")
    usage = Usage(1_000_000, 0, 0, 100_000)
    assert vendor(usage, "gpt-5.4-mini") == pytest.approx(0.75 + 0.45)
    assert gateway(usage, "gpt-5.4-mini") == vendor(usage, "gpt-5.4-mini")
    assert vendor(usage, "no-such-model") is None
    assert pricer(backend="openai", base_url="http://127.0.0.1", free=True)(usage, "x") == 0


def test_a_cached_token_is_cheaper():
    price = pricer(backend="anthropic", base_url="https://api.anthropic.com")
    assert price(Usage(1000, 900), "claude-haiku-5-5") < price(Usage(1000), "claude-haiku-5-5")


def test_each_call_is_priced_for_itself():
    """Above 100,000 tokens in one request this model costs five times as much."""
    price = pricer(backend="anthropic", base_url="https://api.anthropic.com")
    ten_calls = 10 * price(Usage(20_000), "claude-haiku-5-5")
    assert price(Usage(200_000), "claude-haiku-5-5") > 4 * ten_calls
