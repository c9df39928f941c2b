"""The moment: a recipient's best quarter of an hour in the window, or whom they fall back to, and how sure that is.

From the bottom up: the tenant's default hour; everybody's best hour, if it beats that; the segment's, if it beats what
everybody gets; the recipient's own, if it beats what the segment gets. "Beats" means better by a margin,
with a posterior probability of at least the threshold. A hold-out of recipients always gets the default hour. A small
share of messages goes out in any of the recipient's top hours, with the probability of that on record.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erf, log, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from horae.domain.learning import dice
from horae.domain.learning.counts import Counts
from horae.domain.learning.hours import HOURS, QUARTER_BASIS, QUARTERS, Bools, Floats, Ints, is_weekend
from horae.domain.learning.priors import Priors

DEFAULT: Final = 0
EVERYBODY: Final = 1
SEGMENT: Final = 2
RECIPIENT: Final = 3
LEVELS: Final = ("default hour", "everybody", "segment", "recipient")


@dataclass(frozen=True, slots=True)
class Rules:
    """How to choose. `default_quarter` is the tenant's hour in quarters after midnight; shares are of 1."""

    threshold: float = 0.7
    margin: float = 0.03  # of everybody's and a segment's hour: one error there moves a crowd
    own_margin: float = 0.02
    explore: float = 0.05
    top_hours: int = 4
    holdout: float = 0.05
    default_quarter: int = 36
    trust: float = 1.0  # calibration's slope: how much of a foretold gain has come true so far


@dataclass(frozen=True, slots=True)
class Requests:
    """Columns of what is to be planned: on naive local `day` (days since 1970), from quarter `start` up to `end`.

    `person` and `message` are `dice.word`s of recipient and occurrence.
    """

    row: Ints
    day: Ints
    start: Ints
    end: Ints
    person: dice.Words
    message: dice.Words


@dataclass(frozen=True, slots=True)
class Choices:
    """Columns of decisions, all of which a plan keeps. `chance` is before calibration; `gain` is of log chance."""

    quarter: Ints
    level: Ints
    confidence: Floats
    propensity: Floats  # probability with which this quarter's hour was chosen
    holdout: Bools
    explored: Bools
    greedy: Ints  # what would have been chosen without exploration and hold-out
    chance: Floats
    fallback_chance: Floats
    gain: Floats


def choose(counts: Counts, priors: Priors, asked: Requests, now: int, rules: Rules) -> Choices:
    """Decide for a shard's requests as of the instant `now` (seconds)."""
    segment = counts.segment[asked.row].astype(np.int64)
    weekend = is_weekend(asked.day)
    found = priors.posterior(segment, *counts.view(asked.row, now))
    scores = _scores(found.mean, weekend)
    quarter = np.arange(QUARTERS)
    scores[(quarter < asked.start[:, None]) | (quarter >= asked.end[:, None])] = -np.inf
    own = scores.argmax(axis=1)
    base = _fallbacks(priors, segment, weekend, asked, rules)
    each = np.arange(len(own))
    gain = scores[each, own] - scores[each, base.quarter]
    at = QUARTERS * weekend
    spread = found.spread(QUARTER_BASIS[own + at] - QUARTER_BASIS[base.quarter + at])
    sure = _beats(rules.trust * gain, spread, rules.own_margin)
    alone = sure >= rules.threshold
    greedy = np.where(alone, own, base.quarter)
    confidence = np.where(
        alone, sure, np.where(base.level > DEFAULT, base.confidence, np.maximum(sure, base.confidence))
    )
    held = dice.uniform(asked.person, dice.HOLDOUT) < rules.holdout
    taken, propensity, explored = _explore(scores, greedy, asked, rules)
    default = np.clip(rules.default_quarter, asked.start, asked.end - 1)
    final = np.where(held, default, taken)
    log_chance = np.minimum(scores, -0.01)
    return Choices(
        quarter=final,
        level=np.where(held, DEFAULT, np.where(alone, RECIPIENT, base.level)),
        confidence=confidence,
        propensity=np.where(held, 1.0, propensity),
        holdout=held,
        explored=explored & ~held,
        greedy=greedy,
        chance=np.exp(log_chance[each, final]),
        fallback_chance=np.exp(log_chance[each, base.quarter]),
        gain=scores[each, final] - scores[each, base.quarter],
    )


def _scores(theta: Floats, weekend: Bools) -> Floats:
    """(rows, QUARTERS): log chance at each quarter of the requested day."""
    scores = np.empty((len(theta), QUARTERS))
    scores[~weekend] = theta[~weekend] @ QUARTER_BASIS[:QUARTERS].T
    scores[weekend] = theta[weekend] @ QUARTER_BASIS[QUARTERS:].T
    return scores


