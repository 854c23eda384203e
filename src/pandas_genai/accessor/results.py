"""What a result, or a frame that it was joined to, can be asked."""

from __future__ import annotations

from typing import Any, TypeAlias

import pandas as pd

from pandas_genai.accessor.joining import join
from pandas_genai.accessor.origin import (
    all_texts,
    answer_columns,
    question_of,
    reading_of,
    report_of,
)
from pandas_genai.display.browse import Browser
from pandas_genai.display.cards import ReportCard
from pandas_genai.display.html import Shown
from pandas_genai.display.plot import plot
from pandas_genai.display.reading import show
from pandas_genai.task.annotations import Column, Series, Template
from pandas_genai.task.evidence import uncounted
from pandas_genai.validity.browsing import Browsing, beside_rows
from pandas_genai.validity.codebook import codebook_of_schema

__all__ = ["Results"]

Figure: TypeAlias = Any
"""A ``matplotlib.figure.Figure``; matplotlib need not be installed."""


class Results:
    """The methods of ``df.genai`` that look at answers."""

    _data: pd.DataFrame

    @property
    def report(self) -> ReportCard:
        """The report of the run that made this frame.

        Raises
        ------
        UsageError
            If no run made it, or its report is in a cache file elsewhere.
        """
        asked = question_of(self._data)
        codebook = None if asked is None else codebook_of_schema(asked.schema, asked.prompt)
        return ReportCard.showing(report_of(self._data)).about(codebook)

    def show(self, n: int = 10, *, start: int = 0, text: Column | Series | None = None) -> Shown:
        """Show rows for reading: the text, and beside it what was answered.

        Long texts are folded, lists and nested answers are spelt out, and a passage of the text
        that an answer quotes is marked, whatever its white space, case and quotation marks.

        Parameters
        ----------
        n : int, default 10
            How many rows, at most 200 at once; ``df.sample(20).genai.show(20)`` for others.
        start : int, default 0
            The position of the first: ``show(50, start=50)`` turns the page.
        text : column or Series, optional
            The texts: a column of this frame, or a Series with its index. Left out: the only
            text column beside the answers; for a bare result the frame that was asked, as long
            as it is in memory.

        Returns
        -------
        Shown
            HTML in a notebook, lines in a terminal.

        Raises
        ------
        UsageError
            If there is no such column, or the Series has another index.

        Examples
        --------
        >>> import pandas as pd, pandas_genai
        >>> df = pd.DataFrame({"review": ["Great people."], "tone": pd.Categorical(["good"])})
        >>> df.genai.show()
        [0] Great people.
          tone: good
        """
        return show(reading_of(self._data, text), n, start)

    def browse(
        self,
        *,
        text: Column | list[Column] | Template | Series | None = None,
        gold: pd.DataFrame | Series | None = None,
        other: pd.DataFrame | None = None,
    ) -> Shown:
        """Go through texts and their answers with the keyboard, one row at a time.

        Where evidence was asked for, the words of each field are marked in a colour of its own.
        Rows can be searched and filtered: those without an answer, those with a label, those
        whose words were not found, those that differ from ``gold`` or from ``other``. Needs
        anywidget (``pip install 'pandas-genai[validity]'``); without it, without a kernel and in
        a terminal the first rows are shown.

        Parameters
        ----------
        text : column, list of columns, template, or Series, optional
            The texts, of this frame or of the one that was asked, or a Series with its index
            labels. Left out: what the model read, as long as the frame that was asked is in
            memory, or the only text column beside the answers of a joined frame.
        gold : DataFrame or Series, optional
            Hand codes, found by their index labels: a frame with fields as columns, or the codes
            of one field.
        other : DataFrame, optional
            The answers of another run, found in the same way.

        Returns
        -------
        Shown
            Shown as the last expression of a cell.

        Raises
        ------
        UsageError
            If there are no such texts, or gold or other have nothing to compare.

        Examples
        --------
        >>> import pandas as pd, pandas_genai
        >>> df = pd.DataFrame({"review": ["Great people."], "tone": pd.Categorical(["good"])})
        >>> df.genai.browse(text="review")
        [0] Great people.
          tone: good
        (1 row; a notebook goes through all of them)
        """
        answers = self._data[_answers(self._data, text)]
        return Browser(
            Browsing(
                answers,
                all_texts(self._data, text),
                gold=None if gold is None else beside_rows(answers, gold, "gold"),
                other=None if other is None else beside_rows(answers, other, "other"),
            )
        )

    def join(
        self,
        df: pd.DataFrame | Series,
        *,
        suffix: str | None = None,
        text: Column | list[Column] | Template | None = None,
    ) -> pd.DataFrame:
        """Put these answers beside the rows that were asked: ``labels.genai.join(df)``.

        Unlike ``df.join(labels)`` it never multiplies a row and never gives a row another row's
        answer: rows are found by the row keys that the run kept, whatever the index, also after
        the frame was sorted or filtered. Answers that were sorted or filtered, or made with
        ``cache=False``, are found by their index, which then has to be unique. Running the cell
        twice changes nothing.

        Parameters
        ----------
        df : DataFrame or Series
            The rows.
        suffix : str, optional
            Added to the name of an answer that ``df`` has as a column of its own.
        text : column, list of columns, or template, optional
            What was sent, as ``extract`` took it; needed in a later kernel only, where it was
            not a column of ``df``.

        Returns
        -------
        DataFrame
            ``df`` with a column for each field, missing where a row has no answer; with several
            records a row, the row once for each. ``.genai.report``, ``.errors`` and ``.show()``
            work on it as on the answers.

        Raises
        ------
        UsageError
            If nobody can tell which answer is whose, or names clash.

        Examples
        --------
        >>> import pandas as pd, pandas_genai
        >>> from pandas_genai.testing import LoopbackProvider
        >>> df = pd.DataFrame({"review": ["Great.", "Awful."]}, index=["a", "b"])
        >>> with LoopbackProvider(lambda text: {"label": "good" if "Great" in text else "bad"},
        ...                       ) as provider:
        ...     labels = df.genai.extract("Tone?", ["good", "bad"], cache=False, progress=False,
        ...                               base_url=provider.openai_url, api_key="k")
        >>> labels.genai.join(df)
           review label
        a  Great.  good
        b  Awful.   bad
        """
        return join(self._data, df, suffix, text)

    def plot(self) -> Figure:
        """Draw how often each answer was given: bars for labels, histograms for numbers.

        Labels stand in the order of the schema, those that nobody was given with 0. Of a joined
        frame the answers are drawn, of evidence how the words were found. Needs matplotlib
        (``pip install 'pandas-genai[plot]'``).

        Returns
        -------
        matplotlib.figure.Figure
            A panel for each column that can be counted. Free texts are left out.

        Raises
        ------
        UsageError
            If matplotlib is not installed, or no column can be drawn.

        Examples
        --------
        >>> import pandas as pd, pandas_genai
        >>> figure = pd.DataFrame({"tone": pd.Categorical(["good", "bad", "good"])}).genai.plot()
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['bad', 'good']
        """
        answers = answer_columns(self._data)
        drawn = self._data if answers is None else self._data[answers]
        return plot(drawn.drop(columns=uncounted(drawn.columns)))

    @property
    def errors(self) -> pd.DataFrame:
        """The rows without an answer: reason, message, attempts, request id, by index label.

        Raises
        ------
        UsageError
            As for ``report``.
        """
        return self.report.errors


def _answers(frame: pd.DataFrame, text: object) -> list[Any]:
    """Return the columns that are answers; where nobody knows, all but those of the text."""
    known = answer_columns(frame)
    if known is not None:
        return known
    if text is None:
        return list(reading_of(frame, None).answers)
    used = [] if isinstance(text, pd.Series) else text if isinstance(text, list) else [text]
    return [name for name in frame.columns if name not in used]
