"""Coding one text after the other: where it stands, and what each step decides.

It knows no screen. A step is one message of the person who codes; what it decides is on the disk
before the next text is handed out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pandas_genai.errors import UsageError, counted
from pandas_genai.store.sqlite.reviews import Decision, ReviewFile
from pandas_genai.validity.codebook import CodedField, written
from pandas_genai.validity.review import Code, Review

__all__ = ["Coding", "codes_in"]

_BEGUN, _DONE, _SKIPPED = "begun", "done", "skipped"


def codes_in(path: Path) -> tuple[Review, dict[str, Code]]:
    """Return the review that a file of decisions is of, and what was decided.

    Raises
    ------
    UsageError, CacheError
        If the file holds no review, or is damaged.
    """
    about, decisions = ReviewFile(path).read()
    try:
        review = Review.from_json(about)
        codes = {row: Code(json.loads(one.answers), one.note) for row, one in decisions.items()}
    except (TypeError, ValueError):
        raise UsageError(f"{path} holds no hand codes that this version can read.") from None
    return review, codes


class Coding:
    """One person's way through the texts of a sample.

    Parameters
    ----------
    review : Review
        The rows, what is coded of them, and by whom.
    texts : sequence of str
        What is read, one a row.
    path : Path
        The file of decisions; one that is there is gone on with.

    Raises
    ------
    UsageError
        If the file is of another draw, other fields, or another coder.
    """

    def __init__(self, review: Review, texts: Sequence[str], path: Path) -> None:
        self.review = review
        self._texts = list(texts)
        self._file = ReviewFile(path)
        self._file.create(review.to_json())
        earlier, _ = codes_in(path)
        if not review.continues(earlier):
            raise UsageError(
                f"{path} holds codes of another draw, other fields or another coder: give this "
                "review another name."
            )
        if set(earlier.rows) < set(review.rows):
            self._file.describe(review.to_json())
        _, kept = self._file.read()
        self._decisions = {row: kept[row] for row in review.rows if row in kept}
        self._at = 0
        self._active = 0
        self._open(self._next(0))

    @property
    def path(self) -> Path:
        """The file of decisions."""
        return self._file.path

    @property
    def fields(self) -> list[dict[str, Any]]:
        """What is coded, for a screen."""
        return [
            {
                "name": one.name,
                "description": one.description,
                "labels": [written(label) for label in one.labels],
                "list": one.is_list,
                "kind": one.kind_text,
            }
            for one in self.review.codebook.fields
        ]

    @property
    def counts(self) -> tuple[int, int, int]:
        """Rows that are coded, that were skipped, and all."""
        states = [decision.state for decision in self._decisions.values()]
        return states.count(_DONE), states.count(_SKIPPED), len(self.review.rows)

    @property
    def line(self) -> str:
        """How far it is, for people."""
        done, skipped, total = self.counts
        more = f", {skipped:,} skipped" if skipped else ""
        return f"{done:,} of {counted(total, 'text')} coded{more}"

    def codes(self) -> pd.DataFrame:
        """Return the frame of codes so far."""
        decided = {
            row: Code(json.loads(one.answers), one.note) for row, one in self._decisions.items()
        }
        return self.review.codes(decided)

    def view(self) -> dict[str, Any]:
        """Return what a screen shows now."""
        done, skipped, total = self.counts
        shown: dict[str, Any] = {"done": done, "skipped": skipped, "total": total, "at": self._at}
        if self._at == total:
            return {**shown, "finished": True}
        decision = self._decision()
        answers = json.loads(decision.answers)
        return {
            **shown,
            "finished": False,
            "text": self._texts[self._at],
            "codes": {
                one.name: _shown(one, answers[one.name])
                for one in self.review.codebook.fields
                if one.name in answers
            },
            "note": decision.note,
            "state": decision.state,
            "active": self._active,
        }

    def step(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Take a step, and return what a screen shows next.

        Parameters
        ----------
        message : mapping
            ``do`` is ``set`` (``field``, and ``value``, None to leave it empty), ``note``
            (``text``), ``skip``, ``back``, ``forward``, ``choose`` (the place of a ``field``) or
            ``again`` (what is left, the skipped ones last). ``at`` is the text that the person
            saw: a step that is about another one is not taken.

        Returns
        -------
        dict
            As ``view`` does; with ``error``, one sentence, where a value is not allowed.
        """
        if message.get("at") != self._at:
            return self.view()
        steps = {
            "set": self._set,
            "note": self._note,
            "skip": self._skip,
            "back": lambda _: self._open(max(0, self._at - 1)),
            "forward": lambda _: self._open(min(self._at + 1, len(self.review.rows))),
            "choose": self._choose,
            "again": self._again,
        }
        try:
            steps[str(message.get("do"))](message)
        except KeyError as error:
            return {**self.view(), "error": f"The message cannot be read ({error})."}
        except ValueError as error:  # UsageError is one, too
            return {**self.view(), "error": f"{str(error).rstrip('.')}."}
        return self.view()

    def _decision(self) -> Decision:
        return self._decisions.get(self.review.rows[self._at], Decision("{}", "", _BEGUN))

    def _keep(self, decision: Decision) -> None:
        row = self.review.rows[self._at]
        self._file.add(row, decision)
        self._decisions[row] = decision

    def _set(self, message: Mapping[str, Any]) -> None:
        if self._at == len(self.review.rows):
            return
        fields = self.review.codebook.fields
        place = self.review.codebook.names.index(message["field"])
        value = message["value"]
        decision = self._decision()
        answers = json.loads(decision.answers)
        answers[fields[place].name] = None if value is None else fields[place].value(value)
        missing = [at for at, one in enumerate(fields) if one.name not in answers]
        text = json.dumps(answers, ensure_ascii=False)
        self._keep(Decision(text, decision.note, _BEGUN if missing else _DONE))
        if missing:
            self._active = next((at for at in missing if at > place), missing[0])
        elif place + 1 < len(fields) and decision.state == _DONE:
            self._active = place + 1  # somebody looks at all codes of a text again
        else:
            self._open(self._next(self._at + 1))

    def _note(self, message: Mapping[str, Any]) -> None:
        if self._at < len(self.review.rows):
            decision = self._decision()
            note = written(str(message["text"]))
            self._keep(Decision(decision.answers, note, decision.state))

    def _skip(self, _: Mapping[str, Any]) -> None:
        if self._at == len(self.review.rows):
            return
        decision = self._decision()
        if decision.state != _DONE:
            self._keep(Decision(decision.answers, decision.note, _SKIPPED))
        self._open(self._next(self._at + 1))

    def _choose(self, message: Mapping[str, Any]) -> None:
        self._active = max(0, min(int(message["field"]), len(self.review.codebook.fields) - 1))

    def _again(self, _: Mapping[str, Any]) -> None:
        places = range(len(self.review.rows))
        skipped = next((at for at in places if self._state(at) == _SKIPPED), self._at)
        undecided = self._next(0)
        self._open(skipped if undecided == len(places) else undecided)

    def _state(self, at: int) -> str:
        decision = self._decisions.get(self.review.rows[at])
        return _BEGUN if decision is None else decision.state

    def _next(self, start: int) -> int:
        """Return the next text that nobody has decided about, from a place on and then before."""
        places = [*range(start, len(self.review.rows)), *range(start)]
        undecided = (at for at in places if self._state(at) == _BEGUN)
        return next(undecided, len(self.review.rows))

    def _open(self, at: int) -> None:
        """Go to a text, and there to the first field that is not coded."""
        self._at = at
        if at == len(self.review.rows):
            return
        answers = json.loads(self._decision().answers)
        names = self.review.codebook.names
        self._active = next((place for place, one in enumerate(names) if one not in answers), 0)


def _shown(coded: CodedField, value: Any) -> Any:
    """Return a code as a screen shows it: text, or a list of them."""
    if value is None:
        return None
    return [written(one) for one in value] if coded.is_list else written(value)
