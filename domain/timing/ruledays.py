"""The days that a recurrence rule names, month by month, and BYSETPOS over whole days.

Once the parts that a rule leaves open are filled in from its start, each part is a condition on the day alone, the
interval's phase included; so a month can be tabled without walking there.
"""

from __future__ import annotations

from bisect import bisect_right
from calendar import isleap, monthrange
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from functools import lru_cache

from horae.domain.timing.walker import SEARCH_YEARS, Times, next_day

YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY, MINUTELY, SECONDLY = range(7)

Numbers = tuple[int, ...]
DayParts = tuple[Numbers, Numbers, Numbers, Numbers, tuple[tuple[int, int], ...]]


class RuleDays:
    """Table of days; compared by identity, because `of` gives the same object for the same rule and phase."""

    def __init__(self, frequency: int, interval: int, week_start: int, parts: DayParts, phase: int) -> None:
        self.frequency, self.interval, self.week_start, self.phase = frequency, interval, week_start, phase
        self._months, self._weeks, self._year_days, self._month_days, days = parts
        self._weekdays = frozenset(weekday for weekday, n in days if n == 0)
        self._nth = frozenset((weekday, n) for weekday, n in days if n)
        self._some_weekdays = self._weekdays | {weekday for weekday, _ in self._nth}
        self._nth_in_year = frequency == YEARLY and not self._months

    @classmethod
    def of(cls, frequency: int, interval: int, week_start: int, parts: DayParts, start: datetime) -> RuleDays:
        """The table of a rule whose interval counts from `start`; finer than daily, the interval is not the days'."""
        if frequency >= HOURLY:
            return _table(frequency, 1, week_start, parts, 0)
        phase = _period_index(frequency, week_start, start.date()) % interval
        return _table(frequency, interval, week_start, parts, phase)

    @lru_cache(maxsize=16_384)  # noqa: B019 - tables are themselves cached, and both caches are bounded
    def days(self, year: int, month: int) -> tuple[int, ...]:
        """The days of a month that the rule names."""
        if self._months and month not in self._months:
            return ()
        if self.frequency <= MONTHLY and not self._in_phase(date(year, month, 1)):
            return ()
        return tuple(day for day in self._candidates(year, month) if self._matches(date(year, month, day)))

    def _candidates(self, year: int, month: int) -> Iterable[int]:
        """Days that the most telling part admits, ascending, so that a search through years of months is quick."""
        first, length = monthrange(year, month)
        if self._month_days:
            return sorted(
                {day if day > 0 else length + 1 + day for day in self._month_days} & set(range(1, length + 1))
            )
        if self._year_days:
            before = date(year, month, 1).toordinal() - date(year, 1, 1).toordinal()
            of_year = {day if day > 0 else 366 + isleap(year) + day for day in self._year_days}
            return sorted(day - before for day in of_year if 1 <= day - before <= length)
        if self._weeks:
            return self._of_weeks(year, month)
        if self.interval > 1 and self.frequency in (WEEKLY, DAILY):
            begin = date(year, month, 1)
            index = _period_index(self.frequency, self.week_start, begin)
            ahead = (self.phase - index) % self.interval
            if self.frequency == DAILY:
                return range(1 + ahead, length + 1, self.interval)
            if index + ahead > _period_index(WEEKLY, self.week_start, begin.replace(day=length)):
                return ()
        if self._some_weekdays:
            return [day for day in range(1, length + 1) if (first + day - 1) % 7 in self._some_weekdays]
        return range(1, length + 1)

    def _of_weeks(self, year: int, month: int) -> list[int]:
        """Days of the month that lie in a named week, whichever year that one belongs to."""
        middles: set[date] = set()  # of each week its fourth day, which is of the year that counts it
        for of_year in {year - (month == 1), year + (month == 12)}:
            first, _ = _week_number(date(of_year, 1, 4), self.week_start)
            middle = _middle(date(of_year, 1, 4), self.week_start) - timedelta(days=7 * first)
            total = _week_number(date(of_year, 12, 28), self.week_start)[0]
            middles |= {middle + timedelta(days=7 * (week if week > 0 else total + 1 + week)) for week in self._weeks}
        days = {middle + timedelta(days=n) for middle in middles for n in range(-3, 4)}
        return sorted(day.day for day in days if (day.year, day.month) == (year, month))

    def period(self, day: date) -> list[date]:
        """The named days of the year, month, week or day that holds `day`."""
        if self.frequency == YEARLY:
            return [date(day.year, month, d) for month in range(1, 13) for d in self.days(day.year, month)]
        if self.frequency == MONTHLY:
            return [day.replace(day=d) for d in self.days(day.year, day.month)]
        if self.frequency == WEEKLY:
            start = day - timedelta(days=(day.weekday() - self.week_start) % 7)
            week = [start + timedelta(days=i) for i in range(7)]
            return [d for d in week if d.day in self.days(d.year, d.month)]
        return [day]

    @property
    def every_day(self) -> bool:
        """Does the rule leave out no day at all?"""
        parts = (self._months, self._weeks, self._year_days, self._month_days, self._weekdays, self._nth)
        return self.interval == 1 and not any(parts)

    @property
    def weekdays(self) -> frozenset[int]:
        """No other weekdays have named days; Monday is 0."""
        return self._weekdays if self._weekdays and not self._nth else frozenset(range(7))

    @property
    def most(self) -> int:
        """No period has more named days than this: what BYSETPOS can reach at all."""
        yearly, months = self.frequency == YEARLY, len(self._months) or 12
        bounds = [{YEARLY: min(366, 31 * months), MONTHLY: 31, WEEKLY: 7}.get(self.frequency, 1)]
        if self._weekdays or self._nth:
            each = {YEARLY: 53, MONTHLY: 5}.get(self.frequency, 1)
            bounds.append(each * len(self._weekdays) + (len(self._months) or 1) * len(self._nth))
        if self._month_days:
            bounds.append((months if yearly else 1) * len(self._month_days))
        if self._year_days and yearly:
            bounds.append(len(self._year_days))
        if self._weeks:
            bounds.append(7 * len(self._weeks) + 6)  # of the first and last one also the neighbours' in the year
        return min(bounds)

    def _in_phase(self, day: date) -> bool:
        return self.interval == 1 or _period_index(self.frequency, self.week_start, day) % self.interval == self.phase

    def _matches(self, day: date) -> bool:
        if not self._in_phase(day):
            return False
        if (self._weekdays or self._nth) and day.weekday() not in self._weekdays and not self._is_nth(day):
            return False
        if self._month_days:
            length = monthrange(day.year, day.month)[1]
            if day.day not in self._month_days and day.day - length - 1 not in self._month_days:
                return False
        if self._year_days:
            of_year, length = day.timetuple().tm_yday, 365 + isleap(day.year)
            if of_year not in self._year_days and of_year - length - 1 not in self._year_days:
                return False
        if self._weeks:
            week, total = _week_number(day, self.week_start)
            return week in self._weeks or week - total - 1 in self._weeks
        return True

    def _is_nth(self, day: date) -> bool:
        if not self._nth:
            return False
        if self._nth_in_year:
            position, length = day.timetuple().tm_yday, 365 + isleap(day.year)
        else:
            position, length = day.day, monthrange(day.year, day.month)[1]
        from_start, from_end = (position - 1) // 7 + 1, -((length - position) // 7 + 1)
        return (day.weekday(), from_start) in self._nth or (day.weekday(), from_end) in self._nth


