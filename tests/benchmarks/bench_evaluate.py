"""How often intervals of ``evaluate`` hold what is true: ``python bench_evaluate.py [samples]``.

Each design is a frame of 20,000 labels, all of which have a true value. Samples are drawn from it
by ``review_sample`` and coded without error; what is true is the figure for all rows. The share of
samples whose 95 % interval holds it should be 0.95.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd

import pandas_genai  # noqa: F401 - gives frames .genai
from pandas_genai.validity.design import carry

ROWS = 20_000
TONES = ["good", "bad", "mixed"]


@dataclass(frozen=True)
class Design:
    """Labels, and how they are sampled.

    Parameters
    ----------
    shares : tuple of float
        Of each label.
    wrong : tuple of float
        How often each label is wrong.
    n : int
        Rows coded.
    stratify : str, optional
        The column that makes strata.
    """

    shares: tuple[float, ...]
    wrong: tuple[float, ...]
    n: int
    stratify: str | None = None

    def population(self, rng):
        """Draw labels and true values."""
        label = rng.choice(3, ROWS, p=self.shares)
        wrong = rng.random(ROWS) < np.array(self.wrong)[label]
        true = np.where(wrong, (label + rng.integers(1, 3, ROWS)) % 3, label)
        amount = rng.gamma(2.0, 2.0, ROWS)
        said = amount + np.where(rng.random(ROWS) < 0.7, 0.0, rng.normal(0.5, 2.0, ROWS))
        names = np.array(TONES, dtype=object)
        labels = pd.DataFrame({"tone": pd.Categorical(names[label], TONES), "amount": said})
        return labels, pd.DataFrame({"tone": names[true], "amount": amount})


DESIGNS = [
    Design((0.5, 0.3, 0.2), (0.1, 0.2, 0.3), 100),
    Design((0.6, 0.3, 0.1), (0.02, 0.05, 0.1), 200),
    Design((0.9, 0.07, 0.03), (0.02, 0.2, 0.4), 400),
    Design((0.5, 0.3, 0.2), (0.1, 0.2, 0.3), 150, "tone"),
    Design((0.9, 0.07, 0.03), (0.02, 0.2, 0.4), 150, "tone"),
    Design((0.94, 0.04, 0.02), (0.05, 0.3, 0.5), 300, "tone"),
]


def coverage(design, samples, rng):
    """Return the share of samples whose intervals hold what is true, by metric and class."""
    labels, true = design.population(rng)
    texts = pd.Series([f"Text {row}." for row in range(ROWS)])
    whole = labels.genai.evaluate(true).set_index(["field", "metric", "class"])
    wanted = whole.loc[whole["low"].notna(), "value"]
    held = pd.Series(0, index=wanted.index)
    for seed in range(samples):
        sample = labels.genai.review_sample(
            design.n, text=texts, stratify=design.stratify, rng=seed
        )
        gold = carry(true.loc[sample.index], sample.design)
        found = labels.genai.evaluate(gold).set_index(["field", "metric", "class"])
        found = found.reindex(wanted.index)
        inside = (found["low"] <= wanted + 1e-9) & (wanted <= found["high"] + 1e-9)
        held += inside | found["value"].isna()
    return held / samples


if __name__ == "__main__":
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    rng = np.random.default_rng(0)
    table = pd.DataFrame({str(design): coverage(design, samples, rng) for design in DESIGNS})
    for place, name in enumerate(table.columns):
        print(place, name)
    table.columns = range(len(DESIGNS))
    print(table.round(3).to_string())
    print(table.agg(["mean", "min", "max"]).round(3).to_string())
