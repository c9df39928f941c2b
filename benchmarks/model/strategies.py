"""What Horae is held against: fixed 9:00, best hours, histograms, flat Thompson sampling. All see the same facts.

Each takes one number, which tuning chooses from as many values as it tries for Horae.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from benchmarks.model.days import People, Plan, Strategy
from horae.domain.learning.counts import Counts
from horae.domain.learning.facts import Facts
from horae.domain.learning.hours import HOURS, Floats, Ints
from tests.simulation.world.spec import WINDOW

OPEN: Final = np.arange(WINDOW[0] // 60, WINDOW[1] // 60)
EXPLORE: Final = 0.05


class FixedNine:
    """9:00, always."""

    name = "fixed 9:00"

    def __init__(self, people: People, setting: float) -> None:
        del people, setting

    def observe(self, facts: Facts, message: Ints) -> None:
        """Nothing to learn."""

    def choose(self, plan: Plan) -> Ints:
        """9:00."""
        return np.full(len(plan.requests.row), 540)


class _Counting:
    """Counts per person and hour, forgotten as Horae forgets, and a share of messages at a random open hour."""

    def __init__(self, people: People, setting: float) -> None:
        self.people = people
        self.setting = setting
        self.counts = Counts.empty(people.segment)
        self.rng = np.random.default_rng(1)

    def observe(self, facts: Facts, message: Ints) -> None:
        """Count."""
        del message
        self.counts.learn(facts)

    def hours(self, rows: Ints, now: int) -> tuple[Floats, Floats, Floats]:
        """(asked, answered, active), each (rows, open hours), weekdays and weekends together."""
        view = self.counts.view(rows, now)
        return tuple((v[:, :HOURS] + v[:, HOURS:])[:, OPEN] for v in view)  # type: ignore[return-value]

    def everybody(self, now: int) -> tuple[Floats, Floats, Floats]:
        return self.hours(np.arange(len(self.people.segment)), now)

    def sent(self, hour: Ints) -> Ints:
        """The minutes for chosen open hours (by index), now and then another hour."""
        other = self.rng.integers(0, len(OPEN), len(hour))
        taken = np.where(self.rng.random(len(hour)) < EXPLORE, other, hour)
        return np.asarray(OPEN[taken] * 60 + 30, dtype=np.int64)


class GlobalHour(_Counting):
    """Everybody's best hour, by rates drawn to the mean by `setting` messages."""

    name = "best global hour"

    def choose(self, plan: Plan) -> Ints:
        """The same hour for all."""
        asked, answered, _ = self.everybody(plan.now)
        best = shrunk_rate(asked.sum(axis=0), answered.sum(axis=0), self.setting).argmax()
        return self.sent(np.full(len(plan.requests.row), best))


class SegmentHour(_Counting):
    """Each segment's best hour, drawn to everybody's rate at that hour by `setting` messages."""

    name = "best segment hour"

    def choose(self, plan: Plan) -> Ints:
        """The segment's hour."""
        return self.sent(self.best(plan)[self.people.segment[plan.requests.row]])

    def best(self, plan: Plan) -> Ints:
        asked, answered, _ = self.everybody(plan.now)
        whole = shrunk_rate(asked.sum(axis=0), answered.sum(axis=0), self.setting)
        hours = []
        for s in range(int(self.people.segment.max()) + 1):
            mine = self.people.segment == s
            rate = (answered[mine].sum(axis=0) + self.setting * whole) / (asked[mine].sum(axis=0) + self.setting)
            hours.append(int(rate.argmax()))
        return np.array(hours)


class HistogramMode(SegmentHour):
    """The hour in which a person answered or was seen most, being seen counting `setting`; else the segment's hour."""

    name = "histogram mode"

    def choose(self, plan: Plan) -> Ints:
        """The mode of each person's histogram, smoothed over neighbouring hours."""
        weight, self.setting = self.setting, 100.0
        segments = self.best(plan)[self.people.segment[plan.requests.row]]
        self.setting = weight
        _, answered, active = self.hours(plan.requests.row, plan.now)
        seen = answered + weight * active
        smooth = seen.copy()
        smooth[:, 1:] += 0.5 * seen[:, :-1]
        smooth[:, :-1] += 0.5 * seen[:, 1:]
        return self.sent(np.where(seen.sum(axis=1) < 2, segments, smooth.argmax(axis=1)))


class FlatThompson(_Counting):
    """Thompson sampling per person over the hours, from a common prior of `setting` messages at the mean rate."""

    name = "flat Thompson"

    def choose(self, plan: Plan) -> Ints:
        """The hour with the highest draw."""
        asked, answered, _ = self.hours(plan.requests.row, plan.now)
        whole = self.everybody(plan.now)
        mean = float((whole[1].sum() + 1) / (whole[0].sum() + 10))
        a = answered + self.setting * mean
        b = np.maximum(asked - answered, 0) + self.setting * (1 - mean)
        return np.asarray(OPEN[self.rng.beta(a, b).argmax(axis=1)] * 60 + 30, dtype=np.int64)


def shrunk_rate(asked: Floats, answered: Floats, prior: float) -> Floats:
    """Rates by hour, each drawn to the mean of all by `prior` messages."""
    mean = float((answered.sum() + 0.1) / (asked.sum() + 1))
    rate: Floats = (answered + prior * mean) / (asked + prior)
    return rate


# Four values each, as for Horae.
SETTINGS: Final[tuple[tuple[str, Callable[[People, float], Strategy], tuple[float, ...]], ...]] = (
    (FixedNine.name, FixedNine, (0.0,)),
    (GlobalHour.name, GlobalHour, (3.0, 30.0, 100.0, 300.0)),
    (SegmentHour.name, SegmentHour, (3.0, 30.0, 100.0, 300.0)),
    (HistogramMode.name, HistogramMode, (0.0, 0.1, 0.3, 1.0)),
    (FlatThompson.name, FlatThompson, (1.0, 3.0, 10.0, 30.0)),
)
