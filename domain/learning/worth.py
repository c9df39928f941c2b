"""What learning is worth: uplift against the hold-out, and what another way would have brought, each with its interval.

A message's outcome is not independent of the same recipient's others: variances are of sums per recipient (clusters).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from horae.domain.learning.hours import Bools, Floats, Ints

Z_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval (normal approximation)."""

    value: float
    error: float

    @property
    def low(self) -> float:
        """The lower end of the interval."""
        return self.value - Z_95 * self.error

    @property
    def high(self) -> float:
        """The upper end."""
        return self.value + Z_95 * self.error

    def covers(self, truth: float) -> bool:
        """Does the interval hold `truth`?"""
        return self.low <= truth <= self.high


def ratio(total: Floats, weight: Floats, cluster: Ints) -> Estimate:
    """sum(total) / sum(weight), its error by linearisation over clusters (Cochran, 1977, ch. 6)."""
    count = int(cluster.max()) + 1 if len(cluster) else 0
    top, bottom = np.bincount(cluster, total, count), np.bincount(cluster, weight, count)
    here = bottom > 0
    groups, whole = int(here.sum()), float(bottom.sum())
    if groups < 2:
        return Estimate(float("nan"), float("inf"))
    value = float(top.sum()) / whole
    residual = top[here] - value * bottom[here]
    return Estimate(value, sqrt(float((residual**2).sum()) * groups / (groups - 1)) / whole)


def uplift(answered: Floats, holdout: Bools, person: Ints) -> Estimate:
    """Answers per message of those who are optimised, less those of the hold-out: nothing is assumed."""
    ones = np.ones(len(answered))
    with_it = ratio(answered[~holdout], ones[~holdout], person[~holdout])
    without = ratio(answered[holdout], ones[holdout], person[holdout])
    return Estimate(with_it.value - without.value, sqrt(with_it.error**2 + without.error**2))


def snips(answered: Floats, wanted: Floats, logged: Floats, person: Ints) -> Estimate:
    """Answers per message had moments been chosen otherwise, by self-normalised inverse propensities.

    Swaminathan and Joachims (2015). `wanted` is the other way's probability of what was done, `logged` the
    propensity on record. What the logged way would never have done (propensity 0) is beyond any such estimate.
    """
    weight = wanted / logged
    return ratio(weight * answered, weight, person)


def doubly_robust(
    answered: Floats, wanted: Floats, logged: Floats, foretold: Floats, foretold_wanted: Floats, person: Ints
) -> Estimate:
    """The same, with a model's word corrected by what came (Dudík, Langford and Li, 2011).

    `foretold` is the model's chance of what was done, `foretold_wanted` of what is wanted; the
    estimate is right if either the model or the propensities are.
    """
    value = foretold_wanted + wanted / logged * (answered - foretold)
    return ratio(value, np.ones(len(value)), person)
