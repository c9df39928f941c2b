"""A world in which days pass: who may be written to today, what they do when they are, and what was best.

Chance depends on (seed, day, purpose) alone, never on what was sent before: two ways of choosing the moment meet the
same luck. Instants are seconds since the epoch; a day is the day in the zone that is known of each person.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from tests.simulation.world import people as population
from tests.simulation.world.habits import Floats, Ints, look
from tests.simulation.world.spec import FIRST_DAY, KINDS, STEP_MIN, WINDOW, WorldSpec

EPOCH_S = int(datetime.fromisoformat(FIRST_DAY).replace(tzinfo=UTC).timestamp())
DAY_S = 86_400
TIRED_S = 18 * 3600  # shorter than a day, so that one message a day about the same hour is never "two in a day"
NEVER = np.iinfo(np.int64).max

_PEOPLE, _CALLS, _ANSWERS, _ACTIVITY, _HOUSE = range(5)


@dataclass(frozen=True, slots=True)
class Calls:
    """Who is to get a message on one day, and of which category."""

    day: int
    who: Ints
    category: Ints


@dataclass(frozen=True, slots=True)
class Answers:
    """What became of messages: `chance` and `engaged` are the truth, the rest is what a log would show.

    `opened_at` and `machine_at` are seconds, `NEVER` for none; `machine_known` where the opener names itself a proxy.
    """

    sent_at: Ints
    chance: Floats
    engaged: NDArray[np.bool_]
    opened_at: Ints
    machine_at: Ints
    machine_known: NDArray[np.bool_]


class World:
    """The world `spec`, drawn by `seed`. It remembers what was sent, for people tire: one for each way of choosing."""

    def __init__(self, spec: WorldSpec, seed: int) -> None:
        self.spec = spec
        self.seed = seed
        self.days = spec.history_days + spec.judged_days
        self.people = population.draw(spec, self._rng(_PEOPLE))
        self._offsets = population.offsets_min(self.days + 2)
        self._weekday = population.weekdays(self.days + 2)
        self._sent = np.full((spec.people, 8), -(10**12), dtype=np.int64)

    def again(self) -> World:
        """The same people and the same luck, with nothing sent yet."""
        other = copy(self)
        other._sent = np.full_like(self._sent, -(10**12))
        return other

    def _rng(self, purpose: int, day: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, purpose, day])

    def calls(self, day: int) -> Calls:
        """Who is written to on `day`, whatever the hour."""
        rng = self._rng(_CALLS, day)
        called = rng.random(self.spec.people) < self.spec.sends_per_day
        category = rng.integers(0, len(self.spec.category_levels), self.spec.people)
        who = np.flatnonzero(called & (self.people.joined <= day))
        return Calls(day, who, category[who])

    def house_minutes(self, calls: Calls) -> Ints:
        """When the house itself sends in the days of history: one hour from 8 to 20 per day and category, for all."""
        hours = self._rng(_HOUSE, calls.day).integers(8, 21, len(self.spec.category_levels))
        return np.asarray(hours[calls.category] * 60, dtype=np.int64)

    def instants(self, day: int, who: Ints, minutes: Ints) -> Ints:
        """Local minutes of the day in the zone that is known of each person, as seconds since the epoch."""
        offset = self._offsets[self.people.known_zone[who, day], day]
        at: Ints = EPOCH_S + day * DAY_S + (minutes - offset) * 60
        return at

    def chances(self, calls: Calls, minutes: Ints) -> Floats:
        """The true probability that each message is answered if it goes out at these local minutes."""
        chance: Floats = np.clip(self._rested(calls, minutes[:, None])[:, 0] * self._freshness(calls, minutes), 0, 0.95)
        return chance

    def _rested(self, calls: Calls, minutes: Ints) -> Floats:
        """The chances at `minutes` (messages, any number of moments) for people who are not tired."""
        who, day = calls.who[:, None], calls.day
        p = self.people
        true, known = (self._offsets[zone[who, day], day] for zone in (p.true_zone, p.known_zone))
        local = minutes + true - known
        hours = local / 60
        # A traveller's clock may show the day before or after.
        there = np.clip(day + local // 1440, 0, self.days + 1)
        looking = look(p.curve, who, hours - p.shift[who, there])
        amplitude = self.spec.amplitude
        shape = 1 - amplitude + amplitude * looking
        weekend = np.where(self._weekday[there] >= 5, self.spec.weekend_level, 1.0)
        level = np.array(self.spec.category_levels)[calls.category]
        morning = np.array(self.spec.category_morning)[calls.category] * (amplitude > 0)
        taste = 1 + morning[:, None] * np.exp(-(((np.mod(hours, 24) - 8) / 3) ** 2))
        rested: Floats = p.base[who] * shape * weekend * level[:, None] * taste
        return rested

    def _freshness(self, calls: Calls, minutes: Ints) -> Floats:
        at = self.instants(calls.day, calls.who, minutes)[:, None]
        age = at - self._sent[calls.who]
        in_day = ((age >= 0) & (age < TIRED_S)).sum(axis=1)
        in_week = ((age >= 0) & (age < 7 * DAY_S)).sum(axis=1)
        fresh: Floats = (1 - self.spec.tired_day * np.minimum(in_day, 2)) * np.exp(
            -self.spec.tired_week * np.maximum(in_week - 3, 0)
        )
        return fresh

    def best_minutes(self, calls: Calls) -> Ints:
        """The oracle: the quarter of an hour within the window at which the true chance of each is highest."""
        grid = np.arange(*WINDOW, STEP_MIN)
        best: Ints = grid[self._rested(calls, grid[None, :]).argmax(axis=1)]
        return best

    def send(self, calls: Calls, minutes: Ints) -> Answers:
        """Send each message at its local minute. Raises `ValueError` for a minute outside the window."""
        if ((minutes < WINDOW[0]) | (minutes >= WINDOW[1])).any():
            raise ValueError(f"minutes must lie in {WINDOW}, got {minutes.min()} to {minutes.max()}")
        who, n = calls.who, self.spec.people
        chance = self.chances(calls, minutes)
        sent_at = self.instants(calls.day, who, minutes)
        rng = self._rng(_ANSWERS, calls.day)
        engaged = rng.random(n)[who] < chance
        lost = rng.random(n)[who] < self.spec.lost
        quick = np.exp(np.log(self.spec.median_delay_min) + rng.normal(0, self.spec.delay_sigma, n)) * 60 + 15
        slow = rng.exponential(20 * 3600.0, n)
        delay = np.where(rng.random(n) < self.spec.slow, slow, quick)[who].astype(np.int64)
        seconds, hours = rng.uniform(1, 8, n)[who], rng.uniform(0, 7200, n)[who]
        machine = self.people.machine[who]
        wait = np.where(machine == 3, hours, seconds).astype(np.int64)
        self._sent[who] = np.concatenate([self._sent[who, 1:], sent_at[:, None]], axis=1)
        return Answers(
            sent_at=sent_at,
            chance=chance,
            engaged=engaged,
            opened_at=np.where(engaged & ~lost, sent_at + delay, NEVER),
            machine_at=np.where(machine > 0, sent_at + wait, NEVER),
            machine_known=(machine == 1) | (machine == 3),
        )

    def activity(self, day: int) -> tuple[Ints, Ints]:
        """Who was seen on `day` by themselves, and when; nobody in a world without the signal."""
        if not self.spec.with_activity:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        rng = self._rng(_ACTIVITY, day)
        p = self.people
        counts = rng.poisson(p.activity_rate) * (p.joined <= day)
        who = np.repeat(np.arange(self.spec.people), counts)
        # Most follow the habit (drawn by rejection from the curve), the others the day.
        hours = rng.uniform(0, 24, len(who))
        todo = np.flatnonzero(p.kind[who] != KINDS.index("flat"))
        while len(todo):
            hours[todo] = rng.uniform(0, 24, len(todo))
            seen = look(p.curve, who[todo], hours[todo] - p.shift[who[todo], day] - p.activity_shift[who[todo]])
            todo = todo[rng.random(len(todo)) >= seen]
        by_day = rng.random(len(who)) < self.spec.activity_noise
        hours = np.where(by_day, rng.uniform(8, 23, len(who)), hours)
        at = EPOCH_S + day * DAY_S + (hours * 3600).astype(np.int64) - self._offsets[p.true_zone[who, day], day] * 60
        order = np.argsort(at, kind="stable")
        return who[order], at[order]
