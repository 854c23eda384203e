"""The user message in Anthropic's blocks, where it has more than text."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from pandas_genai.task.inputs import MediaPart, Part, TextPart

__all__ = ["read", "written"]


def written(content: str | Sequence[Part]) -> str | list[dict[str, Any]]:
    """Write a user message as the API takes it."""
    return content if isinstance(content, str) else [_block(part) for part in content]


def _block(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    data = base64.b64encode(part.data).decode()
    source = {"type": "base64", "media_type": part.media_type, "data": data}
    kind = "image" if part.media_type.startswith("image/") else "document"
    return {"type": kind, "source": source}


def read(content: str | Sequence[Mapping[str, Any]]) -> tuple[str, tuple[MediaPart, ...]]:
    """Read a user message back: what is text of it, and its images and files."""
    if isinstance(content, str):
        return content, ()
    text = "".join(block["text"] for block in content if block["type"] == "text")
    sources = [block["source"] for block in content if block["type"] != "text"]
    return text, tuple(
        MediaPart(source["media_type"], base64.b64decode(source["data"])) for source in sources
    )
