"""What people have in common, fitted from their counts: everybody's curve, each segment's, and how far people differ.

Empirical Bayes in three levels: theta of a recipient ~ N(mean of the segment + gain * activity, between people), mean
of a segment ~ N(everybody, between segments), everybody ~ N(flat, ...). The means are generalised least squares on
Laplace's working responses (Breslow and Clayton, 1993), covariances by expectation-maximisation (Dempster, Laird and
Rubin, 1977). Where people do not differ, nothing is left to tell them apart, and where activity does not foretell
answers its gain is nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from horae.domain.learning.hours import BASIS, BINS, HARMONICS, TERMS, Floats, Ints
from horae.domain.learning.laplace import Posterior, inverse, inverted, posterior

ROUNDS: Final = 6
LEAST_VARIANCE: Final = 1e-4
MEANS_ROUNDS: Final = 10
LEAST_DISPERSION: Final = 0.5  # of a sum of weights that halve: the integral of w^2 over that of w
_LEVELS = 2  # the first two terms say how much, not when
_WHEN = np.arange(TERMS) >= _LEVELS
_GROUP = np.array([0, 0, *[1 + k // 2 for k in range(2 * HARMONICS)], *[1 + HARMONICS] * (TERMS - 2 - 2 * HARMONICS)])
_GROUPS = int(_GROUP.max()) + 1


@dataclass(frozen=True, slots=True)
class Priors:
    """Coefficients (TERMS,), covariances (TERMS, TERMS), `segments` (segments, TERMS), `profile` (segments, BINS)."""

    everybody: Floats
    everybody_covariance: Floats
    segments: Floats
    segment_covariances: Floats  # (segments, TERMS, TERMS)
    between: Floats  # covariance between people of a segment
    profile: Floats  # share of a segment's activity in each hour
    between_active: Floats
    gain: Floats  # (TERMS,): how much of what activity shows counts for answers
    dispersion: float = 1.0  # variance of decayed counts over their mean: forgetting makes it less than 1

    @classmethod
    def unknown(cls, segments: int) -> Priors:
        """Before anything was fitted: one answer in ten, at any hour."""
        level = np.zeros(TERMS)
        level[0] = np.log(0.1)
        wide = np.eye(TERMS) * 0.04
        return cls(
            level, wide, np.tile(level, (segments, 1)), np.tile(wide, (segments, 1, 1)), np.eye(TERMS) * 0.1,
            np.full((segments, BINS), 1 / BINS), np.eye(TERMS) * 0.25, np.zeros(TERMS),
        )  # fmt: skip

    def posterior(self, segment: Ints, asked: Floats, answered: Floats, active: Floats) -> Posterior:
        """The posterior of recipients, from decayed counts (rows, BINS)."""
        mean = self.segments[segment]
        if self.gain.any():
            mean = mean + self.gain * self.leaning(segment, active)
        return posterior(asked / self.dispersion, answered / self.dispersion, mean, inverted(self.between))

    def leaning(self, segment: Ints, active: Floats) -> Floats:
        """(rows, TERMS): how each recipient's activity differs from their segment's, 0 without any."""
        return _leaning(self.profile[segment], active, self.between_active).mean


def _leaning(profile: Floats, active: Floats, between: Floats) -> Posterior:
    exposed = profile * active.sum(axis=1, keepdims=True)
    return posterior(exposed, active, np.zeros((len(active), TERMS)), inverted(between), steps=2, cap=3.0)


def fit(segment: Ints, asked: Floats, answered: Floats, active: Floats, segments: int, start: Priors) -> Priors:
    """Fit to people of all segments: decayed counts (rows, BINS), `segment` of each row, from `start`."""
    profile, between_active, lean = _fit_activity(segment, active, segments)
    state = _Fit(segment, asked, answered, lean, segments, start)
    for _ in range(ROUNDS):
        state.round()
    return state.result(profile, between_active)


def _fit_activity(segment: Ints, active: Floats, segments: int) -> tuple[Floats, Floats, Floats]:
    total = np.stack([active[segment == s].sum(axis=0) for s in range(segments)])
    everybody = (total.sum(axis=0) + 1) / (total.sum() + BINS)
    profile = (total + 50 * everybody) / (total.sum(axis=1, keepdims=True) + 50)
    between = np.eye(TERMS) * 0.25
    seen = active.sum(axis=1) > 1
    if not seen.any():
        return profile, between, np.zeros((len(segment), TERMS))
    for _ in range(3):
        found = _leaning(profile[segment[seen]], active[seen], between)
        between = _second_moment(found.mean, inverse(found.factor))
    lean = np.zeros((len(segment), TERMS))
    lean[seen] = _leaning(profile[segment[seen]], active[seen], between).mean
    return profile, between, lean


def _second_moment(deviation: Floats, covariance: Floats) -> Floats:
    moment: Floats = deviation.T @ deviation / len(deviation) + covariance.mean(axis=2)
    return (moment + moment.T) / 2 + np.eye(TERMS) * LEAST_VARIANCE


class _Fit:
    """The working values of one fit: means, gain and covariances, made better round by round."""

    def __init__(
        self, segment: Ints, asked: Floats, answered: Floats, lean: Floats, segments: int, start: Priors
    ) -> None:
        self.segment, self.asked, self.answered, self.lean = segment, asked, answered, lean
        self.segments = segments
        self.mean = start.segments.copy()
        self.everybody = start.everybody.copy()
        self.gain = start.gain.copy()
        self.gain_error = np.zeros(TERMS)
        self.between_segments = np.full(TERMS, 0.05)
        self.flatness = 0.05
        self.covariances = np.tile(np.eye(TERMS) * 0.01, (segments, 1, 1))
        self.everybody_covariance = np.eye(TERMS) * 0.04
        self.between = start.between
        self.dispersion = start.dispersion
        self._crude_levels()

    def _prior_means(self) -> Floats:
        return self.mean[self.segment] + self.gain * self.lean

    def _crude_levels(self) -> None:
        for s in range(self.segments):
            mine = self.segment == s
            expected = (self.asked[mine] * np.exp(np.minimum(self._prior_means()[mine] @ BASIS.T, 0.0))).sum()
            self.mean[s, 0] += np.log((self.answered[mine].sum() + 1) / (expected + 1))

    def round(self) -> None:
        """Posteriors of people, then the means, the gain and the covariances that fit them better."""
        precision = inverted(self.between)
        found = posterior(
            self.asked / self.dispersion, self.answered / self.dispersion, self._prior_means(), precision, steps=2
        )
        # Quasi-likelihood (Wedderburn, 1974): counts of weight w hold Kish's (1965) effective number of messages.
        # About the prior's means, for people's own fit follows the noise that is to be measured.
        expected = self.asked * np.exp(np.minimum(self._prior_means() @ BASIS.T, 0.0))
        shown = float(((self.answered - expected) ** 2).sum() / max(expected.sum(), 1e-9))
        self.dispersion = min(max(shown, LEAST_DISPERSION), 1.0)
        deviation = found.mean - self._prior_means()
        covariance = inverse(found.factor)
        # Precision of a person's own estimate about the segment's mean, by Woodbury's identity.
        weight = precision[:, :, None] - np.einsum("ij,jkr,kl->ilr", precision, covariance, precision)
        score = deviation @ precision
        self._fit_means(weight, score)
        self._fit_gain(weight, score)
        self.between = _rescaled(self.between, deviation, covariance)

    def _fit_means(self, weight: Floats, score: Floats) -> None:
        raw, precisions = np.empty_like(self.mean), []
        for s in range(self.segments):
            mine = self.segment == s
            w = weight[:, :, mine].sum(axis=2) + np.eye(TERMS) * 1e-3
            raw[s] = self.mean[s] + np.linalg.solve(w, score[mine].sum(axis=0))
            precisions.append(w)
        for _ in range(MEANS_ROUNDS):
            self._pool(raw, precisions)

    def _pool(self, raw: Floats, precisions: list[Floats]) -> None:
        """One EM step over the two upper levels, from each segment's own estimate `raw` and its precision."""
        pooled = [inverted(inverted(w) + np.diag(self.between_segments)) for w in precisions]
        total = sum(pooled[1:], pooled[0])
        centre = np.linalg.solve(total, sum(p @ r for p, r in zip(pooled, raw, strict=True)))
        prior = np.where(_WHEN, 1 / self.flatness, 1e-6)
        self.everybody_covariance = inverted(total + np.diag(prior))
        self.everybody = self.everybody_covariance @ total @ centre
        shown = self.everybody**2 + np.diag(self.everybody_covariance)
        self.flatness = max(float(shown[_WHEN].mean()), LEAST_VARIANCE)
        for s, w in enumerate(precisions):
            self.covariances[s] = inverted(w + np.diag(1 / self.between_segments))
            self.mean[s] = self.everybody + self.covariances[s] @ w @ (raw[s] - self.everybody)
        apart = (self.mean - self.everybody) ** 2 + np.diagonal(self.covariances, axis1=1, axis2=2)
        self.between_segments = np.maximum(_by_group(apart.mean(axis=0)), LEAST_VARIANCE)

    def _fit_gain(self, weight: Floats, score: Floats) -> None:
        if not self.lean.any():
            self.gain[:] = 0.0
            return
        # Columns: a person's leaning in each group of terms, by a prior of N(0, 1) on each gain.
        design = self.lean[:, :, None] * (_GROUP[:, None] == np.arange(_GROUPS))[None]
        left = np.einsum("rig,ijr,rjh->gh", design, weight, design, optimize=True) + np.eye(_GROUPS)
        right = np.einsum("rig,ri->g", design, score)
        step = np.linalg.solve(left, right - self.gain[_first_of_group()])
        gain = self.gain + np.clip(step, -0.3, 0.3)[_GROUP]
        gain[:_LEVELS] = 0.0
        self.gain = np.clip(gain, 0.0, 2.0)
        self.gain_error = np.sqrt(np.diag(inverted(left)))[_GROUP]

    def result(self, profile: Floats, between_active: Floats) -> Priors:
        # Less its standard error: an error of the gain is everybody's at once, beyond any recipient's spread.
        gain = np.maximum(self.gain - self.gain_error, 0.0)
        return Priors(
            self.everybody,
            self.everybody_covariance,
            self.mean,
            self.covariances,
            self.between,
            profile,
            between_active,
            gain,
            self.dispersion,
        )


