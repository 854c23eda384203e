"""Text searched for quotes per second: ``python tests/benchmarks/bench_quotes.py [cases]``.

Each text is looked through for its quote, one text a quote, in twenty scripts and in one that is
ASCII. The seconds are the process's own, so that what else runs counts little.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

from pandas_genai.task.quotes import find_quotes

sys.path.insert(0, str(Path(__file__).parents[1] / "task"))
from quote_cases import cases

LONG = 200_000


def rate(pairs: list[tuple[str, tuple[str, ...]]]) -> float:
    """Return megabytes of UTF-8 a second."""
    size = sum(len(text.encode()) for text, _ in pairs)
    began = time.process_time()
    for text, quotes in pairs:
        find_quotes([text], quotes)
    return size / 1e6 / (time.process_time() - began)


def main(count: int) -> None:
    """Print the rate for each kind of quote."""
    drawn = cases(count, seed=3)
    for kind in ("exact", "damaged", "repeated", "paraphrased", "invented"):
        pairs = [(case.text, case.quotes) for case in drawn if case.kind == kind]
        print(f"{kind:12} {rate(pairs):6.1f} MB/s")
    print(f"{'all':12} {rate([(case.text, case.quotes) for case in drawn]):6.1f} MB/s")
    rng = random.Random(4)
    words = ["inflation", "the", "rate", "of", "committee", "and", "policy.", "growth,"]
    text = "  ".join(rng.choices(words, k=LONG))
    print(f"{'one long':12} {rate([(text, ('THE COMMITTEE FINALLY AGREED',))]):6.1f} MB/s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
