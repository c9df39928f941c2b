"""The virtual clock: day after day a strategy is told what is known by then, chooses moments, and the world answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from horae.domain.learning import facts as f
from horae.domain.learning.choice import Requests
from horae.domain.learning.dice import Words, word
from horae.domain.learning.facts import Facts
from horae.domain.learning.hours import DAY_S, Floats, Ints, bins, local_s
from tests.simulation.world.running import EPOCH_S, NEVER, Answers, Calls, World
from tests.simulation.world.spec import WINDOW, ZONES

BEFORE_S = 12 * 3600  # a day is planned so long before its midnight in UTC: it has not begun anywhere


@dataclass(frozen=True, slots=True)
class People:
    """What a strategy may know of people: their segment and device. Rows are the same as in `Facts`."""

    segment: Ints
    device: Ints
    words: Words


@dataclass(frozen=True, slots=True)
class Plan:
    """One day's messages to be planned at the instant `now`; `category` is that of the message."""

    now: int
    requests: Requests
    category: Ints
    first: int  # number of the first message: the others follow


class Strategy(Protocol):
    """A way to choose moments."""

    def observe(self, facts: Facts, message: Ints) -> None:
        """Learn; `message` is the number of the message that each fact is about, -1 for none."""

    def choose(self, plan: Plan) -> Ints:
        """Local minutes of the day, one for each request."""


@dataclass(slots=True)
class Result:
    """What came of the judged days: true chances by day, and the columns by message that measuring needs."""

    chance: list[Floats] = field(default_factory=list)
    at_nine: list[Floats] = field(default_factory=list)
    answered: list[Floats] = field(default_factory=list)
    day: list[Ints] = field(default_factory=list)
    message: list[Ints] = field(default_factory=list)
    who: list[Ints] = field(default_factory=list)

    def mean(self) -> float:
        """True engagement per message."""
        return float(np.concatenate(self.chance).mean())


class _Known:
    """Facts that lie in the future, until the clock has passed them."""

    def __init__(self) -> None:
        self._columns = np.zeros((6, 0), dtype=np.int64)
        self._position = 0

    def add(self, known_at: Ints, row: Ints, kind: int, at: Ints, bin_: Ints, message: Ints) -> None:
        block = np.stack([known_at, row, np.full(len(row), kind), at, bin_, message])
        self._columns = np.concatenate([self._columns, block], axis=1)

    def until(self, now: int) -> tuple[Facts, Ints]:
        ready = self._columns[0] <= now
        known, self._columns = self._columns[:, ready], self._columns[:, ~ready]
        known = known[:, np.argsort(known[0], kind="stable")]
        n = known.shape[1]
        position = np.arange(self._position, self._position + n)
        self._position += n
        return Facts(position, known[1], known[2], known[3], known[4]), known[5]


def people_of(world: World) -> People:
    """What is known of the world's people."""
    words = np.array([word("tenant", f"person-{i}") for i in range(world.spec.people)], dtype=np.uint64)
    return People(world.people.segment, world.people.device, words)


def answered_within(answers: Answers) -> tuple[Ints, Ints]:
    """For each message whether a person is known to have answered in time, and when; machines are left out."""
    opened, sent = answers.opened_at, answers.sent_at
    no_proxy = np.zeros(len(sent), dtype=np.bool_)
    in_time = (opened < NEVER) & (opened - sent <= f.WINDOW_S) & ~f.is_machine(sent, opened, no_proxy)
    fetched = answers.machine_at
    taken_in = (fetched < NEVER) & ~f.is_machine(sent, fetched, answers.machine_known)
    answered = in_time | taken_in
    when = np.where(in_time, opened, np.where(taken_in, fetched, sent + f.WINDOW_S))
    return answered.astype(np.int64), when


def live(world: World, strategy: Strategy, observed_days: int | None = None) -> Result:
    """Let the world's days pass (or `observed_days` of them) under `strategy`, history first."""
    result, known, words, messages = Result(), _Known(), people_of(world).words, 0
    for day in range(world.days if observed_days is None else observed_days):
        now = EPOCH_S + day * DAY_S - BEFORE_S
        strategy.observe(*known.until(now))
        calls = world.calls(day)
        minutes = world.house_minutes(calls)
        number = np.arange(messages, messages + len(calls.who))
        messages += len(calls.who)
        judged = day >= world.spec.history_days
        if judged:
            minutes = strategy.choose(_plan(calls, now, words, number))
            result.at_nine.append(world.chances(calls, np.full(len(calls.who), 540)))
        answers = world.send(calls, minutes)
        answered, when = answered_within(answers)
        if judged:
            result.chance.append(answers.chance)
            result.answered.append(answered.astype(np.float64))
            result.day.append(np.full(len(number), day))
            result.message.append(number)
            result.who.append(calls.who)
        _foresee(world, known, calls, answers, answered, when, number)
    return result


def _plan(calls: Calls, now: int, words: Words, number: Ints) -> Plan:
    n = len(calls.who)
    # The message's word from its number: SplitMix64 mixes whatever it is given.
    message = number.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
    requests = Requests(
        row=calls.who,
        day=np.full(n, EPOCH_S // DAY_S + calls.day),
        start=np.full(n, WINDOW[0] // 15),
        end=np.full(n, WINDOW[1] // 15),
        person=words[calls.who],
        message=message,
    )
    return Plan(now, requests, calls.category, int(number[0]) if n else 0)


def _foresee(
    world: World, known: _Known, calls: Calls, answers: Answers, answered: Ints, when: Ints, number: Ints
) -> None:
    """Put down what will be known of this day's messages and activity, and when."""
    zone = world.people.known_zone[:, calls.day]
    sent_bin = bins(local_s(answers.sent_at, zone[calls.who], ZONES))
    known.add(answers.sent_at, calls.who, f.SENT, answers.sent_at, sent_bin, number)
    for kind, mask in ((f.ANSWERED, answered == 1), (f.IGNORED, answered == 0)):
        known.add(when[mask], calls.who[mask], kind, answers.sent_at[mask], sent_bin[mask], number[mask])
    who, at = world.activity(calls.day)
    known.add(at, who, f.ACTIVE, at, bins(local_s(at, zone[who], ZONES)), np.full(len(who), -1))
