"""Walking over naive local times: the days that a rule names, crossed with its times of day.

Cron and the coarser recurrence rules are the same thing here: a table of days per month and three sorted fields.
Nothing knows of zones; `series` lays the local times over the clock changes. All steps are strict ("after"), to whole
seconds, and can begin anywhere; a search gives up after `SEARCH_YEARS`, so that none can stall.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import date, datetime, timedelta
from typing import Protocol

SEARCH_YEARS = 50
"""A rule without a match in so many years counts as one that never matches (leap days on a given weekday need 40)."""


class Rule(Protocol):
    """Strictly increasing naive local times."""

    def next(self, local: datetime) -> datetime | None:
        """The first one after `local`; None when there is none within `SEARCH_YEARS`."""
        ...


class Counted(Rule, Protocol):
    """A rule that can say how many times it has in a stretch without walking through it."""

    def between(self, after: datetime, until: datetime) -> int:
        """How many local times lie after one and up to another, that one included."""
        ...


class DayTable(Protocol):
    """The days that a rule names."""

    def days(self, year: int, month: int) -> tuple[int, ...]:
        """Days of that month, ascending."""
        ...


class Times:
    """Times of day: every combination of sorted hours, minutes and seconds."""

    __slots__ = ("first", "hours", "minutes", "seconds", "size")

    def __init__(self, hours: tuple[int, ...], minutes: tuple[int, ...], seconds: tuple[int, ...]) -> None:
        self.hours, self.minutes, self.seconds = hours, minutes, seconds
        self.first = (hours[0], minutes[0], seconds[0])
        self.size = len(hours) * len(minutes) * len(seconds)

    def after(self, hour: int, minute: int, second: int) -> tuple[int, int, int] | None:
        """The first time of day after the given one."""
        hours, minutes, seconds = self.hours, self.minutes, self.seconds
        h = bisect_left(hours, hour)
        if h == len(hours):
            return None
        if hours[h] == hour:
            m = bisect_left(minutes, minute)
            if m < len(minutes):
                if minutes[m] != minute:
                    return hour, minutes[m], seconds[0]
                s = bisect_right(seconds, second)
                if s < len(seconds):
                    return hour, minute, seconds[s]
                m += 1
                if m < len(minutes):
                    return hour, minutes[m], seconds[0]
            h += 1
            if h == len(hours):
                return None
        return hours[h], minutes[0], seconds[0]

    def up_to(self, hour: int, minute: int, second: int) -> int:
        """How many times of day are no later than the given one."""
        hours, minutes, seconds = self.hours, self.minutes, self.seconds
        h = bisect_left(hours, hour)
        whole = h * len(minutes) * len(seconds)
        if h == len(hours) or hours[h] != hour:
            return whole
        m = bisect_left(minutes, minute)
        whole += m * len(seconds)
        if m == len(minutes) or minutes[m] != minute:
            return whole
        return whole + bisect_right(seconds, second)

    def at(self, index: int) -> tuple[int, int, int]:
        """The time of day at an index from 0 to `size` - 1."""
        index, second = divmod(index, len(self.seconds))
        hour, minute = divmod(index, len(self.minutes))
        return self.hours[hour], self.minutes[minute], self.seconds[second]


def next_day(table: DayTable, start: date) -> date | None:
    """The first day of the table at or after `start`; None when there is none within `SEARCH_YEARS`."""
    year, month = start.year, start.month
    days = table.days(year, month)
    i = bisect_left(days, start.day)
    last = year + SEARCH_YEARS
    while i >= len(days):
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        if year > last:
            return None
        days, i = table.days(year, month), 0
    return date(year, month, days[i])


class DayWalk:
    """Every time of day on every day of a table."""

    __slots__ = ("table", "times")

    def __init__(self, table: DayTable, times: Times) -> None:
        self.table, self.times = table, times

    def next(self, local: datetime) -> datetime | None:
        """See `Rule.next`."""
        year, month, day = local.year, local.month, local.day
        if day in self.table.days(year, month):
            later = self.times.after(local.hour, local.minute, local.second)
            if later is not None:
                return datetime(year, month, day, *later)  # noqa: DTZ001 - local times are naive
        found = next_day(self.table, date(year, month, day) + timedelta(days=1))
        if found is None:
            return None
        return datetime(found.year, found.month, found.day, *self.times.first)  # noqa: DTZ001

    def between(self, after: datetime, until: datetime) -> int:
        """See `Counted.between`."""
        return self._up_to(until) - self._up_to(after) + self.times.size * self._days_before(after, until)

    def _up_to(self, local: datetime) -> int:
        """How many times of its month lie no later than a local time."""
        days = self.table.days(local.year, local.month)
        i = bisect_left(days, local.day)
        whole = i * self.times.size
        if i == len(days) or days[i] != local.day:
            return whole
        return whole + self.times.up_to(local.hour, local.minute, local.second)

    def _days_before(self, after: datetime, until: datetime) -> int:
        """How many days are named from the month of one local time on to before that of another."""
        months = range(after.year * 12 + after.month - 1, until.year * 12 + until.month - 1)
        return sum(len(self.table.days(month // 12, month % 12 + 1)) for month in months)
