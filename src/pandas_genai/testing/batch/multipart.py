"""Uploads: the parts of a multipart form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pandas_genai.testing.asked import Problem

__all__ = ["Part", "parts_of"]

_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^;\s]+))', re.IGNORECASE)
_QUOTED = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Part:
    """A field of a form."""

    filename: str
    data: bytes


def parts_of(headers: Mapping[str, str], raw: bytes) -> dict[str, Part]:
    """Read a form by the names of its fields.

    Raises
    ------
    Problem
        A 400, if it is none.
    """
    found = _BOUNDARY.search(headers.get("content-type", ""))
    if not headers.get("content-type", "").startswith("multipart/form-data") or not found:
        raise Problem(400, "The request must be multipart/form-data.")
    mark = b"--" + (found[1] or found[2]).encode("latin-1")
    # What stands between two marks ends in a line break that belongs to the second.
    start, parts = raw.find(mark), {}
    while start >= 0:
        start += len(mark)
        end = raw.find(b"\r\n" + mark, start)
        if raw.startswith(b"--", start) or end < 0:
            break
        split = raw.find(b"\r\n\r\n", start, end)
        if split < 0:
            raise Problem(400, "A part of the form has no end of its headers.")
        named = dict(_QUOTED.findall(raw[start:split].decode("utf-8", "replace")))
        parts[named.get("name", "")] = Part(named.get("filename", ""), raw[split + 4 : end])
        start = end + 2
    return parts
