"""Job directories that the original toolkit wrote: what was sent from them, and what came back."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic_core import from_json

from pandas_genai.backends.batches import Outcome
from pandas_genai.backends.fields import as_list, as_moment, as_object, as_text
from pandas_genai.backends.json_text import read_object
from pandas_genai.backends.registry import backend_named
from pandas_genai.batch.folder import JobFolder
from pandas_genai.batch.manifest import opened, unreadable
from pandas_genai.batch.names import file_name
from pandas_genai.files import atomic_write
from pandas_genai.runs.report import label_value
from pandas_genai.task.chunks import Chunk, Row
from pandas_genai.task.inputs import NO_INPUT
from pandas_genai.task.reply import check_reply
from pandas_genai.task.schema import Schema

__all__ = ["OriginalJob", "Request", "Submission"]

_ASIDE = "original"
"""The directory of a job for what the original wrote where ours is written now."""
_MARK = "pandas_genai"
"""The key of a submission's file under which we note how far its batch is."""
_INPUTS = {"openai": "batch_*.jsonl", "anthropic": "requests*.json"}
_SUBMISSIONS = {"openai": "batch_output", "anthropic": "batch_input"}
_LISTS = ("all_results", "all results", "results")


@dataclass(frozen=True)
class Request:
    """One request that the original wrote.

    Parameters
    ----------
    custom_id, prompt, model : str
        As it was written.
    rows : dict of str to str
        The texts by the user's ids.
    schema : object
        As the user gave it; None where there was none.
    params : dict
        What else was sent: temperature, or the token limit and the name of the tool.
    """

    custom_id: str
    prompt: str
    model: str
    rows: dict[str, str]
    schema: object
    params: dict[str, Any]

    @classmethod
    def of(cls, entry: Mapping[str, Any], backend: str) -> Self:
        """Read an entry of a file of requests; whatever it lacks is a ``LookupError``."""
        body = entry["body"] if backend == "openai" else entry["params"]
        items = from_json(body["messages"][-1]["content"])
        rows = {str(item["input_id"]): str(item["input_text"]) for item in items}
        if backend == "openai":
            asked = body.get("response_format", {})
            schema = asked if asked.get("type") == "json_schema" else None
            prompt = body["messages"][0]["content"]
            params = {"temperature": body.get("temperature")}
        else:
            tool = next(iter(body.get("tools", [])), None)
            schema = None if tool is None else tool["input_schema"]
            prompt = body["system"][0]["text"]
            params = {"max_tokens": body["max_tokens"]}
            params |= {} if tool is None else {"tool_name": tool["name"]}
        return cls(str(entry["custom_id"]), str(prompt), str(body["model"]), rows, schema, params)


@dataclass
class Submission:
    """One batch that the original created.

    Parameters
    ----------
    path : Path
        The file that says so.
    found : dict
        What it holds: the batch as the provider described it.
    results, errors : Path
        Where its results belong.
    """

    path: Path
    found: dict[str, Any]
    results: Path
    errors: Path

    @property
    def id(self) -> str:
        """The provider's id of the batch."""
        return str(self.found["id"])

    @property
    def file_id(self) -> str | None:
        """The provider's id of the file that it was created from."""
        return as_text(self.found.get("input_file_id"))

    @property
    def created(self) -> float:
        """Epoch seconds."""
        return as_moment(self.found.get("created_at")) or 0.0

    @property
    def status(self) -> str:
        """How far the provider says it is."""
        noted = as_object(self.found.get(_MARK)).get("status")
        at_first = self.found.get("status") or self.found.get("processing_status")
        return as_text(noted or at_first) or "unknown"

    @property
    def is_collected(self) -> bool:
        """Whether there is nothing more to fetch."""
        return bool(as_object(self.found.get(_MARK)).get("collected"))

    @property
    def is_lost(self) -> bool:
        """Whether the provider does not have its results, and neither does the directory."""
        return bool(as_object(self.found.get(_MARK)).get("lost"))

    def note(self, status: str, *, collected: bool = False, lost: bool = False) -> None:
        """Write down how far the batch is, in the original's own file."""
        self.found[_MARK] = {"status": status, "collected": collected, "lost": lost}
        atomic_write(self.path, json.dumps(self.found))


