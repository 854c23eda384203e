"""How much of a provider's limit a minute is used, and how many calls are refused.

``python tests/benchmarks/bench_rate.py [60 600 6000]`` prints a table: each line is a run of real
calls over loopback, on a clock that client and provider share and that moves when both wait. Above
100 a minute it moves on with each wait, and calls take no time.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workers"))
from rate_run import rate_run
from virtual_clock import HastyClock

CASES = (
    ("openai", {"kind": "requests"}),
    ("openai", {"kind": "tokens"}),
    ("anthropic", {"kind": "requests"}),
    ("anthropic", {"kind": "tokens"}),
)
MORE = (
    ("openai", {"stated": False, "rpm": 60}),
    ("openai", {"provider": {"limit_kind": "fixed"}}),
    ("openai", {"provider": {"limit_kind": "sliding"}}),
    ("anthropic", {"provider": {"limit_kind": "fixed"}}),
    ("anthropic", {"provider": {"limit_kind": "sliding"}}),
)


def line(limit, vendor, case):
    options = {"minutes": 3.2, "latency": 1.5}
    if limit > 100:  # so many threads that wait for one clock take hours
        options = {"minutes": 2.2, "latency": 0, "clock_type": HastyClock, "max_workers": 64}
    use = rate_run(limit, backend=vendor, **options, **case)
    how = "set with `rpm=`, no headers" if "rpm" in case else "learnt from headers"
    kept = case.get("provider", {}).get("limit_kind", "bucket")
    kind = case.get("kind", "requests")
    shares = f"{100 * use.used:.1f} % | {100 * use.refused:.2f} %"
    return f"| {limit:,} | {vendor} | {kind} | {how} | {kept} | {shares} |"


def main():
    print("| calls a minute | headers of | limited | limit is | kept as | used | answered 429 |")
    print("|---|---|---|---|---|---|---|")
    for limit in map(int, sys.argv[1:] or ["60", "600", "6000"]):
        for vendor, case in CASES + (MORE if limit == 60 else ()):
            print(line(limit, vendor, case), flush=True)


if __name__ == "__main__":
    main()
