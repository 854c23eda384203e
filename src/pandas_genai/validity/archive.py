"""The archive behind labels: what a referee needs to have the same labels, without key or cache.

A ZIP file whose bytes depend on its content alone. ``manifest.json`` has the SHA-256 of every other
member; texts are in it only where that was asked for, otherwise their hashes.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pandas_genai.errors import UsageError
from pandas_genai.files import atomic_write
from pandas_genai.runs.report import label_value, repeats_of
from pandas_genai.store import AnswerStore
from pandas_genai.task.rows import rows_of_keys
from pandas_genai.task.schema import Schema
from pandas_genai.task.schema.evidence import evidence_names
from pandas_genai.validity.design import Design, carry, coder_of, design_of, notes_of, row_ids

__all__ = ["Archive", "gathered", "read_archive"]

_FORMAT = 1
_MANIFEST = "manifest.json"
_NEEDED = ("answers.jsonl", "failures.jsonl", "rows.csv", "run.json", "task.json")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_FAILURE = ("position", "text_hash", "reason", "message", "attempts", "request_id")

_README = """\
How these labels were made
==========================

{rows:,} rows were labelled by a language model with pandas-genai {version}.

task.json       what was asked: instructions, schema, model, parameters; the instructions hold the
                solved examples, where there were any
run.json        the run: dates, model as answered, parameters as sent, counts, tokens, cost
rows.csv        the key of each row, in the order of the frame; a key is the first half of the
                SHA-256 of what was sent of the row, empty where there was nothing to send
answers.jsonl   for each key the answer, and which model gave it, when, in which request
failures.jsonl  the rows without an answer, and why
codes.json      hand codes with the design by which rows were drawn, where there are any
texts.jsonl     what was sent of each row; only where the authors included it{texts}
manifest.json   the SHA-256 of each of these files

An answer may repeat words of a text where the task asks for words. Quotes as evidence are {quotes}.

To have the same labels, with the frame of texts as df:

    pip install pandas-genai
    import pandas_genai
    replication = pandas_genai.replicate("replication.zip", df)
    replication.labels, replication.report, replication.evaluation
