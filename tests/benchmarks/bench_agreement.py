"""How often intervals of agreement hold the true value: ``python bench_agreement.py [samples]``.

Each design is a population of a million units, coded by simulated coders; what is true is the
coefficient of the whole population. Samples of 100 units are drawn from it; the share of samples
whose 95 % interval holds the true value should be 0.95. The last figures are the seconds of the
process for 1,000,000 units by 3 coders.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

import pandas_genai

POPULATION = 1_000_000
UNITS = 100


@dataclass(frozen=True)
class Design:
    """Coders whose codes are the true category with a probability.

    Parameters
    ----------
    level : str
        Of measurement: at other levels than nominal, errors are near the true category.
    coders, categories : int
        How many.
    skew : float
        How frequent each category is, relative to the one before it.
    right : float
        Probability of the true category.
    missing : float
        Probability that a coder did not code a unit.
    """

    level: str
    coders: int
    categories: int
    skew: float
    right: float
    missing: float = 0.0

    def population(self, rng):
        """Draw the codes of all units."""
        shares = self.skew ** np.arange(self.categories)
        shares /= shares.sum()
        truth = rng.choice(self.categories, POPULATION, p=shares)
        coded = {}
        for coder in range(self.coders):
            if self.level == "nominal":
                wrong = rng.choice(
                    self.categories, POPULATION, p=shares / 2 + 0.5 / self.categories
                )
            else:
                steps = rng.choice([-2, -1, 1, 2], POPULATION, p=[0.1, 0.4, 0.4, 0.1])
                wrong = np.clip(truth + steps, 0, self.categories - 1)
            codes = np.where(rng.random(POPULATION) < self.right, truth, wrong) + 1.0
            codes[rng.random(POPULATION) < self.missing] = np.nan
            coded[f"coder {coder}"] = codes
        return pd.DataFrame(coded)


DESIGNS = [
    Design("nominal", 2, 2, 1.0, 0.80),
    Design("nominal", 2, 2, 0.25, 0.90),
    Design("nominal", 2, 2, 0.1, 0.95),
    Design("nominal", 2, 2, 0.3, 0.60),
    Design("nominal", 2, 3, 0.5, 0.97),
    Design("nominal", 2, 3, 0.5, 0.80, 0.3),
    Design("nominal", 3, 2, 0.15, 0.95, 0.1),
    Design("nominal", 3, 5, 0.6, 0.70),
    Design("nominal", 4, 4, 0.3, 0.90, 0.1),
    Design("nominal", 5, 7, 0.7, 0.80, 0.3),
    Design("ordinal", 2, 5, 0.9, 0.70),
    Design("ordinal", 2, 4, 0.3, 0.90),
    Design("ordinal", 3, 5, 0.5, 0.80, 0.2),
    Design("ordinal", 4, 7, 0.8, 0.60),
    Design("ordinal", 5, 3, 0.6, 0.60, 0.4),
    Design("interval", 2, 5, 0.9, 0.70),
    Design("interval", 3, 7, 0.6, 0.85, 0.3),
    Design("interval", 4, 5, 0.9, 0.95),
    Design("interval", 3, 4, 0.3, 0.95, 0.1),
    Design("ratio", 2, 6, 0.8, 0.90),
    Design("ratio", 3, 5, 0.7, 0.70, 0.1),
    Design("ratio", 2, 6, 0.5, 0.95, 0.2),
]


def coverage(design, samples, rng, bootstrap=0):
    """Return the share of samples whose intervals hold what is true, by coefficient."""
    population = design.population(rng)
    true = pandas_genai.agreement(list(dict(population.items()).values()), level=design.level)
    kinds = [("low", "high"), *([("bootstrap_low", "bootstrap_high")] if bootstrap else [])]
    held = {low: 0 for low, _ in kinds}
    for _ in range(samples):
        drawn = population.iloc[rng.integers(0, POPULATION, UNITS)].reset_index(drop=True)
        found = pandas_genai.agreement(
            [drawn[name] for name in drawn], level=design.level, bootstrap=bootstrap, rng=rng
        )
        for low, high in kinds:
            held[low] = held[low] + found[low].le(true["value"]) * found[high].ge(true["value"])
    return pd.concat({low: count / samples for low, count in held.items()}, names=["interval"])


def speed():
    """Return the seconds for a million units by three coders."""
    rng = np.random.default_rng(0)
    population = Design("nominal", 3, 5, 0.7, 0.8, 0.05).population(rng)
    words = population.map({k + 1.0: f"category {k}" for k in range(5)}.get)
    several = [words[name] for name in words]
    before = time.process_time()
    pandas_genai.agreement(several, bootstrap=0)
    return time.process_time() - before


if __name__ == "__main__":
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    bootstrap = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    rng = np.random.default_rng(0)
    rows = {
        tuple(getattr(design, field.name) for field in fields(design)): coverage(
            design, samples, rng, bootstrap
        )
        for design in DESIGNS
    }
    names = [field.name for field in fields(Design)]
    table = pd.DataFrame(rows).T.rename_axis(names)
    print(table.round(3).to_string())
    print(table.agg(["mean", "min", "max"]).round(3).to_string())
    print(f"1,000,000 units by 3 coders: {speed():.2f} s")
