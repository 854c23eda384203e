"""What follows once there are labels: they are checked by hand, and used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from pandas_genai.accessor.arguments import named_arguments
from pandas_genai.accessor.origin import ANSWERS, all_texts, answer_columns, question_of, run_of
from pandas_genai.display.coding import ShownSample
from pandas_genai.display.evaluation import EvaluationCard
from pandas_genai.errors import UsageError
from pandas_genai.runs import ATTR
from pandas_genai.settings import whole_number
from pandas_genai.task.annotations import Column, Series, Template
from pandas_genai.task.text import no_column
from pandas_genai.validity.arguments import as_whole
from pandas_genai.validity.codebook import codebook_of
from pandas_genai.validity.evaluate import Evaluation, evaluate
from pandas_genai.validity.inference.checks import check_frame
from pandas_genai.validity.review import Review
from pandas_genai.validity.sampling import Allocation, draw, failed_rows, strata_of, ungrounded_rows

__all__ = ["Checking"]

Source: TypeAlias = "Column | Series"


class Checking:
    """The methods of ``labels.genai`` that come after the labels."""

    _data: pd.DataFrame

    @named_arguments
    def review_sample(
        self,
        n: int,
        *,
        text: Column | list[Column] | Template | Series | None = None,
        stratify: Source | list[Source] | None = None,
        rng: int = 0,
        fields: str | Sequence[str] | None = None,
        show_labels: bool = False,
        allocation: Allocation = "equal",
    ) -> ShownSample:
        """Draw rows to be coded by hand, each with a known probability.

        The same call draws the same rows, in whatever order the frame stands, and a larger ``n``
        keeps those of a smaller one: which rows are drawn depends on the index labels, ``rng``
        and the strata alone. Rows without text are not drawn.

        Parameters
        ----------
        n : int
            How many.
        text : column, list of columns, template, or Series, optional
            What coders read: of this frame, of the frame that was asked, or a Series with the
            index labels of this frame. Left out: what the model read, as long as the frame that
            was asked is in memory, or the only text column beside the labels of a joined frame.
        stratify : column or Series, or list of them, optional
            What makes strata, of each of which rows are drawn: a field, to have enough rows with a
            rare label; any other column; a Series with the index of this frame; ``"failed"``
            (rows without any answer, and the others); ``"ungrounded"`` (rows with a quote that
            was not found or is ambiguous, and the others). Several are crossed; missing values
            are a stratum.
        rng : int, default 0
            Another number draws other rows.
        fields : str or list of str, optional
            Which fields are coded; all by default.
        show_labels : bool, default False
            Whether coders see what the model says. It draws them to the model's side.
        allocation : {"equal", "proportional"}, default "equal"
            ``"equal"``: as many rows of each stratum, and all rows of one that has fewer, so
            that rare labels are drawn more often than their share. ``"proportional"``: two
            rows of each stratum, the others by size.

        Returns
        -------
        ShownSample
            A DataFrame of the rows drawn, in random order. ``.to_excel(path)`` and
            ``.to_csv(path)`` write sheets for coders, ``.code()`` codes in the notebook,
            ``.codes()`` are the codes made there; ``.design`` says how it was drawn.

        Raises
        ------
        UsageError
            If n, a column or the index does not allow it; one sentence says why.

        Examples
        --------
        >>> import pandas as pd, pandas_genai
        >>> labels = pd.DataFrame({"tone": pd.Categorical(["good"] * 98 + ["bad"] * 2)})
        >>> texts = pd.Series([f"Review {number}." for number in range(100)])
        >>> sample = labels.genai.review_sample(10, text=texts, stratify="tone")
        >>> sample.design.table.reset_index()
          stratum  population  sample  probability
        0     bad           2       2     1.000000
        1    good          98       8     0.081633
        """
        n = whole_number("n", n)
        seed = as_whole(rng)
        if seed is None:
            raise UsageError(f"rng={rng!r} is no whole number, by which a draw can be repeated.")
        if allocation not in ("equal", "proportional"):
            raise UsageError(f"allocation={allocation!r} is neither 'equal' nor 'proportional'.")
        labels = self._data
        check_frame(labels, "The frame of labels")
        answers = answer_columns(labels) or list(labels.columns)
        asked = question_of(labels)
        one = fields is not None and not pd.api.types.is_list_like(fields)
        named: Any = [fields] if one else fields
        schema, prompt, task = (
            (None, "", "") if asked is None else (asked.schema, asked.prompt, asked.prompt_hash)
        )
        codebook = codebook_of(labels, answers, schema, named, prompt)
        texts = all_texts(labels, text)
        sources = {} if stratify is None else _sources(labels, answers, stratify)
        positions, design = draw(
            labels.index,
            strata_of(list(sources.values()), len(labels)),
            n,
            seed=seed,
            has_text=np.array([one is not None for one in texts], dtype=bool),
            allocation=allocation,
            stratified_by=list(sources),
            run_id=run_of(labels) or "",
            prompt_hash=task,
        )
        review = Review(design, codebook, labels.index[positions])
        review.check_index()
        shown = labels.iloc[positions][codebook.names] if show_labels else None
        return ShownSample(review, [texts[at] or "" for at in positions], shown)

    @named_arguments
    def evaluate(
        self, gold: pd.DataFrame | Series, by: Column | Series | None = None
    ) -> Evaluation:
        """Compare these labels with hand codes, each figure with its 95 % interval.

        Labels and truth values: accuracy, precision, recall and F1 of each class, macro-F1, Cohen's
        kappa. Numbers: mean absolute error, root of the mean squared error, bias (label minus
        hand code), the correlations of Pearson and Spearman, ICC(2,1) (absolute agreement). Lists,
        as sets, items of all rows taken together: precision, recall, F1; and the share of equal
        ones. Text: the share of equal ones, as they are, and without regard to case, white space
        and outer punctuation; texts of which each stands often are labels too.

        Parameters
        ----------
        gold : DataFrame or Series
            Hand codes under index labels of this frame, in any order: a column for each field
            that was coded, missing where it was not; other columns do not count. What
            ``read_review`` and ``sample.codes()`` return knows how rows were drawn.
        by : column or Series, optional
            Figures for each of its values: a column of this frame, or a Series with its index.

        Returns
        -------
        DataFrame
            ``field``, ``metric``, ``class``, ``value``, ``low``, ``high``, ``n``, and before them
            what ``by`` is called. The metric ``n`` counts the rows that are compared,
            ``unanswered`` those that were coded and have no answer. ``.confusion`` has a matrix for
            each field with labels, ``.to_latex()`` is a table for a paper; a card in a notebook.

        Raises
        ------
        UsageError
            If a hand code is no label of its field, an index label is not in this frame or there
            twice, nothing was coded, or only one class.

        Notes
        -----
        Where the rows were drawn by a design, every figure is weighted by it, and estimates what
        it would be if all rows of the labels were coded: an accuracy of a sample with as many rows
        of a rare label as of a frequent one, unweighted, is that of nothing. Standard errors are
        linearised, within strata, with the finite population correction. Intervals of shares are
        Wilson's; where strata differ, a stratum may have errors of which none was drawn.

        Examples
        --------
        >>> import pandas as pd, pandas_genai
        >>> tones = pd.CategoricalDtype(["good", "bad"])
        >>> labels = pd.DataFrame({"tone": pd.Series(["good"] * 12 + ["bad"] * 8, dtype=tones)})
        >>> gold = pd.Series(["good"] * 10 + ["bad"] * 10, name="tone")
        >>> found = labels.genai.evaluate(gold)
        >>> accuracy = found.set_index("metric").loc["accuracy"]
        >>> print(f"{accuracy['value']:.2f} [{accuracy['low']:.2f}, {accuracy['high']:.2f}]")
        0.90 [0.68, 0.97]
        """
        labels = self._data
        # A frame that is known by its values alone may have more columns to compare.
        named = answer_columns(labels) if {ATTR, ANSWERS} & labels.attrs.keys() else None
        fields = named or list(labels.columns)
        return EvaluationCard.showing(evaluate(labels, fields, gold, by))


def _sources(
    labels: pd.DataFrame, answers: Sequence[Any], stratify: Any
) -> dict[str, pd.Series[Any]]:
    """Return what makes the strata, by its name."""
    found: dict[str, pd.Series[Any]] = {}
    for one in stratify if isinstance(stratify, list) else [stratify]:
        if isinstance(one, pd.Series):
            if not one.index.equals(labels.index):
                raise UsageError("stratify= must be a Series with the index of this frame.")
            found["a Series" if one.name is None else str(one.name)] = one
        elif not pd.api.types.is_hashable(one):
            raise UsageError(f"stratify= takes columns or Series, not a {type(one).__name__}.")
        elif one in labels.columns:
            column: Any = labels[one]
            found[str(one)] = column
        elif one == "failed":
            found[one] = failed_rows(labels[list(answers)])
        elif one == "ungrounded":
            found[one] = ungrounded_rows(labels)
        else:
            raise UsageError(str(no_column(labels, one)).replace("text=", "stratify=", 1))
    return found
