"""One recipient's week as people look at it: the chance of an answer by hour, with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from horae.domain.learning.counts import Counts
from horae.domain.learning.hours import BASIS, BINS, Floats
from horae.domain.learning.stored import Model

Z_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Week:
    """(BINS,) each: hour of a weekday, then hour of a weekend day; and decayed numbers of times."""

    chance: Floats
    low: Floats
    high: Floats
    asked: float
    answered: float
    active: float


def week_of(counts: Counts, model: Model, now: int) -> Week:
    """The week of the recipient in row 0, as of `now` (seconds)."""
    view = counts.view(np.zeros(BINS, dtype=np.int64), now)
    found = model.priors.posterior(counts.segment[np.zeros(BINS, dtype=np.int64)].astype(np.int64), *view)
    score = np.einsum("rt,rt->r", found.mean, BASIS)
    spread = found.spread(BASIS)
    low, chance, high = (np.exp(np.minimum(score + z * spread, -0.01)) for z in (-Z_95, 0.0, Z_95))
    return Week(chance, low, high, *(float(cells[0].sum()) for cells in view))
