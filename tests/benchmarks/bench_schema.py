"""Validated rows per second: ``python tests/benchmarks/bench_schema.py [repeats]``.

Each shape is held against a bare ``TypeAdapter.validate_python`` of the same shape, which checks
less: it takes a truth value for a number, and it does not write the record back as JSON. The
seconds are the process's own, so that what else runs counts little; the ratio counts, best of all.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter
from typing_extensions import TypedDict

from pandas_genai.task.schema import compile_schema

ROWS = 4_000
TONES = ["positive", "negative", "neutral"]
Tone = Literal["positive", "negative", "neutral"]


class Label(TypedDict):
    label: Tone


class Record(TypedDict):
    tone: Tone
    year: int | None
    score: float
    urgent: bool
    why: str


class Dated(TypedDict):
    day: date
    title: str


class Listed(TypedDict):
    topics: list[str]
    years: list[int]


class Person(TypedDict):
    name: str
    age: int | None


class Nested(TypedDict):
    people: list[Person]
    place: str


class Bounded(TypedDict):
    strength: Annotated[int, Field(ge=0, le=10)]
    share: Annotated[float, Field(ge=0, le=1)]
    code: Annotated[str, Field(max_length=12)]
    tags: Annotated[list[Tone], Field(max_length=5)]


class Model(BaseModel):
    tone: Tone
    year: int | None = None
    score: float
    why: str


DOCUMENT = {
    "type": "object",
    "properties": {
        "strength": {"type": "integer", "minimum": 0, "maximum": 10},
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "code": {"type": "string", "maxLength": 12},
        "tags": {"type": "array", "items": {"enum": TONES}, "maxItems": 5},
    },
    "required": ["strength", "share", "code", "tags"],
}
WHY = "The text speaks of a long wait and of friendly people."
SHAPES: dict[str, tuple[object, Any, dict[str, Any]]] = {
    "labels": (TONES, Label, {"label": "negative"}),
    "record": (
        {"tone": TONES, "year": int | None, "score": float, "urgent": bool, "why": str},
        Record,
        {"tone": "neutral", "year": 1999, "score": 0.5, "urgent": True, "why": WHY},
    ),
    "date": ({"day": date, "title": str}, Dated, {"day": "2024-01-31", "title": WHY}),
    "lists": (
        {"topics": [str], "years": [int]},
        Listed,
        {"topics": ["price", "staff", "food"], "years": [1999, 2001]},
    ),
    "nested": (
        {"people": [{"name": str, "age": int | None}], "place": str},
        Nested,
        {"people": [{"name": "Ann", "age": 31}, {"name": "Bo", "age": None}], "place": "Bonn"},
    ),
    "JSON schema": (
        DOCUMENT,
        Bounded,
        {"strength": 7, "share": 0.25, "code": "AB-12", "tags": ["positive", "neutral"]},
    ),
    "TypedDict": (
        Record,
        Record,
        {"tone": "neutral", "year": 1999, "score": 0.5, "urgent": True, "why": WHY},
    ),
    "model": (Model, Model, {"tone": "neutral", "year": 1999, "score": 0.5, "why": WHY}),
}


def seconds(check: Callable[[Any], object], answer: dict[str, Any]) -> float:
    """CPU seconds of the check of all rows, each a dict of its own."""
    rows = [dict(answer) for _ in range(ROWS)]
    start = time.process_time()
    for row in rows:
        check(row)
    return time.process_time() - start


def main(repeats: int) -> None:
    """Print a line per shape: rows per second, those of the bare adapter, and the ratio."""
    print(f"{'shape':12} {'rows/s':>10} {'bare':>10} {'ratio':>6}")
    ratios = []
    for name, (spec, shape, answer) in SHAPES.items():
        ours, bare = compile_schema(spec).validate, TypeAdapter(shape).validate_python
        ours(dict(answer))
        pairs = [(seconds(ours, answer), seconds(bare, answer)) for _ in range(repeats)]
        fastest, plain = (min(column) for column in zip(*pairs, strict=True))
        ratios.append(plain / fastest)
        print(f"{name:12} {ROWS / fastest:10,.0f} {ROWS / plain:10,.0f} {ratios[-1]:6.3f}")
    print(f"{'all':12} {'':10} {'':10} {statistics.geometric_mean(ratios):6.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 25)
