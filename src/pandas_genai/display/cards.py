"""Cards: what a run, or a request that was not sent yet, looks like in a notebook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pandas as pd

from pandas_genai.batch import BatchJob
from pandas_genai.display.html import (
    card,
    element,
    fold,
    pairs,
    quiet,
    section,
    table,
    text,
    wrapped,
)
from pandas_genai.errors import counted
from pandas_genai.extract import Preview
from pandas_genai.report import Report
from pandas_genai.report.plan import Plan

__all__ = ["PlanCard", "PreviewCard", "ReportCard", "ShownJob"]

_EXAMPLES = 3
_LONG = 300


class ReportCard(Report):
    """A report that a notebook shows as a card; the report itself knows no screen."""

    @classmethod
    def of_report(cls, report: Report) -> ReportCard:
        """Show a report."""
        return cls(**{item.name: getattr(report, item.name) for item in fields(Report)})

    def _repr_html_(self) -> str:
        took = "" if self.seconds is None else f" in {self.seconds:,.1f} s"
        title = f"Run {text(self.run_id)} {quiet(text(self.status + took))}"
        answered = f"{self.ok:,} answered ({self.cached:,} of them from the cache)"
        facts = {
            "rows": f"{self.rows:,}: {answered}, {self.failed:,} failed, {self.empty:,} empty",
            "calls": f"{self.calls:,} ({self.retries:,} repeated)",
            "tokens": text(self.tokens_text),
            "cost": text(self.cost_text),
            "model": text(self.models_text),
            "sent with": text(self.params_text),
            "": text(self.message),
            "task": element("code", text(self.prompt_hash)),
        }
        facts = {name: fact for name, fact in facts.items() if fact}
        return card(title, pairs(facts), *_failures(self.errors))


class ShownJob(BatchJob):
    """A job whose report a notebook shows as a card."""

    @property
    def report(self) -> ReportCard:
        """What the job tells so far, everything that was collected taken together."""
        return ReportCard.of_report(super().report)


def _failures(errors: pd.DataFrame) -> Iterator[str]:
    """Group the rows without an answer by their reasons, a few examples each."""
    if not len(errors):
        return
    rows = []
    for reason, count in errors["reason"].value_counts().items():
        some = errors[errors["reason"] == reason].head(_EXAMPLES)
        shown = "".join(
            element("li", f"{element('code', text(label, 60))} {text(message, _LONG)}")
            for label, message in some["message"].items()
        )
        more = f" {quiet(f'and {count - len(some):,} more')}" if count > len(some) else ""
        rows.append([text(reason), f"{count:,}", element("ul", shown, "margin:0") + more])
    yield fold(f"{counted(len(errors), 'row')} without an answer", _table_of_reasons(rows))


def _table_of_reasons(rows: list[list[str]]) -> str:
    return table(["reason", "rows", "for example"], rows, ["left", "right", "left"])


class PlanCard(Plan):
    """A plan that a notebook shows as a card."""

    @classmethod
    def of_plan(cls, plan: Plan) -> PlanCard:
        """Show a plan."""
        return cls(**{item.name: getattr(plan, item.name) for item in fields(Plan)})

    def _repr_html_(self) -> str:
        cached = f" ({self.cached_tokens:,} of them cached)" if self.cached_tokens else ""
        tokens = f"about {self.input_tokens:,} in{cached}, {self.output_tokens:,} out"
        counts = f"{self.cached:,} answered already, {self.empty:,} empty"
        copies = counted(self.twins, "duplicate")
        asked = counted(self.texts, "text")
        facts = {
            "rows": f"{self.rows:,}: {counts}, {copies} of another row; {asked} to ask",
            "calls": f"{self.calls:,} of {counted(self.chunk_size, 'row')} each",
            "tokens": f"{tokens} {quiet(text(self.basis_text))}",
            "live": text(self.live_text),
            "overnight": text(self.overnight_text),
            "suggested": f"{element('b', text(self.suggestion))} {quiet(text(self.reason))}",
        }
        return card(f"Plan {quiet(text(f'{self.model} {self.where}'))}", pairs(facts))


class PreviewCard(Preview):
    """Requests that a notebook shows as cards."""

    def _repr_html_(self) -> str:
        return "".join(map(_request, self)) or card(text(self.nothing))


def _request(request: dict[str, Any]) -> str:
    body = dict(request["body"])
    messages = body.pop("messages")
    system = body.pop("system", None)
    if system is None:
        system = messages[0]["content"]
    rows = json.loads(messages[-1]["content"])
    format_ = {
        name: body.pop(name)
        for name in ("response_format", "output_config", "tools", "tool_choice")
        if name in body
    }
    sent = [
        [element("code", text(row["input_id"])), wrapped(text(row["input_text"], 2_000))]
        for row in rows
    ]
    return card(
        f"{text(request['method'])} {text(request['url'])}",
        pairs({name: element("code", text(_json(value))) for name, value in body.items()}),
        section("instructions", wrapped(text(_said(system)))),
        section(counted(len(rows), "row"), table(["input_id", "input_text"], sent)),
        *([fold(quiet("schema"), element("pre", text(_json(format_, 2))))] if format_ else []),
    )


def _said(content: object) -> str:
    """Return the text of a message, whether or not it is split into blocks."""
    if isinstance(content, list):
        return "\n".join(str(block.get("text", "")) for block in content)
    return str(content)


def _json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