class SetWalk:
    """BYSETPOS: of all times in a period, only those at the given positions."""

    def __init__(self, days: RuleDays, times: Times, positions: Numbers) -> None:
        self._days, self._times, self._positions = days, times, positions
        self._reachable = min(abs(position) for position in positions) <= days.most * times.size

    def next(self, local: datetime) -> datetime | None:
        """See `walker.Rule.next`. Positions behind the last time of the longest period are not looked for."""
        if not self._reachable:
            return None
        day: date | None = _first_of_period(self._days, local.date())
        last = local.year + SEARCH_YEARS
        while day is not None and (day := next_day(self._days, day)) is not None and day.year <= last:
            chosen = self._chosen(self._days.period(day))
            i = bisect_right(chosen, local)
            if i < len(chosen):
                return chosen[i]
            day = _after_period(self._days, day)
        return None

    def _chosen(self, days: list[date]) -> list[datetime]:
        size = self._times.size
        total = len(days) * size
        indexes = {p - 1 if p > 0 else total + p for p in self._positions}
        return [
            datetime(days[i // size].year, days[i // size].month, days[i // size].day, *self._times.at(i % size))  # noqa: DTZ001
            for i in sorted(indexes)
            if 0 <= i < total
        ]


@lru_cache(maxsize=4096)
def _table(frequency: int, interval: int, week_start: int, parts: DayParts, phase: int) -> RuleDays:
    return RuleDays(frequency, interval, week_start, parts, phase)


def _period_index(frequency: int, week_start: int, day: date) -> int:
    if frequency == YEARLY:
        return day.year
    if frequency == MONTHLY:
        return day.year * 12 + day.month
    if frequency == WEEKLY:
        return (day.toordinal() - 1 - week_start) // 7
    return day.toordinal()


def _first_of_period(days: RuleDays, day: date) -> date:
    if days.frequency == YEARLY:
        return day.replace(month=1, day=1)
    if days.frequency == MONTHLY:
        return day.replace(day=1)
    if days.frequency == WEEKLY:
        return day - timedelta(days=(day.weekday() - days.week_start) % 7)
    return day


def _after_period(days: RuleDays, day: date) -> date:
    if days.frequency == YEARLY:
        return date(day.year + 1, 1, 1)
    if days.frequency == MONTHLY:
        return date(day.year + day.month // 12, day.month % 12 + 1, 1)
    if days.frequency == WEEKLY:
        return _first_of_period(days, day) + timedelta(days=7)
    return day + timedelta(days=1)


def _week_number(day: date, week_start: int) -> tuple[int, int]:
    """Number of the day's week (the first has at least four days in its year) and how many its week-year has."""
    middle = _middle(day, week_start)
    last_middle = _middle(date(middle.year, 12, 28), week_start)
    return (middle.timetuple().tm_yday - 1) // 7 + 1, (last_middle.timetuple().tm_yday - 1) // 7 + 1


def _middle(day: date, week_start: int) -> date:
    """The fourth day of the day's week."""
    return day - timedelta(days=(day.weekday() - week_start) % 7) + timedelta(days=3)
