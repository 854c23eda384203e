"""Cards: what a run, or a request that was not sent yet, looks like in a notebook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from pandas_genai.backends.base import Backend
from pandas_genai.backends.registry import backend_named
from pandas_genai.batch import BatchJob, JobState
from pandas_genai.costs.plan import Plan
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
from pandas_genai.errors import UsageError, counted, printable
from pandas_genai.extract import Preview
from pandas_genai.runs import Report
from pandas_genai.task.prompt import inputs_in
from pandas_genai.validity.codebook import Codebook
from pandas_genai.validity.evaluate import Evaluation, latex_text
from pandas_genai.validity.methods import codebook_latex, codebook_text, methods_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["AwaitedCard", "PlanCard", "PreviewCard", "ReportCard", "ShownJob", "StateCard"]

_EXAMPLES = 3
_LONG = 300


class _Card:
    @classmethod
    def showing(cls, shown: DataclassInstance) -> Self:
        """Return an object that a notebook shows as a card; the object itself knows no screen."""
        return cls(**{item.name: getattr(shown, item.name) for item in fields(shown)})


class ReportCard(_Card, Report):
    """A report, as a card, and in the words of a paper."""

    _codebook: Codebook | None = None

    def about(self, codebook: Codebook | None) -> Self:
        """Add what was asked; return the report."""
        object.__setattr__(self, "_codebook", codebook)
        return self

    def methods(self, evaluation: Evaluation | None = None, *, latex: bool = False) -> str:
        """Write the paragraph for a paper that says how the labels were made.

        Parameters
        ----------
        evaluation : DataFrame, optional
            What ``labels.genai.evaluate(gold)`` returned: how well labels agree with hand codes.
        latex : bool, default False
            Whether it is written for LaTeX.

        Returns
        -------
        str
            Model as it answered, dates, the task's hash, rows, parameters as sent, failures with
            their reasons, and the agreement.
        """
        found = methods_text(self, evaluation)
        return latex_text(found) if latex else found

    def codebook(self, *, latex: bool = False) -> str:
        """Write instructions and fields, with the values that each may have.

        Parameters
        ----------
        latex : bool, default False
            Whether it is written for LaTeX, as a table with the package booktabs.

        Raises
        ------
        UsageError
            If nobody knows what was asked: ask the report of the labels in the kernel that made
            them, or beside their cache.
        """
        if self._codebook is None:
            raise UsageError(
                "What was asked is not known here: ask labels.genai.report in the kernel that made "
                "the labels, or beside the cache that they were made with."
            )
        return codebook_latex(self._codebook) if latex else codebook_text(self._codebook)

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

    def _repr_html_(self) -> str:
        return StateCard.showing(JobState.of(self.folder.read_manifest()))._repr_html_()

    def status(self) -> StateCard:
        """Ask the provider how far the job is. Nothing is submitted or collected.

        Returns
        -------
        JobState
            Prints as one line; a card in a notebook.
        """
        return StateCard.showing(super().status())

    def cancel(self) -> StateCard:
        """Ask the provider to end the job early; what it has finished can still be collected.

        Returns
        -------
        JobState
            As from ``status``.
        """
        return StateCard.showing(super().cancel())

    @property
    def report(self) -> ReportCard:
        """The report of the job so far, everything that was collected taken together."""
        report, manifest = super().report, self.folder.read_manifest()
        if report.models or report.calls or report.input_tokens:
            return ReportCard.showing(report)
        awaited = AwaitedCard.showing(report)
        object.__setattr__(awaited, "state", JobState.of(manifest))
        object.__setattr__(awaited, "asked", manifest.model)
        return awaited


class StateCard(_Card, JobState):
    """How far a job is, as a card."""

    def _repr_html_(self) -> str:
        rows = counted(self.rows, "row")
        facts = {"collected": f"{self.answered:,} of {rows}, {self.failed:,} failed"}
        if self.stage != "collected":
            batches = counted(self.batches, "batch", "batches")
            facts["ended"] = f"{self.ended:,} of {batches}"
            if self.worked_on:
                facts["done there"] = f"about {counted(self.worked_on, 'more row')}"
            if self.waiting:
                facts["waiting"] = f"{counted(self.waiting, 'batch', 'batches')} wait for quota"
        if self.submitted is not None:
            facts["submitted"] = f"{self.submitted:%Y-%m-%d %H:%M} UTC"
        if self.ends_by is not None:
            facts["ends by"] = f"{self.ends_by:%Y-%m-%d %H:%M} UTC"
        if self.stage in {"ended", "collected"} and self.usage.input_tokens:
            facts["cost so far"] = "unknown" if self.cost is None else text(f"${self.cost:,.4f}")
        if self.odd_lines:
            facts["odd lines"] = text(
                ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.odd_lines.items()))
            )
        return card(f"Job {text(self.name)} {quiet(text(self.stage))}", pairs(facts))


class AwaitedCard(ReportCard):
    """The report of a job of which nothing was collected yet: what is known of it."""

    state: JobState
    asked: str

    def __repr__(self) -> str:
        return (
            f"{self.state}\nmodel: {printable(self.asked)}\ntokens and cost: known once the "
            "results are collected\n"
            f"task: {self.prompt_hash}"
        )

    def _repr_html_(self) -> str:
        facts = {
            "model": text(self.asked),
            "tokens": quiet("known once the results are collected"),
            "cost": quiet("known once the results are collected"),
            "task": element("code", text(self.prompt_hash)),
        }
        title = f"Report of the job {text(self.state.name)}"
        return StateCard.showing(self.state)._repr_html_() + card(title, pairs(facts))


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


class PlanCard(_Card, Plan):
    """A plan, as a card."""

    def _repr_html_(self) -> str:
        cached = f" ({self.cached_tokens:,} of them cached)" if self.cached_tokens else ""
        tokens = f"about {self.input_tokens:,} in{cached}, {self.output_tokens:,} out"
        counts = f"{self.cached:,} answered already, {self.empty:,} empty"
        copies = counted(self.duplicates, "duplicate")
        asked = counted(self.texts, "text")
        facts = {
            "rows": f"{self.rows:,}: {counts}, {copies} of another row; {asked} to ask",
            "calls": text(self.calls_text if self.splits else f"{self.calls_text} each"),
            "tokens": f"{tokens} {quiet(text(self.basis_text))}",
            "live": text(self.live_text),
            "overnight": text(self.batch_text),
            "suggested": f"{element('b', text(self.suggestion))} {quiet(text(self.reason))}",
        }
        if self.long_texts is not None:
            facts["long texts"] = text(self.long_texts)
        return card(f"Plan {quiet(text(f'{self.model} {self.where}'))}", pairs(facts))


class PreviewCard(Preview):
    """Requests that a notebook shows as cards."""

    @classmethod
    def of_preview(cls, preview: Preview) -> Self:
        """Show a preview."""
        shown = cls(preview)
        shown.long_texts = preview.long_texts
        shown.backend, shown.model = preview.backend, preview.model
        return shown

    def _repr_html_(self) -> str:
        backend = backend_named(self.backend)
        cards = [_request(request, backend, self.model) for request in self]
        if self.long_texts is not None:
            cards.insert(0, card("Long texts", wrapped(text(self.long_texts))))
        return "".join(cards) or card(text(self.nothing))


def _request(request: dict[str, Any], backend: Backend, model: str) -> str:
    body = request["body"]
    prompt = backend.prompt_of(body)
    rows = inputs_in(prompt.user, prompt.media)
    schemas = dict(prompt.schemas)
    shown = {"model": model, **backend.params_of(body)}
    sent = [
        [element("code", text(token)), wrapped(text(one, 2_000))] for token, one in rows.items()
    ]
    return card(
        f"{text(request['method'])} {text(request['url'])}",
        pairs({name: element("code", text(_json(value))) for name, value in shown.items()}),
        section("instructions", wrapped(text(prompt.system))),
        section(counted(len(rows), "row"), table(["input_id", "input_text"], sent)),
        *([fold(quiet("schema"), element("pre", text(_json(schemas, 2))))] if schemas else []),
    )


def _json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
