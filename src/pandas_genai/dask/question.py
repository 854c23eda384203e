"""A question as workers get it: decided once, where the user is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

from pandas_genai.backends.endpoints import Endpoint
from pandas_genai.backends.resolve import Question, Resolved
from pandas_genai.task.task import BoundTask

__all__ = ["SentQuestion"]


@dataclass(frozen=True)
class SentQuestion(Question):
    """A question whose model, address and key are the user's, whatever a worker's settings say.

    Parameters
    ----------
    endpoint : Endpoint
        Address and key; without a key each worker looks for its own.
    model : str
        The model's name.
    """

    endpoint: Endpoint = field(default_factory=lambda: Endpoint("", ""))
    model: str = ""

    @classmethod
    def of(cls, question: Question) -> Self | Question:
        """Decide what the settings here decide; the embedded model is each worker's own.

        Raises
        ------
        UsageError, CredentialsError
            If something is wrong that can be known before a request.
        """
        found = question.resolve()
        if found.is_local:
            return question
        return cls(question.task, endpoint=found.endpoint, model=found.task.model)

    def resolve(self) -> Resolved:
        """Return what was decided, with the worker's own key where none was sent along."""
        endpoint, task = self.endpoint, self.task
        if not endpoint.api_key:
            there = Question(task, base_url=endpoint.full_url or endpoint.base_url).resolve()
            endpoint = replace(endpoint, api_key=there.endpoint.api_key)
        bound = BoundTask.of(
            task, model=self.model, backend=endpoint.backend, host=endpoint.identity
        )
        return Resolved(endpoint, bound)
