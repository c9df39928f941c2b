"""Calendar intervals: every n days, weeks, months or years on the local calendar, from an origin."""

from __future__ import annotations

from calendar import monthrange
from datetime import datetime, timedelta

from horae.domain.timing.values import Interval, Unit
from horae.domain.timing.walker import SEARCH_YEARS

ELAPSED_UNITS: dict[Unit, timedelta] = {"minutes": timedelta(minutes=1), "hours": timedelta(hours=1)}
_DAYS: dict[Unit, int] = {"days": 1, "weeks": 7}
_MONTHS: dict[Unit, int] = {"months": 1, "years": 12}


class CalendarWalk:
    """origin, origin + n, origin + 2n …; each counted from the origin, so that a clamped month end comes back.

    Months without the origin's day take their last one, or are left out (`month_end`).
    """

    __slots__ = ("between", "days", "months", "origin", "skips")

    def __init__(self, interval: Interval, origin: datetime) -> None:
        self.origin = origin
        self.days = _DAYS.get(interval.unit, 0) * interval.count
        self.months = _MONTHS.get(interval.unit, 0) * interval.count
        self.skips = interval.month_end == "skip" and origin.day > 28
        self.between = None if self.skips else self._between
        """See `walker.Counted.between`; None where months are left out."""

    def next(self, local: datetime) -> datetime | None:
        """See `walker.Rule.next`."""
        origin = self.origin
        if local < origin:
            return origin
        try:
            if self.days:
                step = timedelta(days=self.days)
                return origin + ((local - origin) // step + 1) * step
            k = ((local.year - origin.year) * 12 + local.month - origin.month) // self.months
            while (candidate := self._month(k)) <= local or (self.skips and candidate.day != origin.day):
                if candidate.year > local.year + SEARCH_YEARS:
                    return None
                k += 1
            return candidate
        except (OverflowError, ValueError):
            return None  # past the end of the calendar

    def _between(self, after: datetime, until: datetime) -> int:
        return self._up_to(until) - self._up_to(after)

    def _up_to(self, local: datetime) -> int:
        origin = self.origin
        if local < origin:
            return 0
        if self.days:
            return (local - origin) // timedelta(days=self.days) + 1
        k = ((local.year - origin.year) * 12 + local.month - origin.month) // self.months
        return k + (self._month(k) <= local)

    def _month(self, k: int) -> datetime:
        origin = self.origin
        years, month = divmod(origin.month - 1 + k * self.months, 12)
        year = origin.year + years
        if origin.day <= 28:
            return origin.replace(year=year, month=month + 1)
        return origin.replace(year=year, month=month + 1, day=min(origin.day, monthrange(year, month + 1)[1]))
