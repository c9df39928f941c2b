"""Reads what `Instants.java` prints and holds Horae's daily slots against it, under every gap and overlap policy.

Zones whose clock changes differ between the JDK's release of the zone database and ours are compared up to the first
change that differs, and named: what differs there is the data, not the reckoning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise, product
from typing import NamedTuple
from zoneinfo import ZoneInfo

from horae.domain import timing as t
from horae.domain.timing.series import series_of
from horae.domain.timing.values import GapPolicy, OverlapPolicy, Resolved

TIMES = ((9, 0), (2, 30), (1, 30), (0, 0))
GAPS: tuple[GapPolicy, ...] = ("shift", "skip")
OVERLAPS: tuple[OverlapPolicy, ...] = ("first", "second", "both")

_DAY = timedelta(days=1)
_EPOCH = date(1970, 1, 1)
_BEGIN, _END = 946_684_800, 2_145_916_800  # 2000 and 2038


class Answer(NamedTuple):
    """Of one local time: valid offsets (0 in a gap, 2 in an overlap) and its instants, earlier and later offset."""

    offsets: int
    first: int
    second: int


@dataclass
class ZoneAnswers:
    """Of one zone: offset at the beginning of 2000, changes as (instant, offset after), answers by day."""

    name: str
    offset: int
    changes: list[tuple[int, int]] = field(default_factory=list)
    days: dict[date, list[Answer]] = field(default_factory=dict)


@dataclass
class Outcome:
    """What a comparison came to; a case is one local time on one day in one zone under one pair of policies."""

    cases: int = 0
    days: int = 0
    zones: int = 0
    differing: dict[str, date] = field(default_factory=dict)
    """Zones whose data differ, with the day of the first difference."""
    wrong: list[str] = field(default_factory=list)

    def report(self, source: str) -> str:
        """One paragraph: how many cases, against what, and what was left out."""
        names = ", ".join(f"{name} from {day.year}" for name, day in sorted(self.differing.items()))
        return (
            f"{self.cases:,} cases ({self.zones} zones, {self.days:,} days, {len(TIMES)} local times, "
            f"{len(GAPS) * len(OVERLAPS)} policies) against {source}, tzdata {t.tzdata_version()} here: "
            f"{len(self.wrong)} differ. Not compared, as the data differ: {names or 'nothing'}."
        )


def read(lines: Iterable[str]) -> Iterator[ZoneAnswers]:
    """The zones of a file or of the program's output; comments and unknown zones are passed over."""
    current: ZoneAnswers | None = None
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        if word == "zone":
            if current is not None:
                yield current
            name, offset = rest.split()
            current = ZoneAnswers(name, int(offset))
        elif word == "change" and current is not None:
            instant, offset = rest.split()
            current.changes.append((int(instant), int(offset)))
        elif word == "day" and current is not None:
            day, *answers = rest.split()
            current.days[_EPOCH + timedelta(days=int(day))] = [Answer(*map(int, a.split(","))) for a in answers]
    if current is not None:
        yield current


def compare(zones: Iterable[ZoneAnswers]) -> Outcome:
    """Hold Horae against every answer."""
    outcome = Outcome()
    for there in zones:
        end = differs(there)
        if end is not None:
            outcome.differing[there.name] = end
        days = [day for day in sorted(there.days) if end is None or day < end - 2 * _DAY]
        if not days:
            continue
        outcome.zones += 1
        outcome.days += len(days)
        for i, (hour, minute) in enumerate(TIMES):
            for gap, overlap in product(GAPS, OVERLAPS):
                outcome.cases += len(days)
                ours = _ours(there.name, hour, minute, gap, overlap, days)
                theirs = _theirs(there, i, gap, overlap, days)
                outcome.wrong += [
                    f"{there.name} {day} {hour:02}:{minute:02} {gap} {overlap}: {ours[day]}, theirs {theirs[day]}"
                    for day in days
                    if ours[day] != theirs[day]
                ]
    return outcome


def _theirs(
    there: ZoneAnswers, i: int, gap: GapPolicy, overlap: OverlapPolicy, days: list[date]
) -> dict[date, list[int]]:
    found: dict[date, list[int]] = {}
    for day in days:
        answer = there.days[day][i]
        if answer.offsets == 0:
            found[day] = [answer.first] if gap == "shift" else []
        elif answer.offsets == 1 or overlap == "first":
            found[day] = [answer.first]
        else:
            found[day] = [answer.second] if overlap == "second" else [answer.first, answer.second]
    for before, day in pairwise(days):
        if found[before] == found[day]:  # Apia's 30 December, moved on by a day, is the 31st's: sent once
            found[before] = []
    return found


def _ours(
    zone: str, hour: int, minute: int, gap: GapPolicy, overlap: OverlapPolicy, days: list[date]
) -> dict[date, list[int]]:
    anchor = Resolved(local=datetime(1999, 1, 1), zone="UTC", zone_source="timing")  # noqa: DTZ001 - a local time
    daily = t.Every(cron=f"{minute} {hour} * * *", zone=zone, gap=gap, overlap=overlap, anchor=anchor)
    series = series_of(daily, zone)
    found: dict[date, list[int]] = {day: [] for day in days}
    for first, last in _runs(days):
        stop = datetime.combine(last, datetime.min.time()) + 2 * _DAY
        slot = series.later(datetime.combine(first, datetime.min.time()) - 2 * _DAY)
        while slot is not None and slot.local < stop:
            if slot.local.date() in found:
                found[slot.local.date()].append(round(slot.due.replace(tzinfo=UTC).timestamp()))
            slot = series.later(slot.due)
    return found


def _runs(days: list[date]) -> Iterator[tuple[date, date]]:
    first = last = days[0]
    for day in days[1:]:
        if day - last > 4 * _DAY:
            yield first, last
            first = day
        last = day
    yield first, last


def differs(there: ZoneAnswers) -> date | None:
    """The day from which the two releases tell the zone's clock apart, None if they never do until 2038.

    Of a recorded sample, which holds days that lie behind us and no changes, nothing is left out.
    """
    if there.days and not there.changes:
        return None
    ours = _changes(there.name)
    if _offset(_BEGIN, there.name) != there.offset:
        return date(2000, 1, 1)
    if ours == there.changes:
        return None
    differing = min(set(ours) ^ set(there.changes))
    return datetime.fromtimestamp(differing[0], UTC).date()


def _changes(name: str) -> list[tuple[int, int]]:
    """Our clock changes from 2000 to 2037, by asking `zoneinfo` every other day: nothing of Horae's is used."""
    found: list[tuple[int, int]] = []
    low, before = _BEGIN, _offset(_BEGIN, name)
    while low < _END:
        high = low + 2 * 86_400
        if _offset(high, name) != before:
            left, right = low, high
            while right - left > 1:
                middle = (left + right) // 2
                left, right = (middle, right) if _offset(middle, name) == before else (left, middle)
            before = _offset(right, name)
            found.append((right, before))
            low = right
        else:
            low = high
    return [change for change in found if change[0] < _END]


def _offset(instant: int, name: str) -> int:
    offset = datetime.fromtimestamp(instant, ZoneInfo(name)).utcoffset()
    assert offset is not None
    return round(offset.total_seconds())