def _beats(gain: NDArray[np.float64], spread: NDArray[np.float64], margin: float) -> Floats:
    """Posterior probability that a log chance is better by more than `margin`; one half where nothing is different."""
    z = np.where(gain > 0, (gain - margin) / np.maximum(spread, 1e-6), 0.0)
    return _normal(np.clip(z, -6, 6))


_TABLE = np.array([0.5 * (1 + erf(x / sqrt(2))) for x in np.linspace(-6, 6, 2401).tolist()])


def _normal(z: Floats) -> Floats:
    """The normal distribution function, from a table in steps of 0.005."""
    table: Floats = _TABLE[np.round((z + 6) * 200).astype(np.int64)]
    return table


@dataclass(frozen=True, slots=True)
class _Fallback:
    quarter: Ints
    level: Ints
    confidence: Floats


def _fallbacks(priors: Priors, segment: Ints, weekend: Bools, asked: Requests, rules: Rules) -> _Fallback:
    """What each request falls back to, worked out once for each segment, kind of day and window."""
    key = ((segment * 2 + weekend) * QUARTERS + asked.start) * (QUARTERS + 1) + asked.end
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    # What differs between people makes the average person's curve flatter than the people's average.
    spread = 0.5 * np.einsum("qi,ij,qj->q", QUARTER_BASIS, priors.between, QUARTER_BASIS, optimize=True)
    found = [
        _fallback(priors, spread, int(segment[i]), bool(weekend[i]), (int(asked.start[i]), int(asked.end[i])), rules)
        for i in first.tolist()
    ]
    quarter, level, confidence = (np.array(column)[inverse] for column in zip(*found, strict=True)) if found else (
        np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0),
    )  # fmt: skip
    return _Fallback(quarter, level, confidence)


def _fallback(
    priors: Priors, spread: Floats, segment: int, weekend: bool, window: tuple[int, int], rules: Rules
) -> tuple[int, int, float]:
    day = slice(QUARTERS * weekend, QUARTERS * (weekend + 1))
    curves = QUARTER_BASIS[day]
    start, end = window
    quarter, level, confidence = min(max(rules.default_quarter, start), end - 1), DEFAULT, 0.5
    for rung, mean, covariance in (
        (EVERYBODY, priors.everybody, priors.everybody_covariance),
        (SEGMENT, priors.segments[segment], priors.segment_covariances[segment]),
    ):
        score = curves @ mean + spread[day]
        best = start + int(score[start:end].argmax())
        direction = curves[best] - curves[quarter]
        sd = np.sqrt(direction @ covariance @ direction)
        sure = float(_beats(np.array([score[best] - score[quarter]]), np.array([sd]), rules.margin)[0])
        if sure >= rules.threshold:
            quarter, level, confidence = best, rung, sure
        elif level == DEFAULT:
            confidence = max(confidence, sure)
    return quarter, level, confidence


def _explore(scores: Floats, greedy: Ints, asked: Requests, rules: Rules) -> tuple[Ints, Floats, Bools]:
    """Which quarter to take, with what probability its hour was to be taken, and whether that is exploration."""
    each = np.arange(len(greedy))
    by_hour = scores.reshape(-1, HOURS, 4)
    hourly = by_hour.max(axis=2)
    count = min(rules.top_hours, HOURS)
    top = np.argpartition(-hourly, count - 1, axis=1)[:, :count]
    open_hours = np.isfinite(hourly).sum(axis=1)
    among = np.minimum(count, open_hours)
    # Hours outside the window are at the end of this order.
    top = np.take_along_axis(top, np.argsort(-np.take_along_axis(hourly, top, axis=1), axis=1, kind="stable"), axis=1)
    picked = top[each, np.minimum((dice.uniform(asked.message, dice.WHICH) * among).astype(np.int64), among - 1)]
    explores = dice.uniform(asked.message, dice.EXPLORE) < rules.explore
    quarter = np.where(explores, 4 * picked + by_hour[each, picked].argmax(axis=1), greedy)
    in_top = ((top == (quarter // 4)[:, None]) & (np.arange(count) < among[:, None])).any(axis=1)
    as_greedy = quarter // 4 == greedy // 4
    propensity = rules.explore * in_top / among + (1 - rules.explore) * as_greedy
    return quarter, propensity, explores


def log_odds(chance: float) -> float:
    """The logarithm of the odds, kept within what arithmetic can carry."""
    p = min(max(chance, 1e-4), 1 - 1e-4)
    return log(p / (1 - p))
