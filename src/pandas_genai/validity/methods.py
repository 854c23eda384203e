"""How labels were made, in the words of a paper: the methods paragraph and the codebook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pandas_genai.errors import counted
from pandas_genai.runs import Report
from pandas_genai.validity.codebook import Codebook, written
from pandas_genai.validity.evaluate import Evaluation, latex_table, latex_text

__all__ = ["codebook_latex", "codebook_text", "methods_text"]

_AGREEMENT = {
    "accuracy": "accuracy",
    "cohen_kappa": "Cohen's kappa",
    "icc": "ICC(2,1)",
    "f1": "F1",
    "exact_match": "the share of equal texts",
}
"""The figures of an evaluation that stand in a paragraph, and their names there."""


def methods_text(report: Report, evaluation: Evaluation | None = None) -> str:
    """Write the methods paragraph; ``report.methods`` says how."""
    texts = f"{counted(report.rows, 'text')} {'was' if report.rows == 1 else 'were'} labelled"
    models = _joined(report.models) or "a language model"
    program = f"pandas-genai {report.version or ''}".strip()
    sentences = [
        f"{texts} by {models}{_days(report)} with {program}.",
        f"Instructions and schema are in the codebook (task {report.prompt_hash[:12]}).",
    ]
    sent = {name: value for name, value in report.params_sent.items() if name != "repeats"}
    if sent:
        sentences.append(f"Requests were sent with {_params(sent)}.")
    if report.repeats > 1:
        sentences.append(
            f"Each text was asked {report.repeats} times, independently; its label is the answer "
            "that was given most often."
        )
    if report.params_dropped:
        sentences.append(f"{_params(report.params_dropped)} was left out, as the model requires.")
    sentences.append(_outcome(report))
    if evaluation is not None:
        sentences += _compared(evaluation)
    return " ".join(sentences)


def _days(report: Report) -> str:
    first = report.answered_from or report.started
    last = report.answered_to or report.ended or first
    if first is None or last is None:
        return ""
    days = list(dict.fromkeys(map(_day, (first, last))))
    return f" on {days[0]}" if len(days) == 1 else f" between {days[0]} and {days[1]}"


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y}"


def _joined(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _params(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in params.items())


def _outcome(report: Report) -> str:
    share = f" ({report.ok / report.rows:.1%})" if report.rows else ""
    rest = [f"{report.empty:,} had no text"] if report.empty else []
    if report.failed:
        reasons = f" ({report.reasons})" if len(report.errors) else ""
        rest.append(f"{report.failed:,} failed{reasons}")
    answered = f"{report.ok:,}{share} were answered"
    return f"Of these, {_joined([answered, *rest])}."


def _compared(evaluation: Evaluation) -> Iterator[str]:
    """Say of each field how well labels agree with hand codes."""
    rows = evaluation.to_dict("records")
    for field in dict.fromkeys(row["field"] for row in rows):
        own = [row for row in rows if row["field"] == field and not isinstance(row["class"], str)]
        figures = [
            f"{_AGREEMENT[row['metric']]} {row['value']:.2f} "
            f"(95 % interval {row['low']:.2f} to {row['high']:.2f})"
            for row in own
            if row["metric"] in _AGREEMENT
        ]
        count = next((row["value"] for row in own if row["metric"] == "n"), 0)
        weighted = ", weighted by the sampling design" if evaluation.weighted else ""
        if figures:
            yield (
                f"Against {counted(int(count), 'hand-coded text')}, {field} has "
                f"{_joined(figures)}{weighted}."
            )


def codebook_text(codebook: Codebook) -> str:
    """Write instructions and fields as lines; ``report.codebook`` says how."""
    lines = [
        f"{name}: {values}{f' ({note})' if note else ''}" for name, values, note in _rows(codebook)
    ]
    return "\n".join([codebook.instructions, "", *lines])


def codebook_latex(codebook: Codebook) -> str:
    """Write instructions and fields for LaTeX."""
    instructions = "\\begin{quote}\n" + latex_text(codebook.instructions) + "\n\\end{quote}\n"
    return instructions + latex_table(["Field", "Values", "Meaning"], list(_rows(codebook)))


def _rows(codebook: Codebook) -> Iterator[tuple[str, str, str]]:
    for coded in codebook.fields:
        values = ", ".join(map(written, coded.labels)) or coded.kind_text
        yield coded.name, values, coded.description
