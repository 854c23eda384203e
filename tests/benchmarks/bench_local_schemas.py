"""How many rows come back valid from the embedded model, over schemas with bounds of every kind.

By hand: ``python tests/benchmarks/bench_local_schemas.py [texts a schema] [schema ...]``. Each of
the ten schemas is asked of ten texts; 95 of the 100 rows are to be valid. ``at the bound`` counts
texts that are as long as they may be: a grammar ends them there, perhaps in the middle of a word.
"""

from __future__ import annotations

import sys
import time
import warnings

import pandas as pd

import pandas_genai  # noqa: F401 - registers df.genai
from pandas_genai import local

TEXTS = [
    "The Committee decided to raise the target range for the federal funds rate to 5 percent.",
    "I bought this vacuum in March 2023; it broke after two weeks and the support never answered.",
    "Dr. Ada Lovelace, 36, published her notes on the Analytical Engine in London on 1843-09-01.",
    "Great phone! Battery lasts two days, the camera is superb, and at 299 euros it is a bargain.",
    "Unemployment fell to 3.9 percent while inflation remained elevated.",
    "The parliament in Vienna voted 112 to 71 for the climate bill after a debate of nine hours.",
    "Room was tiny, breakfast cold, staff rude. We left after one night and want our money back.",
    "Apple, Microsoft and Nvidia reported record profits; shares rose between 2 and 7 percent.",
    "The vaccine trial enrolled 4,200 adults aged 18 to 65 in Brazil, Kenya and India.",
    'Wonderful concert: "Mahler\'s fifth" with fire, and the audience stood for ten minutes.',
]


def text(**bounds):
    return {"type": "string", **bounds}


def record(**properties):
    return {"type": "object", "properties": properties, "required": list(properties)}


def array(items, **bounds):
    return {"type": "array", "items": items, **bounds}


SCHEMAS = {
    "short": ("Summarise the text.", record(summary=text(maxLength=30))),
    "between": ("Summarise in a few words.", record(summary=text(minLength=10, maxLength=60))),
    "two": (
        "Give a title and a topic.",
        record(title=text(maxLength=20), topic=text(maxLength=15)),
    ),
    "code": ("Code the topic in three capital letters.", record(code=text(pattern="^[A-Z]{3}$"))),
    "loose": ("Name the topic in capital letters.", record(topic=text(pattern="[A-Z]"))),
    "list": (
        "List keywords.",
        record(keywords=array(text(maxLength=20), minItems=2, maxItems=4)),
    ),
    "numbers": (
        "Rate the tone from 1 to 5, and give the share of positive words.",
        record(
            score={"type": "integer", "minimum": 1, "maximum": 5},
            share={"type": "number", "minimum": 0, "maximum": 1},
        ),
    ),
    "nested": (
        "What is it about, and how does it end?",
        record(
            about=record(name=text(maxLength=25), kind={"enum": ["person", "thing", "event"]}),
            end=text(maxLength=40),
        ),
    ),
    "optional": (
        "Name a place and a person of the text, if there are any.",
        {
            "type": "object",
            "properties": {"place": text(maxLength=25), "person": text(maxLength=25)},
        },
    ),
    "long": ("Summarise the text in one sentence.", record(summary=text(maxLength=5_000))),
}


def bounds_in(node, value):
    """Yield each text with the length that it may have."""
    for variant in (node, *node.get("anyOf", ())):
        if isinstance(value, str) and "maxLength" in variant:
            yield value, variant["maxLength"]
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from bounds_in(node["properties"].get(name, {}), inner)
    if isinstance(value, list):
        for inner in value:
            yield from bounds_in(node.get("items", {}), inner)


def measure(base_url, name, texts):
    """Ask one schema of the texts; print and return how many rows are valid."""
    prompt, schema = SCHEMAS[name]
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = pd.DataFrame({"text": texts}).genai.extract(
            prompt,
            schema,
            base_url=base_url,
            model=local.MODEL,
            cache=False,
            chunk_size=1,
            max_workers=1,
            params={"max_tokens": 400},
            progress=False,
        )
    failed = out.genai.errors
    at_the_bound = [
        value
        for row in out.drop(index=failed.index).to_dict("records")
        for value, most in bounds_in(schema, row)
        if len(value) >= most
    ]
    took = (time.monotonic() - start) / len(texts)
    print(
        f"{name}: {len(texts) - len(failed)} of {len(texts)} valid, {len(at_the_bound)} texts at "
        f"the bound, {out.genai.report.calls} calls, {took:.1f} s a row",
        flush=True,
    )
    for message in failed["message"]:
        print(f"    {message}")
    for value in at_the_bound:
        print(f"    at the bound: {value!r}")
    return len(texts) - len(failed)


def main(texts, *names):
    """Measure every schema, or those that are named."""
    asked = TEXTS[: int(texts)]
    with local.serve() as base_url:
        valid = [measure(base_url, name, asked) for name in names or SCHEMAS]
    print(f"{sum(valid)} of {len(valid) * len(asked)} rows valid")


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["10"]))
