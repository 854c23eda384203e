"""What stands behind the endpoints: the rule or another server, its answers spoilt as scripted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pandas_genai.testing.answers import dumped, finish, payload_of, spoil
from pandas_genai.testing.asked import Asked, Refuse, Usage, Written, reading, rows_of, tokens_of
from pandas_genai.testing.faults import Struck
from pandas_genai.testing.script import Script
from pandas_genai.testing.upstream import Upstream
from pandas_genai.testing.wire import Wire

__all__ = ["Model", "Reply"]

_LEAST_CACHED_TOKENS = 1024
_REFUSAL = "I'm sorry, but I can't help with that."


@dataclass(frozen=True, slots=True)
class Reply:
    """The body of a 200, and what it counts for."""

    body: Any
    answered: Sequence[str]
    usage: Usage


class Model:
    """Answers what was asked, whether it came alone or in a batch.

    Parameters
    ----------
    script : Script
        How to behave.
    upstream : Upstream, optional
        Who answers in the place of the rule.
    """

    def __init__(self, script: Script, upstream: Upstream | None) -> None:
        self._script = script
        self._upstream = upstream
        self._cached: set[tuple[str, str, str]] = set()

    def read(self, wire: Wire, body: Mapping[str, Any], headers: Mapping[str, str]) -> Asked:
        """Read a request and its rows.

        Raises
        ------
        Problem
            If this server does not take it.
        """
        with reading():
            known, model = self._script.models, body.get("model")
            if known is not None and isinstance(model, str) and model not in known:
                raise wire.unknown_model(model)
            asked = wire.read(body, headers)
            asked.rows = rows_of(asked.user)
        return asked

    def reply(self, wire: Wire, asked: Asked, struck: Struck | None, number: int) -> Reply:
        """Answer a request that was read.

        Raises
        ------
        Problem
            If the other server does not answer.
        RuleError
            If the rule fails.
        """
        written = self._written(asked, struck)
        usage = self._usage(wire, asked, written)
        model = self._script.answers_as.get(asked.model, asked.model)
        return Reply(wire.answer(asked, written, usage, number, model), written.answered, usage)

    def _written(self, asked: Asked, struck: Struck | None) -> Written:
        """Let the rule or the upstream model answer, and spoil it as scripted."""
        kind = struck.fault.kind if struck else ""
        if struck and kind in ("refusal", "content_filter"):
            return Written(struck.fault.message or _REFUSAL, kind)
        if self._upstream is not None:
            written = self._upstream.ask(asked)
        else:
            try:
                written = Written("", payload=payload_of(self._script.rule, asked.rows))
            except Refuse as refusal:
                return Written(refusal.text, "refusal")
        _count(written, asked, struck)
        return finish(written, asked, struck, fenced=self._script.fenced)

    def _usage(self, wire: Wire, asked: Asked, written: Written) -> Usage:
        """Count tokens; a long prefix is cached once it was seen."""
        prompt, completion = asked.prompt_tokens, tokens_of(len(written.text))
        if written.tokens is not None:
            return Usage(*written.tokens)
        prefix = tokens_of(len(asked.cacheable))
        if prefix < _LEAST_CACHED_TOKENS:
            return Usage(prompt, completion)
        key = (wire.name, asked.model, asked.cacheable)
        if key in self._cached:
            return Usage(prompt, completion, cached=prefix)
        self._cached.add(key)
        return Usage(prompt, completion, written=prefix)


def _count(written: Written, asked: Asked, struck: Struck | None) -> None:
    entries = (written.payload or {}).get("all_results")
    if not isinstance(entries, list):
        return
    entries = [entry for entry in entries if isinstance(entry, dict) and "input_id" in entry]
    if struck:
        spoil(entries, struck)
    written.payload = {"all_results": entries}
    written.text = dumped(written.payload)
    texts = dict(asked.rows)
    ids = {str(entry["input_id"]) for entry in entries}
    written.answered = [text for name, text in texts.items() if str(name) in ids]