def _first_of_group() -> Ints:
    return np.array([int(np.flatnonzero(g == _GROUP)[0]) for g in range(_GROUPS)])


def _by_group(values: Floats) -> Floats:
    """Each group's mean in the place of its terms: single terms are too few to tell a variance."""
    return np.array([values[g == _GROUP].mean() for g in _GROUP])


def _rescaled(between: Floats, deviation: Floats, covariance: Floats) -> Floats:
    """The covariance between people after EM's step, its variances by MacKay's fixed point (1992): EM nears it slowly.

    A variance v becomes the sum of squared posterior means over the sum of 1 - (posterior variance) / v: how far people
    are seen to differ, over how many of them one has seen anything of.
    """
    moment = _second_moment(deviation, covariance)
    old = np.diag(between)
    seen = (old[:, None] - np.diagonal(covariance).T).sum(axis=1)
    factor = (deviation**2).sum(axis=0) / np.maximum(seen, 1e-9)
    # Squared: the fixed point is the same, and where there is nothing to see it is neared twice as fast.
    scale = np.sqrt(np.clip(old * np.clip(factor**2, 0.3, 3.0), LEAST_VARIANCE, 1.0) / np.diag(moment))
    rescaled: Floats = moment * scale[:, None] * scale[None, :]
    return rescaled
