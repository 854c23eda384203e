"""``python -m pandas_genai demo``: twenty real rows, by a model or from the record."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from pandas_genai.accessor import genai
from pandas_genai.backends.registry import names
from pandas_genai.errors import GenaiError, Stopped

ROWS = 20
PROMPT = (
    "Read the FOMC statement. Did the Committee raise, lower or hold (keep unchanged) its target "
    "for the federal funds rate? If the text announces no decision on the rate, answer "
    "no_rate_decision."
)
ACTIONS = ["raise", "lower", "hold", "no_rate_decision"]
OPENING = 500
"""Characters of a statement that are sent: the decision stands in its first sentences."""
CLOSING = {
    "local": (
        "\nThe local model has 0.5 billion parameters. It shows that everything works, on your "
        "machine and\nwithout a key; its labels are not good enough for research. With a key, try\n"
        "  python -m pandas_genai demo --model gpt-6-luna"
    ),
    "the record": (
        "\nNo model was asked: the answers are the record's own. With a small model on your "
        "machine (491 MB):\n  pip install 'pandas-genai[local]' && python -m pandas_genai demo"
    ),
}


def statements() -> pd.DataFrame:
    """Return twenty statements, evenly spaced in time, with the action on record."""
    source = files("pandas_genai") / "data" / "fomc_statements.csv"
    with source.open(encoding="utf-8") as lines:
        table = pd.read_csv(lines).set_index("date").sort_index()
    picked = table.iloc[[round(i * (len(table) - 1) / (ROWS - 1)) for i in range(ROWS)]]
    return pd.DataFrame({"opening": picked["text"].str[:OPENING], "gold": picked["gold_action"]})


def recorded(text: str) -> dict[str, str]:
    """Answer with the action on record: the provider of ``--offline``."""
    frame = statements().set_index("opening")
    return {"action": str(frame.loc[text, "gold"])}


def offline(cache: Path | None) -> int:
    """Run the demo against a provider on this machine that answers with the record."""
    rule = f"pandas_genai.__main__:{recorded.__name__}"
    command = [sys.executable, "-m", "pandas_genai.testing", "--rule", rule]
    # It ends when this block closes its standard input.
    with subprocess.Popen(  # noqa: S603 - this package's own module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["openai_url"]
        return demo({"model": "the record", "base_url": url, "api_key": ""}, cache)


def demo(endpoint: dict[str, Any], cache: Path | None) -> int:
    """Label the statements twice, the second time from the cache, and show what came of it."""
    model = endpoint["model"]
    frame = statements()
    print(f"{ROWS} statements of the Federal Reserve, asked of {model!r}: which action?\n")
    with tempfile.TemporaryDirectory() as scratch:
        where = cache or Path(scratch) / "demo.sqlite"

        def ask() -> tuple[pd.DataFrame, float]:
            start = time.monotonic()
            labels = genai(frame).extract(
                PROMPT,
                {"action": ACTIONS},
                text="opening",
                cache=where,
                chunk_size=1,
                **endpoint,
            )
            return labels, time.monotonic() - start

        labels, first = ask()
        shown = genai(labels).join(frame).drop(columns="opening")
        shown["right"] = shown["gold"] == shown["action"].astype(str)
        print(f"\n{shown.to_string()}\n\n{genai(labels).report}\n")
        again, second = ask()
        print(f"\nThe same call again: {genai(again).report.calls} calls, from the cache.")
    same = "the same labels" if again.equals(labels) else "other labels"
    print(f"{first:.1f} s the first time, {second:.2f} s the second time, {same}.")
    print(f"{shown['right'].sum()} of {ROWS} labels agree with the record.")
    if model in CLOSING:
        print(CLOSING[model])
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pandas_genai")
    commands = parser.add_subparsers(dest="command", required=True)
    demo_parser = commands.add_parser("demo", help="label twenty real rows, twice")
    demo_parser.add_argument("--model", default="local", help="default: local, without a key")
    demo_parser.add_argument("--backend", choices=names())
    demo_parser.add_argument("--base-url")
    demo_parser.add_argument("--cache", type=Path, help="a cache file to keep")
    demo_parser.add_argument(
        "--offline", action="store_true", help="ask no model: answers on record, nothing is fetched"
    )
    given = parser.parse_args(arguments)
    endpoint = {"model": given.model, "backend": given.backend, "base_url": given.base_url}
    try:
        return offline(given.cache) if given.offline else demo(endpoint, given.cache)
    except (GenaiError, Stopped) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
