"""The user message in OpenAI's blocks, where it has more than text."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from pandas_genai.task.inputs import MediaPart, Part, TextPart

__all__ = ["read", "written"]

_IMAGE = "image/"


def written(content: str | Sequence[Part]) -> str | list[dict[str, Any]]:
    """Write a user message as the API takes it."""
    return content if isinstance(content, str) else [_block(part) for part in content]


def _block(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    url = f"data:{part.media_type};base64,{base64.b64encode(part.data).decode()}"
    if part.media_type.startswith(_IMAGE):
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "file", "file": {"filename": "input.pdf", "file_data": url}}


def read(content: str | Sequence[Mapping[str, Any]]) -> tuple[str, tuple[MediaPart, ...]]:
    """Read a user message back: what is text of it, and its images and files."""
    if isinstance(content, str):
        return content, ()
    text = "".join(block["text"] for block in content if block["type"] == "text")
    return text, tuple(_media(block) for block in content if block["type"] != "text")


def _media(block: Mapping[str, Any]) -> MediaPart:
    is_image = block["type"] == "image_url"
    url = block["image_url"]["url"] if is_image else block["file"]["file_data"]
    kind, data = url.removeprefix("data:").split(";base64,")
    return MediaPart(kind, base64.b64decode(data))
