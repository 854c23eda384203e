"""From a rule to the text that the model would have written, spoilt where it is scripted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pandas_genai.testing.asked import Asked, Refuse, Written, tokens_of
from pandas_genai.testing.faults import Struck

__all__ = ["Rule", "RuleError", "dumped", "finish", "payload_of", "spoil"]

Rule = Callable[[str], Mapping[str, Any] | list[Any] | None]

_GARBAGE = 'Certainly! Here is what I found:\n\n{"all_results": [{"input_id": '
_PROSE = "Here are the results you asked for:\n\n```json\n{text}\n```\n\nLet me know if I can help!"


class RuleError(Exception):
    """The test's own rule failed, which is nothing that a provider does."""


def payload_of(rule: Rule | None, rows: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Ask the rule about each row: ``{"all_results": [{"input_id": ..., <fields>}]}``.

    Raises
    ------
    Refuse
        If the rule does.
    RuleError
        If it fails otherwise.
    """
    if rule is None:
        raise RuleError("The loopback provider was given neither a rule nor an upstream.")
    entries = []
    for name, text in rows:
        try:
            fields = rule(text)
        except Refuse:
            raise
        except Exception as error:
            raise RuleError(f"The rule failed: {type(error).__name__}: {error}") from error
        if isinstance(fields, Mapping):
            entries.append({"input_id": name, **fields})
        elif isinstance(fields, list):
            entries.append({"input_id": name, "records": fields})
        elif fields is not None:
            raise RuleError(
                f"The rule answered {type(fields).__name__}: it answers a mapping of fields, a "
                "list of records, or None."
            )
    return {"all_results": entries}


def spoil(entries: list[dict[str, Any]], struck: Struck) -> None:
    """Spoil the ids or values of a reply in place, as the fault says."""
    wanted = [position for position, entry in enumerate(entries) if entry["input_id"] in struck.ids]
    if not wanted and entries:
        wanted = [struck.random.randrange(len(entries))]
    kind = struck.fault.kind
    for position in reversed(wanted):
        if kind == "missing":
            del entries[position]
        elif kind == "doubled":
            entries.append(_otherwise(entries, position))
        elif kind == "invented":
            stranger = {**entries[position], "input_id": f"{struck.random.getrandbits(40):010x}"}
            if struck.random.random() < 0.5:  # instead of the row, or beside it
                del entries[position]
            entries.append(stranger)
        elif kind == "wrong_type":
            entries[position] = _mistyped(entries[position])


def _otherwise(entries: Sequence[dict[str, Any]], position: int) -> dict[str, Any]:
    """Answer a row a second time: as another row, if that says something else."""
    first = entries[position]
    for other in entries:
        if {**other, "input_id": first["input_id"]} != first:
            return {**other, "input_id": first["input_id"]}
    return {name: value if name == "input_id" else _changed(value) for name, value in first.items()}


def _changed(value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, str):
        return f"{value} or not"
    return [] if isinstance(value, list) else None


def _mistyped(entry: Mapping[str, Any]) -> dict[str, Any]:
    records = entry.get("records")
    if isinstance(records, list) and records and isinstance(records[0], Mapping):
        return {**entry, "records": [_mistyped(records[0]), *records[1:]]}
    for name, value in entry.items():
        if name != "input_id":
            return {**entry, name: {"not": value}}
    return {**entry, "records": {}}


def finish(written: Written, asked: Asked, struck: Struck | None, *, fenced: bool) -> Written:
    """Apply what happens to a text as a whole: garbage, fences, cuts."""
    kind = struck.fault.kind if struck else ""
    if kind in ("garbage", "truncated"):
        written.answered = []
    if kind == "garbage":
        text = (struck.fault.message if struck else None) or _GARBAGE
        written.text, written.payload = text, {"text": text}
    elif fenced and asked.form in ("json_object", "text"):
        written.text = _PROSE.format(text=written.text)
    most = asked.limit
    if kind == "truncated":
        most = tokens_of(len(written.text) // 2)
        if asked.limit is not None:
            most = min(most, asked.limit)
    if most is not None and tokens_of(len(written.text)) > most:
        written.text = written.text[: most * 4]
        # A tool's input that was cut off arrives as far as it could be read: not at all.
        written.payload, written.answered, written.finish = {}, [], "length"
    elif kind == "truncated":
        written.payload, written.finish = {}, "length"
    return written


def dumped(payload: object) -> str:
    """Write JSON as models do: UTF-8 as it is.

    Raises
    ------
    RuleError
        If the rule's values are no JSON.
    """
    try:
        return json.dumps(payload, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise RuleError(f"The rule's answer is no JSON: {error}") from error
