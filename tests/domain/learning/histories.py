"""Made-up shards for the learner's specifications: people who answer best around an hour of their own."""

from __future__ import annotations

import numpy as np

from horae.domain.learning.choice import Requests
from horae.domain.learning.counts import Counts
from horae.domain.learning.dice import word
from horae.domain.learning.facts import ACTIVE, ANSWERED, IGNORED, SENT, Facts
from horae.domain.learning.hours import BINS, DAY_S, Floats, Ints, bins

DAY = 20_500  # days since 1970; a Monday is DAY + (4 - DAY - 3) % 7 later
NOW = (DAY + 60) * DAY_S


def facts(rng: np.random.Generator, n: int, people: int = 7, days: int = 45) -> Facts:
    """Facts of every kind about random people, hours and days, in the order of their positions."""
    at = np.sort(rng.integers(DAY * DAY_S, (DAY + days) * DAY_S, n))
    return Facts(np.arange(n), rng.integers(0, people, n), rng.integers(SENT, ACTIVE + 1, n), at, bins(at))


def messages(rng: np.random.Generator, best: Floats, each: int, peak: float = 0.4, rest: float = 0.06) -> Facts:
    """`each` messages per person at random hours over sixty days; the chance is `peak` near their `best` hour."""
    row = np.repeat(np.arange(len(best)), each)
    at = rng.integers(DAY * DAY_S, NOW - DAY_S, len(row))
    hour = at % DAY_S / 3600
    away = np.abs((hour - best[row] + 12) % 24 - 12)
    chance = rest + (peak - rest) * np.exp(-0.5 * (away / 2) ** 2)
    kind = np.where(rng.random(len(row)) < chance, ANSWERED, IGNORED)
    order = np.argsort(at)
    return Facts(np.arange(len(row)), row[order], kind[order], at[order], bins(at[order]))


def learnt(history: Facts, segment: Ints) -> Counts:
    """The shard after the history."""
    counts = Counts.empty(segment)
    counts.learn(history)
    return counts


def requests(people: int, start: int = 24, end: int = 92, day: int = DAY + 60) -> Requests:
    """One message each for `people`, on a day, between two quarters."""
    words = np.array([word("tenant", str(i)) for i in range(people)], dtype=np.uint64)
    ones = np.ones(people, dtype=np.int64)
    return Requests(np.arange(people), ones * day, ones * start, ones * end, words, words + np.uint64(12345))


def flat_view(counts: Counts) -> tuple[Floats, Floats, Floats]:
    """Everybody's decayed counts as of `NOW`."""
    view = counts.view(np.arange(len(counts.segment)), NOW)
    assert view[0].shape[1] == BINS
    return view
