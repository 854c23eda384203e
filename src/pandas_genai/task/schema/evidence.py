"""The words that fields rest on, asked for beside them: how a record's schema grows by them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeAlias

from pandas_genai.errors import SchemaError, UsageError
from pandas_genai.task.schema.nodes import Node, split_null

__all__ = ["GROUNDED", "KEYWORD", "Quote", "asked_record", "checked_evidence", "evidence_names"]
__all__ += ["is_list", "split_quotes", "words_of"]

KEYWORD = "x-evidence"
"""Names in a schema's canonical form the fields whose words are asked for."""

GROUNDED = ("exact", "normalised", "ambiguous", "not found")
"""What may become of a quote."""

Quote: TypeAlias = str | list[str | None] | None
"""Of a field that is a list one quote for each item, of any other field one."""

_JOINED = " … "
_SUFFIXES = ("quote", "start", "end", "grounded", "column")


def evidence_names(field: str) -> tuple[str, str, str, str, str]:
    """Return the names of a field's quote, its start and end, how it was found and in which column.

    Examples
    --------
    >>> evidence_names("tone")
    ('tone_quote', 'tone_start', 'tone_end', 'tone_grounded', 'tone_column')
    """
    quote, start, end, grounded, column = (f"{field}_{suffix}" for suffix in _SUFFIXES)
    return quote, start, end, grounded, column


def checked_evidence(
    evidence: object, names: Sequence[str], record: Node | None
) -> tuple[str, ...]:
    """Return the fields whose words are asked for.

    Parameters
    ----------
    evidence : bool, list of str or None
        As ``df.genai.extract`` takes it.
    names : sequence of str
        The columns of an answer.
    record : dict or None
        The schema of a record; None without one.

    Raises
    ------
    UsageError, SchemaError
        If a field is not there, or its columns would have the names of others.
    """
    if evidence is None or evidence is False:
        return ()
    if record is None:
        raise UsageError(
            "evidence= needs a schema whose fields it can name: give one, such as "
            'schema={"tone": ["positive", "negative"]}.'
        )
    known = [name for name in names if name in record["properties"]]
    chosen = known if evidence is True else _listed(evidence, known)
    taken = {*names, *record["properties"]}
    for field in chosen:
        for name in evidence_names(field):
            if name in taken:
                raise SchemaError(
                    f'The schema has a field "{name}", a name that evidence= needs for the words '
                    f'that "{field}" rests on: rename it, or name other fields in evidence=[...].'
                )
    return tuple(dict.fromkeys(chosen))


def _listed(evidence: object, known: Sequence[str]) -> list[str]:
    if not isinstance(evidence, (list, tuple)) or not evidence:
        raise UsageError(
            "evidence= must be True or a list of fields, such as evidence="
            f"{list(known[:1])!r}, not {evidence!r:.60}."
        )
    for name in evidence:
        if name not in known:
            near = get_close_matches(str(name), known, n=1, cutoff=0.6)
            hint = (
                f"did you mean {near[0]!r}?" if near else f"it has {', '.join(map(repr, known))}."
            )
            raise UsageError(
                f"evidence= names {name!r:.60}, which is no field of the schema: {hint}"
            )
    return list(evidence)


def is_list(record: Node, field: str) -> bool:
    """Whether a field is a list, so that it has a quote for each item."""
    return split_null(record["properties"][field])[0].get("type") == "array"


def asked_record(record: Node, evidence: Sequence[str]) -> Node:
    """Return the schema of a record with a quote before each field that rests on one.

    The model looks for the words before it decides.
    """
    properties: dict[str, Node] = {}
    for name, node in record["properties"].items():
        if name in evidence:
            quote = evidence_names(name)[0]
            text: Node = {"type": "string"}
            properties[quote] = {"type": "array", "items": text} if is_list(record, name) else text
        properties[name] = node
    required = [
        name
        for name in properties
        if name in record["required"] or name not in record["properties"]
    ]
    return {**record, "properties": properties, "required": required}


def split_quotes(
    record: Any, evidence: Sequence[str], schema: Node
) -> tuple[Any, dict[str, Quote]]:
    """Split a record of a reply into the answer and its quotes, by the names of their columns.

    Quotes that are missing are None, and several where one was asked for are one with ellipses: a
    row does not fail by them.
    """
    if not isinstance(record, Mapping):
        return record, {}
    quotes: dict[str, Quote] = {}
    for field in evidence:
        name = evidence_names(field)[0]
        given = record.get(name)
        many = given if isinstance(given, list) else [given]
        texts = [_text(one) for one in many]
        if not is_list(schema, field):
            quotes[name] = _JOINED.join(filter(None, texts)) or None
            continue
        if given is None:
            texts = []
        value = record.get(field)
        items = len(value) if isinstance(value, list) else 0
        quotes[name] = texts + [None] * (items - len(texts))
    return {name: value for name, value in record.items() if name not in quotes}, quotes


def _text(quote: object) -> str | None:
    """Return a quote as a text that can be kept; None for nothing."""
    if quote is None or (isinstance(quote, str) and not quote.strip()):
        return None
    text = quote if isinstance(quote, str) else json.dumps(quote, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()


def words_of(record: Node, evidence: Sequence[str], *, many: bool) -> str:
    """Say what a quote is, for the model."""
    single = [field for field in evidence if not is_list(record, field)]
    listed = [field for field in evidence if is_list(record, field)]
    parts = []
    if single:
        pairs = ", ".join(f'"{evidence_names(field)[0]}" for "{field}"' for field in single)
        parts.append(f"{pairs} (a text; an empty one if nothing in the item says it)")
    if listed:
        pairs = ", ".join(f'"{evidence_names(field)[0]}" for "{field}"' for field in listed)
        parts.append(f"{pairs} (a list with one text for each item of the field, in their order)")
    request = (
        " Before each of these fields, quote the words of the item's text that its value rests on: "
        f"{'; '.join(parts)}. A quote is one passage, copied letter for letter, nothing left out."
    )
    return request + (" Give records in the order of their words in the text." if many else "")
