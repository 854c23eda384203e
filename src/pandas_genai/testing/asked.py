"""What was asked of the provider, what it answers, and what it refuses, whichever wire."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Asked", "Problem", "Refuse", "Usage", "Written", "json_of", "reading", "rows_of"]
__all__ += ["text_of", "tokens_of"]


class Refuse(Exception):  # noqa: N818 - a rule says: raise Refuse("I would rather not")
    """Raised by a rule: the model refuses the whole call.

    Parameters
    ----------
    text : str, default "I can't help with that."
        What the model says instead of answering.
    """

    def __init__(self, text: str = "I can't help with that.") -> None:
        super().__init__(text)
        self.text = text


class Problem(Exception):  # noqa: N818 - it becomes an HTTP error, not a Python one
    """An answer that is an error, before either wire gives it its shape.

    Parameters
    ----------
    status : int
        The HTTP status.
    message : str
        For a person.
    kind : str
        The wire's ``error.type``.
    param, code : str, optional
        OpenAI's ``error.param`` and ``error.code``; Anthropic's ``error.details.error_code``.
    headers : mapping of str to str, optional
        Extra headers, such as ``retry-after``.
    late : bool, default False
        Whether it happened after the request was accepted: some servers then say 200.
    body : object, optional
        The whole body of the answer, instead of the wire's shape.
    """

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request_error",
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        late: bool = False,
        body: object = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code
        self.headers = dict(headers or {})
        self.late = late
        self.body = body


@dataclass(slots=True)
class Asked:
    """One call, read and found valid."""

    model: str
    system: str
    user: str
    rows: list[tuple[str, str]]
    """Pairs of ``input_id`` and ``input_text``."""
    limit: int | None = None
    """The most tokens that the answer may have."""
    form: str = "text"
    """``json_schema``, ``json_object``, ``text`` or ``tool``."""
    schema: Mapping[str, Any] | None = None
    tool: str = ""
    cacheable: str = ""
    """The prefix that a prompt cache may hold, empty when none."""
    thinks: bool = False
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompt_tokens(self) -> int:
        """An estimate of what the prompt costs."""
        return tokens_of(len(self.system)) + tokens_of(len(self.user))


@dataclass(slots=True)
class Written:
    """What the model wrote."""

    text: str
    finish: str = "stop"
    """``stop``, ``length``, ``refusal`` or ``content_filter``."""
    payload: dict[str, Any] | None = None
    """The same as an object, when it is one: a forced tool's input."""
    answered: list[str] = field(default_factory=list)
    """The texts that were answered under their own ids."""
    tokens: tuple[int, int] | None = None
    """Prompt and completion tokens, when another model counted them."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; ``prompt`` includes what the cache held or took."""

    prompt: int
    completion: int
    cached: int = 0
    written: int = 0


def json_of(raw: bytes | str) -> Any:
    """Parse a body; None where it is no JSON, or nested too deep to be read."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


@contextlib.contextmanager
def reading(what: str = "body") -> Iterator[None]:
    """Refuse what is read meanwhile and has the wrong type anywhere, as a vendor's validation does.

    Only reading belongs in the block: whatever else fails there would look like a bad request.

    Raises
    ------
    Problem
        A 400 that names what was read.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        raise Problem(400, f"{what}: Input has a value of a wrong type") from None


def tokens_of(characters: int) -> int:
    """Estimate tokens as a quarter of the characters, rounded up."""
    return -(-characters // 4)


def text_of(content: object) -> str:
    """Return the text of a message's content: a string, or a list of text blocks."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(
            str(block.get("text", "")) for block in content if isinstance(block, Mapping)
        )
    return ""


def last_user_text(messages: Iterable[Any]) -> str:
    """Return the text of the last user message."""
    found = ""
    for message in messages:
        if isinstance(message, Mapping) and message.get("role") == "user":
            found = text_of(message.get("content"))
    return found


def rows_of(user: str) -> list[tuple[str, str]]:
    """Read the rows out of a user message; of a row with images or files, what is text.

    Raises
    ------
    Problem
        A 400, if it is no JSON list of ``{"input_id", "input_text"}``.
    """
    try:
        items = json.loads(user)
        return [(item["input_id"], _joined(item["input_text"])) for item in items]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise Problem(
            400,
            'The loopback provider reads the user message as a JSON list of {"input_id", '
            '"input_text"}, and this one is not.',
            param="messages",
        ) from None


def _joined(text: Any) -> Any:
    """Return the text of an item, which is a list where images or files stand among it."""
    if not isinstance(text, list):
        return text
    return "\n".join(piece for piece in text if isinstance(piece, str))
