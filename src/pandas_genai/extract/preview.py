"""The requests that a run would send, for reading."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from pandas_genai.backends.caller import request_body
from pandas_genai.backends.params import check_params
from pandas_genai.backends.registry import backend_named
from pandas_genai.backends.resolve import Question
from pandas_genai.costs.window import ContextWindow, LongTexts
from pandas_genai.errors import printable
from pandas_genai.options import RunOptions
from pandas_genai.runs.report import label_text
from pandas_genai.task.chunks import plan_chunks
from pandas_genai.task.inputs import Inputs, Value
from pandas_genai.task.rows import distinct_rows

__all__ = ["Preview", "preview_requests"]

_BASE64 = re.compile(r"[A-Za-z0-9+/]{200,}={0,2}")


class Preview(list[dict[str, Any]]):
    """Requests as dicts with ``method``, ``url`` and ``body``; prints readably.

    Attributes
    ----------
    long_texts : LongTexts or None
        The texts of all rows that do not fit into the model's context window, or may not.
    backend, model : str
        The wire format of the bodies, and the model that they are for.
    """

    long_texts: LongTexts | None = None
    backend: str = ""
    model: str = ""

    @property
    def nothing(self) -> str:
        """What to say where there is no request."""
        return "" if self else "Nothing would be sent: no row has a text."

    def __repr__(self) -> str:
        requests = (
            f"{request['method']} {request['url']}\n{self._written(request['body'])}"
            for request in self
        )
        shown = [*requests, *([str(self.long_texts)] if self.long_texts else [])]
        return self.nothing or printable("\n\n".join(shown))

    def _written(self, body: Mapping[str, Any]) -> str:
        """Write a body as JSON; of images and files the first characters."""
        text = json.dumps(body, ensure_ascii=False, indent=2)
        if not backend_named(self.backend).prompt_of(body).media:
            return text
        return _BASE64.sub(lambda found: f"{found[0][:20]}... ({len(found[0]):,} characters)", text)


def preview_requests(
    question: Question,
    inputs: Inputs | Sequence[Value],
    index: pd.Index,
    options: RunOptions,
    n: int,
) -> Preview:
    """Build the first ``n`` requests that a run with an empty cache would send."""
    resolved = question.resolve()
    task, endpoint = resolved.task, resolved.endpoint
    check_params(question.task.params, endpoint)
    chunk_size, _ = options.sizes(is_local=resolved.is_local)
    window = ContextWindow.of(
        task, endpoint, options.endpoints, chunk_size, is_local=resolved.is_local
    )
    rows = distinct_rows(inputs).repeated(options.repeats)
    wanted = np.arange(len(rows.keys))
    chunks = plan_chunks(rows, wanted, inputs, chunk_size, most_bytes=window.most_bytes)
    url = endpoint.shown.rstrip("/") + backend_named(task.backend).path
    preview = Preview(
        {
            "method": "POST",
            "url": url,
            "body": request_body(task, chunk, endpoint, options.endpoints),
        }
        for chunk in islice(chunks, n)
    )
    preview.backend, preview.model = task.backend, task.model
    preview.long_texts = window.long_texts(rows, wanted, lambda row: label_text(index[row]))
    return preview
