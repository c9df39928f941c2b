"""Does 20 % mean 20 %? An online logistic regression from what was foretold to what came true, in context.

It corrects the model's chance by what the hours do not know: channel, category, device, time since the last answer, and
how many messages a person had lately. It learns from what the *plan* logged, in the order of the log, so that replaying
gives the same coefficients whatever the batches. Platt's scaling (1999) with the online step of an adaptive diagonal
metric (Duchi, Hazan and Singer, 2011; the logistic's own curvature in place of squared gradients).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from horae.domain.learning.choice import Choices
from horae.domain.learning.facts import Context
from horae.domain.learning.hours import Floats

CODES: Final = 4  # of each of channel, category and device; further ones share the last
FEATURES: Final = 6 + 3 * CODES
_STIFF: Final = 20.0  # observations' worth of trust in the start: chance as foretold, nothing else matters
GAIN: Final = 2  # the feature that choosing changes
ENOUGH: Final = 0.3  # of a foretold gain: what is left of an honest best of many


def features(choices: Choices, context: Context) -> Floats:
    """(messages, FEATURES): one, log odds of the fallback's chance, the gain over it, context. The plan logs them."""
    base = np.clip(choices.fallback_chance, 1e-3, 0.95)
    odds = np.log(base / (1 - base))
    chosen = np.clip(choices.chance, 1e-3, 0.95)
    gain = np.log(chosen / (1 - chosen)) - odds
    codes = [
        (np.minimum(column, CODES - 1)[:, None] == np.arange(CODES)).astype(np.float64)
        for column in (context.channel, context.category, context.device)
    ]
    plain = [
        np.ones(len(base)),
        odds,
        gain,
        np.log1p(context.since_answer_h) / 5.0,
        context.sent_day,
        context.sent_week / 5.0,
    ]
    return np.concatenate([np.stack(plain, axis=1), *codes], axis=1)


def _start() -> Floats:
    weights = np.zeros(FEATURES)
    weights[1] = weights[GAIN] = 1.0
    return weights


@dataclass(slots=True)
class Calibration:
    """The coefficients and their precisions; a fold over (features as logged, answered or not)."""

    weights: Floats = field(default_factory=_start)
    precision: Floats = field(default_factory=lambda: np.full(FEATURES, _STIFF))

    def foretell(self, x: Floats) -> Floats:
        """Calibrated chances for features (messages, FEATURES)."""
        chance: Floats = 1 / (1 + np.exp(-np.clip(x @ self.weights, -12, 12)))
        return chance

    def learn(self, x: Floats, answered: Floats) -> None:
        """Learn from messages in the order of the log: features (messages, FEATURES), and 1 or 0 for each."""
        weights, precision = self.weights, self.precision
        for row, came in zip(x, answered.tolist(), strict=True):
            chance = 1 / (1 + np.exp(-max(-12.0, min(12.0, float(row @ weights)))))
            precision += chance * (1 - chance) * row * row
            weights += (came - chance) * row / precision

    @property
    def trust(self) -> float:
        """1 while foretold gains come true at least to `ENOUGH`, 0 when none does: choices then fall back."""
        return float(np.clip(self.weights[GAIN] / ENOUGH, 0.0, 1.0))


def expected_calibration_error(chance: Floats, answered: Floats, bins: int = 10) -> float:
    """ECE over bins of equal numbers of messages (Naeini, Cooper and Hauskrecht, 2015): mean |foretold - came true|."""
    order = np.argsort(chance, kind="stable")
    parts = np.array_split(order, bins)
    gaps = [len(part) * abs(float(chance[part].mean() - answered[part].mean())) for part in parts if len(part)]
    return sum(gaps) / max(len(chance), 1)
