"""What the benchmarks reckon from what they saw: percentiles, medians of rounds, verdicts, flat series.

Place in the flow: generators and services -> *here* -> the tables. Pure: no clock, no process, no file.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` of them do not exceed (nearest rank); NaN of none."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(slots=True)
class Fired:
    """What came of `total` messages that were due: seconds from each one's due instant to its release."""

    total: int
    late_s: list[float]
    #: Released again under the same occurrence.
    double: int = 0
    #: Of them as a further attempt, which the log has too: what began it did not learn how the one before it ended.
    again: int = 0
    #: Claims and ends that the log has since before they were asked for; None: nobody looked.
    claimed: int | None = None
    ended: int | None = None
    #: From the last release until the read models had everything, seconds.
    behind_s: float = 0.0
    #: All of them were asked for before the first was due.
    in_time: bool = True

    @property
    def lost(self) -> int:
        """Not released by the end of the measurement's patience."""
        return self.total - len(self.late_s)

    @property
    def settled(self) -> bool:
        """The log has one claim and one end for each of them."""
        return self.claimed == self.total and self.ended == self.total

    @property
    def whole(self) -> bool:
        """Each one went out once, and the log says the same."""
        return not self.lost and not self.double and self.settled

    @property
    def within_1s(self) -> float:
        """Share of all, the lost among them, that went out at most a second late."""
        return sum(late <= 1.0 for late in self.late_s) / self.total if self.total else math.nan

    def ms(self, share: float) -> float:
        """A percentile of the lateness, milliseconds; what was lost is late for ever."""
        return percentile(self.late_s + [math.inf] * self.lost, share) * 1000


def fired_of(releases: Iterable[Mapping[str, Any]], total: int, subject: str) -> Fired:
    """From the lines of `releases.ndjson` whose content has this subject."""
    first: dict[str, float] = {}
    double = again = 0
    for release in releases:
        if release["content"].get("subject") != subject:
            continue
        if release["occurrence_id"] in first:
            double += 1
            again += release.get("attempt", 1) > 1
            continue
        due, out = (datetime.fromisoformat(release[name]) for name in ("due_at", "released_at"))
        first[release["occurrence_id"]] = (out - due).total_seconds()
    return Fired(total, list(first.values()), double, again)


def stored_of(result: dict[str, Any], stored: int) -> dict[str, Any]:
    """What a load generator said, with how many creates the log has of it, and how many it answered and has not.

    More in the log than were answered is no fault: an answer may have been lost, which counts as an error.
    """
    result["stored"], result["missing"] = stored, max(0, result["created"] - stored)
    return result


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: the rounds' values, of which the median counts, and what is asked of it."""

    what: str
    rounds: tuple[float, ...]
    form: str = "{:,.0f}"
    target: str = ""
    #: Whether a median is good enough; None: nothing is asked.
    good: Callable[[float], bool] | None = None
    #: What else must hold in every round, such as no errors; False: missed whatever the median.
    clean: bool = True
    beside: str = ""
    peers: str = ""

    @property
    def median(self) -> float:
        """Of the rounds; NaN of none."""
        return statistics.median(self.rounds) if self.rounds else math.nan

    @property
    def verdict(self) -> str:
        """`met`, `MISSED`, `not measured`, or nothing where nothing is asked."""
        if not self.rounds:
            return "not measured"
        if self.good is None:
            return "" if self.clean else "MISSED"
        return "met" if self.clean and self.good(self.median) else "MISSED"

    def shown(self) -> str:
        """The median, the rounds if there are several, and what stands beside it."""
        if not self.rounds:
            return "—"
        text = self.form.format(self.median)
        if len(self.rounds) > 1:
            text += f"  ({' '.join(self.form.format(value) for value in self.rounds)})"
        return f"{text}; {self.beside}" if self.beside else text


def at_least(bound: float) -> Callable[[float], bool]:
    """Not below."""
    return lambda value: value >= bound


def at_most(bound: float) -> Callable[[float], bool]:
    """Not above."""
    return lambda value: value <= bound


@dataclass(slots=True)
class Budget:
    """The seconds that a whole run may take, and what each line's rounds took; who has a clock tells it the time."""

    seconds: float
    #: What the last round of each line took.
    took_s: dict[str, float] = field(default_factory=dict)
    #: How many rounds were left out for want of time, by line.
    left_out: dict[str, int] = field(default_factory=dict)

    def allows(self, name: str, expected_s: float, spent_s: float) -> bool:
        """May another round of it begin? One that has been seen takes as long as the last; else it is left out."""
        if spent_s + self.took_s.get(name, expected_s) <= self.seconds:
            return True
        self.left_out[name] = self.left_out.get(name, 0) + 1
        return False


@dataclass(frozen=True, slots=True)
class Flat:
    """Whether a series grew: the median of its last quarter against that of its second (the first is warm-up)."""

    early: float
    late: float
    #: So many times `early`, plus `slack`, may `late` be.
    factor: float
    slack: float = 0.0

    @property
    def flat(self) -> bool:
        """It did not grow beyond what is allowed; NaN, for want of figures, is not flat."""
        return self.late <= self.early * self.factor + self.slack

    @property
    def growth(self) -> float:
        """By which share it grew; 0.05 are five in a hundred."""
        return self.late / self.early - 1 if self.early else (0.0 if not self.late else math.inf)


def flatness(series: Sequence[float], factor: float, slack: float = 0.0) -> Flat:
    """Of a series in the order of time; of fewer than four figures nothing can be said."""
    quarter = len(series) // 4
    if not quarter:
        return Flat(math.nan, math.nan, factor, slack)
    second, last = series[quarter : 2 * quarter], series[-quarter:]
    return Flat(statistics.median(second), statistics.median(last), factor, slack)


def lead_s(count: int, per_second: float) -> float:
    """How long before the first is due one begins to ask for `count`, if `per_second` are stored and applied.

    Half as much again as it should take, and some seconds, because the fire must not meet the asking.
    """
    return 6.0 + 1.5 * count / per_second