"""


@dataclass(frozen=True)
class Archive:
    """What stands behind the labels of one run.

    Parameters
    ----------
    task : dict
        What was asked, by column of the table ``tasks``.
    run : dict
        The run, by column of the table ``runs``.
    form : dict or None
        ``text=``, as jobs keep it; None where nobody knows.
    keys : list
        The key of each row of the frame; None where nothing was sent.
    answers : dict
        By row key: ``answer``, and who gave it, when, and what it took.
    failures : list of dict
        The rows without an answer.
    codes : DataFrame, optional
        Hand codes.
    texts : dict, optional
        What was sent, by row key.
    """

    task: dict[str, Any]
    run: dict[str, Any]
    form: dict[str, Any] | None
    keys: list[str | None]
    answers: dict[str, dict[str, Any]] = field(repr=False)
    failures: list[dict[str, Any]] = field(repr=False)
    codes: pd.DataFrame | None = None
    texts: dict[str, str] | None = None

    def write(self, path: Path, schema: Schema) -> None:
        """Write it to a file.

        Parameters
        ----------
        path : Path
            The file.
        schema : Schema
            Of the answers: without texts their quotes are left out.
        """
        members = self._members(schema)
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
        members[_MANIFEST] = _json({"format": _FORMAT, "sha256": digests})
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            for name in sorted(members):
                about = zipfile.ZipInfo(name, _EPOCH)
                about.compress_type = zipfile.ZIP_DEFLATED
                about.external_attr = 0o644 << 16
                about.create_system = 3
                archive.writestr(about, members[name])
        atomic_write(path, file.getvalue(), mode=0o644)

    def _members(self, schema: Schema) -> dict[str, bytes]:
        kept = self.texts is not None
        answers = {
            key: known if kept else known | {"answer": _without_quotes(known["answer"], schema)}
            for key, known in self.answers.items()
        }
        failures = self.failures if kept else [one | {"message": ""} for one in self.failures]
        quotes = "kept" if kept else "left out, but for their places"
        members = {
            "README.txt": _README.format(
                rows=len(self.keys),
                version=self.run["version"],
                texts="" if kept else " (here it is not)",
                quotes=quotes,
            ).encode(),
            "task.json": _json({**self.task, "text": self.form}),
            "run.json": _json(self.run),
            "rows.csv": "".join(f"{key or ''}\n" for key in ["key", *self.keys]).encode(),
            "answers.jsonl": _lines({"key": key, **answers[key]} for key in sorted(answers)),
            "failures.jsonl": _lines(failures),
        }
        if self.codes is not None:
            members["codes.json"] = _json(_codes_value(self.codes, notes=kept))
        if self.texts is not None:
            texts = self.texts
            members["texts.jsonl"] = _lines(
                {"key": key, "text": texts[key]} for key in sorted(texts)
            )
        return members

    def results(self, schema: Schema, texts: Mapping[str, str]) -> dict[str, str]:
        """Return the answers as JSON text by row key, quotes put back from the texts.

        Parameters
        ----------
        schema : Schema
            Of the answers.
        texts : mapping
            What was sent, by row key; empty where quotes cannot be taken from it.
        """
        found = {}
        for key, known in self.answers.items():
            answer = known["answer"]
            if self.texts is None and key in texts:
                answer = _with_quotes(answer, schema, texts[key])
            found[key] = json.dumps(answer, ensure_ascii=False)
        return found


def gathered(
    store: AnswerStore,
    run_id: str,
    form: dict[str, Any] | None,
    codes: pd.DataFrame | None,
    texts: dict[str, str] | None,
) -> Archive:
    """Gather what a store has about a run.

    Parameters
    ----------
    store : AnswerStore
        The store.
    run_id : str
        The run.
    form, codes, texts
        See ``Archive``.

    Raises
    ------
    UsageError
        If the store does not have the run, or not its rows.
    """
    runs = store.runs(run_id)
    keys = store.run_rows(run_id)
    if not runs or not keys:
        raise UsageError(
            f"The run {run_id} is not in {store.shown}, or version 0.1.0 made it, which kept no "
            "row keys: run extract once more with the same cache, which asks nothing, and export "
            "its result."
        )
    (run,) = runs
    prompt_hash = run["prompt_hash"]
    (task,) = (task for task in store.tasks() if task["prompt_hash"] == prompt_hash)
    distinct = list(rows_of_keys(keys).repeated(repeats_of(run)).keys)
    known = store.read(prompt_hash, distinct)
    answers: dict[str, dict[str, Any]] = {}
    for one in store.provenance(prompt_hash, distinct):
        if one.text_hash in known:
            about = one._asdict()
            del about["text_hash"]
            answers[one.text_hash] = {"answer": json.loads(known[one.text_hash]), **about}
    failures = [{name: one[name] for name in _FAILURE} for one in store.failures(run_id)]
    shown = {name: value for name, value in run.items() if name not in {"host", "currency"}}
    return Archive(dict(task), shown, form, list(keys), answers, failures, codes, texts)


def read_archive(path: Path) -> Archive:
    """Read an archive, and see that it is what was written.

    Raises
    ------
    UsageError
        If it is not; one sentence says what is wrong.
    """
    members = _checked_members(path)
    try:
        task = json.loads(members["task.json"])
        form = task.pop("text")
        keys = members["rows.csv"].decode().split("\n")[1:-1]
        codes = members.get("codes.json")
        texts = members.get("texts.jsonl")
        return Archive(
            task,
            json.loads(members["run.json"]),
            form,
            [key or None for key in keys],
            {line.pop("key"): line for line in _read_lines(members["answers.jsonl"])},
            list(_read_lines(members["failures.jsonl"])),
            None if codes is None else _codes_of(json.loads(codes)),
            None if texts is None else {line["key"]: line["text"] for line in _read_lines(texts)},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is no archive of this version ({error}).") from error


def _checked_members(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except FileNotFoundError:
        raise UsageError(f"There is no archive {path}.") from None
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise UsageError(
            f"{path} is damaged, or is no archive of labels.genai.export() ({error}): ask the "
            "authors for it again."
        ) from error
    try:
        manifest = json.loads(members[_MANIFEST])
        digests, version = manifest["sha256"], manifest["format"]
    except (KeyError, TypeError, ValueError):
        raise UsageError(
            f"{path} is no archive of labels.genai.export(): it has no list of its members."
        ) from None
    if version != _FORMAT:
        raise UsageError(f"{path} was written by a newer version: upgrade pandas-genai.")
    for name in sorted({*_NEEDED, *digests, *members} - {_MANIFEST}):
        if name not in members:
            raise UsageError(f"{path} lacks {name}: it is not whole, ask the authors for it again.")
        if hashlib.sha256(members[name]).hexdigest() != digests.get(name):
            raise UsageError(
                f"{name} in {path} is not what was written: the archive was changed or damaged."
            )
    return members


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n"


def _lines(values: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(value, ensure_ascii=False).encode() + b"\n" for value in values)


def _read_lines(data: bytes) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in data.split(b"\n") if line)


def _records(answer: Any) -> list[dict[str, Any]]:
    return answer if isinstance(answer, list) else [answer]


def _without_quotes(answer: Any, schema: Schema) -> Any:
    """Return an answer with the hashes of quotes in their place."""
    if not schema.evidence:
        return answer
    changed = [dict(record) for record in _records(answer)]
    for record in changed:
        for name in schema.evidence:
            quote = evidence_names(name)[0]
            record[quote] = _hashed(record.get(quote))
    return changed if isinstance(answer, list) else changed[0]


def _hashed(quote: Any) -> Any:
    if isinstance(quote, list):
        return [_hashed(one) for one in quote]
    return quote and f"sha256:{hashlib.sha256(quote.encode()).hexdigest()}"


def _with_quotes(answer: Any, schema: Schema, text: str) -> Any:
    """Put quotes back that were found in a text: the words that stand there."""
    for record in _records(answer):
        for name in schema.evidence:
            quote, start, end, _, _ = evidence_names(name)
            record[quote] = _cut(text, record.get(start), record.get(end))
    return answer


def _cut(text: str, start: Any, end: Any) -> Any:
    if isinstance(start, list):
        return [_cut(text, *pair) for pair in zip(start, end, strict=True)]
    return None if start is None or end is None else text[start:end]


def _codes_value(codes: pd.DataFrame, *, notes: bool) -> dict[str, Any]:
    design = design_of(codes)
    labels = [label_value(label) for label in codes.index]
    return {
        "columns": [str(name) for name in codes.columns],
        "index": labels,
        "values": json.loads(codes.to_json(orient="values", date_format="iso")),
        "coder": coder_of(codes),
        "design": None if design is None else design.to_json(),
        "notes": {} if not notes else dict(_written_notes(codes)),
    }


def _written_notes(codes: pd.DataFrame) -> Sequence[tuple[str, str]]:
    rows = zip(row_ids(codes.index), notes_of(codes), strict=True)
    return [(row, note) for row, note in rows if note]


def _codes_of(known: Mapping[str, Any]) -> pd.DataFrame:
    labels = [tuple(one) if isinstance(one, list) else one for one in known["index"]]
    codes = pd.DataFrame(known["values"], columns=known["columns"], index=pd.Index(labels))
    design = None if known["design"] is None else Design.from_json(known["design"])
    return carry(codes, design, known["coder"], known["notes"])
