"""Horae's learner as a strategy: the product's own domain code, with what its plans would log kept for measuring."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from benchmarks.model.days import People, Plan
from horae.domain.learning import facts as f
from horae.domain.learning.calibration import FEATURES, Calibration, features
from horae.domain.learning.choice import Choices, Rules, choose
from horae.domain.learning.counts import Counts
from horae.domain.learning.facts import Context, Facts
from horae.domain.learning.hours import Floats, Ints
from horae.domain.learning.priors import Priors, fit

REFIT_DAYS: Final = 7


@dataclass(slots=True)
class Log:
    """By day: what the plans hold."""

    choices: list[Choices] = field(default_factory=list)
    foretold: list[Floats] = field(default_factory=list)


class Horae:
    """The model, its calibration and its rules; `rules` are what tuning may choose."""

    name = "Horae"

    def __init__(self, people: People, rules: Rules) -> None:
        self.people = people
        self.rules = rules
        self.counts = Counts.empty(people.segment)
        self.segments = int(people.segment.max()) + 1
        self.priors = Priors.unknown(self.segments)
        self.calibration = Calibration()
        self.log = Log()
        self._features = np.zeros((0, FEATURES))
        self._first = -1
        self._days = 0

    def observe(self, facts: Facts, message: Ints) -> None:
        """Fold the facts in, and hold what was foretold against what came."""
        self.counts.learn(facts)
        told = ((facts.kind == f.ANSWERED) | (facts.kind == f.IGNORED)) & (message >= self._first) & (self._first >= 0)
        self.calibration.learn(
            self._features[message[told] - self._first], (facts.kind[told] == f.ANSWERED).astype(np.float64)
        )

    def choose(self, plan: Plan) -> Ints:
        """Refit every few days, then decide."""
        if self._days % REFIT_DAYS == 0:
            rows = np.arange(len(self.people.segment))
            view = self.counts.view(rows, plan.now)
            if view[0].sum() > 100:
                self.priors = fit(self.people.segment, *view, self.segments, self.priors)
        self._days += 1
        rules = replace(self.rules, trust=self.calibration.trust)
        choices = choose(self.counts, self.priors, plan.requests, plan.now, rules)
        rows = plan.requests.row
        context = Context(
            np.zeros(len(rows), np.int64),
            plan.category,
            self.people.device[rows],
            *self.counts.pressure(rows, plan.now),
        )
        x = features(choices, context)
        if self._first < 0:
            self._first = plan.first
        self._features = np.concatenate([self._features, x])
        self.log.choices.append(choices)
        self.log.foretold.append(self.calibration.foretell(x))
        return choices.quarter * 15