class OriginalJob:
    """The directory of a job that the original toolkit began.

    Parameters
    ----------
    folder : JobFolder
        Where it lies; what pandas-genai submitted later lies there, too.
    backend : {"openai", "anthropic"}
        Whose.
    """

    def __init__(self, folder: JobFolder, backend: str) -> None:
        self.folder = folder
        self.backend = backend
        self._aside = folder.path / _ASIDE
        self._ours = _batches_of(folder)

    @classmethod
    def found(cls, folder: JobFolder, backend: str) -> Self | None:
        """Return the job of a directory, if the original wrote anything there."""
        job = cls(folder, backend)
        return job if job.submissions or job.inputs else None

    @property
    def is_topped_up(self) -> bool:
        """Whether there is a job of ours in the directory."""
        return self.folder.exists

    @cached_property
    def inputs(self) -> list[Path]:
        """The files of requests that are still there, in the order in which they were sent."""
        places = [self._aside / "batch_input"]
        if not self.is_topped_up:
            places.append(self.folder.path / "batch_input")
        return [path for place in places for path in sorted(place.glob(_INPUTS[self.backend]))]

    @cached_property
    def submissions(self) -> list[Submission]:
        """The batches that the original created, the oldest first."""
        name = _SUBMISSIONS[self.backend]
        found = []
        for root in (self._aside, self.folder.path):
            for path in sorted((root / name).glob("submission*.json")):
                noted = _json(path)
                if isinstance(noted, dict) and "job_id" not in noted and noted.get("id"):
                    found.append(self.submission(path, noted))
        return sorted(found, key=lambda one: one.created)

    def submission(self, path: Path, noted: dict[str, Any]) -> Submission:
        """Return a batch by the file that says that it was created."""
        output = path.parents[1] / "batch_output"
        if self.backend == "openai":
            name = file_name(str(noted["id"]))
            names = f"batch_result_{name}.jsonl", f"batch_error_{name}.txt"
        else:
            names = "results.jsonl", "errors.txt"
        return Submission(path, noted, output / names[0], output / names[1])

    @property
    def ended(self) -> bool:
        """Whether every batch has, and its results are here."""
        return all(one.is_collected for one in self.submissions)

    @cached_property
    def requests(self) -> dict[Path, list[Request]]:
        """What the files of requests hold."""
        return {path: list(self.read(path)) for path in self.inputs}

    def fetched_input(self, one: Submission) -> Path:
        """Return where the requests of a batch belong whose file of requests was removed."""
        self._aside.mkdir(mode=0o700, exist_ok=True)
        return self._aside / f"sent_{file_name(one.id)}.jsonl"

    def read(self, path: Path) -> Iterator[Request]:
        """Read a file of requests.

        Raises
        ------
        JobError
            If it does not hold what the original wrote.
        """
        try:
            for entry in self._entries(path):
                yield Request.of(entry, self.backend)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            why = f"it does not hold requests of the original toolkit: {error}"
            raise unreadable(path, why) from None

    def _entries(self, path: Path) -> Iterable[Any]:
        with opened(path) as file:
            if self.backend == "anthropic":
                return list(from_json(file.read()))
            return [from_json(line) for line in file if line.strip()]

    @property
    def first(self) -> Request | None:
        """One of the requests, which tells what was asked."""
        return next((one for found in self.requests.values() for one in found), None)

    def texts(self) -> dict[str, str]:
        """Return the texts of the requests that are still there, by the user's ids."""
        return {
            name: text
            for found in self.requests.values()
            for request in found
            for name, text in request.rows.items()
        }

    def answers(self, schema: Schema) -> dict[str, str]:
        """Return the valid answers by the user's ids, as JSON text.

        Each reply is held against the ids of its request. Where that is gone, as the original
        removes earlier requests, every id that the reply answers is taken for one of them.
        """
        sent = {
            request.custom_id: set(request.rows)
            for found in self.requests.values()
            for request in found
        }
        answered: dict[str, str] = {}
        for path in self._results():
            for outcome in self._outcomes(path):
                if outcome.answer is None or outcome.answer.fault is not None:
                    continue
                entries = _entries_of(outcome.answer.payload)
                named = {str(entry.get("input_id")): None for entry in entries}
                ids = sent.get(outcome.custom_id, set())
                wanted: Collection[str] = ids if ids & named.keys() else named
                chunk = Chunk(tuple(Row(name, name, NO_INPUT, -1) for name in wanted))
                accepted, _ = check_reply({"all_results": entries}, chunk, schema)
                answered |= accepted
        return answered

    def _results(self) -> list[Path]:
        """Return the files of results, the oldest first; one may lie there without a submission."""
        known = [one.results for one in self.submissions]
        if self.backend == "openai":
            output = self.folder.path / "batch_output"
            ours = {f"batch_result_{file_name(name)}.jsonl" for name in self._ours}
            found = sorted(output.glob("batch_result_*.jsonl"))
            known = [path for path in found if path.name not in ours and path not in known] + known
        return [path for path in known if path.exists()]

    def _outcomes(self, path: Path) -> Iterator[Outcome]:
        with opened(path) as file:
            for line in file:
                with suppress(ValueError):  # cut off, or no JSON: its rows have no answer
                    yield backend_named(self.backend).batches.outcome_of(read_object(line))

    def answered_requests(self, path: Path) -> set[str]:
        """Return the custom ids that a file of results answers."""
        return {one.custom_id for one in self._outcomes(path)} if path.exists() else set()

    def set_aside(self) -> None:
        """Move what would be in the way of ours; results of OpenAI's have names of their own."""
        kinds = [("batch_input", _INPUTS[self.backend])]
        if self.backend == "anthropic":
            kinds += [("batch_input", "submission*.json"), ("batch_output", "results*.jsonl")]
            kinds += [("batch_output", "errors*.txt")]
        for place, pattern in kinds:
            for path in sorted((self.folder.path / place).glob(pattern)):
                target = self._aside / place / path.name
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.replace(target)

    def keep_row_ids(self, labels: Iterable[object], answered: Iterable[str]) -> None:
        """Note the ids of the frame that is asked, in its order, for the result.

        Parameters
        ----------
        labels : iterable
            The ids of the frame.
        answered : iterable of str
            Ids with an answer, which the frame need not have.
        """
        names = [label_value(label) for label in labels]
        again = {str(name) for name in names}
        earlier = [label for label in self.row_ids(answered) if str(label) not in again]
        self._aside.mkdir(mode=0o700, exist_ok=True)
        atomic_write(self._aside / "rows.json", json.dumps([*earlier, *names]))

    def row_ids(self, answered: Iterable[str]) -> list[Any]:
        """Return the ids of the frames that were asked, in their order.

        Before any was, they are those of the requests and of the answers.
        """
        path = self._aside / "rows.json"
        if path.exists():
            return as_list(_json(path))
        return list(dict.fromkeys([*self.texts(), *answered]))


def _batches_of(folder: JobFolder) -> set[str]:
    """Return the batches of our own job in a directory."""
    if not folder.exists:
        return set()
    parts = folder.read_manifest().parts
    return {name for part in parts for name in (part.batch_id, *part.rejected) if name}


def _json(path: Path) -> Any:
    try:
        with opened(path) as file:
            return from_json(file.read())
    except ValueError as error:
        raise unreadable(path, f"no JSON: {error}") from None


def _entries_of(payload: object) -> list[dict[str, Any]]:
    """Return the entries of a reply, under each of the names that the original took."""
    reply = as_object(payload)
    found: object = next((reply[name] for name in _LISTS if reply.get(name)), [])
    listed = [found] if isinstance(found, dict) else as_list(found)
    return [entry for entry in listed if isinstance(entry, dict)]
